"""From the name in a table to the file on the disk, and all faults of a competition's files in one error.

Owns joining names after Unicode normalisation, adding missing extensions, searching folders below, refusing
paths that leave the image folder, following links, listing a folder's images, and grouping faults by kind in
one error. Does not own tables
(`data/layouts.py`), pixels (`data/images.py`) nor finding faults.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.core.errors import SHOWN_FAULTS, DataError
from pipeline.core.language import Text, _, joined
from pipeline.core.wording import singular_kind, worded
from pipeline.data import texts

IMAGE_SUFFIXES = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".webp",
            ".bmp",
            ".gif",
            ".tif",
            ".tiff",
            ".avif",
            ".ppm",
        ),
        # One array or one DICOM image a file: data/readers/.
        *(".npy", ".npz", ".dcm", ".dicom"),
    )
)
SAME_SUFFIX = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".dicom": ".dcm"}
# Archives made on a Mac add `__MACOSX/`, `._x.jpg` and `.DS_Store`; Windows and network drives the others.
CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "System Volume Information")

REMEDY = _("fix the files, or the names in competition.* (tables, columns, values, image folders)")

PATH_FAULTS = {
    "empty paths": _("the path is empty"),
    "paths outside": _("'{path}' is absolute or leaves the image folder {folder}"),
    "missing images": _("there is no file '{path}' in {folder}"),
    "ambiguous images": _("several files in {folder} match '{path}': {matches}; write its whole path"),
}


def nfc(text: str) -> str:
    """The text in composed form: macOS archives contain decomposed names (NFD), tables composed ones."""
    return unicodedata.normalize("NFC", text)


def image_suffix(name: str) -> str:
    """The extension of an image's name in lower case, `.jpeg` as `.jpg`; empty if it has none."""
    suffix = PurePosixPath(name).suffix.lower()
    return SAME_SUFFIX.get(suffix, suffix) if suffix in IMAGE_SUFFIXES else ""


def hidden(name: str) -> bool:
    """Whether a file or folder is not content: dot files, leftovers of archives and of operating systems."""
    return name.startswith(".") or name in CLUTTER


@dataclass(frozen=True)
class Found:
    """What is below a folder, as paths relative to it, in sorted order.

    Args:
        images: regular files that are images by their name, or links to such files.
        others: other visible files.
        broken: links that lead nowhere or in a circle, and images by their name that are no regular files.
        linked: images that are outside the folder, because they or a folder above them are links.
    """

    images: list[str]
    others: list[str]
    broken: list[str]
    linked: list[str]

    def notes(self, name: str) -> Iterator[str]:
        """Notes about links, one line each; `name` is the folder's name in them."""
        if self.linked:
            yield worded(texts.LINKED, name=name, files=len(self.linked), first=self.linked[0])
        if self.broken:
            yield worded(texts.BROKEN, name=name, files=len(self.broken), first=self.broken[0])


def refuse_bytes(folder: Path, names: Iterable[str]) -> None:
    """Raise a DataError that names every image or folder whose name is no UTF-8.

    Such a name can stand in no table, no page and no result, and no system shows it alike.
    """
    odd = [name for name in names if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name)]
    if odd:
        raise DataError(
            worded(texts.NOT_UTF8, folder=folder, count=len(odd)),
            sorted(odd),
            texts.NOT_UTF8_REMEDY.format(folder=folder),
        )


def images_below(folder: Path) -> Found:
    """Images at any depth and what else is there; links are followed, but never in a circle.

    Raises:
        DataError: names of images, or of folders with images, are no UTF-8.
    """
    found = Found([], [], [], [])
    root = os.path.realpath(folder)
    _walk(root, "", (root,), found)
    for listed in (found.images, found.others, found.broken, found.linked):
        listed.sort(key=nfc)
    refuse_bytes(folder, found.images)
    return found


def _walk(root: str, below: str, above: tuple[str, ...], found: Found) -> None:
    """Add what is in one folder and below; `above` are the real paths of it and the folders above it."""
    try:
        entries = sorted(os.scandir(Path(root) / below), key=lambda entry: entry.name)
    except OSError:
        found.broken.append(below)
        return
    for entry in entries:
        if hidden(entry.name):
            continue
        path = f"{below}/{entry.name}" if below else entry.name
        if _kind(entry) == "folder":
            real = _real(entry, above[-1])
            if real in above:
                found.broken.append(path)
            else:
                _walk(root, path, (*above, real), found)
        elif _kind(entry) == "file":
            image = bool(image_suffix(entry.name))
            (found.images if image else found.others).append(path)
            if image and not _real(entry, above[-1]).startswith(f"{root.rstrip('/')}/"):
                found.linked.append(path)
        elif entry.is_symlink() or image_suffix(entry.name):
            found.broken.append(path)
        else:
            found.others.append(path)


def _real(entry: os.DirEntry[str], folder: str) -> str:
    """The real path of an entry of the folder with this real path."""
    return os.path.realpath(entry.path) if entry.is_symlink() else f"{folder.rstrip('/')}/{entry.name}"


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder` or `file`, links followed; empty for a link that leads nowhere, a pipe or a socket."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""


class Index:
    """The files of one image folder; each folder in it is resolved and listed once.

    Args:
        folder: the image folder.
        without: a folder whose images are never found by searching, if it is below: those of the other split.
    """

    def __init__(self, folder: Path, without: Path | None = None) -> None:
        self.root = os.path.realpath(folder)
        self._without = _strictly_below(folder, without)
        self._parents: dict[str, str] = {}
        self._listed: dict[str, dict[str, list[str]]] = {}

    def names(self, folder: str) -> dict[str, list[str]]:
        """Composed stem -> the images of this folder that have it."""
        if folder not in self._listed:
            self._listed[folder] = {}
            for name in sorted(os.listdir(folder)):  # noqa: PTH208
                if image_suffix(name) and not hidden(name):
                    stem = nfc(name[: -len(Path(name).suffix)])
                    self._listed[folder].setdefault(stem, []).append(name)
        return self._listed[folder]

    @cached_property
    def below(self) -> dict[str, list[str]]:
        """Composed stem -> the images at any depth that have it, as paths relative to the folder."""
        known: dict[str, list[str]] = {}
        for path in images_below(Path(self.root)).images:
            if self._without is not None and path.startswith(self._without):
                continue
            name = PurePosixPath(path).name
            known.setdefault(nfc(name[: -len(PurePosixPath(name).suffix)]), []).append(path)
        return known

    def resolved(self, parent: str) -> str:
        """The folder with all links resolved."""
        if parent not in self._parents:
            self._parents[parent] = os.path.realpath(parent)
        return self._parents[parent]


def _strictly_below(folder: Path, other: Path | None) -> str | None:
    """The way from a folder to one below it, with a slash at the end; None if it is not below."""
    if other is None:
        return None
    way = os.path.relpath(os.path.realpath(other), os.path.realpath(folder))
    return None if way == "." or way.startswith("..") else f"{way}/"


class Locator:
    """Finds the files of one image folder by the names that a table gives.

    A name is tried as it is written, with / for a backslash, with another or an added extension, without
    the folders in front of it that all names of the table have, and last as the end of the path of any image
    below the folder. Of several such images, the one in a folder that is named in the same row is meant.

    Args:
        folder: every file that is found is below it, or a link below it leads to the file.
        names: all names of the table, for the folders that they have in common.
        index: of the folder, if several tables or columns share it.

    Attributes:
        normalised: names that were found in another Unicode form.
        completed: names that were found with another or an added extension.
        shortened: names that were found without the folders in front.
        searched: (name, path) of those that were found by the end of their path only.
        linked: names of files that lie outside the folder, because they or a folder above are links.
        matches: the images that fit the last ambiguous name.
    """

    def __init__(self, folder: Path, names: Sequence[str] = (), index: Index | None = None) -> None:
        self._index = index or Index(folder)
        self._root = self._index.root
        self._common = _common_folders(names)
        self.normalised: list[str] = []
        self.completed: list[str] = []
        self.shortened: list[str] = []
        self.searched: list[tuple[str, str]] = []
        self.linked: list[str] = []
        self.matches: list[str] = []

    def find(self, written: str, row: Sequence[str] = ()) -> tuple[str, str]:
        """(kind of fault or "", absolute path); the kinds are the keys of `PATH_FAULTS`.

        Args:
            written: the name in the table.
            row: the cells of its row, which may name a folder.
        """
        kind, path = self.find_directly(written)
        if kind not in ("missing images", "paths outside"):
            return kind, path
        parts = _parts(written)
        for dropped in range(1, self._common + 1):
            name = "/".join(parts[dropped:])
            shorter, path = self._named(name) if name else (kind, "")
            if shorter not in ("missing images", "paths outside"):
                self.shortened.append(written)
                return shorter, path
        if kind == "paths outside" and not self._common:
            return kind, ""
        found, path = self._search(written, "/".join(parts[self._common :]), row)
        return (kind, "") if found == "missing images" else (found, path)

    def find_directly(self, written: str) -> tuple[str, str]:
        """As `find`, but only where the name says."""
        if not written.strip():
            return "empty paths", ""
        kind, path = self._named(written)
        if kind == "missing images" and "\\" in written:
            return self._named(written.replace("\\", "/"))
        return kind, path

    def _named(self, written: str) -> tuple[str, str]:
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
        inside = _inside(form)
        if inside is None:
            return "paths outside", ""
        try:
            parent, name = os.path.split(os.path.join(self._root, inside))  # noqa: PTH118
            path = os.path.join(self._index.resolved(parent), name)  # noqa: PTH118
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                path = os.path.realpath(path)
                mode = os.stat(path).st_mode  # noqa: PTH116
        except (OSError, ValueError):  # ValueError: a NUL inside the name
            return "missing images", ""
        if not stat.S_ISREG(mode):
            return "missing images", ""
        if not path.startswith(f"{self._root.rstrip('/')}/"):
            # A link of the user's own; a table cannot lead outside. An odd file is not worth a look.
            if not (image_suffix(name) or image_suffix(path)):
                return "paths outside", ""
            self.linked.append(form)
        return "", path

    def _similar(self, form: str) -> tuple[str, str]:
        """The one file whose name differs in Unicode form or extension only."""
        inside = _inside(form)
        if inside is None:
            return "missing images", ""
        path = PurePosixPath(inside)
        suffix = image_suffix(path.name)
        stem = path.name[: -len(path.suffix)] if suffix else path.name
        try:
            known = self._index.names(os.path.join(self._root, path.parent))  # noqa: PTH118
        except (OSError, ValueError):
            return "missing images", ""
        close = [n for n in known.get(nfc(stem), []) if not suffix or image_suffix(n) == suffix]
        if len(close) > 1:
            self.matches = [str(path.parent / name) for name in close]
            return "ambiguous images", ""
        return self._look(str(path.parent / close[0])) if close else ("missing images", "")

    def _search(self, written: str, tail: str, row: Sequence[str]) -> tuple[str, str]:
        """The one image below the folder whose path ends with `tail`, with or without extension."""
        *folders, name = [nfc(part) for part in tail.split("/")]
        suffix = image_suffix(name)
        stem = name[: -len(PurePosixPath(name).suffix)] if suffix else name
        close = [
            path
            for path in self._index.below.get(stem, [])
            if (not suffix or image_suffix(path) == suffix)
            and [nfc(part) for part in path.split("/")[:-1]][-len(folders) or None :][: len(folders)]
            == folders
        ]
        if len(close) > 1:
            cells = {nfc(cell) for cell in row}
            close = [p for p in close if cells & {nfc(part) for part in p.split("/")[:-1]}] or close
        if len(close) > 1:
            self.matches = close
            return "ambiguous images", ""
        if not close:
            return "missing images", ""
        kind, path = self._look(close[0])
        if not kind:
            self.searched.append((written, close[0]))
        return kind, path

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
        if self.shortened:
            yield texts.SHORTENED.format(table=table, files=len(self.shortened), first=self.shortened[0])
        if self.searched:
            first, path = self.searched[0]
            yield worded(texts.SEARCHED, table=table, files=len(self.searched), first=first, path=path)
        if self.linked:
            yield worded(texts.LINKED, name=table, files=len(self.linked), first=self.linked[0])


def _inside(form: str) -> str | None:
    """The path without `.` and `..`; None if it is absolute or leaves the folder."""
    if form.startswith("/"):
        return None
    inside = os.path.normpath(form)
    return None if inside == ".." or inside.startswith("../") else inside


def _parts(written: str) -> list[str]:
    """A path's parts, separated by slashes or backslashes; the first one of an absolute path is empty."""
    return [
        part for n, part in enumerate(written.replace("\\", "/").split("/")) if part not in (".", "") or not n
    ]


def _common_folders(names: Sequence[str]) -> int:
    """The number of folders in front that all names have in common."""
    folders = [_parts(name)[:-1] for name in dict.fromkeys(names) if name.strip()]
    if not folders:
        return 0
    low, high = min(folders), max(folders)
    return next(
        (n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high))
    )


@dataclass
class Faults:
    """A growing list of (kind, text); kinds are plural, e.g. `missing images`."""

    listed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Add one fault."""
        self.listed.append((kind, text))

    def __len__(self) -> int:
        return len(self.listed)

    def error(self, what: str, remedy: str = REMEDY) -> DataError:
        """One error with all faults, by kind; if not all can be shown, some of every kind come first.

        Args:
            what: the source of the faults, e.g. `competition pets in data/pets`.
            remedy: what to do.
        """
        kinds: dict[str, list[str]] = {}
        for kind, text in self.listed:
            kinds.setdefault(kind, []).append(text)
        counts = joined(", ", [_counted(kind, len(found)) for kind, found in kinds.items()])
        many = len(self.listed) > SHOWN_FAULTS
        share = max(SHOWN_FAULTS // len(kinds), 1) if many else len(self.listed)
        first = [text for faults in kinds.values() for text in faults[:share]]
        rest = [text for faults in kinds.values() for text in faults[share:]]
        return DataError(_("{what}: {counts}").format(what=what, counts=counts), first + rest, remedy)


def _counted(kind: str, n: int) -> str:
    """A kind of fault with its number; translated as its plural, which is a text of `FAULT_KINDS`."""
    return texts.FAULT_COUNT.format(n=n, kind=Text(singular_kind(kind) if n == 1 else kind, kind))
