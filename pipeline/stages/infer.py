"""`make infer`: every view of every image, out of fold and test.

    make infer                                        the default experiment
    make infer ARGS="infer.views=[identity,hflip]"    other views, without training again

Owns the stage only: out-of-fold images are seen by folds that never trained on them, averaged where
several do; test images by all folds, averaged. Views are kept apart, so that they can be weighed later
without a model.
"""

from __future__ import annotations

import torch

from pipeline.core.predictions import ViewProbabilities, pool_views
from pipeline.core.types import FoldPlan, Samples
from pipeline.data import views
from pipeline.infer import votes
from pipeline.learn.committee import Committee
from pipeline.record import files
from pipeline.record.runinfo import note
from pipeline.settings.load import Settings
from pipeline.stages import load, precision, scoring, speed
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.registry import folds_of, is_probe


def refuse(settings: Settings) -> None:
    """Raise ConfigError for views that nobody knows, or that move the whole image out of its frame."""
    probe_1CHW = torch.zeros(1, 3, *settings.config.images.hw)
    for view in views.parse_all(settings.config.infer.views):
        view.apply(probe_1CHW)


def build(job: Job) -> Built:
    """Write oof_views.npz, test_views.npz and, views averaged, oof.npz and test.npz."""
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = load.plan(job.inputs["folds"])
    parts, test, cost = (_heads if is_probe(job.settings) else _networks)(job, samples, plan)
    price = speed.measured(job, samples.space.n_classes)
    oof = pool_views(parts, "oof")
    for split, found in (("oof", oof), ("test", test)):
        files.write_views(job.draft / f"{split}_views.npz", found)
        files.write_probabilities(job.draft / f"{split}.npz", found.merge())
    merged = oof.merge()
    plain = load.oof(job.inputs["train"], "one view")
    gain = scoring.compare(config, samples, merged, plain)
    rival = scoring.best_earlier(job.store, config, job.inputs, job.key)
    scores = scoring.scores_of(config, samples, [part.merge() for part in parts])
    card = scoring.score_card(config, samples, merged, scores, rival)
    told = [
        *scoring.lines(card, len(samples)),
        f"{len(oof.views)} views against one: {gain}",
        f"{cost:.1f} ms an image for all views and folds; in batches of 64 {price['ms_64']:.1f}, alone "
        f"{price['ms_1']:.1f}; {price['parameters'] / 1e6:.1f} M parameters",
    ]
    figures = {
        **card.figures,
        "complete": float(len(folds_of(job.settings)) == len(plan)),
        "ms_per_image": cost,
        "delta_tta": gain.delta,
        **price,
    }
    what = f"`{job.settings.experiment}` over the views {', '.join(oof.views)}"
    description = note(
        what, scoring.why(card), "make ensemble, then make error-analysis", result="; ".join(told)
    )
    return Built(figures, tuple(told), description, (), scoring.tags(card, rival, job.resolved))


def _networks(
    job: Job, samples: Samples, plan: FoldPlan
) -> tuple[list[ViewProbabilities], ViewProbabilities, float]:
    config, device = job.settings.config, set_up(job.settings.config.runtime)
    train, test = (load.prepared(job.inputs["prepared"], split) for split in ("train", "test"))
    oof, tests, cost = [], [], 0.0
    for k in folds_of(job.settings):
        fold = job.inputs[f"fold{k}"]
        how = precision.passing(config, fold, device)
        asked = [(train, plan.splits[k].valid_ids), (test, test.ids_N)]
        (found, _), (tested, ms) = votes.networks(
            config, samples.space, Committee.read(fold.folder), asked, how
        )
        oof.append(found)
        tests.append(tested)
        cost += ms
    return oof, votes.mean(tests), cost


def _heads(
    job: Job, samples: Samples, plan: FoldPlan
) -> tuple[list[ViewProbabilities], ViewProbabilities, float]:
    names = list(job.settings.config.infer.views)
    inputs = dict(job.inputs)
    train, test = (load.features(inputs, split, names) for split in ("train", "test"))
    # The backbone is shared by all folds: its time counts once a view.
    cost = sum(inputs[f"test:{view}"].metrics["ms_per_image"] for view in names)
    oof, tests = [], []
    for k in folds_of(job.settings):
        committee = Committee.read(job.inputs[f"fold{k}"].folder)
        asked = [train.take(plan.splits[k].valid_ids), test]
        (found, _), (tested, ms) = votes.heads(job.settings.config.model, samples.space, committee, asked)
        oof.append(found)
        tests.append(tested)
        cost += ms
    return oof, votes.mean(tests), cost
