"""The files of each sample: from the names in a table to paths.

Owns which files a row of a table means, and making one row of the rows of a sample. Does not own finding one
file by its name (`data/paths.py`), an image in a file of several (`data/readers/registry.py`), how several
paths are written as one (`core/sample_paths.py`) nor the rows (`data/layouts.py`).

    settings                      a row means
    (none)                        one file
    channel_files                 one image, of a file for each channel
    images_per_sample.columns     an image for each of these columns; an empty cell is no image
    images_per_sample.sample      one image of the sample that these columns name
    images_per_sample.files       the files that fit the patterns
    images_per_sample.table       the images that another table names for it
    images.pages=images           an image for each page of its file
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.sample_paths import images_of, of_channels, of_images
from pipeline.core.tables import Table
from pipeline.data import patterns, texts
from pipeline.data.layouts import Listing
from pipeline.data.paths import PATH_FAULTS, Faults, Index, Locator, image_suffix, images_below, nfc
from pipeline.data.readers import pages
from pipeline.data.readers.reading import PAGED, place, row_key
from pipeline.data.readers.registry import Members, Sources, packed
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.images import MOST_IMAGES
from pipeline.settings.inputs import SeveralImagesSettings

# Between the values of the columns that name a sample.
JOINED = "_"


@dataclass(frozen=True)
class Found:
    """The samples of one split.

    Args:
        listing: a row for each sample.
        paths: of each sample, see `core/sample_paths.py`.
        notes: how they were found, one line each.
    """

    listing: Listing
    paths: Sequence[str]
    notes: Sequence[str] = ()


def find(listing: Listing, settings: CompetitionSettings, faults: Faults) -> Found:
    """The samples of a listing and the path of each one; adds to `faults` what is missing."""
    several = settings.images_per_sample
    if packed(listing.images):
        for name in ("channel_files", "images_per_sample.files"):
            if settings.channel_files if name == "channel_files" else several is not None and several.files:
                faults.add("unreadable images", texts.FILES_IN_FILE.format(setting=name, file=listing.images))
    finder = _Finder(listing, settings.channel_files, faults, _named_by_table(listing, several))
    if several is not None and several.table and listing.image_table is not None:
        found = Found(listing, _of_table(finder, several))
    elif several is not None and several.columns:
        found = Found(listing, _of_columns(finder, several.columns))
    elif several is not None and several.files:
        found = Found(listing, _of_patterns(finder, several))
    else:
        found = Found(listing, [finder.one(row, name) for row, name in enumerate(finder.names)])
        if several is not None:
            found = _of_rows(found, several.sample, settings, faults)
    if listing.reading.pages == "images":
        found = replace(found, paths=[with_pages(path) for path in found.paths])
    if several is not None or listing.reading.pages == "images":
        found = _limited(found, several, faults)
    return replace(found, notes=finder.notes())


class _Finder:
    """Finds the files of one listing, and keeps what has to be said about that."""

    def __init__(
        self,
        listing: Listing,
        channel_files: Sequence[str],
        faults: Faults,
        written: Sequence[str] | None = None,
    ) -> None:
        """`written`: how images are named where the rows name samples."""
        self.listing, self.channel_files, self.faults = listing, channel_files, faults
        self.names = listing.table.column(listing.path_column)
        self._members: Members | None = None
        self._locator: Locator | None = None
        if packed(listing.images):
            self._members = _members(listing, faults)
        else:
            names = self.names if written is None else written
            shown = [file for name in names for file in self._files(name)]
            self._locator = Locator(listing.images, shown, Index(listing.images, listing.without))

    def notes(self) -> tuple[str, ...]:
        """How files were found, one line each."""
        said = self._locator is not None and self.listing.files
        return tuple(self._locator.notes(self.listing.table.name)) if self._locator and said else ()

    def one(self, row: int, written: str, column: str | None = None) -> str:
        """The path of the image that a cell names; empty, with a fault, if it is not there."""
        if self._members is not None:
            kind, path = self._members.find(written, column or self.listing.path_column)
            if kind:
                text = texts.NOT_IN_FILE.format(name=written, file=self.listing.images)
                self.faults.add(kind, f"{self.listing.where(row)}: {text}")
            return path
        if self._locator is None:  # a file that cannot be read, which is a fault already
            return ""
        found = []
        for file in self._files(written):
            kind, path = self._locator.find(file, self.listing.table.rows[row])
            found.append(path)
            if kind:
                self._missing(row, kind, file, self._locator.matches)
        return of_channels(found)

    def _missing(self, row: int, kind: str, file: str, matches: Sequence[str]) -> None:
        text = PATH_FAULTS[kind].format(path=file, folder=self.listing.images, matches=", ".join(matches))
        self.faults.add(kind, f"{self.listing.where(row)}: {text}")

    def _files(self, written: str) -> list[str]:
        """The files that a cell means: itself, or one for each channel."""
        if not self.channel_files or not written.strip():
            return [written]
        return [patterns.filled(pattern, without_extension(written)) for pattern in self.channel_files]


def without_extension(written: str) -> str:
    """A name without the extension of an image, if it has one."""
    return written[: -len(PurePosixPath(written).suffix)] if image_suffix(written) else written


def _members(listing: Listing, faults: Faults) -> Members | None:
    """The images of a file of several; None after adding to `faults` why it cannot be read."""
    try:
        return Members(listing.images, listing.reading)
    except DataError as error:
        for text in error.faults or (f"{error.headline}{f' ({error.remedy})' if error.remedy else ''}",):
            faults.add("unreadable images", text)
    return None


def _of_columns(finder: _Finder, columns: Sequence[str]) -> list[str]:
    """The images in the columns of each row; those whose cell is empty are left out."""
    paths = []
    for row in range(len(finder.listing.table)):
        cells = [(c, finder.listing.table.rows[row][finder.listing.table.at[c]]) for c in columns]
        named = [(c, cell) for c, cell in cells if cell.strip()]
        if not named:
            text = texts.NO_IMAGES_OF_SAMPLE.format(columns=", ".join(columns))
            finder.faults.add("samples without images", f"{finder.listing.where(row)}: {text}")
        paths.append(of_images(finder.one(row, cell, c) for c, cell in named))
    return paths


def _named_by_table(listing: Listing, several: SeveralImagesSettings | None) -> Sequence[str] | None:
    """The images as another table writes them; None: the rows name them."""
    if several is None or several.path is None or listing.image_table is None:
        return None
    return listing.image_table.column(several.path)


def _of_table(finder: _Finder, several: SeveralImagesSettings) -> list[str]:
    """The images that another table names for each row, in its order."""
    table = finder.listing.image_table
    assert table is not None and several.key and several.path, "a rule of the settings asks for both"
    images_of: dict[str, list[str]] = {}
    for key, path in zip(table.column(several.key), table.column(several.path), strict=True):
        if path.strip():
            images_of.setdefault(nfc(key).strip(), []).append(path)
    paths = []
    for row, name in enumerate(finder.names):
        own = dict.fromkeys(images_of.get(nfc(name).strip(), []))
        if not own:
            text = texts.NO_ROWS_OF_SAMPLE.format(table=table.name, key=several.key, name=name)
            finder.faults.add("samples without images", f"{finder.listing.where(row)}: {text}")
        paths.append(of_images(finder.one(row, cell, several.path) for cell in own))
    return paths


def _of_patterns(finder: _Finder, several: SeveralImagesSettings) -> list[str]:
    """The files that fit the patterns of each row, in the order of the patterns and then of their names."""
    listing = finder.listing
    if packed(listing.images):
        return ["" for _ in finder.names]
    folders = _Folders(listing.images)
    paths = []
    for row, written in enumerate(finder.names):
        found: list[str] = []
        for pattern in several.files:
            wanted = patterns.filled(pattern, without_extension(written))
            found += folders.matching(wanted) if "*" in pattern else [finder.one(row, wanted)]
        if not found:
            wanted = ", ".join(patterns.filled(p, without_extension(written)) for p in several.files)
            text = texts.NO_FILES_OF_SAMPLE.format(files=wanted, folder=listing.images)
            finder.faults.add("samples without images", f"{listing.where(row)}: {text}")
        paths.append(of_images(dict.fromkeys(found)))
    return paths


class _Folders:
    """The images below a folder by the folder that holds them, read once."""

    def __init__(self, folder: Path) -> None:
        self._root = os.path.realpath(folder)
        self._names: dict[str, list[str]] = {}
        for path in images_below(folder).images:
            above, _, name = path.rpartition("/")
            self._names.setdefault(nfc(above), []).append(name)

    def matching(self, pattern: str) -> list[str]:
        """Absolute paths of the images whose path fits the pattern, in the order of their numbers."""
        above, _, name = nfc(pattern).rpartition("/")
        form = name.replace("[", "[[]")
        found = [own for own in self._names.get(above, []) if fnmatch.fnmatchcase(nfc(own), form)]
        return [os.path.join(self._root, above, own) for own in sorted(found, key=natural)]  # noqa: PTH118


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them: 2 before 10."""
    parts = patterns.NUMBERS.split(nfc(name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _of_rows(found: Found, columns: Sequence[str], settings: CompetitionSettings, faults: Faults) -> Found:
    """One row of the rows of each sample, with the images of all of them."""
    listing, table = found.listing, found.listing.table
    # Not by their joined names: `a_1` and `x` are another sample than `a` and `1_x`.
    names = list(zip(*(table.column(c) for c in columns), strict=True))
    rows_of: dict[tuple[str, ...], list[int]] = {}
    for row, name in enumerate(names):
        if not all(table.rows[row][table.at[c]].strip() for c in columns):
            faults.add(
                "empty ids", f"{listing.where(row)}: {texts.EMPTY_SAMPLE.format(columns=', '.join(columns))}"
            )
        rows_of.setdefault(name, []).append(row)
    same = [c for c in _same_of_sample(settings) if c in table.columns]
    for rows in rows_of.values():
        for column in same:
            _same(listing, column, rows, faults)
    first = [rows[0] for rows in rows_of.values()]
    id_column = JOINED.join(columns)
    made = _with_ids(table, first, id_column, [JOINED.join(name) for name in rows_of])
    paths = [of_images(found.paths[row] for row in rows) for rows in rows_of.values()]
    note = texts.ROWS_OF_SAMPLES.format(
        table=table.name, rows=len(table), samples=len(made), columns=", ".join(columns)
    )
    listing = replace(listing, table=made, id_column=id_column, notes=(*listing.notes, note))
    return Found(listing, paths)


def _same_of_sample(settings: CompetitionSettings) -> list[str]:
    """The columns that are about a sample, and not about one of its images."""
    labels = [c for a in settings.attributes for c in (a.values if a.one_hot else [a.column])]
    group = [settings.group_column] if settings.group_column else []
    others = [*group, *(m.column for m in settings.metadata), *settings.metric_columns]
    return list(dict.fromkeys([*labels, *others]))


def _same(listing: Listing, column: str, rows: Sequence[int], faults: Faults) -> None:
    cells = listing.table.column(column)
    other = next((row for row in rows if cells[row] != cells[rows[0]]), None)
    if other is not None:
        text = texts.SAMPLE_DIFFERS.format(
            column=column, value=cells[other], other=cells[rows[0]], row=listing.table.lines[rows[0]]
        )
        faults.add("samples with several values", f"{listing.where(other)}: {text}")


def _with_ids(table: Table, rows: Sequence[int], column: str, ids: Sequence[str]) -> Table:
    """These rows of a table, with a column of ids."""
    if column in table.columns:
        return replace(
            table, rows=tuple(table.rows[r] for r in rows), lines=tuple(table.lines[r] for r in rows)
        )
    cells = tuple((*table.rows[row], name) for row, name in zip(rows, ids, strict=True))
    return replace(
        table, columns=(*table.columns, column), rows=cells, lines=tuple(table.lines[r] for r in rows)
    )


def with_pages(path: str) -> str:
    """The path of a sample whose files have an image on each page."""
    made = []
    for image in images_of(path):
        count = page_count(image) if Path(image).suffix.lower() in PAGED else 1
        made += [image] if count < 2 else [place(image, row_key(n + 1)) for n in range(count)]
    return of_images(made)


def page_count(file: str) -> int:
    """Pages of a TIFF or frames of a DICOM file; 1 for what cannot be read, which decoding will say."""
    try:
        return Sources().frames(file) if Sources().single(file) else pages.count(file)
    except (OSError, ValueError):
        return 1


def _limited(found: Found, several: SeveralImagesSettings | None, faults: Faults) -> Found:
    """At most as many images as the settings say, and as many as they say where the number is fixed."""
    most = several.most if several is not None else None
    paths = []
    for row, path in enumerate(found.paths):
        images = images_of(path)
        if most is not None and len(images) > most:
            images = [images[n] for n in np.linspace(0, len(images) - 1, most).round().astype(int)]
        elif len(images) > MOST_IMAGES:
            text = texts.MANY_IMAGES.format(images=len(images), most=MOST_IMAGES)
            faults.add("samples with many images", f"{found.listing.where(row)}: {text}")
        paths.append(of_images(images))
    return replace(found, paths=paths)
