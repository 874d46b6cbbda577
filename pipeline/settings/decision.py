"""The section `decision`: steps between probabilities and the submission.

Owns its fields and rules. Does not own the steps themselves (`ensemble/decision.py`).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pipeline.core.errors import nearest
from pipeline.core.language import _
from pipeline.core.metrics import METRICS
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Kind
from pipeline.settings.fields import Broken, Section, Sections, fact, neutral, rule
from pipeline.settings.model import ModelSettings
from pipeline.settings.submission import MOST_PAIRED, n_columns

# Each step, and the kinds of target for which it makes sense.
STEP_KINDS: dict[str, tuple[Kind, ...]] = {
    "class_scales": ("exclusive",),
    "thresholds": ("labels",),
    "new_class": ("exclusive",),
    "prior_correction": ("exclusive", "labels"),
    "group_average": ("exclusive", "labels", "values"),
    "cut_points": ("exclusive", "values"),
    "clip": ("values",),
    "round": ("values",),
}
DECISION_STEPS = tuple(STEP_KINDS)
# Steps that choose answers, which a metric of probabilities does not look at.
ANSWER_STEPS = ("class_scales", "thresholds")


class DecisionSettings(Section):
    """Post-processing after blending; see `pipeline/ensemble/decision.py`."""

    steps: list[str] = fact(
        [],
        "in this order, on out-of-fold and test predictions: class_scales (exclusive classes), new_class "
        "(competition.new_class by a threshold), thresholds (labels), cut_points (values or ordered classes "
        "to grades, for qwk), clip and round (values), "
        "prior_correction, group_average, or module:function of your own; each is kept only if it is better "
        "out of fold",
    )
    adopt: Literal["better", "always"] = fact(
        "better", "better: only steps that are better by their corrected interval; always: every step"
    )
    members: bool = neutral(False, "also decide the submissions of single members and of refits")
    shrink: float = fact(
        0.1,
        "class_scales, thresholds, cut_points: penalty on the mean squared log scale, distance from the "
        "common threshold in log odds, or distance from halves, in units of the metric; 0: none",
        ge=0,
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
            hint = nearest(name, DECISION_STEPS) or _("choose one of {decision}").format(
                decision=", ".join(DECISION_STEPS)
            )
            yield (
                f"decision.steps[{number}]",
                _("`{name}` is not a step; {hint}, or module:function").format(name=name, hint=hint),
            )
        if steps.index(name) != number:
            yield f"decision.steps[{number}]", _("names {name} twice").format(name=name)
    metric, target = s["competition"].metric, s["competition"].target
    for name in (n for n in steps if target not in STEP_KINDS.get(n, (target,))):
        others = ", ".join(n for n, kinds in STEP_KINDS.items() if target in kinds)
        kinds = " or ".join(STEP_KINDS[name])
        message = _("{name} is for competition.target={kinds}, and here it is {target}; remove it").format(
            name=name, kinds=kinds, target=target
        )
        yield (
            "decision.steps",
            message + (_(" (steps for it: {others})").format(others=others) if others else ""),
        )
    for name in ANSWER_STEPS:
        needs = getattr(METRICS.get(metric), "needs", "")
        if name in steps and needs == "probabilities":
            message = _("{name} is for labels, but {metric} scores probabilities; remove it").format(
                name=name, metric=metric
            )
            yield "decision.steps", message
    n = n_columns(s["competition"])
    if "class_scales" in steps and target == "exclusive" and n > MOST_PAIRED:
        message = _("class_scales counts each pair of classes, and there are {n} classes").format(n=n)
        yield (
            "decision.steps",
            _("{message} (at most {most}); remove it").format(message=message, most=MOST_PAIRED),
        )
    if "new_class" in steps and s["competition"].new_class is None:
        yield "decision.steps", _("new_class needs competition.new_class, the name of that class; remove it")
    if "cut_points" in steps and metric in METRICS and metric != "qwk":
        yield (
            "decision.steps",
            _("cut_points makes grades, which {metric} does not score; remove it").format(metric=metric),
        )
    constant = [a.name for a in s["competition"].attributes if a.constant_in_group]
    if "group_average" in steps and not constant:
        message = _("group_average needs an attribute with constant_in_group=true, and there is none")
        yield "decision.steps", message
