"""A gap between public and out-of-fold score, its possible causes, their order, and the verdict.

Owns these values and the ranking. Does not own any check (`gap/leak.py`, `gap/shift.py`,
`gap/label_shift.py`, `gap/selection.py`) nor which of them run (`gap/diagnosis.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.metrics import Metric
from pipeline.core.noise import Band
from pipeline.submit.gap import texts

NOISE, UNEXPLAINED, AVERAGING = "noise", "unexplained", "averaging"
# There is nothing to fix.
HARMLESS = (NOISE, AVERAGING)
# Causes that invalidate later checks come first: with a leak, out-of-fold figures are too high, and different
# pixels move every prediction. Among equally large effects this order decides.
ORDER = (
    *("group_leak", "duplicates", "transform", "covariate_shift", "label_shift", "over_selection"),
    *(UNEXPLAINED, AVERAGING, NOISE),
)
# Shares of the gap from which a measured effect explains most or a part of it.
MOST, PART = 0.6, 0.2


@dataclass(frozen=True)
class Cause:
    """One possible cause, checked.

    Args:
        kind: a name of `ORDER`.
        found: whether the check found it; for noise: whether no other cause is needed.
        headline: the answer in one sentence, with its number.
        how: what was checked.
        answer: what to do.
        effect: about how much it moves public − OOF, in the metric's own units; None: unknown.
    """

    kind: str
    found: bool
    headline: str
    how: str
    answer: str
    effect: float | None = None


@dataclass(frozen=True)
class Question:
    """The gap to be explained.

    Args:
        name: of the submission.
        oof, public: its scores; None where not known.
        public_groups: groups of the public set, ≥ 1.
    """

    name: str
    oof: float | None
    public: float | None
    public_groups: int

    @property
    def gap(self) -> float | None:
        """Public − OOF."""
        return None if self.oof is None or self.public is None else self.public - self.oof


@dataclass(frozen=True)
class Diagnosis:
    """The results of the checks.

    Args:
        question: the gap.
        band: the range of the gap by luck alone; None without predictions.
        p: probability that luck alone gives a gap as large; None without a gap or a band.
        causes: the most likely first; those that were not found are last.
    """

    question: Question
    band: Band | None
    p: float | None
    causes: tuple[Cause, ...]

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        gap, band = self.question.gap, self.band
        first = self.causes[0]
        if gap is None or band is None:
            start = texts.NO_GAP
        elif band.holds(gap):
            start = texts.INSIDE_BAND.format(gap=gap, low=band.low, high=band.high)
            start += texts.INSIDE_BAND_BUT if first.kind not in HARMLESS else ""
        else:
            start = texts.OUTSIDE_BAND.format(gap=gap, low=band.low, high=band.high)
        return f"{start} {first.headline}"


def in_units_of_score(metric: Metric, delta_right: float) -> float | None:
    """A change of the share of right answers as a change of the score; None where they differ."""
    return delta_right if metric.needs == "labels" and metric.higher_is_better else None


def ranked(causes: Sequence[Cause], gap: float | None, band: Band | None) -> tuple[Cause, ...]:
    """The most likely first: causes that were found, by how much of the gap they explain; then the others.

    Args:
        causes: each kind at most once.
        gap: public − OOF, or None without a public score.
        band: its noise band, or None.
    """
    scale = 0.0 if gap is None else abs(gap)
    if band is not None:
        scale = max(scale, band.high - band.middle)

    def share(cause: Cause) -> int:
        """0: explains most of the gap, or is unknown; 1: a part; 2: little, or the wrong direction."""
        if cause.effect is None or gap is None or scale == 0:
            return 0
        towards = cause.effect if gap >= 0 else -cause.effect
        return 0 if towards >= MOST * scale else 1 if towards >= PART * scale else 2

    def key(cause: Cause) -> tuple[bool, bool, int, int]:
        is_noise = cause.kind == NOISE
        return (not cause.found, is_noise, share(cause) if cause.found else 0, ORDER.index(cause.kind))

    return tuple(sorted(causes, key=key))
