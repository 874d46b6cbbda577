"""Labels that are probably wrong: what the model, copies, neighbours and the group itself say against them.

Owns finding and ranking suspects. Does not own the page (`suspects_page.py`), copies (`twins.py`), nor what
a correction does (`data/labels.py`).

Four witnesses, by attribute, since a correction is of one attribute:
  model       confident learning on out-of-fold probabilities: an image is suspected where another value
              reaches the confidence that images of that value get on average
  copies      the same picture carries another value elsewhere
  neighbours  most of the nearest images of other groups, by features of a frozen backbone, agree on
              another value
  group       the images of a group disagree in an attribute that is constant in a group
An attribute that is constant in a group is judged group by group: its probabilities are averaged, and a
correction covers all of it. More witnesses rank first, then the model's margin.

Source: Northcutt, Jiang & Chuang, Confident Learning (JAIR 2021), the confident joint and ranking by
normalised margin. cleanlab does the same for one label a row; it knows neither attributes nor groups, and
what it would save are the ten lines of `confident`.

Shape legend: N images, U units (images, or groups), K values of an attribute, D features, B a block.

The section of label suspects: ranked pictures, and a label_patches.csv made by clicks.

Owns the section and the rows of the CSV. Does not own the ranking (`suspects.py`) nor reading patches
(`data/labels.py`, which takes exactly these columns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.group_resampling import numbered
from pipeline.core.neighbours import against, search, unit_rows
from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Floats, Ints, LabelSpace, Samples, Strings, positions
from pipeline.eda.survey import Duplicates
from pipeline.pages.report import Key, json_data, percent, plural
from pipeline.pages.section import Section
from pipeline.settings.report import FinderSettings

# By attribute, what the table writes for each value.
Raw = Mapping[str, Sequence[str]]
MODEL, COPIES, NEAR, GROUP = "model", "copies", "neighbours", "group"


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong, and what it may be instead.

    Args:
        key: the image, or the one of a group that fits its label least.
        attribute: its name.
        given: code of the value that the table says.
        proposed: code of the value that the witnesses say.
        images: how many a correction would change.
        margin: mean probability of the proposed value minus that of the given one, -1 to 1.
        witnesses: of `model`, `copies`, `neighbours` and `group`, in this order.
        reasons: one sentence part a witness.
        others: images to look at beside it: copies with the other value.
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
    """What one attribute is judged by: images, or whole groups.

    Args:
        of_N: the unit of each image.
        p_UK: mean probability of each value.
        given_U: the label, of a group the commonest one.
        mixed_U: whether the images of a group carry several values.
    """

    of_N: Ints
    p_UK: Floats
    given_U: Ints
    mixed_U: npt.NDArray[np.bool_]


def confident(p_UK: Floats, given_U: Ints) -> Ints:
    """(U,) the value that confident learning finds instead of the given one; the given one where none.

    Args:
        p_UK: out-of-fold probabilities.
        given_U: labels, some of them wrong.
    """
    n_values = p_UK.shape[1]
    own_U = p_UK[np.arange(len(given_U)), given_U]
    support_K = np.bincount(given_U, minlength=n_values)
    # A value that nobody carries has no usual confidence: nothing can reach it.
    threshold_K = np.where(
        support_K > 0, np.bincount(given_U, own_U, n_values) / np.maximum(support_K, 1), np.inf
    )
    reached_UK = np.where(p_UK >= threshold_K, p_UK, -1.0)
    best_U = reached_UK.argmax(axis=1)
    found_U = reached_UK[np.arange(len(best_U)), best_U] >= 0
    return np.where(found_U, best_U, given_U).astype(np.int64)


def find(
    oof: Probabilities,
    train: Samples,
    copies: Sequence[Duplicates] = (),
    features: Features | None = None,
    settings: FinderSettings | None = None,
) -> list[Suspect]:
    """All suspects, most suspicious first.

    Args:
        oof: out-of-fold probabilities; images without any are not judged.
        train: the labelled samples. A label that is corrected for training already is not told again.
        copies: sets of equal or nearly equal pictures.
        features: of the training images, first view; None: neighbours are not asked.
        settings: from where on a label is suspected; None: the defaults.

    Raises:
        DataError: an id is not a training image, or the classes differ.
    """
    settings = settings or FinderSettings()
    space = train.space
    oof = oof.with_classes(space.classes)
    samples = train.take(oof.ids_N)
    patched = samples.for_training().labels
    near_NM = None if features is None else _neighbours(samples, features, settings.neighbours)
    found = []
    for k, attribute in enumerate(space.attributes):
        code_N = space.codes_CA[samples.labels, k]
        units = _units(space.marginal(oof.p_NC, k), code_N, samples, attribute.constant_in_group)
        said = _Witnesses(units, len(attribute.values), settings)
        said.model(confident(units.p_UK, units.given_U))
        said.copies(copies, samples.ids_N, code_N)
        if near_NM is not None:
            said.neighbours(near_NM, code_N)
        said.group()
        for suspect in said.suspects(samples.ids_N, attribute.name, code_N):
            at = positions(np.array([suspect.key[1]]), samples.ids_N, "suspects")[0]
            enough = len(suspect.witnesses) >= settings.suspect_witnesses
            if enough and space.codes_CA[patched[at], k] != suspect.proposed:
                found.append(suspect)
    return sorted(found, key=lambda s: (-len(s.witnesses), -s.margin, s.key, s.attribute))


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
    """What the witnesses say of each unit; the first to propose a value decides which one is proposed."""

    def __init__(self, units: _Units, n_values: int, settings: FinderSettings) -> None:
        self._units, self._settings = units, settings
        self._n_values = n_values
        self._proposed: dict[int, int] = {}
        self._said: dict[int, dict[str, str]] = {}
        self._others: dict[int, list[Key]] = {}

    def _add(self, unit: int, value: int, witness: str, reason: str) -> bool:
        if self._proposed.setdefault(unit, value) != value:
            return False
        self._said.setdefault(unit, {}).setdefault(witness, reason)
        return True

    def model(self, value_U: Ints) -> None:
        units = self._units
        for unit in np.flatnonzero(value_U != units.given_U).tolist():
            value, given = int(value_U[unit]), int(units.given_U[unit])
            p = units.p_UK[unit]
            if p[value] - p[given] < self._settings.suspect_margin:
                continue
            self._add(
                unit, value, MODEL, f"the model gives it {percent(p[value])}, the label {percent(p[given])}"
            )

    def copies(self, sets: Sequence[Duplicates], ids_N: Strings, code_N: Ints) -> None:
        units = self._units
        at = {str(name): row for row, name in enumerate(ids_N.tolist())}
        for copies in sets:
            rows = [at[name] for split, name in copies.members if split == "train" and name in at]
            if len({int(code_N[row]) for row in rows}) < 2:
                continue
            # The one whose label the model believes least is the suspect; the best believed one is right.
            rows.sort(key=lambda row: float(units.p_UK[units.of_N[row], code_N[row]]))
            right = int(code_N[rows[-1]])
            what = "the same file" if copies.exact else "nearly the same picture"
            for row in rows:
                unit = int(units.of_N[row])
                differs = code_N[row] != right and unit != units.of_N[rows[-1]]
                if differs and self._add(unit, right, COPIES, f"{what} has this value elsewhere"):
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
        sure_U = share_UK[np.arange(n_units), best_U] >= self._settings.agreeing
        for unit in np.flatnonzero(sure_U & (best_U != units.given_U)).tolist():
            share = float(share_UK[unit, best_U[unit]])
            self._add(unit, int(best_U[unit]), NEAR, f"{percent(share)} of its nearest images have it")

    def group(self) -> None:
        units = self._units
        for unit in np.flatnonzero(units.mixed_U).tolist():
            believed = int(units.p_UK[unit].argmax())
            self._add(
                unit, self._proposed.get(unit, believed), GROUP, "the images of its group disagree in this"
            )

    def suspects(self, ids_N: Strings, attribute: str, code_N: Ints) -> list[Suspect]:
        units, found = self._units, []
        order = np.argsort(units.of_N, kind="stable")
        rows_of = np.split(order, np.searchsorted(units.of_N[order], np.arange(1, len(units.given_U))))
        for unit, said in self._said.items():
            value, rows = self._proposed[unit], rows_of[unit]
            changed = rows[code_N[rows] != value]
            if not len(changed):
                continue
            p = units.p_UK[unit]
            given = int(code_N[changed[0]])
            words = tuple(w for w in (MODEL, COPIES, NEAR, GROUP) if w in said)
            found.append(
                Suspect(
                    key=("train", str(ids_N[changed[0]])),
                    attribute=attribute,
                    given=given,
                    proposed=value,
                    images=len(changed),
                    margin=float(p[value] - p[given]),
                    witnesses=words,
                    reasons=tuple(said[w] for w in words),
                    others=tuple(dict.fromkeys(self._others.get(unit, ()))),
                )
            )
        return found


def _neighbours(samples: Samples, features: Features, most: int) -> Ints:
    """(N, M) rows of the images of other groups that are nearest by cosine, -1 where there are fewer."""
    x_ND = unit_rows(features.take(samples.ids_N).x_NVD[:, 0])
    group_N, _ = numbered(samples.groups_N)
    return search(x_ND, x_ND, most, against, (group_N, group_N))[0]


def representative(bins: Sequence[float], code: int) -> float:
    """A number well inside a bin, since a numeric column is patched by a number.

    Args:
        bins: edges, ascending.
        code: bin 0 lies below the first edge.
    """
    if code == 0 or code == len(bins):
        width = (bins[-1] - bins[0]) / (len(bins) - 1) if len(bins) > 1 else max(abs(bins[0]), 1.0) / 5
        return bins[0] - width / 2 if code == 0 else bins[-1] + width / 2
    return (bins[code - 1] + bins[code]) / 2


ANCHOR, SHORT = "suspects", "Labels"
TITLE = "Labels that may be wrong"
MOST = 60
COLUMNS = ("id", "attribute", "value", "reason", "was")


@dataclass(frozen=True)
class SuspectInputs:
    """What the section is made of.

    Args:
        space: the label space.
        found: most suspicious first.
        raw: by attribute, what the table writes for each value.
        judged: images that were judged.
        neighbours: whether features were there to ask them.
        folder: where a patch file belongs.
        command: what trains with it.
    """

    space: LabelSpace
    found: Sequence[Suspect]
    raw: Raw
    judged: int
    neighbours: bool
    folder: str
    command: str


@dataclass(frozen=True)
class SuspectCard:
    """One suspect as it is shown."""

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
        """For screen readers."""
        return f"{self.key[1]}: {self.attribute} {self.given}, perhaps {self.proposed}"


def patch_row(suspect: Suspect, space: LabelSpace, raw: Raw) -> list[str]:
    """The CSV row that corrects it, in the order of `COLUMNS`."""
    names = {a.name: a.values for a in space.attributes}[suspect.attribute]
    values = raw[suspect.attribute]
    reason = "; ".join(suspect.reasons)
    return [
        suspect.key[1],
        suspect.attribute,
        values[suspect.proposed],
        f"{names[suspect.proposed]} instead of {names[suspect.given]}: {reason}",
        values[suspect.given],
    ]


def section(inputs: SuspectInputs) -> Section:
    """The section of the page."""
    names = {a.name: a.values for a in inputs.space.attributes}
    shown = list(inputs.found)[:MOST]
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
    return Section(
        ANCHOR,
        SHORT,
        "suspects.html",
        {
            "title": TITLE,
            "cards": cards,
            "total": len(inputs.found),
            "judged": inputs.judged,
            "neighbours": inputs.neighbours,
            "folder": inputs.folder,
            "command": inputs.command,
            "constant": any(a.constant_in_group for a in inputs.space.attributes),
            "several": sum(len(s.witnesses) > 1 for s in inputs.found),
        },
        tuple(dict.fromkeys(key for card in cards for key in (card.key, *card.others))),
        json_data("suspects-data", {"columns": list(COLUMNS), "rows": rows}),
        "suspects.js",
    )
