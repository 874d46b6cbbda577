"""Fold plans: which images train and which validate, fold by fold.

Owns the kinds of plan and their notes. Does not own dealing groups into parts (`deal.py`), judging a
plan (`fold_health.py`), nor what is done with a fold (`resample.py`, `train/loop.py`).

| kind | folds | each image validates |
|---|---|---|
| stratified_group | n | once; whole groups |
| stratified | n | once; groups are not looked at |
| repeated | repeats × n | once a repeat |
| holdout | 1 | `valid_share` of them once |
| bootstrap | n | when its group is out of the bag, about 37 % of the draws |
| column | n, its values | once, never where the column is empty |

Bootstrap by groups: Efron & Tibshirani, Improvements on Cross-Validation: The .632+ Bootstrap Method
(JASA 1997). Shape legend: N samples, C classes, K folds, G groups, T training ids.

Dealing samples into n parts: by class, whole groups, as evenly as they come.

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
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from tqdm import tqdm

from pipeline.core.errors import SHOWN_FAULTS, DataError
from pipeline.core.group_resampling import times_drawn
from pipeline.core.samples import FoldPlan, Ints, Samples, Split, Strings
from pipeline.core.seeds import Part, rng, seed
from pipeline.settings.folds import FoldSettings

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


# A hold-out's share is met to the nearest of these parts.
FINEST_PARTS = 20
BOOTSTRAP_TRIES = 100


def plan(samples: Samples, settings: FoldSettings) -> FoldPlan:
    """The splits that `settings.kind` asks for.

    The same samples give the same plan in whatever order their table lists them. A class with fewer
    groups than folds is no error: it falls back to `spread`, its groups go to as many folds as there
    are groups, those folds validate it and the others never see it in validation; a note says so.

    Raises:
        DataError: the samples cannot be split so: too few groups or images, a fold that stays empty, or
            a column whose values are not `folds.n`.
    """
    # By id, or the plan would follow the order of the table's rows.
    return KINDS[settings.kind](samples.take(np.sort(samples.ids_N)), settings)


def _stratified_group(samples: Samples, settings: FoldSettings) -> FoldPlan:
    part_N = deal(samples, settings.n, settings.seed)
    return FoldPlan(_splits(samples, part_N, settings.n), tuple(_class_notes(samples, part_N, settings.n)))


def _stratified(samples: Samples, settings: FoldSettings) -> FoldPlan:
    part_N = deal(samples, settings.n, settings.seed, by_group=False)
    return FoldPlan(_splits(samples, part_N, settings.n))


def _repeated(samples: Samples, settings: FoldSettings) -> FoldPlan:
    assert settings.repeats is not None, "a rule of the settings asks for repeats"
    splits: list[Split] = []
    notes: list[str] = []
    for repeat in range(settings.repeats):
        part_N = deal(samples, settings.n, settings.seed, *(("repeat", repeat) if repeat else ()))
        splits += _splits(samples, part_N, settings.n)
        notes += [f"repeat {repeat}: {note}" for note in _class_notes(samples, part_N, settings.n)]
    told = f"{settings.repeats} × {settings.n} folds: an image's {settings.repeats} predictions are averaged"
    return FoldPlan(tuple(splits), (told, *notes))


def _holdout(samples: Samples, settings: FoldSettings) -> FoldPlan:
    """Some of the parts of a finer deal: those that best hold the share and every class."""
    assert settings.valid_share is not None, "a rule of the settings asks for valid_share"
    groups, largest = len(np.unique(samples.groups_N)), int(images_per_class(samples).max())
    finest = min(FINEST_PARTS, groups, largest)
    if finest < 2:
        raise DataError(
            f"folds: {groups} group{'s' * (groups != 1)} cannot be split in two",
            remedy="check competition.group_column",
        )
    share = Fraction(settings.valid_share).limit_denominator(finest)
    n = max(share.denominator, 2)
    taken = min(max(share.numerator, 1), n - 1)
    wanted_C = settings.valid_share * images_per_class(samples)
    spread_C = groups_per_class(samples) >= 2
    found: list[tuple[int, float, int, int]] = []
    deals = list(shuffles(samples, n, settings.seed, "holdout"))
    for attempt, part_N in enumerate(deals):
        table_KC = per_part_KC(samples, part_N, n)
        for first in range(n):
            valid_C = table_KC[(first + np.arange(taken)) % n].sum(axis=0)
            lost = (valid_C == 0) | (valid_C == table_KC.sum(axis=0))
            found.append(
                (int((lost & spread_C).sum()), float(np.abs(valid_C - wanted_C).sum()), attempt, first)
            )
    _, _, attempt, first = min(found)
    valid_N = np.isin((deals[attempt] - first) % n, np.arange(taken))
    ids_N = samples.ids_N
    told = f"hold-out: {valid_N.sum()} of {len(samples)} images validate ({valid_N.mean():.0%})"
    return FoldPlan((Split(ids_N[~valid_N], ids_N[valid_N]),), (told,))


def _bootstrap(samples: Samples, settings: FoldSettings) -> FoldPlan:
    group_N = codes(samples.groups_N)
    n_groups = int(group_N.max()) + 1
    if n_groups < 2:
        raise DataError(
            "folds: one group has nothing out of its bag", remedy="check competition.group_column"
        )
    splits = []
    for draw in range(settings.n):
        times_N = _drawn(n_groups, settings.seed, draw)[group_N]
        bag = times_N > 0
        splits.append(Split(samples.ids_N[bag], samples.ids_N[~bag], times_N[bag]))
    made = FoldPlan(tuple(splits))
    never = len(samples) - len(made.covered)
    told = (
        f"{settings.n} bootstrap draws of {n_groups} groups: an image's out-of-bag predictions are averaged"
    )
    if never:
        told += f"; {never} of {len(samples)} images were never out of a bag and are not scored"
    return FoldPlan(made.splits, (told,))


def _drawn(n_groups: int, root_seed: int, draw: int) -> Ints:
    """(G,) how often each group is in the bag; at least one is not."""
    for attempt in range(BOOTSTRAP_TRIES):
        times_G: Ints = times_drawn(rng(root_seed, "bootstrap", draw, attempt), n_groups, 1)[0]
        if (times_G == 0).any():
            break
    return times_G


def _column(samples: Samples, settings: FoldSettings) -> FoldPlan:
    assert samples.folds_N is not None, "the data stage reads folds.column"
    values = sorted({v for v in samples.folds_N.tolist() if v.strip()}, key=_natural)
    if len(values) != settings.n:
        shown = ", ".join(values[:SHOWN_FAULTS])
        raise DataError(
            f"folds: column `{settings.column}` has {len(values)} values, and folds.n={settings.n}",
            [f"values: {shown}"] if values else [],
            f"set folds.n={len(values)}" if 2 <= len(values) <= 50 else "name another column in folds.column",
        )
    ids_N = samples.ids_N
    splits = tuple(Split(ids_N[samples.folds_N != v], ids_N[samples.folds_N == v]) for v in values)
    notes = [f"folds from column `{settings.column}`: {', '.join(values)}"]
    empty = len(samples) - len(FoldPlan(splits).covered)
    if empty:
        notes.append(f"{empty} of {len(samples)} images have no fold: they train everywhere, unscored")
    return FoldPlan(splits, tuple(notes))


def _natural(value: str) -> tuple[int, float, str]:
    """Numbers by size, then words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _splits(samples: Samples, part_N: Ints, n: int) -> tuple[Split, ...]:
    ids_N = samples.ids_N
    return tuple(Split(ids_N[part_N != k], ids_N[part_N == k]) for k in range(n))


def _class_notes(samples: Samples, part_N: Ints, n: int) -> list[str]:
    notes = []
    valid_KC = per_part_KC(samples, part_N, n)
    for c, groups in enumerate(groups_per_class(samples)):
        name = samples.space.classes[c]
        without = [str(k) for k in np.flatnonzero(valid_KC[:, c] == 0)]
        if groups == 0:
            notes.append(f"class {name}: no training image; no fold trains or validates it")
        elif groups < n:
            text = f"class {name}: {groups} groups for {n} folds, fall-back `spread`: validated by"
            inside = ", ".join(str(k) for k in np.flatnonzero(valid_KC[:, c]))
            text = f"{text} fold {inside} and never by {', '.join(without)}"
            if groups == 1:
                text = f"{text}; fold {inside} trains without it"
            notes.append(text)
        elif without:
            notes.append(f"class {name}: {groups} groups, but fold {', '.join(without)} validates none of it")
    return notes


KINDS: dict[str, Callable[[Samples, FoldSettings], FoldPlan]] = {
    "stratified_group": _stratified_group,
    "stratified": _stratified,
    "repeated": _repeated,
    "holdout": _holdout,
    "bootstrap": _bootstrap,
    "column": _column,
}
