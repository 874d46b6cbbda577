"""A table of images beside the table of labels: one row an image, with a column that names its sample.

Owns recognising such a table and its columns, for the training set and for the test set. Does not own reading
it (`data/sample_files.py`) nor tables that name an image in each row of labels (`data/new/columns.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.tables import Table, read_table
from pipeline.data import texts
from pipeline.data.new import columns, words
from pipeline.data.new.columns import FOUND_ENOUGH, Place
from pipeline.data.new.request import NewRequest, Proposal, relative
from pipeline.data.paths import nfc

# Tables beside that of labels that are looked at, and columns of each that may name its samples.
MOST_TABLES, MOST_COLUMNS = 20, 40
SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class ImageTable:
    """The images of the samples of another table.

    Args:
        path: of the table.
        table: a row for each image.
        key: its column that names the sample.
        column: its column of paths.
        place: the column of the table of labels that holds the samples, and the folder of the images.
    """

    path: Path
    table: Table
    key: str
    column: str
    place: Place

    def first_files(self, samples: Sequence[str]) -> list[str]:
        """The first image of each of these samples, as the table writes it."""
        of: dict[str, str] = {}
        for key, path in zip(self.table.column(self.key), self.table.column(self.column), strict=True):
            of.setdefault(nfc(key).strip(), path)
        return [of.get(nfc(name).strip(), name) for name in samples]

    @property
    def unused(self) -> list[str]:
        """Its other columns."""
        return [c for c in self.table.columns if c not in (self.key, self.column)]


def beside(
    table: Table, request: NewRequest, near: Sequence[Path], taken: Sequence[Path]
) -> ImageTable | None:
    """The table of images that the user names, or one beside the given files; None if there is none.

    Args:
        table: of labels or of the test set, a row for each sample.
        request: the files that the user names.
        near: folders in which images may be.
        taken: tables that are something else.

    Raises:
        DataError: the user names a table that is none of images of these samples.
    """
    named = request.image_table
    if named is not None:
        found = _fits(named, read_table(named, encoding=request.encoding), table, near)
        if found is None:
            text = texts.NOT_IMAGE_TABLE.format(path=named.name, table=table.name)
            raise DataError(text, remedy=texts.NOT_IMAGE_TABLE_REMEDY)
        return found
    return _found(table, request, near, taken)


def _found(
    table: Table, request: NewRequest, near: Sequence[Path], taken: Sequence[Path]
) -> ImageTable | None:
    folders = {path.resolve().parent for path in (request.train, request.test, request.sample) if path}
    known = {path.resolve() for path in taken}
    files = sorted(f for folder in folders for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    for path in [f for f in files if f.resolve() not in known][:MOST_TABLES]:
        try:
            other = read_table(path, encoding=request.encoding)
        except DataError:
            continue
        if (found := _fits(path, other, table, near)) is not None:
            return found
    return None


def of_test(train: ImageTable, table: Table, request: NewRequest, near: Sequence[Path]) -> ImageTable | None:
    """The table with the images of the test samples: that of the training samples, or one like it."""
    given = [p for p in (request.train, request.test, request.sample) if p is not None]
    own = _fits(train.path, train.table, table, near, (train.key, train.column))
    return own or _found(table, request, near, [*given, train.path])


def _fits(
    path: Path, images: Table, table: Table, near: Sequence[Path], known: tuple[str, str] | None = None
) -> ImageTable | None:
    """The table as one of images of these samples; None if it is none. `known`: its key and its paths."""
    if not len(images):
        return None
    for own in table.columns[:MOST_COLUMNS]:
        samples = [nfc(cell).strip() for cell in table.column(own)]
        if len(set(samples)) < len(samples) or not all(samples):
            continue
        for key in [known[0]] if known else images.columns[:MOST_COLUMNS]:
            keys = {nfc(cell).strip() for cell in images.column(key)}
            share = sum(name in keys for name in samples) / len(samples)
            if share < FOUND_ENOUGH:
                continue
            held = set(samples)
            rows = [n for n, cell in enumerate(images.column(key)) if nfc(cell).strip() in held]
            some = Table(images.name, images.columns, tuple(images.rows[n] for n in rows), tuple(rows))
            place = columns.place(some, near)
            if place is not None and place.column != key and (known is None or place.column == known[1]):
                return ImageTable(path, images, key, place.column, Place(own, place.folder, share))
    return None


def settle(proposal: Proposal, found: ImageTable, root: Path, test: ImageTable | None = None) -> None:
    """Set the table of images, and that of the test set where it is another one."""
    if test is not None:
        if test.path.resolve() != found.path.resolve():
            path = relative(test.path, root)
            proposal.set("competition.images_per_sample.test_table", path, texts.IMAGE_TABLE_TEST)
        return
    own = found.place.column
    why = texts.IMAGE_TABLE.format(table=found.path.name, key=found.key, column=own, rows=len(found.table))
    proposal.set("competition.images_per_sample.table", relative(found.path, root), why)
    proposal.set("competition.images_per_sample.key", found.key)
    proposal.set("competition.images_per_sample.path", found.column)
    if found.unused:
        hint = texts.IMAGE_TABLE_UNUSED.format(table=found.path.name, columns=words.some(found.unused))
        proposal.hints.append(hint)
