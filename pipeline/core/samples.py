"""The values that training uses; each checks itself when it is created.

Owns: classes, samples, folds and training rows, and finding samples **by id**. Does not own
the results of training (`core/predictions.py`) or reading and writing (`record/files.py`).

Shape legend: N samples, C classes or columns, A attributes, R training rows, K values of one attribute or the
columns of a truth, S synthetic rows, V views, D features.
The arrays in these values are read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import truths
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import _
from pipeline.core.truths import Beside, Cells
from pipeline.core.wording import worded

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]
# What is true of each sample: (N,) class indices where classes exclude each other, else (N, K) numbers.
Truth = Ints | Floats
# How the columns of a prediction belong together; `core/targets.py` says what follows from it.
Kind = Literal["exclusive", "labels", "values", "shares"]


def strings(values: Sequence[str] | Strings) -> Strings:
    """A read-only array of strings, from any sequence."""
    array = np.asarray(values, dtype=np.str_).reshape(len(values))
    array.setflags(write=False)
    return array


def frozen_array(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A contiguous, read-only array of this dtype."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.setflags(write=False)
    return view


def refuse_duplicates(ids: Strings, what: str) -> None:
    """Raise a `DataError` that names every id that occurs more than once in `what`."""
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        twice = unique[counts > 1]
        raise DataError(
            worded(_("{what}: {n:id} {n:occurs|occur} more than once"), what=what, n=len(twice)),
            [str(i) for i in twice],
        )


def positions(of: Strings, within: Strings, what: str) -> Ints:
    """The position of each id of `of` in `within`.

    Raises:
        DataError: an id of `of` is not in `within`; all of them are named.
    """
    order = np.argsort(within, kind="stable")
    place = np.searchsorted(within, of, sorter=order)
    clipped = np.minimum(place, max(len(within) - 1, 0))
    found = within[order[clipped]] == of if len(within) else np.zeros(len(of), bool)
    if not found.all():
        missing = [str(i) for i in of[~found]]
        raise DataError(
            worded(_("{what}: {n:id} missing (first: {first})"), what=what, n=len(missing), first=missing[0]),
            missing,
        )
    return np.asarray(order[clipped], dtype=np.int64)


@dataclass(frozen=True)
class Attribute:
    """One labelled attribute of the images, e.g. age.

    Args:
        name: as in the settings.
        values: display names in code order, at least two; empty for an attribute that is a number.
        constant_in_group: every image of a group has the same value (age of a person, not mask).
    """

    name: str
    values: tuple[str, ...]
    constant_in_group: bool = False


@dataclass(frozen=True)
class LabelSpace:
    """The columns of predictions, and the attribute values that each one stands for.

    Args:
        attributes: at least one; a plain label is a space of one attribute.
        classes: (C,) display names, in the order of every prediction's columns.
        codes_CA: the value of each attribute for each column; -1: the column says nothing about it.
        kind: how the columns belong together.
        weights: of labels or of their levels, by name, where the metric counts them differently; others: 1.
    """

    attributes: tuple[Attribute, ...]
    classes: tuple[str, ...]
    codes_CA: Ints
    kind: Kind = "exclusive"
    weights: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        codes = frozen_array(self.codes_CA, np.int64)
        object.__setattr__(self, "codes_CA", codes)
        assert codes.shape == (len(self.classes), len(self.attributes)), "codes_CA has a wrong shape"
        assert len(set(self.classes)) == len(self.classes), "class names repeat"

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.classes)

    @staticmethod
    def product(attributes: Sequence[Attribute]) -> LabelSpace:
        """All combinations of attribute values; the last attribute changes fastest."""
        sizes = [len(a.values) for a in attributes]
        codes = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)
        names = [" · ".join(a.values[c] for a, c in zip(attributes, row, strict=True)) for row in codes]
        return LabelSpace(tuple(attributes), tuple(names), codes.astype(np.int64))

    @staticmethod
    def independent(attributes: Sequence[Attribute]) -> LabelSpace:
        """Labels that may hold together, or none of them: each attribute is one label.

        A label of two values has one column, the probability of its second value, under its own name. One of
        more levels has a column for each, named `label · level`; they exclude each other.
        """
        names, owners, codes = [], [], []
        for number, attribute in enumerate(attributes):
            levels = [(attribute.name, 1)]
            if len(attribute.values) > 2:
                levels = [(f"{attribute.name} · {value}", v) for v, value in enumerate(attribute.values)]
            for name, value in levels:
                names.append(name)
                owners.append(number)
                codes.append(value)
        return LabelSpace(tuple(attributes), tuple(names), _codes(owners, codes, len(attributes)), "labels")

    @staticmethod
    def numbers(names: Sequence[str]) -> LabelSpace:
        """Values to predict: one column for each, a real number in the unit of the training table."""
        attributes = tuple(Attribute(name, ()) for name in names)
        places = list(range(len(names)))
        return LabelSpace(attributes, tuple(names), _codes(places, [0] * len(names), len(names)), "values")

    @property
    def widths(self) -> tuple[int, ...]:
        """(A,) how many columns each attribute has, in their order; exclusive classes are one block."""
        if self.kind in ("exclusive", "shares"):
            return (self.n_classes,)
        return tuple(int((self.codes_CA[:, a] >= 0).sum()) for a in range(len(self.attributes)))

    @property
    def cells(self) -> Cells:
        """The labels among the columns, and the weights of both, for metrics of labels."""
        weight = dict(self.weights)
        names = [attribute.name for attribute in self.attributes]
        levels = [weight.get(column, 1.0) if column not in names else 1.0 for column in self.classes]
        return Cells(self.widths, tuple(weight.get(name, 1.0) for name in names), tuple(levels))

    def with_cells(self, y_NK: Floats, beside: Beside | None = None) -> Floats:
        """The truth of these columns as metrics want it: that of labels knows which columns make a label."""
        plain = self.kind != "labels" or self.cells.plain
        return truths.known(y_NK, None if plain else self.cells, beside)

    def marginal(self, p_NC: Floats, attribute: int) -> Floats:
        """(N, K) probabilities of one attribute: class columns summed by its value."""
        size = len(self.attributes[attribute].values)
        if len(self.attributes) == 1 and np.array_equal(self.codes_CA[:, 0], np.arange(size)):
            return np.asarray(p_NC, dtype=np.float32)  # the classes are its values
        sums_CK = np.zeros((self.n_classes, size), np.float32)
        sums_CK[np.arange(self.n_classes), self.codes_CA[:, attribute]] = 1
        return np.asarray(p_NC @ sums_CK, dtype=np.float32)


def _codes(owners: Sequence[int], codes: Sequence[int], n_attributes: int) -> Ints:
    """(C, A) codes of columns of which each belongs to one attribute."""
    code_CA = np.full((len(owners), n_attributes), -1, np.int64)
    code_CA[np.arange(len(owners)), list(owners)] = list(codes)
    return code_CA


@dataclass(frozen=True)
class Samples:
    """The images of one split: their ids, paths, groups and labels.

    Args:
        ids_N: unique.
        paths_N: absolute paths, as text.
        groups_N: images of one group are never on both sides of a split; equals `ids_N` if none.
        space: the label space.
        labels_N: class index per image; None for a test set, and where classes do not exclude each other.
        split: "train", "test", or "extra" or "unlabelled" for images from elsewhere.
        train_labels_N: labels for training where they differ from `labels_N`, which score: other bins,
            corrected labels. None: the same.
        folds_N: the values of the column `folds.column`, as text; None if no column is named.
        soft_NC: targets for training where they are shared between classes; a row of NaN: its label. None:
            every row's label. They never score.
        y_NK: the truth of every other kind of target, a column for each of the space, NaN where it is
            unknown: labels hold (1), hold in part, or do not (0); values; shares that sum to 1. None for a
            test set, and for exclusive classes.
        train_y_NK: the truth for training where it differs from `y_NK`, which scores. None: the same.
        cells_NM: the columns of metadata, as text; None: there are none. See `core/metadata.py`.
        beside_NM: further columns that the metric reads, as text; None: there are none.
        beside_names: of these columns.

    Raises:
        DataError: duplicate ids, a label outside the space, or a truth that its kind does not allow.
    """

    ids_N: Strings
    paths_N: Strings
    groups_N: Strings
    space: LabelSpace
    labels_N: Ints | None
    split: str
    train_labels_N: Ints | None = None
    folds_N: Strings | None = None
    soft_NC: Floats | None = None
    y_NK: Floats | None = None
    train_y_NK: Floats | None = None
    cells_NM: Strings | None = None
    beside_NM: Strings | None = None
    beside_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cells_NM is not None:
            object.__setattr__(self, "cells_NM", frozen_array(self.cells_NM, np.str_))
            assert len(self.cells_NM) == len(self.ids_N), "cells_NM has a wrong length"
        if self.beside_NM is not None:
            object.__setattr__(self, "beside_NM", frozen_array(self.beside_NM, np.str_))
            size = (len(self.ids_N), len(self.beside_names))
            assert self.beside_NM.shape == size, "beside_NM has a wrong shape"
        for name in ("y_NK", "train_y_NK"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, frozen_array(getattr(self, name), np.float32))
                self._check_truth(name, getattr(self, name))
        if self.soft_NC is not None:
            object.__setattr__(self, "soft_NC", frozen_array(self.soft_NC, np.float32))
            assert self.soft_NC.shape == (len(self.ids_N), self.space.n_classes), "soft_NC has a wrong shape"
            sums_N = self.soft_NC.sum(axis=1)
            assert (np.isnan(sums_N) | (np.abs(sums_N - 1) < 1e-4)).all(), "soft targets sum to 1"
        if self.folds_N is not None:
            object.__setattr__(self, "folds_N", strings(self.folds_N))
            assert len(self.folds_N) == len(self.ids_N), "folds_N has a wrong length"
        for name in ("ids_N", "paths_N", "groups_N"):
            object.__setattr__(self, name, strings(getattr(self, name)))
        assert len(self.ids_N) == len(self.paths_N) == len(self.groups_N), "columns differ in length"
        assert self.labels_N is not None or self.train_labels_N is None, "training labels without labels"
        refuse_duplicates(self.ids_N, f"{self.split} table")
        for name in ("labels_N", "train_labels_N"):
            if getattr(self, name) is None:
                continue
            labels = frozen_array(getattr(self, name), np.int64)
            object.__setattr__(self, name, labels)
            assert labels.shape == self.ids_N.shape, f"{name} has a wrong shape"
            if len(labels) and not (labels.min() >= 0 and labels.max() < self.space.n_classes):
                raise DataError(
                    _("{split} table: a label lies outside the {n_classes} classes").format(
                        split=self.split, n_classes=self.space.n_classes
                    )
                )

    def _check_truth(self, name: str, y_NK: Floats) -> None:
        kind = self.space.kind
        assert kind != "exclusive", f"{name}: exclusive classes have labels_N"
        assert y_NK.shape == (len(self.ids_N), self.space.n_classes), f"{name} has a wrong shape"
        bad_N = np.isinf(y_NK).any(axis=1)
        if kind != "values":
            bad_N |= (y_NK < 0).any(axis=1) | (y_NK > 1).any(axis=1)
        if kind == "shares":
            bad_N |= ~(np.abs(y_NK.sum(axis=1) - 1) < 1e-3)
        if bad_N.any():
            raise DataError(
                worded(
                    _("{split} table: {n:row} {n:has|have} a truth that is no {kind}"),
                    split=self.split,
                    n=int(bad_N.sum()),
                    kind=kind,
                ),
                [str(i) for i in self.ids_N[bad_N]],
            )

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def labels(self) -> Ints:
        """(N,) classes of a labelled split; it is a bug of the program to read them for a test set.

        Raises:
            ConfigError: the classes do not exclude each other, so there is not one for each sample.
        """
        if self.space.kind != "exclusive":
            raise ConfigError(
                _("this step needs one class for each sample, and competition.target={kind}").format(
                    kind=self.space.kind
                ),
                remedy=_("leave the step out; docs/targets.md lists what each kind of target can do"),
            )
        assert self.labels_N is not None, f"the {self.split} split has no labels"
        return self.labels_N

    @property
    def labelled(self) -> bool:
        """Whether the truth is known, of whichever kind."""
        return self.labels_N is not None or self.y_NK is not None

    @property
    def truth(self) -> Truth:
        """What predictions are scored against: (N,) classes, or (N, K) numbers for other kinds of target."""
        if self.space.kind == "exclusive":
            return truths.known(self.labels, None, self.beside)
        assert self.y_NK is not None, f"the {self.split} split has no truth"
        return self.space.with_cells(self.y_NK, self.beside)

    @property
    def beside(self) -> Beside | None:
        """What a metric may read of these samples; None where the settings name no column."""
        if self.beside_NM is None:
            return None
        own = {name: self.beside_NM[:, at] for at, name in enumerate(self.beside_names)}
        return Beside.of(self.space.classes, {"id": self.ids_N, "group": self.groups_N, **own})

    def take(self, ids: Strings) -> Samples:
        """The named samples, in the order of `ids`."""
        at = positions(ids, self.ids_N, f"{self.split} samples")
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        taken: dict[str, Any] = {name: v[at] if isinstance(v, np.ndarray) else v for name, v in values}
        return Samples(**taken)

    def for_training(self) -> Samples:
        """The same samples with the labels for training."""
        if self.train_y_NK is not None:
            return replace(self, y_NK=self.train_y_NK, train_y_NK=None)
        if self.train_labels_N is None:
            return self
        return replace(self, labels_N=self.train_labels_N, train_labels_N=None)

    def with_truth(self, truth: Truth | None, training: Truth | None) -> Samples:
        """These samples with what is true of them; `training` where the truth for training differs."""
        exclusive = self.space.kind == "exclusive"
        names = ("labels_N", "train_labels_N") if exclusive else ("y_NK", "train_y_NK")
        given: dict[str, Any] = dict(zip(names, (truth, training), strict=True))
        return replace(self, **given)

    def without_truth(self, split: str) -> Samples:
        """The same samples as a split without any label, such as a held-out test set."""
        return replace(
            self, labels_N=None, train_labels_N=None, soft_NC=None, y_NK=None, train_y_NK=None, split=split
        )

    def joined(self, other: Samples) -> Samples:
        """These samples followed by the other ones, as samples of this split; no id may be in both."""
        differ = self.train_labels_N is not None or other.train_labels_N is not None
        training = [s.for_training().labels for s in (self, other)] if differ else None
        soft = None
        if self.soft_NC is not None or other.soft_NC is not None:
            none = np.full(self.space.n_classes, np.nan, np.float32)
            given = [np.tile(none, (len(s), 1)) if s.soft_NC is None else s.soft_NC for s in (self, other)]
            soft = np.concatenate(given)
        both = self.y_NK is not None and other.y_NK is not None
        y_differs = self.train_y_NK is not None or other.train_y_NK is not None
        y_training = [s.for_training().truth for s in (self, other)] if both and y_differs else None
        return replace(
            self,
            ids_N=strings([*self.ids_N.tolist(), *other.ids_N.tolist()]),
            paths_N=strings([*self.paths_N.tolist(), *other.paths_N.tolist()]),
            groups_N=strings([*self.groups_N.tolist(), *other.groups_N.tolist()]),
            labels_N=None if self.labels_N is None else np.concatenate([self.labels, other.labels]),
            train_labels_N=None if training is None else np.concatenate(training),
            folds_N=None,
            soft_NC=soft,
            y_NK=np.concatenate([self.truth, other.truth]) if both else None,
            train_y_NK=None if y_training is None else np.concatenate(y_training),
            cells_NM=_cells_of_both(self.cells_NM, other.cells_NM, len(other)),
            beside_NM=_cells_of_both(self.beside_NM, other.beside_NM, len(other)),
        )


def _cells_of_both(own: Strings | None, others: Strings | None, n_others: int) -> Strings | None:
    """The cells of both samples; a sample of the other ones without any has empty cells."""
    if own is None:
        return None
    empty = np.full((n_others, own.shape[1]), "")
    return np.concatenate([own, empty if others is None else others])


@dataclass(frozen=True)
class Split:
    """One fold: the ids of its training part and of its validation part, which have no id in common.

    Args:
        train_ids: each once.
        valid_ids: each once.
        times_T: how often each of `train_ids` was drawn, ≥ 1, for a bootstrap; None: once each.
    """

    train_ids: Strings
    valid_ids: Strings
    times_T: Ints | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "train_ids", strings(self.train_ids))
        if self.times_T is not None:
            object.__setattr__(self, "times_T", frozen_array(self.times_T, np.int64))
            assert self.times_T.shape == self.train_ids.shape, "times_T has a wrong shape"
        object.__setattr__(self, "valid_ids", strings(self.valid_ids))
        both = np.intersect1d(self.train_ids, self.valid_ids)
        assert not len(both), f"{len(both)} ids both train and validate, first {both[:1]}"


@dataclass(frozen=True)
class FoldPlan:
    """Ordered splits of the training samples.

    Args:
        splits: fold k is `splits[k]`.
        notes: what a person should know (rare classes, fall-backs), one line each.
    """

    splits: tuple[Split, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.splits)

    def coverage(self, ids: Strings) -> Ints:
        """(N,) in how many validation parts each id is: always 1 for plain k-fold."""
        times = np.zeros(len(ids), np.int64)
        for split in self.splits:
            np.add.at(times, positions(split.valid_ids, ids, "fold plan"), 1)
        return times

    @property
    def covered(self) -> Strings:
        """The ids that are in at least one validation part, sorted."""
        return np.unique(np.concatenate([split.valid_ids for split in self.splits]))


@dataclass(frozen=True)
class TrainRows:
    """The rows of one epoch: which samples of a fold's training part are shown, in table order.

    Args:
        index_R: positions in the fold's training samples; repeats are oversampled copies. Positions
            beyond the samples are synthetic rows, see `SyntheticRows`.
        copy_R: the number of this occurrence of the sample in the epoch, from 0. It is part of the seed of
            augmentation; otherwise all copies of an image would get equal pixels.
        policies: augmentation policies by name; None is the policy of the run.
        policy_R: the index in `policies` for each row. A named policy makes an offline copy: the same
            pixels in every epoch.
    """

    index_R: Ints
    copy_R: Ints
    policies: tuple[str | None, ...] = (None,)
    policy_R: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if len(self.policies) == 1 and not len(self.policy_R):
            object.__setattr__(self, "policy_R", np.zeros(len(self.index_R), np.int64))
        assert self.index_R.shape == self.copy_R.shape == self.policy_R.shape, "rows differ in length"

    @staticmethod
    def of(index_R: Ints) -> TrainRows:
        """Rows from positions; `copy_R` is counted here."""
        index = np.asarray(index_R, dtype=np.int64)
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        starts = np.r_[True, ordered[1:] != ordered[:-1]] if len(index) else np.zeros(0, bool)
        first = np.maximum.accumulate(np.where(starts, np.arange(len(index)), 0))
        copy = np.empty_like(index)
        copy[order] = np.arange(len(index)) - first
        return TrainRows(index, copy)

    def with_copies(self, index_R: Ints, policy: str) -> TrainRows:
        """These rows, and offline copies of these positions by one policy, numbered from 0."""
        copies = TrainRows.of(index_R)
        return TrainRows(
            np.concatenate([self.index_R, copies.index_R]),
            np.concatenate([self.copy_R, copies.copy_R]),
            (*self.policies, policy),
            np.concatenate([self.policy_R, np.full(len(copies), len(self.policies), np.int64)]),
        )

    def __len__(self) -> int:
        return len(self.index_R)


@dataclass(frozen=True)
class SyntheticRows:
    """Synthetic feature rows, which belong to no image, for a head that trains on features.

    Args:
        x_SVD: features, of the same views and the same backbone as the images'.
        labels_S: class index.
    """

    x_SVD: Floats
    labels_S: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_SVD", frozen_array(self.x_SVD, np.float32))
        object.__setattr__(self, "labels_S", frozen_array(self.labels_S, np.int64))
        assert self.x_SVD.ndim == 3 and len(self.x_SVD) == len(self.labels_S), "rows and labels differ"

    def __len__(self) -> int:
        return len(self.labels_S)
