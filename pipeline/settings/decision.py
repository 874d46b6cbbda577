"""Settings of the decision: what becomes of probabilities before they are submitted.

Owns the section `decision`. Does not own the steps themselves (`ensemble/decision.py`).
"""

from typing import Literal

from pydantic import Field

from pipeline.settings.fields import Section, fact, neutral
from pipeline.settings.model import ModelSettings

DECISION_STEPS = ("class_scales", "prior_correction", "group_average")


class DecisionSettings(Section):
    """Post-processing after blending; see `pipeline/ensemble/decision.py`."""

    steps: list[str] = fact(
        [],
        "one after another, on out-of-fold and test probabilities alike: class_scales, prior_correction, "
        "group_average, or module:function of your own; each is kept only if it is better out of fold",
    )
    adopt: Literal["better", "always"] = fact(
        "better", "better: steps whose corrected interval says so; always: every step, whatever it says"
    )
    members: bool = neutral(False, "also decide the submissions of single members and of refits")
    shrink: float = fact(
        0.1, "class_scales: price of the mean squared log scale, in units of the metric; 0: none", ge=0
    )
    prior: Literal["table", "uniform", "estimated"] = fact(
        "table",
        "prior_correction: the balance to move to; estimated: from predictions, without labels",
    )
    groups: Literal["table", "clusters"] = fact(
        "table",
        "group_average: the groups that the tables name (column or file name); clusters: built from features",
    )
    purity: float = fact(
        0.95, "group_average: off where fewer images of a group show its most common value", gt=0.5, le=1
    )
    features: ModelSettings = Field(
        ModelSettings(), description="group_average: frozen backbone whose features make clusters"
    )
