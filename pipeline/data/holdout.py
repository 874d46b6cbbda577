"""A test set out of the training images, where the host gives none.

Owns which groups are held out, and which half of their answers is public. Does not own scoring
(`submit/hostscore.py`).

Systematic sampling: groups stand sorted by their classes, in drawn order within, and every so-manieth is
held out. So each class gives its share, and groups of several classes (a person with and without a
mask) are counted once. Source: Cochran, Sampling Techniques (1977), chapter 8.

Shape legend: N images, G groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError
from pipeline.core.samples import Ints, Strings
from pipeline.core.seeds import rng

SEED = 2026
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """What is held out: `test_N` flags the images, `public_N` those whose answers are public."""

    test_N: Flags
    public_N: Flags


def hold_out(groups_N: Strings, labels_N: Ints, share: float) -> Held:
    """Choose whole groups, about `share` of each class; a class never loses its last group.

    Args:
        groups_N: group of each image.
        labels_N: class of each image.
        share: above 0, below 1.

    Raises:
        DataError: there are too few groups to hold one out.
    """
    names, group_N = np.unique(groups_N, return_inverse=True)
    classes = [tuple(sorted(set(labels_N[rows].tolist()))) for rows in _rows_of(group_N, len(names))]
    drawn = rng(SEED, "hold out").permutation(len(names))
    order = sorted(drawn.tolist(), key=lambda g: classes[g])
    start = float(rng(SEED, "start").random())
    held = [
        g
        for at, g in enumerate(order)
        if math.floor(start + (at + 1) * share) > math.floor(start + at * share)
    ]
    left = np.ones(len(names), bool)
    left[held] = False
    having: dict[int, list[int]] = {}
    for g, shown in enumerate(classes):
        for label in shown:
            having.setdefault(label, []).append(g)
    for groups in having.values():
        if not left[groups].any():
            left[groups[0]] = True
    held = [g for g in held if not left[g]]
    if not held:
        raise DataError(
            f"competition.holdout: {len(names)} groups are too few to hold out {share:.0%} of them",
            remedy="name a test_table, or raise competition.holdout",
        )
    public = np.zeros(len(names), bool)
    public[held[::2]] = True
    return Held(~left[group_N], public[group_N])


def _rows_of(group_N: Ints, n_groups: int) -> list[Ints]:
    order = np.argsort(group_N, kind="stable")
    ends = np.cumsum(np.bincount(group_N, minlength=n_groups))[:-1]
    return [np.asarray(rows, dtype=np.int64) for rows in np.split(order, ends)]
