"""Which flips a person is asked to judge: a stratified random sample, with controls of known truth.

Owns the strata, the number of images of each, the random order, and the choice of controls. Does not own
answers (`answers.py`) nor the estimate (`estimate.py`).

A design depends only on the two submissions and the number asked: the same pair gives the same sample on
every machine, a larger number asks about the same images and more, and the inclusion probability of a
answer can be checked afterwards.

Shape legend: F flips, S strata, A attributes, K controls.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints, LabelSpace, Samples, Strings, positions
from pipeline.core.seeds import rng
from pipeline.errors.diff.flips import Flips, Submission, changes
from pipeline.errors.judging.estimate import Agreed

# A kind of flip with at least this share and this number of images is a stratum of its own; all others
# together are one. With a hundred judged flips each stratum gets four, enough to estimate its own spread.
SHARE = 0.04
FEW = 5
ASKED = re.compile(r"[1-9][0-9]{0,6}")
OTHER = "other kinds of flips"
# With fewer than two, the spread of a stratum cannot be estimated.
AT_LEAST = 2
DIGITS = 10


@dataclass(frozen=True)
class Design:
    """A stratified simple random sample of flips.

    Args:
        report: key of the pair and the number asked.
        flips: one row for each flip: id, old, new (class index).
        stratum_F: index of the stratum of each flip.
        strata: the names, e.g. "age: 30–60 → 60+".
        size_S: number of flips of each stratum.
        asked_S: how many of them are asked.
        sampled_F: whether a flip is asked.
    """

    report: str
    flips: pd.DataFrame
    stratum_F: Ints
    strata: tuple[str, ...]
    size_S: Ints
    asked_S: Ints
    sampled_F: np.ndarray

    def inclusion(self, flip: int) -> float:
        """The probability of asking about this flip."""
        stratum = int(self.stratum_F[flip])
        return float(self.asked_S[stratum] / self.size_S[stratum])


@dataclass(frozen=True)
class Control:
    """A labelled image that looks like a question: its truth, and two classes in place of predictions."""

    id: str
    truth: int
    old: int
    new: int


def pair_key(new: Submission, old: Submission) -> str:
    """The key of a pair of submissions: digests of ids and labels, independent of the order of rows."""
    return "-".join(_digest(side) for side in (new, old))


def _digest(side: Submission) -> str:
    order = np.argsort(side.ids_N, kind="stable")
    rows = zip(side.ids_N[order].tolist(), side.labels_N[order].tolist(), strict=True)
    text = "\x1e".join(f"{name}\x1f{label}" for name, label in rows)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def asked_of(report: str, pair: str) -> int | None:
    """The number asked in the key of a report; None if it is the key of another pair."""
    before, _, number = report.rpartition("-")
    plain = bool(ASKED.fullmatch(number))
    return int(number) if before == pair and plain and int(number) <= 10**6 else None


def plan(space: LabelSpace, flips: Flips, pair: str, asked: int) -> Design:
    """The sample of `asked` flips, or a few more: at least two of every stratum that has two.

    `pair` is from `pair_key`; `asked`, ≥ 1, is allocated in proportion to the sizes of the strata.
    """
    frame = flips.images[["id", "old", "new"]].sort_values("id", ignore_index=True)
    kinds = [kind(space, int(o), int(n)) for o, n in zip(frame["old"], frame["new"], strict=True)]
    counts = pd.Series(kinds, dtype=object).value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    own = [str(name) for name, number in counts.items() if number >= max(FEW, SHARE * len(kinds))]
    place = {name: k for k, name in enumerate(own)}
    stratum_F = np.array([place.get(name, len(own)) for name in kinds], dtype=np.int64)
    strata = (*own, OTHER) if (stratum_F == len(own)).any() else tuple(own)
    size_S = np.bincount(stratum_F, minlength=len(strata)).astype(np.int64)
    share_S = np.round(asked * size_S / max(len(frame), 1)).astype(np.int64)
    asked_S = np.minimum(size_S, np.maximum(share_S, AT_LEAST))
    # One random number for each image: asking for more keeps the same images and adds others.
    chance_F = np.array([rng(0, "judge", pair, str(name)).random() for name in frame["id"]])
    sampled_F = np.zeros(len(frame), dtype=bool)
    for stratum in range(len(strata)):
        members = np.flatnonzero(stratum_F == stratum)
        sampled_F[members[np.argsort(chance_F[members])[: asked_S[stratum]]]] = True
    return Design(f"{pair}-{asked}", frame, stratum_F, strata, size_S, asked_S, sampled_F)


def kind(space: LabelSpace, old: int, new: int) -> str:
    """The attributes that changed and their directions, as text."""
    return "; ".join(f"{name}: {was} → {now}" for name, was, now in changes(space, old, new))


def controls(
    design: Design,
    train: Samples,
    oof: tuple[Probabilities | None, Probabilities | None],
    number: int,
    known: frozenset[str] = frozenset(),
) -> tuple[Control, ...]:
    """Labelled images that are about as hard as the flips, at most one of each group.

    First images on which both runs differ out of fold, in the mixture of kinds of the flips; then images that
    a run gets wrong; then any. `oof` is of the new and the old side; `known` ids were judged before.
    """
    ids = np.array([i for i in np.sort(train.ids_N) if str(i) not in known], dtype=np.str_)
    if not len(ids) or number < 1:
        return ()
    samples = train.take(ids)
    new_K, old_K, tier_K = _answers(samples, oof)
    kinds = [kind(train.space, int(o), int(n)) for o, n in zip(old_K, new_K, strict=True)]
    asked = pd.Series([design.strata[s] for s in design.stratum_F], dtype=object)
    wanted = asked.value_counts(normalize=True)
    given = pd.Series(kinds, dtype=object)[tier_K == 0].value_counts(normalize=True)
    weight_K = np.array([wanted.get(k, 0.02) / given.get(k, 1.0) for k in kinds], dtype=np.float64)
    # Weighted sampling without replacement by exponential clocks (Efraimidis & Spirakis 2006).
    clock_K = np.array([rng(0, "control", design.report, str(i)).exponential() for i in ids])
    order = np.lexsort((clock_K / np.maximum(weight_K, 1e-9), tier_K))
    chosen: list[Control] = []
    groups: set[str] = set()
    for at in order:
        group = str(samples.groups_N[at])
        if group not in groups:
            groups.add(group)
            chosen.append(Control(str(ids[at]), int(samples.labels[at]), int(old_K[at]), int(new_K[at])))
        if len(chosen) == number:
            break
    return tuple(chosen)


def _answers(
    samples: Samples, oof: tuple[Probabilities | None, Probabilities | None]
) -> tuple[Ints, Ints, Ints]:
    """New and old label of each labelled image, and its tier as a control: 0 best, 2 worst."""
    truth_K = samples.labels
    # Without a prediction of a side, a random wrong class replaces it, so that a control always "flips".
    draw = rng(0, "control answers", len(truth_K))
    shift_K = draw.integers(1, max(samples.space.n_classes, 2), len(truth_K))
    odd_K = (truth_K + shift_K) % samples.space.n_classes
    predicted = [_labels(side, samples) for side in oof]
    sides = [np.where(labels >= 0, labels, truth_K) for labels in predicted]
    both = (predicted[0] >= 0) & (predicted[1] >= 0) & (sides[0] != sides[1])
    wrong = ((predicted[0] >= 0) & (sides[0] != truth_K)) | ((predicted[1] >= 0) & (sides[1] != truth_K))
    tier_K = np.where(both, 0, np.where(wrong, 1, 2)).astype(np.int64)
    new_K, old_K = sides
    stands_in = new_K == old_K
    old_K = np.where(stands_in & (new_K != truth_K), truth_K, np.where(stands_in, odd_K, old_K))
    return new_K, old_K, tier_K


def _labels(side: Probabilities | None, samples: Samples) -> Ints:
    """The most probable class of each sample, -1 if the side does not predict it."""
    labels = np.full(len(samples), -1, dtype=np.int64)
    if side is not None:
        known = np.isin(samples.ids_N, side.ids_N)
        named = side.with_classes(samples.space.classes)
        labels[known] = named.take(samples.ids_N[known]).labels()
    return labels


def agreed_out_of_fold(
    train: Samples, oof: tuple[Probabilities | None, Probabilities | None]
) -> Agreed | None:
    """Truth, prediction and group of the labelled images on which both sides agree out of fold.

    If only one side has such predictions, all of them; None if neither side has any.
    """
    sides = [_labels(side, train) for side in oof if side is not None]
    if not sides:
        return None
    same = (sides[0] >= 0) & (sides[-1] == sides[0])
    return Agreed(train.labels[same], sides[0][same], train.groups_N[same])


def flips_of(ids_N: Strings, design: Design) -> Ints:
    """(N,) the stratum of each test image, -1 if both submissions agree."""
    stratum_N = np.full(len(ids_N), -1, dtype=np.int64)
    at = positions(np.asarray(design.flips["id"].to_numpy(), dtype=np.str_), ids_N, "test images")
    stratum_N[at] = design.stratum_F
    return stratum_N


def spread(chance: str, number: int) -> Ints:
    """A random order of `number` questions; the same for the same report."""
    return np.asarray(rng(0, "order of questions", chance).permutation(number), dtype=np.int64)
