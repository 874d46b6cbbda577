"""Where the thing is: boxes that went through crop and resize, and what is unlike the border."""

import numpy as np

from pipeline.data.preprocess import Look
from pipeline.explain import cases
from pipeline.settings.images import CropSettings, ImageSettings
from pipeline.settings.schema import Config


def test_a_box_follows_crop_and_resize():
    edges = (0.5, 0.25, 0.75, 0.5)
    squashed = Look.of(Config(images=ImageSettings(size=32)), None)
    mask = cases.of_box(squashed, ("train", "a"), edges, (100, 200))
    assert mask.shape == (32, 32) and mask[8:16, 16:24].mean() > 0.95 and mask.sum() < 81
    letterbox = Look.of(Config(images=ImageSettings(size=32, resize="letterbox")), None)
    mask = cases.of_box(letterbox, ("train", "a"), edges, (100, 200))
    assert mask[12:16, 16:24].mean() > 0.9 and not mask[:8].any()  # white padding is no object
    crop = CropSettings(method="fixed", window=[0.5, 0.0, 0.5, 1.0])
    cut = Look.of(Config(images=ImageSettings(size=32), crop=crop), None)
    mask = cases.of_box(cut, ("train", "a"), edges, (100, 200))
    assert mask[8:16, :16].mean() > 0.95 and not mask[:, 17:].any()
    assert cases.of_box(cut, ("train", "a"), (0.0, 0.0, 0.25, 0.25), (100, 200)) is None


def test_what_is_unlike_a_plain_border_and_nothing_else():
    image = np.full((40, 40, 3), 250, np.uint8)
    image[10:30, 12:28] = (200, 30, 30)
    image[15:20, 15:20] = 250  # a hole of the ground's colour is part of the thing
    mask = cases.unlike_border(image)
    assert mask[10:30, 12:28].all() and mask.sum() == 20 * 16
    scene = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert cases.unlike_border(scene) is None
    assert cases.unlike_border(np.full((40, 40, 3), 9, np.uint8)) is None
