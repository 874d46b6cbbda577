"""From one image file to upright RGB pixels and the facts about it; and changing the size of an image.

Owns: every format a phone or a scraper leaves, limits against files that lie about their size, what is known
of a file without a model, and the three ways to fit an image into the size that a model gets (interpolation,
padding, cutting to a shape). Does not own where pixels are kept (`data/images.py`), which part of an image
is kept before resizing (`data/crop.py`) nor what its pixels become (`data/preprocess.py`).

Legend: H height, W width; pixels are uint8, RGB.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from pipeline.core.errors import DataError
from pipeline.settings.images import ImageSettings

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

WHITE = 255
SIXTEEN_TO_EIGHT = 65535 / 255
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
HASH_SIDE, HASH_LOW = 32, 8
PLACEHOLDER_PX = 32
HEIC = "an iPhone's HEIC, which is not supported: convert it to JPEG first"
REMEDY = "replace these files, or remove their rows from the tables"
# Exceptions of Pillow for files that are not images, are truncated or have a false header.
UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@dataclass(frozen=True)
class ImageFacts:
    """Facts about one image that need no model.

    Args:
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


@dataclass(frozen=True)
class Decoding:
    """How files are read.

    Args:
        cache_px: longest side kept, px.
        max_pixels: files that declare more are refused before a pixel is read.
        truncated: truncated files are used as far as they can be read.
    """

    cache_px: int
    max_pixels: float = 180e6
    truncated: bool = False

    @staticmethod
    def of(settings: ImageSettings) -> Decoding:
        """From the settings."""
        return Decoding(settings.cache_px, settings.max_megapixels * 1e6, settings.truncated == "allow")


def decode(path: Path, how: Decoding) -> Pixels:
    """(H, W, 3) pixels of an image file: upright, on white, longest side ≤ `how.cache_px`.

    EXIF orientation is applied; transparency is drawn on white; palettes, grey, 16-bit grey, bilevel and
    CMYK become RGB; an animation gives its first picture. Smaller images keep their size.

    Raises:
        DataError: the file is missing, not an image, truncated, or larger than the limit.
    """
    with pillow():
        try:
            return read("", str(path), how)[1]
        except UNDECODABLE as error:
            raise DataError(f"{path}: does not decode: {reason(error)}", remedy=REMEDY) from error


def read(name: str, path: str, how: Decoding) -> tuple[ImageFacts, Pixels, str]:
    """Facts, pixels and a remark ("" or why it is used only in part) of one image; enter `pillow()` first.

    In threads only with `how.truncated` off, because Pillow's switch for it is global.

    Raises:
        OSError, ValueError and the others of `UNDECODABLE`: it is not decoded.
    """
    raw = Path(path).read_bytes()
    remark = ""
    try:
        size, pixels = pixels_of(raw, how)
    except UNDECODABLE as error:
        if not how.truncated:
            raise
        remark = f"truncated, used as far as it can be read: {reason(error)}"
        with _accept_truncated():
            size, pixels = pixels_of(raw, how)
    return facts_of(name, raw, size, pixels), pixels, remark


def placeholder(name: str, path: str) -> tuple[ImageFacts, Pixels]:
    """A white square in place of an image that does not decode."""
    white = np.full((PLACEHOLDER_PX, PLACEHOLDER_PX, 3), WHITE, np.uint8)
    try:
        raw = Path(path).read_bytes()
    except OSError:
        raw = b""
    return facts_of(name, raw, (PLACEHOLDER_PX, PLACEHOLDER_PX), white), white


def facts_of(name: str, raw: bytes, size: tuple[int, int], pixels: Pixels) -> ImageFacts:
    """Facts of an image from its file's bytes, its upright (width, height) and its kept pixels."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return ImageFacts(
        id=name,
        width=size[0],
        height=size[1],
        sha256=hashlib.sha256(raw).hexdigest(),
        phash=phash(grey),
        brightness=round(float(grey.mean()), 3),
        contrast=round(float(grey.std()), 3),
        blur=round(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 3),
    )


def kept_bytes(path: str, cache_px: int) -> int:
    """Bytes of an image once it is decoded, from its header; 0 if that cannot be read."""
    try:
        with Image.open(path) as file:
            width, height = file.size
    except UNDECODABLE:
        return 0
    scale = min(cache_px / max(width, height, 1), 1)
    return round(width * scale) * round(height * scale) * 3


def reason(error: Exception) -> str:
    """Why an image does not decode, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    # Pillow's message contains the memory buffer instead of the file.
    return "not an image" if "BytesIO" in str(error) else str(error) or type(error).__name__


@contextmanager
def pillow() -> Iterator[None]:
    """Pillow without its warnings and with our limit in place of its own.

    Enter it around threads and not inside, because both are global. Pillow warns about unusual metadata and
    large images; the pixels are correct anyway.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\..*")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _accept_truncated() -> Iterator[None]:
    """Pillow accepts truncated files. Its switch is global: not for threads."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def pixels_of(raw: bytes, how: Decoding) -> tuple[tuple[int, int], Pixels]:
    """((width, height) of the upright original, pixels with longest side ≤ `cache_px`); see `read`."""
    if not raw:
        raise ValueError("the file is empty")
    if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        raise ValueError(HEIC)
    with Image.open(io.BytesIO(raw)) as file:
        width, height = file.size
        if width * height > how.max_pixels:
            raise ValueError(
                f"declares {width} × {height} px, more than images.max_megapixels="
                f"{how.max_pixels / 1e6:g} allows: a decompression bomb?"
            )
        # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is still larger than `cache_px`.
        file.draft(None, (how.cache_px, how.cache_px))
        file.load()
        turned = file.getexif().get(ORIENTATION) in ON_ITS_SIDE
        pixels = np.asarray(_rgb(ImageOps.exif_transpose(file)))
    return (height, width) if turned else (width, height), _shrink(pixels, how.cache_px)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # 16 bits to 8. Pillow's own conversion would clip everything above 255 to white.
        grey = np.round(np.asarray(image).astype(np.float64) / SIXTEEN_TO_EIGHT).clip(0, WHITE)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image)).clip(0, WHITE)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")
    return image.convert("RGB")


def _shrink(image: Pixels, longest_px: int) -> Pixels:
    height, width = image.shape[:2]
    scale = min(longest_px / max(height, width), 1)
    return scaled(image, max(round(height * scale), 1), max(round(width * scale), 1))


def phash(grey: Pixels) -> str:
    """pHash: signs of the low DCT frequencies against their median, https://www.phash.org."""
    small = cv2.resize(grey, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_LOW, :HASH_LOW].ravel()
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()


def scaled(image: Pixels, height: int, width: int) -> Pixels:
    """(height, width, 3) pixels, stretched."""
    if image.shape[:2] == (height, width):
        return image
    # Area averaging to shrink; cubic interpolation to enlarge.
    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def resize(image: Pixels, size: Size, how: str, finish: Callable[[Pixels], Pixels] | None = None) -> Pixels:
    """(H, W, 3) pixels of exactly `size`.

    Args:
        image: (h, w, 3).
        size: H and W, px.
        how: squash stretches both sides; letterbox pads with white; cover cuts off what does not fit.
        finish: applied to the pixels at their new size, before any padding.
    """
    done = finish or (lambda pixels: pixels)
    height, width = size
    if how == "squash":
        return done(scaled(image, height, width))
    if how == "cover":
        return done(scaled(_middle(image, size), height, width))
    assert how == "letterbox", f"unknown way to resize: {how}"
    scale = min(height / image.shape[0], width / image.shape[1])
    inner_h = min(max(round(image.shape[0] * scale), 1), height)
    inner_w = min(max(round(image.shape[1] * scale), 1), width)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas = np.full((height, width, 3), WHITE, np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = done(scaled(image, inner_h, inner_w))
    return canvas


def _middle(image: Pixels, size: Size) -> Pixels:
    """The largest middle part of an image with the shape of `size`."""
    height, width = image.shape[:2]
    wanted = size[0] / size[1]
    keep_h = min(height, max(round(width * wanted), 1))
    keep_w = min(width, max(round(height / wanted), 1))
    top, left = (height - keep_h) // 2, (width - keep_w) // 2
    return image[top : top + keep_h, left : left + keep_w]
