"""The values that training produces; each checks itself when it is created.

Owns: probabilities, features, fold results, intervals and comparisons, and joining members
**by id, never by position**. Does not own computing any of them.

Shape legend: N samples, C classes, V views, D features. The arrays in these values are read-only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import Text, _, joined
from pipeline.core.samples import (
    Floats,
    Ints,
    Kind,
    Strings,
    Truth,
    frozen_array,
    positions,
    refuse_duplicates,
    strings,
)
from pipeline.core.targets import EXCLUSIVE, LABELS, VALUES, WORDS, Bools, Reals, Target
from pipeline.core.wording import worded

COMPARED = _("{delta} [{low}, {high}], {verdict}")
COMPARED_NOTE = _("{delta} [{low}, {high}], {verdict} ({note})")
# The beginning of a comparison that was recorded as text, with its note.
RECORDED = re.compile(
    r"([-+][0-9.]+) \[([-+][0-9.]+), ([-+][0-9.]+)\], (better|worse|can't tell)(?: \(([^()]+)\))?"
)
# Notes of comparisons and intervals: why they are unreliable.
FEW_GROUPS, FEW_GROUPS_RECORDED = (
    _("{n:group}: few to resample, so the true interval is wider"),
    re.compile(r"(\d+) groups?: (?:interval|few).*"),
)
ONE_SEED = _("one seed per arm: the interval does not include the variation between seeds")
NOTES = "; "
SCORE_NOTE = _("{score} ({note})")
COMPARISONS = {"better": _("better"), "worse": _("worse"), "can't tell": _("can't tell")}


@dataclass(frozen=True)
class Probabilities:
    """(N, C) predictions with their ids and the names of their columns: probabilities, or values.

    Args:
        ids_N: unique.
        classes: (C,) names of the columns.
        p_NC: a row for each id; what is valid depends on the kind.
        name: for messages and reports.
        kind: how the columns belong together.
        widths: how many columns each label has, for labels of several levels; empty: one for each.

    Raises:
        DataError: duplicate ids, NaN, or rows that the kind does not allow (`core/targets.py`).
    """

    ids_N: Strings
    classes: tuple[str, ...]
    p_NC: Floats
    name: str = "probabilities"
    kind: Kind = EXCLUSIVE
    widths: tuple[int, ...] = ()

    @staticmethod
    def of(target: Target, ids_N: Strings, p_NC: Floats, name: str) -> Probabilities:
        """Predictions of a target."""
        return Probabilities(ids_N, target.columns, p_NC, name, target.kind, target.widths)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        p = frozen_array(self.p_NC, np.float32)
        object.__setattr__(self, "p_NC", p)
        if p.shape != (len(self.ids_N), len(self.classes)):
            raise DataError(
                _("{name}: shape {shape}, but {ids} ids and {classes} classes").format(
                    name=self.name, shape=p.shape, ids=len(self.ids_N), classes=len(self.classes)
                )
            )
        refuse_duplicates(self.ids_N, self.name)
        bad = self.target.faulty(p)
        if bad.any():
            rows = [f"{i}: sum {s:.4g}" for i, s in zip(self.ids_N[bad], p[bad].sum(axis=1), strict=True)]
            sort = "probabilities" if self.kind != VALUES else "values"
            raise DataError(
                worded(
                    _("{name}: {n:row} {n:is|are} not {sort} ({rule})"),
                    name=self.name,
                    n=len(rows),
                    sort=sort,
                    rule=_("NaN, negative, or not summing to 1")
                    if self.kind == EXCLUSIVE
                    else self.target.rule,
                ),
                rows if self.kind == EXCLUSIVE else [str(i) for i in self.ids_N[bad]],
                _("normalise each row to sum to 1") if self.kind == EXCLUSIVE else "",
            )

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def target(self) -> Target:
        """What the columns mean."""
        return Target(self.classes, self.kind, None, self.widths)

    def labels(self) -> Ints:
        """(N,) index of the most probable class."""
        return self.target.answers(self.p_NC)

    def take(self, ids: Strings) -> Probabilities:
        """The rows of `ids`, in that order; raises a `DataError` if an id is missing."""
        return replace(self, ids_N=ids, p_NC=self.p_NC[positions(ids, self.ids_N, self.name)])

    def with_classes(self, classes: tuple[str, ...]) -> Probabilities:
        """The same, columns in the order of `classes`; raises a `DataError` if the names differ."""
        if set(classes) != set(self.classes):
            odd = sorted(set(classes) ^ set(self.classes))
            raise DataError(_("{name}: other classes than expected").format(name=self.name), odd)
        assert classes == self.classes or not self.widths, "the levels of a label are never reordered"
        order = [self.classes.index(c) for c in classes]
        return replace(self, classes=classes, p_NC=self.p_NC[:, order])


def align(members: Sequence[Probabilities]) -> tuple[Probabilities, ...]:
    """All members with the id order and class order of the first, joined by id and not by position.

    Raises:
        DataError: a member has other ids or other classes; missing and extra ids are named.
    """
    first = members[0]
    aligned = [first]
    for member in members[1:]:
        if member.kind != first.kind:
            raise DataError(
                _("{member} predicts {kind}, and {first} {first_kind}").format(
                    member=member.name,
                    kind=WORDS[member.kind],
                    first=first.name,
                    first_kind=WORDS[first.kind],
                ),
                remedy=_("members of one ensemble must predict the same kind of target"),
            )
        if member.classes == first.classes and np.array_equal(member.ids_N, first.ids_N):
            aligned.append(member)  # nothing to sort or copy: a hundred members take milliseconds
            continue
        missing = np.setdiff1d(first.ids_N, member.ids_N)
        extra = np.setdiff1d(member.ids_N, first.ids_N)
        if len(missing) or len(extra):
            faults = [_("missing: {name}").format(name=i) for i in missing]
            faults += [_("extra: {name}").format(name=i) for i in extra]
            raise DataError(
                worded(
                    _("{name}: {n:id} missing and {extra} extra against {first}"),
                    name=member.name,
                    n=len(missing),
                    extra=len(extra),
                    first=first.name,
                ),
                faults,
                _("members of one ensemble must predict the same images"),
            )
        aligned.append(member.with_classes(first.classes).take(first.ids_N))
    return tuple(aligned)


def pool(parts: Sequence[Probabilities], name: str) -> Probabilities:
    """The out-of-fold predictions of several folds as one, in id order; ids in several folds are averaged.

    Args:
        parts: at least one; all with the same class names.
        name: of the result.
    """
    ids = np.concatenate([p.ids_N for p in parts])
    p_NC = np.concatenate([p.with_classes(parts[0].classes).p_NC for p in parts])
    unique, mean_NC = _mean_by_id(ids, p_NC)
    return replace(parts[0], ids_N=unique, p_NC=mean_NC, name=name)


def pool_views(parts: Sequence[ViewProbabilities], name: str) -> ViewProbabilities:
    """Like `pool`, for predictions with separate views; all parts have the same views and classes."""
    first = parts[0]
    assert all((p.views, p.classes) == (first.views, first.classes) for p in parts), "views differ"
    ids = np.concatenate([p.ids_N for p in parts])
    unique, mean_NVC = _mean_by_id(ids, np.concatenate([p.p_VNC.swapaxes(0, 1) for p in parts]))
    return replace(first, ids_N=unique, p_VNC=mean_NVC.swapaxes(0, 1), name=name)


def _mean_by_id(ids: Strings, values: Floats) -> tuple[Strings, Floats]:
    """The sorted ids, and the mean of each id's rows."""
    unique, first, at, times = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    if len(unique) == len(ids):  # each id is in one fold; sums over thousands of classes are slow
        return unique, np.asarray(values[first], dtype=np.float32)
    total = np.zeros((len(unique), *values.shape[1:]))
    np.add.at(total, at, values.astype(np.float64))
    mean = total / times.reshape(-1, *[1] * (values.ndim - 1))
    return unique, np.asarray(mean, dtype=np.float32)


@dataclass(frozen=True)
class Prediction:
    """The answers for each image, and their probabilities if there are any, as in a CSV in the host's format.

    Args:
        ids_N: unique.
        answers: in the form of `Samples.truth`: (N,) class index per image, or for other kinds of target
            (N, K) numbers: 1 for a label that holds and 0 for one that does not, values, or shares.
        probabilities: the same ids in the same order, or None if the file contained only answers.
        name: for messages and reports, usually the file's stem.

    Raises:
        DataError: duplicate ids.
    """

    ids_N: Strings
    answers: Truth
    probabilities: Probabilities | None = None
    name: str = "prediction"

    @staticmethod
    def of(p: Probabilities) -> Prediction:
        """The answers that follow from probabilities: the most probable class, the labels above one half."""
        return Prediction(p.ids_N, answers_of(p.target, p.p_NC), p, p.name)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        answers = np.asarray(self.answers)
        kept = frozen_array(answers, np.int64 if answers.ndim == 1 else np.float32)
        object.__setattr__(self, "answers", kept)
        assert len(kept) == len(self.ids_N), "the answers have a wrong shape"
        refuse_duplicates(self.ids_N, self.name)
        same = self.probabilities is None or np.array_equal(self.probabilities.ids_N, self.ids_N)
        assert same, "a prediction's probabilities have other ids than its answers"

    @property
    def labels_N(self) -> Ints:
        """(N,) class index per image.

        Raises:
            ConfigError: the classes do not exclude each other, so there is not one for each image.
        """
        if self.answers.ndim != 1:
            raise ConfigError(
                _(
                    "{name}: this step needs one class for each image, and an image has {shape} answers"
                ).format(name=self.name, shape=self.answers.shape[1]),
                remedy=_("leave the step out; docs/targets.md lists what each kind of target can do"),
            )
        return np.asarray(self.answers, dtype=np.int64)

    def take(self, ids: Strings) -> Prediction:
        """The rows of `ids`, in that order; raises if one is missing."""
        at = positions(ids, self.ids_N, self.name)
        p = None if self.probabilities is None else self.probabilities.take(ids)
        return replace(self, ids_N=ids, answers=self.answers[at], probabilities=p)


def answers_of(target: Target, p_NK: Floats | Reals) -> Truth:
    """Predictions as answers, in the form of `Samples.truth`."""
    if target.kind == EXCLUSIVE:
        return target.answers(p_NK)
    if target.kind == LABELS:
        return np.asarray(target.held(p_NK), dtype=np.float32)
    return np.asarray(p_NK, dtype=np.float32)


def differ_N(one: Truth, other: Truth) -> Bools:
    """(N,) which images two sets of answers answer differently, whatever their kind."""
    differ = np.asarray(one != other)
    return differ if differ.ndim == 1 else np.asarray(differ.any(axis=1), dtype=np.bool_)


@dataclass(frozen=True)
class ViewProbabilities:
    """(V, N, C) predictions, one block per TTA view, so that views can be weighted without a model."""

    ids_N: Strings
    classes: tuple[str, ...]
    views: tuple[str, ...]
    p_VNC: Floats
    name: str = "views"
    kind: Kind = EXCLUSIVE
    widths: tuple[int, ...] = ()

    @staticmethod
    def of(
        target: Target, ids_N: Strings, views: tuple[str, ...], p_VNC: Floats, name: str
    ) -> ViewProbabilities:
        """Predictions of a target, a block for each view."""
        return ViewProbabilities(ids_N, target.columns, views, p_VNC, name, target.kind, target.widths)

    @property
    def target(self) -> Target:
        """What the columns mean."""
        return Target(self.classes, self.kind, None, self.widths)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        object.__setattr__(self, "p_VNC", frozen_array(self.p_VNC, np.float32))
        expected = (len(self.views), len(self.ids_N), len(self.classes))
        assert self.p_VNC.shape == expected, f"p_VNC is {self.p_VNC.shape}, expected {expected}"

    def view(self, name: str) -> Probabilities:
        """One view's probabilities."""
        block_NC = self.p_VNC[self.views.index(name)]
        return Probabilities.of(self.target, self.ids_N, block_NC, f"{self.name}:{name}")

    def merge(self, weights_V: Sequence[float] | None = None) -> Probabilities:
        """The weighted mean over views; equal weights when none are given."""
        w = np.ones(len(self.views)) if weights_V is None else np.asarray(weights_V, float)
        p = np.einsum("v,vnc->nc", w / w.sum(), self.p_VNC.astype(np.float64))
        return Probabilities.of(self.target, self.ids_N, self.target.normalised(p), self.name)


@dataclass(frozen=True)
class Features:
    """(N, V, D) outputs of a frozen backbone, and the digest of the backbone and its input.

    Args:
        beside_NE: the metadata of each sample as numbers, NaN where one is missing; None: there is none.
        n_beside: how many of the last columns of x_NVD are metadata, after `with_metadata`.
    """

    ids_N: Strings
    views: tuple[str, ...]
    x_NVD: Floats
    digest: str
    beside_NE: Floats | None = None
    n_beside: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        object.__setattr__(self, "x_NVD", frozen_array(self.x_NVD, np.float32))
        assert self.x_NVD.shape[:2] == (len(self.ids_N), len(self.views)), "x_NVD has a wrong shape"

    def take(self, ids: Strings) -> Features:
        """The rows of `ids`, in that order."""
        at = positions(ids, self.ids_N, "features")
        beside = None if self.beside_NE is None else self.beside_NE[at]
        return replace(self, ids_N=ids, x_NVD=self.x_NVD[at], beside_NE=beside)

    def with_metadata(self) -> Features:
        """The metadata as further columns of every view, for a head."""
        if self.beside_NE is None:
            return self
        n, views, _ = self.x_NVD.shape
        beside_NVE = np.broadcast_to(self.beside_NE[:, None], (n, views, self.beside_NE.shape[1]))
        x = np.concatenate([self.x_NVD, beside_NVE], axis=2)
        return replace(self, x_NVD=x, beside_NE=None, n_beside=self.beside_NE.shape[1])


@dataclass(frozen=True)
class FoldResult:
    """The result of training one fold: its history and its out-of-fold probabilities (view identity)."""

    fold: int
    oof: Probabilities
    history: tuple[dict[str, float], ...] = ()
    seconds: float = 0.0
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval over groups.

    Args:
        value: the score on all samples.
        low, high: the interval's ends.
        n_groups: how many groups were resampled.
        note: why the interval is unreliable, or empty.
    """

    value: float
    low: float
    high: float
    n_groups: int
    note: str = ""

    def __str__(self) -> str:
        return str(self.in_words)

    @property
    def in_words(self) -> str:
        """The score, its interval and the note, as a text that can be translated."""
        score = f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"
        return SCORE_NOTE.format(score=score, note=self.note) if self.note else score


@dataclass(frozen=True)
class Comparison:
    """A paired difference, new minus old, signed so that a positive one is an improvement.

    Args:
        delta: positive is better.
        low, high: its 95 % interval, groups resampled, both sides on the same groups.
        p_better: share of resamples in which the new one is better, 0 to 1.
        n_groups: how many groups were resampled.
        verdict: "better", "worse" or "can't tell".
        note: why it is unreliable, or empty.
    """

    delta: float
    low: float
    high: float
    p_better: float
    n_groups: int
    verdict: str
    note: str = ""

    def __str__(self) -> str:
        return str(self.in_words)

    @property
    def in_words(self) -> str:
        """The difference, its interval and the verdict, as a text that can be translated."""
        # Rounded first and then added to 0, or a tiny loss would print as -0.0000.
        delta, low, high = (f"{round(x, 4) + 0.0:+.4f}" for x in (self.delta, self.low, self.high))
        text = COMPARED_NOTE if self.note else COMPARED
        verdict = COMPARISONS.get(self.verdict, self.verdict)
        return text.format(delta=delta, low=low, high=high, verdict=verdict, note=self.note)


def compared(recorded: str) -> str:
    """A comparison that was recorded as text, as one that can be said in another language."""
    found = RECORDED.match(recorded)
    if found is None:
        return recorded
    delta, low, high, verdict, note = found.groups()
    values = {"delta": delta, "low": low, "high": high, "verdict": COMPARISONS[verdict]}
    told = COMPARED_NOTE.format(**values, note=cautioned(note)) if note else COMPARED.format(**values)
    return told + recorded[found.end() :]


def cautioned(recorded: str) -> str:
    """The note of a comparison or an interval that was recorded as text, in the same way."""
    return joined(NOTES, map(_one_note, recorded.split(NOTES)))


def _one_note(recorded: str) -> str:
    found = FEW_GROUPS_RECORDED.fullmatch(recorded)
    return Text(recorded) if found is None else FEW_GROUPS.format(n=int(found[1]))
