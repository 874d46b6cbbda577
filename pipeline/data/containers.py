"""Images that are not image files: pixels in a table, and files of formats that others read.

Owns recognising them and naming what reads them. Does not own tables of another kind
(`core/text_files.py`) nor image files (`data/decode.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.tables import Table
from pipeline.core.text_files import other_kind
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.readers.texts import READERS

# More numeric columns, or more numbers in a cell, than any table about images has: 8 × 8 pixels.
PIXELS = 64
HEAD_BYTES = 1 << 16
# Files of a folder of which the first bytes are read.
LOOKED_AT = 5


def pixels(table: Table) -> str | None:
    """A sentence about the pixels in a table's cells; None if there are none."""
    if not len(table):
        return None
    first = table.rows[0]
    for column, cell in zip(table.columns, first, strict=True):
        separator = " " if cell.count(" ") >= PIXELS - 1 else ","
        numbers = cell.strip("[]").split(separator)
        if len(numbers) >= PIXELS and all(_number(n) for n in numbers):
            return texts.PIXEL_CELLS.format(column=column, numbers=len(numbers))
    numeric = [c for c, cell in zip(table.columns, first, strict=True) if _number(cell)]
    if len(numeric) < PIXELS or 2 * len(numeric) < len(table.columns):
        return None
    return texts.PIXEL_COLUMNS.format(columns=len(numeric), first=numeric[0], last=numeric[-1])


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def in_folder(folder: Path, others: Sequence[str]) -> str | None:
    """A sentence about the files of a folder that are no image files; None if nothing is known about them.

    Args:
        folder: the folder.
        others: its files, relative to it.
    """
    counts = Counter(READERS[s] for path in others if (s := _suffix(path)) in READERS)
    if counts:
        (what, remedy), files = counts.most_common(1)[0]
        return worded(texts.CONTAINERS, files=files, what=what, remedy=remedy)
    for path in others[:LOOKED_AT]:
        try:
            with (folder / path).open("rb") as file:
                known = other_kind(file.read(HEAD_BYTES))
        except OSError:
            continue
        if known is not None:
            return worded(texts.CONTAINERS, files=len(others), what=known[0], remedy=known[1])
    return None


def _suffix(path: str) -> str:
    name = PurePosixPath(path.lower()).name
    return ".nii" if name.endswith(".nii.gz") else PurePosixPath(name).suffix
