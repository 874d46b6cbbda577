"""The section `decision`: steps between probabilities and the submission.

Owns its fields and rules. Does not own the steps themselves (`ensemble/decision.py`).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pipeline.core.errors import nearest
from pipeline.core.metrics import METRICS
from pipeline.core.plugin import is_plugin
from pipeline.settings.fields import Broken, Section, Sections, fact, neutral, rule
from pipeline.settings.model import ModelSettings

DECISION_STEPS = ("class_scales", "prior_correction", "group_average")


class DecisionSettings(Section):
    """Post-processing after blending; see `pipeline/ensemble/decision.py`."""

    steps: list[str] = fact(
        [],
        "in this order, on out-of-fold and test probabilities: class_scales, prior_correction, "
        "group_average, or module:function of your own; each is kept only if it is better out of fold",
    )
    adopt: Literal["better", "always"] = fact(
        "better", "better: only steps that are better by their corrected interval; always: every step"
    )
    members: bool = neutral(False, "also decide the submissions of single members and of refits")
    shrink: float = fact(
        0.1, "class_scales: penalty on the mean squared log scale, in units of the metric; 0: none", ge=0
    )
    prior: Literal["table", "uniform", "estimated"] = fact(
        "table",
        "prior_correction: the class balance to correct to; estimated: from predictions, without labels",
    )
    groups: Literal["table", "clusters"] = fact(
        "table",
        "group_average: table: groups of the tables (column or file name); clusters: built from features",
    )
    purity: float = fact(
        0.95, "group_average: not applied if fewer images of a group have its most common value", gt=0.5, le=1
    )
    features: ModelSettings = Field(
        ModelSettings(), description="group_average: frozen backbone whose features are clustered"
    )


@rule("decision", "competition")
def decision_steps(s: Sections) -> Iterator[Broken]:
    """Steps are known, each is named once, and each can be applied."""
    steps = s["decision"].steps
    for number, name in enumerate(steps):
        if name not in DECISION_STEPS and not is_plugin(name):
            hint = nearest(name, DECISION_STEPS) or f"choose one of {', '.join(DECISION_STEPS)}"
            yield f"decision.steps[{number}]", f"`{name}` is not a step; {hint}, or module:function"
        if steps.index(name) != number:
            yield f"decision.steps[{number}]", f"names {name} twice"
    metric = s["competition"].metric
    if "class_scales" in steps and getattr(METRICS.get(metric), "needs", "") == "probabilities":
        message = f"class_scales is for labels, but {metric} scores probabilities; remove it"
        yield "decision.steps", message
    constant = [a.name for a in s["competition"].attributes if a.constant_in_group]
    if "group_average" in steps and not constant:
        message = "group_average needs an attribute with constant_in_group=true, and there is none"
        yield "decision.steps", message
