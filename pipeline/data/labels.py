"""From raw values to class indices: attributes, numeric bins, corrections of labels, and soft targets.

Owns what a label means, the labels that train beside those that score, and sharing a row's training target
between the two bins that meet at an edge. Does not own where rows come from (`data/layouts.py`) or what a
loss does with targets (`train/losses.py`).

Scores stay comparable: `train_bins`, `soft_width` and label patches change the labels that train; the labels
that score are those of the table unless `patch_scoring` is set.

Soft targets: a person of 59 is almost 60, and half of the label is a matter of luck. With `soft_width` w, a
value v within ± w of an edge e belongs to the upper bin by (v - e + w) / 2w and to the lower one by the rest.
Edges are those of training (`train_bins`, or else `bins`).

Legend: N rows, A attributes, C classes, K values of one attribute.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError, DataError, Suggestions
from pipeline.core.language import _, joined
from pipeline.core.samples import Attribute, Floats, Ints, LabelSpace, Truth
from pipeline.core.tables import Table, number_in, read_table
from pipeline.core.wording import worded
from pipeline.data import matrix_truth, texts
from pipeline.data.layouts import Listing
from pipeline.data.paths import Faults, nfc
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

PATCH_COLUMNS = ("id", "attribute", "value", "reason")
SHOWN_VALUES = 6


@dataclass(frozen=True)
class Labels:
    """The truth of each row: a class index, or a row of numbers where classes do not exclude each other.

    Args:
        scoring: what predictions are scored on, as `Samples.truth`.
        training: the truth of training.
        soft_NC: the training targets of rows near an edge, see `targets`; NaN elsewhere. None: no such row.
        notes: how the two differ, one line each.
    """

    scoring: Truth
    training: Truth
    soft_NC: Floats | None = None
    notes: tuple[str, ...] = ()


def label_space(settings: CompetitionSettings) -> LabelSpace:
    """The classes: every combination of the attributes' values, the last attribute running fastest.

    Raises:
        ConfigError: no attribute, values or display names that repeat or differ in number.
    """
    faults = [] if settings.attributes else ["it is empty"]
    for attribute in settings.attributes:
        if settings.target != "values" and attribute.word is None and len(attribute.values) < 2:
            faults.append(_("{attribute}: needs at least two values").format(attribute=attribute.name))
        names = attribute.names or attribute.values
        if len(names) != len(attribute.values):
            faults.append(
                _("{attribute}: {names} names for {values} values").format(
                    attribute=attribute.name, names=len(names), values=len(attribute.values)
                )
            )
        for words in (attribute.values, names):
            twice = [word for word, count in Counter(words).items() if count > 1]
            faults += [f"{attribute.name}: `{word}` occurs more than once" for word in twice]
    if faults:
        raise ConfigError(_("competition.attributes: cannot build classes"), list(dict.fromkeys(faults)))
    if settings.target == "values":
        numbers = LabelSpace.numbers([a.name for a in settings.attributes])
        shared = tuple(Attribute(a.name, (), a.constant_in_group) for a in settings.attributes)
        return replace(numbers, attributes=shared)
    attributes = [
        Attribute(a.name, tuple(a.names or a.values or (texts.ABSENT, texts.PRESENT)), a.constant_in_group)
        for a in settings.attributes
    ]
    if settings.target == "labels":
        weights = tuple(sorted((settings.label_weights or {}).items()))
        return replace(LabelSpace.independent(attributes), weights=weights)
    space = LabelSpace.product(attributes)
    return replace(space, kind="shares") if settings.target == "shares" else space


def read(
    listing: Listing,
    groups: Sequence[str],
    settings: CompetitionSettings,
    patches: Path | None,
    faults: Faults,
) -> Labels:
    """The labels of every row; a row with a fault gets an arbitrary class, because it is never used.

    Args:
        listing: rows with the attributes' columns.
        groups: the group of each row: a patch of a `constant_in_group` attribute covers all of it.
        settings: the attributes.
        patches: table of corrections, or None.
        faults: gets every empty, unknown or non-numeric value, and every patch that fits nothing.
    """
    if settings.target != "exclusive":
        return _truths(listing, groups, settings, patches, faults)
    raw = [[nfc(v) for v in listing.table.column(a.column)] for a in settings.attributes]
    for attribute, values in zip(settings.attributes, raw, strict=True):
        checker = _Checker(attribute)
        for row, value in enumerate(values):
            kind, what = checker.fault(value)
            if kind:
                faults.add(kind, f"{listing.where(row)}: {attribute.name}: {what}")
    patched = [list(values) for values in raw]
    notes = _patch(patched, listing, groups, settings, patches, faults) if patches else []
    scored = patched if settings.patch_scoring else raw
    scoring = _classes(scored, settings, False)
    training = _classes(patched, settings, True)
    soft_NC = targets(_numbers(patched, settings), training, settings)
    notes += soft_notes(listing.table.name, soft_NC, settings)
    return Labels(scoring, training, soft_NC, (*notes, *_bin_notes(listing.table.name, patched, settings)))


def _truths(
    listing: Listing,
    groups: Sequence[str],
    settings: CompetitionSettings,
    patches: Path | None,
    faults: Faults,
) -> Labels:
    """The truth of every row, for targets other than exclusive classes; empty cells are unknown."""
    raw = matrix_truth.cells(listing, settings)
    notes: list[str] = []
    patched = raw
    if patches is not None and settings.target == "labels":
        patched = [list(values) for values in raw]
        notes += _patch(patched, listing, groups, settings, patches, faults)
    elif patches is not None:
        faults.add("unreadable patches", texts.PATCHES_OF_VALUES.format(target=settings.target))
    training = matrix_truth.truth(patched, listing, settings, faults)
    scoring = training
    if patched is not raw and not settings.patch_scoring:
        scoring = matrix_truth.truth(raw, listing, settings, Faults())
    notes += matrix_truth.notes(listing.table.name, training, settings)
    return Labels(scoring, training, None, tuple(notes))


def _numbers(raw_AN: list[list[str]], settings: CompetitionSettings) -> list[list[float] | None]:
    """The values of each binned attribute, NaN where there is a fault; None for other attributes."""
    return [
        None if a.bins is None else [n if (n := number_in(v)) is not None else math.nan for v in values]
        for a, values in zip(settings.attributes, raw_AN, strict=True)
    ]


def _edges(attribute: AttributeSettings, training: bool) -> list[float] | None:
    return (attribute.train_bins if training else None) or attribute.bins


class _Checker:
    """Finds the faults of the raw values of one attribute; a table may have a hundred thousand of them."""

    def __init__(self, attribute: AttributeSettings) -> None:
        known = [nfc(v) for v in attribute.values] or ["0", "1"]
        self._binned, self._known, self._near = (
            attribute.bins is not None,
            frozenset(known),
            Suggestions(known, 1),
        )
        self._shown = ", ".join(known[:SHOWN_VALUES]) + (", …" if len(known) > SHOWN_VALUES else "")

    def fault(self, value: str) -> tuple[str, str]:
        """(kind, message) of the fault of a raw value, or two empty strings."""
        if not value.strip():
            return "empty labels", _("the label is empty")
        if self._binned:
            return (
                ("", "")
                if number_in(value) is not None
                else ("unknown labels", _("'{value}' is not a number").format(value=value))
            )
        if value in self._known:
            return "", ""
        text, hint = (
            _("label '{value}' is not one of {shown}").format(value=value, shown=self._shown),
            self._near.of(value),
        )
        return "unknown labels", f"{text}; {hint}" if hint else text


def _codes(attribute: AttributeSettings, values: Sequence[str], training: bool) -> list[int]:
    edges = _edges(attribute, training)
    if edges is not None:
        return [bisect_right(edges, number) if (number := number_in(v)) is not None else 0 for v in values]
    index = {nfc(value): code for code, value in enumerate(attribute.values)}
    return [index.get(value, 0) for value in values]


def _classes(raw_AN: list[list[str]], settings: CompetitionSettings, training: bool) -> Ints:
    codes_AN = [_codes(a, v, training) for a, v in zip(settings.attributes, raw_AN, strict=True)]
    sizes = [len(a.values) for a in settings.attributes]
    return np.asarray(np.ravel_multi_index(tuple(codes_AN), sizes), dtype=np.int64).reshape(-1)


def _bin_notes(table: str, raw_AN: list[list[str]], settings: CompetitionSettings) -> list[str]:
    notes = []
    for attribute, values in zip(settings.attributes, raw_AN, strict=True):
        moved = np.not_equal(_codes(attribute, values, True), _codes(attribute, values, False)).sum()
        if attribute.train_bins is not None:
            bins = {"bins": attribute.bins, "train_bins": attribute.train_bins, "images": moved}
            notes.append(worded(texts.TRAIN_BINS, table=table, attribute=attribute.name, **bins))
    return notes


def _patch(
    raw_AN: list[list[str]],
    listing: Listing,
    groups: Sequence[str],
    settings: CompetitionSettings,
    path: Path,
    faults: Faults,
) -> list[str]:
    """Write the corrections of a table into `raw_AN`; returns notes about them, or none after faults."""
    table = _read_patches(path, settings, faults)
    if table is None:
        return []
    at = {a.name: n for n, a in enumerate(settings.attributes)}
    checkers = {a.name: _Checker(a) for a in settings.attributes}
    near = Suggestions(at, 1)
    rows_of_id = {name: row for row, name in enumerate(listing.ids)}
    rows_of_group: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows_of_group.setdefault(group, []).append(row)
    line_of: dict[tuple[str, int], int] = {}
    changed: Counter[str] = Counter()
    for line, name, word, value in zip(
        table.lines, *(table.column(c) for c in PATCH_COLUMNS[:3]), strict=True
    ):
        where = _("{table} row {line} (id {id})").format(table=table.name, line=line, id=name)
        attribute = settings.attributes[at[word]] if word in at else None
        if attribute is None:
            hint = near.of(word) or _("there are: {known}").format(known=", ".join(at))
            faults.add(
                "unknown patch attributes",
                _("{where}: no attribute `{word}`; {hint}").format(where=where, word=word, hint=hint),
            )
            continue
        kind, what = checkers[word].fault(nfc(value))
        if kind:
            faults.add("unknown patch values", joined(": ", (where, word, what)))
        rows = [rows_of_id[name]] if name in rows_of_id else []
        if attribute.constant_in_group:
            rows = rows_of_group.get(groups[rows[0]] if rows else name, [])
        if not rows:
            of = _("image or group") if attribute.constant_in_group else _("image")
            faults.add(
                "unknown patch ids", _("{where}: no training {of} has this id").format(where=where, of=of)
            )
        for row in rows:
            first = line_of.setdefault((word, row), line)
            if first != line:
                faults.add(
                    "repeated patches",
                    _("{where}: {word} is already patched in row {first}").format(
                        where=where, word=word, first=first
                    ),
                )
                break
            changed[word] += raw_AN[at[word]][row] != nfc(value)
            raw_AN[at[word]][row] = nfc(value)
    return [_patch_note(table, changed, settings)]


def _patch_note(table: Table, changed: Counter[str], settings: CompetitionSettings) -> str:
    changes = [texts.PATCHES_CHANGE.format(attribute=word, images=n) for word, n in changed.items()]
    return texts.PATCHES.format(
        table=table.name,
        patches=len(table),
        changes=joined(", ", changes) or texts.PATCHES_NOTHING,
        which=texts.PATCHES_BOTH if settings.patch_scoring else texts.PATCHES_TRAINING,
    )


def _read_patches(path: Path, settings: CompetitionSettings, faults: Faults) -> Table | None:
    try:
        table = read_table(path, str(settings.label_patches), settings.encoding)
        table.require(PATCH_COLUMNS, _("the header must be: {patch}").format(patch=",".join(PATCH_COLUMNS)))
    except DataError as error:
        for fault in error.faults or ("",):
            faults.add("unreadable patches", f"{error.headline}: {fault}".removesuffix(": "))
        return None
    return table


def shares(
    values_N: npt.NDArray[np.float64], edges: Sequence[float], width: float
) -> npt.NDArray[np.float64]:
    """(N, K) how much of each row belongs to each bin; K is one more than there are edges.

    Args:
        values_N: of the column; NaN belongs to the first bin.
        edges: ascending, at least 2 · width apart.
        width: > 0, in the column's unit.
    """
    # Share above each edge: 0 a width below it, 1 a width above it.
    above = [np.clip((values_N - edge + width) / (2 * width), 0, 1) for edge in edges]
    above_NE = np.nan_to_num(np.stack(above, axis=1))
    ends = np.ones((len(values_N), 1)), np.zeros((len(values_N), 1))
    return np.hstack([ends[0], above_NE]) - np.hstack([above_NE, ends[1]])


def targets(
    values_AN: Sequence[Sequence[float] | None], training_N: Ints, settings: CompetitionSettings
) -> Floats | None:
    """(N, C) training targets of rows near an edge, NaN elsewhere; None where no attribute has a soft_width.

    Args:
        values_AN: numbers of the binned attributes, in their order; None for the others.
        training_N: class index of each row, as training sees it.
        settings: the attributes; a class is their product, the last one running fastest.
    """
    if not any(a.soft_width for a in settings.attributes):
        return None
    sizes = [len(a.values) for a in settings.attributes]
    codes_AN = np.unravel_index(training_N, sizes)
    target_NC, is_soft_N = np.ones((len(training_N), 1)), np.zeros(len(training_N), bool)
    for attribute, values, codes_N in zip(settings.attributes, values_AN, codes_AN, strict=True):
        share_NK = np.eye(len(attribute.values))[codes_N]
        if attribute.soft_width is not None:
            assert values is not None, "a rule of the settings asks for bins"
            share_NK = shares(np.array(values), _edges(attribute, True) or [], attribute.soft_width)
            is_soft_N |= (share_NK.max(axis=1) < 1) if len(values) else False
        # The last attribute runs fastest: (N, C so far, 1) × (N, 1, K).
        target_NC = (target_NC[:, :, None] * share_NK[:, None, :]).reshape(len(training_N), -1)
    target_NC[~is_soft_N] = np.nan
    return np.asarray(target_NC, dtype=np.float32)


def soft_notes(table: str, soft_NC: Floats | None, settings: CompetitionSettings) -> list[str]:
    """One line with the number of rows between two bins."""
    if soft_NC is None:
        return []
    soft = [a for a in settings.attributes if a.soft_width]
    widths = [texts.SOFT_WIDTH.format(attribute=a.name, width=a.soft_width) for a in soft]
    count = int((~np.isnan(soft_NC).any(axis=1)).sum())
    return [worded(texts.SOFT, table=table, images=count, widths=joined(", ", widths))]
