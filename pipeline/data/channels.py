"""How many channels pixels have, and what people see of them.

Owns grey of any pixels, pixels of one channel, and the picture that a page shows of an image with any number
of channels. Does not own where channels come from (`data/readers/`) nor what a network makes of them
(`nets/`).

Legend: H height, W width, C channels; pixels are uint8.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

RGB = 3


def grey(pixels: Pixels) -> Pixels:
    """(H, W) light: of red, green and blue as people see it; of other channels their mean."""
    if pixels.shape[2] == RGB:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if pixels.shape[2] == 1:
        return np.ascontiguousarray(pixels[..., 0])
    return np.asarray(np.round(pixels.mean(axis=2)), dtype=np.uint8)


def stored(pixels: Pixels, channels: int) -> Pixels:
    """(H, W, C) of decoded RGB: as it is, or grey for one channel."""
    return pixels if channels == pixels.shape[2] else grey(pixels)[..., None]


def preview(pixels: Pixels) -> Pixels:
    """(H, W, 3) what a page shows: the first three channels as red, green and blue; of fewer their mean."""
    if pixels.shape[2] == RGB:
        return pixels
    if pixels.shape[2] > RGB:
        return np.ascontiguousarray(pixels[..., :RGB])
    return np.repeat(grey(pixels)[..., None], RGB, axis=2)
