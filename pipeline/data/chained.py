"""Two sets of prepared images as one, without copying either.

Owns reading rows across two memory maps. Does not own making them (`images.py`).

Legend: N images, H height, W width, C channels.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Strings, strings
from pipeline.data.loader import Images

Pixels = npt.NDArray[np.uint8]


class Rows:
    """The rows of two arrays of equal row shape, read by position."""

    def __init__(self, first: Pixels, second: Pixels) -> None:
        assert first.shape[1:] == second.shape[1:], "images of two sizes"
        self._parts = (first, second)
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, at: Any) -> Pixels:
        first, second = self._parts
        if isinstance(at, int | np.integer):
            return first[at] if at < len(first) else second[at - len(first)]
        at_B = np.asarray(at)
        found = np.empty((len(at_B), *self.shape[1:]), np.uint8)
        early = at_B < len(first)
        found[early], found[~early] = first[at_B[early]], second[at_B[~early] - len(first)]
        return found


class Chained:
    """Images of two sets, found by id; no id is in both."""

    def __init__(self, first: Images, second: Images) -> None:
        self.ids_N: Strings = strings([*first.ids_N.tolist(), *second.ids_N.tolist()])
        # What reads images indexes rows and asks for the shape, nothing else.
        self.x_NHWC = cast(Pixels, Rows(first.x_NHWC, second.x_NHWC))
