"""Predictions of every view of every image by the models of all folds, and what they cost.

Owns running the models of the folds over views of test-time augmentation, reusing views that the same models
have predicted for an earlier list of views, and the cost of a whole member. Does not own the views
(`nets/views.py`), one model (`train/committee.py`), timing a network (`train/network_cost.py`) nor averaging
views (`infer/merging.py`).

Out-of-fold images are predicted by folds that never trained on them, averaged where there are several; test
images by all folds, averaged. Each view passes through a network separately, so its predictions do not depend
on the list of views, bit by bit; nor does its cost. Images pass in batches of one size, the last one filled
up, so that neither the other images nor their order change a bit of a prediction. New images take the same
way (`predict/members.py`): through `votes.networks` and `votes.heads`, with the same `Pass`.

Legend: V views, N samples, C classes, K folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.core.predictions import Features, ViewProbabilities
from pipeline.core.samples import FoldPlan, LabelSpace, Strings
from pipeline.core.targets import Target
from pipeline.data import load
from pipeline.data.device_images import on_device
from pipeline.data.loader import Images
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job
from pipeline.nets import views
from pipeline.nets.forward import Pass
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.settings.images import ImageSettings
from pipeline.settings.schema import Config
from pipeline.train import committee as votes
from pipeline.train import network_cost, precision
from pipeline.train.committee import Committee, Vote
from pipeline.train.stages import folds_in

# Milliseconds per image, one at a time and 64 at a time.
TIMES = ("ms_1", "ms_64")


@dataclass(frozen=True)
class FoldViews:
    """Predictions of the models of all folds.

    Args:
        oof: of each fold, its validation part.
        test: mean over folds.
        ms_V: milliseconds per image of each view, all folds together.
    """

    oof: Sequence[ViewProbabilities]
    test: ViewProbabilities
    ms_V: Sequence[float]

    def take(self, names: Sequence[str]) -> FoldViews:
        """Some of the views, in this order."""
        at = [self.test.views.index(name) for name in names]
        oof, test = [_views(p, at) for p in self.oof], _views(self.test, at)
        return FoldViews(oof, test, [self.ms_V[k] for k in at])

    def with_views_of(self, other: FoldViews) -> FoldViews:
        """The views of both, these first."""
        oof = [_joined(a, b) for a, b in zip(self.oof, other.oof, strict=True)]
        return FoldViews(oof, _joined(self.test, other.test), [*self.ms_V, *other.ms_V])


def refuse_unfit(names: Sequence[str], images: ImageSettings) -> None:
    """Raise ConfigError for unknown views, or arguments that do not suit the size of the images."""
    x_1CHW = torch.zeros(1, images.channels, *images.hw)
    for view in views.parse_all(list(names)):
        view.apply(x_1CHW)


def predict(job: Job, space: LabelSpace, plan: FoldPlan, earlier: Sequence[Artifact]) -> FoldViews:
    """The predictions of every view of `infer.views`.

    A network is not run again for a view that is in one of the `earlier` results of the same models.
    """
    names = list(job.settings.config.infer.views)
    if is_probe(job.settings):
        return _of_heads(job, space, plan, names)
    known = predicted_before(job, names, earlier)
    missing = [name for name in names if known is None or name not in known.test.views]
    if known is None:
        return _of_networks(job, space, plan, names)
    if missing:
        known = known.with_views_of(_of_networks(job, space, plan, missing))
    return known.take(names)


def _of_networks(job: Job, space: LabelSpace, plan: FoldPlan, names: Sequence[str]) -> FoldViews:
    config = job.settings.config
    device = set_up(config.runtime)
    share, prepared = config.runtime.images_share, job.inputs["prepared"]
    # Once for all folds.
    train, test = (on_device(load.prepared(prepared, part), device, share) for part in ("train", "test"))
    oof, tests, times = [], [], []
    for k in folds_in(job.inputs):
        fold = job.inputs[f"fold{k}"]
        how = precision.passing(config, fold, device)
        asked = [(train, plan.splits[k].valid_ids), (test, test.ids_N)]
        (valid, _), (tested, ms) = _networks(config, names, space, fold, asked, how)
        oof.append(valid)
        tests.append(tested)
        times.append(ms)
    return FoldViews(oof, votes.mean(tests), votes.added(times))


def _of_heads(job: Job, space: LabelSpace, plan: FoldPlan, names: Sequence[str]) -> FoldViews:
    inputs = dict(job.inputs)
    train, test = (load.features(inputs, split, list(names)).with_metadata() for split in ("train", "test"))
    # All folds share the backbone: its time counts once per view.
    times = [tuple(inputs[f"test:{view}"].metrics["ms_per_image"] for view in names)]
    oof, tests = [], []
    for k in folds_in(inputs):
        asked = [train.take(plan.splits[k].valid_ids), test]
        (valid, _), (tested, ms) = _heads(job.settings.config, space, inputs[f"fold{k}"], asked)
        oof.append(valid)
        tests.append(tested)
        times.append(ms)
    return FoldViews(oof, votes.mean(tests), votes.added(times))


def by_model_of_all_data(job: Job, space: LabelSpace) -> tuple[ViewProbabilities, float]:
    """The test predictions of a refit's model, view by view, and milliseconds per image of all views."""
    config, model = job.settings.config, job.inputs["whole"]
    names = list(config.infer.views)
    if is_probe(job.settings):
        features = load.features(dict(job.inputs), "test", names).with_metadata()
        ((test, ms_V),) = _heads(config, space, model, [features])
        return test, sum(ms_V) + sum(job.inputs[f"test:{view}"].metrics["ms_per_image"] for view in names)
    images = load.prepared(job.inputs["prepared"], "test")
    how = precision.passing(config, model, set_up(config.runtime))
    ((test, ms_V),) = _networks(config, names, space, model, [(images, images.ids_N)], how)
    return test, sum(ms_V)


def of_validation_part(
    job: Job, space: LabelSpace, plan: FoldPlan, k: int, names: Sequence[str]
) -> ViewProbabilities:
    """The predictions of one fold for its own validation part, view by view."""
    config, ids, fold = job.settings.config, plan.splits[k].valid_ids, job.inputs[f"fold{k}"]
    if is_probe(job.settings):
        features = load.features(dict(job.inputs), "train", list(names)).take(ids).with_metadata()
        ((valid, _),) = _heads(config, space, fold, [features])
        return valid
    how = precision.passing(config, fold, set_up(config.runtime))
    images = load.prepared(job.inputs["prepared"], "train")
    ((valid, _),) = _networks(config, names, space, fold, [(images, ids)], how)
    return valid


def _networks(
    config: Config,
    names: Sequence[str],
    space: LabelSpace,
    trained: Artifact,
    asked: Sequence[tuple[Images, Strings]],
    how: Pass,
) -> list[Vote]:
    """The vote of the networks of a fold, or of all data; as `votes.networks`."""
    committee = Committee.read(trained.folder)
    made = votes.restored(config, space, committee)
    return votes.networks(made, committee.shares, names, Target.of(space), asked, how)


def _heads(config: Config, space: LabelSpace, trained: Artifact, asked: Sequence[Features]) -> list[Vote]:
    """The vote of the heads of a fold, or of all data; as `votes.heads`."""
    committee = Committee.read(trained.folder)
    made = votes.restored_heads(config.model, space, committee)
    return votes.heads(made, committee.shares, Target.of(space), asked)


def earlier_results(job: Job) -> list[Artifact]:
    """Results of the same models on the same images in the same precision, oldest first."""
    inputs = {name: a.address for name, a in job.inputs.items()}
    precision = job.settings.config.infer.precision
    return [
        artifact
        for artifact in job.store.all("views")
        if artifact.inputs == inputs and artifact.setting("infer.precision") == precision
    ]


def predicted_before(job: Job, names: Sequence[str], earlier: Sequence[Artifact]) -> FoldViews | None:
    """The views that are in one of the earlier results; None where there are none."""
    known: FoldViews | None = None
    for artifact in earlier:
        left = [n for n in names if known is None or n not in known.test.views]
        times: Mapping[str, float] = artifact.json("times.json")
        here = [name for name in left if name in times]
        if not here or job.store.find(artifact.stage, artifact.key) is None:
            continue
        test = load.views(artifact, "test", "test")
        every = FoldViews(load.view_parts(artifact), test, [times[name] for name in test.views])
        known = every.take(here) if known is None else known.with_views_of(every.take(here))
    return known


def _views(p: ViewProbabilities, at: Sequence[int]) -> ViewProbabilities:
    return replace(p, views=tuple(p.views[k] for k in at), p_VNC=p.p_VNC[list(at)])


def _joined(a: ViewProbabilities, b: ViewProbabilities) -> ViewProbabilities:
    assert (a.ids_N == b.ids_N).all(), "predictions of other images"
    return replace(a, views=(*a.views, *b.views), p_VNC=np.concatenate([a.p_VNC, b.p_VNC]))


def earlier_cost(earlier: Sequence[Artifact], views: int) -> dict[str, float] | None:
    """The cost of `views` views, from results of the same models for other views; None: none was measured."""
    timed = [a for a in earlier if all(name in a.metrics for name in (*TIMES, "parameters"))]
    if not timed:
        return None
    share = views / len(timed[0].json("times.json"))
    costs = {name: timed[0].metrics[name] * share for name in TIMES}
    return {"parameters": timed[0].metrics["parameters"], **costs}


def measured_cost(job: Job, n_classes: int) -> dict[str, float]:
    """`parameters`, `ms_1` and `ms_64` of the whole member; the part of them that is shared as `…_shared`."""
    config, device = job.settings.config, set_up(job.settings.config.runtime)
    folds = [job.inputs[f"fold{k}"] for k in folds_in(job.inputs)]
    states = [state for fold in folds for state in Committee.read(fold.folder).states]
    views = len(config.infer.views)
    probe = is_probe(job.settings)
    how = Pass(device) if probe else precision.passing(config, folds[0], device)
    one = network_cost.speed(config, n_classes, how)
    if probe:
        heads = float(sum(t.numel() for state in states for t in state.values()))
        shared = {"parameters": float(one.parameters), "ms_1": one.ms_1 * views, "ms_64": one.ms_64 * views}
        total = shared | {"parameters": shared["parameters"] + heads}
        return total | {f"{name}_shared": value for name, value in shared.items()}
    passes = views * len(states)
    total = {"parameters": float(one.parameters * len(states)), "ms_1": one.ms_1 * passes}
    return total | {"ms_64": one.ms_64 * passes}
