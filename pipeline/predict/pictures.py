"""Images to predict: where they come from, and the pixels that each member sees.

Owns naming the images of a folder, a table or a list, decoding a chunk of them in threads, and which do not
decode. Does not own decoding one (`data/decode.py`) nor cutting and resizing (`data/preprocess.py`). Files
are read a chunk at a time, so memory does not grow with their number.

Legend: N images, H height, W width; pixels are uint8, RGB.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError, StorageError
from pipeline.core.plugin import Own
from pipeline.core.tables import read_table
from pipeline.core.wording import worded
from pipeline.data import crop, decode
from pipeline.data.crop import CropPlan, Key, UsualBoxes
from pipeline.data.decode import Decoding, Pixels
from pipeline.data.depth import Ranges
from pipeline.data.paths import images_below, nfc
from pipeline.data.preprocess import Look, OwnPreprocessing, Preprocessor
from pipeline.predict import folder, texts
from pipeline.record import files
from pipeline.settings.images import CropSettings, ImageSettings, PreprocessSettings

Source = str | Path | bytes | npt.NDArray[Any]
# Columns of a table that name files, where it has none of the competition's.
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
GROUP_COLUMN = "group"


@dataclass(frozen=True)
class Picture:
    """An image to predict.

    Args:
        id: of its prediction.
        source: a path (of a file, or of an image inside one of several: `file.hdf5::name`), the bytes of an
            image file, or an array of values, (H, W) or (H, W, 3).
        group: images of one group belong together, e.g. photos of one person; empty: none is known.
    """

    id: str
    source: Source
    group: str = ""


@dataclass(frozen=True)
class Unreadable:
    """An image that does not decode."""

    id: str
    source: str
    why: str


def listed(
    sources: Sequence[Source], ids: Sequence[str] | None = None, groups: Sequence[str] | None = None
) -> list[Picture]:
    """The images of a list; ids are by default the paths as they are given, or the places in the list.

    Raises:
        DataError: an id twice, or something that is no image.
    """
    odd = [f"{n}: {type(s).__name__}" for n, s in enumerate(sources) if not _is_source(s)]
    if odd:
        raise DataError(texts.UNKNOWN_ARRAY.format(kind=odd[0].partition(": ")[2]), odd)
    names = ids or [str(s) if isinstance(s, str | Path) else str(n) for n, s in enumerate(sources)]
    assert len(names) == len(sources), "an id for each image"
    made = [Picture(nfc(str(name)), source) for name, source in zip(names, sources, strict=True)]
    if groups is not None:
        made = [replace(one, group=str(group)) for one, group in zip(made, groups, strict=True)]
    return _unique(made, "images")


def _is_source(source: object) -> bool:
    return isinstance(source, str | Path | bytes | np.ndarray)


def below(where: Path) -> list[Picture]:
    """All images below a folder, in the order of their names; the id is the path below it.

    Raises:
        DataError: there are none.
    """
    found = images_below(where).images
    if not found:
        raise DataError(texts.NO_IMAGES.format(where=where), remedy=texts.NO_IMAGES_REMEDY)
    return [Picture(nfc(name), where / name) for name in found]


def of_table(
    table: Path, images: Path | None, id_column: str, path_column: str, encoding: str | None = None
) -> list[Picture]:
    """The images that a table lists: a column of ids, of paths, or both, and perhaps one called `group`.

    Args:
        table: a CSV; paths in it are relative to `images`.
        images: the folder of the files; None: that of the table.
        id_column: its name in the competition's test table.
        path_column: the same.
        encoding: of a table that is not UTF-8.

    A file that is not there is no error: its image does not decode.

    Raises:
        DataError: the table is malformed, no column names images, or an id occurs twice.
    """
    read, home = read_table(table, encoding=encoding), images or table.parent
    of_paths = next((c for c in (path_column, *PATH_COLUMNS) if c in read.columns), None)
    of_ids = id_column if id_column in read.columns else of_paths
    if of_ids is None:
        headline = texts.TABLE_COLUMN.format(table=table, columns=", ".join(read.columns))
        remedy = texts.TABLE_COLUMN_REMEDY.format(id=id_column, path=path_column)
        raise DataError(headline, remedy=remedy)
    ids = [nfc(cell) for cell in read.written(of_ids)]
    written = read.written(of_paths or of_ids)
    known = Names(home) if images is not None or of_paths is None else None
    sources = [home / cell if known is None else known.find(cell) for cell in written]
    groups = read.written(GROUP_COLUMN) if GROUP_COLUMN in read.columns else ("",) * len(ids)
    made = [Picture(*one) for one in zip(ids, sources, groups, strict=True)]
    if not made:
        raise DataError(texts.NO_IMAGES.format(where=table), remedy=texts.NO_IMAGES_REMEDY)
    return _unique(made, str(table))


class Names:
    """The images below a folder, found by their path below it, their name, or it without an extension."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._of: dict[str, list[str]] = {}
        for name in images_below(where).images:
            path = PurePosixPath(nfc(name))
            for form in {str(path), path.name, str(path.with_suffix("")), path.stem}:
                self._of.setdefault(form, []).append(name)

    def find(self, written: str) -> Path:
        """The file; a path where nothing is, if there is none, or several would fit."""
        found = self._of.get(nfc(written.strip().removeprefix("./")), [])
        return self._where / (found[0] if len(found) == 1 else written)

    def why(self, path: Path) -> str:
        """Why a file is missing, in words."""
        found = self._of.get(nfc(path.name), [])
        if len(found) > 1:
            return texts.SAME_NAME.format(name=path.name, files=", ".join(found[:3]))
        return texts.NO_FILE.format(folder=self._where)


def _unique(made: list[Picture], where: str) -> list[Picture]:
    twice = sorted(name for name, n in Counter(one.id for one in made).items() if n > 1)
    if twice:
        raise DataError(worded(texts.REPEATED, where=where, n=len(twice)), twice)
    return made


@dataclass(frozen=True)
class Seen:
    """Pictures as members see them.

    Args:
        x_LNHWC: for each look, the (N, H, W, 3) pixels; white where an image does not decode.
        unreadable: those images.
        without_box: how many images had no box in a file of boxes.
    """

    x_LNHWC: list[Pixels]
    unreadable: list[Unreadable]
    without_box: int = 0


@dataclass(frozen=True)
class Eye:
    """One way to look at images, from file to pixels.

    Args:
        how: of decoding.
        look: of cutting, resizing and preprocessing.
        find: the box of an image in its pixels; None: the look has all boxes that there are.
        usual: what a found box must be like.
        counts_boxes: whether images without a box are worth a note.
    """

    how: Decoding
    look: Look
    find: Any = None
    usual: UsualBoxes | None = None
    counts_boxes: bool = False
    names: frozenset[str] = field(default_factory=frozenset)

    @staticmethod
    def of(home: Path, packed: folder.Look) -> Eye:
        """The eye of a packed look; `home` is the folder of the predictor.

        Raises:
            ConfigError: the user's own function, or the detector's package, is missing.
        """
        images = ImageSettings.model_validate_json(json.dumps(packed.images))
        cropping = CropSettings.model_validate_json(json.dumps(packed.crop))
        preprocess = PreprocessSettings.model_validate_json(json.dumps(packed.preprocess))
        name = preprocess.function
        own = OwnPreprocessing(Own(name, home / folder.OWN, "preprocess.function") if name else None)
        boxes: Mapping[str, list[float]] = files.read_json(home / packed.boxes) if packed.boxes else {}
        edges = {("test", one): (e[0], e[1], e[2], e[3]) for one, e in boxes.items()}
        s = packed.shared
        plan = CropPlan((s[0], s[1], s[2], s[3]), edges, packed.margin, packed.aspect)
        measured = {kind: (ends[0], ends[1]) for kind, ends in packed.ranges.items()}
        how = replace(Decoding.of(images, packed.encoding), ranges=Ranges.of(images, measured))
        look = Look(plan, images.hw, images.resize, Preprocessor(preprocess), own)
        if cropping.method != "own_box" or str(cropping.boxes).endswith(".csv"):
            return Eye(how, look, counts_boxes=cropping.method == "own_box")
        usual = None
        if packed.usual is not None:
            middle, spread, limit = (packed.usual[name] for name in ("middle", "spread", "limit"))
            usual = UsualBoxes(_floats(middle), _floats(spread), float(str(limit)))
        return Eye(how, look, crop.finder(str(cropping.boxes)), usual)

    def see(self, key: Key, pixels: Pixels) -> Pixels:
        """(H, W, 3) what the members see of a decoded image."""
        if self.find is None:
            return self.look(key, pixels)
        box = self.find(pixels)
        if box is None or (self.usual is not None and not self.usual.fits(np.array([box]))[0]):
            return self.look(key, pixels)
        x, y, w, h = box
        plan = replace(self.look.crop, own={key: (x, y, x + w, y + h)})
        return replace(self.look, crop=plan)(key, pixels)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def see(pictures: Sequence[Picture], eyes: Sequence[Eye]) -> Seen:
    """A chunk of images as members see it, decoded once for each way of decoding, in threads.

    Raises:
        StorageError: the memory ended while a large image was decoded.
        ConfigError: the user's own function failed.
    """
    out = [np.empty((len(pictures), *eye.look.size, 3), np.uint8) for eye in eyes]
    faults: dict[int, Unreadable] = {}
    decodings = list(dict.fromkeys((eye.how.cache_px, eye.how.ranges.given) for eye in eyes))
    with decode.pillow(), _one_opencv_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind in decodings:
            of_kind = [n for n, eye in enumerate(eyes) if (eye.how.cache_px, eye.how.ranges.given) == kind]
            how = eyes[of_kind[0]].how
            strict = replace(how, truncated=False)
            decoded = list(pool.map(lambda one, how=strict: _decoded(one, how), pictures))
            for n, found in enumerate(decoded):
                if isinstance(found, Unreadable):
                    # Pillow's switch for truncated files is global: outside threads.
                    decoded[n] = found = _decoded(pictures[n], how) if how.truncated else found
                if isinstance(found, Unreadable):
                    faults[n] = found
            for number in of_kind:
                _fill(out[number], pictures, decoded, eyes[number], pool)
    without = sum(
        sum(("test", one.id) not in eye.look.crop.own for one in pictures) for eye in eyes if eye.counts_boxes
    )
    return Seen(out, [faults[n] for n in sorted(faults)], without)


def _fill(
    x_NHWC: Pixels,
    pictures: Sequence[Picture],
    decoded: Sequence[Pixels | Unreadable],
    eye: Eye,
    pool: ThreadPoolExecutor,
) -> None:
    def one(n: int) -> None:
        found = decoded[n]
        image = decode.placeholder("", "")[1] if isinstance(found, Unreadable) else found
        x_NHWC[n] = eye.see(("test", pictures[n].id), image)

    for _ in pool.map(one, range(len(pictures))):
        pass


def _decoded(picture: Picture, how: Decoding) -> Pixels | Unreadable:
    source = picture.source
    try:
        if isinstance(source, np.ndarray):
            return decode.of_values(source, how)[1]
        if isinstance(source, bytes):
            return decode.pixels_of(source, how, picture.id)[1]
        return decode.read(picture.id, str(source), how)[1]
    except StorageError:
        raise
    except decode.UNDECODABLE as error:
        shown = str(source) if isinstance(source, str | Path) else f"{type(source).__name__}"
        return Unreadable(picture.id, shown, decode.reason(error))


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    with contextlib.ExitStack() as stack:
        stack.callback(cv2.setNumThreads, before)
        yield
