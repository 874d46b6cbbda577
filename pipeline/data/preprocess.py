"""How an image is prepared for a model: cut, resized, preprocessed; one object for training and test.

Owns colour, brightness, contrast, CLAHE and sharpening, in this order, without any randomness; a function of
the user's own before them, at the cropped image's own size; and the order of cutting, resizing and
preprocessing. Does not own random changes (`data/augment.py`), cutting (`data/crop.py`), resizing
(`data/decode.py`) nor the memmaps (`data/images.py`).

Legend: H height, W width, C channels; pixels are uint8, RGB unless `images.channels` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.language import _
from pipeline.core.plugin import Own, described
from pipeline.data import crop, tiles
from pipeline.data.channels import RGB
from pipeline.data.crop import CropPlan, Key
from pipeline.data.decode import WHITE, Pixels, Size, resize
from pipeline.settings.images import PreprocessSettings, TilesSettings
from pipeline.settings.schema import Config

if TYPE_CHECKING:
    import pandas as pd

MIDDLE_GREY = 127.5
# Weights of red, green and blue in brightness: ITU-R BT.601.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SHARPEN_SIGMA_PX = 1.0


@dataclass(frozen=True)
class Preprocessor:
    """All steps that the settings enable; a step at its neutral value is left out.

    Args:
        settings: the steps; the defaults change nothing.
    """

    settings: PreprocessSettings

    @property
    def steps(self) -> tuple[str, ...]:
        """The settings that are on, as `preprocess.clahe=2.0`, in the order of the steps."""
        default = PreprocessSettings()
        names = ("function", "white_balance", "saturation", "brightness", "contrast", "clahe", "sharpen")
        values = {name: getattr(self.settings, name) for name in names}
        return tuple(f"preprocess.{n}={v}" for n, v in values.items() if v != getattr(default, n))

    def __call__(self, image: Pixels) -> Pixels:
        """(H, W, C) pixels of the same shape; the input is not changed."""
        if self.settings == PreprocessSettings(function=self.settings.function):
            return image
        s = self.settings
        colour: npt.NDArray[np.float32] = image.astype(np.float32)
        if s.white_balance == "grey_world":
            colour = _grey_world(colour)
        if s.saturation != 1:
            grey = (colour @ LUMA)[..., None]
            colour = np.asarray(grey + (colour - grey) * s.saturation, np.float32)
        if s.brightness or s.contrast != 1:
            added = MIDDLE_GREY * (1 - s.contrast) + s.brightness * WHITE
            colour = colour * np.float32(s.contrast) + np.float32(added)
        if s.clahe:
            colour = _clahe(_bytes(colour), s.clahe, s.clahe_tiles).astype(np.float32)
        if s.sharpen:
            blurred = cv2.GaussianBlur(colour, (0, 0), SHARPEN_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
            colour = colour + (colour - blurred.reshape(colour.shape)) * s.sharpen
        return _bytes(colour)


@dataclass(frozen=True)
class OwnPreprocessing:
    """The user's own function, or nothing; it may change an image's size.

    Args:
        function: called with (h, w, C) uint8, from several threads.
    """

    function: Own | None

    @staticmethod
    def of(settings: PreprocessSettings) -> OwnPreprocessing:
        """From the settings.

        Raises:
            ConfigError: it cannot be loaded.
        """
        name = settings.function
        return OwnPreprocessing(Own(name, Path.cwd(), "preprocess.function") if name else None)

    def __call__(self, image: Pixels) -> Pixels:
        """(h', w', C) pixels.

        Raises:
            ConfigError: the function failed, or did not return an image; names function and file.
        """
        if self.function is None:
            return image
        returned = self.function(image.copy())
        is_image = isinstance(returned, np.ndarray) and returned.dtype == np.uint8 and returned.ndim == 3
        channels = image.shape[2]
        if not is_image or returned.shape[2] != channels or not returned.size:
            colours = _(", RGB") if channels == RGB else ""
            wanted = _("a uint8 array of shape (height, width, {channels}){colours}").format(
                channels=channels, colours=colours
            )
            raise self.function.wrong(described(returned), wanted)
        return np.ascontiguousarray(returned)


def _bytes(colour: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(np.round(colour), 0, WHITE).astype(np.uint8)


def _grey_world(colour: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every channel scaled to the mean of all three (Buchsbaum 1980, doi 10.1016/0016-0032(80)90058-7)."""
    mean = colour.mean(axis=(0, 1))
    return np.asarray(colour * (mean.mean() / np.maximum(mean, 1)), dtype=np.float32)


def _clahe(image: Pixels, limit: float, tiles: int) -> Pixels:
    """Contrast-limited adaptive histogram equalisation of lightness only, so that colours do not change.

    Channels that are no colours are equalised one by one.
    """
    # More tiles than pixels would give empty tiles.
    grid = (min(tiles, image.shape[1]), min(tiles, image.shape[0]))
    if image.shape[2] != RGB:
        apply = cv2.createCLAHE(limit, grid).apply
        bands = [apply(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])]
        return np.stack(bands, axis=-1).astype(np.uint8)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, grid).apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), dtype=np.uint8)


@dataclass(frozen=True)
class Look:
    """From decoded pixels to the pixels that a model sees.

    Args:
        crop: the part that is kept.
        size: (H, W) px of prepared images, which may be larger than the network's.
        resize: squash, letterbox or cover.
        preprocess: at the final size and before padding, so that sharpening is not averaged away and
            white bars do not count in the contrast.
        own: the user's own function, on the cropped image before it is resized.
        tiles: cut the image into these after that; None: it is seen whole.
    """

    crop: CropPlan
    size: Size
    resize: str
    preprocess: Preprocessor
    own: OwnPreprocessing
    tiles: TilesSettings | None = None

    @staticmethod
    def of(config: Config, boxes: pd.DataFrame | None) -> Look:
        """From the settings.

        Raises:
            DataError: the crop needs boxes, and no training image has one.
            ConfigError: the user's own function cannot be loaded.
        """
        size = config.images.stored_hw
        windows = crop.plan(config.crop, boxes, config.images.hw)
        preprocess = Preprocessor(config.preprocess)
        own = OwnPreprocessing.of(config.preprocess)
        return Look(windows, size, config.images.resize, preprocess, own, config.images.tiles)

    def __call__(self, key: Key, image: Pixels) -> Pixels:
        """(H, W, C) pixels of the image with this (split, id)."""
        return resize(self.own(self.crop.cut(key, image)), self.size, self.resize, self.preprocess)

    def all(self, key: Key, image: Pixels, plain: bool = False) -> list[Pixels]:
        """(H, W, C) pixels of the image, or of each of its tiles; `plain`: without preprocessing."""
        if self.tiles is None:
            return [self.plain(key, image) if plain else self(key, image)]
        whole = self.crop.cut(key, image) if plain else self.own(self.crop.cut(key, image))
        finish = None if plain else self.preprocess
        return [resize(tile, self.size, self.resize, finish) for tile in tiles.cut(whole, self.tiles)]

    def plain(self, key: Key, image: Pixels) -> Pixels:
        """Like calling it, without preprocessing: the `before` of a before-and-after sheet."""
        return resize(self.crop.cut(key, image), self.size, self.resize)
