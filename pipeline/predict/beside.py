"""Metadata of new images: the cells of a table, or values from Python, as a packed submission reads them.

Owns finding the columns, their faults, and values that the training table never had. Does not own what a
column becomes (`core/metadata.py`).

Legend: N images, M columns of metadata, E columns of numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core import metadata
from pipeline.core.errors import DataError
from pipeline.core.metadata import Floats
from pipeline.core.tables import Table
from pipeline.core.wording import worded
from pipeline.data.paths import nfc
from pipeline.predict import folder, texts

# The cells of one image, in the order of the columns.
Cells = tuple[str, ...]
SHOWN = 5


def of_table(table: Table, wanted: Sequence[folder.Metadata]) -> list[Cells]:
    """The cells of each row of a table.

    Raises:
        DataError: columns are missing, or cells are no numbers; all of them are named.
    """
    table.require([one.name for one in wanted], texts.METADATA_TABLE_REMEDY)
    columns = [[nfc(cell) for cell in table.column(one.name)] for one in wanted]
    rows = [texts.METADATA_ROW.format(line=line) for line in table.lines]
    _refuse(table.name, wanted, columns, rows)
    return list(zip(*columns, strict=True)) if wanted else [()] * len(table)


def given(values: Mapping[str, Sequence[Any]], wanted: Sequence[folder.Metadata], n: int) -> list[Cells]:
    """The cells of `n` images from column → a value for each image; None and NaN are missing.

    Raises:
        DataError: columns are missing or have another length, or values are no numbers; all are named.
    """
    faults = []
    for one in wanted:
        if one.name not in values:
            faults.append(texts.METADATA_COLUMN.format(column=one.name))
        elif len(values[one.name]) != n:
            faults.append(
                worded(texts.METADATA_LENGTH, column=one.name, values=len(values[one.name]), images=n)
            )
    if faults:
        names = ", ".join(one.name for one in wanted)
        raise DataError(texts.METADATA_GIVEN, faults, texts.METADATA_GIVEN_REMEDY.format(columns=names))
    columns = [[nfc(cell_of(value, one)) for value in values[one.name]] for one in wanted]
    rows = [texts.METADATA_IMAGE.format(number=number) for number in range(n)]
    _refuse("metadata", wanted, columns, rows)
    return list(zip(*columns, strict=True)) if wanted else [()] * n


def cell_of(value: Any, column: folder.Metadata) -> str:
    """A value as a table would write it: a whole number without a point where the training table did so."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return ""
        whole = str(int(value)) if float(value).is_integer() else ""
        return whole if whole in column.values and str(value) not in column.values else str(float(value))
    return str(value)


def _refuse(
    where: str, wanted: Sequence[folder.Metadata], columns: Sequence[Sequence[str]], rows: Sequence[str]
) -> None:
    faults = [
        texts.METADATA_NUMBER.format(row=row, column=one.name, cell=cell)
        for one, cells in zip(wanted, columns, strict=True)
        if one.kind == "number"
        for row, cell in zip(rows, cells, strict=True)
        if not metadata.missing(cell) and math.isnan(metadata.number(cell))
    ]
    if faults:
        headline = worded(texts.METADATA_NUMBERS, where=where, cells=len(faults))
        raise DataError(headline, faults, texts.METADATA_NUMBERS_REMEDY)


def encoded(wanted: Sequence[folder.Metadata], cells: Sequence[Cells]) -> Floats:
    """(N, E) float32 what heads and networks read."""
    table = metadata.Table.of_plain([[one.name, one.kind, one.values] for one in wanted])
    return table.encoded(np.array(cells, dtype=np.str_).reshape(len(cells), len(wanted)))


def notes(wanted: Sequence[folder.Metadata], cells: Sequence[Cells]) -> list[str]:
    """What the training table never had, one line for each column."""
    found = []
    for at, one in enumerate(wanted):
        known = set(one.values)
        odd = Counter(
            own[at].strip()
            for own in cells
            if one.kind == "category" and not metadata.missing(own[at]) and own[at].strip() not in known
        )
        if odd:
            shown = ", ".join(list(odd)[:SHOWN]) + (" …" if len(odd) > SHOWN else "")
            found.append(
                worded(texts.METADATA_UNKNOWN, images=sum(odd.values()), column=one.name, shown=shown)
            )
    return found
