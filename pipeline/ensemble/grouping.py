"""Which images show the same thing, and averaging what all of them share.

Owns averaging the attributes that a group shares, how pure groups are, and building groups from features
where a test set names none. Does not own when it is used (`decision.py`).

Built groups link images that are among each other's nearest neighbours and similar enough; linked images
are one group. How similar is fitted: the least similarity at which the groups of labelled images are pure.

Shape legend: N samples, C classes, J joint values of the shared attributes, D features, E links, K tries.

Which images are one group, for averaging what a group shares: what the tables say, or clusters.

Owns finding the groups of a decision and saying how pure they are. Does not own the arithmetic
(`ensemble/grouping.py`).

How pure clusters are is measured as they are made: the similarity that links images is fitted on the
other parts, and the part's own labels only measure. Every part, like the test set, is clustered by itself.

Shape legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.metrics import Reals
from pipeline.core.neighbours import against, search, unit_rows
from pipeline.core.predictions import Features
from pipeline.core.samples import Floats, Ints, LabelSpace, Samples
from pipeline.settings.decision import DecisionSettings

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
    x = unit_rows(x_ND)
    k = min(neighbours, len(x) - 1)
    if k < 1:
        none = np.zeros(0, np.int64)
        return Links(len(x), none, none, np.zeros(0))
    rows = np.arange(len(x))
    near_NK, against_NK = search(x, x, k, against, (rows, rows))
    one, other = np.repeat(rows, k), near_NK.ravel()
    mutual = np.isin(one * len(x) + other, other * len(x) + one) & (one < other)
    return Links(len(x), one[mutual], other[mutual], -against_NK.ravel()[mutual].astype(np.float64))


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


@dataclass(frozen=True)
class Together:
    """Groups to average over.

    Args:
        oof_N, test_N: number of each image's group.
        told: where the groups come from, and how pure they are.
        off: why they cannot be used, or empty.
    """

    oof_N: Ints
    test_N: Ints
    told: str
    off: str = ""


def nobody(oof: Samples, test: Samples) -> Together:
    """Every image by itself, for a decision that averages nothing."""
    return Together(np.arange(len(oof)), np.arange(len(test)), "nothing")


def of_tables(oof: Samples, test: Samples, settings: DecisionSettings) -> Together:
    """The groups that the tables name.

    Args:
        oof: the scored images, with labels.
        test: those of the test set.
        settings: the purity that is asked for.
    """
    value_N = shared_values(oof.space)[oof.labels]
    oof_N, test_N = (np.unique(s.groups_N, return_inverse=True)[1].astype(np.int64) for s in (oof, test))
    pure, share = purity(oof_N, value_N)
    together = float((np.bincount(test_N)[test_N] > 1).mean())
    told = f"the table's groups: {pure:.1%} pure out of fold, {together:.0%} of test images share one"
    off = ""
    if share == 0:
        off = "no two training images share a group; name competition.group_column or group_pattern"
    elif together == 0:
        off = "no two test images share a group in the tables; decision.groups=clusters builds groups"
    elif pure < settings.purity:
        off = f"the table's groups are {pure:.1%} pure, below decision.purity={settings.purity}"
    return Together(oof_N, test_N, told, off)


def of_clusters(
    oof: Samples,
    test: Samples,
    parts: Sequence[Ints],
    seen: tuple[Features, Features],
    settings: DecisionSettings,
) -> Together:
    """Groups built from features, as pure as is asked for or not used.

    Args:
        oof: the scored images, with labels.
        test: those of the test set.
        parts: positions in `oof` of each cross-fitting part.
        seen: features of the training and of the test images.
        settings: the purity that is asked for.
    """
    none = nobody(oof, test)
    if len(np.unique(oof.groups_N)) == len(oof):
        off = "clusters are fitted on known groups, and no two training images share one"
        return Together(none.oof_N, none.test_N, "", off)
    value_N = shared_values(oof.space)[oof.labels]
    k = neighbours_of(np.unique(oof.groups_N, return_inverse=True)[1])
    x_ND = seen[0].take(oof.ids_N).x_NVD[:, 0]
    found = [links(x_ND[at], k) for at in parts]
    truth = [value_N[at] for at in parts]
    oof_N, first = np.zeros(len(oof), np.int64), 0
    for p, at in enumerate(parts):
        others = [n for n in range(len(parts)) if n != p]
        similar = similar_enough([found[n] for n in others], [truth[n] for n in others], settings.purity)
        own = np.arange(len(at)) if similar is None else groups(found[p], similar)
        oof_N[at] = first + own
        first += len(at)
    pure, share = purity(oof_N, value_N)
    similar = similar_enough(found, truth, settings.purity)
    told = f"{pure:.1%} pure out of fold, {share:.0%} of images in one"
    if similar is None or share == 0:
        off = f"no similarity makes clusters {settings.purity:.0%} pure"
        return Together(none.oof_N, none.test_N, "", off)
    if pure < settings.purity:
        off = f"clusters are impure: {told}, below decision.purity={settings.purity}"
        return Together(none.oof_N, none.test_N, "", off)
    test_N = groups(links(seen[1].take(test.ids_N).x_NVD[:, 0], k), similar)
    together = float((np.bincount(test_N)[test_N] > 1).mean())
    sizes = f"parts of about {len(oof) // max(len(parts), 1)} images; the test set has {len(test)}"
    told = f"clusters (cosine ≥ {similar:.2f}): {told}, measured on {sizes}, {together:.0%} of them in one"
    return Together(oof_N, test_N, told)
