"""The tables that the user gives to `make new`, read without knowing whether they have a header.

Owns noticing that the first line is a row. Does not own reading tables (`core/tables.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipeline.core.tables import Table
from pipeline.data.paths import Locator, image_suffix
from pipeline.data.readers import pixels, records

# Cells of the first line that are looked up.
FEW = 20


def read(path: Path, folders: Iterable[Path], encoding: str | None) -> tuple[Table, bool]:
    """(table, whether it has a header line); without one, the columns are column1, column2 and so on.

    Args:
        path: the table.
        folders: where its images may be: a first line that names one of them is a row.
        encoding: of a table that is not UTF-8; None: found.

    Raises:
        DataError: it is not a table.
    """
    if records.reads(path):
        return pixels.without_cells(path, encoding, True)[0], True
    bare = pixels.without_cells(path, encoding, False)[0]
    header = pixels.has_header(path) and not _is_row(bare.rows[0], folders)
    return (pixels.without_cells(path, encoding, True)[0] if header else bare), header


def _is_row(cells: tuple[str, ...], folders: Iterable[Path]) -> bool:
    """Whether a cell is the name of an image, or names one that exists and has a digit, as `0a1f`."""
    for cell in cells:
        if image_suffix(cell) and PurePosixPath(cell).stem:
            return True
    numbered = [cell for cell in cells if any(c.isdigit() for c in cell)]
    return any(not Locator(folder).find_directly(cell)[0] for folder in folders for cell in numbered[:FEW])
