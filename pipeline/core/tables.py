"""CSV tables as text: the only reader of CSV files in the project.

Owns finding the delimiter, skipping comments and blank lines, and naming the rows that are malformed. Does
not own encodings (`core/text_files.py`) nor what a column means (`data/competition.py`,
`data/host_format.py`).

Everything stays text: ids keep their leading zeros, and "NA" or "1e5" are names like any other. Only a
decimal comma becomes a point, where semicolons, tabs or the like separate the cells: a spreadsheet in Paris
or Berlin writes `0,5`, and everything that looks at a cell sees `0.5`.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import DataError, Suggestions
from pipeline.core.language import _
from pipeline.core.text_files import UTF8, read_text

DELIMITERS = ",;\t|"


def number_in(text: str) -> float | None:
    """A cell as a finite number, or None; `0_1`, which Python reads as a number, is a name."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# What Excel writes in front of a CSV.
SEPARATOR = re.compile(r'"?sep=(.)"?\s*')
# Columns of a table without a header.
UNNAMED = "column{number}"
# Characters of one cell: a large image written as numbers. The csv module allows 131,072.
LONGEST_CELL = 1 << 28
# A number with a decimal comma; a cell such as `1,2,3` is a list.
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Table:
    """A header and its rows, all as text, without spaces around the cells.

    Args:
        name: the file's name, for messages.
        columns: the header; names are unique.
        rows: each as long as `columns`, as they are written; `column` gives the cells to read.
        lines: the line in the file on which each row ends, for messages.
        delimiter: what separated the cells.
        encoding: the encoding of the file.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str = ","
    encoding: str = UTF8

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of one column, from top to bottom, with decimal points."""
        cells = self.written(name)
        return tuple(cell.replace(",", ".") for cell in cells) if self._has_commas(cells) else cells

    def written(self, name: str) -> tuple[str, ...]:
        """The cells of one column as they are in the file."""
        at = self.at[name]
        return tuple(row[at] for row in self.rows)

    def has_decimal_commas(self, columns: Sequence[str]) -> bool:
        """Whether numbers in any of these columns are written with a decimal comma."""
        return any(self._has_commas(self.written(name)) for name in columns)

    def _has_commas(self, cells: Sequence[str]) -> bool:
        if self.delimiter == ",":
            return False
        commas = [cell for cell in cells if "," in cell]
        return bool(commas) and all(DECIMAL_COMMA.fullmatch(cell) for cell in commas)

    @cached_property
    def at(self) -> dict[str, int]:
        """The place of each column in a row: searching `columns` for each of very many takes minutes."""
        return {name: at for at, name in enumerate(self.columns)}

    def require(self, columns: Sequence[str], remedy: str) -> None:
        """Raise a `DataError` that names each of `columns` that is missing."""
        missing = [c for c in columns if c not in self.columns]
        if missing:
            near = Suggestions(self.columns)
            raise DataError(
                _("{name}: {n:column} missing (the table has: {columns})").format(
                    name=self.name, n=len(missing), columns=", ".join(self.columns)
                ),
                [
                    _("{column!r} {hint}").format(column=c, hint=hint) if (hint := near.of(c)) else repr(c)
                    for c in missing
                ],
                remedy,
            )


class Rows(Protocol):
    """A reader of the csv module."""

    @property
    def line_num(self) -> int:
        """The line that was read last."""

    def __iter__(self) -> Iterator[list[str]]:
        """The cells of each row."""


class Aside(Protocol):
    """What takes some columns out of a table while it is read, e.g. thousands of columns of pixels."""

    def choose(self, columns: Sequence[str], first: Sequence[str]) -> Sequence[int]:
        """The positions of these columns, from the header and the first row."""

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Their cells in the next row."""


def read_table(
    path: Path,
    name: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    aside: Aside | None = None,
) -> Table:
    """A CSV, separated by commas, semicolons, tabs, pipes or spaces; blank lines and comments are skipped.

    Args:
        path: the file, which may be packed with gzip.
        name: the name in messages; None: the file's name.
        encoding: of a file that is not UTF-8; None: found, see `core/text_files.py`.
        header: whether the first line names the columns; if not, they are column1, column2, …
        aside: takes columns that the table is read without; None: no column.

    Raises:
        DataError: no such file, not text, no header, a column twice, or rows of another length.
    """
    name = name or path.name
    text, encoding = read_text(path, name, encoding)
    lines = text.split("\n")
    delimiter = _delimiter(lines)
    # Strict: a quote that never closes would swallow the rest of the file as one cell.
    reader = csv.reader(
        io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True, skipinitialspace=delimiter == " "
    )
    try:
        with _long_cells() if aside is not None else nullcontext():
            return _parsed(reader, (name, delimiter, encoding), header, aside)
    except csv.Error as error:
        raise DataError(
            _("{name}, line {line_num}: not a valid CSV ({error})").format(
                name=name, line_num=reader.line_num, error=error
            )
        ) from error


def _parsed(reader: Rows, about: tuple[str, str, str], header: bool, aside: Aside | None) -> Table:
    """The table of a reader's rows; `about` are its name, delimiter and encoding."""
    name = about[0]
    cells = ((reader.line_num, tuple(c.strip() for c in row)) for row in reader)
    found: Iterator[tuple[int, tuple[str, ...]]] = ((line, row) for line, row in cells if any(row))
    first = next(found, None)
    if first is None:
        raise DataError(_("{name}: the file is empty; it needs a header and rows").format(name=name))
    columns = first[1] if header else tuple(UNNAMED.format(number=n + 1) for n in range(len(first[1])))
    if not header:
        found = chain((first,), found)
    faults = [
        _("column {column!r} occurs twice").format(column=c)
        for c, times in sorted(Counter(columns).items())
        if times > 1
    ]
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    taken: Sequence[int] | None = None
    kept: list[int] = []
    for line, row in found:
        if len(row) != len(columns):
            numbers = {"line": line, "n": len(row), "m": len(columns)}
            faults.append(_("line {line}: it has {n:cell}, but the header has {m}").format(**numbers))
            continue
        if taken is None:
            taken = () if aside is None else aside.choose(columns, row)
            kept = sorted({*range(len(columns))} - {*taken})
        if aside is not None and taken:
            aside.add(line, [row[n] for n in taken])
            row = tuple(row[n] for n in kept)
        rows.append(row)
        lines.append(line)
    if faults:
        raise DataError(
            _("{name}: malformed").format(name=name), faults, _("correct these lines in a text editor")
        )
    return Table(
        name, tuple(columns[n] for n in kept) if taken else columns, tuple(rows), tuple(lines), *about[1:]
    )


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(lines: list[str]) -> str:
    """What separates the cells; lines that are no rows become blank, so that they are still counted."""
    written = [n for n, line in enumerate(lines) if line.strip()]
    if written and (named := SEPARATOR.fullmatch(lines[written[0]])):
        lines[written.pop(0)] = ""
        _blank_comments(lines, written, named[1])
        return named[1]
    rows = [lines[n] for n in written if not lines[n].startswith("#")]
    first = rows[0] if rows else "".join(lines[n] for n in written[:1])
    delimiter = max(DELIMITERS, key=first.count)
    if not first.count(delimiter) and _spaced([lines[n] for n in written]):
        return " "
    _blank_comments(lines, written, delimiter)
    return delimiter


def _blank_comments(lines: list[str], written: list[int], delimiter: str) -> None:
    """Blank the lines in front that begin with # and are not the header, by their number of delimiters."""
    cells = next((lines[n].count(delimiter) for n in written if not lines[n].startswith("#")), None)
    for n in written:
        if cells is None or not lines[n].startswith("#") or lines[n].count(delimiter) == cells > 0:
            return
        lines[n] = ""


def _spaced(written: list[str]) -> bool:
    """Whether spaces separate the cells: equally many in each line, and one column holds whole numbers."""
    cells = [line.split() for line in written]
    if len({len(row) for row in cells}) != 1 or len(cells[0]) < 2 or len(cells) < 2:
        return False
    return any(all(value.isdigit() for value in column[1:]) for column in zip(*cells, strict=True))


def format_table(columns: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str = ",") -> bytes:
    """UTF-8 CSV with plain newlines, quoted only where needed."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([columns, *rows])
    return buffer.getvalue().encode("utf-8")
