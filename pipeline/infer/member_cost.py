"""What a member costs to predict with, measured when its inference runs.

Owns the figures of one member: parameters and milliseconds per image of all its folds, models and views.
Does not own timing a network (`train/network_cost.py`) nor the cost of a blend (`ensemble/cost.py`).

Members that are heads on one frozen backbone share its passes: the cost of a view of the backbone is kept
apart (`…_shared`), so that a blend pays it once.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job
from pipeline.nets.forward import Pass
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.train import network_cost, precision
from pipeline.train.committee import Committee
from pipeline.train.stages import folds_in

TIMES = ("ms_1", "ms_64")


def of_earlier(earlier: Sequence[Artifact], views: int) -> dict[str, float] | None:
    """The cost of `views` views, from results of the same models for other views; None: none was measured."""
    timed = [a for a in earlier if all(name in a.metrics for name in (*TIMES, "parameters"))]
    if not timed:
        return None
    share = views / len(timed[0].json("times.json"))
    costs = {name: timed[0].metrics[name] * share for name in TIMES}
    return {"parameters": timed[0].metrics["parameters"], **costs}


def measured(job: Job, n_classes: int) -> dict[str, float]:
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
