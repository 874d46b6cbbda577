"""Which images are one group, for averaging what a group shares: what the tables say, or clusters.

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

from pipeline.core.predictions import Features
from pipeline.core.samples import Ints, Samples
from pipeline.ensemble import grouping
from pipeline.settings.schema import DecisionSettings


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
    value_N = grouping.shared_values(oof.space)[oof.labels]
    oof_N, test_N = (np.unique(s.groups_N, return_inverse=True)[1].astype(np.int64) for s in (oof, test))
    pure, share = grouping.purity(oof_N, value_N)
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
    value_N = grouping.shared_values(oof.space)[oof.labels]
    k = grouping.neighbours_of(np.unique(oof.groups_N, return_inverse=True)[1])
    x_ND = seen[0].take(oof.ids_N).x_NVD[:, 0]
    found = [grouping.links(x_ND[at], k) for at in parts]
    truth = [value_N[at] for at in parts]
    oof_N, first = np.zeros(len(oof), np.int64), 0
    for p, at in enumerate(parts):
        others = [n for n in range(len(parts)) if n != p]
        similar = grouping.similar_enough(
            [found[n] for n in others], [truth[n] for n in others], settings.purity
        )
        own = np.arange(len(at)) if similar is None else grouping.groups(found[p], similar)
        oof_N[at] = first + own
        first += len(at)
    pure, share = grouping.purity(oof_N, value_N)
    similar = grouping.similar_enough(found, truth, settings.purity)
    told = f"{pure:.1%} pure out of fold, {share:.0%} of images in one"
    if similar is None or share == 0:
        off = f"no similarity makes clusters {settings.purity:.0%} pure"
        return Together(none.oof_N, none.test_N, "", off)
    if pure < settings.purity:
        off = f"clusters are impure: {told}, below decision.purity={settings.purity}"
        return Together(none.oof_N, none.test_N, "", off)
    test_N = grouping.groups(grouping.links(seen[1].take(test.ids_N).x_NVD[:, 0], k), similar)
    together = float((np.bincount(test_N)[test_N] > 1).mean())
    sizes = f"parts of about {len(oof) // max(len(parts), 1)} images; the test set has {len(test)}"
    told = f"clusters (cosine ≥ {similar:.2f}): {told}, measured on {sizes}, {together:.0%} of them in one"
    return Together(oof_N, test_N, told)
