"""Images inside an HDF5 file: a dataset for each image, whose name is the image's, or one array of all.

Owns finding them, and the extra `hdf5`. A dataset holds an encoded image (JPEG, PNG) or an array. Of an array
of all images, each is found by its number along the first axis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.data import texts
from pipeline.data.readers.reading import Index, Packed, Reading, Values, as_bytes, guarded, library, row_of

EXTRA, KIND = "hdf5", "HDF5"
# An array of images has at least the axes N, H, W.
STACKED = 3
SHOWN = 8


def index(file: Path, reading: Reading) -> Index:
    """The names of a file's images, or how many there are in its array.

    Raises:
        DataError: it is damaged, h5py is not installed, or it holds nothing of the name `key`.
    """
    with guarded(file, KIND), _opened(file) as root:
        chosen = _chosen(root, file, reading.key)
        if hasattr(chosen, "shape"):
            return Index(int(chosen.shape[0]))
        return Index(0, _names(chosen))


def opened(file: Path, reading: Reading) -> Packed:
    """The file, from which images are read one by one.

    Raises:
        DataError: as `index`.
    """
    with guarded(file, KIND):
        root = _opened(file)
        return _Hdf5(_chosen(root, file, reading.key), root)


class _Hdf5:
    def __init__(self, chosen: Any, root: Any) -> None:
        self._chosen, self._root = chosen, root

    def read(self, key: str) -> bytes | Values:
        row = row_of(key)
        if row is not None and not hasattr(self._chosen, "shape"):
            raise ValueError(texts.NO_ROWS)
        value = self._chosen[key][()] if row is None else self._chosen[row]
        encoded = as_bytes(value)
        return encoded if encoded is not None else np.asarray(value)


def _opened(file: Path) -> Any:
    h5py = library("h5py", EXTRA, file)
    return h5py.File(file, "r")


def _chosen(root: Any, file: Path, key: str | None) -> Any:
    """The group with a dataset for each image, or the array of all images."""
    if key is not None:
        if key not in root:
            there = ", ".join(_names(root)[:SHOWN]) or "nothing"
            raise DataError(_("{file}: {no}").format(file=file, no=texts.NO_KEY.format(key=key, there=there)))
        return root[key]
    arrays = [d for d in root.values() if hasattr(d, "shape")]
    stacked = [
        d for d in arrays if len(d.shape) > STACKED or (len(d.shape) == STACKED and len(arrays) <= STACKED)
    ]
    if len(stacked) == 1 and all(
        len(d.shape) == 1 and d.dtype.kind != "V" for d in arrays if d is not stacked[0]
    ):
        return stacked[0]
    return root


def _names(group: Any) -> list[str]:
    found: list[str] = []
    group.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    return found
