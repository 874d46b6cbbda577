"""Views that the same models have already been asked for, under another list of views.

Owns finding them and putting lists together. Each view passes through a network by itself, so what was
said of it is the same to the last bit in whatever list it stands; so is what it cost. Does not own running
models (`infer/stage_views.py`).

Legend: V views, N samples, C classes, K folds.

What a member costs to predict with, measured when its inference runs.

Owns the figures of one member: parameters and milliseconds an image of all its folds, models and views.
Does not own timing a network (`train/network_cost.py`) nor the cost of a blend (`ensemble/cost.py`).

Members that are heads on one frozen backbone share its passes: what a view of the backbone costs stands
apart (`…_shared`), so that a blend pays it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.predictions import ViewProbabilities
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job
from pipeline.nets.forward import Pass
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.train import network_cost, precision
from pipeline.train.committee import Committee
from pipeline.train.stages import folds_of

PRICED = ("ms_1", "ms_64")


@dataclass(frozen=True)
class Seen:
    """What was said.

    Args:
        oof: of each fold, its validation part.
        test: mean over folds.
        ms_V: an image of each view, all folds together.
    """

    oof: Sequence[ViewProbabilities]
    test: ViewProbabilities
    ms_V: Sequence[float]

    def take(self, names: Sequence[str]) -> Seen:
        """Some of the views, in this order."""
        at = [self.test.views.index(name) for name in names]
        oof, test = [_views(p, at) for p in self.oof], _views(self.test, at)
        return Seen(oof, test, [self.ms_V[k] for k in at])

    def and_also(self, other: Seen) -> Seen:
        """The views of both, these first."""
        oof = [_joined(a, b) for a, b in zip(self.oof, other.oof, strict=True)]
        return Seen(oof, _joined(self.test, other.test), [*self.ms_V, *other.ms_V])


def find(job: Job) -> list[Artifact]:
    """Results of the same models on the same images in the same precision, oldest first."""
    inputs = {name: f"{a.stage}/{a.key}" for name, a in job.inputs.items()}
    precision = job.settings.config.infer.precision
    return [
        artifact
        for artifact in job.store.all("views")
        if artifact.inputs == inputs and artifact.setting("infer.precision") == precision
    ]


def known(job: Job, names: Sequence[str], found: Sequence[Artifact]) -> Seen | None:
    """Those of the views that were seen before; None: none was."""
    whole: Seen | None = None
    for artifact in found:
        left = [n for n in names if whole is None or n not in whole.test.views]
        times: Mapping[str, float] = artifact.json("times.json")
        here = [name for name in left if name in times]
        if not here or job.store.find(artifact.stage, artifact.key) is None:
            continue
        test = load.views(artifact, "test", "test")
        seen = Seen(load.view_parts(artifact), test, [times[name] for name in test.views]).take(here)
        whole = seen if whole is None else whole.and_also(seen)
    return whole


def price(found: Sequence[Artifact], views: int) -> dict[str, float] | None:
    """What `views` views cost, by what others of the same models were measured to; None: nothing is known."""
    timed = [a for a in found if all(name in a.metrics for name in (*PRICED, "parameters"))]
    if not timed:
        return None
    share = views / len(timed[0].json("times.json"))
    costs = {name: timed[0].metrics[name] * share for name in PRICED}
    return {"parameters": timed[0].metrics["parameters"], **costs}


def _views(p: ViewProbabilities, at: Sequence[int]) -> ViewProbabilities:
    return replace(p, views=tuple(p.views[k] for k in at), p_VNC=p.p_VNC[list(at)])


def _joined(a: ViewProbabilities, b: ViewProbabilities) -> ViewProbabilities:
    assert (a.ids_N == b.ids_N).all(), "predictions of other images"
    return replace(a, views=(*a.views, *b.views), p_VNC=np.concatenate([a.p_VNC, b.p_VNC]))


def measured(job: Job, n_classes: int) -> dict[str, float]:
    """`parameters`, `ms_1`, `ms_64` of the whole member, and of them what is shared: `…_shared`.

    Args:
        job: of the views of an inference.
        n_classes: outputs.
    """
    config, device = job.settings.config, set_up(job.settings.config.runtime)
    folds = [job.inputs[f"fold{k}"] for k in folds_of(job.settings)]
    states = [state for fold in folds for state in Committee.read(fold.folder).states]
    views = len(config.infer.views)
    probe = is_probe(job.settings)
    how = Pass(device) if probe else precision.passing(config, folds[0], device)
    one = network_cost.speed(config, n_classes, how)
    if probe:
        heads = float(sum(t.numel() for state in states for t in state.values()))
        shared = {"parameters": float(one.parameters), "ms_1": one.ms_1 * views, "ms_64": one.ms_64 * views}
        whole = shared | {"parameters": shared["parameters"] + heads}
        return whole | {f"{name}_shared": value for name, value in shared.items()}
    passes = views * len(states)
    whole = {"parameters": float(one.parameters * len(states)), "ms_1": one.ms_1 * passes}
    return whole | {"ms_64": one.ms_64 * passes}
