"""Image files as arrays of bands: TIFFs of several pages or of many bands, and files of one channel each.

Owns counting pages, reading the bands of an image file as they are stored, stacking pages, and stacking the
files of one image that has one for each channel. Does not own pictures in red, green and blue
(`data/decode.py`) nor the range of values (`data/depth.py`).

Legend: H height, W width, C bands.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.readers.reading import Values

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Weights of red, green and blue in grey: ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
RGB = 3


def count(file: str) -> int:
    """Pages of a TIFF, from its header; 1 for other image files."""
    with Image.open(file) as opened:
        return int(getattr(opened, "n_frames", 1)) if opened.format == "TIFF" else 1


def is_tiff(raw: bytes) -> bool:
    """Whether these are the bytes of a TIFF, by its first ones."""
    return raw[:4] in TIFF_HEADS


def why_no_picture(raw: bytes) -> str:
    """What to do about a TIFF that is no picture in red, green and blue; empty if that is not known."""
    try:
        first = tiff_pages(raw)[0] if is_tiff(raw) else np.zeros(1)
    except ValueError:
        return ""
    bands = first.shape[2] if first.ndim > 2 else 1
    return worded(texts.TIFF_BANDS, count=bands) if bands > 1 else ""


def bands_of(raw: bytes, pages: str) -> Values:
    """(H, W) or (H, W, C) values of an image file.

    Args:
        raw: its bytes.
        pages: `channels`: each page in grey is a band; `first`: the bands of the first page.

    Raises:
        ValueError, OSError: it cannot be read, or its pages differ in size.
    """
    if not raw:
        raise ValueError(texts.EMPTY_FILE)
    found = tiff_pages(raw) if is_tiff(raw) else [_of_picture(raw)]
    if pages != "channels":
        return found[0]
    return stacked([grey(page) for page in found]) if len(found) > 1 else found[0]


def tiff_pages(raw: bytes) -> list[Values]:
    """(H, W) or (H, W, C) values of each page.

    Raises:
        ValueError, OSError: it is damaged, or compressed in a way that is not read.
    """
    # Imported here: it takes a tenth of a second, and few sets need it.
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(raw)) as opened:
            return [
                _bands_last(p.asarray(), getattr(p.keyframe, "planarconfig", 1) == 2) for p in opened.pages
            ]
    except Exception as error:  # damaged files raise all kinds
        try:
            return _pages_of_pillow(raw)
        except Exception:
            raise ValueError(texts.DAMAGED.format(kind="TIFF", why=error)) from error


def _bands_last(values: Values, planar: bool) -> Values:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1)) if planar and values.ndim == RGB else values


def _pages_of_pillow(raw: bytes) -> list[Values]:
    """The pages by Pillow, which reads more kinds of compression and fewer kinds of bands."""
    found: list[Values] = []
    with Image.open(io.BytesIO(raw)) as opened:
        for number in range(int(getattr(opened, "n_frames", 1))):
            opened.seek(number)
            found.append(_array(opened))
    return found


def _of_picture(raw: bytes) -> Values:
    with Image.open(io.BytesIO(raw)) as opened:
        return _array(opened)


def _array(picture: Image.Image) -> Values:
    if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return np.array(picture)


def grey_of(found: bytes | Values) -> Values:
    """(H, W) values of a file that is one channel.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    return grey(bands_of(found, "first") if isinstance(found, bytes) else np.squeeze(found))


def grey(values: Values) -> Values:
    """(H, W) values of the same kind: colours by their lightness, whatever else by its mean."""
    if values.ndim == 2:
        return values
    # Most files of a channel are grey that was saved as colour, with or without transparency.
    colours = values[..., :RGB] if values.shape[2] in (RGB, RGB + 1) else values
    if colours.shape[2] == 2:
        colours = colours[..., :1]
    if (colours == colours[..., :1]).all():
        return np.ascontiguousarray(colours[..., 0])
    if colours.shape[2] == RGB:
        light = colours.astype(np.float64) @ np.array(LUMA)
    else:
        light = colours.mean(axis=2, dtype=np.float64)
    return np.asarray(light if values.dtype.kind == "f" else np.round(light)).astype(values.dtype)


def stacked(bands: Sequence[Values]) -> Values:
    """(H, W, C) one array of several bands, of the widest of their types.

    Raises:
        ValueError: they differ in size.
    """
    shapes = list(dict.fromkeys(band.shape for band in bands))
    if len(shapes) > 1:
        sizes = ", ".join(f"{shape[1]} × {shape[0]}" for shape in shapes)
        raise ValueError(worded(texts.BANDS_OF_SIZES, bands=len(bands), sizes=sizes))
    return np.stack(bands, axis=-1)
