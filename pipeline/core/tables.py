"""CSV tables as text: the only reader of CSV files in the project.

Owns decoding (UTF-8 with or without BOM, UTF-16, CP949), finding the delimiter, and naming the
rows that are malformed. Does not own what a column means (`data/competition.py`, `data/host_format.py`).

Everything stays text: ids keep their leading zeros, and "NA" or "1e5" are names like any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError, Suggestions

DELIMITERS = ",;\t"
# In this order: UTF-8 with or without a byte-order mark, then what Korean spreadsheets write.
UTF8 = "utf-8-sig"
ENCODINGS = (UTF8, "cp949")


@dataclass(frozen=True)
class Table:
    """A header and its rows, all as text, without spaces around the cells.

    Args:
        name: the file's name, for messages.
        columns: the header; names are unique.
        rows: each as long as `columns`.
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
        """The cells of one column, from top to bottom."""
        at = self.columns.index(name)
        return tuple(row[at] for row in self.rows)

    def require(self, columns: Sequence[str], remedy: str) -> None:
        """Raise a `DataError` that names each of `columns` that is missing."""
        missing = [c for c in columns if c not in self.columns]
        if missing:
            near = Suggestions(self.columns)
            raise DataError(
                f"{self.name}: {len(missing)} columns missing (the table has: {', '.join(self.columns)})",
                [f"{c!r} {near.of(c)}".rstrip() for c in missing],
                remedy,
            )


def read_table(path: Path, name: str | None = None) -> Table:
    """A CSV with a header, separated by commas, semicolons or tabs; blank lines are skipped.

    Args:
        path: the file.
        name: the name in messages; None: the file's name.

    Raises:
        DataError: no such file, not text, no header, a column twice, or rows of another length.
    """
    name = name or path.name
    text, encoding = _text(path, name)
    first = text.lstrip("\n").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    # Strict: a quote that never closes would swallow the rest of the file as one cell.
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        found = [(reader.line_num, tuple(c.strip() for c in row)) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: not a valid CSV ({error})") from error
    if not found:
        raise DataError(f"{name}: the file is empty; it needs a header and rows")
    columns, rows = found[0][1], found[1:]
    faults = [f"column {c!r} occurs twice" for c in sorted({c for c in columns if columns.count(c) > 1})]
    faults += [
        f"line {line}: it has {len(row)} cells, but the header has {len(columns)}"
        for line, row in rows
        if len(row) != len(columns)
    ]
    if faults:
        raise DataError(f"{name}: malformed", faults, "correct these lines in a text editor")
    lines = tuple(line for line, _ in rows)
    return Table(name, columns, tuple(row for _, row in rows), lines, delimiter, encoding)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str = ",") -> bytes:
    """UTF-8 CSV with plain newlines, quoted only where needed."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([columns, *rows])
    return buffer.getvalue().encode("utf-8")


def _text(path: Path, name: str) -> tuple[str, str]:
    """The decoded text with plain newlines, and the encoding it was in."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder, not a CSV file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text.replace("\r\n", "\n").replace("\r", "\n"), encoding
    raise DataError(f"{name}: it is not text in UTF-8, UTF-16 or CP949", remedy="save it as UTF-8 CSV")
