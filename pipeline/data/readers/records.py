"""Tables in JSON and Parquet: rows of cells, of which some hold the values of an image.

Owns reading both, as text where a cell is text or one number. Does not own which columns are pixels
(`data/readers/pixels.py`) nor CSV files (`core/tables.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.text_files import COCO
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.readers.reading import guarded, library

JSONS, PARQUETS = (".json", ".jsonl"), (".parquet", ".pq")
EXTRA, PARQUET = "parquet", "Parquet"
# Rows of a Parquet file that are in memory at once.
BATCH = 512
SHOWN_FAULTS = 20


@dataclass(frozen=True)
class Records:
    """An opened table.

    Args:
        columns: their names.
        first: the cells of the first row; those of lists, arrays and bytes as they are.
        count: of the rows.
        rows: given the positions of columns, yields their cells, a row at a time.
    """

    columns: tuple[str, ...]
    first: tuple[Any, ...]
    count: int
    rows: Callable[[Sequence[int]], Iterator[Sequence[Any]]]


def reads(path: Path) -> bool:
    """Whether a file is such a table, by its name."""
    return path.suffix.lower() in (*JSONS, *PARQUETS)


def opened(path: Path, name: str) -> Records:
    """A JSON or Parquet file as a table.

    Raises:
        DataError: it is damaged or no table, or pyarrow is not installed.
    """
    if not path.is_file():
        raise DataError(_("{path}: there is no such file").format(path=path))
    return _parquet(path, name) if path.suffix.lower() in PARQUETS else _json(path, name)


def text(cell: Any) -> str:
    """A cell that is one value as a CSV writes it; empty for none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip()


def holds_many(cell: Any) -> bool:
    """Whether a cell holds several values or bytes, and not one value."""
    return isinstance(cell, list | tuple | dict | bytes)


def _json(path: Path, name: str) -> Records:
    try:
        raw = path.read_text(encoding="utf-8-sig")
        lines = path.suffix.lower() == ".jsonl"
        read = [json.loads(line) for line in raw.split("\n") if line.strip()] if lines else json.loads(raw)
    except (OSError, ValueError) as error:
        raise DataError(
            _("{name}: {damaged}").format(name=name, damaged=texts.DAMAGED.format(kind="JSON", why=error))
        ) from error
    rows = _by_rows(read)
    if not rows and isinstance(read, dict) and {"images", "annotations"} <= read.keys():
        raise DataError(
            _("{name}: this is {coco}, not a CSV table").format(name=name, coco=COCO[0]), remedy=COCO[1]
        )
    if not rows:
        raise DataError(
            _("{name}: {no}").format(name=name, no=texts.NO_RECORDS), remedy=texts.NO_RECORDS_REMEDY
        )
    columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))
    faults = [
        texts.MISSING_FIELD.format(row=number, columns=", ".join(c for c in columns if c not in row))
        for number, row in enumerate(rows, 1)
        if len(row) != len(columns)
    ]
    if faults:
        raise DataError(
            _("{name}: {worded}").format(name=name, worded=worded(texts.RAGGED_RECORDS, rows=len(faults))),
            faults,
        )

    def cells(at: Sequence[int]) -> Iterator[Sequence[Any]]:
        return ([row[columns[n]] for n in at] for row in rows)

    return Records(columns, tuple(rows[0][c] for c in columns), len(rows), cells)


def _by_rows(read: Any) -> list[dict[str, Any]]:
    """Rows from a list of them, or from columns, as pandas writes both; empty for anything else."""
    if isinstance(read, list):
        return read if all(isinstance(row, dict) for row in read) else []
    if not isinstance(read, dict) or not read:
        return []
    columns = list(read.values())
    if all(isinstance(c, dict) for c in columns):
        keys = list(columns[0])
        if all(list(c) == keys for c in columns):
            return [{name: column[key] for name, column in read.items()} for key in keys]
    if all(isinstance(c, list) for c in columns) and len({len(c) for c in columns}) == 1:
        return [dict(zip(read, row, strict=True)) for row in zip(*columns, strict=True)]
    return []


def _parquet(path: Path, name: str) -> Records:
    parquet = library("pyarrow.parquet", EXTRA, path)
    with guarded(name, PARQUET):
        file = parquet.ParquetFile(path)
        columns = tuple(str(c) for c in file.schema_arrow.names)
        batch = next(file.iter_batches(batch_size=1), None)
    if batch is None or not columns:
        raise DataError(
            _("{name}: {no}").format(name=name, no=texts.NO_RECORDS), remedy=texts.NO_RECORDS_REMEDY
        )
    with guarded(name, PARQUET):
        first = tuple(column[0].as_py() for column in batch.columns)

    def cells(at: Sequence[int]) -> Iterator[Sequence[Any]]:
        with guarded(name, PARQUET):
            yield from read(at)

    def read(at: Sequence[int]) -> Iterator[Sequence[Any]]:
        wanted = [columns[n] for n in at]
        if not wanted:
            yield from ([] for _ in range(file.metadata.num_rows))
            return
        numbers = all(not holds_many(first[n]) and isinstance(first[n], int | float) for n in at)
        for part in parquet.ParquetFile(path).iter_batches(batch_size=BATCH, columns=wanted):
            part = part.select(wanted)
            if numbers:
                # Thousands of columns of numbers: as one array, because a Python number each takes minutes.
                yield from part.to_pandas().to_numpy()
            else:
                yield from zip(*(column.to_pylist() for column in part.columns), strict=True)

    return Records(columns, first, int(file.metadata.num_rows), cells)


def without(found: Records, pixels: Collection[int]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """(columns, rows) of text, without the columns of pixels and others that hold several values."""
    kept = [n for n in range(len(found.columns)) if n not in pixels and not holds_many(found.first[n])]
    rows = tuple(tuple(text(cell) for cell in row) for row in found.rows(kept))
    return tuple(found.columns[n] for n in kept), rows
