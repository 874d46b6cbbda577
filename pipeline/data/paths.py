"""From the name in a table to the file on the disk, and all faults of a competition's files in one error.

Owns joining names after Unicode normalisation, adding missing extensions, refusing paths that leave the image
folder, listing a folder's images, and grouping faults by kind in one error. Does not own tables
(`data/layouts.py`), pixels (`data/images.py`) nor finding faults.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.core.errors import SHOWN_FAULTS, DataError
from pipeline.data import texts

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm")
)
SAME_SUFFIX = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
# Archives made on a Mac add `__MACOSX/`, `._x.jpg` and `.DS_Store`.
CLUTTER = "__MACOSX"

REMEDY = "fix the files, or the names in competition.* (tables, columns, values, image folders)"

PATH_FAULTS = {
    "empty paths": "the path is empty",
    "paths outside": "'{path}' is absolute or leaves the image folder {folder}",
    "missing images": "there is no file '{path}' in {folder}",
    "ambiguous images": "several files in {folder} match '{path}': add its extension",
}


def nfc(text: str) -> str:
    """The text in composed form: macOS archives contain decomposed names (NFD), tables composed ones."""
    return unicodedata.normalize("NFC", text)


def image_suffix(name: str) -> str:
    """The extension of an image's name in lower case, `.jpeg` as `.jpg`; empty if it has none."""
    suffix = PurePosixPath(name).suffix.lower()
    return SAME_SUFFIX.get(suffix, suffix) if suffix in IMAGE_SUFFIXES else ""


def hidden(name: str) -> bool:
    """Whether a file or folder is not content: dot files and leftovers of archives."""
    return name.startswith(".") or name == CLUTTER


def refuse_bytes(folder: Path, names: Iterable[str]) -> None:
    """Raise a DataError that names every image or folder whose name is no UTF-8.

    Such a name can stand in no table, no page and no result, and no system shows it alike.
    """
    odd = [name for name in names if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name)]
    if odd:
        raise DataError(
            texts.NOT_UTF8.format(folder=folder, count=len(odd)),
            sorted(odd),
            texts.NOT_UTF8_REMEDY.format(folder=folder),
        )


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Images at any depth and other visible files, as paths relative to `folder`, in sorted order.

    Raises:
        DataError: names of images, or of folders with images, are no UTF-8.
    """
    images: list[str] = []
    others: list[str] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in names:
            if not hidden(name):
                path = (Path(top) / name).relative_to(folder).as_posix()
                (images if image_suffix(name) else others).append(path)
    refuse_bytes(folder, images)
    return sorted(images, key=nfc), sorted(others, key=nfc)


class Locator:
    """Finds the files of one image folder by the names that a table gives.

    Args:
        folder: every file that is found is inside it, links resolved.

    Attributes:
        normalised: names that were found in another Unicode form.
        completed: names that were found with another or an added extension.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        # Each folder is resolved and listed once, because there are few folders and many files.
        self._parents: dict[Path, Path] = {}
        self._listed: dict[Path, dict[str, list[str]]] = {}
        self.normalised: list[str] = []
        self.completed: list[str] = []

    def find(self, written: str) -> tuple[str, str]:
        """(kind of fault or "", absolute path); the kinds are the keys of `PATH_FAULTS`."""
        if not written.strip():
            return "empty paths", ""
        if Path(written).is_absolute():
            return "paths outside", ""
        forms = dict.fromkeys((written, nfc(written), unicodedata.normalize("NFD", written)))
        for form in forms:
            kind, path = self._look(form)
            if kind != "missing images":
                if form != written:
                    self.normalised.append(written)
                return kind, path
        kinds = {self._similar(form) for form in forms} - {("missing images", "")}
        if len(kinds) != 1:
            return ("ambiguous images" if kinds else "missing images"), ""
        kind, path = kinds.pop()
        if not kind:
            same = nfc(Path(path).name) == nfc(PurePosixPath(written).name)
            (self.normalised if same else self.completed).append(written)
        return kind, path

    def _look(self, form: str) -> tuple[str, str]:
        """The file of exactly this name."""
        try:
            joined = self._root / form
            if joined.name == "..":
                return "paths outside", ""
            path = self._resolved(joined.parent) / joined.name
            if not path.is_relative_to(self._root):
                return "paths outside", ""
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                path = path.resolve()
                mode = path.stat().st_mode
        except (OSError, ValueError):  # ValueError: a NUL inside the name
            return "missing images", ""
        if not path.is_relative_to(self._root):
            return "paths outside", ""
        return ("", str(path)) if stat.S_ISREG(mode) else ("missing images", "")

    def _similar(self, form: str) -> tuple[str, str]:
        """The one file whose name differs in Unicode form or extension only."""
        path = PurePosixPath(form)
        suffix = image_suffix(path.name)
        stem = path.name[: -len(path.suffix)] if suffix else path.name
        try:
            known = self._names(self._root / path.parent)
        except (OSError, ValueError):
            return "missing images", ""
        close = [n for n in known.get(nfc(stem), []) if not suffix or image_suffix(n) == suffix]
        if len(close) > 1:
            return "ambiguous images", ""
        return self._look(str(path.parent / close[0])) if close else ("missing images", "")

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Composed stem -> the images of this folder that have it."""
        if folder not in self._listed:
            self._listed[folder] = {}
            for name in sorted(os.listdir(folder)):  # noqa: PTH208
                if image_suffix(name) and not hidden(name):
                    stem = nfc(name[: -len(Path(name).suffix)])
                    self._listed[folder].setdefault(stem, []).append(name)
        return self._listed[folder]

    def _resolved(self, parent: Path) -> Path:
        if parent not in self._parents:
            self._parents[parent] = parent.resolve()
        return self._parents[parent]

    def notes(self, table: str) -> Iterator[str]:
        """Notes about names that were not joined as they are written.

        Args:
            table: whose names they are.
        """
        if self.normalised:
            yield texts.NORMALISED.format(
                table=table, files=len(self.normalised), first=nfc(self.normalised[0])
            )
        if self.completed:
            yield texts.COMPLETED.format(table=table, files=len(self.completed), first=self.completed[0])


@dataclass
class Faults:
    """A growing list of (kind, text); kinds are plural, e.g. `missing images`."""

    listed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Add one fault."""
        self.listed.append((kind, text))

    def __len__(self) -> int:
        return len(self.listed)

    def error(self, what: str) -> DataError:
        """One error with all faults, by kind; if not all can be shown, some of every kind come first.

        Args:
            what: the source of the faults, e.g. `competition pets in data/pets`.
        """
        kinds: dict[str, list[str]] = {}
        for kind, text in self.listed:
            kinds.setdefault(kind, []).append(text)
        counts = ", ".join(f"{len(faults)} {kind}" for kind, faults in kinds.items())
        many = len(self.listed) > SHOWN_FAULTS
        share = max(SHOWN_FAULTS // len(kinds), 1) if many else len(self.listed)
        first = [text for faults in kinds.values() for text in faults[:share]]
        rest = [text for faults in kinds.values() for text in faults[share:]]
        return DataError(f"{what}: {counts}", first + rest, REMEDY)
