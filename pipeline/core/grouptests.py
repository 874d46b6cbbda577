"""Is it chance? Tests of many sums at once that flip whole groups, corrected for how many were tried.

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

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.seeds import rng

Reals = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEVEL = 0.05
DRAWS = 2000
# A block of draws holds about this many numbers (4 MB).
BLOCK_NUMBERS = 500_000
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
        return self.p_K <= LEVEL


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
    factor = float(np.quantile(tops_B, 1 - LEVEL, method="higher")) if len(tops_B) else float("nan")
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
