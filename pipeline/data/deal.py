"""Dealing samples into n parts: by class, whole groups, as evenly as they come.

Owns one deal. Does not own which folds are made of it (`folds.py`).

Dealing is scikit-learn's StratifiedGroupKFold,
https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.StratifiedGroupKFold.html.
It is greedy and promises nothing: a part may come out empty or without a class that has groups enough.
So a few shuffles are tried, the first without such a gap is taken, and what remains is told.
Where every image is its own group, StratifiedKFold does the same in a moment (12 s against 0.3 s for
31,500 images).

Shape legend: N samples, C classes, K parts.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.samples import Ints, Samples, Strings
from pipeline.core.seeds import Part, seed

SEED_LIMIT = 2**32
SHUFFLES = 10


def deal(samples: Samples, n: int, root_seed: int, *purpose: Part, by_group: bool = True) -> Ints:
    """(N,) the part, 0 to n-1, of each sample: the best of a few shuffles.

    Args:
        samples: labelled, in an order that does not depend on the table's (by id).
        n: number of parts.
        root_seed: equal seeds and purposes give equal parts.
        purpose: tells one deal of a plan from another.
        by_group: no group lies in two parts; otherwise groups are not looked at.

    Raises:
        DataError: fewer groups than parts, every class smaller than the number of parts, or a part
            that stays empty.
    """
    _check_sizes(samples, n, by_group)
    spread_C = np.minimum(groups_per_class(samples) if by_group else images_per_class(samples), n)
    best_N, best_gap = None, np.inf
    for part_N in shuffles(samples, n, root_seed, *purpose, by_group=by_group):
        if len(np.unique(part_N)) < n:
            continue
        gap = int((spread_C - (per_part_KC(samples, part_N, n) > 0).sum(axis=0)).clip(0).sum())
        if gap < best_gap:
            best_N, best_gap = part_N, gap
        if gap == 0:
            break
    if best_N is None:
        raise DataError(
            f"folds: {n} folds cannot all be filled with {len(set(samples.groups_N))} groups",
            remedy=f"set folds.n lower than {n}",
        )
    return best_N


def shuffles(
    samples: Samples, n: int, root_seed: int, *purpose: Part, by_group: bool = True
) -> Iterator[Ints]:
    """A few deals to choose among, each (N,) parts."""
    for attempt in tqdm(range(SHUFFLES), desc="folds", leave=False, disable=not sys.stderr.isatty()):
        state = seed(root_seed, "folds", attempt, *purpose) % SEED_LIMIT
        yield _one(samples, n, state, by_group)


def parts_of_groups(samples: Samples, n: int, root_seed: int) -> list[Strings]:
    """The ids in at most n disjoint parts that share no group; fewer where there are few groups.

    For fitting on some parts and judging on another where a fold plan gives no such parts.
    """
    ordered = samples.take(np.sort(samples.ids_N))
    largest = int(images_per_class(ordered).max())
    n = min(n, len(np.unique(ordered.groups_N)), largest)
    if n < 2:
        return [ordered.ids_N]
    part_N = next(shuffles(ordered, n, root_seed, "parts"))
    return [ordered.ids_N[part_N == k] for k in np.unique(part_N)]


def groups_per_class(samples: Samples) -> Ints:
    """(C,) groups that hold an image of each class."""
    pairs = np.unique(np.stack([samples.labels, codes(samples.groups_N)]), axis=1)
    return np.bincount(pairs[0], minlength=samples.space.n_classes).astype(np.int64)


def images_per_class(samples: Samples) -> Ints:
    """(C,) images of each class."""
    return np.bincount(samples.labels, minlength=samples.space.n_classes).astype(np.int64)


def per_part_KC(samples: Samples, part_N: Ints, n: int) -> Ints:
    """(K, C) images of each class in each part."""
    table = np.zeros((n, samples.space.n_classes), np.int64)
    np.add.at(table, (part_N, samples.labels), 1)
    return table


def codes(values: Strings) -> Ints:
    """Each value as its place among the sorted values."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _check_sizes(samples: Samples, n: int, by_group: bool) -> None:
    groups = len(np.unique(samples.groups_N))
    if by_group and groups < n:
        raise DataError(
            f"folds: {groups} groups cannot fill folds.n={n} folds",
            remedy=f"set folds.n to at most {groups}, or check competition.group_column",
        )
    largest = int(images_per_class(samples).max()) if len(samples) else 0
    if largest < n:
        raise DataError(
            f"folds: no class has as many images as folds.n={n} (the largest has {largest})",
            remedy=f"set folds.n to at most {largest}",
        )


def _one(samples: Samples, n: int, state: int, by_group: bool) -> Ints:
    alone = not by_group or len(np.unique(samples.groups_N)) == len(samples)
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(n, shuffle=True, random_state=state)
    part_N = np.full(len(samples), -1, np.int64)
    with warnings.catch_warnings():
        # Rare classes are told by our own notes, by name and by groups instead of images.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        groups = None if alone else samples.groups_N
        for k, (_, valid) in enumerate(splitter.split(np.zeros(len(samples)), samples.labels, groups)):
            part_N[valid] = k
    assert (part_N >= 0).all(), "a sample lies in no part"
    return part_N
