"""Fold plans: which images train and which validate, fold by fold.

Owns the kinds of plan, their notes, and assigning samples to n parts. Does not own the checks of a plan
(`data/page.py`), nor what is done with a fold (`resample/indices.py`, `train/loop.py`).

| kind | folds | each image validates |
|---|---|---|
| stratified_group | n | once; whole groups |
| stratified | n | once; groups are ignored |
| repeated | repeats × n | once a repeat |
| holdout | 1 | `valid_share` of them once |
| bootstrap | n | when its group is out of the bag, about 37 % of the draws |
| column | n, its values | once, never where the column is empty |

Parts come from scikit-learn's StratifiedGroupKFold,
https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.StratifiedGroupKFold.html.
It is greedy and guarantees nothing: a part may be empty, or lack a class that has groups enough. So a few
shuffles are tried, the first one without such a gap is taken, and a gap that remains is reported. Where every
image is its own group, StratifiedKFold gives the same in a moment (0.3 s instead of 12 s for 31,500 images).
Labels that hold together, and ranges of values, are dealt by iterative stratification (`data/iterative.py`).
In what follows, a class is a stratum of `data/strata.py`: a class, a label, or a range of a value.

Bootstrap by groups: Efron & Tibshirani, Improvements on Cross-Validation: The .632+ Bootstrap Method
(JASA 1997). Shape legend: N samples, C classes, K folds or parts, G groups, T training ids.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import SHOWN_FAULTS, DataError
from pipeline.core.group_resampling import times_drawn
from pipeline.core.language import _
from pipeline.core.samples import FoldPlan, Ints, Samples, Split, Strings, positions, strings
from pipeline.core.seeds import Part, rng, seed
from pipeline.core.terminal import bar_of
from pipeline.core.wording import worded
from pipeline.data import iterative, strata, texts
from pipeline.data.strata import Strata
from pipeline.settings.folds import FoldSettings

SEED_LIMIT = 2**32
SHUFFLES = 10
# The finest division for a hold-out: its share is met to the nearest of these parts.
FINEST_PARTS = 20
BOOTSTRAP_TRIES = 100
# Notes about single classes: with more than so many, only the first ones are written.
MOST_NOTES, SHOWN_NOTES = 20, 8


def deal(samples: Samples, n: int, root_seed: int, *purpose: Part, by_group: bool = True) -> Ints:
    """(N,) the part, 0 to n-1, of each sample: the best of a few shuffles.

    Args:
        samples: labelled, ordered by id and not by the table.
        n: number of parts.
        root_seed: equal seeds and purposes give equal parts.
        purpose: of this assignment; another purpose gives other parts.
        by_group: no group is in two parts; otherwise groups are ignored.

    Raises:
        DataError: fewer groups than parts, or a part that remains empty.
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
            _("folds: {groups} groups cannot fill all {folds} folds").format(
                groups=len(set(samples.groups_N)), folds=n
            ),
            remedy=_("set folds.n lower than {n}").format(n=n),
        )
    return best_N


def shuffles(
    samples: Samples, n: int, root_seed: int, *purpose: Part, by_group: bool = True
) -> Iterator[Ints]:
    """A few assignments to choose from, each (N,) parts."""
    for attempt in bar_of("folds", "plan", range(SHUFFLES)):
        state = seed(root_seed, "folds", attempt, *purpose) % SEED_LIMIT
        yield _one(samples, n, state, by_group)


def parts_of_groups(samples: Samples, n: int, root_seed: int) -> list[Strings]:
    """The ids in at most n disjoint parts that share no group; fewer parts if there are few groups.

    For fitting on some parts and scoring on another, where a fold plan gives no such parts.
    """
    ordered = samples.take(np.sort(samples.ids_N))
    n = min(n, len(np.unique(ordered.groups_N)), _most_parts(ordered))
    if n < 2:
        return [ordered.ids_N]
    part_N = next(shuffles(ordered, n, root_seed, "parts"))
    return [ordered.ids_N[part_N == k] for k in np.unique(part_N)]


def _most_parts(samples: Samples) -> int:
    """Into how many parts samples can be divided, whatever their groups: a class must reach every part."""
    return int(images_per_class(samples).max()) if strata.one_each(samples) else len(samples)


def groups_per_class(samples: Samples) -> Ints:
    """(C,) number of groups that contain each class."""
    of = Strata.of(samples)
    pairs = np.unique(np.stack([of.stratum_P, codes(samples.groups_N)[of.row_P]]), axis=1)
    return np.bincount(pairs[0], minlength=len(of.names)).astype(np.int64)


def images_per_class(samples: Samples) -> Ints:
    """(C,) images of each class."""
    return Strata.of(samples).sizes_S


def per_part_KC(samples: Samples, part_N: Ints, n: int) -> Ints:
    """(K, C) images of each class in each part."""
    return Strata.of(samples).sizes_in(part_N, n)


def codes(values: Strings) -> Ints:
    """Each value as its position among the sorted values."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _check_sizes(samples: Samples, n: int, by_group: bool) -> None:
    groups = len(np.unique(samples.groups_N))
    if by_group and groups < n:
        raise DataError(
            _("folds: {groups} groups cannot fill folds.n={n} folds").format(groups=groups, n=n),
            remedy=_(
                "set folds.n to at most {groups}, or check competition.group_column or group_pattern"
            ).format(groups=groups),
        )
    if len(samples) < n:
        raise DataError(
            _("folds: {images} images cannot fill folds.n={folds} folds").format(
                images=len(samples), folds=n
            ),
            remedy=_("set folds.n to at most {n}").format(n=len(samples)),
        )


def _one(samples: Samples, n: int, state: int, by_group: bool) -> Ints:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    alone = not by_group or len(np.unique(samples.groups_N)) == len(samples)
    if not strata.one_each(samples):
        return _iterative(samples, n, state, alone)
    if int(images_per_class(samples).max()) < n:
        return _dealt(samples, n, state, alone)
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(n, shuffle=True, random_state=state)
    part_N = np.full(len(samples), -1, np.int64)
    with warnings.catch_warnings():
        # Our own notes name rare classes, and count groups instead of images.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        groups, class_N = None if alone else samples.groups_N, strata.class_of(samples)
        for k, (_, valid) in enumerate(splitter.split(np.zeros(len(samples)), class_N, groups)):
            part_N[valid] = k
    assert (part_N >= 0).all(), "a sample is in no part"
    return part_N


def _iterative(samples: Samples, n: int, state: int, alone: bool) -> Ints:
    """(N,) parts in which every label, or every range of a value, has its share; whole groups."""
    group_N = np.arange(len(samples)) if alone else codes(samples.groups_N)
    sizes_G = np.bincount(group_N)
    counts_GS = Strata.of(samples).balanced_in(group_N, len(sizes_G))
    return iterative.parts_of(counts_GS, sizes_G.astype(np.int64), n, state)[group_N]


def _dealt(samples: Samples, n: int, state: int, alone: bool) -> Ints:
    """(N,) parts where no class has an image for each: groups in the order of their classes, dealt in turn.

    scikit-learn's splitters refuse this case.
    """
    group_N = np.arange(len(samples)) if alone else codes(samples.groups_N)
    n_groups = int(group_N.max()) + 1
    first_G = np.full(n_groups, samples.space.n_classes, np.int64)
    np.minimum.at(first_G, group_N, strata.class_of(samples))
    drawn_G = np.random.default_rng(state).permutation(n_groups)
    part_G = np.empty(n_groups, np.int64)
    part_G[drawn_G[np.argsort(first_G[drawn_G], kind="stable")]] = np.arange(n_groups) % n
    return part_G[group_N]


def plan(samples: Samples, settings: FoldSettings) -> FoldPlan:
    """The splits of `settings.kind`.

    The same samples give the same plan, whatever the order of their table. A class with fewer groups than
    folds is not an error: in this fallback, `spread`, each of its groups is in another fold, those folds
    validate the class and the others do not; a note says so.

    Raises:
        DataError: the samples cannot be split: too few groups or images, a fold that remains empty, or
            a column with more or fewer values than `folds.n`.
    """
    # Ordered by id, so that the plan does not depend on the order of the table's rows.
    samples = samples.take(np.sort(samples.ids_N))
    alone_N, empty = _single_images(samples, settings), _empty_notes(samples, settings)
    if not alone_N.any():
        made = KINDS[settings.kind](samples, settings)
        return FoldPlan(made.splits, (*made.notes, *empty))
    made = KINDS[settings.kind](samples.take(samples.ids_N[~alone_N]), settings)
    ids = samples.ids_N[alone_N]
    splits = tuple(
        Split(np.sort(np.concatenate([split.train_ids, ids])), split.valid_ids) for split in made.splits
    )
    named = [samples.space.classes[c] for c in samples.labels[alone_N]]
    some = ", ".join(named[:SHOWN_FAULTS]) + ", …" * (len(named) > SHOWN_FAULTS)
    first = worded(texts.SINGLE_IMAGES, classes=len(ids), names=some)
    return FoldPlan(splits, (first, *made.notes, *empty))


def _empty_notes(samples: Samples, settings: FoldSettings) -> list[str]:
    """The classes without an image, where notes are about classes; one that only trains has images."""
    if settings.kind not in ("stratified_group", "repeated"):
        return []
    empty_C = groups_per_class(samples) == 0
    if samples.space.kind == "exclusive":
        empty_C &= groups_per_class(samples.for_training()) == 0
    of = Strata.of(samples).names
    notes = [texts.CLASS_EMPTY.format(name=of[c]) for c in np.flatnonzero(empty_C)]
    return _some_notes(notes, texts.CLASSES_EMPTY_MORE)


def _single_images(samples: Samples, settings: FoldSettings) -> npt.NDArray[np.bool_]:
    """(N,) images that are the only one of their class and of their group, where they are kept in training.

    A single image whose group has other images has to validate with them: it would tell of their group.
    """
    none = np.zeros(len(samples), bool)
    dealt = settings.kind in ("stratified_group", "stratified", "repeated", "holdout")
    if samples.space.kind != "exclusive" or settings.singles != "train" or not dealt:
        return none
    group_N = codes(samples.groups_N)
    alone_N = (images_per_class(samples)[samples.labels] == 1) & (np.bincount(group_N)[group_N] == 1)
    return alone_N if (~alone_N).sum() >= 2 * settings.n else none


def with_extra(plan: FoldPlan, own: Samples, extra: Samples) -> FoldPlan:
    """The plan with the extra images in every training part.

    An extra image whose group is in the validation part of a fold is left out of that fold: another photo of
    the same person would leak. No id is in both `own`, the samples of the plan, and `extra`.
    """
    splits, left_out = [], 0
    for split in plan.splits:
        validating = own.groups_N[positions(split.valid_ids, own.ids_N, "fold plan")]
        fits_N = ~np.isin(extra.groups_N, validating)
        left_out += int((~fits_N).sum())
        more = extra.ids_N[fits_N]
        times = None if split.times_T is None else np.r_[split.times_T, np.ones(len(more), np.int64)]
        train_ids = strings([*split.train_ids.tolist(), *more.tolist()])
        splits.append(Split(train_ids, split.valid_ids, times))
    text = texts.EXTRA + (texts.EXTRA_LEFT_OUT if left_out else "")
    return FoldPlan(tuple(splits), (*plan.notes, text.format(images=len(extra), times=left_out)))


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
        of_repeat = _class_notes(samples, part_N, settings.n)
        notes += [texts.REPEAT.format(repeat=repeat, note=note) for note in of_repeat]
    first = texts.REPEATED.format(repeats=settings.repeats, n=settings.n)
    return FoldPlan(tuple(splits), (first, *notes))


def _holdout(samples: Samples, settings: FoldSettings) -> FoldPlan:
    """Some parts of a finer division: those that best meet the share and contain every class."""
    assert settings.valid_share is not None, "a rule of the settings asks for valid_share"
    groups = len(np.unique(samples.groups_N))
    finest = min(FINEST_PARTS, groups, _most_parts(samples))
    if finest < 2:
        raise DataError(
            _("folds: {groups:group} cannot be split in two").format(groups=groups),
            remedy=_("check competition.group_column or group_pattern"),
        )
    share = Fraction(settings.valid_share).limit_denominator(finest)
    n = max(share.denominator, 2)
    taken = min(max(share.numerator, 1), n - 1)
    wanted_C = settings.valid_share * images_per_class(samples)
    spread_C = groups_per_class(samples) >= 2
    candidates: list[tuple[int, float, int, int]] = []
    deals = list(shuffles(samples, n, settings.seed, "holdout"))
    for attempt, part_N in enumerate(deals):
        table_KC = per_part_KC(samples, part_N, n)
        for first in range(n):
            valid_C = table_KC[(first + np.arange(taken)) % n].sum(axis=0)
            lost = (valid_C == 0) | (valid_C == table_KC.sum(axis=0))
            off = float(np.abs(valid_C - wanted_C).sum())
            candidates.append((int((lost & spread_C).sum()), off, attempt, first))
    attempt, first = min(candidates)[2:]
    valid_N = np.isin((deals[attempt] - first) % n, np.arange(taken))
    ids_N = samples.ids_N
    note = texts.HOLDOUT.format(images=valid_N.sum(), all=len(samples), share=valid_N.mean())
    return FoldPlan((Split(ids_N[~valid_N], ids_N[valid_N]),), (note,))


def _bootstrap(samples: Samples, settings: FoldSettings) -> FoldPlan:
    group_N = codes(samples.groups_N)
    n_groups = int(group_N.max()) + 1
    if n_groups < 2:
        raise DataError(
            _("folds: with one group no image is ever out of bag"),
            remedy=_("check competition.group_column or group_pattern"),
        )
    splits = []
    for draw in range(settings.n):
        times_N = _drawn(n_groups, settings.seed, draw)[group_N]
        bag = times_N > 0
        splits.append(Split(samples.ids_N[bag], samples.ids_N[~bag], times_N[bag]))
    made = FoldPlan(tuple(splits))
    never = len(samples) - len(made.covered)
    note = texts.BOOTSTRAP.format(draws=settings.n, groups=n_groups)
    if never:
        note += worded(texts.BOOTSTRAP_NEVER, images=never, all=len(samples))
    return FoldPlan(made.splits, (note,))


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
            _("folds: column `{column}` has {values} values, and folds.n={folds}").format(
                column=settings.column, values=len(values), folds=settings.n
            ),
            [_("values: {shown}").format(shown=shown)] if values else [],
            _("set folds.n={n}").format(n=len(values))
            if 2 <= len(values) <= 50
            else _("name another column in folds.column"),
        )
    ids_N = samples.ids_N
    splits = tuple(Split(ids_N[samples.folds_N != v], ids_N[samples.folds_N == v]) for v in values)
    notes = [texts.COLUMN.format(column=settings.column, values=", ".join(values))]
    empty = len(samples) - len(FoldPlan(splits).covered)
    if empty:
        notes.append(worded(texts.COLUMN_EMPTY, images=empty, all=len(samples)))
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
    valid_KC, names = per_part_KC(samples, part_N, n), Strata.of(samples).names
    for c, groups in enumerate(groups_per_class(samples)):
        name = names[c]
        without = ", ".join(str(k) for k in np.flatnonzero(valid_KC[:, c] == 0))
        if 0 < groups < n:
            inside = ", ".join(str(k) for k in np.flatnonzero(valid_KC[:, c]))
            text = texts.CLASS_FEW_GROUPS + (texts.CLASS_ONE_GROUP if groups == 1 else "")
            notes.append(worded(text, name=name, groups=groups, n=n, inside=inside, without=without))
        elif groups and without:
            notes.append(worded(texts.CLASS_UNVALIDATED, name=name, groups=groups, without=without))
    return _some_notes(notes, texts.CLASSES_MORE)


def _some_notes(notes: list[str], rest: str) -> list[str]:
    if len(notes) > MOST_NOTES:
        return [*notes[:SHOWN_NOTES], worded(rest, classes=len(notes) - SHOWN_NOTES)]
    return notes


KINDS: dict[str, Callable[[Samples, FoldSettings], FoldPlan]] = {
    "stratified_group": _stratified_group,
    "stratified": _stratified,
    "repeated": _repeated,
    "holdout": _holdout,
    "bootstrap": _bootstrap,
    "column": _column,
}
