"""From image files to two memmaps: decoded once, prepared once per image setting.

Owns: keeping decoded images and their facts, continuing after a kill, and building what models see.
Does not own which images there are (`data/competition.py`), reading one file (`data/decode.py`), nor what a
prepared image is made of (`data/preprocess.py`).

    decoded/decoded.bin     all pixels back to back, RGB or `images.channels`, longest side ≤ cache_px
            index.npz       ids, offsets, heights, widths; channels if they are not 3
            facts.csv       id, width, height, sha256, phash, brightness, contrast, blur
            quarantine.csv  split, id, path, why, fate: what did not decode, or only in part
    prepared.npy            (N, H, W, C), and prepared.ids.npy beside it

Shape legend: N images, H height, W width, C channels; pixels are uint8, RGB unless `images.channels` says
otherwise.
Memory does not grow with N: images are read in small chunks and written one after the other. Files are
written plainly and not through a memmap, because a full disk would kill the process there.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.errors import DataError, StorageError
from pipeline.core.samples import Ints, Samples, Strings, positions, refuse_duplicates, strings
from pipeline.core.seeds import some_of
from pipeline.core.terminal import bar_of
from pipeline.data import decode, depth, detail, several
from pipeline.data.channels import RGB
from pipeline.data.decode import Decoding, ImageFacts, Pixels, Size
from pipeline.record import files

T = TypeVar("T")
R = TypeVar("R")

LookOf = Callable[[str, Pixels], Sequence[Pixels]]

CHUNK = 64
MEASURED = 2000
BIN, OTHER_BIN, JOURNAL, QUARANTINE = "decoded.bin", "other.bin", "journal.jsonl", "quarantine.csv"
# The treatment of an image that does not decode, or only in part.
WHITE_IMAGE, IN_PART = "white", "in part"


@dataclass(frozen=True)
class Faulty:
    """An image that does not decode, or only in part.

    Args:
        fate: `white` (replaced by a white square) or `in part` (a truncated file, used as far as possible).
    """

    split: str
    id: str
    path: str
    why: str
    fate: str


class DecodedImages:
    """The decoded images of a folder that `build_decoded` wrote, by id.

    Raises:
        FileNotFoundError: the folder holds no decoded images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with np.load(folder / "index.npz") as index:
            self.ids = strings(index["ids"])
            self._places = [index[name] for name in ("offsets", "heights", "widths")]
            self.channels = int(index["channels"]) if "channels" in index.files else RGB
            self._bin_N = index["bins"] if "bins" in index.files else np.zeros(len(self.ids), np.int64)
        self._bins = [folder / name for name in (BIN, OTHER_BIN) if (folder / name).is_file()]
        self._pixels: list[Pixels] = [_mapped(path) for path in self._bins]
        self._at = {str(name): i for i, name in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def _place(self, name: str) -> tuple[int, int, int]:
        start, height, width = (int(column[self._at[name]]) for column in self._places)
        return start, height, width

    def __getitem__(self, name: str) -> Pixels:
        """(H, W, C) read-only pixels of one image."""
        start, height, width = self._place(name)
        pixels = self._pixels[int(self._bin_N[self._at[name]])]
        return pixels[start : start + height * width * self.channels].reshape(height, width, self.channels)

    def read(self, name: str) -> Pixels:
        """(H, W, C) pixels of one image, copied from the file.

        For reading every image: pages of the map would count as memory of this process.
        """
        start, height, width = self._place(name)
        count, place = height * width * self.channels, self._bins[int(self._bin_N[self._at[name]])]
        return np.fromfile(place, np.uint8, count, offset=start).reshape(height, width, self.channels)

    def facts(self) -> pd.DataFrame:
        """The facts of every image, one row each, in the order of `ids`; see `ImageFacts`."""
        words = {"id": str, "sha256": str, "phash": str}
        return pd.read_csv(self.folder / "facts.csv", dtype=words, keep_default_na=False)

    def faulty(self) -> list[Faulty]:
        """The images that did not decode, or only in part."""
        with (self.folder / QUARANTINE).open(encoding="utf-8", newline="") as file:
            return [Faulty(**row) for row in csv.DictReader(file)]


def _mapped(path: Path) -> Pixels:
    # An empty file cannot be mapped.
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"), dtype=np.uint8)


def join(folder: Path, other: Path, order: Sequence[str]) -> None:
    """Add the decoded images of another folder to those of `folder`, with all ids in this order.

    The pixels of the other folder are not copied: its file gets a second name, `other.bin`.
    """
    files.link(other / BIN, folder / OTHER_BIN)
    columns: dict[str, list[Any]] = {name: [] for name in ("ids", "offsets", "heights", "widths", "bins")}
    facts: list[list[str]] = []
    faults: list[list[str]] = []
    for number, part in enumerate((folder, other)):
        with np.load(part / "index.npz") as index:
            for name in ("ids", "offsets", "heights", "widths"):
                columns[name] += index[name].tolist()
            columns["bins"] += [number] * len(index["ids"])
        # Below the line of names.
        facts += _lines(part / "facts.csv")[1:]
        faults += _lines(part / QUARANTINE)[1:]
    at = {name: k for k, name in enumerate(columns["ids"])}
    place = {name: k for k, name in enumerate(order)}
    chosen = [at[name] for name in order]
    faults.sort(key=lambda row: place[f"{row[0]}/{row[1]}"])
    _write_rows(folder / "facts.csv", [[f.name for f in fields(ImageFacts)], *(facts[k] for k in chosen)])
    _write_rows(folder / QUARANTINE, [[f.name for f in fields(Faulty)], *faults])
    offsets, heights, widths, bins = (
        np.array(columns[name], np.int64)[chosen] for name in ("offsets", "heights", "widths", "bins")
    )
    index_of = {"ids": strings(list(order)), "offsets": offsets, "heights": heights, "widths": widths}
    channels = DecodedImages(other).channels
    np.savez(folder / "index.npz", allow_pickle=False, **index_of, **_other_channels(channels), bins=bins)


def _other_channels(channels: int) -> dict[str, Any]:
    """The number of channels for an index; none for three, so that such files are as they always were."""
    return {} if channels == RGB else {"channels": np.array(channels)}


def _lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@dataclass(frozen=True)
class PreparedImages:
    """Images as they are prepared for a model.

    Args:
        ids_N: unique.
        x_NHWC: (N, H, W, C), usually a memmap.
        channels: of one image; C is a multiple, see `data/several.py`.
        beside_NE: metadata of each sample as numbers, NaN where one is missing; None: there is none.
        hw: height and width of what a model sees, px; None: H and W. Smaller than them with
            `images.store_px`, see `data/detail.py`.
    """

    ids_N: Strings
    x_NHWC: Pixels
    channels: int = RGB
    beside_NE: npt.NDArray[np.float32] | None = None
    hw: Size | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        refuse_duplicates(self.ids_N, "prepared images")
        assert len(self.ids_N) == len(self.x_NHWC), "ids and prepared images differ in number"

    @staticmethod
    def open(path: Path, channels: int = RGB) -> PreparedImages:
        """The images that `build_prepared` wrote to `path`, as a memory map."""
        return PreparedImages(np.load(_ids_path(path)), np.load(path, mmap_mode="r"), channels)

    def __len__(self) -> int:
        return len(self.ids_N)

    def take(self, ids: Strings) -> Pixels:
        """(n, H, W, C) images of `ids`, in that order, read into memory."""
        return np.asarray(self.x_NHWC[positions(ids, self.ids_N, "prepared images")])

    def seen(self, at_B: Ints) -> Pixels:
        """(B, h, w, C) the images at these positions, as a model sees them without any change."""
        size = detail.hw_of(self)
        rows = (np.array(self.x_NHWC[at]) for at in at_B)
        return np.stack(
            [several.each(row, self.channels, lambda x, _: detail.reduced(x, size)) for row in rows]
        )


@dataclass(frozen=True)
class _Image:
    """One image to decode."""

    split: str
    id: str
    path: str


def build_decoded(splits: Sequence[Samples], folder: Path, how: Decoding, work: Path | None = None) -> int:
    """Decode every image once into `folder`, in the order of `splits`, with its facts.

    An image that does not decode becomes a white square and a row of quarantine.csv; the caller decides
    whether that is an error. A killed call continues from `work` at the last complete chunk.

    Args:
        splits: no id may occur in two of them.
        folder: exists; gets decoded.bin, index.npz, facts.csv and quarantine.csv.
        how: limits, and whether truncated files are used; the same as in the killed call.
        work: exists, on the disk of `folder`; None: nothing of a killed call is kept.

    Returns:
        How many images an earlier, killed call had decoded.

    Raises:
        DataError: an id that occurs twice.
        StorageError: the memory ended while a large image was decoded.
    """
    jobs: list[_Image] = []
    for s in splits:
        jobs += [_Image(s.split, *image) for sample in several.of(s) for image in sample]
    refuse_duplicates(strings([job.id for job in jobs]), "images")
    work = work or folder
    chunks = _resume(work)
    before = sum(len(c["facts"]) for c in chunks)
    with (work / BIN).open("ab") as pixels, (work / JOURNAL).open("a", encoding="utf-8") as journal:
        for done in _in_threads(_strictly(how), jobs, "decode", before):
            chunk = _chunk(done, jobs[sum(len(c["facts"]) for c in chunks) :], how, pixels)
            _sync(pixels)
            journal.write(json.dumps({**chunk, "end": pixels.tell()}) + "\n")
            _sync(journal)
            chunks.append(chunk)
    (work / BIN).replace(folder / BIN)
    (work / JOURNAL).unlink()
    _write_tables(folder, chunks, how.channels)
    return before


def measured(paths: Sequence[str], how: Decoding) -> dict[str, tuple[float, float]]:
    """Kind of values -> (black, white) of these images; empty if none has more than 8 bits a channel.

    All headers are read, and the values of at most `MEASURED` images of each kind.
    """
    headers = _in_threads(lambda path: decode.kind_of(path, how), paths, "headers")
    kinds = [kind for chunk in headers for kind in chunk]
    some: list[str] = []
    for kind in sorted({*kinds} - {""}):
        own = [path for path, of in zip(paths, kinds, strict=True) if of == kind]
        some += [own[n] for n in some_of(len(own), MEASURED)]
    found = _in_threads(lambda path: decode.ends_of(path, how), some, "values")
    return depth.measured(ends for chunk in found for ends in chunk if ends is not None)


Done = tuple[ImageFacts, Pixels, str] | str


def _strictly(how: Decoding) -> Callable[[_Image], Done]:
    """A function that decodes one image in a thread; truncated files are retried later, outside threads."""
    strict = replace(how, truncated=False)

    def work(job: _Image) -> Done:
        try:
            return decode.read(job.id, job.path, strict)
        except (StorageError, DataError):
            raise
        except decode.UNDECODABLE as error:
            return decode.reason(error)

    return work


def _chunk(done: list[Done], jobs: list[_Image], how: Decoding, pixels: Any) -> dict[str, Any]:
    """Write the pixels of one chunk; returns its facts, shapes and faults for the journal."""
    chunk: dict[str, Any] = {"facts": [], "shapes": [], "faults": []}
    for result, job in zip(done, jobs, strict=False):
        facts, image, faulty = _retried(result, job, how)
        pixels.write(image.tobytes())
        chunk["facts"].append(astuple(facts))
        chunk["shapes"].append(image.shape[:2])
        chunk["faults"] += [asdict(faulty)] if faulty else []
    return chunk


def _retried(result: Done, job: _Image, how: Decoding) -> tuple[ImageFacts, Pixels, Faulty | None]:
    if not isinstance(result, str):
        return result[0], result[1], None
    if how.truncated:
        # If no part of it can be used, the first reason is kept.
        with contextlib.suppress(*decode.UNDECODABLE):
            facts, image, remark = decode.read(job.id, job.path, how)
            return facts, image, _faulty(job, remark, IN_PART)
    return *decode.placeholder(job.id, job.path, how.channels), _faulty(job, result, WHITE_IMAGE)


def _faulty(job: _Image, why: str, fate: str) -> Faulty:
    # These ids contain their split; people know the image without it.
    return Faulty(job.split, job.id.removeprefix(f"{job.split}/"), job.path, why, fate)


def _resume(work: Path) -> list[dict[str, Any]]:
    """The complete chunks of a killed call; anything after them is cut off."""
    chunks = []
    if (work / JOURNAL).is_file() and (work / BIN).is_file():
        size = (work / BIN).stat().st_size
        for line in (work / JOURNAL).read_text(encoding="utf-8").splitlines():
            try:
                chunk = json.loads(line)
            except ValueError:
                break  # the line that was being written
            if chunk["end"] > size:
                break
            chunks.append(chunk)
    (work / JOURNAL).write_text("".join(json.dumps(c) + "\n" for c in chunks), encoding="utf-8")
    with (work / BIN).open("ab") as pixels:
        pixels.truncate(chunks[-1]["end"] if chunks else 0)
    return chunks


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write_tables(folder: Path, chunks: Sequence[dict[str, Any]], channels: int) -> None:
    with (folder / "facts.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([f.name for f in fields(ImageFacts)])
        table.writerows(row for chunk in chunks for row in chunk["facts"])
    with (folder / QUARANTINE).open("w", encoding="utf-8", newline="") as file:
        faults = csv.DictWriter(file, [f.name for f in fields(Faulty)], lineterminator="\n")
        faults.writeheader()
        faults.writerows(row for chunk in chunks for row in chunk["faults"])
    ids = strings([row[0] for chunk in chunks for row in chunk["facts"]])
    shapes = np.array([s for chunk in chunks for s in chunk["shapes"]], dtype=np.int64).reshape(-1, 2)
    heights, widths = shapes.T
    offsets = np.cumsum(np.r_[0, heights * widths * channels])[:-1]
    more = _other_channels(channels)
    np.savez(folder / "index.npz", ids=ids, offsets=offsets, heights=heights, widths=widths, **more)


def build_prepared(
    decoded: DecodedImages, names: Sequence[Sequence[str]], look: LookOf, size: Size, path: Path, most: int
) -> None:
    """Samples as models see them, in one (N, H, W, C) .npy file, with their ids beside it.

    Args:
        decoded: the source of the pixels.
        names: of the images of each sample, in order; the first is the id of the sample.
        look: from an id and its decoded pixels to (H, W, C) pixels, of one or of several tiles; called from
            several threads.
        size: H and W, px.
        path: ends in .npy.
        most: images of a sample; those of one with fewer are followed by nothing, see `data/several.py`.
    """
    shape = (*size, most * decoded.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *shape)}

    def seen(own: Sequence[str]) -> Pixels:
        pictures = [picture for name in own for picture in look(name, decoded[name])]
        return pictures[0] if most == 1 else several.stacked(pictures, most)

    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in _in_threads(seen, names, "prepare"):
            for image in chunk:
                assert image.shape == shape, f"expected {shape}, got {image.shape}"
                file.write(image.tobytes())
    np.save(_ids_path(path), strings([own[0] for own in names]))


def _ids_path(path: Path) -> Path:
    return path.with_suffix(".ids.npy")


def _in_threads(work: Callable[[T], R], jobs: Sequence[T], label: str, start: int = 0) -> Iterator[list[R]]:
    """Results in order, a chunk at a time, from job `start` on."""
    bar = bar_of(label, "img", total=len(jobs), done=start)
    with decode.pillow(), _one_opencv_thread(), ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for begin in range(start, len(jobs), CHUNK):
            done = list(pool.map(work, jobs[begin : begin + CHUNK]))
            bar.update(len(done))
            yield done


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """One OpenCV thread for each of ours, so that they do not compete for the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
