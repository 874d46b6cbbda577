"""Flips: the test images on which two submissions differ, by attribute and direction.

Owns joining two submissions by id and counting their differences. Does not own errors, which need labels
(`mistakes.py`).

Shape legend: N images, C classes, K values of an attribute.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.metrics import confusion
from pipeline.core.predictions import Interval, Probabilities
from pipeline.core.samples import Ints, LabelSpace, Strings, Truth, positions, refuse_duplicates, strings

CLASS = "class"


@dataclass(frozen=True)
class Submission:
    """One submission: its answers, and its scores if they are known.

    Args:
        name: the name that the user knows.
        ids_N: unique.
        answers: class index of each id, or (N, K) numbers for other kinds of target.
        probabilities: of these ids or more, if there are any; the labels may differ from the most probable
            class (post-processing, voting).
        score: pooled out-of-fold score.
        public: public score of the host.

    Raises:
        DataError: duplicate ids.
    """

    name: str
    ids_N: Strings
    answers: Truth
    probabilities: Probabilities | None = None
    score: Interval | None = None
    public: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        refuse_duplicates(self.ids_N, self.name)
        assert len(self.answers) == len(self.ids_N), f"{self.name}: answers and ids differ in length"

    @property
    def labels_N(self) -> Ints:
        """(N,) class indices; only of exclusive classes."""
        assert self.answers.ndim == 1, f"{self.name} has several answers for each image"
        return np.asarray(self.answers, dtype=np.int64)


@dataclass(frozen=True)
class Flips:
    """The differences of two submissions.

    Args:
        n_images: the number of images.
        images: one row for each flip, largest confidence gap first: id, old, new (class index), p_old and
            p_new (the probability that each submission gives its own label), gap. The gap is the probability
            of the own label minus that of the other submission's label, averaged over the submissions with
            probabilities, -1 to 1; missing if neither has probabilities (then ordered by id).
        directions: one row for each change of one attribute, most frequent first: attribute, old, new,
            images.
        agreement: by "class" and by attribute, (K, K) counts; rows are the old labels, columns the new ones.
            Without those of more than `MOST_IN_MATRIX` values.
    """

    n_images: int
    images: pd.DataFrame
    directions: pd.DataFrame
    agreement: dict[str, Ints]


# A matrix of more values is larger than all predictions, and no page shows it.
MOST_IN_MATRIX = 250


# Of more values only the most frequent ones are tested: all others have too few images to tell anything.
MOST_TESTED = 50


def tested(images_V: Ints) -> Ints:
    """The values that are tested by themselves, ascending: all, or the most frequent ones of very many."""
    if len(images_V) <= MOST_IN_MATRIX:
        return np.arange(len(images_V))
    return np.sort(np.argsort(-images_V, kind="stable")[:MOST_TESTED])


def parts(space: LabelSpace) -> dict[str, tuple[tuple[str, ...], Ints]]:
    """The views in which labels are counted: the class, and each attribute if there are several.

    Returns:
        By name: the values, and (C,) the value of each class.
    """
    views = {CLASS: (space.classes, np.arange(space.n_classes))}
    if len(space.attributes) > 1:
        for k, attribute in enumerate(space.attributes):
            views[attribute.name] = (attribute.values, space.codes_CA[:, k])
    return views


def find_flips(space: LabelSpace, new: Submission, old: Submission) -> Flips:
    """All differences, joined by id.

    Raises:
        DataError: the two have different ids, or a label is not a class.
    """
    refuse_other_ids(new, old)
    for side in (new, old):
        if len(side.labels_N) and not (side.labels_N.min() >= 0 and side.labels_N.max() < space.n_classes):
            raise DataError(
                _("{side}: a label is not one of the {n_classes} classes").format(
                    side=side.name, n_classes=space.n_classes
                )
            )
    old_N = old.labels_N[positions(new.ids_N, old.ids_N, old.name)]
    new_N = new.labels_N
    differ = np.flatnonzero(old_N != new_N)
    ids, was, now = new.ids_N[differ], old_N[differ], new_N[differ]
    p_new, margin_new = _confidence(new, space, ids, now, was)
    p_old, margin_old = _confidence(old, space, ids, was, now)
    margins = pd.DataFrame({"new": margin_new, "old": margin_old})
    images = pd.DataFrame(
        {
            "id": ids.astype(str),
            "old": was,
            "new": now,
            "p_old": p_old,
            "p_new": p_new,
            "gap": margins.mean(axis=1),
        }
    ).sort_values(["gap", "id"], ascending=[False, True], ignore_index=True)
    views = parts(space)
    agreement = {
        name: confusion(code_C[old_N], code_C[new_N], len(values))
        for name, (values, code_C) in views.items()
        if len(values) <= MOST_IN_MATRIX
    }
    return Flips(len(new.ids_N), images, _directions(space, images), agreement)


def refuse_other_ids(new: Submission, old: Submission) -> None:
    """Raise a `DataError` that names every id that only one of two submissions has."""
    missing = np.setdiff1d(new.ids_N, old.ids_N)
    extra = np.setdiff1d(old.ids_N, new.ids_N)
    if len(missing) or len(extra):
        raise DataError(
            _("{old} and {new} do not have the same ids").format(old=old.name, new=new.name),
            [_("only in {new}: {i}").format(new=new.name, i=i) for i in missing]
            + [_("only in {old}: {i}").format(old=old.name, i=i) for i in extra],
            _("compare two submissions of the same competition"),
        )


def _confidence(
    side: Submission, space: LabelSpace, ids: Strings, own: Ints, other: Ints
) -> tuple[np.ndarray, np.ndarray]:
    if side.probabilities is None:
        nothing = np.full(len(ids), np.nan)
        return nothing, nothing
    p_NC = side.probabilities.with_classes(space.classes).take(ids).p_NC.astype(np.float64)
    rows = np.arange(len(ids))
    return p_NC[rows, own], p_NC[rows, own] - p_NC[rows, other]


def changes(space: LabelSpace, old: int, new: int) -> tuple[tuple[str, str, str], ...]:
    """(attribute, old value, new value) of every attribute in which two classes differ."""
    return tuple(
        (a.name, a.values[was], a.values[now])
        for a, was, now in zip(space.attributes, space.codes_CA[old], space.codes_CA[new], strict=True)
        if was != now
    )


def marked(space: LabelSpace, label: int, other: int) -> tuple[tuple[str, bool], ...]:
    """The value of each attribute of a class, and whether another class has a different one."""
    codes = zip(space.attributes, space.codes_CA[label], space.codes_CA[other], strict=True)
    return tuple((a.values[own], bool(own != theirs)) for a, own, theirs in codes)


def _directions(space: LabelSpace, images: pd.DataFrame) -> pd.DataFrame:
    rows = [
        change
        for old, new in zip(images["old"], images["new"], strict=True)
        for change in changes(space, int(old), int(new))
    ]
    table = pd.DataFrame(rows, columns=["attribute", "old", "new"])
    counted = table.groupby(["attribute", "old", "new"], sort=False).size().rename("images").reset_index()
    return counted.sort_values("images", ascending=False, kind="stable", ignore_index=True)
