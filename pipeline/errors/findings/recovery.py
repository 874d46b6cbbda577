"""How much of what was planted is found again: F1 over finders, and one choice of thresholds against another.

Owns the figure and its interval. Does not own planting or finding (`errors/findings/planting.py`).

Each finder has its own F1 of hits, misses and false alarms; the figure is their mean, so that a finder of
many faults does not drown one of few. For an interval units are drawn anew within each finder, the same
ones for all arms: a unit is a group of images, or one spoilt slice, with all that happened in it over all
plantings. One factor widens all intervals, as for other searches (`core/arms.py`, max-T).

Shape legend: U units, F finders, A arms, B resamples; counts are (hits, misses, false alarms).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison
from pipeline.core.seeds import rng

LEVEL = 95.0
FINDER, UNIT, COUNTS = "finder", "unit", ["hits", "misses", "alarms"]


def f1(counts: Reals) -> Reals:
    """(…,) F1 of (…, 3) hits, misses and false alarms; 1 where there is nothing of any."""
    hits, others = counts[..., 0], counts[..., 1] + counts[..., 2]
    total = 2 * hits + others
    return np.asarray(np.where(total > 0, 2 * hits / np.where(total > 0, total, 1), 1.0), np.float64)


def _of_confusions(confusions: Reals) -> Reals:
    hits, misses, alarms = confusions[:, 1, 1], confusions[:, 1, 0], confusions[:, 0, 1]
    return f1(np.stack([hits, misses, alarms], axis=-1))


METRIC = Metric(
    "planted_f1",
    True,
    "labels",
    0.0,
    1.0,
    "F1 of planted faults, mean over the finders",
    on_counts=_of_confusions,
)


def by_finder(units: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """F1, precision and recall of each finder, over all its units.

    Args:
        units: columns finder, unit, hits, misses, alarms.
    """
    found = {}
    for name, counts in units.groupby(FINDER, sort=True)[COUNTS].sum().iterrows():
        hits, misses, alarms = (float(counts[c]) for c in COUNTS)
        precision = hits / (hits + alarms) if hits + alarms else 1.0
        recall = hits / (hits + misses) if hits + misses else 1.0
        found[str(name)] = (float(f1(np.array([hits, misses, alarms]))), precision, recall)
    return found


def figure(units: pd.DataFrame) -> float:
    """The mean F1 over the finders."""
    return float(np.mean([score for score, _, _ in by_finder(units).values()]))


def compare(
    default: pd.DataFrame, others: Sequence[pd.DataFrame], draws: int, seed: int
) -> tuple[list[float], list[Comparison]]:
    """Each choice of thresholds against the default, on the same plantings.

    Args:
        default: units of the default, see `by_finder`; rows of several plantings stand below each other.
        others: of at least one other choice.
        draws: resamples.
        seed: of the resamples.

    Returns:
        the figures, the default's first, and a comparison a choice; all intervals hold at once.
    """
    tables = [t.groupby([FINDER, UNIT])[COUNTS].sum() for t in (default, *others)]
    index = tables[0].index
    for table in tables[1:]:
        index = index.union(table.index)
    counts_AU3 = np.stack([t.reindex(index, fill_value=0).to_numpy(float) for t in tables])
    finder_U = index.get_level_values(FINDER).to_numpy()
    generator = rng(seed, "planted faults")
    scores_AF, drawn_AFB = [], []
    fewest = len(index)
    for name in sorted(set(finder_U)):
        of_AU3 = counts_AU3[:, finder_U == name]
        size = of_AU3.shape[1]
        fewest = min(fewest, size)
        weights_BU = generator.multinomial(size, np.full(size, 1 / size), draws).astype(float)
        scores_AF.append(f1(of_AU3.sum(axis=1)))
        drawn_AFB.append(f1(np.einsum("bu,auc->abc", weights_BU, of_AU3)))
    score_A, drawn_AB = np.mean(scores_AF, axis=0), np.mean(drawn_AFB, axis=0)
    delta_P = score_A[1:] - score_A[0]
    off_PB = drawn_AB[1:] - drawn_AB[0] - delta_P[:, None]
    off_PB -= off_PB.mean(axis=1, keepdims=True)
    error_P = off_PB.std(axis=1)
    scaled_PB = np.divide(off_PB, error_P[:, None], out=np.zeros_like(off_PB), where=error_P[:, None] > 0)
    factor = float(np.percentile(np.abs(scaled_PB).max(axis=0), LEVEL))
    found = []
    for delta, error, off_B in zip(delta_P.tolist(), error_P.tolist(), off_PB, strict=True):
        low, high = delta - factor * error, delta + factor * error
        verdict = "better" if low > 0 else "worse" if high < 0 else "can't tell"
        better = float(np.mean((delta + off_B > 0) + 0.5 * (delta + off_B == 0)))
        found.append(Comparison(delta, low, high, better, fewest, verdict))
    return score_A.tolist(), found
