"""Where the thing is in a prepared image: its box, or what is unlike the border's colour.

Owns masks. Does not own boxes (`boxes.py`) or how an image is prepared (`look.py`).

Legend: H height, W width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.data.crop import Edges, Key
from pipeline.data.look import Look
from pipeline.data.resize import WHITE, Pixels

Mask = npt.NDArray[np.bool_]

# A border is one colour if so many of its pixels differ by no more than this in any channel, of 255.
_OF_BORDER, _UNLIKE = 0.85, 24
# A thing that fills less or more than these shares of an image was not found.
_LEAST, _MOST = 0.02, 0.95


def of_box(look: Look, key: Key, edges: Edges, size: tuple[int, int]) -> Mask | None:
    """(H, W) where the box of an image lies once it is cut and resized; None: nothing of it is kept.

    Args:
        look: how images are prepared.
        key: (split, id).
        edges: left, top, right, bottom as shares of the upright image.
        size: height and width of the decoded image, px.
    """
    height, width = size
    # Painted black on white and prepared as the image was; padding is white too, so it is outside.
    paper = np.full((height, width, 3), WHITE, np.uint8)
    left, top, right, bottom = (round(e * s) for e, s in zip(edges, (width, height) * 2, strict=True))
    paper[top : max(bottom, top + 1), left : max(right, left + 1)] = 0
    inside: Mask = look.plain(key, paper)[..., 0] < WHITE // 2
    return inside if inside.any() else None


def unlike_border(image: Pixels) -> Mask | None:
    """(H, W) what has another colour than the border, holes filled; None where the border has several.

    A guess for drawings and product photos on a plain ground; a photo of a scene gives None.
    """
    ring = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(int)
    colour = np.median(ring, axis=0)
    if float((np.abs(ring - colour).max(axis=1) <= _UNLIKE).mean()) < _OF_BORDER:
        return None
    unlike = np.abs(image.astype(int) - colour).max(axis=2) > _UNLIKE
    found: Mask = np.asarray(ndimage.binary_fill_holes(unlike), dtype=np.bool_)
    return found if _LEAST <= found.mean() <= _MOST else None
