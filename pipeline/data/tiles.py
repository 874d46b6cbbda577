"""Large pictures as tiles: where they lie, and which of them show nothing.

Owns cutting a decoded picture into tiles and leaving out background. Does not own what becomes of tiles: they
are several images of one sample (`data/several.py`), resized and preprocessed like any image
(`data/preprocess.py`).

The last tile of a row ends at the border of the picture, so that everything is in some tile; a picture that
is smaller than a tile is one. Background is the colour that most of the border has, if it has one: paper,
glass or black around the thing. A tile that is nearly all background, or nearly one colour, is left out; of
too many tiles those that vary most are kept, in their order.

Legend: H height, W width, C channels, T tiles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.data.channels import grey
from pipeline.settings.images import TilesSettings

Pixels = npt.NDArray[np.uint8]

# A pixel is background within so many levels of its colour, which so much of the border must have.
LEVELS, OF_BORDER = 20, 0.5
# A tile is left out if so much of it is background, or if its light varies less than this.
MOSTLY, FLAT = 0.9, 4.0


def starts(side: int, size: int, stride: int) -> list[int]:
    """Where tiles of one axis start; the last one ends at the border."""
    if side <= size:
        return [0]
    found = list(range(0, side - size + 1, stride))
    return found if found[-1] == side - size else [*found, side - size]


def cut(image: Pixels, settings: TilesSettings) -> list[Pixels]:
    """The tiles of a picture, (h, w, C) each, in the order of reading; at least one."""
    stride = settings.stride or settings.size
    size = settings.size
    height, width = image.shape[:2]
    tiles = [
        image[top : top + size, left : left + size]
        for top in starts(height, size, stride)
        for left in starts(width, size, stride)
    ]
    spread = np.array([float(grey(np.ascontiguousarray(tile)).std()) for tile in tiles])
    kept = np.arange(len(tiles))
    if settings.drop_background and len(tiles) > 1:
        colour = border_colour(image)
        shares = [0.0 if colour is None else _background(tile, colour) for tile in tiles]
        shown = (np.array(shares) < MOSTLY) & (spread >= FLAT)
        kept = np.flatnonzero(shown) if shown.any() else np.array([int(spread.argmax())])
    if len(kept) > settings.most:
        kept = np.sort(kept[np.argsort(-spread[kept], kind="stable")[: settings.most]])
    return [tiles[at] for at in kept]


def border_colour(image: Pixels) -> npt.NDArray[np.float64] | None:
    """(C,) the colour that most of the border has; None if it has no such colour."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(np.float64)
    colour: npt.NDArray[np.float64] = np.median(border, axis=0)
    near = (np.abs(border - colour).max(axis=1) <= LEVELS).mean()
    return colour if near >= OF_BORDER else None


def _background(tile: Pixels, colour: npt.NDArray[np.float64]) -> float:
    """The share of a tile that has this colour."""
    return float((np.abs(tile.astype(np.float64) - colour).max(axis=2) <= LEVELS).mean())
