"""Is it noise? Intervals and paired comparisons that resample whole groups.

Owns the group bootstrap. Does not own the metrics (`core/metrics.py`), nor corrections for the best
of many (`core/arms.py`): a comparison here is one that was planned.

Photos of one person are no independent evidence, so a resample draws groups with replacement, and
all rows of a group count as often as it was drawn. Both sides of a comparison see the same draws.

A score gets the percentile interval, a difference the normal one (1.96 bootstrap standard errors): of six
ways these held the truth best where groups are few, and from 300 groups on they are as good as any
(`benchmarks/honesty.py`, 2,000 data sets a row; figures in docs/log.md).

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 12 and 13; Davison &
Hinkley, Bootstrap Methods and their Application (1997), 3.8, resampling clusters.

Shape legend: N samples, C classes, G groups, B resamples of one block, M sets of predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
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
