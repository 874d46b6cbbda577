"""How images that are no image files are read, and what every reader gives.

Owns the settings that readers share, the index of a file of several images, and the place of one of them,
which is written as a path: `train.hdf5::ISIC_0015670`, or `train.csv::#17` for its 17th row. Does not own
which reader reads which file (`data/readers/registry.py`) nor the path of a sample of several files
(`core/sample_paths.py`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.data import texts
from pipeline.settings.images import ImageSettings

Values = npt.NDArray[Any]

# Columns that number the rows of a table, from 1 and from 0, where the table has no column of this name.
ROW, ROW_FROM_0 = "row", "row0"
# File extensions of tables that may hold pixels, and of other files of several images.
TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".pq")
HDF5S = (".h5", ".hdf5", ".hdf")
ARRAYS = (".npy", ".npz")
# Of files whose pages or frames are images of their own.
PAGED = (".tif", ".tiff", ".dcm", ".dicom")
_SUFFIXES = "|".join(re.escape(suffix) for suffix in (*TABLES, *HDF5S, *ARRAYS, *PAGED))
_PLACE = re.compile(rf"(.*?(?:{_SUFFIXES})(?:\.gz)?)::(.+)", re.S | re.I)
_NUMBERED = re.compile(r"#(\d+)")


@dataclass(frozen=True)
class Reading:
    """The settings of readers; see `images` and `competition.encoding` in pipeline/settings/.

    Args:
        reader: `auto`, or the name of a reader.
        columns: names or patterns of a table's columns of pixels; empty: found.
        key: column of names, or the group or array inside a file; None: found.
        shape: of images that are written as plain numbers; None: square.
        bands: that become red, green and blue; None: all.
        window: of DICOM files: `set` or `file`.
        encoding: of tables that are not UTF-8; None: found.
        channels: of an image; 3: red, green and blue, as everything else becomes them.
        pages: of a TIFF, and frames of a DICOM file: `first`, `channels` or `images`.
    """

    reader: str = "auto"
    columns: tuple[str, ...] = ()
    key: str | None = None
    shape: tuple[int, ...] | None = None
    bands: tuple[int, ...] | None = None
    window: str = "set"
    encoding: str | None = None
    channels: int = 3
    pages: str = "first"

    @staticmethod
    def of(settings: ImageSettings, encoding: str | None) -> Reading:
        """From the settings; `encoding` is `competition.encoding`."""
        return Reading(
            settings.reader,
            tuple(settings.columns),
            settings.key,
            None if settings.shape is None else tuple(settings.shape),
            None if settings.bands is None else tuple(settings.bands),
            settings.window,
            encoding,
            settings.channels,
            settings.pages,
        )

    @property
    def plain(self) -> bool:
        """Whether an image file is decoded as a picture, and not as an array of bands."""
        return self.channels in (1, 3) and self.pages != "channels"


@dataclass(frozen=True)
class Index:
    """What a file of several images holds.

    Args:
        rows: images that are found by their number; 0: they have names only.
        names: of the images.
    """

    rows: int
    names: Sequence[str] = ()


class Packed(Protocol):
    """An opened file of several images."""

    def read(self, key: str) -> bytes | Values:
        """An encoded image, or the values of one, (H, W), (H, W, C), (C, H, W) or flat.

        Raises:
            ValueError: this image cannot be read.
        """


def place(file: str | Path, key: str) -> str:
    """The path of one image in a file of several."""
    return f"{file}::{key}"


def parts(path: str) -> tuple[str, str | None]:
    """(file, key) of a path; the key is None for a file of its own."""
    found = _PLACE.fullmatch(path)
    return (path, None) if found is None else (found[1], found[2])


def row_key(number: int) -> str:
    """The key of a row, counted from 1."""
    return f"#{number}"


def row_of(key: str) -> int | None:
    """The position of a row from its key, counted from 0; None for a name."""
    found = _NUMBERED.fullmatch(key)
    return None if found is None else int(found[1]) - 1


def library(package: str, extra: str, file: str | Path) -> Any:
    """An optional package.

    Raises:
        DataError: it is not installed; the extra that brings it is named.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        # A package may be there, and lack one of its own.
        what = texts.NO_PACKAGE.format(file=file, package=(error.name or package).partition(".")[0])
        raise DataError(what, remedy=texts.NO_PACKAGE_REMEDY.format(extra=extra)) from None


@contextmanager
def guarded(file: str | Path, kind: str) -> Iterator[None]:
    """Whatever a library raises about a damaged file becomes one error that names it.

    Raises:
        DataError: the file is damaged. Of 2,400 mutated files, 150 raised what no library documents.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            _("{file}: {damaged}").format(file=file, damaged=texts.DAMAGED.format(kind=kind, why=why))
        ) from error


def as_bytes(value: Any) -> bytes | None:
    """An encoded image (JPEG, PNG and others) from what a file holds it as; None if it is no such thing."""
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return bytes(value["bytes"])  # as Hugging Face writes images
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.void):
        return value.tobytes()
    array = np.asarray(value) if isinstance(value, np.ndarray) else None
    if array is not None and array.dtype == np.uint8 and array.ndim == 1:
        head = array[:12].tobytes()
        if (
            head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"BM"))
            or head[8:] == b"WEBP"
        ):
            return array.tobytes()
    return None
