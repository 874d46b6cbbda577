"""What can be behind a gap between public and out-of-fold score: the type, and the order of causes.

Owns `Cause` and ranking. Does not own any check (`gap_leak.py`, `gap_shift.py`, `gap_classes.py`,
`gap_selection.py`) nor which of them run (`gap.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.metrics import Metric
from pipeline.core.noise import Band
from pipeline.core.samples import Floats, FoldPlan, Ints, LabelSpace, Strings
from pipeline.eda.survey import Glance
from pipeline.settings.eda import EdaSettings

NOISE, UNEXPLAINED, AVERAGING = "noise", "unexplained", "averaging"
# Nothing to mend.
HARMLESS = (NOISE, AVERAGING)
# What makes later checks untrue comes first: with a leak no out-of-fold figure means what it says, and
# unlike pixels move every prediction. Among equally large effects this order decides.
ORDER = (
    *("group_leak", "duplicates", "transform", "covariate_shift", "label_shift", "over_selection"),
    *(UNEXPLAINED, AVERAGING, NOISE),
)
# Shares of the gap from which a measured effect counts as most or as part of it.
MOST, PART = 0.6, 0.2


@dataclass(frozen=True)
class Cause:
    """One possible cause, checked.

    Args:
        kind: a name of `ORDER`.
        found: the check says that it is there; of noise: that nothing else has to be there.
        headline: the answer in one sentence, with its number.
        how: what was run.
        answer: what to do.
        effect: about how much it moves public − OOF, in the metric's own units; None: cannot be said.
    """

    kind: str
    found: bool
    headline: str
    how: str
    answer: str
    effect: float | None = None


@dataclass(frozen=True)
class Submitted:
    """Predictions of the submission that is looked into.

    Args:
        rows_K: the training images that validate at all, ascending; with plain k-fold all of them.
        oof_KC: their out-of-fold probabilities.
        test_TC: probabilities of the test images, in their order.
    """

    rows_K: Ints
    oof_KC: Floats
    test_TC: Floats


@dataclass(frozen=True)
class Scene:
    """All that the checks look at.

    Args:
        space: the classes.
        metric: the competition's.
        images: a row an image, training images first: split, id, group, label (-1 for a test image),
            sha256, phash.
        looks: numbers a row in the same order: file size in px and what the prepared pixels look like.
        seen: thumbnails of the prepared images, same order.
        plan: the folds that the score comes from.
        settings: thresholds and seed.
        draws: bootstrap resamples.
    """

    space: LabelSpace
    metric: Metric
    images: pd.DataFrame
    looks: pd.DataFrame
    seen: Glance
    plan: FoldPlan
    settings: EdaSettings
    draws: int

    @property
    def is_test(self) -> npt.NDArray[np.bool_]:
        """Which rows are test images."""
        return (self.images["split"] == "test").to_numpy()

    @property
    def train(self) -> pd.DataFrame:
        """The training images."""
        return self.images[~self.is_test]

    @property
    def labels(self) -> Ints:
        """(N,) class index of the training images."""
        return self.train["label"].to_numpy(np.int64)

    @property
    def groups(self) -> Strings:
        """(N,) group of the training images."""
        return self.train["group"].to_numpy(str)


def in_units_of_score(metric: Metric, delta_right: float) -> float | None:
    """A change of the share of right answers as one of the score; None where the two are not alike."""
    return delta_right if metric.needs == "labels" and metric.higher_is_better else None


def ranked(causes: Sequence[Cause], gap: float | None, band: Band | None) -> tuple[Cause, ...]:
    """The most likely first: what was found, by how much of the gap it explains; then what was not.

    Args:
        causes: each kind at most once.
        gap: public − OOF, or None without a public score.
        band: its noise band, or None.
    """
    scale = 0.0 if gap is None else abs(gap)
    if band is not None:
        scale = max(scale, band.high - band.middle)

    def share(cause: Cause) -> int:
        """0: explains most of the gap, or cannot be measured; 1: a part; 2: little, or the other way."""
        if cause.effect is None or gap is None or scale == 0:
            return 0
        towards = cause.effect if gap >= 0 else -cause.effect
        return 0 if towards >= MOST * scale else 1 if towards >= PART * scale else 2

    def key(cause: Cause) -> tuple[bool, bool, int, int]:
        quiet = cause.kind == NOISE
        return (not cause.found, quiet, share(cause) if cause.found else 0, ORDER.index(cause.kind))

    return tuple(sorted(causes, key=key))
