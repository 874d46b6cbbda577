"""From image files to two memmaps: decoded once, prepared once per image setting.

Owns: decoding, facts about every image, resizing. Does not own which images there are
(`competition.py`) nor augmentation (`augment.py`).

    decoded/decoded.bin   all pixels back to back, RGB, longest side ≤ cache_px
            index.npz     ids, offsets, heights, widths
            facts.csv     id, width, height, sha256, phash, brightness, contrast, blur
    prepared.npy          (N, S, S, 3), and prepared.ids.npy beside it

Shape legend: N images, H height, W width, S side of the square a model sees; pixels are uint8, RGB.
Memory does not grow with N: images are read in small chunks and written one after the other. Files are
written plainly and not through a memmap, because a full disk would kill the process there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageOps
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.types import Samples, Strings, positions, refuse_duplicates, strings
from pipeline.settings.schema import ImageSettings

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")

WHITE = 255
SIXTEEN_TO_EIGHT = 65535 / 255
CHUNK = 64
# What Pillow raises for files that are no image, are cut off or lie about themselves.
UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
HASH_SIDE, HASH_LOW = 32, 8


@dataclass(frozen=True)
class ImageFacts:
    """What is known of one image without a model.

    Args:
        id: the sample's id.
        width, height: of the upright original, px.
        sha256: of the file's bytes; equal for exact duplicates.
        phash: 64-bit perceptual hash as 16 hex digits; near duplicates differ in few bits.
        brightness: mean grey value, 0 to 255.
        contrast: standard deviation of the grey values, 0 to 127.5.
        blur: variance of the Laplacian; the lower, the more blurred.
    """

    id: str
    width: int
    height: int
    sha256: str
    phash: str
    brightness: float
    contrast: float
    blur: float


class DecodedImages:
    """The decoded images of a folder that `build_decoded` wrote, by id.

    Raises:
        FileNotFoundError: the folder holds no decoded images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with np.load(folder / "index.npz") as index:
            self.ids = strings(index["ids"])
            self._offsets = index["offsets"]
            self._heights = index["heights"]
            self._widths = index["widths"]
        self._pixels: Pixels = np.memmap(folder / "decoded.bin", dtype=np.uint8, mode="r")
        self._at = {str(name): i for i, name in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __getitem__(self, name: str) -> Pixels:
        """(H, W, 3) read-only pixels of one image."""
        i = self._at[name]
        start, height, width = int(self._offsets[i]), int(self._heights[i]), int(self._widths[i])
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def read(self, name: str) -> Pixels:
        """(H, W, 3) pixels of one image, copied from the file.

        For whoever looks at every image: pages of the map would count as memory of this process.
        """
        i = self._at[name]
        start, height, width = int(self._offsets[i]), int(self._heights[i]), int(self._widths[i])
        pixels = np.fromfile(self.folder / "decoded.bin", np.uint8, height * width * 3, offset=start)
        return pixels.reshape(height, width, 3)

    def facts(self) -> pd.DataFrame:
        """The facts of every image, a row each, in the order of `ids`; see `ImageFacts`."""
        words = {"id": str, "sha256": str, "phash": str}
        return pd.read_csv(self.folder / "facts.csv", dtype=words, keep_default_na=False)


@dataclass(frozen=True)
class PreparedImages:
    """Images as a model sees them.

    Args:
        ids_N: unique.
        x_NHWC: (N, S, S, 3), usually a memmap.
    """

    ids_N: Strings
    x_NHWC: Pixels

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids_N", strings(self.ids_N))
        refuse_duplicates(self.ids_N, "prepared images")
        assert len(self.ids_N) == len(self.x_NHWC), "ids and prepared images differ in number"

    @staticmethod
    def open(path: Path) -> PreparedImages:
        """What `build_prepared` wrote to `path`, mapped and not read."""
        return PreparedImages(np.load(_ids_path(path)), np.load(path, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.ids_N)

    def take(self, ids: Strings) -> Pixels:
        """(n, S, S, 3) images of `ids`, in that order, read into memory."""
        return np.asarray(self.x_NHWC[positions(ids, self.ids_N, "prepared images")])


def decode(path: Path, cache_px: int) -> Pixels:
    """(H, W, 3) pixels of an image file: upright, on white, longest side ≤ `cache_px`.

    EXIF orientation is applied; transparency is laid on white; palettes, grey, 16-bit grey, bilevel and
    CMYK become RGB; an animation gives its first picture. Smaller images keep their size.

    Raises:
        DataError: the file is missing, no image, or cut off.
    """
    try:
        with _quiet_pillow():
            return _shrink(_pixels(path.read_bytes()), cache_px)
    except UNDECODABLE as error:
        raise DataError(f"{path}: does not decode: {_reason(error)}", remedy=_REMEDY) from error


def build_decoded(splits: Sequence[Samples], folder: Path, cache_px: int, label: str = "decode") -> None:
    """Decode every image once into `folder`, in the order of `splits`, and note its facts.

    Args:
        splits: no id may occur in two of them.
        folder: exists; gets decoded.bin, index.npz and facts.csv.
        cache_px: longest side kept, px.
        label: of the progress bar.

    Raises:
        DataError: images that do not decode (all of them are named), or an id that occurs twice.
    """
    ids = np.concatenate([s.ids_N for s in splits])
    refuse_duplicates(ids, "images")
    jobs = list(zip(ids.tolist(), np.concatenate([s.paths_N for s in splits]).tolist(), strict=True))

    def work(job: tuple[str, str]) -> tuple[ImageFacts, Pixels] | str:
        try:
            return _one(*job, cache_px)
        except UNDECODABLE as error:
            return f"{job[1]} (id {job[0]}): {_reason(error)}"

    shapes: list[tuple[int, int]] = []
    faults: list[str] = []
    with (
        (folder / "decoded.bin").open("wb") as pixels,
        (folder / "facts.csv").open("w", encoding="utf-8", newline="") as table,
    ):
        facts = csv.writer(table, lineterminator="\n")
        facts.writerow([f.name for f in fields(ImageFacts)])
        for done in _in_threads(work, jobs, label):
            if isinstance(done, str):
                faults.append(done)
                continue
            facts.writerow(astuple(done[0]))
            pixels.write(done[1].tobytes())
            shapes.append(done[1].shape[:2])
    if faults:
        raise DataError(f"{len(faults)} images do not decode", faults, _REMEDY)
    heights, widths = np.array(shapes, dtype=np.int64).reshape(-1, 2).T
    offsets = np.cumsum(np.r_[0, heights * widths * 3])[:-1]
    np.savez(folder / "index.npz", ids=ids, offsets=offsets, heights=heights, widths=widths)


def resize(image: Pixels, size: int, how: str) -> Pixels:
    """(S, S, 3) pixels: `size` on both sides.

    Args:
        image: (H, W, 3).
        size: S, px.
        how: squash stretches both sides; letterbox pads with white; cover crops the middle.
    """
    height, width = image.shape[:2]
    if how == "squash":
        return _scaled(image, size, size)
    if how == "cover":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scaled(image[top : top + side, left : left + side], size, size)
    assert how == "letterbox", f"unknown way to resize: {how}"
    scale = size / max(height, width)
    inner = _scaled(image, max(round(height * scale), 1), max(round(width * scale), 1))
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    canvas = np.full((size, size, 3), WHITE, np.uint8)
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def build_prepared(decoded: DecodedImages, ids: Strings, settings: ImageSettings, path: Path) -> None:
    """Resize the images of `ids` into one (N, S, S, 3) .npy file, with the ids beside it.

    Args:
        decoded: where the pixels come from.
        ids: which images, in which order.
        settings: size and way of resizing.
        path: ends in .npy.
    """
    shape = (len(ids), settings.size, settings.size, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        bar = tqdm(ids, desc="prepare", unit="img", disable=not sys.stderr.isatty())
        for name in bar:
            file.write(resize(decoded[str(name)], settings.size, settings.resize).tobytes())
    np.save(_ids_path(path), strings(ids))


_REMEDY = "replace these files, or take their rows out of the tables"


def _ids_path(path: Path) -> Path:
    return path.with_suffix(".ids.npy")


def _one(name: str, path: str, cache_px: int) -> tuple[ImageFacts, Pixels]:
    raw = Path(path).read_bytes()
    original = _pixels(raw)
    pixels = _shrink(original, cache_px)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    facts = ImageFacts(
        id=name,
        width=original.shape[1],
        height=original.shape[0],
        sha256=hashlib.sha256(raw).hexdigest(),
        phash=_phash(grey),
        brightness=round(float(grey.mean()), 3),
        contrast=round(float(grey.std()), 3),
        blur=round(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 3),
    )
    return facts, pixels


def _pixels(raw: bytes) -> Pixels:
    with Image.open(io.BytesIO(raw)) as file:
        file.load()
        return np.asarray(_rgb(ImageOps.exif_transpose(file)))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # 16 bits to 8. Pillow's own conversion would clip everything above 255 to white.
        grey = np.round(np.asarray(image).astype(np.float64) / SIXTEEN_TO_EIGHT).clip(0, WHITE)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")
    return image.convert("RGB")


def _shrink(image: Pixels, longest_px: int) -> Pixels:
    height, width = image.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return image
    return _scaled(image, max(round(height * scale), 1), max(round(width * scale), 1))


def _scaled(image: Pixels, height: int, width: int) -> Pixels:
    if image.shape[:2] == (height, width):
        return image
    # Area averages when there is more than enough; cubic invents the least when there is too little.
    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def _phash(grey: Pixels) -> str:
    """pHash: signs of the low DCT frequencies against their median, https://www.phash.org."""
    small = cv2.resize(grey, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_LOW, :HASH_LOW].ravel()
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    # Pillow's text names the memory buffer that it was given.
    return "not an image" if "BytesIO" in str(error) else str(error) or type(error).__name__


def _in_threads(work: Callable[[T], R], jobs: Sequence[T], label: str) -> Iterator[R]:
    """Results in order; at most `CHUNK` of them are waiting at a time."""
    bar = tqdm(total=len(jobs), desc=label, unit="img", disable=not sys.stderr.isatty())
    with _quiet_pillow(), _one_opencv_thread(), ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for start in range(0, len(jobs), CHUNK):
            for done in pool.map(work, jobs[start : start + CHUNK]):
                bar.update()
                yield done


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """One OpenCV thread for each of ours, or they would fight over the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow warns of odd metadata and large images; the pixels are right all the same.

    Entered around the threads and not inside: warning filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\..*")
        yield
