"""Labels that may be wrong: suspects by four witnesses, and the section that turns clicks into patches.

Owns finding and ranking suspects, the section, and the rows of label_patches.csv. Does not own copies
(`eda/duplicates.py`) nor what a correction does (`data/labels.py`, which reads exactly these columns).

Four witnesses for each attribute, because a correction is of one attribute:
  model       confident learning on out-of-fold probabilities: another value reaches the mean confidence of
              the images with that value
  copies      the same picture has another value elsewhere
  neighbours  most of the nearest images of other groups, by features of a frozen backbone, have another value
  group       the images of a group have different values of an attribute that is constant in a group
An attribute that is constant in a group is decided group by group: its probabilities are averaged, and a
correction covers the whole group. More witnesses rank first, then the margin of the model.

Source: Northcutt, Jiang & Chuang, Confident Learning (JAIR 2021), the confident joint and ranking by
normalised margin. cleanlab does the same for one label for each row, without attributes and groups; it would
save only the ten lines of `confident`.

Shape legend: N images, U units (images, or groups), K values of an attribute, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.group_resampling import numbered
from pipeline.core.neighbours import against, search_each, unit_rows
from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Floats, Ints, LabelSpace, Samples, Strings, positions
from pipeline.core.wording import worded
from pipeline.eda.survey import Duplicates
from pipeline.errors import texts
from pipeline.pages.report import Key, ReportSection, json_data, percent, plural
from pipeline.settings.report import FinderSettings

# By attribute, the text of each value in the training table.
Raw = Mapping[str, Sequence[str]]
ANCHOR, SHORT = "suspects", texts.SUSPECTS_SHORT
TITLE = texts.SUSPECTS_TITLE
MOST = 60
COLUMNS = ("id", "attribute", "value", "reason", "was")
MODEL, COPIES, NEAR, GROUP = "model", "copies", "neighbours", "group"


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong, and what it may be instead.

    Args:
        key: the image, or the first image of a group whose label would change.
        given: code of the value in the table.
        proposed: code of the value that the witnesses propose.
        images: number of images that a correction would change.
        margin: mean probability of the proposed value minus that of the given one, -1 to 1.
        witnesses: some of `model`, `copies`, `neighbours` and `group`, in this order.
        reasons: one part of a sentence for each witness.
        others: images to compare with: copies with the other value.
    """

    key: Key
    attribute: str
    given: int
    proposed: int
    images: int
    margin: float
    witnesses: tuple[str, ...]
    reasons: tuple[str, ...]
    others: tuple[Key, ...] = ()


@dataclass(frozen=True)
class _Units:
    """The units in which one attribute is decided: images, or whole groups.

    Args:
        of_N: the unit of each image.
        p_UK: mean probability of each value.
        given_U: the label; for a group, its most frequent label.
        mixed_U: whether the images of a group have several values.
    """

    of_N: Ints
    p_UK: Floats
    given_U: Ints
    mixed_U: npt.NDArray[np.bool_]


def confident(p_UK: Floats, given_U: Ints) -> Ints:
    """(U,) the value that confident learning proposes; the given value if it proposes none."""
    n_values = p_UK.shape[1]
    own_U = p_UK[np.arange(len(given_U)), given_U]
    support_K = np.bincount(given_U, minlength=n_values)
    # A value that no unit has gets no mean confidence, so no unit can reach it.
    mean_K = np.bincount(given_U, own_U, n_values) / np.maximum(support_K, 1)
    threshold_K = np.where(support_K > 0, mean_K, np.inf)
    reached_UK = np.where(p_UK >= threshold_K, p_UK, -1.0)
    best_U = reached_UK.argmax(axis=1)
    reached_U = reached_UK[np.arange(len(best_U)), best_U] >= 0
    return np.where(reached_U, best_U, given_U).astype(np.int64)


def find(
    oof: Probabilities,
    train: Samples,
    copies: Sequence[Duplicates] = (),
    features: Features | None = None,
    settings: FinderSettings | None = None,
) -> list[Suspect]:
    """All suspects among the images of `oof`, most suspicious first.

    `copies` are sets of equal or nearly equal pictures; without features, neighbours are not used. A label
    that is already corrected for training is left out.

    Raises:
        DataError: an id is not a training image, or the classes differ.
    """
    settings = settings or FinderSettings()
    space = train.space
    oof = oof.with_classes(space.classes)
    samples = train.take(oof.ids_N)
    patched = samples.for_training().labels
    near_NM = None if features is None else _neighbours(samples, features, settings.neighbours)
    ranked: list[Suspect] = []
    for k, attribute in enumerate(space.attributes):
        code_N = space.codes_CA[samples.labels, k]
        units = _units(space.marginal(oof.p_NC, k), code_N, samples, attribute.constant_in_group)
        witnesses = _Witnesses(units, len(attribute.values), settings)
        witnesses.model(confident(units.p_UK, units.given_U))
        witnesses.copies(copies, samples.ids_N, code_N)
        if near_NM is not None:
            witnesses.neighbours(near_NM, code_N)
        witnesses.group()
        for suspect in witnesses.suspects(samples.ids_N, attribute.name, code_N):
            at = positions(np.array([suspect.key[1]]), samples.ids_N, "suspects")[0]
            enough = len(suspect.witnesses) >= settings.suspect_witnesses
            if enough and space.codes_CA[patched[at], k] != suspect.proposed:
                ranked.append(suspect)
    return sorted(ranked, key=lambda s: (-len(s.witnesses), -s.margin, s.key, s.attribute))


def _units(p_NK: Floats, code_N: Ints, samples: Samples, by_group: bool) -> _Units:
    if not by_group:
        return _Units(np.arange(len(code_N)), p_NK, code_N, np.zeros(len(code_N), bool))
    of_N, n_units = numbered(samples.groups_N)
    size_U = np.bincount(of_N, minlength=n_units)
    p_UK = np.stack([np.bincount(of_N, column, n_units) for column in p_NK.T], axis=1) / size_U[:, None]
    votes_UK = np.zeros_like(p_UK)
    np.add.at(votes_UK, (of_N, code_N), 1)
    return _Units(of_N, p_UK.astype(np.float32), votes_UK.argmax(axis=1), (votes_UK > 0).sum(axis=1) > 1)


class _Witnesses:
    """The reasons of the witnesses for each unit; the first witness decides the proposed value."""

    def __init__(self, units: _Units, n_values: int, settings: FinderSettings) -> None:
        self._units, self._settings = units, settings
        self._n_values = n_values
        self._proposed: dict[int, int] = {}
        self._reasons: dict[int, dict[str, str]] = {}
        self._others: dict[int, list[Key]] = {}

    def _add(self, unit: int, value: int, witness: str, reason: str) -> bool:
        if self._proposed.setdefault(unit, value) != value:
            return False
        self._reasons.setdefault(unit, {}).setdefault(witness, reason)
        return True

    def model(self, value_U: Ints) -> None:
        units = self._units
        for unit in np.flatnonzero(value_U != units.given_U).tolist():
            value, given = int(value_U[unit]), int(units.given_U[unit])
            p = units.p_UK[unit]
            if p[value] - p[given] < self._settings.suspect_margin:
                continue
            reason = texts.MODEL_REASON.format(proposed=percent(p[value]), given=percent(p[given]))
            self._add(unit, value, MODEL, reason)

    def copies(self, sets: Sequence[Duplicates], ids_N: Strings, code_N: Ints) -> None:
        units = self._units
        at = {str(name): row for row, name in enumerate(ids_N.tolist())}
        for copies in sets:
            rows = [at[name] for split, name in copies.members if split == "train" and name in at]
            if len({int(code_N[row]) for row in rows}) < 2:
                continue
            # The most probable label is taken as right; images with another label are suspects.
            rows.sort(key=lambda row: float(units.p_UK[units.of_N[row], code_N[row]]))
            right = int(code_N[rows[-1]])
            copy = texts.SAME_FILE if copies.exact else texts.SIMILAR_IMAGE
            reason = texts.COPY_REASON.format(copy=copy)
            for row in rows:
                unit = int(units.of_N[row])
                differs = code_N[row] != right and unit != units.of_N[rows[-1]]
                if differs and self._add(unit, right, COPIES, reason):
                    self._others.setdefault(unit, []).append(("train", str(ids_N[rows[-1]])))

    def neighbours(self, near_NM: Ints, code_N: Ints) -> None:
        units = self._units
        votes_NK = np.zeros((len(code_N), self._n_values))
        for column in near_NM.T:
            np.add.at(votes_NK, (np.flatnonzero(column >= 0), code_N[column[column >= 0]]), 1)
        n_units = len(units.given_U)
        votes_UK = np.stack([np.bincount(units.of_N, v, n_units) for v in votes_NK.T], axis=1)
        share_UK = votes_UK / np.maximum(votes_UK.sum(axis=1, keepdims=True), 1)
        best_U = share_UK.argmax(axis=1)
        agree_U = share_UK[np.arange(n_units), best_U] >= self._settings.agreeing
        for unit in np.flatnonzero(agree_U & (best_U != units.given_U)).tolist():
            share = float(share_UK[unit, best_U[unit]])
            self._add(unit, int(best_U[unit]), NEAR, texts.NEIGHBOUR_REASON.format(share=percent(share)))

    def group(self) -> None:
        units = self._units
        for unit in np.flatnonzero(units.mixed_U).tolist():
            predicted = int(units.p_UK[unit].argmax())
            self._add(unit, self._proposed.get(unit, predicted), GROUP, texts.GROUP_REASON)

    def suspects(self, ids_N: Strings, attribute: str, code_N: Ints) -> list[Suspect]:
        units, ranked = self._units, []
        order = np.argsort(units.of_N, kind="stable")
        rows_of = np.split(order, np.searchsorted(units.of_N[order], np.arange(1, len(units.given_U))))
        for unit, reasons in self._reasons.items():
            value, rows = self._proposed[unit], rows_of[unit]
            changed = rows[code_N[rows] != value]
            if not len(changed):
                continue
            p = units.p_UK[unit]
            given = int(code_N[changed[0]])
            witnesses = tuple(w for w in (MODEL, COPIES, NEAR, GROUP) if w in reasons)
            suspect = Suspect(
                key=("train", str(ids_N[changed[0]])),
                attribute=attribute,
                given=given,
                proposed=value,
                images=len(changed),
                margin=float(p[value] - p[given]),
                witnesses=witnesses,
                reasons=tuple(reasons[w] for w in witnesses),
                others=tuple(dict.fromkeys(self._others.get(unit, ()))),
            )
            ranked.append(suspect)
        return ranked


def _neighbours(samples: Samples, features: Features, most: int) -> Ints:
    """(N, M) rows of the nearest images of other groups by cosine, -1 where there are fewer."""
    x_ND = unit_rows(features.take(samples.ids_N).x_NVD[:, 0])
    group_N, _ = numbered(samples.groups_N)
    return search_each(x_ND, most, against, group_N)[0]


def representative(bins: Sequence[float], code: int) -> float:
    """A number well inside a bin, because a patch of a numeric column is a number.

    `bins` are edges, ascending; bin 0 is below the first edge.
    """
    if code == 0 or code == len(bins):
        width = (bins[-1] - bins[0]) / (len(bins) - 1) if len(bins) > 1 else max(abs(bins[0]), 1.0) / 5
        return bins[0] - width / 2 if code == 0 else bins[-1] + width / 2
    return (bins[code - 1] + bins[code]) / 2


@dataclass(frozen=True)
class SuspectInputs:
    """What the section is made from.

    Args:
        suspects: most suspicious first.
        raw: by attribute, the text of each value in the table.
        checked: number of checked images.
        neighbours: whether there were features for neighbours.
        folder: where a patch file belongs.
        command: trains with the patch file.
    """

    space: LabelSpace
    suspects: Sequence[Suspect]
    raw: Raw
    checked: int
    neighbours: bool
    folder: str
    command: str


@dataclass(frozen=True)
class SuspectCard:
    """One suspect on the page."""

    number: int
    key: Key
    attribute: str
    given: str
    proposed: str
    covers: str
    reasons: tuple[str, ...]
    others: tuple[Key, ...]

    @property
    def label(self) -> str:
        """The description for screen readers."""
        return texts.SUSPECT_LABEL.format(id=self.key[1], **vars(self))


def patch_row(suspect: Suspect, space: LabelSpace, raw: Raw) -> list[str]:
    """The CSV row that corrects a suspect, in the order of `COLUMNS`."""
    names = {a.name: a.values for a in space.attributes}[suspect.attribute]
    values = raw[suspect.attribute]
    proposed, given = names[suspect.proposed], names[suspect.given]
    reasons = "; ".join(suspect.reasons)
    reason = texts.PATCH_REASON.format(proposed=proposed, given=given, reasons=reasons)
    return [suspect.key[1], suspect.attribute, values[suspect.proposed], reason, values[suspect.given]]


def section(inputs: SuspectInputs) -> ReportSection:
    """The section of the page."""
    names = {a.name: a.values for a in inputs.space.attributes}
    shown = list(inputs.suspects)[:MOST]
    cards = [
        SuspectCard(
            number=number,
            key=s.key,
            attribute=s.attribute,
            given=names[s.attribute][s.given],
            proposed=names[s.attribute][s.proposed],
            covers=plural(s.images, "image") if s.images > 1 else "",
            reasons=s.reasons,
            others=s.others[:3],
        )
        for number, s in enumerate(shown)
    ]
    rows = [patch_row(s, inputs.space, inputs.raw) for s in shown]
    return ReportSection(
        ANCHOR,
        SHORT,
        "suspects.html",
        {
            "title": TITLE,
            "cards": cards,
            "total": len(inputs.suspects),
            "checked": inputs.checked,
            "neighbours": inputs.neighbours,
            "folder": inputs.folder,
            "command": inputs.command,
            "constant": any(a.constant_in_group for a in inputs.space.attributes),
            "several": sum(len(s.witnesses) > 1 for s in inputs.suspects),
        },
        tuple(dict.fromkeys(key for card in cards for key in (card.key, *card.others))),
        json_data("suspects-data", {"columns": list(COLUMNS), "rows": rows}),
        "suspects.js",
        finding=worded(texts.SUSPECTS_FOUND, images=len(inputs.suspects))
        if inputs.suspects
        else texts.NONE_FOUND,
    )
