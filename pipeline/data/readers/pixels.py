"""Pixels in a table: a column for each pixel, or a cell with all numbers of an image or of one band.

Owns recognising such columns in CSV, JSON and Parquet, reading a table without them, and reading them. Does
not own the shape of an image (`data/readers/frames.py`).

Columns of pixels are put in the order of the numbers in their names: `pixel10` comes after `pixel9`, wherever
it stands in the file. Values of a table have no type, so their range is measured as that of any image with
more than 8 bits (`data/depth.py`): numbers from 0 to 1, to 16 or to 255 all reach from black to white.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.tables import Table, read_table
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.readers import frames, records
from pipeline.data.readers.reading import ROW, ROW_FROM_0, Index, Packed, Reading, Values, as_bytes, row_of

# More columns of one name with a running number, or more numbers in a cell, than other tables have: 8 × 8.
FEWEST = 64
NUMBERED = re.compile(r"(.*?)(\d+)(?:\D{1,3}(\d+))?$")
SHOWN = 8


@dataclass(frozen=True)
class Held:
    """The columns of pixels of a table.

    Args:
        columns: their names, in the order of the pixels.
        at: their positions in the table.
        in_cells: each cell holds many numbers, or an encoded image; if not, one number.
        numbers: in one row, over all these columns; 0 for encoded images.
    """

    columns: tuple[str, ...]
    at: tuple[int, ...]
    in_cells: bool
    numbers: int

    def sentence(self) -> str:
        """Where the pixels are, for messages."""
        if self.in_cells:
            each = self.numbers // len(self.at)
            if not each:
                return texts.ENCODED_CELLS.format(columns=", ".join(self.columns))
            return texts.PIXEL_CELLS.format(column=", ".join(self.columns), numbers=each)
        return texts.PIXEL_COLUMNS.format(columns=len(self.at), first=self.columns[0], last=self.columns[-1])


def held(columns: Sequence[str], first: Sequence[Any], wanted: Sequence[str] = ()) -> Held | None:
    """The columns of pixels, from the header and the first row; None if there are none.

    Args:
        columns: the header.
        first: cells of the first row: text, numbers, lists or bytes.
        wanted: names or patterns; empty: columns that look like pixels.
    """
    if wanted:
        at = [n for n, c in enumerate(columns) if any(fnmatchcase(c, pattern) for pattern in wanted)]
        in_cells = bool(at) and all(_count(first[n]) != 1 for n in at)
        return _held(columns, first, at, in_cells) if at else None
    cells = [n for n, cell in enumerate(first) if _count(cell) >= FEWEST or as_bytes(cell) is not None]
    if cells:
        return _held(columns, first, cells, True)
    by_name: dict[str, list[int]] = {}
    for n, (column, cell) in enumerate(zip(columns, first, strict=True)):
        named = NUMBERED.match(column)
        if named and _count(cell) == 1:
            by_name.setdefault(named[1], []).append(n)
    at = max(by_name.values(), key=len, default=[])
    if len(at) < FEWEST:
        return None
    if isqrt(len(at)) ** 2 != len(at) == len(columns) and isqrt(len(at) - 1) ** 2 == len(at) - 1:
        # A table without header: its first column is the label.
        at = at[1:]
    return _held(columns, first, at, False)


def _held(columns: Sequence[str], first: Sequence[Any], at: Sequence[int], in_cells: bool) -> Held:
    at = sorted(at, key=lambda n: _order(columns[n])) if not in_cells else list(at)
    numbers = sum(_count(first[n]) for n in at)
    return Held(tuple(columns[n] for n in at), tuple(at), in_cells, numbers)


def _order(column: str) -> tuple[int, ...]:
    named = NUMBERED.match(column)
    return tuple(int(n) for n in named.groups()[1:] if n is not None) if named else ()


def _count(cell: Any) -> int:
    """How many numbers a cell holds; 0 if anything else is in it."""
    if isinstance(cell, str):
        try:
            return int(numbers(cell).size)
        except ValueError:
            return 0
    if isinstance(cell, list | tuple):
        try:
            return int(np.asarray(cell, dtype=np.float64).size)
        except (ValueError, TypeError):
            return 0
    return int(isinstance(cell, int | float))


def numbers(cell: str) -> Values:
    """The numbers of a cell as a float32 array: separated by spaces or commas, or nested lists.

    Raises:
        ValueError: anything else is in it.
    """
    if "[" in cell.strip()[1:]:
        return np.asarray(json.loads(cell), dtype=np.float32)
    return np.array(cell.strip("[]() ").replace(",", " ").replace(";", " ").split(), dtype=np.float32)


class _Taken:
    """Takes the columns of pixels out of a CSV while it is read, and keeps them if asked to."""

    def __init__(self, wanted: Sequence[str], keep: bool, cells_only: bool = False) -> None:
        self.held: Held | None = None
        self.images: list[Any] = []
        self._wanted, self._keep, self._cells_only = wanted, keep, cells_only

    def choose(self, columns: Sequence[str], first: Sequence[str]) -> Sequence[int]:
        self.held = held(columns, first, self._wanted)
        if self.held is not None and self._cells_only and not self.held.in_cells:
            self.held = None
        return self.held.at if self.held else ()

    def add(self, line: int, cells: Sequence[str]) -> None:
        if self._keep and self.held is not None:
            self.images.append(_image(cells, self.held))


def _image(cells: Sequence[Any], of: Held) -> Any:
    """The values of a row's image: an array, an array for each band, bytes, or why there are none."""
    try:
        if of.in_cells:
            return [_cell(cell) for cell in cells]
        return _small(np.array(cells, dtype=np.float32))
    except (ValueError, TypeError):
        pairs = zip(of.columns, cells, strict=True)
        bad = [(column, cell) for column, cell in pairs if _count(cell) < 1 and as_bytes(cell) is None]
        column, cell = bad[0] if bad else (of.columns[0], cells[0])
        return worded(texts.NO_NUMBER, columns=max(len(bad), 1), column=column, cell=str(cell)[:40])


def _cell(cell: Any) -> Any:
    encoded = as_bytes(cell)
    if encoded is not None:
        return encoded
    return _small(numbers(cell) if isinstance(cell, str) else np.asarray(cell, dtype=np.float32))


def _small(values: Values) -> Values:
    """The same values in a byte each where they fit: sets of tens of thousands of images stay in memory."""
    if values.size and values.min() >= 0 and values.max() <= 255 and bool((values == np.floor(values)).all()):
        return values.astype(np.uint8)
    return values


def has_header(path: Path) -> bool:
    """Whether a CSV's first line names its columns.

    The names of pixels may be 0, 1, 2 and so on; other numbers are values.
    """
    packed = path.suffix.lower() == ".gz"
    with gzip.open(path, "rt", errors="replace") if packed else path.open(errors="replace") as file:
        cells = [cell.strip() for cell in file.readline().replace(";", ",").replace("\t", ",").split(",")]
    if len(cells) < FEWEST or any(_count(cell) != 1 for cell in cells):
        return True
    values = [float(cell) for cell in cells]
    return values == [values[0] + n for n in range(len(values))]


def read_without(path: Path, name: str, header: bool, reading: Reading) -> tuple[Table, Held | None]:
    """A table without its columns of pixels, with columns that number its rows, and what they were.

    Raises:
        DataError: it cannot be read; see `core/tables.py`.
    """
    if records.reads(path):
        found = records.opened(path, name)
        there = held(found.columns, found.first, reading.columns)
        columns, rows = records.without(found, there.at if there else ())
        return numbered(Table(name, columns, rows, tuple(range(1, len(rows) + 1)))), there
    taken = _Taken(reading.columns, keep=False)
    table = read_table(path, name, reading.encoding, header and has_header(path), taken)
    return numbered(table), taken.held


def without_cells(path: Path, encoding: str | None, header: bool) -> tuple[Table, Held | None]:
    """A table without cells of many numbers; columns of single numbers stay, for `strip`.

    Raises:
        DataError: it cannot be read; see `core/tables.py`.
    """
    if records.reads(path):
        return read_without(path, path.name, header, Reading())
    taken = _Taken((), keep=False, cells_only=True)
    return read_table(path, None, encoding, header, taken), taken.held


def strip(table: Table, of: Held) -> Table:
    """A table that was read whole, without these columns."""
    kept = [n for n, column in enumerate(table.columns) if column not in of.columns]
    rows = tuple(tuple(row[n] for n in kept) for row in table.rows)
    columns = tuple(table.columns[n] for n in kept)
    return Table(table.name, columns, rows, table.lines, table.delimiter, table.encoding)


def numbered(table: Table) -> Table:
    """The table with columns `row` and `row0`, which number its rows from 1 and from 0, if it has none."""
    more = {ROW: 1, ROW_FROM_0: 0}
    starts = {name: start for name, start in more.items() if name not in table.columns}
    rows = tuple((*row, *(str(n + start) for start in starts.values())) for n, row in enumerate(table.rows))
    columns = (*table.columns, *starts)
    return Table(table.name, columns, rows, table.lines, table.delimiter, table.encoding)


def index(file: Path, reading: Reading) -> Index:
    """How many rows a table of pixels has, and the names of its images.

    Raises:
        DataError: it cannot be read, holds no pixels, or has no column `key`.
    """
    table, there = read_without(file, file.name, True, reading)
    _require(file, table.columns, there, reading)
    return Index(len(table), _names(table, file, reading))


def opened(file: Path, reading: Reading) -> Packed:
    """The table with its pixels in memory.

    Raises:
        DataError: as `index`, or the shape of its images is not known.
    """
    if records.reads(file):
        found = records.opened(file, file.name)
        there = held(found.columns, found.first, reading.columns)
        columns, rows = records.without(found, there.at if there else ())
        table = numbered(Table(file.name, columns, rows, tuple(range(1, len(rows) + 1))))
        kept = _require(file, table.columns, there, reading)
        images = [_image(row, kept) for row in found.rows(kept.at)]
    else:
        taken = _Taken(reading.columns, keep=True)
        table = numbered(read_table(file, None, reading.encoding, has_header(file), taken))
        kept, images = _require(file, table.columns, taken.held, reading), taken.images
    if fault := shape_fault(kept, reading):
        raise DataError(
            _("{file}: {sentence}; {fault}").format(file=file, sentence=kept.sentence(), fault=fault)
        )
    names = _names(table, file, reading)
    return _Pixels(images, {name: n for n, name in enumerate(names)}, kept, reading)


def _require(file: Path, columns: Sequence[str], there: Held | None, reading: Reading) -> Held:
    """The columns of pixels of a table that has them.

    Raises:
        DataError: there are none.
    """
    if there is None:
        wanted = ", ".join(reading.columns) or texts.NO_PIXELS_LIKE
        shown = ", ".join(columns[:SHOWN])
        raise DataError(
            _("{file}: {no}").format(file=file, no=texts.NO_PIXELS.format(wanted=wanted, columns=shown)),
            remedy=texts.NO_PIXELS_REMEDY,
        )
    return there


def shape_fault(there: Held, reading: Reading) -> str:
    """Why the shape of such images is not known; empty if it is."""
    if not there.numbers:
        return ""
    return frames.unknown_shape(there.numbers // (len(there.at) if there.in_cells else 1), reading)


def _names(table: Table, file: Path, reading: Reading) -> Sequence[str]:
    """The names of the images, by the column `key` or the first one with a different value in each row."""
    if reading.key is not None and reading.key not in table.columns:
        there = ", ".join(table.columns[:SHOWN])
        raise DataError(
            _("{file}: {no}").format(file=file, no=texts.NO_KEY.format(key=reading.key, there=there))
        )
    candidates = [reading.key] if reading.key is not None else table.columns
    for column in candidates:
        cells = table.column(column)
        if column not in (ROW, ROW_FROM_0) and len(set(cells)) == len(cells) and all(cells):
            return cells
    if reading.key is not None:
        twice = [v for v, count in Counter(table.column(reading.key)).items() if count > 1 or not v]
        raise DataError(
            _("{file}: {worded}").format(
                file=file, worded=worded(texts.NAMES_TWICE, key=reading.key, count=len(twice))
            ),
            twice,
        )
    return ()


class _Pixels:
    def __init__(self, images: Sequence[Any], at: Mapping[str, int], of: Held, reading: Reading) -> None:
        self._images, self._at, self._of, self._reading = images, at, of, reading

    def read(self, key: str) -> bytes | Values:
        row = row_of(key)
        image = self._images[self._at[key] if row is None else row]
        if isinstance(image, str):
            raise ValueError(image)
        if not isinstance(image, list):
            return np.asarray(image, dtype=np.float32)
        if isinstance(image[0], bytes):
            return image[0]
        total = sum(band.size for band in image)
        if self._of.numbers and total != self._of.numbers and self._reading.shape is None:
            raise ValueError(texts.OTHER_COUNT.format(numbers=total, first=self._of.numbers))
        bands = [frames.framed(band.astype(np.float32), self._reading) for band in image]
        if len({band.shape for band in bands}) > 1:
            raise ValueError(texts.BANDS_DIFFER.format(columns=", ".join(self._of.columns)))
        return bands[0] if len(bands) == 1 else np.stack(bands, axis=-1)
