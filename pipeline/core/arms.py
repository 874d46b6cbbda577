"""Many arms compared at once, several seeds an arm: intervals that hold for all of them together.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng
from pipeline.core.statistics import few_groups_note, resampled

LEVEL = 95.0
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
    factor = float(np.percentile(largest_B.max(axis=0), LEVEL))
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
    reach = float(np.percentile(np.abs(off_B), 100 - (100 - LEVEL) / tries))
    n_groups = len(np.unique(groups_N))
    return _comparison(delta, reach, off_B, n_groups, few_groups_note(n_groups))
