"""Images that are in a file of several: pixels in the given table, or a file near it.

Owns recognising both. Does not own reading them (`data/readers/`) nor image files (`data/new/columns.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.decode import Decoding, size_of
from pipeline.data.new.columns import FOUND_ENOUGH, Place
from pipeline.data.new.folders import TEST, TRAIN, split_of
from pipeline.data.paths import hidden
from pipeline.data.readers import pixels, reading, records
from pipeline.data.readers.pixels import Held
from pipeline.data.readers.reading import ROW, Reading
from pipeline.data.readers.registry import Members, Sources, packed

# Files of several images that are looked into.
MOST_FILES = 20
SIZED = 20


@dataclass(frozen=True)
class Inside:
    """A table with its own images.

    Args:
        table: without its columns of pixels, and with columns that number its rows.
        held: those columns.
        header: whether its first line names the columns.
    """

    table: Table
    held: Held
    header: bool


def in_table(path: Path, encoding: str | None) -> Inside | None:
    """The table without its pixels; None if it has none.

    Raises:
        DataError: it cannot be read.
    """
    header = records.reads(path) or pixels.has_header(path)
    table, held = pixels.read_without(path, path.name, header, Reading(encoding=encoding))
    return None if held is None else Inside(table, held, header)


def near(table: Table, places: Sequence[Path], split: str, encoding: str | None) -> Place | None:
    """The column of a table that names the images of a file of several; None if there is no such file.

    Args:
        table: any table.
        places: files of several images, or folders with some.
        split: `train` or `test`: a file that is named after the other one is not used.
        encoding: `competition.encoding`.

    Raises:
        DataError: there is such a file, and it cannot be read: it is damaged, or a package is missing.
    """
    other = TEST if split == TRAIN else TRAIN
    files = [f for f in _files(places) if split_of(f.name.split(".")[0]) != other]
    best: Place | None = None
    unread: list[DataError] = []
    given = [place for place in places if place.is_file()]
    in_order = sorted(files, key=lambda f: (f not in given, split_of(f.name.split(".")[0]) != split))
    for file in in_order[:MOST_FILES]:
        try:
            members = Members(file, Reading(encoding=encoding))
        except DataError as error:
            unread.append(error)
            continue
        for column in table.columns:
            cells = table.column(column)
            found = sum(not members.find(cell, "")[0] for cell in cells) / max(len(cells), 1)
            if found >= FOUND_ENOUGH and (best is None or found > best.found):
                best = Place(column, file, found)
        if best is None and file in given and members.rows == len(table):
            best = Place(ROW, file, 1.0)
        if best is not None and (file in given or best.found == 1):
            return best
    if best is None and unread:
        text = texts.NO_IMAGES_AND.format(table=table.name, why=unread[0].headline)
        raise DataError(text, unread[0].faults, unread[0].remedy)
    return best


def _files(places: Iterable[Path]) -> list[Path]:
    """Files of several images in these places; parts of one, which differ in a number, as a pattern."""
    found: dict[Path, set[Path]] = {}
    for place in places:
        listed = sorted(place.iterdir()) if place.is_dir() else [place]
        for file in listed:
            of_several = file.suffix.lower() in (*reading.HDF5S, ".npz", *records.PARQUETS)
            if (
                (file != place and not of_several)
                or hidden(file.name)
                or not (file.is_file() and packed(file))
            ):
                continue
            pattern = file.with_name(re.sub(r"\d+(?=\D*$)", "*", file.stem) + file.suffix)
            found.setdefault(pattern, set()).add(file)
    return [pattern if len(files) > 1 else min(files) for pattern, files in found.items()]


def sides(place: Place, table: Table, held: Held | None, encoding: str | None) -> list[tuple[int, int]]:
    """Width and height of some images; empty if their shape is not known."""
    if held is not None and held.numbers:
        if pixels.shape_fault(held, Reading()):
            return []
        side = isqrt(held.numbers // (len(held.at) if held.in_cells else 1))
        return [(side, side)]
    read, found = Reading(encoding=encoding), []
    members, how = Members(place.folder, read), Decoding(1, sources=Sources(read))
    for name in table.column(place.column)[:SIZED]:
        kind, path = members.find(name, place.column)
        size = None if kind else size_of(path, how)
        found += [size] if size is not None else []
    return found


def question(held: Held | None) -> str:
    """What only the user can say about the shape of such images; empty if it is known."""
    fault = "" if held is None else pixels.shape_fault(held, Reading())
    return texts.QUESTION_SHAPE.format(held=held.sentence(), fault=fault) if held and fault else ""


def held_at(place: Place, encoding: str | None) -> Held | None:
    """The columns of pixels of a file of several images; None if it is of another kind."""
    how = Reading(encoding=encoding)
    file = Members(place.folder, how).files[0]
    if not file.name.lower().removesuffix(".gz").endswith(reading.TABLES):
        return None
    return pixels.read_without(file, file.name, True, how)[1]
