"""Images with more than 8 bits a channel: which values become black and which become white.

Owns recognising such images, measuring the values of a training set, and scaling values to 0..255. Does not
own opening files (`data/decode.py`) or which images are measured (`data/stages.py`).

A scanner that writes 12 bits into 16, a CT in Hounsfield units and a float TIFF from 0 to 1 each use a small
part of what their type can hold: scaled by the type, they become a few grey levels. So the values of the
training images decide, measured once for all images. The test images are scaled by the same numbers, and an
image by its own only where the settings say so (`images.window=image`): an image that is darker than the
others stays darker.

Shape legend: H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.core.language import _
from pipeline.settings.images import ImageSettings

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]

WHITE, RGB = 255, 3
# Kinds of pixels; each has a range of its own.
UINT16, INT32, FLOAT32 = "uint16", "int32", "float32"
# The meaning of a type where nothing was measured; floats and 32-bit integers have none.
NOMINAL: Mapping[str, tuple[float, float]] = {UINT16: (0.0, 65535.0)}
# Each image counts between these percentiles, so that a few hot or dead pixels do not count.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9
# Values of one image that are looked at.
VALUES = 1 << 18
# This share of the images may lie beyond each end of the range.
BEYOND = 0.005
# Values that are scaled at once, so that memory stays small.
BLOCK = 1 << 22
NO_RANGE = _(
    "it holds {kind} values, and no training image says which of them are black and white: "
    "set images.range=[BLACK, WHITE]"
)


@dataclass(frozen=True)
class Ranges:
    """The values that become black and white.

    Args:
        given: for every kind, chosen by the user; None: those of `measured`.
        measured: kind -> (black, white) of the training images.
    """

    given: tuple[float, float] | None = None
    measured: Mapping[str, tuple[float, float]] | None = None

    @staticmethod
    def of(settings: ImageSettings, measured: Mapping[str, tuple[float, float]] | None = None) -> Ranges:
        """From the settings, and what was measured."""
        given = settings.range
        return Ranges(None if given is None else (given[0], given[1]), measured)

    @staticmethod
    def of_image(ends: tuple[float, float] | None) -> Ranges:
        """Of one image by its own ends; black everywhere where it has no value."""
        low, high = ends or (0.0, 1.0)
        return Ranges((low, high if high > low else low + 1.0))

    def ends(self, kind: str) -> tuple[float, float]:
        """(black, white) of one kind of values.

        Raises:
            ValueError: nothing was measured, and the type has no usual range.
        """
        known = self.given or (self.measured or {}).get(kind) or NOMINAL.get(kind)
        if known is None:
            raise ValueError(NO_RANGE.format(kind=kind))
        return known


def kind_of(file: Image.Image) -> str:
    """The kind of an opened image's values, before it is loaded; empty for up to 8 bits a channel."""
    if file.mode.startswith("I;16"):
        return UINT16
    if file.mode == "I":
        return INT32
    if file.mode == "F":
        return FLOAT32
    return UINT16 if _raw_mode(file).endswith((";16B", ";16L", ";16N", ";16")) else ""


def _raw_mode(file: Image.Image) -> str:
    """How pixels lie in the file, as `RGB;16B`; Pillow itself keeps 8 of these 16 bits."""
    tiles = getattr(file, "tile", None) or []
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def colour_of(file: Image.Image, raw: bytes) -> Values | None:
    """(H, W, 3 or 4) 16-bit values, RGB(A), not turned upright; None if only Pillow reads them, in 8 bits."""
    read = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or {*read.shape[:2]} != {*file.size}:
        return None
    if read.shape[2] not in (3, 4):
        return None
    # In place: such an image may have half a gigabyte.
    read[..., 0], read[..., 2] = read[..., 2].copy(), read[..., 0].copy()
    return np.asarray(read)


def is_grey(kind: str, file: Image.Image) -> bool:
    """Whether Pillow keeps the values as they are; of 16-bit colour it keeps 8 bits."""
    return kind in (INT32, FLOAT32) or file.mode.startswith("I;16")


def rows_of(file: Image.Image, top: int, bottom: int) -> Values:
    """(bottom - top, W) values of a loaded grey image."""
    return np.asarray(file.crop((0, top, file.size[0], bottom)))


def to_rgb(values: Values, kind: str, ranges: Ranges) -> Pixels:
    """(H, W, 3) pixels: black at and below the range, white at and above it; no value (NaN) is black.

    Transparency, the fourth channel of colour, is drawn on white.

    Raises:
        ValueError: no range is known.
    """
    return to_channels(values, kind, ranges, RGB)


def to_channels(values: Values, kind: str, ranges: Ranges, channels: int) -> Pixels:
    """The same with any number of channels, C; values of one band are repeated.

    Raises:
        ValueError: no range is known.
    """
    black, white = ranges.ends(kind)
    height, width = values.shape[:2]
    made = np.empty((height, width, channels), np.uint8)
    rows = max(BLOCK // max(values[0].size, 1), 1)
    for top in range(0, height, rows):
        with np.errstate(invalid="ignore"):  # values that mean "no number"
            part = values[top : top + rows].astype(np.float64)
        colour = part[..., :channels] if part.ndim == 3 else part[..., None]
        scaled = np.nan_to_num((colour - black) * (WHITE / max(white - black, 1e-300)), nan=0.0)
        scaled = scaled.clip(0, WHITE)
        if channels == RGB and part.ndim == 3 and part.shape[2] == RGB + 1:
            opaque = part[..., 3:] / NOMINAL[UINT16][1]
            scaled = scaled * opaque + WHITE * (1 - opaque)
        made[top : top + rows] = np.round(scaled).astype(np.uint8)
    return made


def ends_of(file: Image.Image, kind: str, raw: bytes) -> tuple[float, float] | None:
    """Low and high end of a loaded image's values, without the most extreme; None if it has no value."""
    width, height = file.size
    if is_grey(kind, file):
        step = max(width * height // VALUES, 1)
        some = np.concatenate([rows_of(file, y, y + 1)[0] for y in range(0, height, step)])
    else:
        colour = colour_of(file, raw)
        if colour is None:
            return None
        some = colour[:: max(width * height // VALUES, 1), :, :3].ravel()
    return _ends(some)


def ends_of_values(values: Values) -> tuple[float, float] | None:
    """The same of an image's (H, W) or (H, W, C) values."""
    return _ends(values.reshape(-1)[:: max(values.size // VALUES, 1)])


def _ends(some: Values) -> tuple[float, float] | None:
    finite = some[np.isfinite(some)]
    if not finite.size:
        return None
    low, high = np.percentile(finite.astype(np.float64), [LOW_PERCENTILE, HIGH_PERCENTILE])
    return float(low), float(high)


def measured(ends: Iterable[tuple[str, float, float]]) -> dict[str, tuple[float, float]]:
    """Kind -> (black, white), from the kind and the ends of each training image."""
    of_kind: dict[str, list[tuple[float, float]]] = {}
    for kind, low, high in ends:
        of_kind.setdefault(kind, []).append((low, high))
    found = {}
    for kind, pairs in sorted(of_kind.items()):
        lows, highs = (sorted(column) for column in zip(*pairs, strict=True))
        left_out = int(len(pairs) * BEYOND)
        found[kind] = (lows[left_out], highs[-1 - left_out])
    return found
