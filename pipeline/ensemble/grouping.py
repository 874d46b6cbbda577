"""Which images belong to one group, and averaging the attributes that a group shares.

Owns averaging, the purity of groups, and building groups by clustering features where a test set has none.
Does not own when it is used (`ensemble/decision.py`).

Clusters link images that are among each other's nearest neighbours and similar enough; linked images are one
group. The least similarity is fitted: the smallest one at which the groups of labelled images are pure. The
purity of clusters is cross-fitted too: the similarity is fitted on the other parts, and a part's own labels
only measure the purity. Every part, like the test set, is clustered by itself.

Shape legend: N samples, C classes, J joint values of the shared attributes, D features, E links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.neighbours import against, linked, search, unit_rows
from pipeline.core.predictions import Features
from pipeline.core.samples import Floats, Ints, LabelSpace, Samples
from pipeline.core.targets import EXCLUSIVE
from pipeline.ensemble import texts
from pipeline.settings.decision import DecisionSettings

# Cosines tried as the least similarity of a link, from loose to strict.
SIMILARITIES = np.round(np.linspace(0.5, 0.99, 50), 2)
MOST_NEIGHBOURS = 10
FLOOR = 1e-12


@dataclass(frozen=True)
class Links:
    """Pairs of images that are among each other's nearest neighbours.

    Args:
        size: number of images.
        one_E, other_E: positions.
        cosine_E: similarity of each pair, -1 to 1.
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


def shared_columns(space: LabelSpace) -> Ints:
    """The columns of the `constant_in_group` attributes, for labels and values."""
    shared_A = [a.constant_in_group for a in space.attributes]
    return np.flatnonzero((space.codes_CA[:, shared_A] >= 0).any(axis=1))


def true_values(samples: Samples) -> Ints:
    """(N,) the joint value of the `constant_in_group` attributes that is true of each image; -1: unknown."""
    if samples.space.kind == EXCLUSIVE:
        return np.asarray(shared_values(samples.space)[samples.labels], dtype=np.int64)
    truth_NK = np.asarray(samples.truth)[:, shared_columns(samples.space)]
    known_N = ~np.isnan(truth_NK).any(axis=1)
    value_N = np.full(len(truth_NK), -1, np.int64)
    value_N[known_N] = np.unique(truth_NK[known_N], axis=0, return_inverse=True)[1].ravel()
    return value_N


def averaged_columns(p_NK: Floats, group_N: Ints, columns: Ints) -> Floats:
    """Predictions whose shared columns, of labels or values, are the mean of the group; the others stay."""
    out_NK, size_G = np.array(p_NK, dtype=np.float32), np.bincount(group_N)
    alone_N = size_G[group_N] == 1
    for k in columns.tolist():
        mean_G = np.bincount(group_N, weights=p_NK[:, k]) / size_G
        out_NK[:, k] = np.where(alone_N, p_NK[:, k], mean_G[group_N])
    return out_NK


def averaged(p_NC: Floats, group_N: Ints, value_C: Ints) -> Floats:
    """Probabilities whose shared attributes are averaged over the group; the other attributes are unchanged.

    p'(c) = p(c) · mean over the group of P(value of c) / P(value of c): the probabilities of attributes that
    are not shared, given the shared ones, stay those of each image.

    Args:
        p_NC: probabilities.
        group_N: number of each row's group, from 0.
        value_C: joint value of the shared attributes of each class.
    """
    p = np.maximum(p_NC.astype(np.float64), FLOOR)
    sums_CJ = np.zeros((len(value_C), int(value_C.max()) + 1))
    sums_CJ[np.arange(len(value_C)), value_C] = 1
    p_NJ = p @ sums_CJ
    size_G = np.bincount(group_N)
    mean_GJ = np.stack([np.bincount(group_N, weights=p_N) for p_N in p_NJ.T], axis=1) / size_G[:, None]
    p *= (mean_GJ[group_N] / p_NJ)[:, value_C]
    # A group of one stays equal bit by bit.
    alone_N1 = (size_G[group_N] == 1)[:, None]
    return np.where(alone_N1, p_NC, p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def purity(group_N: Ints, value_N: Ints) -> tuple[float, float]:
    """How well groups of two and more agree on a value.

    Images whose value is unknown (-1) are left out.

    Returns:
        Among images in such groups, the share with their group's most common value (1 if there are none);
        and the share of images in such groups.
    """
    if (value_N < 0).any():
        group_N, value_N = group_N[value_N >= 0], value_N[value_N >= 0]
    if not len(group_N):
        return 1.0, 0.0
    together_N = np.bincount(group_N)[group_N] > 1
    if not together_N.any():
        return 1.0, 0.0
    groups, group_M = np.unique(group_N[together_N], return_inverse=True)
    counts_GJ = np.zeros((len(groups), int(value_N.max()) + 1), np.int64)
    np.add.at(counts_GJ, (group_M, value_N[together_N]), 1)
    return float(counts_GJ.max(axis=1).sum() / together_N.sum()), float(together_N.mean())


def neighbours_of(group_N: Ints) -> int:
    """Number of neighbours to look at: the median group size minus 1, at least 1."""
    size_G = np.bincount(group_N)
    return int(np.clip(np.median(size_G[size_G > 1]) - 1 if (size_G > 1).any() else 1, 1, MOST_NEIGHBOURS))


def mutual_links(x_ND: Floats, neighbours: int) -> Links:
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


def linked_groups(links: Links, similarity: float) -> Ints:
    """(N,) number of each image's group: images joined by links of at least this cosine."""
    kept = links.cosine_E >= similarity
    return linked(links.one_E[kept], links.other_E[kept], links.size)


def least_similarity(links: Sequence[Links], value_N: Sequence[Ints], wanted: float) -> float | None:
    """The least similarity at which groups are pure in these sets of labelled images; None if there is none.

    `value_N`: the true shared value of each image of each set; `wanted`: purity, 0 to 1.
    """
    for similarity in SIMILARITIES.tolist():
        purities = [purity(linked_groups(one, similarity), v) for one, v in zip(links, value_N, strict=True)]
        grouped = np.array([share * len(v) for (_, share), v in zip(purities, value_N, strict=True)])
        if grouped.sum() == 0:
            return None
        if float(np.array([pure for pure, _ in purities]) @ grouped / grouped.sum()) >= wanted:
            return float(similarity)
    return None


@dataclass(frozen=True)
class Grouping:
    """Groups to average over.

    Args:
        oof_N, test_N: number of each image's group.
        text: where the groups come from, and how pure they are.
        off: why they cannot be used, or empty.
    """

    oof_N: Ints
    test_N: Ints
    text: str = ""
    off: str = ""


def no_groups(oof: Samples, test: Samples, off: str = "") -> Grouping:
    """Every image is a group of its own."""
    return Grouping(np.arange(len(oof)), np.arange(len(test)), off=off)


def table_groups(oof: Samples, test: Samples, settings: DecisionSettings) -> Grouping:
    """The groups of the tables; `oof` are the scored images, with labels."""
    value_N = true_values(oof)
    oof_N, test_N = (np.unique(s.groups_N, return_inverse=True)[1].astype(np.int64) for s in (oof, test))
    pure, share = purity(oof_N, value_N)
    test_share = _grouped_share(test_N)
    text = texts.TABLE_GROUPS.format(pure=pure, share=test_share)
    off = ""
    if share == 0:
        off = texts.NO_TRAINING_GROUPS
    elif test_share == 0:
        off = texts.NO_TEST_GROUPS
    elif pure < settings.purity:
        off = texts.TABLE_GROUPS_IMPURE.format(pure=pure, purity=settings.purity)
    return Grouping(oof_N, test_N, text, off)


def clustered_groups(
    oof: Samples,
    test: Samples,
    parts: Sequence[Ints],
    features: tuple[Features, Features],
    settings: DecisionSettings,
) -> Grouping:
    """Groups built from features; they are switched off where they are not as pure as required.

    `oof`: the scored images, with labels; `parts`: positions in it of each cross-fitting part; `features`: of
    the training and of the test images.
    """
    if len(np.unique(oof.groups_N)) == len(oof):
        return no_groups(oof, test, texts.CLUSTERS_NEED_GROUPS)
    value_N = true_values(oof)
    k = neighbours_of(np.unique(oof.groups_N, return_inverse=True)[1])
    x_ND = features[0].take(oof.ids_N).x_NVD[:, 0]
    links = [mutual_links(x_ND[at], k) for at in parts]
    values = [value_N[at] for at in parts]
    oof_N, first = np.zeros(len(oof), np.int64), 0
    for p, at in enumerate(parts):
        others = [n for n in range(len(parts)) if n != p]
        similarity = least_similarity(
            [links[n] for n in others], [values[n] for n in others], settings.purity
        )
        own = np.arange(len(at)) if similarity is None else linked_groups(links[p], similarity)
        oof_N[at] = first + own
        first += len(at)
    pure, share = purity(oof_N, value_N)
    similarity = least_similarity(links, values, settings.purity)
    text = texts.CLUSTERS.format(pure=pure, share=share)
    if similarity is None or share == 0:
        return no_groups(oof, test, texts.CLUSTERS_NEVER_PURE.format(purity=settings.purity))
    if pure < settings.purity:
        return no_groups(oof, test, texts.CLUSTERS_IMPURE.format(clusters=text, purity=settings.purity))
    test_N = linked_groups(mutual_links(features[1].take(test.ids_N).x_NVD[:, 0], k), similarity)
    text = texts.CLUSTERS_OF_TEST.format(
        similarity=similarity,
        clusters=text,
        part=len(oof) // max(len(parts), 1),
        test=len(test),
        share=_grouped_share(test_N),
    )
    return Grouping(oof_N, test_N, text)


def _grouped_share(group_N: Ints) -> float:
    """Share of images in groups of two and more."""
    return float((np.bincount(group_N)[group_N] > 1).mean())
