"""One look at every picture: what needs pixels and not only image facts.

Owns a single pass that keeps a tiny thumbnail of each image, its JPEG blocks and the mean picture of
each class. Does not own what follows from them (`twins.py`, `shift.py`, `explore.py`).

Memory: 200 bytes an image and 28 kB a class; pictures are looked at one after the other.
Shape legend: N images, C classes, T thumbnail side, M side of a mean picture.
"""

import sys
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from pipeline.eda.survey import UNLABELLED
from pipeline.pages.report import ImageOf, Pixels

# 8 × 8: a copy that was cropped by a few per cent moves by less than half a cell, so it still matches.
# At 16 × 16 the same crops matched worse, and other pictures were told apart no better.
THUMB_SIDE = 8
MEAN_SIDE = 48
JPEG_BLOCK = 8


@dataclass(frozen=True)
class Glance:
    """What one look at every picture gave.

    Args:
        thumbs_NTT3: (N, 8, 8, 3) uint8, squashed, in the order of the survey's images.
        looks: a row an image in the same order: saturation, red, blue (mean colour distances from
            green), blocks (step at JPEG block edges over the steps elsewhere; 1 without JPEG).
        means_CMM3: (C, 48, 48, 3) uint8 mean training picture of each class; white for an empty one.
    """

    thumbs_NTT3: Pixels
    looks: pd.DataFrame
    means_CMM3: Pixels


def glance(images: pd.DataFrame, n_classes: int, image: ImageOf) -> Glance:
    """Look at every picture once.

    Args:
        images: rows with split, id and label (class index, -1 for a test image).
        n_classes: C.
        image: gives the uint8 (H, W, 3) pixels of an image by split and id.
    """
    thumbs = np.empty((len(images), THUMB_SIDE, THUMB_SIDE, 3), np.uint8)
    blocks = np.empty(len(images))
    sums = np.zeros((n_classes, MEAN_SIDE, MEAN_SIDE, 3))
    counts = np.zeros(n_classes, np.int64)
    rows = zip(images["split"], images["id"], images["label"], strict=True)
    bar = tqdm(rows, "glance", len(images), unit="img", leave=False, disable=not sys.stderr.isatty())
    for at, (split, name, label) in enumerate(bar):
        pixels = np.ascontiguousarray(image(str(split), str(name)))
        middle = cv2.resize(pixels, (MEAN_SIDE, MEAN_SIDE), interpolation=cv2.INTER_AREA)
        thumbs[at] = cv2.resize(middle, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA)
        blocks[at] = _blocks(pixels)
        if label != UNLABELLED:
            sums[label] += middle
            counts[label] += 1
    means = sums / np.maximum(counts, 1)[:, None, None, None]
    means[counts == 0] = 255
    return Glance(thumbs, _looks(thumbs, blocks, images.index), np.round(means).astype(np.uint8))


def _looks(thumbs: Pixels, blocks: npt.NDArray[np.float64], index: pd.Index) -> pd.DataFrame:
    colour = thumbs.astype(np.float32)
    mean_N3 = colour.mean(axis=(1, 2))
    saturation = (colour.max(axis=3) - colour.min(axis=3)).mean(axis=(1, 2))
    columns = {
        "saturation": saturation,
        "red": mean_N3[:, 0] - mean_N3[:, 1],
        "blue": mean_N3[:, 2] - mean_N3[:, 1],
        "blocks": blocks,
    }
    return pd.DataFrame({name: np.asarray(v, np.float64) for name, v in columns.items()}, index=index)


def _blocks(pixels: Pixels) -> float:
    """How much larger the steps at JPEG's block edges are: strong compression draws a grid of 8 px.

    Scaling an image blurs the grid away, so this tells nothing of images larger than the cache.
    """
    width = pixels.shape[1]
    if width < 3 * JPEG_BLOCK:
        return 1.0
    green = pixels[:, :, 1]
    steps = cv2.reduce(cv2.absdiff(green[:, 1:], green[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0]
    edge = np.arange(len(steps)) % JPEG_BLOCK == JPEG_BLOCK - 1
    return float((steps[edge].mean() + 0.1) / (steps[~edge].mean() + 0.1))
