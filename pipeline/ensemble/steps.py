"""What a post-processing step is, and the ones there are.

Owns fitting each on labelled predictions, and applying it to any. Does not own their arithmetic
(`scales.py`, `priors.py`, `grouping.py`, `postprocess.py`) nor whether they are kept (`decision.py`).

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.plugin import Own
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings
from pipeline.ensemble import decision_steps, grouping, postprocess, priors

SHOWN = 6


@dataclass(frozen=True)
class Rows:
    """What steps may look at beside probabilities; never a label.

    Args:
        ids_N: of the images.
        groups_N: what the table says.
        together_N: number of the group that `group_average` averages over.
    """

    ids_N: Strings
    groups_N: Strings
    together_N: Ints

    def take(self, at: Ints) -> Rows:
        """The rows at these positions."""
        return Rows(self.ids_N[at], self.groups_N[at], self.together_N[at])


@dataclass(frozen=True)
class Rule:
    """A fitted step.

    Args:
        apply: (N, C) probabilities and their rows to (N, C) probabilities; deterministic.
        told: what was fitted, for people.
        facts: what was fitted, as plain data.
    """

    apply: Callable[[Floats, Rows], Floats]
    told: str
    facts: dict[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """One way to post-process."""

    @property
    def name(self) -> str:
        """As in the settings."""

    @property
    def off(self) -> str:
        """Why it cannot be used here, or empty."""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """Learn from labelled predictions; the result never looks at a label."""


@dataclass(frozen=True)
class ClassScales:
    """A multiplier a class; see `scales.py`."""

    metric: Metric
    shrink: float
    classes: tuple[str, ...]
    name: str = "class_scales"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`."""
        scale_C = decision_steps.fit(p_NC, y_N, self.metric, self.shrink)
        far = np.argsort(-np.abs(np.log(scale_C)), kind="stable")[:SHOWN]
        moved = ", ".join(f"{self.classes[c]} ×{scale_C[c]:.2f}" for c in far if scale_C[c] != 1)
        facts = {"scales": dict(zip(self.classes, scale_C.tolist(), strict=True))}
        return Rule(lambda p, _: decision_steps.apply(p, scale_C), moved or "all ×1", facts)


@dataclass(frozen=True)
class PriorCorrection:
    """From the balance that training showed to another one; see `priors.py`.

    Args:
        shown_C: shares of the classes among the training rows.
        target: "table": the labels' own; "uniform"; "estimated": from the probabilities of the very images
            that are judged.
    """

    shown_C: Reals
    target: Literal["table", "uniform", "estimated"]
    name: str = "prior_correction"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`."""
        shown_C = self.shown_C
        if self.target == "estimated":
            said = priors.estimated(p_NC, shown_C)
            facts = {"from": shown_C.tolist(), "to": "estimated on each set", "on_oof": said.tolist()}
            return Rule(
                lambda p, _: priors.corrected(p, shown_C, priors.estimated(p, shown_C)),
                f"estimated priors {said.min():.3f} to {said.max():.3f} (training rows {_range(shown_C)})",
                facts,
            )
        even = np.full(len(shown_C), 1 / len(shown_C))
        new_C = even if self.target == "uniform" else priors.counted(np.bincount(y_N, minlength=len(shown_C)))
        told = f"priors from {_range(shown_C)} in the training rows to {_range(new_C)} ({self.target})"
        facts = {"from": shown_C.tolist(), "to": new_C.tolist()}
        return Rule(lambda p, _: priors.corrected(p, shown_C, new_C), told, facts)


@dataclass(frozen=True)
class GroupAverage:
    """What a group shares, averaged over it; see `grouping.py`.

    Args:
        space: its `constant_in_group` attributes are averaged.
        told: where the groups come from and how pure they are.
        off: why not, e.g. impure groups.
    """

    space: LabelSpace
    told: str
    name: str = "group_average"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`; nothing is fitted."""
        value_C = grouping.shared_values(self.space)
        shared = [a.name for a in self.space.attributes if a.constant_in_group]

        def apply(p: Floats, shown: Rows) -> Floats:
            group_N = np.unique(shown.together_N, return_inverse=True)[1]
            return grouping.averaged(p, group_N, value_C)

        return Rule(
            apply, f"{', '.join(shared)} over {self.told}", {"attributes": shared, "groups": self.told}
        )


@dataclass(frozen=True)
class OwnStep:
    """A function of the user's own; see `postprocess.py`."""

    own: Own
    classes: tuple[str, ...]
    off: str = ""

    @property
    def name(self) -> str:
        """As in the settings."""
        return self.own.name

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`; nothing is fitted."""
        return Rule(
            lambda p, shown: postprocess.call(self.own, p, shown.ids_N, shown.groups_N, self.classes),
            "a function of your own",
            {"function": self.own.name},
        )


def _range(share_C: Reals) -> str:
    return f"{share_C.min():.3f} to {share_C.max():.3f}"
