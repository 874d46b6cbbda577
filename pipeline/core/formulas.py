"""What each metric computes, on confusions or on row weights, and how it behaves on absent classes.

Owns the formulas, and turning any function of rows or labels into one of them. Does not own the
registry or what a metric declares (`core/metrics.py`).

Shape legend: N samples, C classes, B resamples; a confusion is [truth, prediction].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Ints

Reals = npt.NDArray[np.float64]
OnCounts = Callable[[Reals], Reals]
OnWeights = Callable[[Reals], Reals]
Prepare = Callable[[Ints, Floats], OnWeights]

# A certain and wrong answer costs this much log loss, not infinity: float32 cannot tell less from 0.
LOG_FLOOR = float(np.finfo(np.float32).eps)


def by_rows(function: Callable[[Ints, Floats], float]) -> Prepare:
    """Make `on_weights` of any `function(y_N, p_NC) -> float`: how a metric of one's own gets resampled.

    The general path, exact and slow: each resample is a list of row indices, and the function scores
    those rows. Weights must be whole numbers.
    """

    def prepare(y_N: Ints, p_NC: Floats) -> OnWeights:
        def scores(w_BN: Reals) -> Reals:
            lists = [np.repeat(np.arange(len(y_N)), w_N.astype(np.int64)) for w_N in w_BN]
            return np.array([function(y_N[index], p_NC[index]) for index in lists], dtype=np.float64)

        return scores

    return prepare


def by_cells(function: Callable[[Ints, Ints], float]) -> OnCounts:
    """A function of labels on confusions: their rows are listed again, cell by cell."""

    def scores(counts_BCC: Reals) -> Reals:
        size = counts_BCC.shape[-1]
        lists = [np.repeat(np.arange(size**2), c.ravel().astype(np.int64)) for c in counts_BCC]
        return np.array([function(cells // size, cells % size) for cells in lists], dtype=np.float64)

    return scores


def margins(counts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Per class, over the last two axes: right answers, times true, times predicted."""
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Reals:
    """`above` over `below`, and 0 where `below` is 0."""
    out: Reals = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=out, where=below != 0)
    return out


def accuracy(counts_BCC: Reals) -> Reals:
    """(B,) share of right answers."""
    hits, support, _ = margins(counts_BCC)
    return ratio(hits.sum(-1), support.sum(-1))


def macro_f1(counts_BCC: Reals) -> Reals:
    """(B,) mean F1 over the classes that occur in the truth or the predictions."""
    hits, support, predicted = margins(counts_BCC)
    occurs = (support + predicted) > 0
    return ratio(ratio(2 * hits, support + predicted).sum(-1), occurs.sum(-1))


def weighted_f1(counts_BCC: Reals) -> Reals:
    """(B,) F1 averaged by how often a class is true."""
    hits, support, predicted = margins(counts_BCC)
    return ratio((support * ratio(2 * hits, support + predicted)).sum(-1), support.sum(-1))


def balanced_accuracy(counts_BCC: Reals) -> Reals:
    """(B,) mean recall over the classes that occur in the truth."""
    hits, support, _ = margins(counts_BCC)
    return ratio(ratio(hits, support).sum(-1), (support > 0).sum(-1))


def qwk(counts_BCC: Reals) -> Reals:
    """(B,) quadratic weighted kappa; 0 when truth and predictions hold one and the same class only."""
    size = counts_BCC.shape[-1]
    distance_CC = (np.arange(size)[:, None] - np.arange(size)) ** 2.0
    _, support, predicted = margins(counts_BCC)
    seen = (counts_BCC * distance_CC).sum(axis=(-2, -1))
    by_chance = np.einsum("bi,ij,bj->b", support, distance_CC, predicted)
    kappa = 1 - ratio(seen * support.sum(-1), by_chance)
    return np.where(by_chance > 0, kappa, 0.0)


def mcc(counts_BCC: Reals) -> Reals:
    """(B,) Matthews correlation; 0 when truth or predictions hold one class only."""
    hits, support, predicted = margins(counts_BCC)
    total = support.sum(-1)
    covariance = hits.sum(-1) * total - (support * predicted).sum(-1)
    spread = (total**2 - (support**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return ratio(covariance, np.sqrt(spread))


def log_loss(y_N: Ints, p_NC: Floats) -> OnWeights:
    """Mean of -log(probability of the true class), floored at `LOG_FLOOR`."""
    p = p_NC.astype(np.float64)
    right_N = p[np.arange(len(y_N)), y_N] / p.sum(axis=1)
    loss_N = -np.log(np.clip(right_N, LOG_FLOOR, 1.0))
    return lambda w_BN: ratio(w_BN @ loss_N, w_BN.sum(axis=1))


def auc(y_N: Ints, p_NC: Floats) -> OnWeights:
    """Area under ROC, one class against the rest, mean over the classes of the truth; 0.5 for one class."""
    runs_C = [_ranked_runs(p_N, y_N == c) for c, p_N in enumerate(p_NC.T)]

    def scores(w_BN: Reals) -> Reals:
        w_NB = np.ascontiguousarray(w_BN.T)
        total, classes = np.zeros(len(w_BN)), np.zeros(len(w_BN))
        for runs in runs_C:
            if runs is None:
                continue
            all_TB = np.add.reduceat(w_NB[runs.order_N], runs.start_T, axis=0)
            hit_TB = np.zeros_like(all_TB)
            hit_TB[runs.mixed_H] = np.add.reduceat(w_NB[runs.hits_P], runs.start_H, axis=0)
            miss_TB = all_TB - hit_TB
            # A tie of a hit and a miss is half won.
            below_TB = np.cumsum(miss_TB, axis=0) - miss_TB / 2
            pairs = hit_TB.sum(axis=0) * miss_TB.sum(axis=0)
            total += ratio((hit_TB * below_TB).sum(axis=0), pairs)
            classes += pairs > 0
        return np.where(classes > 0, ratio(total, classes), 0.5)

    return scores


@dataclass(frozen=True)
class _Runs:
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


def _ranked_runs(p_N: Floats, is_class_N: npt.NDArray[np.bool_]) -> _Runs | None:
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
    return _Runs(order_N, start_T, order_N[hit_N], mixed_H, start_H)
