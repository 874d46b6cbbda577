"""Metrics of labels that may hold together, and of exclusive classes that are answered by a ranking.

Owns their formulas. Does not own the registry (`core/metrics.py`) or the arithmetic below them
(`core/metric_arithmetic.py`). Cells of the truth that are NaN are unknown: no formula counts them. A truth of
one half or more holds.

Shape legend: N samples, K labels, C classes, B resamples; y_NK is the truth, p_NK are probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from pipeline.core.metric_arithmetic import (
    LOG_FLOOR,
    OnWeights,
    Reals,
    area_under_roc,
    average_precision,
    by_rows,
    mean_of_columns,
    ratio,
)
from pipeline.core.samples import Floats, Ints
from pipeline.core.truths import Cells

Bools = npt.NDArray[np.bool_]
# The part of the ROC curve that partial AUC counts: true positive rates above this.
MIN_TPR = 0.8


def _holds(y_NK: Floats) -> Bools:
    return np.asarray(np.nan_to_num(y_NK) >= 0.5)


def _counts(y_NK: Floats, p_NK: Floats) -> Callable[[Reals], tuple[Reals, Reals, Reals]]:
    """(B, K) weights of hits, of labels that hold and of labels that are predicted, among known cells."""
    known_NK, true_NK, said_NK = ~np.isnan(y_NK), _holds(y_NK), p_NK > 0.5
    parts = [part.astype(np.float64) for part in (true_NK & said_NK, true_NK, said_NK & known_NK)]
    return lambda w_BN: (w_BN @ parts[0], w_BN @ parts[1], w_BN @ parts[2])


def macro_f1(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean F1 over the labels that occur in the truth or the answers; the threshold is one half."""
    counted = _counts(y_NK, p_NK)

    def scores(w_BN: Reals) -> Reals:
        hits, true, said = counted(w_BN)
        return ratio(ratio(2 * hits, true + said).sum(-1), (true + said > 0).sum(-1))

    return scores


def micro_f1(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """F1 over all cells together."""
    counted = _counts(y_NK, p_NK)

    def scores(w_BN: Reals) -> Reals:
        hits, true, said = (part.sum(-1) for part in counted(w_BN))
        return ratio(2 * hits, true + said)

    return scores


def _row_mean(value_N: Reals) -> OnWeights:
    return lambda w_BN: ratio(w_BN @ value_N, w_BN.sum(axis=1))


def samples_f1(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean over the rows of each row's F1; a row without a label that is answered with none scores 1."""
    known_NK, true_NK = ~np.isnan(y_NK), _holds(y_NK)
    said_NK = (p_NK > 0.5) & known_NK
    both, either = (true_NK & said_NK).sum(1), true_NK.sum(1) + said_NK.sum(1)
    return _row_mean(np.where(either > 0, ratio(2.0 * both, either), 1.0))


def exact_match(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Share of rows of which every known label is answered rightly."""
    return _row_mean((((p_NK > 0.5) == _holds(y_NK)) | np.isnan(y_NK)).all(axis=1).astype(np.float64))


def accuracy(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Share of known cells that are answered rightly."""
    known_NK = (~np.isnan(y_NK)).astype(np.float64)
    right_N = (((p_NK > 0.5) == _holds(y_NK)) * known_NK).sum(axis=1)
    return lambda w_BN: ratio(w_BN @ right_N, w_BN @ known_NK.sum(axis=1))


def answered(p_NK: Floats, cells: Cells) -> Floats:
    """(N, K) 1 for the answers: labels above one half, and of the levels of a label the most probable one."""
    said_NK, start = (p_NK > 0.5).astype(np.float32), 0
    for width in cells.widths:
        if width > 1:
            of_block = p_NK[:, start : start + width].argmax(axis=1)
            said_NK[:, start : start + width] = np.eye(width)[of_block]
        start += width
    return said_NK


def accuracy_of_cells(y_NK: Floats, p_NK: Floats, cells: Cells) -> OnWeights:
    """Share of known labels that are answered rightly; one of several levels counts once."""
    right_NK, known_NK = (p_NK > 0.5) == _holds(y_NK), ~np.isnan(y_NK)
    starts = np.cumsum((0, *cells.widths[:-1]))
    known_NL = np.logical_and.reduceat(known_NK, starts, axis=1)
    right_N = (np.logical_and.reduceat(right_NK, starts, axis=1) & known_NL).sum(axis=1).astype(np.float64)
    return lambda w_BN: ratio(w_BN @ right_N, w_BN @ known_NL.sum(axis=1).astype(np.float64))


def log_loss(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean over the labels of each label's cross-entropy; probabilities are floored at 1.2e-7."""
    known_NK = (~np.isnan(y_NK)).astype(np.float64)
    p, y = np.clip(p_NK.astype(np.float64), LOG_FLOOR, 1 - LOG_FLOOR), np.nan_to_num(y_NK).astype(np.float64)
    loss_NK = -(y * np.log(p) + (1 - y) * np.log1p(-p)) * known_NK

    def scores(w_BN: Reals) -> Reals:
        seen = w_BN @ known_NK
        return ratio(ratio(w_BN @ loss_NK, seen).sum(-1), (seen > 0).sum(-1))

    return scores


def log_loss_of_cells(y_NK: Floats, p_NK: Floats, cells: Cells) -> OnWeights:
    """Mean over the labels, by their weights, of each one's cross-entropy; of levels that of the true one.

    The rows of a label of several levels count by the weight of their level, as in competitions where severe
    findings count more. Probabilities are floored at 1.2e-7.
    """
    known_NK, y = ~np.isnan(y_NK), np.nan_to_num(y_NK).astype(np.float64)
    p = np.clip(p_NK.astype(np.float64), LOG_FLOOR, 1 - LOG_FLOOR)
    losses, weights, start = [], [], 0
    for width in cells.widths:
        at = slice(start, start + width)
        start += width
        known_N = known_NK[:, at].all(axis=1)
        if width == 1:
            loss_N = -(y[:, at] * np.log(p[:, at]) + (1 - y[:, at]) * np.log1p(-p[:, at])).sum(axis=1)
            weight_N = known_N.astype(np.float64)
        else:
            sums_N1 = p_NK[:, at].sum(axis=1, keepdims=True, dtype=np.float64)
            inside = np.clip(p_NK[:, at] / np.maximum(sums_N1, LOG_FLOOR), LOG_FLOOR, 1)
            loss_N = -(y[:, at] * np.log(inside)).sum(axis=1)
            weight_N = known_N * (y[:, at] @ np.array(cells.level_weights[at]))
        losses.append(loss_N * weight_N)
        weights.append(weight_N)
    loss_NL, weight_NL, share_L = np.stack(losses, 1), np.stack(weights, 1), np.array(cells.label_weights)

    def scores(w_BN: Reals) -> Reals:
        seen = w_BN @ weight_NL
        each = ratio(w_BN @ loss_NL, seen)
        return ratio((each * share_L).sum(-1), ((seen > 0) * share_L).sum(-1))

    return scores


def _each_column(
    of: Callable[[Floats, Bools], Callable[[Reals], Reals] | None], y_NK: Floats, p_NK: Floats
) -> list[Callable[[Reals], Reals] | None]:
    """The column's own function, restricted to the rows where the label is known."""
    columns: list[Callable[[Reals], Reals] | None] = []
    for y_N, p_N in zip(y_NK.T, p_NK.T, strict=True):
        rows = np.flatnonzero(~np.isnan(y_N))
        column = of(p_N[rows], y_N[rows] >= 0.5) if len(rows) else None
        columns.append(None if column is None else partial(_on_rows, column, rows))
    return columns


def _on_rows(column: Callable[[Reals], Reals], rows: Ints, w_NB: Reals) -> Reals:
    return column(w_NB[rows])


def auc(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Area under ROC, mean over the labels for which both answers occur; 0.5 where there is no such label."""
    return mean_of_columns(_each_column(area_under_roc, y_NK, p_NK), 0.5)


def micro_auc(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Area under ROC over all cells together."""
    row, column = np.nonzero(~np.isnan(y_NK))
    cell = area_under_roc(p_NK[row, column], y_NK[row, column] >= 0.5)
    return mean_of_columns([None if cell is None else partial(_on_rows, cell, row)], 0.5)


def mean_average_precision(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Average precision, mean over the labels that occur; 0 where none does."""
    return mean_of_columns(_each_column(average_precision, y_NK, p_NK), 0.0)


def ranking_average_precision(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Label-ranking average precision: for each label that holds, the share of labels ranked above it that
    hold, mean over a row's labels and then over rows; a row without any label, or with all, scores 1.

    As scikit-learn's `label_ranking_average_precision_score`. Unknown cells leave the ranking.
    """
    return _row_mean(np.array([_row_ranking(y_K, p_K) for y_K, p_K in zip(y_NK, p_NK, strict=True)]))


def _row_ranking(y_K: Floats, p_K: Floats) -> float:
    known = ~np.isnan(y_K)
    true, p = y_K[known] >= 0.5, p_K[known]
    if not true.any() or true.all():
        return 1.0
    above = p[None] >= p[true][:, None]  # equal ones rank together, at their last place
    return float(((above & true).sum(1) / above.sum(1)).mean())


def probabilistic_f1(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """F1 whose counts are sums of probabilities, mean over the labels that occur.

    Source: Yacouby & Axman, Probabilistic Extension of Precision, Recall, and F1 Score (2020).
    """
    known_NK, p = ~np.isnan(y_NK), p_NK.astype(np.float64)
    true_NK = _holds(y_NK)
    hit_NK, said_NK = np.where(true_NK, p, 0.0), np.where(known_NK, p, 0.0)

    def scores(w_BN: Reals) -> Reals:
        hits, said, true = w_BN @ hit_NK, w_BN @ said_NK, w_BN @ true_NK.astype(np.float64)
        return ratio(ratio(2 * hits, said + true).sum(-1), (true > 0).sum(-1))

    return scores


def partial_auc(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Area under ROC above a true positive rate of 0.8 (0 to 0.2), mean over labels where defined."""

    def score(y: Floats, p: Floats) -> float:
        areas = []
        for y_N, p_N in zip(y.T, p.T, strict=True):
            known = ~np.isnan(y_N)
            hit = y_N[known] >= 0.5
            if hit.any() and not hit.all():
                areas.append(_upper_area(hit, p_N[known]))
        return float(np.mean(areas)) if areas else 0.0

    return by_rows(score)(y_NK, p_NK)


def _upper_area(hit_N: Bools, p_N: Floats) -> float:
    """The area between the ROC curve and a true positive rate of `MIN_TPR`."""
    order = np.argsort(-p_N, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(p_N[order]) != 0, True])
    tpr = np.r_[0.0, np.cumsum(hit_N[order])[last] / hit_N.sum()]
    fpr = np.r_[0.0, np.cumsum(~hit_N[order])[last] / (~hit_N).sum()]
    at = int(np.argmax(tpr >= MIN_TPR))
    share = (MIN_TPR - tpr[at - 1]) / (tpr[at] - tpr[at - 1])
    start = fpr[at - 1] + share * (fpr[at] - fpr[at - 1])
    x, y = np.r_[start, fpr[at:]], np.r_[MIN_TPR, tpr[at:]] - MIN_TPR
    return float(np.trapezoid(y, x))


# Exclusive classes that are answered by a ranking, or by one class with a confidence.


def _rank(y_N: Ints, p_NC: Floats) -> Ints:
    """(N,) the rank of the true class, from 1."""
    true = p_NC[np.arange(len(y_N)), y_N][:, None]
    before = (p_NC == true) & (np.arange(p_NC.shape[1])[None] < y_N[:, None])
    return np.asarray(((p_NC > true) | before).sum(axis=1) + 1, dtype=np.int64)


def of_first(k: int, y_N: Ints, p_NC: Floats) -> OnWeights:
    """MAP@k of one true class a row: 1 / its rank, 0 below rank k; of equal ones the first ranks higher."""
    rank_N = _rank(y_N, p_NC)
    return _row_mean(np.where(rank_N <= k, 1.0 / rank_N, 0.0))


def within_first(k: int, y_N: Ints, p_NC: Floats) -> OnWeights:
    """Share of rows whose true class is among the k most probable ones."""
    return _row_mean((_rank(y_N, p_NC) <= k).astype(np.float64))


def global_average_precision(y_N: Ints, p_NC: Floats) -> OnWeights:
    """GAP, or micro AP: all rows in one ranking by the confidence of their answer.

    Source: Weyand et al., Google Landmarks Dataset v2 (CVPR 2020), section 5.1.
    """
    answer_N = p_NC.argmax(axis=1)
    order = np.argsort(-p_NC.max(axis=1), kind="stable")
    right_N = (answer_N == y_N)[order].astype(np.float64)

    def scores(w_BN: Reals) -> Reals:
        w = w_BN[:, order]
        precision = ratio(np.cumsum(w * right_N, axis=1), np.cumsum(w, axis=1))
        return ratio((w * right_N * precision).sum(axis=1), w.sum(axis=1))

    return scores


def positive(of: Callable[[Floats, Floats], OnWeights], y_N: Ints, p_NC: Floats) -> OnWeights:
    """A metric of one label for exclusive classes: the second of two classes is the one that holds.

    Of more classes each is a label, and the metric is the mean over them.
    """
    columns = [1] if p_NC.shape[1] == 2 else list(range(p_NC.shape[1]))
    y_NK = (y_N[:, None] == np.array(columns)).astype(np.float32)
    return of(y_NK, p_NC[:, columns])
