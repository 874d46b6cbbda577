"""How any image becomes what a model sees: cut, resized, preprocessed. One object for train and test.

Owns putting the three together in one order. Does not own any of them (`crop.py`, `resize.py`,
`preprocess.py`) nor the memmaps it fills (`images.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline.data import crop
from pipeline.data.crop import CropPlan, Key
from pipeline.data.preprocess import OwnStep, Preprocessor
from pipeline.data.resize import Pixels, Size, resize
from pipeline.settings.schema import Config


@dataclass(frozen=True)
class Look:
    """From decoded pixels to what a model sees.

    Args:
        crop: which part is kept.
        size: (H, W) px.
        resize: squash, letterbox or cover.
        preprocess: at the final size and before padding, so that sharpening is not averaged away and
            white bars do not weigh in contrast.
        own: the user's own function, on the cropped image before it is resized.
    """

    crop: CropPlan
    size: Size
    resize: str
    preprocess: Preprocessor
    own: OwnStep

    @staticmethod
    def of(config: Config, boxes: pd.DataFrame | None) -> Look:
        """As the settings ask.

        Raises:
            DataError: the crop needs boxes, and no training image has one.
            ConfigError: the user's own function cannot be loaded.
        """
        size = config.images.hw
        windows = crop.plan(config.crop, boxes, size)
        preprocess = Preprocessor(config.preprocess)
        return Look(windows, size, config.images.resize, preprocess, OwnStep.of(config.preprocess))

    def __call__(self, key: Key, image: Pixels) -> Pixels:
        """(H, W, 3) pixels of the image with this (split, id)."""
        return resize(self.own(self.crop.cut(key, image)), self.size, self.resize, self.preprocess)

    def plain(self, key: Key, image: Pixels) -> Pixels:
        """Like calling it, without preprocessing: the `before` of a before-and-after sheet."""
        return resize(self.crop.cut(key, image), self.size, self.resize)
