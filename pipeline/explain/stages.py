"""The stage of `explain/`: what a network looks at.

Owns the declaration. Does not own the parts of the gallery (`explain/parts.py`).
"""

from __future__ import annotations

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.settings.load import Settings
from pipeline.train.stages import train_inputs


def build_explain(job: Job) -> Built:
    """Make the gallery."""
    from pipeline.explain import stage_explain

    return stage_explain.build(job)


def refuse_explain(settings: Settings) -> None:
    """Raise ConfigError for unknown parts."""
    from pipeline.explain import stage_explain

    stage_explain.refuse(settings)


def explain_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Trained folds, the images as they saw them, and boxes if any are known."""
    looked_at = {name: Need(name, settings) for name in ("images", "prepared", "train")}
    known = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return train_inputs(ask, settings, params) | looked_at | known


STAGES = (
    Stage(
        "explain",
        1,
        "what a network looks at",
        build_explain,
        reads=("explain", "statistics.draws", "competition.title"),
        inputs=explain_inputs,
        words=("train", "competition"),
        label=of_experiment,
        refuse=refuse_explain,
        tracked=True,
    ),
)
