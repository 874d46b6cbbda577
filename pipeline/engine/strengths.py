"""What `robustness` needs: trained folds, and images or their features at every strength.

Owns the inputs of that one stage. Does not own the strengths (`settings/robustness.py`) nor running on
them (`infer/stage_robustness.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.needs import Inputs, Need, Params, is_probe, train_inputs
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.engine.graph import Graph


def robustness_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `robustness`; the training images only, as nothing else is ever scored."""
    common = {"train": Need("train", settings), **train_inputs(graph, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = ["identity", *settings.config.robustness.views()]
    return common | {
        f"train:{view}": Need("features", settings, {"split": "train", "view": view}) for view in views
    }
