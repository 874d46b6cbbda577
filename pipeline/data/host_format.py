"""The host's four formats, cell by cell: a class index, a class name, a column a class or an attribute.

Owns which columns hold the answer, and turning probabilities into cells and cells into labels. Does not
own ids (`hostids.py`) or files (`submission.py`).

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import nearest
from pipeline.core.predictions import ROW_SUM_TOLERANCE
from pipeline.core.samples import Floats, Ints, LabelSpace
from pipeline.core.tables import Table
from pipeline.settings.schema import SubmissionSettings

COLUMNS_REMEDY = "name the columns as the host does, or mend competition.submission in the settings"


@dataclass(frozen=True)
class Parsed:
    """Values of a table: labels, probabilities in class order if it has any, and what is wrong."""

    labels_N: Ints
    p_NC: Floats | None
    faults: tuple[str, ...]


def answer_columns(table: Table, space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns that hold the answer: one, one a class in class order, or one an attribute.

    Probability columns are named by class or by index, 0 to C-1.

    Raises:
        DataError: one of them is missing.
    """
    named = columns_of(space, settings)
    if settings.format == "probabilities":
        by_index = tuple(str(c) for c in range(space.n_classes))
        named = by_index if set(by_index) <= set(table.columns) else named
    table.require((settings.id_column, *named), COLUMNS_REMEDY)
    return named


def columns_of(space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The answer's columns as the settings name them."""
    if settings.format == "probabilities":
        return space.classes
    if settings.format == "attributes":
        return tuple((settings.columns or {}).get(a.name, a.name) for a in space.attributes)
    return (settings.label_column,)


def cells(
    p_NC: Floats, answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> dict[str, list[str]]:
    """The answer columns as text, by column.

    With format=attributes each image gets the attributes of its most probable class, so that the file
    says what was scored.
    """
    if settings.format == "probabilities":
        return {column: [str(v) for v in p_N] for column, p_N in zip(answers, p_NC.T, strict=True)}
    labels_N = p_NC.argmax(axis=1)
    if settings.format == "attributes":
        words = _words(space, settings)
        codes_NA = space.codes_CA[labels_N]
        return {c: [words[a][v] for v in codes_NA[:, a].tolist()] for a, c in enumerate(answers)}
    names = space.classes if settings.format == "class_name" else [str(c) for c in range(space.n_classes)]
    return {answers[0]: [names[c] for c in labels_N.tolist()]}


def parse(
    table: Table,
    ids: Sequence[str],
    answers: Sequence[str],
    space: LabelSpace,
    settings: SubmissionSettings,
) -> Parsed:
    """Cells as labels and probabilities; `ids` are the rows' names in what is wrong with them."""
    if settings.format == "probabilities":
        return _probabilities(table, ids, answers)
    if settings.format == "attributes":
        return _attributes(table, ids, answers, space, settings)
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
    return Parsed(labels, None, tuple(faults))


def number(table: Table, text: str) -> float:
    """A cell as a number, NaN if it is none."""
    try:
        # A spreadsheet that separates cells by semicolons writes decimal commas.
        return float(text.replace(",", ".") if table.delimiter == ";" else text)
    except ValueError:
        return float("nan")


def _words(space: LabelSpace, settings: SubmissionSettings) -> list[Sequence[str]]:
    """How the host calls the values of each attribute."""
    return [(settings.words or {}).get(a.name, a.values) for a in space.attributes]


def _attributes(
    table: Table,
    ids: Sequence[str],
    answers: Sequence[str],
    space: LabelSpace,
    settings: SubmissionSettings,
) -> Parsed:
    known = [{_composed(word): v for v, word in enumerate(words)} for words in _words(space, settings)]
    classes = {tuple(codes): c for c, codes in enumerate(space.codes_CA.tolist())}
    columns = [[_composed(value) for value in table.column(column)] for column in answers]
    labels, faults = np.zeros(len(ids), np.int64), []
    for n, row in enumerate(zip(*columns, strict=True)):
        odd = [
            f"id {ids[n]!r}: {column} {value!r} is none of its values {nearest(value, words)}".rstrip()
            for column, value, words in zip(answers, row, known, strict=True)
            if value not in words
        ]
        faults += odd
        if not odd:
            codes = tuple(words[value] for value, words in zip(row, known, strict=True))
            if codes in classes:
                labels[n] = classes[codes]
            else:
                faults.append(f"id {ids[n]!r}: no class is {', '.join(row)}")
    return Parsed(labels, None, tuple(faults))


def _composed(text: str) -> str:
    # macOS decomposes Hangul and accents; the same name must not become another class.
    return unicodedata.normalize("NFC", text)


def _probabilities(table: Table, ids: Sequence[str], answers: Sequence[str]) -> Parsed:
    p = np.array([[number(table, value) for value in table.column(column)] for column in answers]).T
    p = p.reshape(len(ids), len(answers))
    faults = []
    for n, (p_C, total) in enumerate(zip(p, p.sum(axis=1), strict=True)):
        if not np.isfinite(p_C).all():
            c = int(np.argmin(np.isfinite(p_C)))
            faults.append(f"id {ids[n]!r}: {answers[c]!r} holds no number")
        elif (p_C < 0).any():
            faults.append(f"id {ids[n]!r}: {answers[int(np.argmin(p_C))]!r} is negative")
        elif abs(total - 1) > ROW_SUM_TOLERANCE:
            faults.append(f"id {ids[n]!r}: sums to {total:.4g}, not 1")
    return Parsed(p.argmax(axis=1).astype(np.int64), p, tuple(faults))
