"""Is it noise? Intervals and paired comparisons that resample whole groups.

Owns the group bootstrap. Does not own the metrics (`core/metrics.py`), nor corrections for the best
of many (`core/statistics.py`): a comparison here is one that was planned.

Photos of one person are no independent evidence, so a resample draws groups with replacement, and
all rows of a group count as often as it was drawn. Both sides of a comparison see the same draws.

A score gets the percentile interval, a difference the normal one (1.96 bootstrap standard errors): of six
ways these held the truth best where groups are few, and from 300 groups on they are as good as any
(`benchmarks/honesty.py`, 2,000 data sets a row; figures in docs/log.md).

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 12 and 13; Davison &
Hinkley, Bootstrap Methods and their Application (1997), 3.8, resampling clusters.

Shape legend: N samples, C classes, G groups, B resamples of one block, M sets of predictions.

Many arms compared at once, several seeds an arm: intervals that hold for all of them together.

Owns the correction for the number of comparisons. Does not own one comparison (`core/statistics.py`).

The best of 20 identical arms looks better than a planned comparison allows (measured: 9.9 % of trials
instead of 2.5 % for 10 arms). So all intervals are widened by one factor, the 95 % quantile of the
largest standardised deviation over all comparisons (max-T), which knows that arms share their images
and their baseline. Two things vary: which groups were photographed (whole groups are resampled, the
same for every arm), and which seed trained (the spread between an arm's seeds, pooled over arms, since
three seeds alone say little about one arm).

Source: Westfall & Young, Resampling-Based Multiple Testing (1993), single-step max-T; Dunnett, A
Multiple Comparison Procedure for Comparing Several Treatments with a Control (JASA 1955).

Shape legend: N samples, C classes, A arms, P comparisons, B resamples, M = A × seeds.

Is it chance? Tests of many sums at once that flip whole groups, corrected for how many were tried.

Owns the sign-flip test with the max-T correction. Does not own what is summed (`truth.py`, `slices.py`,
`calibration.py`) nor the bootstrap of a metric (`core/statistics.py`).

Photos of one person fail together, so an image is no independent evidence: each group gives one number a
hypothesis, and under "no difference" its sign is as likely + as −. Flipping the signs of whole groups
gives the distribution of the largest studentised sum over all hypotheses, and a sum counts only beyond
its 95 % quantile. With one hypothesis this is a permutation test that is exact for symmetric groups;
with several the chance of any false finding stays at 5 % (tests/test_analyze_grouptests.py: 7 photos a
group).

Sources: Westfall & Young, Resampling-Based Multiple Testing (1993), single-step max-T; Cameron, Gelbach
& Miller, Bootstrap-Based Improvements for Inference with Clustered Errors (2008), Rademacher weights.

Shape legend: N images, G groups, K hypotheses, B draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.metrics import Metric, Reals
from pipeline.core.predictions import Comparison, Interval
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng

# Measured coverage of these 95 % intervals of macro F1 (simulated: 18 classes, 7 photos a group),
# one score / a difference: 84 / 80 % at 12 groups, 88 / 90 % at 24, 89 / 93 % at 75, 89 / 95 % at 150,
# 94 / 94 % at 300. Below this many groups a note says so.
ENOUGH_GROUPS = 300

# A block of resamples holds about this many numbers (4 MB): memory stays flat for any N and C.
# 32 MB was slower: it leaves the processor's cache (AUC, 3,000 rows, 2,000 draws: 0.73 s against 0.45).
BLOCK_NUMBERS = 500_000

PERCENTILES = (2.5, 97.5)
STANDARD_ERRORS = 1.96


def interval(metric: Metric, y_N: Ints, p_NC: Floats, groups_N: Strings, draws: int, seed: int) -> Interval:
    """The score on all samples with its 95 % percentile interval over groups.

    Args:
        metric: what is scored.
        y_N: true class index.
        p_NC: probabilities of the same rows.
        groups_N: the group of each row; whole groups are resampled.
        draws: number of resamples.
        seed: the same seed gives the same resamples for the same groups.
    """
    scores_MB = resampled(metric, y_N, (p_NC,), groups_N, draws, seed)
    low, high = np.percentile(scores_MB[0], PERCENTILES)
    n_groups = len(np.unique(groups_N))
    return Interval(metric.score(y_N, p_NC), float(low), float(high), n_groups, few_groups_note(n_groups))


def compare(
    metric: Metric,
    y_N: Ints,
    p_new_NC: Floats,
    p_old_NC: Floats,
    groups_N: Strings,
    draws: int,
    seed: int,
) -> Comparison:
    """Whether new predictions beat old ones on the same rows, by a paired group bootstrap.

    One planned comparison: the winner of many needs a correction that this does not make.

    Args:
        metric: what is scored; the delta is positive when new is better, for losses too.
        y_N: true class index.
        p_new_NC: probabilities of the new predictions, for the same rows.
        p_old_NC: those of the old ones, same rows in the same order.
        groups_N: the group of each row.
        draws: number of resamples.
        seed: of the resamples.

    Returns:
        The verdict is "better" or "worse" when the 95 % interval excludes 0, else "can't tell". In
        `p_better` a resample in which both score equally counts half.
    """
    scores_MB = resampled(metric, y_N, (p_new_NC, p_old_NC), groups_N, draws, seed)
    gains_B = metric.sign * (scores_MB[0] - scores_MB[1])
    delta = metric.sign * (metric.score(y_N, p_new_NC) - metric.score(y_N, p_old_NC))
    reach = STANDARD_ERRORS * float(gains_B.std())
    low, high = delta - reach, delta + reach
    n_groups = len(np.unique(groups_N))
    # One group gives equal resamples and an interval without width, which would exclude 0.
    tells = n_groups > 1
    verdict = "better" if tells and low > 0 else "worse" if tells and high < 0 else "can't tell"
    return Comparison(
        delta=delta,
        low=low,
        high=high,
        p_better=float(np.mean((gains_B > 0) + 0.5 * (gains_B == 0))),
        n_groups=n_groups,
        verdict=verdict,
        note=few_groups_note(n_groups),
    )


def groups_to_tell(comparison: Comparison) -> int | None:
    """About how many groups it would take for the interval of this delta to exclude 0.

    The interval's width shrinks with the square root of the number of groups; the delta itself is
    taken as it is, so this is a rough guide. None when there is no delta, or no width to shrink.
    """
    delta = comparison.delta
    reach = delta - comparison.low if delta > 0 else comparison.high - delta
    if delta == 0 or comparison.n_groups < 2:
        return None
    return max(2, math.ceil(comparison.n_groups * (max(reach, 0.0) / abs(delta)) ** 2))


def few_groups_note(n_groups: int) -> str:
    """Why an interval over so few groups is not to be trusted, or nothing."""
    if n_groups >= ENOUGH_GROUPS:
        return ""
    return f"{n_groups} group{'' if n_groups == 1 else 's'}: interval too narrow"


def resampled(
    metric: Metric, y_N: Ints, sides: Sequence[Floats], groups_N: Strings, draws: int, seed: int
) -> Reals:
    """(M, draws) the score of each set of predictions on each resample, all on the same resamples."""
    assert draws > 0, "no resamples asked for"
    assert len(groups_N) == len(y_N), f"{len(groups_N)} groups for {len(y_N)} labels"
    resamplers = [metric.resampler(y_N, p_NC) for p_NC in sides]
    block = max(1, BLOCK_NUMBERS // max(len(y_N), sides[0].shape[1] ** 2))
    scores = [[score(w_BN) for score in resamplers] for w_BN in _weights(groups_N, draws, seed, block)]
    return np.concatenate([np.stack(of_block) for of_block in scores], axis=1)


def _weights(groups_N: Strings, draws: int, seed: int, block: int) -> Iterator[Reals]:
    """Blocks of (B, N) weights: how often each row's group was drawn. Blocks do not change draws."""
    unique, group_N = np.unique(groups_N, return_inverse=True)
    n_groups = len(unique)
    generator = rng(seed, "group bootstrap")
    for start in range(0, draws, block):
        drawn_BG = generator.integers(0, n_groups, (min(block, draws - start), n_groups))
        times = np.stack([np.bincount(drawn_G, minlength=n_groups) for drawn_G in drawn_BG])
        yield times[:, group_N].astype(np.float64)


INTERVAL_LEVEL = 95.0
# How much of the seeds' disagreement image by image is taken off their spread, since the resampled groups
# show it already. Both are estimates: with all of it taken off, 4.5 and 7 % of two times 200 sets of 20
# identical arms held a false winner (120 groups, 3 seeds), with none of it 0 %, with half of it 1.3 %;
# tests/test_core_arms.py repeats this.
SHOWN_BY_GROUPS = 0.5


@dataclass(frozen=True)
class ArmScores:
    """How good each arm is, and how the planned pairs compare.

    Args:
        mean_A: score, mean over the arm's seeds.
        spread_A: standard deviation between the arm's seeds; NaN for one seed.
        comparisons: one a pair, in their order; 95 % of all families of intervals hold every true
            difference at once.
        factor: standard errors on either side; 1.96 for one large planned comparison.
    """

    mean_A: Reals
    spread_A: Reals
    comparisons: tuple[Comparison, ...]
    factor: float


def compare_arms(
    metric: Metric,
    y_N: Ints,
    arms: Sequence[Sequence[Floats]],
    pairs: Sequence[tuple[int, int]],
    groups_N: Strings,
    draws: int,
    seed: int,
) -> ArmScores:
    """Compare pairs of arms on the same rows, corrected for how many pairs there are.

    Args:
        metric: what is scored; a delta is positive when the first of a pair is better.
        y_N: true class index.
        arms: (N, C) probabilities of each seed of each arm, all for the same rows.
        pairs: (new arm, old arm), at least one.
        groups_N: the group of each row.
        draws: number of resamples.
        seed: of the resamples.
    """
    assert pairs, "nothing to compare"
    sizes_A = np.array([len(arm) for arm in arms])
    of_M = np.repeat(np.arange(len(arms)), sizes_A)
    every = [p_NC for arm in arms for p_NC in arm]
    score_M = metric.sign * np.array([metric.score(y_N, p_NC) for p_NC in every])
    drawn_MB = metric.sign * resampled(metric, y_N, every, groups_N, draws, seed)
    mean_A, mean_AB = _means(score_M[:, None], of_M)[:, 0], _means(drawn_MB, of_M)
    noise_AB, spread = _seed_noise(score_M, drawn_MB, of_M, seed)
    new, old = (list(side) for side in zip(*pairs, strict=True))
    delta_P = mean_A[new] - mean_A[old]
    off_PB = mean_AB[new] - mean_AB[old] - delta_P[:, None] + noise_AB[new] - noise_AB[old]
    # Centred: the bootstrap's own bias is no evidence for either arm.
    off_PB -= off_PB.mean(axis=1, keepdims=True)
    error_P = off_PB.std(axis=1)
    largest_B = np.abs(
        np.divide(off_PB, error_P[:, None], out=np.zeros_like(off_PB), where=error_P[:, None] > 0)
    )
    factor = float(np.percentile(largest_B.max(axis=0), INTERVAL_LEVEL))
    n_groups = len(np.unique(groups_N))
    notes = [
        few_groups_note(n_groups),
        *(["one seed an arm: its luck is not in the interval"] * (not spread)),
    ]
    note = "; ".join(text for text in notes if text)
    comparisons = [
        _comparison(float(d), factor * float(e), off_B, n_groups, note)
        for d, e, off_B in zip(delta_P, error_P, off_PB, strict=True)
    ]
    spread_A = np.array(
        [np.std(score_M[of_M == a], ddof=1) if n > 1 else np.nan for a, n in enumerate(sizes_A)]
    )
    return ArmScores(metric.sign * mean_A, spread_A, tuple(comparisons), factor)


def _means(value_MB: Reals, of_M: Ints) -> Reals:
    """(A, B) the mean over each arm's seeds."""
    return np.stack([value_MB[of_M == a].mean(axis=0) for a in range(int(of_M.max()) + 1)])


def _seed_noise(score_M: Reals, drawn_MB: Reals, of_M: Ints, seed: int) -> tuple[Reals, bool]:
    """(A, B) draws of how far an arm's mean lies from that of endless seeds; whether it is known.

    Mostly what the resampled groups do not already show: two seeds also differ because each errs on
    other images, and that part varies with the images drawn.
    """
    sizes_A, draws = np.bincount(of_M), drawn_MB.shape[1]
    freedom = int((sizes_A - 1).sum())
    if freedom == 0:
        return np.zeros((len(sizes_A), draws)), False
    mean_A = _means(score_M[:, None], of_M)[:, 0]
    variance = float(((score_M - mean_A[of_M]) ** 2).sum()) / freedom
    by_image = float((drawn_MB - _means(drawn_MB, of_M)[of_M]).var(axis=1).sum()) / freedom
    generator = rng(seed, "seed noise")
    # The variance is itself estimated from few seeds: its chi-square makes the tails of Student's t.
    total_B = variance * freedom / generator.chisquare(freedom, draws)
    sigma_B = np.sqrt(np.maximum(total_B - SHOWN_BY_GROUPS * by_image, 0.0))
    normal_AB = generator.normal(size=(len(sizes_A), draws))
    return normal_AB * sigma_B / np.sqrt(sizes_A)[:, None], True


def _comparison(delta: float, reach: float, off_B: Reals, n_groups: int, note: str) -> Comparison:
    low, high = delta - reach, delta + reach
    tells = n_groups > 1
    verdict = "better" if tells and low > 0 else "worse" if tells and high < 0 else "can't tell"
    gains_B = delta + off_B
    p_better = float(np.mean((gains_B > 0) + 0.5 * (gains_B == 0)))
    return Comparison(delta, low, high, p_better, n_groups, verdict, note)


def compare_tried(
    metric: Metric,
    y_N: Ints,
    sides: tuple[Floats, Floats],
    groups_N: Strings,
    draws: int,
    seed: int,
    tries: int,
) -> Comparison:
    """One of several attempts, each of which is kept if it is better: an interval for all of them at once.

    Attempts that follow one another cannot be resampled together, as each starts from what was kept
    before. So the error is shared out: each has 1/`tries` of the 5 % (Bonferroni).

    Args:
        metric: what is scored; the delta is positive when new is better.
        y_N: true class index.
        sides: new and old (N, C) probabilities of the same rows.
        groups_N: the group of each row; whole groups are resampled.
        draws: number of resamples.
        seed: of the resamples.
        tries: how many attempts there are, ≥ 1.
    """
    drawn_MB = metric.sign * resampled(metric, y_N, sides, groups_N, draws, seed)
    delta = metric.sign * (metric.score(y_N, sides[0]) - metric.score(y_N, sides[1]))
    off_B = drawn_MB[0] - drawn_MB[1]
    off_B = off_B - off_B.mean()
    reach = float(np.percentile(np.abs(off_B), 100 - (100 - INTERVAL_LEVEL) / tries))
    n_groups = len(np.unique(groups_N))
    return _comparison(delta, reach, off_B, n_groups, few_groups_note(n_groups))


Bools = npt.NDArray[np.bool_]

SIGNIFICANCE = 0.05
DRAWS = 2000
# A block of draws holds about this many numbers (4 MB).
# Rounding must not decide whether a draw reaches the observed sum.
SLACK = 1e-9


@dataclass(frozen=True)
class GroupTest:
    """What flipping groups said of each hypothesis.

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
        """Which are more than chance at 5 %, all K together."""
        return self.p_K <= SIGNIFICANCE


def sums_by_group(values_NK: Reals, group_N: npt.NDArray[np.int64], n_groups: int) -> Reals:
    """(G, K) sums over the images of each group; `group_N` holds 0 … G-1."""
    order = np.argsort(group_N, kind="stable")
    starts = np.searchsorted(group_N[order], np.arange(n_groups))
    sums = np.add.reduceat(np.asarray(values_NK, np.float64)[order], np.minimum(starts, len(order) - 1))
    counts = np.bincount(group_N, minlength=n_groups)
    return np.where(counts[:, None] > 0, sums, 0.0)


def sign_flips(
    sums_GK: Reals,
    seed: int,
    name: str,
    side: Literal["two", "above"] = "two",
    draws: int = DRAWS,
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
    tops_B = _tops(unit_GK, rng(seed, "sign flips", name), side, draws)
    reached_K = draws - np.searchsorted(np.sort(tops_B), seen_K - SLACK, side="left")
    p_K = np.where(spread_K > 0, (1 + reached_K) / (1 + draws), 1.0)
    factor = float(np.quantile(tops_B, 1 - SIGNIFICANCE, method="higher")) if len(tops_B) else float("nan")
    return GroupTest(z_K, p_K, factor, (sums_GK != 0).sum(axis=0).astype(np.int64))


def _tops(unit_GK: Reals, generator: np.random.Generator, side: str, draws: int) -> Reals:
    """(B,) the largest studentised sum of each draw."""
    n_groups, n_tests = unit_GK.shape
    if not n_groups or not n_tests:
        return np.zeros(0 if not n_tests else draws)
    block = max(1, BLOCK_NUMBERS // max(n_groups, n_tests))
    tops = []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        signs_BG = generator.integers(0, 2, (size, n_groups), dtype=np.int8) * 2 - 1
        drawn_BK = signs_BG.astype(np.float64) @ unit_GK
        tops.append((np.abs(drawn_BK) if side == "two" else drawn_BK).max(axis=1))
    return np.concatenate(tops)


def numbered(groups_N: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.int64], int]:
    """Groups as 0 … G-1, and G."""
    unique, at = np.unique(groups_N, return_inverse=True)
    return np.asarray(at, np.int64), len(unique)
