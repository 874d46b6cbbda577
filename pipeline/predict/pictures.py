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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError, StorageError
from pipeline.core.plugin import Own
from pipeline.core.sample_paths import files_of, images_of
from pipeline.core.tables import Table, read_table
from pipeline.core.wording import worded
from pipeline.data import crop, decode, sample_files, several
from pipeline.data.crop import CropPlan, Key, UsualBoxes
from pipeline.data.decode import Decoding, Pixels
from pipeline.data.depth import Ranges
from pipeline.data.layouts import Listing
from pipeline.data.paths import Faults, images_below, nfc
from pipeline.data.preprocess import Look, OwnPreprocessing, Preprocessor
from pipeline.data.readers import frames
from pipeline.data.readers.reading import Reading, parts
from pipeline.data.readers.texts import READERS
from pipeline.predict import beside, folder, texts
from pipeline.record import files
from pipeline.settings.images import CropSettings, ImageSettings, PreprocessSettings

One = str | Path | bytes | npt.NDArray[Any]
Source = One | tuple[One, ...]
# Faults of a table without which nothing can be predicted; the others are about single images.
UNUSABLE = ("unreadable images", "empty ids", "samples with several values", "samples with many images")
# Columns of a table that name files, where it has none of the competition's.
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
GROUP_COLUMN = "group"


@dataclass(frozen=True)
class Picture:
    """An image to predict.

    Args:
        id: of its prediction.
        source: a path (of a file, or of an image inside one of several, `file.hdf5::name`; of several files
            as in `core/sample_paths.py`), the bytes of an image file, an array of values, (H, W) or
            (H, W, C), or a tuple of these: several images of one sample.
        group: images of one group belong together, e.g. photos of one person; empty: none is known.
        metadata: the cells of the columns that members read beside the image.
    """

    id: str
    source: Source
    group: str = ""
    metadata: tuple[str, ...] = ()


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
    if isinstance(source, tuple):
        return bool(source) and all(isinstance(one, str | Path | bytes | np.ndarray) for one in source)
    return isinstance(source, str | Path | bytes | np.ndarray)


def _images(source: Source) -> list[One]:
    """The images of one sample."""
    if isinstance(source, tuple):
        return list(source)
    return list(images_of(str(source))) if isinstance(source, str | Path) else [source]


def below(where: Path, source: folder.Source, reading: Reading) -> list[Picture]:
    """All images below a folder, in the order of their names; the id is the path below it.

    Raises:
        DataError: there are none, or a sample has several files, which a folder does not show.
    """
    if source.images_per_sample is not None or source.channel_files:
        raise DataError(texts.FOLDER_OF_SEVERAL.format(where=where), remedy=texts.FOLDER_OF_SEVERAL_REMEDY)
    there = images_below(where)
    # Links that lead nowhere are named like images that do not decode.
    found = sorted([*there.images, *there.broken], key=nfc)
    if not there.images:
        raise DataError(texts.NO_IMAGES.format(where=where), left_out(where), texts.NO_IMAGES_REMEDY)
    if reading.pages == "images":
        return [Picture(nfc(name), sample_files.with_pages(str(where / name))) for name in found]
    return [Picture(nfc(name), where / name) for name in found]


def of_table(
    table: Path,
    root: Path | None,
    source: folder.Source,
    reading: Reading,
    metadata: Sequence[folder.Metadata] = (),
) -> list[Picture]:
    """The images that a table lists, as the competition's own test table is read.

    Args:
        table: a CSV: a column of ids, of paths, or both; groups where it has the competition's column of
            them, or one called `group`.
        root: where its files lie, a folder or a file of several images; None: the table's folder.
        source: the columns and files of a sample, as in the competition.
        reading: how files of several images are read.
        metadata: the columns that members read beside the images.

    A file that is not there is no error: its image does not decode.

    Raises:
        DataError: the table is malformed, no column names images, an id occurs twice, columns of metadata are
            missing or hold no numbers, or the file of several images cannot be read.
    """
    read = read_table(table, encoding=reading.encoding)
    return of_rows(read, (table,), root or table.parent, source, reading, metadata)


def left_out(folder: Path) -> list[str]:
    """Files below a folder that people take for images, and that nothing here reads; a line for each kind."""
    kinds: dict[tuple[str, str], int] = {}
    for name in images_below(folder).others:
        kind = READERS.get(Path(name).suffix.lower())
        if kind is not None:
            kinds[kind] = kinds.get(kind, 0) + 1
    return [worded(texts.LEFT_OUT, files=n, kind=what, remedy=remedy) for (what, remedy), n in kinds.items()]


def not_listed(folder: Path, given: Sequence[Picture]) -> int:
    """How many images below a folder are those of no picture; 0 for a file of several images."""
    if not folder.is_dir():
        return 0
    named = [str(one) for picture in given for one in _images(picture.source) if isinstance(one, str | Path)]
    used = {os.path.realpath(parts(path)[0]) for name in named for path in files_of(name)}
    return sum(os.path.realpath(folder / name) not in used for name in images_below(folder).images)


def of_ids(ids: Sequence[str], root: Path, source: folder.Source, reading: Reading) -> list[Picture]:
    """The images whose files are named by their ids; `root`, `source` and `reading` as in `of_table`.

    Raises:
        DataError: as `of_table`.
    """
    rows = tuple((one,) for one in ids)
    table = Table("sample", (source.id_column,), rows, tuple(range(len(rows))))
    return of_rows(table, (), root, source, reading)


def of_rows(
    read: Table,
    files_read: tuple[Path, ...],
    root: Path,
    source: folder.Source,
    reading: Reading,
    metadata: Sequence[folder.Metadata] = (),
) -> list[Picture]:
    """The images of the rows of a table that was read from these files; else as `of_table`."""
    settings, table = source.settings, read.name
    several = settings.images_per_sample
    named = (source.path_column, *PATH_COLUMNS, source.id_column)
    path_column = next((c for c in named if c in read.columns), None)
    of_images = several.columns if several is not None else []
    if path_column is None and not (of_images and set(of_images) <= set(read.columns)):
        headline = texts.TABLE_COLUMN.format(table=table, columns=", ".join(read.columns))
        remedy = texts.TABLE_COLUMN_REMEDY.format(id=source.id_column, path=source.path_column)
        raise DataError(headline, remedy=remedy)
    if several is not None:
        read.require(tuple(several.columns or several.sample), texts.SEVERAL_REMEDY)
    path_column = path_column or read.columns[0]
    id_column = source.id_column if source.id_column in read.columns else path_column
    listing = Listing(read, root, id_column, path_column, files_read, reading=reading)
    faults = Faults()
    found = sample_files.find(listing, settings, faults)
    broken = [text for kind, text in faults.listed if kind in UNUSABLE]
    if broken:
        raise DataError(worded(texts.TABLE_FAULTS, table=table, faults=len(broken)), broken)
    listing = found.listing
    groups_of = next((c for c in (source.group_column, GROUP_COLUMN) if c in listing.table.columns), None)
    groups = listing.table.written(groups_of) if groups_of else ("",) * len(found.paths)
    cells = listing.table.written(path_column)
    ids = [nfc(cell) for cell in listing.table.written(listing.id_column)]
    own = beside.of_table(listing.table, metadata)
    rows = zip(ids, found.paths, cells, groups, own, strict=True)
    made = [Picture(name, path or _as_written(cell), group, more) for name, path, cell, group, more in rows]
    if not made:
        raise DataError(texts.NO_IMAGES.format(where=table), remedy=texts.NO_IMAGES_REMEDY)
    return _unique(made, table)


def _as_written(cell: str) -> str:
    """A path that leads out of the table's folder, if there is a file; else a name of no file."""
    return cell if Path(cell).is_absolute() and Path(cell).is_file() else cell or texts.EMPTY_CELL


def _unique(made: list[Picture], where: str) -> list[Picture]:
    twice = sorted(name for name, n in Counter(one.id for one in made).items() if n > 1)
    if twice:
        raise DataError(worded(texts.REPEATED, where=where, n=len(twice)), twice)
    return made


def refuse_many(given: Sequence[Picture], places: Sequence[int | None]) -> None:
    """Raise DataError for samples with more images than every sample of the competition has.

    `places`: for images, of each look; None: samples of the competition differ.
    """
    most = min((one for one in places if one is not None), default=None)
    if most is None:
        return
    counted = [(one.id, len(_images(one.source))) for one in given]
    faults = [worded(texts.MANY_IMAGES, id=name, images=n) for name, n in counted if n > most]
    if faults:
        headline = worded(texts.MANY_IMAGES_HEAD, samples=len(faults), most=most)
        raise DataError(headline, faults, texts.MANY_IMAGES_REMEDY)


@dataclass(frozen=True)
class Seen:
    """Pictures as members see them.

    Args:
        x_LNHWC: for each look, the (N, H, W, I · C) pixels; white where an image does not decode.
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
        places: for images in a row, where every sample has so many; None: as many as the chunk needs.
        hw: height and width of what networks see, px; None: of the look.
    """

    how: Decoding
    look: Look
    find: Any = None
    usual: UsualBoxes | None = None
    counts_boxes: bool = False
    places: int | None = 1
    hw: tuple[int, int] | None = None

    @property
    def channels(self) -> int:
        """Channels of one image."""
        return self.how.channels

    @staticmethod
    def of(home: Path, packed: folder.Look, places: int | None) -> Eye:
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
        look = Look(plan, images.stored_hw, images.resize, Preprocessor(preprocess), own, images.tiles)
        if cropping.method != "own_box" or str(cropping.boxes).endswith(".csv"):
            counts = cropping.method == "own_box"
            return Eye(how, look, counts_boxes=counts, places=places, hw=images.hw)
        usual = None
        if packed.usual is not None:
            middle, spread, limit = (packed.usual[name] for name in ("middle", "spread", "limit"))
            usual = UsualBoxes(_floats(middle), _floats(spread), float(str(limit)))
        return Eye(how, look, crop.finder(str(cropping.boxes)), usual, places=places, hw=images.hw)

    def see(self, key: Key, pixels: Pixels) -> list[Pixels]:
        """(H, W, C) what the members see of a decoded image, or of each of its tiles."""
        if self.find is None:
            return self.look.all(key, pixels)
        box = self.find(pixels)
        if box is None or (self.usual is not None and not self.usual.fits(np.array([box]))[0]):
            return self.look.all(key, pixels)
        x, y, w, h = box
        plan = replace(self.look.crop, own={key: (x, y, x + w, y + h)})
        return replace(self.look, crop=plan).all(key, pixels)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def see(pictures: Sequence[Picture], eyes: Sequence[Eye]) -> Seen:
    """A chunk of images as members see it, decoded once for each way of decoding, in threads.

    Raises:
        StorageError: the memory ended while a large image was decoded.
        ConfigError: the user's own function failed.
    """
    jobs = [(n, at, one) for n, p in enumerate(pictures) for at, one in enumerate(_images(p.source))]
    found: list[Pixels | None] = [None] * len(eyes)
    faults: dict[int, Unreadable] = {}
    with decode.pillow(), _one_opencv_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for how in {_kind(eye.how): eye.how for eye in eyes}.values():
            strict = replace(how, truncated=False)
            decoded = list(pool.map(lambda job, how=strict: _decoded(pictures[job[0]].id, job[2], how), jobs))
            for k, (n, _, one) in enumerate(jobs):
                if isinstance(decoded[k], Unreadable) and how.truncated:
                    # Pillow's switch for truncated files is global: outside threads.
                    decoded[k] = _decoded(pictures[n].id, one, how)
                if isinstance(fault := decoded[k], Unreadable):
                    faults.setdefault(n, fault)
            for number, eye in enumerate(eyes):
                if _kind(eye.how) == _kind(how):
                    made = pool.map(partial(_seen, pictures, eye), jobs, decoded)
                    found[number] = _rows(list(made), jobs, eye.places)
    counting = [eye for eye in eyes if eye.counts_boxes]
    without = sum(("test", p.id) not in eye.look.crop.own for eye in counting for p in pictures)
    rows = [x for x in found if x is not None]
    return Seen(rows, [faults[n] for n in sorted(faults)], without)


Job = tuple[int, int, One]


def _kind(how: Decoding) -> tuple[object, ...]:
    """What two ways of decoding must have in common to give the same pixels."""
    return how.cache_px, how.channels, how.truncated, how.max_pixels, how.ranges.given, how.sources.how


def _seen(pictures: Sequence[Picture], eye: Eye, job: Job, found: Pixels | Unreadable) -> list[Pixels]:
    image = decode.placeholder("", "", eye.channels)[1] if isinstance(found, Unreadable) else found
    return eye.see(("test", several.image_name(pictures[job[0]].id, job[1])), image)


def _rows(made: Sequence[list[Pixels]], jobs: Sequence[Job], places: int | None) -> Pixels:
    """(N, H, W, I · C) the images of each sample one behind the other; None: as many places as needed."""
    of_sample: dict[int, list[Pixels]] = {}
    for images, (n, _, _) in zip(made, jobs, strict=True):
        of_sample.setdefault(n, []).extend(images)
    most = max(len(images) for images in of_sample.values())
    if max(most, places or 0) == places == 1:
        return np.stack([images[0] for images in of_sample.values()])
    return np.stack([several.stacked(images, max(most, places or 1)) for images in of_sample.values()])


def _decoded(name: str, one: One, how: Decoding) -> Pixels | Unreadable:
    try:
        if isinstance(one, np.ndarray):
            framed = frames.framed(one, how.sources.how)
            return decode.of_values(framed, how)[1]
        if isinstance(one, bytes):
            return decode.pixels_of(one, how, name)[1]
        return decode.read(name, str(one), how)[1]
    except StorageError:
        raise
    except decode.UNDECODABLE as error:
        shown = str(one) if isinstance(one, str | Path) else type(one).__name__
        return Unreadable(name, shown, decode.reason(error))


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    with contextlib.ExitStack() as stack:
        stack.callback(cv2.setNumThreads, before)
        yield
