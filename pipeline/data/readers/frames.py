"""Arrays of values as images: their shape, their bands, and their values as pixels.

Owns which axis is which, how plain numbers become rows and columns, and what becomes of one, two, three or
more bands. Does not own the range of values (`data/depth.py`) nor reading files.

With `images.channels=3`, which are red, green and blue:

    bands   become
    1       grey, repeated
    2       red and green; blue is their mean
    3       red, green and blue
    more    the one or three that `images.bands` names

With another number of channels, there must be as many bands, or `images.bands` names as many.

Shape legend: H height, W width, C bands.
"""

from __future__ import annotations

from math import isqrt, prod

import numpy as np

from pipeline.core.language import _
from pipeline.core.wording import worded
from pipeline.data import depth, texts
from pipeline.data.depth import Ranges
from pipeline.data.readers.reading import Reading, Values

RGB_BANDS = 3
# An axis of at most this length may be that of the bands.
MOST_BANDS = 16
SHOWN_SHAPES = 3


def framed(values: Values, reading: Reading) -> Values:
    """(H, W) or (H, W, C) values of one image, C as many as the channels of `reading`.

    Args:
        values: flat, (H, W), (H, W, C) or (C, H, W); axes of length 1 in front are ignored.
        reading: the shape of flat values, and the bands.

    Raises:
        ValueError: its shape is not known, or it has other bands than the images have channels.
    """
    if values.dtype.kind not in "buif":
        raise ValueError(texts.NO_NUMBERS.format(kind=values.dtype))
    if not values.size:
        raise ValueError(texts.NO_VALUES)
    while values.ndim > RGB_BANDS and values.shape[0] == 1:
        values = values[0]
    shaped = _unfolded(values, reading.shape)
    if shaped.ndim == RGB_BANDS:
        shaped = _bands_last(shaped)
    return _coloured(shaped, reading)


def unknown_shape(count: int, reading: Reading) -> str:
    """Why so many plain numbers are no image of a known shape; empty if they are one."""
    try:
        _unfolded(np.empty(count, np.uint8), reading.shape)
    except ValueError as error:
        return str(error)
    return ""


def _unfolded(values: Values, shape: tuple[int, ...] | None) -> Values:
    if values.ndim > 1:
        if values.ndim > RGB_BANDS:
            raise ValueError(texts.MANY_AXES.format(shape=_text(values.shape)))
        return values
    if shape is not None:
        if prod(shape) != values.size:
            raise ValueError(
                texts.OTHER_SHAPE.format(numbers=values.size, shape=_text(shape), wanted=prod(shape))
            )
        return values.reshape(shape)
    side = isqrt(values.size)
    if side * side != values.size:
        raise ValueError(texts.NO_SHAPE.format(numbers=values.size, shapes=_possible(values.size)))
    return values.reshape(side, side)


def _possible(numbers: int) -> str:
    """Shapes that plain numbers may have, most likely ones first."""
    third = isqrt(numbers // RGB_BANDS)
    if RGB_BANDS * third * third == numbers:
        return _("[{third},{third},3] pixel by pixel, or [3,{third},{third}] band by band").format(
            third=third
        )
    heights = [h for h in range(isqrt(numbers), 7, -1) if numbers % h == 0][:SHOWN_SHAPES]
    return " or ".join(f"[{h},{numbers // h}]" for h in heights) or "[HEIGHT,WIDTH]"


def _text(shape: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in shape)


def _bands_last(values: Values) -> Values:
    first, last = values.shape[0], values.shape[-1]
    if last <= MOST_BANDS and (last <= first or first > MOST_BANDS):
        return values
    if first <= MOST_BANDS:
        return np.moveaxis(values, 0, -1)
    raise ValueError(texts.MANY_AXES.format(shape=_text(values.shape)))


def _coloured(values: Values, reading: Reading) -> Values:
    bands, channels = reading.bands, reading.channels
    if values.ndim == 2:
        values = values[..., None]
    count = values.shape[2]
    if bands is not None:
        if max(bands) >= count:
            raise ValueError(texts.NO_BAND.format(bands=list(bands), count=count))
        values, count = values[..., list(bands)], len(bands)
    if channels != RGB_BANDS:
        if count != channels:
            raise ValueError(worded(texts.OTHER_BANDS, count=count, channels=channels))
        return values[..., 0] if count == 1 else values
    if count > RGB_BANDS:
        raise ValueError(texts.MANY_BANDS.format(count=count))
    if count == 2:
        mean = values.mean(axis=2, keepdims=True, dtype=np.float64)
        return np.concatenate([values, mean.astype(values.dtype)], axis=2)
    return values[..., 0] if count == 1 else values


def kind_of(values: Values) -> str:
    """The kind of an image's values, as `data/depth.py` names it; empty for up to 8 bits."""
    if values.dtype in (np.uint8, np.bool_):
        return ""
    if values.dtype == np.uint16:
        return depth.UINT16
    return depth.INT32 if values.dtype.kind in "iu" else depth.FLOAT32


def pixels(values: Values, ranges: Ranges, channels: int = RGB_BANDS) -> depth.Pixels:
    """(H, W, C) pixels of framed values with as many channels; grey is repeated for red, green and blue.

    Raises:
        ValueError: no range is known for their kind.
    """
    kind = kind_of(values)
    if kind:
        return depth.to_channels(values, kind, ranges, channels)
    eight = values.astype(np.uint8) * (depth.WHITE if values.dtype == np.bool_ else 1)
    return np.ascontiguousarray(np.repeat(eight[..., None], channels, axis=2) if eight.ndim == 2 else eight)
