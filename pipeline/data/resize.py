"""Changing the size of an image: the three ways to fit it into what a model sees.

Owns interpolation, padding and cutting to a shape. Does not own which part of an image is kept
before (`crop.py`) nor what its pixels become (`preprocess.py`).

Legend: H height, W width; pixels are uint8, RGB.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

WHITE = 255


def scaled(image: Pixels, height: int, width: int) -> Pixels:
    """(height, width, 3) pixels, stretched."""
    if image.shape[:2] == (height, width):
        return image
    # Area averages when there is more than enough; cubic invents the least when there is too little.
    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def resize(image: Pixels, size: Size, how: str, finish: Callable[[Pixels], Pixels] | None = None) -> Pixels:
    """(H, W, 3) pixels of exactly `size`.

    Args:
        image: (h, w, 3).
        size: H and W, px.
        how: squash stretches both sides; letterbox pads with white; cover cuts off what does not fit.
        finish: what the pixels become at their new size, before any padding.
    """
    done = finish or _as_it_is
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


def _as_it_is(image: Pixels) -> Pixels:
    return image
