"""Members from elsewhere: CSVs of probabilities, and submissions of labels.

Owns reading them and repairing what spreadsheets do to them; each repair is reported. Does not own the
decoding of CSVs (`core/tables.py`) nor the host's own format (`data/host_format.py`).

Repaired: byte-order marks, semicolons with decimal commas, Windows line ends, columns and rows in another
order, ids that lost their leading zeros, rows that do not sum to 1 because of rounding. Rejected, with every
fault in one message: other ids, other classes, cells that are not numbers, rows that are not probabilities.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import LabelSpace, Strings, strings
from pipeline.core.tables import Table, read_table
from pipeline.core.targets import EXCLUSIVE, LABELS, ROW_SUM_TOLERANCE, VALUES, Target
from pipeline.data import host_format
from pipeline.pages.report import plural
from pipeline.settings.competition import CompetitionSettings

# How far the sum of a row may be from 1 because of rounding; beyond, rows are logits or independent scores.
ROUNDING = 0.05
NUMBER = re.compile(r"\d+(\.0+)?")


@dataclass(frozen=True)
class ExternalMember:
    """The predictions of a file, and the repairs that were made.

    Args:
        p: probabilities of the wanted ids, in their order.
        notes: one line for each repair.
    """

    p: Probabilities
    notes: tuple[str, ...]


def read_probabilities(
    path: Path, name: str, space: LabelSpace, wanted: Strings, config: CompetitionSettings
) -> ExternalMember:
    """Read probabilities of exactly the wanted images: an id column, and one column per class or class index.

    The settings of the competition name the id column, and the encoding of files that are not UTF-8.

    Raises:
        DataError: with every fault of the file.
    """
    table, id_column = read_table(path, encoding=config.encoding), config.submission.id_column
    by_index = [str(c) for c in range(space.n_classes)]
    composed = [unicodedata.normalize("NFC", c) for c in table.columns]
    # Names first: classes that are called 0, 1, 10, 2 are not numbered like that.
    numbered = not set(space.classes) <= set(composed) and set(by_index) <= set(composed)
    columns = by_index if numbered else list(space.classes)
    table = Table(table.name, tuple(composed), table.rows, table.lines, table.delimiter, table.encoding)
    table.require(
        [id_column, *columns],
        _("name the columns after the classes, or 0 to C-1, besides the host's id column"),
    )
    ids, notes = _repaired_ids(table.column(id_column), wanted)
    p_NC, faults = _numbers(table, ids, columns, negative=space.kind == VALUES)
    faults = [*_id_faults(ids, wanted), *faults]
    target = Target.of(space)
    faults += _unlike_probabilities(p_NC, ids, target)
    if faults:
        remedy = _("the member must predict exactly these {n} images").format(n=len(wanted))
        raise DataError(
            _("{name}: {path}: {n}{id_counts}").format(
                name=name, path=path, n=plural(len(faults), "fault"), id_counts=_id_counts(ids, wanted)
            ),
            faults,
            remedy,
        )
    rounded = int((target.off_N(p_NC) > ROW_SUM_TOLERANCE).sum())
    if rounded and target.kind != LABELS:
        notes.append(_("{n:row} did not sum to 1 because of rounding, normalised").format(n=rounded))
    if [c for c in table.columns if c in columns] != columns:
        notes.append(_("its classes are in another order and are joined by name"))
    predicted = Probabilities.of(target, strings(ids), target.normalised(p_NC), name)
    return ExternalMember(predicted.take(wanted), tuple(f"{name}: {path.name}: {note}" for note in notes))


def read_labels(
    path: Path, name: str, space: LabelSpace, wanted: Strings, config: CompetitionSettings
) -> ExternalMember:
    """Read a submission's answers of exactly the wanted images: a hard vote, or values.

    The CSV is in the host's format. A class counts as its probability 1, and so does a label that holds.

    Raises:
        DataError: with every fault of the file.
    """
    submission = host_format.read(path, space, config.submission, encoding=config.encoding)
    ids, notes = _repaired_ids(submission.ids_N.tolist(), wanted)
    faults = _id_faults(ids, wanted)
    if faults:
        remedy = _("the submission must label exactly the {n} test images").format(n=len(wanted))
        raise DataError(
            _("{name}: {path}: {n}{id_counts}").format(
                name=name, path=path, n=plural(len(faults), "fault"), id_counts=_id_counts(ids, wanted)
            ),
            faults,
            remedy,
        )
    if space.kind == EXCLUSIVE:
        p_NC = np.eye(space.n_classes, dtype=np.float32)[submission.labels_N]
    else:
        p_NC = np.asarray(submission.answers, dtype=np.float32)
    predicted = Probabilities.of(Target.of(space), strings(ids), p_NC, name)
    return ExternalMember(predicted.take(wanted), tuple(f"{name}: {path.name}: {note}" for note in notes))


def _repaired_ids(given: Sequence[str], wanted: Strings) -> tuple[list[str], list[str]]:
    """The ids with the leading zeros that were lost when a program read them as numbers, and a note."""
    by_number = {_as_number(name): name for name in wanted.tolist()}
    known = set(wanted.tolist())
    if len(by_number) < len(known):  # 1 and 01 are two images here, so a number is ambiguous
        return list(given), []
    ids = [name if name in known else by_number.get(_as_number(name), name) for name in given]
    moved = sum(a != b for a, b in zip(ids, given, strict=True))
    note = _("{n:id} had lost leading zeros (read as numbers by another program), restored").format(n=moved)
    return ids, [note] if moved else []


def _as_number(name: str) -> str:
    return str(int(float(name))) if NUMBER.fullmatch(name) and len(name) <= 15 else name


def _id_faults(given: Sequence[str], wanted: Strings) -> list[str]:
    counts, expected = Counter(given), set(wanted.tolist())
    faults = [f"id {i!r}: missing" for i in wanted.tolist() if i not in counts]
    faults += [f"id {i!r}: extra" for i in counts if i not in expected]
    return faults + [f"id {i!r}: {times} times" for i, times in counts.items() if times > 1]


def _id_counts(given: Sequence[str], wanted: Strings) -> str:
    """How many ids are missing and extra, as an error shows only some of them; empty for none."""
    present, expected = set(given), set(wanted.tolist())
    missing, extra = len(expected - present), len(present - expected)
    return (
        _(", {missing} ids missing and {extra} extra").format(missing=missing, extra=extra)
        if missing or extra
        else ""
    )


def _unlike_probabilities(p_NC: Reals, ids: Sequence[str], target: Target) -> list[str]:
    """One fault for each row of numbers that are no probabilities of the target, beyond rounding."""
    readable_N = np.isfinite(p_NC).all(axis=1) & (p_NC >= 0).all(axis=1)
    off_N = ~(target.off_N(p_NC) <= ROUNDING)
    faults = []
    for n in np.flatnonzero(readable_N).tolist():
        if target.kind == LABELS and p_NC[n].max() > 1 + ROUNDING:
            faults.append(
                _("id {id!r}: {max:.4g} is above 1; apply a sigmoid to logits first").format(
                    id=ids[n], max=p_NC[n].max()
                )
            )
        elif off_N[n] and target.kind == LABELS:
            faults.append(_("id {id!r}: the levels of a label do not sum to 1").format(id=ids[n]))
        elif off_N[n]:
            what = _("sums to {sum:.4g}, not 1; apply a softmax to logits or single scores first").format(
                sum=p_NC[n].sum()
            )
            faults.append(_("id {id!r}: {what}").format(id=ids[n], what=what))
    return faults


def _numbers(
    table: Table, ids: Sequence[str], columns: Sequence[str], negative: bool
) -> tuple[Reals, list[str]]:
    """(N, C) cells as numbers, NaN where a cell is not one, and one fault for each bad row.

    `negative`: numbers below 0 are no fault.
    """
    p_NC = np.full((len(ids), len(columns)), np.nan)
    for c, column in enumerate(columns):
        cells = table.column(column)
        try:
            p_NC[:, c] = np.array(cells, dtype=np.float64)
        except ValueError:
            p_NC[:, c] = [_number(v) for v in cells]
    faults = []
    for n in np.flatnonzero(~np.isfinite(p_NC).all(axis=1)).tolist():
        c = int(np.argmin(np.isfinite(p_NC[n])))
        cell = table.column(columns[c])[n]
        where = _("id {id!r} (line {line})").format(id=ids[n], line=table.lines[n])
        faults.append(
            _("{where}: {columns!r} is {cell!r}, which is not a number").format(
                where=where, columns=columns[c], cell=cell
            )
        )
    for n in np.flatnonzero((p_NC < 0).any(axis=1) & (not negative)).tolist():
        column = columns[int(np.nanargmin(p_NC[n]))]
        faults.append(
            _("id {id!r} (line {line}): {column!r} is negative").format(
                id=ids[n], line=table.lines[n], column=column
            )
        )
    return p_NC, faults


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
