"""Intervals of a score, comparisons of predictions, and the expected gap to a public score.

Owns the interval of one score; the verdicts of comparisons: of two planned sides, of many arms at once with
several seeds each, and of attempts that follow one another; and the spread of *public − OOF*, and of the
difference of two public scores, by chance alone. Does not own the draws or their arithmetic
(`core/group_resampling.py`), the metrics (`core/metrics.py`), nor the meaning of a gap
(`submit/gap/diagnosis.py`).

Both sides of a comparison see the same resamples of whole groups. A score gets the percentile interval, a
difference the normal one (1.96 bootstrap standard errors): of six ways these held the truth best where groups
are few, and from 300 groups on they are as good as any (`benchmarks/honesty.py`, 2,000 data sets a row;
figures in docs/log.md). Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 12 and
13.

Many arms: the best of 20 identical arms looks better than a planned comparison allows (measured: 9.9 % of
trials instead of 2.5 % for 10 arms). So all intervals are widened by one factor (max-T), which knows that
arms share their images and their baseline. Two things vary: which groups were photographed (whole groups are
resampled, the same for every arm), and which seed trained (the spread between an arm's seeds, pooled over
arms, since three seeds alone say little about one arm). Source: Dunnett, A Multiple Comparison Procedure for
Comparing Several Treatments with a Control (JASA 1955).

Public scores: the OOF score is computed on G groups and the public score on g other groups of the same kind,
so both are drawn independently from the out-of-fold predictions, whole groups with replacement. Source:
Davison & Hinkley, Bootstrap Methods and their Application (1997), 3.8 (clusters) and 2.3 (a resample of
another size than the sample).

Shape legend: N samples, C classes, G groups, g public groups, A arms, P comparisons, B resamples, M sets of
predictions (A × seeds, or one per submission).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.group_resampling import (
    SIGNIFICANCE,
    max_t_factor,
    percentile_interval,
    resampled,
    rescored,
)
from pipeline.core.language import joined
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import FEW_GROUPS, NOTES, ONE_SEED, Comparison, Interval
from pipeline.core.samples import Floats, Ints, Strings, Truth
from pipeline.core.seeds import rng

# Measured coverage of these 95 % intervals of macro F1 (simulated: 18 classes, 7 photos a group),
# one score / a difference: 84 / 80 % at 12 groups, 88 / 90 % at 24, 89 / 93 % at 75, 89 / 95 % at 150,
# 94 / 94 % at 300. Below this many groups a note says so.
ENOUGH_GROUPS = 300

# How far a normal 95 % interval reaches on either side.
STANDARD_ERRORS = 1.96
# How much of the seeds' disagreement image by image is taken off their spread, since the resampled groups
# show it already. Both are estimates: with all of it taken off, 4.5 and 7 % of two times 200 sets of 20
# identical arms held a false winner (120 groups, 3 seeds), with none of it 0 %, with half of it 1.3 %;
# tests/core/test_arms.py repeats this.
SHOWN_BY_GROUPS = 0.5


def interval(metric: Metric, y_N: Truth, p_NC: Floats, groups_N: Strings, draws: int, seed: int) -> Interval:
    """The score on all samples with its 95 % percentile interval, whole groups resampled.

    The same seed gives the same resamples for the same groups.
    """
    scores_MB = resampled(metric, y_N, (p_NC,), groups_N, draws, seed)
    low, high = percentile_interval(scores_MB[0])
    n_groups = len(np.unique(groups_N))
    return Interval(metric.score(y_N, p_NC), float(low), float(high), n_groups, few_groups_note(n_groups))


def compare(
    metric: Metric, y_N: Truth, p_new_NC: Floats, p_old_NC: Floats, groups_N: Strings, draws: int, seed: int
) -> Comparison:
    """Whether new predictions are better than old ones on the same rows, by a paired group bootstrap.

    This is for one planned comparison; it makes no correction for choosing the best of many. The delta is
    positive when new is better, for losses too.

    Returns:
        The verdict is "better" or "worse" when the 95 % interval excludes 0, else "can't tell". In
        `p_better` a resample in which both score equally counts half.
    """
    scores_MB = resampled(metric, y_N, (p_new_NC, p_old_NC), groups_N, draws, seed)
    gains_B = metric.sign * (scores_MB[0] - scores_MB[1])
    delta = metric.sign * (metric.score(y_N, p_new_NC) - metric.score(y_N, p_old_NC))
    reach = STANDARD_ERRORS * float(gains_B.std())
    n_groups = len(np.unique(groups_N))
    return comparison(
        delta, (delta - reach, delta + reach), gains_B, n_groups, few_groups_note(n_groups), n_groups > 1
    )


def comparison(
    delta: float, ends: tuple[float, float], gains_B: Reals, n_groups: int, note: str = "", tells: bool = True
) -> Comparison:
    """A comparison with its verdict: "better" or "worse" if its interval excludes 0, else "can't tell".

    Args:
        delta: new minus old, signed so that a positive one is an improvement.
        ends: of its 95 % interval.
        gains_B: draws of `delta`; a draw of exactly 0 counts half in `p_better`.
        n_groups: how many groups were resampled.
        note: why it is unreliable, or empty.
        tells: False: the interval is not evidence, whatever it excludes. One group gives equal resamples
            and an interval without width, which would exclude 0.
    """
    low, high = ends
    verdict = "better" if tells and low > 0 else "worse" if tells and high < 0 else "can't tell"
    p_better = float(np.mean((gains_B > 0) + 0.5 * (gains_B == 0)))
    return Comparison(delta, low, high, p_better, n_groups, verdict, note)


def groups_to_tell(comparison: Comparison) -> int | None:
    """About how many groups are needed until the interval of this delta excludes 0.

    The interval's width shrinks with the square root of the number of groups; the delta itself is
    taken as it is, so this is a rough guide. None when there is no delta, or no width to shrink.
    """
    delta = comparison.delta
    reach = delta - comparison.low if delta > 0 else comparison.high - delta
    if delta == 0 or comparison.n_groups < 2:
        return None
    return max(2, math.ceil(comparison.n_groups * (max(reach, 0.0) / abs(delta)) ** 2))


def few_groups_note(n_groups: int) -> str:
    """Why an interval over so few groups is unreliable; empty if there are enough groups."""
    if n_groups >= ENOUGH_GROUPS:
        return ""
    return FEW_GROUPS.format(n=n_groups)


@dataclass(frozen=True)
class ArmScores:
    """The score of each arm, and the planned comparisons of pairs.

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
    y_N: Truth,
    arms: Sequence[Sequence[Floats]],
    pairs: Sequence[tuple[int, int]],
    groups_N: Strings,
    draws: int,
    seed: int,
) -> ArmScores:
    """Compare pairs of arms on the same rows, corrected for how many pairs there are.

    `arms`: (N, C) probabilities of each seed of each arm; `pairs`: (new arm, old arm), at least one. A delta
    is positive when new is better.
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
    factor = max_t_factor(off_PB, error_P)
    n_groups = len(np.unique(groups_N))
    notes = [few_groups_note(n_groups), *([ONE_SEED] * (not spread))]
    note = joined(NOTES, (text for text in notes if text))
    comparisons = [
        _widened(float(d), factor * float(e), off_B, n_groups, note)
        for d, e, off_B in zip(delta_P, error_P, off_PB, strict=True)
    ]
    spread_A = np.array(
        [np.std(score_M[of_M == a], ddof=1) if n > 1 else np.nan for a, n in enumerate(sizes_A)]
    )
    return ArmScores(metric.sign * mean_A, spread_A, tuple(comparisons), factor)


def compare_tried(
    metric: Metric,
    y_N: Truth,
    sides: tuple[Floats, Floats],
    groups_N: Strings,
    draws: int,
    seed: int,
    tries: int,
) -> Comparison:
    """Compare one of several attempts, each of which is kept if it is better; corrected for their number.

    Attempts that follow one another cannot be resampled together, as each starts from what was kept
    before. So the error is shared out: each has 1/`tries` of the 5 % (Bonferroni). `sides`: new and old
    (N, C) probabilities of the same rows; the delta is positive when new is better.
    """
    drawn_MB = metric.sign * resampled(metric, y_N, sides, groups_N, draws, seed)
    delta = metric.sign * (metric.score(y_N, sides[0]) - metric.score(y_N, sides[1]))
    off_B = drawn_MB[0] - drawn_MB[1]
    off_B = off_B - off_B.mean()
    reach = float(np.percentile(np.abs(off_B), 100 - 100 * SIGNIFICANCE / tries))
    n_groups = len(np.unique(groups_N))
    return _widened(delta, reach, off_B, n_groups, few_groups_note(n_groups))


def _means(value_MB: Reals, of_M: Ints) -> Reals:
    """(A, B) the mean over each arm's seeds."""
    return np.stack([value_MB[of_M == a].mean(axis=0) for a in range(int(of_M.max()) + 1)])


def _seed_noise(score_M: Reals, drawn_MB: Reals, of_M: Ints, seed: int) -> tuple[Reals, bool]:
    """(A, B) draws of an arm's mean minus the mean over infinitely many seeds; and whether it is known.

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


def _widened(delta: float, reach: float, off_B: Reals, n_groups: int, note: str) -> Comparison:
    """A comparison whose interval reaches equally far on either side; `off_B` are centred draws."""
    return comparison(delta, (delta - reach, delta + reach), delta + off_B, n_groups, note, n_groups > 1)


@dataclass(frozen=True)
class Band:
    """The range of public − OOF in 95 % of cases if nothing is wrong, as a plain difference of scores.

    Args:
        low, high: its ends; `low` may lie above 0 where few groups lift the metric.
        sd: standard deviation of the difference.
        groups: of the public set that it is for.
    """

    low: float
    high: float
    sd: float
    groups: int

    @property
    def middle(self) -> float:
        """The expected difference: not quite 0 for metrics that depend on the number of images."""
        return (self.low + self.high) / 2

    def holds(self, gap: float) -> bool:
        """Whether `gap`, a value of public − OOF, is inside the band, i.e. can be chance."""
        return self.low <= gap <= self.high


def gap_draws(
    metric: Metric, y_N: Truth, p_NC: Floats, groups_N: Strings, public_groups: int, draws: int, seed: int
) -> Reals:
    """(B,) draws of public − OOF if both scores are computed on samples of the same groups.

    `p_NC` are out-of-fold probabilities; the public set has `public_groups` ≥ 1 groups.
    """
    here = len(np.unique(groups_N))
    public_B, own_B = (
        rescored(metric, y_N, (p_NC,), groups_N, draws, rng(seed, "public noise", side), size)[0]
        for side, size in (("public", public_groups), ("own", here))
    )
    return np.asarray(public_B - own_B)


def band_of(draws_B: Reals, public_groups: int) -> Band:
    """The 95 % band of the draws of `gap_draws`."""
    low, high = (float(end) for end in percentile_interval(draws_B))
    return Band(low, high, float(draws_B.std()), public_groups)


def band_of_interval(low: float, high: float, groups: int, public_groups: int) -> Band:
    """The same band from a score's 95 % interval alone, for a score without predictions.

    The standard error of a score falls with the square root of the number of groups, of which the OOF score
    has `groups` ≥ 1.
    """
    own = abs(high - low) / (2 * STANDARD_ERRORS)
    sd = own * math.sqrt(1 + groups / public_groups)
    return Band(-STANDARD_ERRORS * sd, STANDARD_ERRORS * sd, sd, public_groups)


def public_spread(
    metric: Metric,
    y_N: Truth,
    sides: Sequence[Floats],
    groups_N: Strings,
    public_groups: int,
    draws: int,
    seed: int,
) -> Reals:
    """(M, M) standard deviation of the difference of two public scores, both on the same public images.

    `sides`: (N, C) probabilities of each submission for the same rows.
    """
    generator = rng(seed, "public noise", "public")
    scores_MB = rescored(metric, y_N, sides, groups_N, draws, generator, public_groups)
    return np.asarray((scores_MB[:, None] - scores_MB[None]).std(axis=2))
