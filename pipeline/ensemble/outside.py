"""Members from elsewhere: CSVs of probabilities, and submissions of labels.

Owns reading them and mending what spreadsheets do to them, each time saying so. Does not own the
decoding of CSVs (`core/tables.py`) or the host's own format (`submission.py`).

What is mended: byte-order marks, semicolons with decimal commas, Windows line ends, columns and rows in
another order, ids that lost their leading zeros, rows that are off 1 by rounding. What is refused, every
fault at once: other ids, other classes, no numbers, rows that are no probabilities.

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
from pipeline.core.metrics import Reals
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import LabelSpace, Strings, strings
from pipeline.core.tables import Table, read_table
from pipeline.core.targets import ROW_SUM_TOLERANCE, Target
from pipeline.data import host_format
from pipeline.settings.competition import SubmissionSettings

# Rows may be off 1 by so much for rounding; beyond, they are logits, or scores of single classes.
ROUNDING = 0.05
NUMBER = re.compile(r"\d+(\.0+)?")


@dataclass(frozen=True)
class Read:
    """What a file says, and what was mended on the way.

    Args:
        p: of the wanted ids, in their order.
        notes: one line each.
    """

    p: Probabilities
    notes: tuple[str, ...]


def probabilities(path: Path, name: str, space: LabelSpace, wanted: Strings, id_column: str) -> Read:
    """Probabilities of exactly the wanted images: an id column, and a column a class, by name or index.

    Args:
        path: the CSV.
        name: of the member.
        space: the classes.
        wanted: ids, in the order of the result.
        id_column: what the host calls it.

    Raises:
        DataError: with every fault of the file.
    """
    table = read_table(path)
    by_index = [str(c) for c in range(space.n_classes)]
    composed = [unicodedata.normalize("NFC", c) for c in table.columns]
    columns = by_index if set(by_index) <= set(composed) else list(space.classes)
    table = Table(table.name, tuple(composed), table.rows, table.lines, table.delimiter, table.encoding)
    table.require([id_column, *columns], "name the columns as the classes, or 0 to C-1, beside the host's id")
    ids, notes = _mended(table.column(id_column), wanted)
    p_NC, faults = _numbers(table, ids, columns)
    faults = [*_id_faults(ids, wanted), *faults]
    target, sums_N = Target.of(space), p_NC.sum(axis=1)
    off_N = ~(target.off_N(p_NC) <= ROUNDING)
    readable_N = np.isfinite(p_NC).all(axis=1) & (p_NC >= 0).all(axis=1)
    faults += [
        f"id {ids[n]!r}: sums to {sums_N[n]:.4g}, not 1; logits and single scores need a softmax first"
        for n in np.flatnonzero(off_N & readable_N)
    ]
    if faults:
        remedy = f"the member must predict exactly the {len(wanted)} images wanted here"
        raise DataError(f"{name}: {path}: {len(faults)} faults{_counted(ids, wanted)}", faults, remedy)
    rounded = int((target.off_N(p_NC) > ROW_SUM_TOLERANCE).sum())
    if rounded:
        notes.append(f"{rounded} rows were off 1 by rounding and are normalised")
    if [c for c in table.columns if c in columns] != columns:
        notes.append("its classes stand in another order; joined by name")
    found = Probabilities(strings(ids), space.classes, target.normalised(p_NC), name)
    return Read(found.take(wanted), tuple(f"{name}: {path.name}: {note}" for note in notes))


def labels(path: Path, name: str, space: LabelSpace, wanted: Strings, settings: SubmissionSettings) -> Read:
    """A submission's labels of exactly the wanted images, as certain probabilities: a hard vote.

    Args:
        path: a CSV in the host's format, or of labels where the host asks for probabilities.
        name: of the member.
        space: the classes.
        wanted: ids, in the order of the result.
        settings: the host's format.

    Raises:
        DataError: with every fault of the file.
    """
    said = host_format.read(path, space, settings)
    ids, notes = _mended(said.ids_N.tolist(), wanted)
    faults = _id_faults(ids, wanted)
    if faults:
        remedy = f"the submission must label exactly the {len(wanted)} test images"
        raise DataError(f"{name}: {path}: {len(faults)} faults{_counted(ids, wanted)}", faults, remedy)
    p_NC = np.eye(space.n_classes, dtype=np.float32)[said.labels_N]
    found = Probabilities(strings(ids), space.classes, p_NC, name)
    return Read(found.take(wanted), tuple(f"{name}: {path.name}: {note}" for note in notes))


def _mended(given: Sequence[str], wanted: Strings) -> tuple[list[str], list[str]]:
    """The ids, with the zeros that a program took which read them as numbers; and what was done."""
    asked = {_as_number(name): name for name in wanted.tolist()}
    known = set(wanted.tolist())
    if len(asked) < len(known):  # 1 and 01 are two images here: numbers say nothing
        return list(given), []
    ids = [name if name in known else asked.get(_as_number(name), name) for name in given]
    moved = sum(a != b for a, b in zip(ids, given, strict=True))
    note = f"{moved} ids were read as numbers somewhere; their leading zeros are back"
    return ids, [note] if moved else []


def _as_number(name: str) -> str:
    return str(int(float(name))) if NUMBER.fullmatch(name) and len(name) <= 15 else name


def _id_faults(given: Sequence[str], wanted: Strings) -> list[str]:
    counts, asked = Counter(given), set(wanted.tolist())
    faults = [f"id {i!r}: missing" for i in wanted.tolist() if i not in counts]
    faults += [f"id {i!r}: extra" for i in counts if i not in asked]
    return faults + [f"id {i!r}: {times} times" for i, times in counts.items() if times > 1]


def _counted(given: Sequence[str], wanted: Strings) -> str:
    """How many ids differ, as not all of them may be shown; empty for none."""
    had, asked = set(given), set(wanted.tolist())
    lacks, more = len(asked - had), len(had - asked)
    return f", {lacks} ids missing and {more} extra" if lacks or more else ""


def _numbers(table: Table, ids: Sequence[str], columns: Sequence[str]) -> tuple[Reals, list[str]]:
    """(N, C) cells as numbers, NaN where there is none, and one fault for each bad row."""
    p_NC = np.full((len(ids), len(columns)), np.nan)
    for c, column in enumerate(columns):
        cells = table.column(column)
        # A spreadsheet that separates cells by semicolons writes decimal commas.
        cells = tuple(v.replace(",", ".") for v in cells) if table.delimiter == ";" else cells
        try:
            p_NC[:, c] = np.array(cells, dtype=np.float64)
        except ValueError:
            p_NC[:, c] = [_number(v) for v in cells]
    faults = []
    for n in np.flatnonzero(~np.isfinite(p_NC).all(axis=1)).tolist():
        c = int(np.argmin(np.isfinite(p_NC[n])))
        cell = table.column(columns[c])[n]
        where = f"id {ids[n]!r} (line {table.lines[n]})"
        faults.append(f"{where}: {columns[c]!r} is {cell!r}, which is no number")
    for n in np.flatnonzero((p_NC < 0).any(axis=1)).tolist():
        column = columns[int(np.nanargmin(p_NC[n]))]
        faults.append(f"id {ids[n]!r} (line {table.lines[n]}): {column!r} is negative")
    return p_NC, faults


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
