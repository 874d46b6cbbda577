"""Every reader of images that are no image files, and what reads which file.

Owns the registry, finding images in files of several, and keeping opened files. A new reader is one file
with `index` and `opened`, or `single`, and one line here.
"""

from __future__ import annotations

import glob
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.sample_paths import files_of
from pipeline.data import texts
from pipeline.data.paths import IMAGE_SUFFIXES
from pipeline.data.readers import arrays, dicom, frames, hdf5, pages, pixels, reading
from pipeline.data.readers.reading import ROW, ROW_FROM_0, Index, Packed, Reading, Values


@dataclass(frozen=True)
class Reader:
    """What reads files of several images.

    Args:
        suffixes: of such files.
        index: what a file holds, without reading its images.
        opened: the file, for reading images.
    """

    suffixes: tuple[str, ...]
    index: Callable[[Path, Reading], Index]
    opened: Callable[[Path, Reading], Packed]


READERS: Mapping[str, Reader] = {
    "pixels": Reader(reading.TABLES, pixels.index, pixels.opened),
    "hdf5": Reader(reading.HDF5S, hdf5.index, hdf5.opened),
    "arrays": Reader(reading.ARRAYS, arrays.index, arrays.opened),
}
# Extension -> what reads the bytes of a file of one image; the name is for messages.
SINGLE: Mapping[str, Callable[[bytes, str, Reading], Values]] = {
    ".npy": arrays.single,
    ".npz": arrays.single,
    ".dcm": dicom.single,
    ".dicom": dicom.single,
}
# Opened files that are kept: a table of pixels may have gigabytes.
KEPT = 2


def packed(where: Path) -> bool:
    """Whether a place of images is a file of several, or a pattern of such files, and no folder."""
    return not where.is_dir() and _suffix(where) in {s for r in READERS.values() for s in r.suffixes}


def reader_of(file: Path, how: Reading) -> Reader:
    """The reader of a file of several images.

    Raises:
        DataError: there is none.
    """
    if how.reader != "auto":
        return READERS[how.reader]
    for reader in READERS.values():
        if _suffix(file) in reader.suffixes:
            return reader
    known = ", ".join(s for reader in READERS.values() for s in reader.suffixes)
    raise DataError(_("{file}: {no}").format(file=file, no=texts.NO_READER.format(known=known)))


def _suffix(file: Path) -> str:
    name = file.name.lower()
    return Path(name.removesuffix(".gz")).suffix


class Members:
    """The images of a file of several, or of all files that a pattern names.

    Args:
        where: the file, or a pattern such as `train_image_data_*.parquet`.
        how: the settings of readers.

    Raises:
        DataError: no such file, or one that cannot be read.
    """

    def __init__(self, where: Path, how: Reading) -> None:
        files = [where] if where.is_file() else [Path(p) for p in sorted(glob.glob(str(where)))]  # noqa: PTH207
        if not files:
            raise DataError(_("{where}: there is no such file").format(where=where))
        self.files = [Path(os.path.realpath(file)) for file in files]
        found = [reader_of(file, how).index(file, how) for file in self.files]
        self.rows = found[0].rows if len(found) == 1 else 0
        self._file_of: dict[str, list[Path]] = {}
        # A name such as `#3` reads as a row's number: it is written as that of its own row.
        self._key_of: dict[str, str] = {}
        for file, index in zip(self.files, found, strict=True):
            for row, name in enumerate(index.names, 1):
                self._file_of.setdefault(name, []).append(file)
                if index.rows and reading.row_of(name) is not None:
                    self._key_of[name] = reading.row_key(row)

    def find(self, written: str, column: str) -> tuple[str, str]:
        """(kind of fault or "", place) of one image; kinds are those of `paths.PATH_FAULTS`.

        Args:
            written: its name, with or without an extension; or the number of its row.
            column: where that is written; `row` and `row0` are numbers.
        """
        if not written.strip():
            return "empty paths", ""
        if column in (ROW, ROW_FROM_0):
            number = int(written) + (column == ROW_FROM_0)
            if not 1 <= number <= self.rows:
                return "missing images", ""
            return "", reading.place(self.files[0], reading.row_key(number))
        for name in dict.fromkeys((written, Path(written).name, Path(written).stem)):
            files = self._file_of.get(name, [])
            if len(files) == 1:
                return "", reading.place(files[0], self._key_of.get(name, name))
            if files:
                return "ambiguous images", ""
        return "missing images", ""


@dataclass
class Sources:
    """The images of all files, by path; opened files of several images are kept.

    Args:
        how: the settings of readers.
    """

    how: Reading = field(default_factory=Reading)
    _opened: OrderedDict[str, Packed] = field(default_factory=OrderedDict)
    _lock: RLock = field(default_factory=RLock)

    def read(self, path: str) -> bytes | Values:
        """The bytes of an image file, or framed values: (H, W) or (H, W, C).

        Raises:
            DataError: the file cannot be read at all, or a package is missing.
            ValueError, OSError: this image cannot be read.
        """
        files = files_of(path)
        if len(files) > 1:
            return pages.stacked([pages.grey_of(self._raw(file)) for file in files])
        found = self._raw(path)
        if isinstance(found, bytes) and (not self.how.plain or (self.how.bands and pages.is_tiff(found))):
            found = pages.bands_of(found, self.how.pages)
        return found if isinstance(found, bytes) else frames.framed(found, self.how)

    def _raw(self, path: str) -> bytes | Values:
        """The bytes of an image file, or the values of another one, as they are."""
        file, key = reading.parts(path)
        if key is not None and Path(file).suffix.lower() in reading.PAGED:
            return self._page(file, reading.row_of(key) or 0)
        if key is not None:
            with self._lock:
                found = self._file(file).read(key)
        else:
            found = Path(file).read_bytes()
            if not found:
                return found
            single = SINGLE.get(Path(file).suffix.lower())
            if single is None and found[dicom.HEAD_AT : dicom.HEAD_AT + 4] == dicom.HEAD:
                single = dicom.single
            if single is not None:
                found = single(found, file, self.how)
        return found

    def _page(self, file: str, at: int) -> Values:
        """The values of one page of a TIFF, or one frame of a DICOM file."""
        raw = Path(file).read_bytes()
        if pages.is_tiff(raw):
            return pages.tiff_pages(raw)[at]
        return dicom.single(raw, file, self.how, at)

    def single(self, file: str) -> bool:
        """Whether a file of one image is no image file, by its name or its first bytes."""
        suffix = Path(file).suffix.lower()
        if suffix in SINGLE or suffix in IMAGE_SUFFIXES:
            # The name is enough: a set may have a million image files.
            return suffix in SINGLE
        with Path(file).open("rb") as opened:
            return opened.read(dicom.HEAD_AT + 4)[dicom.HEAD_AT :] == dicom.HEAD

    def frames(self, file: str) -> int:
        """Frames of a file of one image; 1 for arrays."""
        arrayed = Path(file).suffix.lower() in reading.ARRAYS
        return 1 if arrayed else dicom.frames(Path(file).read_bytes(), file)

    def _file(self, file: str) -> Packed:
        if file not in self._opened:
            while len(self._opened) >= KEPT:
                self._opened.popitem(last=False)
            self._opened[file] = reader_of(Path(file), self.how).opened(Path(file), self.how)
        self._opened.move_to_end(file)
        return self._opened[file]
