"""Metrics of values and of shares.

Owns their formulas. Does not own the registry (`core/metrics.py`). NaN of the truth are unknown: no formula
counts them. Several columns: the mean over columns. A column whose score is undefined, because its truth does
not vary, is left out.

Shape legend: N samples, K columns, B resamples; y_NK is the truth, p_NK are predictions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.core.metric_arithmetic import LOG_FLOOR, OnWeights, Reals, by_rows, ratio, spread
from pipeline.core.samples import Floats


def _column_means(values: Reals, known: Reals, finish: Callable[[Reals], Reals]) -> OnWeights:
    def scores(w_BN: Reals) -> Reals:
        seen = w_BN @ known
        return ratio((finish(ratio(w_BN @ values, seen)) * (seen > 0)).sum(-1), (seen > 0).sum(-1))

    return scores


def _cells(y_NK: Floats, p_NK: Floats) -> tuple[Reals, Reals, Reals]:
    """Truth and prediction with 0 where the truth is unknown, and which cells are known."""
    known = (~np.isnan(y_NK)).astype(np.float64)
    return np.nan_to_num(y_NK).astype(np.float64), p_NK.astype(np.float64) * known, known


def rmse(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Root of the mean squared error."""
    y, p, known = _cells(y_NK, p_NK)
    return _column_means((y - p) ** 2, known, np.sqrt)


def rmsle(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Root of the mean squared error of log(1 + value); negative values count as 0."""
    y, p, known = _cells(y_NK, p_NK)
    errors = np.log1p(np.maximum(y, 0)) - np.log1p(np.maximum(p, 0))
    return _column_means(errors**2, known, np.sqrt)


def mae(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean absolute error."""
    y, p, known = _cells(y_NK, p_NK)
    return _column_means(np.abs(y - p), known, lambda mean: mean)


def mape(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean absolute error as a share of the true value; values of 0 are left out."""
    y, p, known = _cells(y_NK, p_NK)
    known = known * (y != 0)
    return _column_means(ratio(np.abs(y - p), np.abs(y)) * known, known, lambda mean: mean)


def _moments(y_NK: Floats, p_NK: Floats) -> Callable[[Reals], tuple[Reals, ...]]:
    """(B, K) weighted means of truth and prediction, their variances, covariance, and squared error."""
    y, p, known = _cells(y_NK, p_NK)
    # Around a fixed centre: squares of large values would lose the digits of a small spread.
    centre = ratio(y.sum(0), known.sum(0))
    y, p = (y - centre) * known, (p - centre) * known
    parts = (y, p, y * y, p * p, y * p, (y - p) ** 2)

    def moments(w_BN: Reals) -> tuple[Reals, ...]:
        seen = w_BN @ known
        my, mp, yy, pp, yp, error = (ratio(w_BN @ part, seen) for part in parts)
        return spread(yy - my**2, yy), spread(pp - mp**2, pp), yp - my * mp, error

    return moments


def _defined_mean(score_BK: Reals, defined_BK: npt.NDArray[np.bool_]) -> Reals:
    defined = np.asarray(defined_BK, dtype=np.float64)
    return ratio((score_BK * defined).sum(-1), defined.sum(-1))


def r2(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Coefficient of determination: 1 minus squared error by variance of the truth; can be negative."""
    moments = _moments(y_NK, p_NK)

    def scores(w_BN: Reals) -> Reals:
        variance, _, _, error = moments(w_BN)
        return _defined_mean(1 - ratio(error, variance), variance > 0)

    return scores


def pearson(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Pearson's correlation; 0 for predictions that do not vary."""
    moments = _moments(y_NK, p_NK)

    def scores(w_BN: Reals) -> Reals:
        of_y, of_p, both, _ = moments(w_BN)
        return _defined_mean(ratio(both, np.sqrt(of_y * of_p)), of_y > 0)

    return scores


def spearman(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Pearson's correlation of ranks, ties sharing their mean rank."""
    from scipy.stats import rankdata

    def score(y: Floats, p: Floats) -> float:
        ranks_y, ranks_p = y.copy(), p.copy()
        for k in range(y.shape[1]):
            known = ~np.isnan(y[:, k])
            ranks_y[known, k], ranks_p[known, k] = rankdata(y[known, k]), rankdata(p[known, k])
        return float(pearson(ranks_y, ranks_p)(np.ones((1, len(y))))[0])

    return by_rows(score)(y_NK, p_NK)


def qwk(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Quadratic weighted kappa of values rounded to whole grades within the range of the truth.

    With grades as numbers, kappa is 2 cov / (var y + var p + (mean y - mean p)²), which weights of rows
    enter as moments. Source: Cohen, Weighted kappa (1968); the identity is Lin's concordance (1989).
    """
    known_NK = ~np.isnan(y_NK)
    ends = (np.where(known_NK, y_NK, far).astype(np.float64) for far in (np.inf, -np.inf))
    low, high = (end(each, axis=0) for end, each in zip((np.min, np.max), ends, strict=True))
    # A column without a known cell has no range, and is left out below.
    low, high = (np.where(known_NK.any(axis=0), at, 0.0) for at in (low, high))
    grades = np.clip(np.floor(p_NK.astype(np.float64) + 0.5), low, high)
    y, p, known = _cells(np.floor(y_NK + 0.5), grades.astype(np.float32))

    def scores(w_BN: Reals) -> Reals:
        seen = w_BN @ known
        my, mp, yy, pp, yp = (ratio(w_BN @ part, seen) for part in (y, p, y * y, p * p, y * p))
        below = yy - my**2 + pp - mp**2 + (my - mp) ** 2
        return _defined_mean(ratio(2 * (yp - my * mp), below), seen > 0)

    return scores


def cross_entropy(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean over rows of -Σ share · log(predicted share), which is floored at 1.2e-7."""
    loss_N = -(y_NK * np.log(np.clip(p_NK.astype(np.float64), LOG_FLOOR, 1))).sum(axis=1)
    return lambda w_BN: ratio(w_BN @ loss_N, w_BN.sum(axis=1))


def kl(y_NK: Floats, p_NK: Floats) -> OnWeights:
    """Mean over rows of the Kullback-Leibler divergence of the true shares from the predicted ones."""
    y = y_NK.astype(np.float64)
    own_N = (y * np.log(np.clip(y, LOG_FLOOR, 1))).sum(axis=1)
    crossed = cross_entropy(y_NK, p_NK)
    return lambda w_BN: crossed(w_BN) + ratio(w_BN @ own_N, w_BN.sum(axis=1))
