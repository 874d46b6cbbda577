"""How far a public score may lie from the out-of-fold score by luck alone.

Owns the spread of *public − OOF* for a public set of a given number of groups, and that of the difference
of two public scores. Does not own intervals of one score (`core/statistics.py`) nor what a gap means
(`submit/gap/diagnosis.py`).

Both scores are samples of the same thing: OOF on G groups, public on g other groups. So both sides are
drawn, independently, from the out-of-fold predictions, whole groups with replacement.
Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), 3.8 (clusters) and 2.3 (a
resample of another size than the sample).

Shape legend: N samples, C classes, G groups, g groups of the public set, B resamples, M predictions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.metrics import Metric, Reals
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng

BLOCK_NUMBERS = 500_000
# A normal interval's reach on either side, in standard deviations.
REACH_95 = 1.96


@dataclass(frozen=True)
class Band:
    """Where public − OOF lies in 95 % of cases when nothing is wrong, in the metric's own direction.

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
        """Whether a public − OOF of `gap` is what luck does in 95 of 100 cases."""
        return self.low <= gap <= self.high


def gap_draws(
    metric: Metric, y_N: Ints, p_NC: Floats, groups_N: Strings, public_groups: int, draws: int, seed: int
) -> Reals:
    """(B,) draws of public − OOF when both are samples of the same groups.

    Args:
        metric: what is scored.
        y_N: true class index.
        p_NC: out-of-fold probabilities of the same rows.
        groups_N: the group of each row.
        public_groups: groups of the public set, ≥ 1.
        draws: number of resamples B.
        seed: of the resamples.
    """
    here = len(np.unique(groups_N))
    public_B: Reals = _scores(metric, y_N, (p_NC,), groups_N, public_groups, draws, (seed, "public"))[0]
    own_B: Reals = _scores(metric, y_N, (p_NC,), groups_N, here, draws, (seed, "own"))[0]
    return np.asarray(public_B - own_B)


def band_of(draws_B: Reals, public_groups: int) -> Band:
    """The 95 % band of such draws."""
    low, high = (float(end) for end in np.percentile(draws_B, (2.5, 97.5)))
    return Band(low, high, float(draws_B.std()), public_groups)


def band_of_interval(low: float, high: float, groups: int, public_groups: int) -> Band:
    """The same from a score's 95 % interval alone, where its predictions are not at hand.

    The standard error of a score falls with the square root of the number of groups.

    Args:
        low: lower end of the OOF score's interval.
        high: its upper end.
        groups: how many groups it rests on, ≥ 1.
        public_groups: groups of the public set, ≥ 1.
    """
    own = abs(high - low) / (2 * REACH_95)
    sd = own * math.sqrt(1 + groups / public_groups)
    return Band(-REACH_95 * sd, REACH_95 * sd, sd, public_groups)


def public_spread(
    metric: Metric,
    y_N: Ints,
    sides: Sequence[Floats],
    groups_N: Strings,
    public_groups: int,
    draws: int,
    seed: int,
) -> Reals:
    """(M, M) standard deviation of the difference of two public scores, both on the same public images.

    Args:
        metric: what is scored.
        y_N: true class index.
        sides: (N, C) probabilities of each submission for the same rows.
        groups_N: the group of each row.
        public_groups: groups of the public set, ≥ 1.
        draws: number of resamples.
        seed: of the resamples.
    """
    scores_MB = _scores(metric, y_N, sides, groups_N, public_groups, draws, (seed, "public"))
    return np.asarray((scores_MB[:, None] - scores_MB[None]).std(axis=2))


def _scores(
    metric: Metric,
    y_N: Ints,
    sides: Sequence[Floats],
    groups_N: Strings,
    size: int,
    draws: int,
    name: tuple[int, str],
) -> Reals:
    """(M, B) score of each side on resamples of `size` groups, the same for all sides."""
    assert size > 0 and draws > 0, "nothing to draw"
    unique, group_N = np.unique(groups_N, return_inverse=True)
    generator = rng(name[0], "public noise", name[1])
    resamplers = [metric.resampler(y_N, p_NC) for p_NC in sides]
    block = max(1, BLOCK_NUMBERS // max(len(y_N), sides[0].shape[1] ** 2))
    parts = []
    for start in range(0, draws, block):
        drawn_BG = generator.integers(0, len(unique), (min(block, draws - start), size))
        times = np.stack([np.bincount(drawn, minlength=len(unique)) for drawn in drawn_BG])
        w_BN = times[:, group_N].astype(np.float64)
        parts.append(np.stack([score(w_BN) for score in resamplers]))
    return np.concatenate(parts, axis=1)
