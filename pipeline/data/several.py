"""Several images of one sample: their names, their pixels in one row, and the picture that a page shows.

Owns what an image of a sample is called and how the images lie in one array. Does not own finding them
(`data/sample_files.py`) nor what a network makes of them (`nets/several.py`).

The prepared images of a sample lie one behind the other along the axis of channels: (H, W, I · C). A sample
is one row everywhere: in folds, resampling, mixing and batches. A sample with fewer images than others has
zeros in the last places, and zeros mean that there is no image: a picture that is black everywhere gets one
value of 1. Whatever changes pixels at random leaves such places alone.

Legend: H height, W width, C channels of one image, I images of a sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.sample_paths import images_of
from pipeline.core.samples import Samples
from pipeline.data import texts
from pipeline.data.channels import preview
from pipeline.settings.inputs import SeveralImagesSettings

Pixels = npt.NDArray[np.uint8]


class Contains(Protocol):
    """Whatever tells whether an image is in it."""

    def __contains__(self, name: str, /) -> bool:
        """Whether an image of this name is there."""


# A unit separator stands between a sample's id and the number of an image after the first.
_FURTHER = "\x1f"
GAP_PX, WHITE = 2, 255


def image_name(sample: str, at: int) -> str:
    """The name of an image of a sample: the id of the sample for the first one."""
    return f"{sample}{_FURTHER}{at + 1}" if at else sample


def is_further(name: str) -> bool:
    """Whether this is the name of an image after the first of its sample."""
    return re.search(f"{_FURTHER}\\d+$", name) is not None


def sample_of(name: str) -> str:
    """The id of the sample that an image of this name belongs to."""
    return name.partition(_FURTHER)[0]


def shown_name(name: str) -> str:
    """The name of an image as a page shows it: `17, image 2`."""
    sample, further, number = name.partition(_FURTHER)
    return texts.IMAGE_OF_SAMPLE.format(sample=sample, number=number) if further else name


def of(samples: Samples) -> list[list[tuple[str, str]]]:
    """(name, path) of each image, for each sample."""
    pairs = zip(samples.ids_N.tolist(), samples.paths_N.tolist(), strict=True)
    return [[(image_name(name, at), own) for at, own in enumerate(images_of(path))] for name, path in pairs]


def names(samples: Samples) -> list[list[str]]:
    """The names of the images of each sample."""
    return [[name for name, _ in own] for own in of(samples)]


def paths(samples: Samples) -> list[str]:
    """The paths of all images."""
    return [path for own in of(samples) for _, path in own]


def names_in(sample: str, there: Contains) -> list[str]:
    """The names of a sample's images among those that are there; at least its first one."""
    found = [sample]
    while (further := image_name(sample, len(found))) in there:
        found.append(further)
    return found


def most(names: Sequence[Sequence[str]], settings: SeveralImagesSettings | None) -> int:
    """I, the places for images in a row: as the settings say, or the most that a sample has."""
    found = max((len(own) for own in names), default=1)
    return max(found, settings.fixed or 1) if settings is not None else found


def stacked(pictures: Sequence[Pixels], places: int) -> Pixels:
    """(H, W, I · C) the images of one sample in this many places."""
    height, width, channels = pictures[0].shape
    row = np.zeros((height, width, places * channels), np.uint8)
    for at, picture in enumerate(pictures):
        row[..., at * channels : (at + 1) * channels] = picture
        if not picture.any():
            row[0, 0, at * channels] = 1
    return row


def split(row_HWC: Pixels, channels: int) -> list[Pixels]:
    """(H, W, C) each image of a row of prepared pixels, without the places that are empty."""
    places = [row_HWC[..., at : at + channels] for at in range(0, row_HWC.shape[2], channels)]
    if len(places) == 1:
        return places
    return [place for place in places if place.any()] or places[:1]


def each(row_HWC: Pixels, channels: int, change: Callable[[Pixels, int], Pixels]) -> Pixels:
    """The row with every image changed, given its pixels and its place; empty places stay empty.

    The change may give images of another size, the same for all.
    """
    if row_HWC.shape[2] == channels:
        return change(row_HWC, 0)
    images = {
        at: np.ascontiguousarray(row_HWC[..., at * channels : (at + 1) * channels])
        for at in range(row_HWC.shape[2] // channels)
    }
    made = {at: change(image, at) for at, image in images.items() if image.any()}
    if not made:
        return np.zeros_like(np.concatenate([change(image, at) for at, image in images.items()], axis=2))
    row = np.zeros((*next(iter(made.values())).shape[:2], row_HWC.shape[2]), row_HWC.dtype)
    for at, image in made.items():
        row[..., at * channels : (at + 1) * channels] = image
        if not image.any():
            row[0, 0, at * channels] = 1
    return row


def strip(pictures: Sequence[Pixels]) -> Pixels:
    """(H, W, 3) the pictures side by side, as high as the first, with a white gap between them."""
    if len(pictures) == 1:
        return pictures[0]
    height = pictures[0].shape[0]
    gap = np.full((height, GAP_PX, pictures[0].shape[2]), WHITE, np.uint8)
    parts: list[Pixels] = []
    for picture in pictures:
        width = max(round(picture.shape[1] * height / picture.shape[0]), 1)
        same = picture.shape[0] == height
        scaled = picture if same else cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        parts += [gap, np.asarray(scaled, dtype=np.uint8)]
    return np.concatenate(parts[1:], axis=1)


def shown(row_HWC: Pixels, channels: int) -> Pixels:
    """(H, W, 3) what a page shows of a row of prepared pixels: all images of the sample side by side."""
    return strip([preview(np.ascontiguousarray(image)) for image in split(np.asarray(row_HWC), channels)])
