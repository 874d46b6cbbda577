"""How far a public score can be from the out-of-fold score by chance alone.

Owns the spread of *public − OOF* for a public set of a given number of groups, and that of the difference
of two public scores. Does not own intervals of one score (`core/statistics.py`), the draws
(`core/group_resampling.py`), nor what a gap means (`submit/gap/diagnosis.py`).

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

from pipeline.core.group_resampling import percentile_interval, rescored
from pipeline.core.metrics import Metric, Reals
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng
from pipeline.core.statistics import STANDARD_ERRORS


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
    metric: Metric, y_N: Ints, p_NC: Floats, groups_N: Strings, public_groups: int, draws: int, seed: int
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
    y_N: Ints,
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
