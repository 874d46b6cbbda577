"""Resampling of whole groups: the bootstrap, and the intervals and tests that are computed from its draws.

Photos of one person are not independent, so whole groups are always resampled. Owns the
bootstrap (how often each group was drawn), scores and intervals on its draws, the max-T factor for several
intervals at once, and sign flips. Does not own metrics (`core/metrics.py`), the verdict of a comparison
(`core/statistics.py`) or the seeds: each caller passes its own generator, so its draws do not depend on
other callers.

Bootstrap: G groups are drawn with replacement, and all rows of a group count as often as it was drawn.
Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), 3.8 (resampling clusters) and
2.3 (a resample of another size than the sample).

Sign flips: under "no difference" the sum of a group is as likely to be positive as negative, so flipping
the signs of whole groups gives the distribution of the largest studentised sum over all hypotheses. With
one hypothesis this is a permutation test, exact for symmetric groups; with several, the chance of any
false finding stays at 5 % (tests/core/test_grouptests.py: 7 photos a group).
Source: Cameron, Gelbach & Miller, Bootstrap-Based Improvements for Inference with Clustered Errors (2008),
Rademacher weights.

Max-T: several intervals hold at once if all are widened by one factor, the 95 % quantile of the largest
standardised deviation over all of them. Source: Westfall & Young, Resampling-Based Multiple Testing (1993),
single-step max-T.

Shape legend: N rows, C classes, G groups, B resamples, M sets of predictions, K hypotheses, P intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints, Strings, Truth
from pipeline.core.seeds import rng

Bools = npt.NDArray[np.bool_]

# A block of resamples holds about this many numbers (4 MB): memory stays flat for any N and C.
# 32 MB was slower: it leaves the processor's cache (AUC, 3,000 rows, 2,000 draws: 0.73 s against 0.45).
BLOCK_NUMBERS = 500_000
# Errors of the first kind that intervals and tests allow: 95 % intervals.
SIGNIFICANCE = 0.05
# Sign flips of one test.
FLIPS = 2000
# Rounding must not decide whether a draw reaches the observed sum.
SLACK = 1e-9


def numbered(groups_N: Strings) -> tuple[Ints, int]:
    """(N,) the index of each row's group, 0 to G-1 in the sorted order of the names; and G."""
    unique, at = np.unique(groups_N, return_inverse=True)
    return np.asarray(at, np.int64), len(unique)


def sums_by_group(values_NK: Reals, group_N: npt.NDArray[np.int64], n_groups: int) -> Reals:
    """(G, K) sums over the images of each group; `group_N` contains the indices 0 to G-1."""
    order = np.argsort(group_N, kind="stable")
    starts = np.searchsorted(group_N[order], np.arange(n_groups))
    sums = np.add.reduceat(np.asarray(values_NK, np.float64)[order], np.minimum(starts, len(order) - 1))
    counts = np.bincount(group_N, minlength=n_groups)
    return np.where(counts[:, None] > 0, sums, 0.0)


def times_drawn(generator: np.random.Generator, n_groups: int, draws: int, size: int | None = None) -> Ints:
    """(B, G) how often each group is drawn with replacement in each resample.

    Drawing in several calls gives the same as drawing in one.

    Args:
        generator: advanced by `draws` times `size` numbers.
        n_groups: G, at least 1.
        draws: number of resamples B, at least 1.
        size: groups of each resample; None: as many as there are.
    """
    drawn_BS = generator.integers(0, n_groups, (draws, size or n_groups))
    return np.stack([np.bincount(drawn_S, minlength=n_groups) for drawn_S in drawn_BS])


def times_in_blocks(
    generator: np.random.Generator, n_groups: int, draws: int, block: int, size: int | None = None
) -> Iterator[Ints]:
    """The rows of `times_drawn` in blocks of at most `block` rows, which limits the memory."""
    for start in range(0, draws, block):
        yield times_drawn(generator, n_groups, min(block, draws - start), size)


def times_multinomial(generator: np.random.Generator, n_groups: int, draws: int) -> Ints:
    """(B, G) draws from the same distribution as `times_drawn`, but with other random numbers.

    Kept apart because two figures (attention on the background, planted faults) have always been drawn
    like this: with `times_drawn` they would change, without being better.
    """
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), draws)


def row_weights(
    groups_N: Strings, draws: int, block: int, generator: np.random.Generator, size: int | None = None
) -> Iterator[Reals]:
    """Blocks of at most (block, N) weights: how often each row counts. The draws do not depend on `block`."""
    group_N, n_groups = numbered(groups_N)
    for times_BG in times_in_blocks(generator, n_groups, draws, block, size):
        yield times_BG[:, group_N].astype(np.float64)


def rescored(
    metric: Metric,
    y_N: Truth,
    sides: Sequence[Floats],
    groups_N: Strings,
    draws: int,
    generator: np.random.Generator,
    size: int | None = None,
) -> Reals:
    """(M, draws) the score of each set of predictions on each resample; all sets share the resamples.

    `sides`: (N, C) predictions of the same rows; `size`: groups of each resample; None: as many as there are.
    """
    assert draws > 0, "no resamples asked for"
    assert size is None or size > 0, "resamples without a group"
    assert len(groups_N) == len(y_N), f"{len(groups_N)} groups for {len(y_N)} labels"
    resamplers = [metric.resampler(y_N, p_NC) for p_NC in sides]
    columns = sides[0].shape[1]
    # A confusion has a cell for each pair of classes.
    cells = columns if metric.on_margins is not None else columns**2
    block = max(1, BLOCK_NUMBERS // max(len(y_N), cells))
    weights = row_weights(groups_N, draws, block, generator, size)
    scores = [np.stack([score(w_BN) for score in resamplers]) for w_BN in weights]
    return np.concatenate(scores, axis=1)


def resampled(
    metric: Metric, y_N: Truth, sides: Sequence[Floats], groups_N: Strings, draws: int, seed: int
) -> Reals:
    """`rescored` with the draws that all intervals and comparisons of scores use for this seed."""
    return rescored(metric, y_N, sides, groups_N, draws, rng(seed, "group bootstrap"))


def percentile_interval(
    drawn: Reals, outside: float = SIGNIFICANCE, axis: int | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper percentile of the draws.

    Args:
        drawn: of any shape.
        outside: share of the draws beyond the two ends together, 0 to 1; 0.05: a 95 % interval.
        axis: along which the draws lie; None: all of them, and the ends are single numbers.
    """
    low, high = np.quantile(drawn, (outside / 2, 1 - outside / 2), axis=axis)
    return low, high


def max_t_factor(off_PB: Reals, error_P: Reals) -> float:
    """The number of standard errors to either side with which 95 % of the draws lie in all P intervals.

    Args:
        off_PB: draws of each estimate, less their mean.
        error_P: standard errors; an estimate with 0 does not vary and is left out.
    """
    some_P1 = error_P[:, None] > 0
    scaled_PB = np.divide(off_PB, error_P[:, None], out=np.zeros_like(off_PB), where=some_P1)
    return float(np.quantile(np.abs(scaled_PB).max(axis=0), 1 - SIGNIFICANCE))


@dataclass(frozen=True)
class GroupTest:
    """The result of a sign-flip test for each hypothesis.

    Args:
        z_K: studentised sums; 0 where no group differs.
        p_K: probability of a sum as large by chance in any of the K, i.e. corrected.
        factor: standard errors that an interval takes on either side, so that all K hold at once.
        groups_K: groups that are not zero.
    """

    z_K: Reals
    p_K: Reals
    factor: float
    groups_K: npt.NDArray[np.int64]

    @property
    def found_K(self) -> Bools:
        """Which hypotheses are significant at 5 %, corrected for all K."""
        return self.p_K <= SIGNIFICANCE


def signs(generator: np.random.Generator, draws: int, n_groups: int, dtype: npt.DTypeLike = np.int8) -> Reals:
    """(B, G) random signs, -1 or +1, equally likely. They depend on the integer type as well as the seed."""
    drawn_BG = generator.integers(0, 2, (draws, n_groups), dtype=dtype)
    return np.asarray(drawn_BG * 2.0 - 1, np.float64)


def sign_flips(
    sums_GK: Reals, seed: int, name: str, side: Literal["two", "above"] = "two", draws: int = FLIPS
) -> GroupTest:
    """Test whether each column's sum is zero, all columns at once.

    Args:
        sums_GK: what each group adds to each hypothesis; mean 0 and symmetric if there is nothing.
        seed: of the flips.
        name: of the test; others get other flips.
        side: two: sums on either side count; above: only sums above 0.
        draws: flips B.
    """
    spread_K = np.sqrt((sums_GK**2).sum(axis=0))
    unit_GK = sums_GK / np.where(spread_K > 0, spread_K, 1.0)
    z_K = unit_GK.sum(axis=0)
    seen_K = np.abs(z_K) if side == "two" else z_K
    tops_B = _largest(unit_GK, rng(seed, "sign flips", name), side, draws)
    reached_K = draws - np.searchsorted(np.sort(tops_B), seen_K - SLACK, side="left")
    p_K = np.where(spread_K > 0, (1 + reached_K) / (1 + draws), 1.0)
    factor = float(np.quantile(tops_B, 1 - SIGNIFICANCE, method="higher")) if len(tops_B) else float("nan")
    return GroupTest(z_K, p_K, factor, (sums_GK != 0).sum(axis=0).astype(np.int64))


def _largest(unit_GK: Reals, generator: np.random.Generator, side: str, draws: int) -> Reals:
    """(B,) the largest studentised sum of each draw."""
    n_groups, n_tests = unit_GK.shape
    if not n_groups or not n_tests:
        return np.zeros(0 if not n_tests else draws)
    block = max(1, BLOCK_NUMBERS // max(n_groups, n_tests))
    tops = []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn_BK = signs(generator, size, n_groups) @ unit_GK
        tops.append((np.abs(drawn_BK) if side == "two" else drawn_BK).max(axis=1))
    return np.concatenate(tops)
