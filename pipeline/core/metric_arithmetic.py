"""What the formulas of metrics share: weights of rows, ratios, and areas under curves of one ranked column.

Owns the form of a formula that can be resampled, turning any function of rows into that form, and the two
areas that every ranking metric is made of. Does not own the metrics (`core/metrics.py`).

A formula is prepared once from the truth and the predictions, and then asked for the score of many
resamples, each given by how often every row counts. What does not depend on the weights, sorting above all,
is done once.

Shape legend: N samples, K columns, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Ints

# A certain and wrong answer costs this much log loss, not infinity: float32 cannot tell less from 0.
LOG_FLOOR = float(np.finfo(np.float32).eps)

# A variance below this part of the mean square is rounding.
ROUNDING = 1e-13
# Parts of a row that a resample of rows can hold where weights are no whole numbers.
FINE = 16

Reals = npt.NDArray[np.float64]
# (B, N) row weights ≥ 0 to (B,) scores.
OnWeights = Callable[[Reals], Reals]
# (N, B) row weights to (B,) scores of one column, NaN where the score is undefined.
OfColumn = Callable[[Reals], Reals]


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Reals:
    """`above` divided by `below`, and 0 where `below` is 0."""
    out: Reals = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=out, where=below != 0)
    return out


def spread(variance: npt.NDArray[Any], square: npt.NDArray[Any]) -> Reals:
    """A variance, and 0 where it is only the rounding of numbers whose mean square is `square`.

    The mean of equal numbers is not exactly that number, and a score would be divided by what is left.
    """
    return np.where(variance > ROUNDING * square, variance, 0.0)


def by_rows(function: Callable[[Any, Floats], float]) -> Callable[[Any, Floats], OnWeights]:
    """The `on_weights` of any `function(y_N, p_NC) -> float`, so that a user's own metric can be resampled.

    This works for every function, exactly but slowly: see `by_positions`.
    """
    return lambda y_N, p_NC: by_positions(lambda at_N: function(y_N[at_N], p_NC[at_N]))


def by_positions(function: Callable[[Ints], float]) -> OnWeights:
    """Scores of weights from a function of row positions: each resample is a list of them.

    Weights that are no whole numbers are rounded to sixteenths.
    """

    def scores(w_BN: Reals) -> Reals:
        times_BN = w_BN if (w_BN == np.floor(w_BN)).all() else w_BN * FINE
        lists = [np.repeat(np.arange(len(w_N)), np.rint(w_N).astype(np.int64)) for w_N in times_BN]
        return np.array([function(at_N) for at_N in lists], dtype=np.float64)

    return scores


def mean_of_columns(columns: Sequence[OfColumn | None], undefined: float) -> OnWeights:
    """The mean over the columns whose score is defined; `undefined` where there is none.

    A column is undefined in a resample whose rows hold one answer only. It is then left out of the mean.
    """

    def scores(w_BN: Reals) -> Reals:
        w_NB = np.ascontiguousarray(w_BN.T)
        total, count = np.zeros(len(w_BN)), np.zeros(len(w_BN))
        for column in columns:
            if column is None:
                continue
            score_B = column(w_NB)
            defined_B = ~np.isnan(score_B)
            total += np.where(defined_B, score_B, 0.0)
            count += defined_B
        return np.where(count > 0, ratio(total, count), undefined)

    return scores


def area_under_roc(p_N: Floats, hit_N: npt.NDArray[np.bool_]) -> OfColumn | None:
    """The share of pairs of a hit and a miss that the score orders rightly, ties half; None without a hit."""
    runs = ranked_runs(p_N, hit_N)
    if runs is None:
        return None

    def scores(w_NB: Reals) -> Reals:
        hit_TB, all_TB = runs.totals(w_NB)
        miss_TB = all_TB - hit_TB
        # A tie of a hit and a miss is half won.
        below_TB = np.cumsum(miss_TB, axis=0) - miss_TB / 2
        pairs = hit_TB.sum(axis=0) * miss_TB.sum(axis=0)
        return np.where(pairs > 0, ratio((hit_TB * below_TB).sum(axis=0), pairs), np.nan)

    return scores


def average_precision(p_N: Floats, hit_N: npt.NDArray[np.bool_]) -> OfColumn | None:
    """Precision at each threshold, weighted by the recall that it adds; None without a hit.

    As scikit-learn's `average_precision_score`: equal scores are one threshold, and nothing is interpolated.
    """
    runs = ranked_runs(p_N, hit_N)
    if runs is None:
        return None

    def scores(w_NB: Reals) -> Reals:
        hit_TB, all_TB = (totals[::-1] for totals in runs.totals(w_NB))
        precision_TB = ratio(np.cumsum(hit_TB, axis=0), np.cumsum(all_TB, axis=0))
        hits = hit_TB.sum(axis=0)
        return np.where(hits > 0, ratio((hit_TB * precision_TB).sum(axis=0), hits), np.nan)

    return scores


@dataclass(frozen=True)
class Runs:
    """Rows by ascending score, cut into T runs within which order does not matter.

    Args:
        order_N: rows by score.
        start_T: where in `order_N` each run starts.
        hits_P: the rows of the class, by score.
        mixed_H: which of the T runs hold rows of the class.
        start_H: where in `hits_P` the rows of each of those start.
    """

    order_N: Ints
    start_T: Ints
    hits_P: Ints
    mixed_H: Ints
    start_H: Ints

    def totals(self, w_NB: Reals) -> tuple[Reals, Reals]:
        """(T, B) the weight of the rows of the class in each run, and the weight of all its rows."""
        all_TB = np.add.reduceat(w_NB[self.order_N], self.start_T, axis=0)
        hit_TB = np.zeros_like(all_TB)
        hit_TB[self.mixed_H] = np.add.reduceat(w_NB[self.hits_P], self.start_H, axis=0)
        return hit_TB, all_TB


def ranked_runs(p_N: Floats, is_class_N: npt.NDArray[np.bool_]) -> Runs | None:
    """Runs of equal scores, neighbouring ones without the class merged; None if it never occurs.

    The merging leaves about two runs a row of the class, so a resample sums few numbers.
    """
    if not is_class_N.any():
        return None
    order_N = np.argsort(p_N, kind="stable")
    score_N, hit_N = p_N[order_N], is_class_N[order_N]
    start = np.flatnonzero(np.r_[True, score_N[1:] != score_N[:-1]])
    holds = np.logical_or.reduceat(hit_N, start)
    start_T = start[holds | np.r_[True, holds[:-1]]]
    per_run_T = np.add.reduceat(hit_N.astype(np.int64), start_T)
    mixed_H = np.flatnonzero(per_run_T)
    start_H = np.cumsum(per_run_T[mixed_H]) - per_run_T[mixed_H]
    return Runs(order_N, start_T, order_N[hit_N], mixed_H, start_H)
