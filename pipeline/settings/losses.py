"""What training minimises: the settings of a loss, and which of them each loss reads.

Owns the settings and the table of what a loss can do. Does not own the formulas (`learn/loss*.py`) or
the rules between settings (`settings/loss_rules.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import nearest
from pipeline.settings.fields import Section, fact

Weight = Annotated[float, Field(gt=0, le=1e6)]


@dataclass(frozen=True)
class Traits:
    """What a loss of the registry reads and allows.

    Args:
        reads: its parameters, by the names of `OneLossSettings`.
        weighs: whether class weights make sense: not for losses that correct for frequency themselves.
        of_batch: whether its value belongs to a whole batch, so that accumulation is not the large batch.
        soft_targets: whether targets may be distributions (mixed images, soft labels).
        only_attributes: whether it is for one ordered attribute, in `loss.attributes`.
    """

    reads: tuple[str, ...]
    weighs: bool = True
    of_batch: bool = False
    soft_targets: bool = True
    only_attributes: bool = False


LOSSES: dict[str, Traits] = {
    "cross_entropy": Traits(("label_smoothing",)),
    "focal": Traits(("label_smoothing", "gamma")),
    "asymmetric": Traits(("label_smoothing", "gamma_pos", "gamma_neg")),
    "soft_f1": Traits(("label_smoothing", "blend"), of_batch=True),
    "ldam": Traits(("label_smoothing", "max_margin", "scale")),
    "logit_adjustment": Traits(("label_smoothing", "tau"), weighs=False),
    "balanced_softmax": Traits(("label_smoothing",), weighs=False),
    "ordinal": Traits(("label_smoothing",), only_attributes=True),
}
# Of a function of the user's own: it is told the targets, and nothing else.
OWN_LOSS = Traits(())
PARAMETERS = tuple(dict.fromkeys(name for traits in LOSSES.values() for name in traits.reads))


class OneLossSettings(Section):
    """One loss and its parameters; docs/training.md says what each is for."""

    name: str = fact(
        "cross_entropy",
        "cross_entropy, focal, asymmetric, soft_f1, ldam, logit_adjustment, balanced_softmax; for an ordered "
        "attribute: ordinal; or module:function of the current folder",
    )
    class_weights: Literal["none", "inverse", "effective", "hand"] = fact(
        "none",
        "how much a row counts by its class: inverse: 1/count; effective: 1/effective number of `beta`; hand",
    )
    beta: float = fact(0.999, "of the effective number; 0: all alike, towards 1: inverse", ge=0, lt=1)
    hand: dict[str, Weight] | None = fact(None, "class name -> weight, for class_weights=hand", min_length=1)
    defer: float = fact(
        0.0, "class weights start after this share of the epochs (deferred re-weighting: 0.8)", ge=0, lt=1
    )
    label_smoothing: float = fact(0.0, "mass given to the other classes", ge=0, lt=1)
    gamma: float = fact(2.0, "focusing of focal loss; 0 is cross-entropy", ge=0, le=10)
    gamma_pos: float = fact(0.0, "asymmetric: focusing of the true class", ge=0, le=10)
    gamma_neg: float = fact(4.0, "asymmetric: focusing of the smoothed others", ge=0, le=10)
    blend: float = fact(1.0, "soft_f1: its share; the rest is cross-entropy", gt=0, le=1)
    tau: float = fact(1.0, "logit_adjustment: strength; 0 is cross-entropy", ge=0, le=10)
    max_margin: float = fact(0.5, "ldam: margin of the rarest class", ge=0, le=10)
    scale: float = fact(30.0, "ldam: factor on logits and margins", gt=0, le=100)


class AttributeLossSettings(OneLossSettings):
    """The loss of one attribute, where the network has a head for each."""

    share: float = fact(1.0, "factor of this attribute's loss in the sum", gt=0, le=1000)


class LossSettings(OneLossSettings):
    """What training minimises."""

    attributes: dict[str, AttributeLossSettings] = fact(
        {},
        "attribute -> its own loss, for model.heads=attributes; the others take the main one, ordered ones "
        "(model.ordinal) the ordinal one",
    )


def hand_faults(given: Mapping[str, float] | None, classes: Iterable[str]) -> list[str]:
    """What is wrong with weights by hand: unknown names, then classes without a weight, one line each."""
    known, named = list(classes), given or {}
    unknown = [name for name in named if name not in known]
    faults = [f"knows no class `{n}`; {nearest(n, known) or 'see the classes in make eda'}" for n in unknown]
    return faults + [f"has no weight for `{name}`" for name in known if name not in named]
