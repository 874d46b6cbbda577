"""How alike two submissions are: in bytes, in labels, in probabilities.

Owns the comparison and its verdict. Does not own making either of them (`submit/reproduce.py`).

Legend: N images, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.predictions import Prediction
from pipeline.settings.schema import ReproduceSettings


@dataclass(frozen=True)
class Likeness:
    """What a rebuilt submission has in common with the first one.

    Args:
        equal: every byte is the same.
        agreement: share of images with the same label, or None where the first labels are gone.
        max_dp: largest difference of any probability, or None where the first ones are gone.
    """

    equal: bool
    agreement: float | None = None
    max_dp: float | None = None

    def __str__(self) -> str:
        labels = (
            "first labels are gone" if self.agreement is None else f"labels agree on {self.agreement:.2%}"
        )
        p = "first probabilities are gone" if self.max_dp is None else f"max |Δp| = {self.max_dp:.2g}"
        return f"{labels}, {p}"


def of(old: Prediction, new: Prediction) -> Likeness:
    """Compare two predictions of the same images, joined by id; probabilities where both have them.

    Raises:
        DataError: they are of other images or classes.
    """
    old = old.take(new.ids_N)
    p = None
    if old.probabilities is not None and new.probabilities is not None:
        first_NC = old.probabilities.with_classes(new.probabilities.classes).p_NC
        p = float(np.abs(first_NC - new.probabilities.p_NC).max())
    return Likeness(False, float(np.mean(old.labels_N == new.labels_N)), p)


def verdict(
    found: Likeness, same_profile: bool, tolerance: ReproduceSettings
) -> tuple[Literal["reproduced", "within tolerance", "NOT reproduced"], str]:
    """Whether a submission was reproduced, and why.

    On the same hardware profile and versions only equal bytes will do. On another one floating-point
    sums round otherwise and training spreads that, so labels and probabilities may differ by the
    tolerance.
    """
    if found.equal:
        return "reproduced", "the bytes are equal"
    stated = f"(at least {tolerance.agreement:.0%} and at most {tolerance.max_dp:g} are asked for)"
    if same_profile:
        return "NOT reproduced", f"other bytes on the same hardware profile and versions; {found}"
    alike = found.agreement is not None and found.agreement >= tolerance.agreement
    near = found.max_dp is None or found.max_dp <= tolerance.max_dp
    if alike and near:
        return "within tolerance", f"other bytes on another hardware profile or versions; {found} {stated}"
    return "NOT reproduced", f"{found} {stated}"
