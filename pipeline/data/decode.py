"""From one image file to upright pixels and the facts about it; and changing the size of an image.

Owns: every format a phone or a scraper leaves, limits against files that lie about their size, the memory
that one image may take, what is known of a file without a model, and the three ways to fit an image into the
size that a model gets (interpolation, padding, cutting to a shape). Does not own images of more than 8 bits
(`data/depth.py`), which way up an image is (`data/upright.py`), where pixels are kept (`data/images.py`),
which part of an image is kept before resizing (`data/crop.py`) nor what its pixels become
(`data/preprocess.py`).

Colour profiles (ICC) are not applied: a pixel has the numbers that stand in the file, as in torchvision and
in Pillow's `convert`.

Legend: H height, W width, C channels; pixels are uint8, RGB unless `images.channels` says otherwise.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.core.errors import DataError, StorageError
from pipeline.core.language import _
from pipeline.core.sample_paths import files_of
from pipeline.data import depth, upright
from pipeline.data.channels import RGB, grey, stored
from pipeline.data.depth import Ranges
from pipeline.data.readers import frames, pages
from pipeline.data.readers.reading import Reading, Values, parts
from pipeline.data.readers.registry import Sources
from pipeline.engine.hardware import free_memory
from pipeline.settings.images import ImageSettings

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

WHITE = 255
HASH_SIDE, HASH_LOW = 32, 8
PLACEHOLDER_PX = 32
HEIC = _("an iPhone's HEIC, which is not supported: convert it to JPEG first")
REMEDY = _("replace these files, or remove them, and their rows where a table lists them")
# What a decoder raises for a file that is not an image, is cut off, damaged or lies about itself: anything.
# Of 24,000 mutated files, 159 raised what no decoder documents (RuntimeError, KeyError, MemoryError, …).
UNDECODABLE: tuple[type[Exception], ...] = (Exception,)
# An image of more pixels is decoded alone and made smaller strip by strip; a larger file is read alone.
LARGE_PIXELS, LARGE_BYTES = 40e6, 64e6
# Such an image is first averaged to at least this many times the size that is kept.
STILL_LARGER, STRIP_PIXELS = 2, 4e6
# Bytes of a pixel in Pillow's memory; 4 in all other modes.
PILLOW_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# JPEG 2000: the marker of the coding style, and the place of the number of levels behind it.
CODING_STYLE, LEVELS_AT = b"\xff\x52", 9
TOO_LARGE = _(
    "declares {width} × {height} px, more than images.max_megapixels={limit:g} allows: a decompression bomb?"
)
NO_MEMORY = _("{path}: the memory is too small to decode {width} × {height} px")
NO_MEMORY_REMEDY = _(
    "close other programs, replace it by a smaller copy, or refuse such files: images.max_megapixels={limit}"
)


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
        ranges: the values of images with more than 8 bits a channel that become black and white.
        channels: of decoded pixels.
        one_large: held while a large image is decoded: one at a time, because each takes gigabytes.
        sources: where the bytes or values of a path are.
    """

    cache_px: int
    max_pixels: float = 180e6
    truncated: bool = False
    ranges: Ranges = field(default_factory=Ranges)
    channels: int = RGB
    one_large: AbstractContextManager[object] = field(
        default_factory=threading.RLock, compare=False, repr=False
    )
    sources: Sources = field(default_factory=Sources, compare=False, repr=False)

    @property
    def by_image(self) -> bool:
        """Whether each image's own values say what is black and white."""
        return self.sources.how.window == "image"

    @staticmethod
    def of(settings: ImageSettings, encoding: str | None) -> Decoding:
        """From the settings; `encoding` is `competition.encoding`."""
        limit, truncated = settings.max_megapixels * 1e6, settings.truncated == "allow"
        sources = Sources(Reading.of(settings, encoding))
        ranges, channels = Ranges.of(settings), settings.channels
        return Decoding(settings.cache_px, limit, truncated, ranges, channels, sources=sources)


def decode(path: Path, how: Decoding) -> Pixels:
    """(H, W, C) pixels of an image file: upright, on white, longest side ≤ `how.cache_px`.

    EXIF orientation is applied; transparency is drawn on white; palettes, grey, 16-bit, float, bilevel and
    CMYK become RGB; an animation gives its first picture. Smaller images keep their size.

    Raises:
        DataError: the file is missing, not an image, truncated, or larger than the limit.
        StorageError: the memory ended while a large image was decoded.
    """
    with pillow():
        try:
            return read("", str(path), how)[1]
        except StorageError:
            raise
        except UNDECODABLE as error:
            raise DataError(
                _("{path}: does not decode: {reason}").format(path=path, reason=reason(error)), remedy=REMEDY
            ) from error


def read(name: str, path: str, how: Decoding) -> tuple[ImageFacts, Pixels, str]:
    """Facts, pixels and a remark ("" or why it is used only in part) of one image; enter `pillow()` first.

    In threads only with `how.truncated` off, because Pillow's switch for it is global.

    Raises:
        StorageError: the memory ended while a large image was decoded.
        Exception: it is not decoded; see `UNDECODABLE`.
    """
    large = any(key is None and Path(file).stat().st_size > LARGE_BYTES for file, key in _files(path))
    with how.one_large if large else nullcontext():
        return _read(name, path, how)


def _read(name: str, path: str, how: Decoding) -> tuple[ImageFacts, Pixels, str]:
    raw = how.sources.read(path)
    remark = ""
    if not isinstance(raw, bytes):
        size, pixels = of_values(raw, how)
        whole = f"{raw.dtype} {raw.shape} ".encode() + raw.tobytes()
        return facts_of(name, whole, size, pixels), pixels, ""
    try:
        size, pixels = pixels_of(raw, how, path)
    except StorageError:
        raise
    except UNDECODABLE as error:
        if not how.truncated:
            raise
        remark = _("truncated, used as far as it can be read: {reason}").format(reason=reason(error))
        with _accept_truncated():
            size, pixels = pixels_of(raw, how, path)
    return facts_of(name, raw, size, pixels), pixels, remark


def of_values(values: Values, how: Decoding) -> tuple[Size, Pixels]:
    """((width, height), pixels) of values that are no image file."""
    height, width = values.shape[:2]
    if width * height > how.max_pixels:
        raise ValueError(TOO_LARGE.format(width=width, height=height, limit=how.max_pixels / 1e6))
    ranges = how.ranges
    if how.by_image and frames.kind_of(values):
        ranges = Ranges.of_image(depth.ends_of_values(values))
    return (width, height), _shrink(frames.pixels(values, ranges, how.channels), how.cache_px)


def placeholder(name: str, path: str, channels: int = RGB) -> tuple[ImageFacts, Pixels]:
    """A white square in place of an image that does not decode."""
    white = np.full((PLACEHOLDER_PX, PLACEHOLDER_PX, channels), WHITE, np.uint8)
    own = _files(path)
    try:
        raw = Path(own[0][0]).read_bytes() if len(own) == 1 and own[0][1] is None else path.encode()
    except OSError:
        raw = b""
    return facts_of(name, raw, (PLACEHOLDER_PX, PLACEHOLDER_PX), white), white


def _files(path: str) -> list[tuple[str, str | None]]:
    """(file, key) of each file of an image."""
    return [parts(own) for own in files_of(path)]


def facts_of(name: str, raw: bytes, size: tuple[int, int], pixels: Pixels) -> ImageFacts:
    """Facts of an image from its file's bytes, its upright (width, height) and its kept pixels."""
    light = grey(pixels)
    return ImageFacts(
        id=name,
        width=size[0],
        height=size[1],
        sha256=hashlib.sha256(raw).hexdigest(),
        phash=phash(light),
        brightness=round(float(light.mean()), 3),
        contrast=round(float(light.std()), 3),
        blur=round(float(cv2.Laplacian(light, cv2.CV_64F).var()), 3),
    )


def kept_bytes(path: str, how: Decoding) -> int:
    """Bytes of an image once it is decoded, from its header; 0 if that cannot be read.

    Raises:
        DataError: its file cannot be read at all, or a package is missing.
    """
    size = size_of(path, how)
    if size is None:
        return 0
    scale = min(how.cache_px / max(*size, 1), 1)
    return round(size[0] * scale) * round(size[1] * scale) * how.channels


def size_of(path: str, how: Decoding) -> Size | None:
    """Width and height of an image from its header, as they are stored; None if that cannot be read.

    Raises:
        DataError: its file cannot be read at all, or a package is missing.
    """
    try:
        found = _header_of(path, how)
        if not isinstance(found, Image.Image):
            return found.shape[1], found.shape[0]
        with found as file:
            return file.size
    except DataError:
        raise
    except UNDECODABLE:
        return None


def _header_of(path: str, how: Decoding) -> Image.Image | Values:
    """An image that is opened and not loaded; the values of what is no image file, or has bands."""
    own = _files(path)
    if how.sources.how.plain and len(own) == 1 and own[0][1] is None and not how.sources.single(own[0][0]):
        return Image.open(path)
    found = how.sources.read(path)
    return Image.open(io.BytesIO(found)) if isinstance(found, bytes) else found


def pages_of(path: str, how: Decoding) -> int:
    """Pages of a TIFF or frames of a DICOM file, from its header; 1 for others, and what does not open."""
    file, key = _files(path)[0]
    try:
        if key is None and how.sources.single(file):
            return how.sources.frames(file)
        return pages.count(file) if key is None else 1
    except DataError:
        raise
    except UNDECODABLE:
        return 1


def kind_of(path: str, how: Decoding) -> str:
    """The kind of a file's values, from its header; empty for up to 8 bits a channel or no image.

    Raises:
        DataError: its file cannot be read at all, or a package is missing.
    """
    try:
        found = _header_of(path, how)
        if not isinstance(found, Image.Image):
            return frames.kind_of(found)
        with found as file:
            return depth.kind_of(file)
    except DataError:
        raise
    except UNDECODABLE:
        return ""


def ends_of(path: str, how: Decoding) -> tuple[str, float, float] | None:
    """Kind, low and high end of the values of an image with more than 8 bits; None if it does not decode."""
    try:
        raw = how.sources.read(path)
        if not isinstance(raw, bytes):
            of_values = depth.ends_of_values(raw)
            return None if of_values is None else (frames.kind_of(raw), *of_values)
        with Image.open(io.BytesIO(raw)) as file:
            kind, n_pixels = depth.kind_of(file), file.size[0] * file.size[1]
            if n_pixels > how.max_pixels:
                return None
            with how.one_large if n_pixels > LARGE_PIXELS else nullcontext():
                file.load()
                ends = depth.ends_of(file, kind, raw)
    except UNDECODABLE:
        return None
    return None if ends is None else (kind, *ends)


def reason(error: Exception) -> str:
    """Why an image does not decode, in a few words."""
    if isinstance(error, FileNotFoundError):
        return _("the file is missing")
    if isinstance(error, UnidentifiedImageError):
        return _("not an image")
    if isinstance(error, MemoryError):
        return _("damaged: it asks for more memory than there is")
    # OpenCV and libtiff write several lines.
    return " ".join(str(error).split()) or type(error).__name__


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


def pixels_of(raw: bytes, how: Decoding, path: str = "") -> tuple[tuple[int, int], Pixels]:
    """((width, height) of the upright original, pixels with longest side ≤ `cache_px`); see `read`."""
    if not raw:
        raise ValueError("the file is empty")
    if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        raise ValueError(HEIC)
    try:
        return _decoded(raw, how, path)
    except StorageError:
        raise
    except UNDECODABLE:
        plain = upright.without_odd_fields(raw)
        if plain == raw:
            raise
    return _decoded(plain, how, path)


def _opened(raw: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(raw))
    except UnidentifiedImageError as error:
        if why := pages.why_no_picture(raw):
            raise ValueError(why) from error
        raise


def _decoded(raw: bytes, how: Decoding, path: str) -> tuple[tuple[int, int], Pixels]:
    with _opened(raw) as file:
        width, height = file.size
        if width * height > how.max_pixels:
            raise ValueError(TOO_LARGE.format(width=width, height=height, limit=how.max_pixels / 1e6))
        large = width * height > LARGE_PIXELS
        try:
            with how.one_large if large else nullcontext():
                size, pixels = _upright(file, raw, how, large)
        except MemoryError as error:
            # A small image that asks for all memory is damaged; a large one may fit another time.
            if not large:
                raise
            what = NO_MEMORY.format(path=path, width=width, height=height)
            remedy = NO_MEMORY_REMEDY.format(limit=width * height // 1_000_000)
            raise StorageError(what, remedy=remedy) from error
    if large:
        del file
        _give_memory_back()
    return size, _shrink(stored(pixels, how.channels), how.cache_px)


def _give_memory_back() -> None:
    """Freed gigabytes back to the system: the C library keeps them for this thread, and each has its own."""
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _upright(file: Image.Image, raw: bytes, how: Decoding, large: bool) -> tuple[tuple[int, int], Pixels]:
    """The upright original's (width, height), and its pixels, of a large image at a smaller size."""
    size, kind, is_tiff = file.size, depth.kind_of(file), file.format == "TIFF"
    if is_tiff:
        # Pillow turns it while it loads.
        upright.without_other_metadata(file, upright.orientation_of(file))
    _ask_for_less(file, raw, how.cache_px, large)
    if large:
        _require_memory(file, len(raw))
    file.load()
    # After loading: a PNG may have its metadata behind the pixels.
    orientation = upright.orientation_of(file)
    is_grey = bool(kind) and depth.is_grey(kind, file)
    colour = depth.colour_of(file, raw) if kind and not is_grey else None
    ranges = how.ranges
    if how.by_image and (is_grey or colour is not None):
        ranges = Ranges.of_image(depth.ends_of(file, kind, raw))
    if is_tiff:
        size = file.size
        orientation = upright.UPRIGHT if colour is None else orientation

    def strip(top: int, bottom: int) -> Pixels:
        if colour is not None:
            return depth.to_rgb(colour[top:bottom], kind, ranges)
        if is_grey:
            return depth.to_rgb(depth.rows_of(file, top, bottom), kind, ranges)
        whole = (top, bottom) == (0, file.size[1])
        return np.asarray(_rgb(file if whole else file.crop((0, top, file.size[0], bottom))))

    stored = colour.shape[1::-1] if colour is not None else file.size
    pixels = _reduced(strip, stored, how.cache_px) if large else strip(0, stored[1])
    turned_size = size[::-1] if orientation in upright.ON_ITS_SIDE else size
    return turned_size, upright.turned(pixels, orientation)


def _ask_for_less(file: Image.Image, raw: bytes, cache_px: int, large: bool) -> None:
    """A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is enough, a large JPEG 2000 likewise."""
    file.draft(None, (cache_px, cache_px))
    if large and file.format == "JPEG2000":
        wanted = (max(file.size) // (STILL_LARGER * cache_px)).bit_length() - 1
        # The marker that says how many times the size can be halved.
        at = raw.find(CODING_STYLE)
        if at >= 0 and min(wanted, raw[at + LEVELS_AT]) > 0:
            file.reduce = min(wanted, raw[at + LEVELS_AT])  # type: ignore[method-assign, assignment]


def _require_memory(file: Image.Image, n_raw: int) -> None:
    """Raise MemoryError before the system ends this process: Linux promises memory that it does not have."""
    n_bytes = PILLOW_BYTES.get(file.mode, 4) * file.size[0] * file.size[1] + n_raw
    free = free_memory()
    if free is not None and n_bytes > free:
        raise MemoryError


def _reduced(strip: Callable[[int, int], Pixels], size: Size, cache_px: int) -> Pixels:
    """A large image averaged by a whole number, strip by strip, so that it is never twice in memory."""
    width, height = size
    factor = max(max(width, height) // (STILL_LARGER * cache_px), 1)
    rows = factor * max(int(STRIP_PIXELS / width / factor), 1)
    parts = []
    for top in range(0, height, rows):
        part = Image.fromarray(strip(top, min(top + rows, height)))
        parts.append(np.asarray(part.reduce(factor) if factor > 1 else part))
    return np.concatenate(parts)


def _rgb(image: Image.Image) -> Image.Image:
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
    """(height, width, C) pixels, stretched."""
    if image.shape[:2] == (height, width):
        return image
    # Area averaging to shrink; cubic interpolation to enlarge.
    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    # OpenCV averages areas of four channels at most, and drops the axis of one.
    parts = [np.ascontiguousarray(image[..., at : at + 4]) for at in range(0, image.shape[2], 4)]
    made = [cv2.resize(part, (width, height), interpolation=how).reshape(height, width, -1) for part in parts]
    return np.asarray(made[0] if len(made) == 1 else np.concatenate(made, axis=2), dtype=np.uint8)


def resize(image: Pixels, size: Size, how: str, finish: Callable[[Pixels], Pixels] | None = None) -> Pixels:
    """(H, W, C) pixels of exactly `size`.

    Args:
        image: (h, w, C).
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
    canvas = np.full((height, width, image.shape[2]), WHITE, np.uint8)
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
