"""The stage of `eda/`: what is in the data, worst harm first.

Owns the declaration. Does not own the findings (`eda/findings.py`) nor the page (`eda/page.py`).
"""

from __future__ import annotations

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage
from pipeline.nets.stages import features_need
from pipeline.settings.load import Settings


def build_eda(job: Job) -> Built:
    """Write the report on the data."""
    from pipeline.eda import stage_eda

    return stage_eda.build(job)


def eda_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the images and the folds, and features where the shift test asks for them."""
    common = {name: Need(name, settings) for name in ("data", "images", "folds")}
    if settings.config.eda.shift_on == "facts":
        return common
    return common | {
        f"{split}:identity": features_need(settings, split, "identity") for split in ("train", "test")
    }


STAGES = (
    Stage(
        "eda",
        4,
        "what is in the data, worst harm first",
        build_eda,
        reads=(
            *("eda", "competition.title", "report.thumbnail_px", "report.per_class", "images.resize"),
            "resample.method",
        ),
        inputs=eda_inputs,
        words=("train",),
        tracked=True,
    ),
)
