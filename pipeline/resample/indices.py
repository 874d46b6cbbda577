"""Which of a fold's training rows an epoch shows: under- and oversampling as indices, and copies.

Owns how many rows each class gets, drawing them at random, offline copies, and calling a sampler of the
user's own and checking what it returns. Does not own folds (`data/folds.py`): only a fold's training part
comes in, so validation rows cannot be touched. Choosing by features is in `resample/feature_space.py`.

Drawing is imbalanced-learn's RandomUnderSampler and RandomOverSampler, https://imbalanced-learn.org.

Shape legend: N training samples, R rows, C classes, U units (images or groups), S synthetic rows.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core import plugin
from pipeline.core.errors import SHOWN_FAULTS, ConfigError, DataError, nearest
from pipeline.core.language import _
from pipeline.core.plugin import Own, described
from pipeline.core.predictions import Features
from pipeline.core.samples import Ints, Samples, Strings, SyntheticRows, TrainRows
from pipeline.core.seeds import rng, seed
from pipeline.data.strata import Strata, attribute_codes, class_of
from pipeline.resample import texts
from pipeline.settings.resample import FEATURE_METHODS, SYNTHETIC_METHODS, ResampleSettings

WANTED = "an array of integers: the positions to show, each from 0 to N - 1, repeated if shown repeatedly"
SEED_LIMIT = 2**32
DROPPING = ("under", "near_miss", "centroids")


@dataclass(frozen=True)
class Part:
    """A fold's training part.

    Args:
        samples: labelled, in table order.
        fold: its number; each fold draws on its own.
        times_N: how often each sample is in the bag of a bootstrap, ≥ 1; None: once.
        features: of these samples, found by id; for methods of `FEATURE_METHODS`.
    """

    samples: Samples
    fold: int
    times_N: Ints | None = None
    features: Features | None = None

    @property
    def base_R(self) -> Ints:
        """Every sample as often as it is in the bag, in table order."""
        at = np.arange(len(self.samples), dtype=np.int64)
        return at if self.times_N is None else np.repeat(at, self.times_N)


@dataclass(frozen=True)
class Resampled:
    """The training rows of a fold.

    Args:
        rows: the rows of an epoch; those at N and beyond are synthetic.
        synthetic: rows that belong to no image, or None.
    """

    rows: Callable[[int], TrainRows]
    synthetic: SyntheticRows | None = None


def plan(part: Part, settings: ResampleSettings) -> Resampled:
    """The rows of every epoch of a fold: rows that remain in table order, then repeated rows, then copies.

    Raises:
        ConfigError: `to` needs a bound that is not given, an unknown class is named, or groups contain
            several of the classes that are to be balanced by whole groups.
        DataError: there is only one class, so there is nothing to balance.
    """
    classes_N, names = strata(part.samples, settings)
    copied_N = np.isin(classes_N, _copied(settings, names))
    synthetic: SyntheticRows | None = None
    if plugin.is_plugin(settings.method):
        shown = _own(part, settings, classes_N)
    elif settings.method in FEATURE_METHODS:
        fixed, synthetic = _by_features(part, settings, classes_N, names)

        def shown(epoch: int) -> TrainRows:
            return fixed
    else:

        def shown(epoch: int) -> TrainRows:
            return _drawn(part, settings, classes_N, names, epoch)

    def rows(epoch: int) -> TrainRows:
        kept = shown(epoch)
        if settings.copies is None:
            return kept
        images = np.unique(kept.index_R)
        images = np.repeat(images[copied_N[images]], settings.copies.times)
        return kept.with_copies(images, settings.copies.policy)

    return Resampled(rows, synthetic)


def _own(part: Part, settings: ResampleSettings, classes_N: Ints) -> Callable[[int], TrainRows]:
    """The rows that the user's own sampler chooses from those of the bag."""
    own, base_R = plugin.Own(settings.method, Path.cwd(), "resample.method"), part.base_R
    labels_R, groups_R = classes_N[base_R], part.samples.groups_N[base_R]

    @cache
    def drawn(epoch: int) -> TrainRows:
        at = draw(own, labels_R, groups_R, part.fold, epoch, settings.seed)
        return TrainRows.of(base_R[at])

    return lambda epoch: drawn(epoch if settings.redraw else 0)


def expected_rows(part: Part, settings: ResampleSettings) -> int:
    """The approximate number of rows of an epoch: exact for under and over, else the sum of the targets."""
    if settings.method not in FEATURE_METHODS:
        return len(plan(part, settings).rows(0))
    classes_N, names = strata(part.samples, settings)
    kept = sum(_targets(classes_N, names, settings).values())
    chosen = np.isin(classes_N, _copied(settings, names)).mean() if len(classes_N) else 0.0
    copies = settings.copies.times * chosen if settings.copies else 0.0
    return round(kept * (1 + copies) * len(part.base_R) / max(len(classes_N), 1))


def strata(samples: Samples, settings: ResampleSettings) -> tuple[Ints, tuple[str, ...]]:
    """(N,) codes of the values to balance, and the codes' names: classes, or one attribute's values.

    Of labels each sample counts as the rarest label that it has, or as one without a label; with `on`, as one
    with or without that label. Of a value the codes are ranges of equal width. -1 is unknown.

    Raises:
        ConfigError: there is no such attribute, or several values and none is named.
    """
    space = samples.space
    if settings.on == "class" and space.kind == "labels":
        return _rarest_label(samples)
    several = space.kind == "values" and len(space.attributes) > 1
    if settings.on == "class" and several and settings.method != "none":
        names = ", ".join(space.classes)
        raise ConfigError(
            _("resample.on: which value shall be balanced?"),
            remedy=_("name one of {names}").format(names=names),
        )
    if settings.on == "class" and space.kind != "values":
        return class_of(samples), space.classes
    known = [a.name for a in space.attributes]
    if settings.on == "class":
        return _equal_ranges(samples, 0, settings.bins)
    if settings.on not in known:
        raise ConfigError(
            _("resample.on: no attribute `{on}`").format(on=settings.on), remedy=nearest(settings.on, known)
        )
    number = known.index(settings.on)
    if space.kind == "values":
        return _equal_ranges(samples, number, settings.bins)
    return attribute_codes(samples, number)


def _rarest_label(samples: Samples) -> tuple[Ints, tuple[str, ...]]:
    """(N,) the rarest label of each sample among those that hold; the last code is of samples without any."""
    of = Strata.of(samples)
    none = len(of.names)
    rank_S = np.empty(none + 1, np.int64)
    rank_S[np.argsort(of.sizes_S, kind="stable")] = np.arange(none)
    rank_S[none] = none
    best_N = np.full(len(samples), none, np.int64)
    np.minimum.at(best_N, of.row_P, rank_S[of.stratum_P])
    return np.argsort(rank_S, kind="stable")[best_N].astype(np.int64), (*of.names, texts.NO_LABEL)


def _equal_ranges(samples: Samples, number: int, n: int) -> tuple[Ints, tuple[str, ...]]:
    """(N,) the range of one value, of n that are equally wide, -1 where it is unknown.

    The outer ones begin at the 1st and end at the 99th percentile, and hold what is beyond: a single outlier
    would leave all others in one range. Ranges of equal counts would have nothing to balance.
    """
    y_N = np.asarray(samples.truth, dtype=np.float64)[:, number]
    known_N = ~np.isnan(y_N)
    name = samples.space.classes[number]
    names = tuple(texts.RANGE.format(name=name, number=k + 1, n=n) for k in range(n))
    if not known_N.any():
        return np.full(len(y_N), -1, np.int64), names
    low, high = np.quantile(y_N[known_N], [0.01, 0.99])
    edges = np.linspace(low, high, n + 1)[1:-1]
    return np.where(known_N, np.searchsorted(edges, np.nan_to_num(y_N), side="right"), -1), names


def counts(samples: Samples, chosen: TrainRows, settings: ResampleSettings) -> pd.DataFrame:
    """The images of each class (or label, or range of a value) before, and its rows after.

    Returns:
        Columns class, before, after, and copies, the rows of `after` that are offline copies; of labels also
        rows, those of the epoch in which it is known. Synthetic rows are not counted.
    """
    of = Strata.of(samples)
    if samples.space.kind == "values":
        codes_N, names = strata(samples, settings)
        known = np.flatnonzero(codes_N >= 0)
        of = Strata(names, known, codes_N[known])
    images_R = chosen.index_R < len(samples)
    table = {"class": list(of.names), "before": of.sizes_S}
    for name, shown_R in (("after", images_R), ("copies", images_R & (chosen.policy_R > 0))):
        times_N = np.bincount(chosen.index_R[shown_R], minlength=len(samples))
        rows = np.bincount(of.stratum_P, weights=times_N[of.row_P], minlength=len(of.names))
        table[name] = rows.astype(np.int64)
    if samples.space.kind == "labels":
        times_N = np.bincount(chosen.index_R[images_R], minlength=len(samples))
        table["rows"] = (times_N @ ~np.isnan(samples.truth)).astype(np.int64)
    return pd.DataFrame(table)


def _drawn(
    part: Part, settings: ResampleSettings, classes_N: Ints, names: Sequence[str], epoch: int
) -> TrainRows:
    """Rows by random draws of images or of whole groups."""
    unit_R, n_units = _units(part, settings)
    base_R = part.base_R
    first = np.unique(unit_R, return_index=True)[1]
    classes_U = classes_N[base_R[first]]
    if settings.unit == "group" and settings.method != "none":
        _refuse_mixed_groups(part.samples, settings, classes_N)
    targets = _targets(classes_U, names, settings)
    present = Counter(classes_U.tolist())
    if all(present[c] == n for c, n in targets.items()):
        return TrainRows.of(base_R)
    index_U = _sample(classes_U, targets, settings, part.fold, epoch)
    if n_units == len(base_R):
        return TrainRows.of(base_R[index_U])
    members = np.split(np.argsort(unit_R, kind="stable"), np.cumsum(np.bincount(unit_R))[:-1])
    at_R = np.concatenate([members[u] for u in index_U.tolist()])
    return TrainRows.of(base_R[np.sort(at_R) if settings.method == "under" else at_R])


def _units(part: Part, settings: ResampleSettings) -> tuple[Ints, int]:
    """(R,) the unit of each row of the bag, and how many there are.

    A group that a bootstrap drew twice is two units.
    """
    base_R = part.base_R
    if settings.unit == "image":
        return np.arange(len(base_R), dtype=np.int64), len(base_R)
    group_R = np.unique(part.samples.groups_N, return_inverse=True)[1][base_R]
    pairs = np.stack([group_R, TrainRows.of(base_R).copy_R])
    unit_R = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
    # Numbered in table order, so that what is kept stays in it.
    _, first, at = np.unique(unit_R, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[at].astype(np.int64), len(first)


def _refuse_mixed_groups(samples: Samples, settings: ResampleSettings, classes_N: Ints) -> None:
    pairs = np.unique(np.stack([np.unique(samples.groups_N, return_inverse=True)[1], classes_N]), axis=1)
    groups, held = np.unique(pairs[0], return_counts=True)
    mixed = np.unique(samples.groups_N)[groups[held > 1]]
    if len(mixed):
        constant = [a.name for a in samples.space.attributes if a.constant_in_group]
        raise ConfigError(
            _("resample.unit=group: {n} groups hold several values of resample.on={on}").format(
                n=len(mixed), on=settings.on
            ),
            [str(group) for group in mixed[:SHOWN_FAULTS]],
            _(
                "set resample.on to an attribute that is constant in a group ({constant}), or set "
                "resample.unit=image"
            ).format(constant=", ".join(constant) or _("there is none")),
        )


def _sample(
    classes_U: Ints, targets: Mapping[int, int], settings: ResampleSettings, fold: int, epoch: int
) -> Ints:
    """Units that imbalanced-learn draws to meet the targets; dropping keeps the order."""
    # Imported here: it takes a second, and most runs resample nothing.
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler_of = {"under": RandomUnderSampler, "over": RandomOverSampler}[settings.method]
    _refuse_one_class(targets, fold)
    sampler = sampler_of(sampling_strategy=dict(targets), random_state=_draw(settings, fold, epoch))
    with warnings.catch_warnings():
        # scikit-learn suspects a regression where many classes have few samples; they are classes.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        sampler.fit_resample(np.zeros((len(classes_U), 1)), np.asarray(classes_U))
    index_U = np.asarray(sampler.sample_indices_, dtype=np.int64)
    return np.sort(index_U) if settings.method == "under" else index_U


def _refuse_one_class(targets: Mapping[int, int], fold: int) -> None:
    if len(targets) == 1:
        message = _("fold {fold}: the training part has only one class, so nothing can be resampled").format(
            fold=fold
        )
        raise DataError(message, remedy=_("check the labels and the folds, or set resample.method=none"))


def _draw(settings: ResampleSettings, fold: int, epoch: int) -> int:
    return seed(settings.seed, "resample", fold, epoch if settings.redraw else 0) % SEED_LIMIT


def _by_features(
    part: Part, settings: ResampleSettings, classes_N: Ints, names: Sequence[str]
) -> tuple[TrainRows, SyntheticRows | None]:
    """Rows chosen by their neighbours, or every row and synthetic ones made between neighbours."""
    # Imported here: scikit-learn's neighbours and clusters take a second.
    from pipeline.resample import feature_space

    assert part.features is not None, f"{settings.method} needs features: the stage asks for them"
    targets = _targets(classes_N, names, settings)
    _refuse_one_class(targets, part.fold)
    if settings.method != "tomek" and targets == dict(Counter(classes_N.tolist())):
        return TrainRows.of(part.base_R), None
    space = feature_space.FeatureSpace(
        part.features.take(part.samples.ids_N).x_NVD,
        classes_N,
        part.samples.groups_N,
        targets,
        settings.neighbours,
        _draw(settings, part.fold, 0),
    )
    if settings.method not in SYNTHETIC_METHODS:
        kept = feature_space.CHOOSERS[settings.method](space)
        return TrainRows.of(part.base_R[np.isin(part.base_R, kept)]), None
    made = feature_space.synthesize(space, settings.method)
    n = len(part.samples)
    return TrainRows.of(np.concatenate([part.base_R, np.arange(n, n + len(made))])), made


def _targets(classes_U: Ints, names: Sequence[str], settings: ResampleSettings) -> dict[int, int]:
    """The number of units that each class that occurs is to have."""
    classes, sizes = np.unique(classes_U, return_counts=True)
    have = {int(c): int(n) for c, n in zip(classes, sizes, strict=True)}
    if settings.method in ("none", "tomek") or not have:
        return have
    pick = min if settings.method in DROPPING else max
    # Samples of which it is unknown stay as they are.
    unknown = {c: n for c, n in have.items() if c < 0}
    have = {c: n for c, n in have.items() if c >= 0}
    if not have:
        return unknown
    if settings.to == "counts":
        if settings.counts is None:
            remedy = _("set resample.counts={class: number, …}")
            raise ConfigError(_("resample.to=counts needs counts"), remedy=remedy)
        _refuse_unknown(settings.counts, names, "resample.counts")
        asked = {names.index(name): n for name, n in settings.counts.items()}
        return unknown | {c: pick(n, asked.get(c, n)) for c, n in have.items()}
    bound = _bound(list(have.values()), settings)
    return unknown | {c: pick(n, bound) for c, n in have.items()}


def _bound(sizes: list[int], settings: ResampleSettings) -> int:
    """The largest (dropping) or smallest (adding) number of units of a class."""
    under = settings.method in DROPPING
    if settings.to == "cap":
        if settings.cap is None:
            raise ConfigError(
                _("resample.to=cap needs a cap"), remedy=_("set resample.cap, e.g. resample.cap=200")
            )
        return settings.cap
    if settings.to == "ratio":
        if settings.ratio is None:
            raise ConfigError(_("resample.to=ratio needs a ratio"), remedy=_("set resample.ratio, e.g. 3"))
        # Rounded to the side that keeps largest : smallest within the ratio.
        return math.floor(settings.ratio * min(sizes)) if under else math.ceil(max(sizes) / settings.ratio)
    return min(sizes) if under else max(sizes)


def _copied(settings: ResampleSettings, names: Sequence[str]) -> list[int]:
    """The codes whose images get offline copies."""
    if settings.copies is None or settings.copies.classes is None:
        return list(range(len(names)))
    _refuse_unknown(settings.copies.classes, names, "resample.copies.classes")
    return [names.index(name) for name in settings.copies.classes]


def _refuse_unknown(asked: Iterable[str], names: Sequence[str], setting: str) -> None:
    unknown = [name for name in asked if name not in names]
    if unknown:
        hints = [f"`{name}` is unknown; {nearest(name, names) or 'see resample.on'}" for name in unknown]
        raise ConfigError(
            _("{setting}: {n} unknown").format(setting=setting, n=len(unknown)),
            hints,
            _("known: {names}").format(names=", ".join(names)),
        )


def draw(own: Own, labels_N: Ints, groups_N: Strings, fold: int, epoch: int, root_seed: int) -> Ints:
    """(R,) positions chosen by the user's own sampler, R ≥ 1; equal arguments give equal positions.

    Args:
        own: called with copies of the labels and groups, the fold, and a numpy Generator.
        labels_N: class of each row, or its value of the attribute that is balanced.
        groups_N: group of each row.
        fold: its number.
        epoch: of the draw; 0 where every epoch shows the same rows.
        root_seed: of the generator.

    Raises:
        ConfigError: it failed, or returned no positions, or positions out of range; names function and file.
    """
    returned: Any = own(labels_N.copy(), groups_N.copy(), fold, rng(root_seed, "own sampler", fold, epoch))
    try:
        at = np.asarray(returned)
    except ValueError:
        raise own.wrong(described(returned), WANTED) from None
    if at.ndim != 1 or not (np.issubdtype(at.dtype, np.integer) or not len(at)):
        raise own.wrong(described(at if at.shape else returned), WANTED)
    if not len(at):
        raise own.wrong(_("no rows for fold {fold}").format(fold=fold), WANTED)
    outside = int(((at < 0) | (at >= len(labels_N))).sum())
    if outside:
        got = _("{outside} positions outside 0 … {n} (from {min} to {max})").format(
            outside=outside, n=len(labels_N) - 1, min=at.min(), max=at.max()
        )
        raise own.wrong(got, WANTED)
    return at.astype(np.int64)
