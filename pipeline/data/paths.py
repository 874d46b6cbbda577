"""From the name in a table to the file on the disk, and all faults of a competition's files in one error.

Owns joining names after Unicode normalisation, adding missing extensions, refusing paths that leave the image
folder, listing a folder's images, and grouping faults by kind in one error. Does not own tables
(`data/layouts.py`), pixels (`data/images.py`) nor finding faults.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.core.errors import SHOWN_FAULTS, DataError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm")
)
SAME_SUFFIX = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
# What archives made on a Mac add beside the files: `__MACOSX/`, `._x.jpg`, `.DS_Store`.
CLUTTER = "__MACOSX"

REMEDY = "fix the files, or the names in competition.* (tables, columns, values, image folders)"

PATH_FAULTS = {
    "empty paths": "the path is empty",
    "paths outside": "'{path}' is absolute or leaves the image folder {folder}",
    "missing images": "there is no file '{path}' in {folder}",
    "ambiguous images": "several files in {folder} could be '{path}': write its extension",
}


def nfc(text: str) -> str:
    """Composed: macOS archives hold decomposed names (NFD) where tables are composed."""
    return unicodedata.normalize("NFC", text)


def image_suffix(name: str) -> str:
    """The extension of an image's name in lower case, `.jpeg` as `.jpg`; empty if it has none."""
    suffix = PurePosixPath(name).suffix.lower()
    return SAME_SUFFIX.get(suffix, suffix) if suffix in IMAGE_SUFFIXES else ""


def hidden(name: str) -> bool:
    """Whether a file or folder is no content: dot files and what archives leave behind."""
    return name.startswith(".") or name == CLUTTER


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Images at any depth and other visible files, as paths relative to `folder`, in sorted order."""
    images: list[str] = []
    others: list[str] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in names:
            if not hidden(name):
                path = (Path(top) / name).relative_to(folder).as_posix()
                (images if image_suffix(name) else others).append(path)
    return sorted(images, key=nfc), sorted(others, key=nfc)


class Locator:
    """Finds the files of one image folder by the names that a table writes.

    Args:
        folder: every file found lies inside it, links followed.

    Attributes:
        normalised: names that were found in another Unicode form.
        completed: names that were found with another extension than written, or one added.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        # There are few folders and many files: each folder is resolved and listed once.
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
        """What a person should know of how names were joined.

        Args:
            table: whose names they are.
        """
        if self.normalised:
            text = f"{table}: {len(self.normalised)} file names were joined after Unicode normalisation"
            yield f"{text} (first: {nfc(self.normalised[0])})"
        if self.completed:
            text = f"{table}: {len(self.completed)} file names were completed by their extension"
            yield f"{text} (first: {self.completed[0]})"


@dataclass
class Faults:
    """A growing list of (kind, text); kinds are plural, e.g. `missing images`."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Note one fault."""
        self.found.append((kind, text))

    def __len__(self) -> int:
        return len(self.found)

    def error(self, what: str) -> DataError:
        """One error of all faults, by kind; where not all can be shown, some of every kind come first.

        Args:
            what: whose faults these are, e.g. `competition pets in data/pets`.
        """
        kinds: dict[str, list[str]] = {}
        for kind, text in self.found:
            kinds.setdefault(kind, []).append(text)
        told = ", ".join(f"{len(texts)} {kind}" for kind, texts in kinds.items())
        many = len(self.found) > SHOWN_FAULTS
        share = max(SHOWN_FAULTS // len(kinds), 1) if many else len(self.found)
        first = [text for texts in kinds.values() for text in texts[:share]]
        rest = [text for texts in kinds.values() for text in texts[share:]]
        return DataError(f"{what}: {told}", first + rest, REMEDY)
