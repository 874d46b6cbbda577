"""What the reports on finished networks need: their inputs, as `engine/needs.py` names those of other stages.

Owns these functions only; imports neither torch nor stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.needs import Inputs, Need, Params, train_inputs
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.engine.graph import Graph


def faults_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `faults`: the data and the blend's out-of-fold predictions, as the error report has them."""
    return {name: Need(name, settings) for name in ("data", "images")} | {"of": Need("ensemble", settings)}


def finders_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `finders`: the same, and what was planted."""
    side = {"side": str(params["side"])}
    planted = {
        f"faults{seed}": Need("faults", settings, {"seed": int(seed), **side})
        for seed in str(params["seeds"]).split()
    }
    return faults_inputs(graph, settings, params) | planted


def explain_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `explain`: trained folds, the images as they saw them, and boxes if any are known."""
    looked_at = {name: Need(name, settings) for name in ("images", "prepared", "train")}
    known = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return train_inputs(graph, settings, params) | looked_at | known
