"""NumPy arrays: one image a file (.npy, .npz), or a file with all of them.

Owns both. Arrays of Python objects are not read, because reading them runs what the file says.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.data import texts
from pipeline.data.readers.reading import Index, Packed, Reading, Values, as_bytes, row_of

SHOWN = 8


def single(raw: bytes, name: str, reading: Reading) -> Values:
    """The values of a file of one image.

    Raises:
        ValueError: it is damaged, holds objects, or several arrays and none is chosen.
    """
    try:
        loaded = np.load(io.BytesIO(raw), allow_pickle=False)
    except Exception as error:  # zipfile and NumPy raise many kinds for damaged files
        raise ValueError(texts.DAMAGED.format(kind="NumPy", why=error)) from error
    if isinstance(loaded, np.ndarray):
        return loaded
    names = list(loaded.files)
    key = reading.key if reading.key is not None else names[0] if len(names) == 1 else None
    if key not in names:
        raise ValueError(texts.SEVERAL_ARRAYS.format(names=", ".join(names[:SHOWN])))
    return np.asarray(loaded[key])


def index(file: Path, reading: Reading) -> Index:
    """The names of an .npz's arrays, or how many images an array of all has.

    Raises:
        DataError: it is damaged, or holds nothing of the name `key`.
    """
    chosen = _chosen(file, reading)
    if isinstance(chosen, np.ndarray):
        return Index(len(chosen) if chosen.ndim else 0)
    return Index(0, list(chosen.files))


def opened(file: Path, reading: Reading) -> Packed:
    """The file, from which images are read one by one.

    Raises:
        DataError: as `index`.
    """
    return _Arrays(_chosen(file, reading))


class _Arrays:
    def __init__(self, chosen: Any) -> None:
        self._chosen = chosen

    def read(self, key: str) -> bytes | Values:
        row = row_of(key)
        if (row is None) == isinstance(self._chosen, np.ndarray):
            raise ValueError(texts.NO_ROWS if row is not None else texts.NO_NAMES)
        value = np.asarray(self._chosen[key if row is None else row])
        encoded = as_bytes(value)
        return encoded if encoded is not None else value


def _chosen(file: Path, reading: Reading) -> Any:
    """The array of all images, or the opened .npz with an array for each."""
    try:
        if file.suffix.lower() == ".npz" and not zipfile.is_zipfile(file):
            raise ValueError(texts.CUT_OFF)
        loaded = np.load(file, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray) or reading.key is None:
            return loaded
        if reading.key in loaded.files:
            return np.asarray(loaded[reading.key])
    except Exception as error:
        raise DataError(
            _("{file}: {damaged}").format(file=file, damaged=texts.DAMAGED.format(kind="NumPy", why=error))
        ) from error
    raise DataError(
        _("{file}: {no}").format(
            file=file, no=texts.NO_KEY.format(key=reading.key, there=", ".join(loaded.files[:SHOWN]))
        )
    )
