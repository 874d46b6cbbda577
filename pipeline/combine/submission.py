"""Submissions in the host's format: writing, reading and checking them.

Owns the three formats of `SubmissionSettings`. Does not own the ledger of scores (`leaderboard.py`)
nor the provenance beside a submission (the stage writes that).

The host's sample is the authority on ids, their order and the columns. Rows are joined by id. Ids
are text: leading zeros stay.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError, nearest
from pipeline.core.predictions import ROW_SUM_TOLERANCE, Prediction, Probabilities
from pipeline.core.tables import Table, format_table, read_table
from pipeline.core.types import Floats, Ints, LabelSpace, Strings, refuse_duplicates
from pipeline.record.digests import write_atomic
from pipeline.settings.schema import SubmissionSettings

COLUMNS_REMEDY = "name the columns as the host does, or mend competition.submission in the settings"


def write(
    path: Path, probabilities: Probabilities, space: LabelSpace, settings: SubmissionSettings, sample: Path
) -> None:
    """A submission with the sample's ids, order and columns; columns of no concern are copied.

    Written whole or not at all.

    Raises:
        DataError: the sample is malformed, or other ids or classes were predicted than it asks for.
    """
    host = read_table(sample)
    answers = _answer_columns(host, space, settings)
    ids = _sample_ids(host, settings)
    faults = _id_faults(ids, probabilities.ids_N.tolist())
    if faults:
        raise DataError(
            f"{path.name}: {probabilities.name} does not predict what {sample.name} asks for",
            faults,
            "the test table and the sample must list the same images",
        )
    p_NC = probabilities.with_classes(space.classes).take(np.array(ids, dtype=np.str_)).p_NC
    cells = _format(p_NC, answers, space, settings)
    rows = [
        tuple(
            cells[column][n] if column in cells else cell
            for column, cell in zip(host.columns, row, strict=True)
        )
        for n, row in enumerate(host.rows)
    ]
    write_atomic(path, format_table(host.columns, rows, host.delimiter))


def read(
    path: Path, space: LabelSpace, settings: SubmissionSettings, sample: Path | None = None
) -> Prediction:
    """A host-format CSV from anywhere: BOM, semicolons, tabs, any line ends, rows in any order.

    Args:
        path: the CSV; its stem becomes the prediction's name.
        space: the classes.
        settings: the columns and the format.
        sample: the host's sample, or None; if given, the ids must be the same, and are put in its order.

    Raises:
        DataError: columns, ids or values that do not fit, all of them named.
    """
    table = read_table(path)
    answers = _answer_columns(table, space, settings)
    ids = _ids(table, settings)
    wanted = ids if sample is None else _sample_ids(read_table(sample), settings)
    faults = _id_faults(wanted, ids)
    parsed = _parse(table, ids, answers, space, settings)
    _refuse(table, [*faults, *parsed.faults])
    p = None
    if parsed.p_NC is not None:
        p_NC = (parsed.p_NC / parsed.p_NC.sum(axis=1, keepdims=True)).astype(np.float32)
        p = Probabilities(np.array(ids, dtype=np.str_), space.classes, p_NC, path.stem)
    prediction = Prediction(np.array(ids, dtype=np.str_), parsed.labels_N, p, path.stem)
    return prediction.take(np.array(wanted, dtype=np.str_))


def fits(sample: Path, ids_N: Strings, space: LabelSpace, settings: SubmissionSettings) -> None:
    """Whether the host's sample asks for exactly these images, in columns that the settings name.

    Raises:
        DataError: the sample is missing or malformed, or lists other ids.
    """
    host = read_table(sample)
    _answer_columns(host, space, settings)
    faults = _id_faults(_sample_ids(host, settings), ids_N.tolist())
    if faults:
        raise DataError(
            f"{sample.name} does not list the images of the test set",
            [f.replace("extra, not in the sample", "a test image that the sample lacks") for f in faults],
            "mend competition.test_table, test_id_column or sample_submission",
        )


def sample_of(ids: Sequence[str], space: LabelSpace, settings: SubmissionSettings) -> bytes:
    """A sample submission such as a host would give, for these ids."""
    if settings.format == "probabilities":
        columns, cells = space.classes, [f"{1 / space.n_classes:.6f}"] * space.n_classes
    else:
        columns = (settings.label_column,)
        cells = [space.classes[0] if settings.format == "class_name" else "0"]
    return format_table((settings.id_column, *columns), [(i, *cells) for i in ids])


def check(path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings) -> None:
    """Hold a submission against the host's sample, as strictly as a host who joins by position.

    Raises:
        DataError: names every fault: columns, ids missing, extra or twice, rows in another order,
            values outside the classes, not a number, or rows that do not sum to 1.
    """
    table, host = read_table(path), read_table(sample)
    faults = []
    if table.columns != host.columns:
        faults.append(f"columns are {', '.join(table.columns)}; the sample's are {', '.join(host.columns)}")
    if table.delimiter != host.delimiter:
        faults.append(f"cells are separated by {table.delimiter!r}; the sample's by {host.delimiter!r}")
    wanted = _sample_ids(host, settings)
    _answer_columns(host, space, settings)
    if settings.id_column in table.columns:
        ids = _ids(table, settings)
        odd = _id_faults(wanted, ids)
        # With ids missing or extra every later row stands elsewhere: that says nothing more.
        if not odd and ids != wanted:
            n = next(n for n, (a, b) in enumerate(zip(ids, wanted, strict=True)) if a != b)
            odd = [f"order: row {n + 1} is {ids[n]!r}, the sample has {wanted[n]!r} there"]
        faults += odd
        if set(table.columns) == set(host.columns):
            faults += _parse(table, ids, _answer_columns(table, space, settings), space, settings).faults
    _refuse(table, faults)


@dataclass(frozen=True)
class _Parsed:
    """Values of a table: labels, probabilities in class order if it has any, and what is wrong."""

    labels_N: Ints
    p_NC: Floats | None
    faults: tuple[str, ...]


def _answer_columns(table: Table, space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns that hold the answer: one, or one a class in class order.

    Probability columns are named by class or by index, 0 to C-1.
    """
    if settings.format != "probabilities":
        table.require((settings.id_column, settings.label_column), COLUMNS_REMEDY)
        return (settings.label_column,)
    by_index = tuple(str(c) for c in range(space.n_classes))
    named = by_index if set(by_index) <= set(table.columns) else space.classes
    table.require((settings.id_column, *named), COLUMNS_REMEDY)
    return named


def _ids(table: Table, settings: SubmissionSettings) -> list[str]:
    table.require((settings.id_column,), COLUMNS_REMEDY)
    return list(table.column(settings.id_column))


def _sample_ids(host: Table, settings: SubmissionSettings) -> list[str]:
    ids = _ids(host, settings)
    refuse_duplicates(np.array(ids, dtype=np.str_), f"sample {host.name}")
    return ids


def _id_faults(wanted: Sequence[str], given: Sequence[str]) -> list[str]:
    """One line for each id missing, extra, empty or given more than once."""
    asked, had = set(wanted), set(given)
    counts: dict[str, int] = {}
    for i in given:
        counts[i] = counts.get(i, 0) + 1
    faults = [f"id {i!r}: missing" for i in dict.fromkeys(wanted) if i not in had]
    faults += [f"id {i!r}: extra, not in the sample" for i in counts if i not in asked]
    faults += [f"id {i!r}: {times} times" for i, times in counts.items() if times > 1]
    return faults


def _refuse(table: Table, faults: Sequence[str]) -> None:
    if faults:
        raise DataError(
            f"{table.name}: {len(faults)} faults",
            faults,
            "mend the file, or write it again with `make ensemble`",
        )


def _format(
    p_NC: Floats, answers: tuple[str, ...], space: LabelSpace, settings: SubmissionSettings
) -> dict[str, list[str]]:
    """The answer columns as text."""
    if settings.format == "probabilities":
        return {column: [str(v) for v in p_N] for column, p_N in zip(answers, p_NC.T, strict=True)}
    labels = p_NC.argmax(axis=1).tolist()
    names = space.classes if settings.format == "class_name" else [str(c) for c in range(space.n_classes)]
    return {answers[0]: [names[c] for c in labels]}


def _parse(
    table: Table,
    ids: Sequence[str],
    answers: tuple[str, ...],
    space: LabelSpace,
    settings: SubmissionSettings,
) -> _Parsed:
    if settings.format == "probabilities":
        return _parse_probabilities(table, ids, answers)
    if settings.format == "class_name":
        known = {_composed(name): c for c, name in enumerate(space.classes)}
    else:
        known = {str(c): c for c in range(space.n_classes)}
    labels, faults = np.zeros(len(ids), np.int64), []
    for n, value in enumerate(map(_composed, table.column(answers[0]))):
        if value in known:
            labels[n] = known[value]
        elif settings.format == "class_name":
            faults.append(f"id {ids[n]!r}: {value!r} is no class {nearest(value, known)}".rstrip())
        else:
            faults.append(f"id {ids[n]!r}: {value!r} is no class index 0…{space.n_classes - 1}")
    return _Parsed(labels, None, tuple(faults))


def _composed(text: str) -> str:
    # macOS decomposes Hangul and accents; the same name must not become another class.
    return unicodedata.normalize("NFC", text)


def _parse_probabilities(table: Table, ids: Sequence[str], answers: tuple[str, ...]) -> _Parsed:
    p = np.full((len(ids), len(answers)), np.nan)
    for c, column in enumerate(answers):
        for n, value in enumerate(table.column(column)):
            try:
                # A spreadsheet that separates cells by semicolons writes decimal commas.
                p[n, c] = float(value.replace(",", ".") if table.delimiter == ";" else value)
            except ValueError:
                p[n, c] = np.nan
    faults = []
    for n, (p_C, total) in enumerate(zip(p, p.sum(axis=1), strict=True)):
        if not np.isfinite(p_C).all():
            c = int(np.argmin(np.isfinite(p_C)))
            faults.append(f"id {ids[n]!r}: {answers[c]!r} holds no number")
        elif (p_C < 0).any():
            faults.append(f"id {ids[n]!r}: {answers[int(np.argmin(p_C))]!r} is negative")
        elif abs(total - 1) > ROW_SUM_TOLERANCE:
            faults.append(f"id {ids[n]!r}: sums to {total:.4g}, not 1")
    return _Parsed(p.argmax(axis=1).astype(np.int64), p, tuple(faults))
