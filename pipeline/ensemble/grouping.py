"""Which images show the same thing, and averaging what all of them share.

Owns averaging the attributes that a group shares, how pure groups are, and building groups from features
where a test set names none. Does not own when it is used (`decision.py`).

Built groups link images that are among each other's nearest neighbours and similar enough; linked images
are one group. How similar is fitted: the least similarity at which the groups of labelled images are pure.

Shape legend: N samples, C classes, J joint values of the shared attributes, D features, E links, K tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.samples import Floats, Ints, LabelSpace

# Rows of the similarity matrix held at once.
BLOCK = 1024
# Similarities tried, from loose to strict.
TRIES = np.round(np.linspace(0.5, 0.99, 50), 2)
MOST_NEIGHBOURS = 10
FLOOR = 1e-12


@dataclass(frozen=True)
class Links:
    """Pairs of images that are among each other's nearest neighbours.

    Args:
        size: how many images there are.
        one_E, other_E: positions.
        cosine_E: how similar each pair is, -1 to 1.
    """

    size: int
    one_E: Ints
    other_E: Ints
    cosine_E: Reals


def shared_values(space: LabelSpace) -> Ints:
    """(C,) joint value of the `constant_in_group` attributes of each class; all 0 if there are none."""
    value_C = np.zeros(space.n_classes, np.int64)
    for a, attribute in enumerate(space.attributes):
        if attribute.constant_in_group:
            value_C = value_C * len(attribute.values) + space.codes_CA[:, a]
    return value_C


def averaged(p_NC: Floats, group_N: Ints, value_C: Ints) -> Floats:
    """Probabilities whose shared attributes are the mean of their group; the rest stays as each image has it.

    p'(c) = p(c) · mean over the group of P(value of c) / P(value of c): images keep their own opinion of
    what is not shared, given what is.

    Args:
        p_NC: probabilities.
        group_N: number of each row's group, from 0.
        value_C: joint value of the shared attributes of each class.
    """
    p = np.maximum(p_NC.astype(np.float64), FLOOR)
    p_NJ = _summed(p, value_C)
    size_G = np.bincount(group_N)
    mean_GJ = np.stack([np.bincount(group_N, weights=p_N) for p_N in p_NJ.T], axis=1) / size_G[:, None]
    p *= (mean_GJ[group_N] / p_NJ)[:, value_C]
    # A group of one keeps its bits.
    alone_N1 = (size_G[group_N] == 1)[:, None]
    return np.where(alone_N1, p_NC, p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def purity(group_N: Ints, value_N: Ints) -> tuple[float, float]:
    """How well groups of two and more agree on a value.

    Returns:
        Among images in such groups the share that shows their group's most common value (1 if there are
        none), and the share of images that is in such groups.
    """
    together_N = np.bincount(group_N)[group_N] > 1
    if not together_N.any():
        return 1.0, 0.0
    groups, group_M = np.unique(group_N[together_N], return_inverse=True)
    counts_GJ = np.zeros((len(groups), int(value_N.max()) + 1), np.int64)
    np.add.at(counts_GJ, (group_M, value_N[together_N]), 1)
    return float(counts_GJ.max(axis=1).sum() / together_N.sum()), float(together_N.mean())


def neighbours_of(group_N: Ints) -> int:
    """Neighbours to look at: one fewer than a usual group holds, at least 1."""
    size_G = np.bincount(group_N)
    return int(np.clip(np.median(size_G[size_G > 1]) - 1 if (size_G > 1).any() else 1, 1, MOST_NEIGHBOURS))


def links(x_ND: Floats, neighbours: int) -> Links:
    """Pairs of images that are among each other's `neighbours` most similar ones, by cosine."""
    x = x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), FLOOR)
    k = min(neighbours, len(x) - 1)
    if k < 1:
        none = np.zeros(0, np.int64)
        return Links(len(x), none, none, np.zeros(0))
    near, how = [], []
    for start in range(0, len(x), BLOCK):
        cosine_BN = x[start : start + BLOCK] @ x.T
        rows = np.arange(len(cosine_BN))
        cosine_BN[rows, start + rows] = -np.inf
        near_BK = np.argpartition(-cosine_BN, k - 1, axis=1)[:, :k]
        near.append(near_BK)
        how.append(np.take_along_axis(cosine_BN, near_BK, axis=1))
    one, other = np.repeat(np.arange(len(x)), k), np.concatenate(near).ravel()
    mutual = np.isin(one * len(x) + other, other * len(x) + one) & (one < other)
    return Links(len(x), one[mutual], other[mutual], np.concatenate(how).ravel()[mutual].astype(np.float64))


def groups(found: Links, similar: float) -> Ints:
    """(N,) number of each image's group: images joined by links of at least this cosine."""
    parent = list(range(found.size))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    kept = found.cosine_E >= similar
    for one, other in zip(found.one_E[kept].tolist(), found.other_E[kept].tolist(), strict=True):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.unique([root(n) for n in range(found.size)], return_inverse=True)[1].astype(np.int64)


def similar_enough(found: Sequence[Links], value_N: Sequence[Ints], wanted: float) -> float | None:
    """The least similarity at which groups are pure in these sets of labelled images; None: at none.

    Args:
        found: links within each set.
        value_N: the true shared value of each image of each set.
        wanted: purity, 0 to 1.
    """
    for similar in TRIES:
        told = [purity(groups(f, float(similar)), v) for f, v in zip(found, value_N, strict=True)]
        together = np.array([share * len(v) for (_, share), v in zip(told, value_N, strict=True)])
        if together.sum() == 0:
            return None
        if float(np.array([pure for pure, _ in told]) @ together / together.sum()) >= wanted:
            return float(similar)
    return None


def _summed(p_NC: Reals, value_C: Ints) -> Reals:
    """(N, J) columns summed by value."""
    sums_CJ = np.zeros((len(value_C), int(value_C.max()) + 1))
    sums_CJ[np.arange(len(value_C)), value_C] = 1
    return np.asarray(p_NC @ sums_CJ, dtype=np.float64)
