"""What splits are balanced by: the classes, labels or ranges of values that each sample belongs to.

Owns seeing samples of any kind of target as strata, and single attributes as exclusive classes. Does not own
splitting by them (`data/folds.py`, `data/iterative.py`).

- exclusive classes and shares: a sample is in one stratum, its class or the one with the largest share;
- labels: a sample is in the stratum of every column that holds;
- values: a sample is in one stratum for each known value, the range of its group's mean; ranges are quantiles
  over the groups, so that as many groups are in each.

Legend: N samples, S strata, G groups, V values of an attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Ints, Samples
from pipeline.data import texts

Flags = npt.NDArray[np.bool_]
# Ranges of a value: at most so many, and each with about so many groups at least.
MOST_RANGES = 10
GROUPS_OF_A_RANGE = 10


@dataclass(frozen=True)
class Strata:
    """The strata of samples, as P pairs of a sample and one of its strata.

    Args:
        names: (S,) for people.
        row_P: position of the sample.
        stratum_P: index in `names`.
        unknown_NS: of labels, in which sample the stratum is unknown; None: nowhere.
    """

    names: tuple[str, ...]
    row_P: Ints
    stratum_P: Ints
    unknown_NS: Flags | None = None

    @staticmethod
    def of(samples: Samples) -> Strata:
        """The strata of labelled samples of any kind of target."""
        space = samples.space
        if one_each(samples):
            return Strata(space.classes, np.arange(len(samples), dtype=np.int64), class_of(samples))
        if space.kind == "values":
            return _ranges(samples)
        y_NS = np.asarray(samples.truth, dtype=np.float32)
        unknown_NS = np.isnan(y_NS)
        row_P, stratum_P = np.nonzero(np.nan_to_num(y_NS) >= 0.5)
        return Strata(space.classes, row_P, stratum_P, unknown_NS if unknown_NS.any() else None)

    @property
    def sizes_S(self) -> Ints:
        """Samples in each stratum."""
        return np.bincount(self.stratum_P, minlength=len(self.names)).astype(np.int64)

    def sizes_in(self, part_N: Ints, n: int) -> Ints:
        """(n, S) samples of each part in each stratum; `part_N` is the part of each sample, below 0: none."""
        part_P = part_N[self.row_P]
        table = np.zeros((n, len(self.names)), np.int64)
        np.add.at(table, (part_P[part_P >= 0], self.stratum_P[part_P >= 0]), 1)
        return table

    def balanced_in(self, part_N: Ints, n: int) -> Ints:
        """The same with what a split balances beside the strata: in how many samples each one is known."""
        table = self.sizes_in(part_N, n)
        if self.unknown_NS is None:
            return table
        known = np.zeros((n, self.unknown_NS.shape[1]), np.int64)
        np.add.at(known, part_N, (~self.unknown_NS).astype(np.int64))
        return np.concatenate([table, known], axis=1)


def class_of(samples: Samples) -> Ints:
    """(N,) the class of each sample; of shares the largest one."""
    if samples.space.kind == "shares":
        return np.asarray(np.asarray(samples.truth).argmax(axis=1), dtype=np.int64)
    return samples.labels


def one_each(samples: Samples) -> bool:
    """Whether every sample is in exactly one stratum."""
    return samples.space.kind in ("exclusive", "shares")


def attribute_codes(samples: Samples, attribute: int) -> tuple[Ints, tuple[str, ...]]:
    """(N,) one attribute as exclusive classes, -1 where it is unknown, and the names of its codes.

    Of labels: whether it holds, or its level; of values: its range.
    """
    space = samples.space
    if space.kind == "exclusive":
        return space.codes_CA[samples.labels, attribute], space.attributes[attribute].values
    if space.kind == "shares":
        return class_of(samples), space.classes
    y_NK = np.asarray(samples.truth, dtype=np.float32)
    own_NK = y_NK[:, space.codes_CA[:, attribute] >= 0]
    known_N = ~np.isnan(own_NK).any(axis=1)
    if space.kind == "values":
        range_N, names = ranges_of(own_NK[:, 0], _groups(samples), space.attributes[attribute].name)
        return range_N, names
    own_NK = np.nan_to_num(own_NK)
    code_N = own_NK.argmax(axis=1) if own_NK.shape[1] > 1 else (own_NK[:, 0] >= 0.5).astype(np.int64)
    return np.where(known_N, code_N, -1).astype(np.int64), space.attributes[attribute].values


def ranges_of(y_N: Floats, group_N: Ints, name: str, most: int = MOST_RANGES) -> tuple[Ints, tuple[str, ...]]:
    """(N,) the range of each sample's group by the group's mean, -1 where nothing is known, and their names.

    Ranges are quantiles of the group means: at most `most`, fewer with few groups or few different values.
    """
    known_N = ~np.isnan(y_N)
    n_G = np.bincount(group_N[known_N], minlength=int(group_N.max(initial=-1)) + 1)
    sum_G = np.bincount(group_N[known_N], weights=y_N[known_N].astype(np.float64), minlength=len(n_G))
    seen_G = n_G > 0
    if not seen_G.any():
        return np.full(len(y_N), -1, np.int64), ()
    mean_G = np.divide(sum_G, n_G, out=np.zeros(len(n_G)), where=seen_G)
    wanted = max(min(most, int(seen_G.sum()) // GROUPS_OF_A_RANGE), 2)
    cuts = np.unique(np.quantile(mean_G[seen_G], np.arange(1, wanted) / wanted, method="higher"))
    cuts = cuts[cuts > mean_G[seen_G].min()]
    range_G = np.where(seen_G, np.searchsorted(cuts, mean_G, side="right"), -1)
    ends = [None, *cuts.tolist(), None]
    names = tuple(_range_name(name, low, high) for low, high in pairwise(ends))
    return range_G[group_N].astype(np.int64), names


def _range_name(name: str, low: float | None, high: float | None) -> str:
    if low is None:
        text = texts.RANGE_ALL if high is None else texts.RANGE_BELOW
        return text.format(name=name, high=high)
    if high is None:
        return texts.RANGE_FROM.format(name=name, low=low)
    return texts.RANGE.format(name=name, low=low, high=high)


def _ranges(samples: Samples) -> Strata:
    y_NK, group_N = np.asarray(samples.truth, dtype=np.float32), _groups(samples)
    names: list[str] = []
    rows, strata = [], []
    for attribute, y_N in zip(samples.space.attributes, y_NK.T, strict=True):
        range_N, own = ranges_of(y_N, group_N, attribute.name)
        known = np.flatnonzero(range_N >= 0)
        rows.append(known)
        strata.append(range_N[known] + len(names))
        names += own
    return Strata(tuple(names), np.concatenate(rows), np.concatenate(strata))


def _groups(samples: Samples) -> Ints:
    return np.asarray(np.unique(samples.groups_N, return_inverse=True)[1], dtype=np.int64).reshape(-1)
