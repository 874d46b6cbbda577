"""`views`: what the models of all folds say of every image, view by view.

Owns the stage only: out-of-fold images are seen by folds that never trained on them, averaged where
several do; test images by all folds, averaged. Views are kept apart, so that `infer/stage_infer.py` weighs
them, as often as one likes, without a model.
"""

from __future__ import annotations

import torch

from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.infer import siblings
from pipeline.infer.siblings import Seen
from pipeline.nets import views
from pipeline.nets.stages import is_probe
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.settings.schema import Config
from pipeline.train import committee as votes
from pipeline.train import precision
from pipeline.train.committee import Committee
from pipeline.train.stages import folds_of


def refuse(settings: Settings) -> None:
    """Raise ConfigError for views that nobody knows, or whose arguments do not suit the images."""
    probe_1CHW = torch.zeros(1, 3, *settings.config.images.hw)
    for view in views.parse_all(settings.config.infer.views):
        view.apply(probe_1CHW)


def build(job: Job) -> Built:
    """Write test.npz, and fold<k>.npz for the validation part of each fold asked for; times.json."""
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = load.plan(job.inputs["folds"])
    found = [] if is_probe(job.settings) else siblings.find(job)
    seen = _heads(job, samples, plan) if is_probe(job.settings) else _seen(job, samples, plan, found)
    for k, part in zip(folds_of(job.settings), seen.oof, strict=True):
        files.write_views(job.draft / f"fold{k}.npz", part)
    files.write_views(job.draft / "test.npz", seen.test)
    files.write_json(job.draft / "times.json", dict(zip(seen.test.views, seen.ms_V, strict=True)))
    price = siblings.price(found, len(seen.ms_V)) or siblings.measured(job, samples.space.n_classes)
    return Built({"ms_per_image": sum(seen.ms_V), **price})


def _seen(job: Job, samples: Samples, plan: FoldPlan, found: list[Artifact]) -> Seen:
    """What networks say: looked up for the views that they saw before, in another list."""
    names = list(job.settings.config.infer.views)
    known = siblings.known(job, names, found)
    missing = [name for name in names if known is None or name not in known.test.views]
    if known is None:
        return _networks(job, samples, plan, job.settings.config)
    if missing:
        config = job.settings.config
        infer = config.infer.model_copy(update={"views": missing})
        more = _networks(job, samples, plan, config.model_copy(update={"infer": infer}))
        known = known.and_also(more)
    return known.take(names)


def _networks(job: Job, samples: Samples, plan: FoldPlan, config: Config) -> Seen:
    device = set_up(config.runtime)
    train, test = (load.prepared(job.inputs["prepared"], split) for split in ("train", "test"))
    oof, tests, times = [], [], []
    for k in folds_of(job.settings):
        fold = job.inputs[f"fold{k}"]
        how = precision.passing(config, fold, device)
        asked = [(train, plan.splits[k].valid_ids), (test, test.ids_N)]
        (found, _), (tested, ms) = votes.networks(
            config, samples.space, Committee.read(fold.folder), asked, how
        )
        oof.append(found)
        tests.append(tested)
        times.append(ms)
    return Seen(oof, votes.mean(tests), votes.added(times))


def _heads(job: Job, samples: Samples, plan: FoldPlan) -> Seen:
    names = list(job.settings.config.infer.views)
    inputs = dict(job.inputs)
    train, test = (load.features(inputs, split, names) for split in ("train", "test"))
    # The backbone is shared by all folds: its time counts once a view.
    times = [tuple(inputs[f"test:{view}"].metrics["ms_per_image"] for view in names)]
    oof, tests = [], []
    for k in folds_of(job.settings):
        committee = Committee.read(job.inputs[f"fold{k}"].folder)
        asked = [train.take(plan.splits[k].valid_ids), test]
        (found, _), (tested, ms) = votes.heads(job.settings.config.model, samples.space, committee, asked)
        oof.append(found)
        tests.append(tested)
        times.append(ms)
    return Seen(oof, votes.mean(tests), votes.added(times))
