"""Iterative stratification: parts of whole groups in which every label has its share.

Owns the algorithm. Does not own the strata (`data/strata.py`) nor fold plans (`data/folds.py`). Libraries
have it for single samples only; a group here carries the counts of all its samples.

Source: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label Data (ECML PKDD 2011), algorithm
1: the label with the fewest samples left is dealt first, each sample to the part that still wants it most.

Legend: G groups, S strata, K parts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Ints

Reals = npt.NDArray[np.float64]


def parts_of(counts_GS: Ints, sizes_G: Ints, n: int, random_state: int) -> Ints:
    """(G,) the part, 0 to n-1, of each group.

    Groups of one stratum are dealt from the largest count of it to the smallest, in random order among equal
    ones: a large group fits while the parts still want much.

    Args:
        counts_GS: samples of each group in each stratum.
        sizes_G: samples of each group.
        n: number of parts.
        random_state: of the order and of ties; equal ones give equal parts.
    """
    draw = np.random.default_rng(random_state)
    order_G = draw.permutation(len(sizes_G))
    tie_K = draw.permutation(n)
    want_KS = np.tile(counts_GS.sum(axis=0) / n, (n, 1)).astype(np.float64)
    want_K = np.full(n, sizes_G.sum() / n, np.float64)
    part_G = np.full(len(sizes_G), -1, np.int64)
    left_S = counts_GS.sum(axis=0).astype(np.int64)
    in_stratum = [order_G[counts_GS[order_G, s] > 0] for s in range(counts_GS.shape[1])]

    def give(group: int, part: int) -> None:
        part_G[group] = part
        want_KS[part] -= counts_GS[group]
        want_K[part] -= sizes_G[group]
        left_S[:] -= counts_GS[group]

    while (left_S > 0).any():
        rarest = int(np.where(left_S > 0, left_S, np.iinfo(np.int64).max).argmin())
        mine = in_stratum[rarest]
        mine = mine[part_G[mine] < 0]
        for group in mine[np.argsort(-counts_GS[mine, rarest], kind="stable")].tolist():
            give(group, _wanting(want_KS[:, rarest], want_K, tie_K))
    rest = order_G[part_G[order_G] < 0]
    for group in rest[np.argsort(-sizes_G[rest], kind="stable")].tolist():
        give(group, _wanting(want_K, want_K, tie_K))
    return part_G


def _wanting(first_K: Reals, then_K: Reals, tie_K: Ints) -> int:
    """The part that wants the stratum most; of equal ones the emptiest, then a random one."""
    best = np.lexsort((tie_K, -then_K.round(9), -first_K.round(9)))
    return int(best[0])
