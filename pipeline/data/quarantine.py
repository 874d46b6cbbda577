"""Images that do not decode: refused with all their names, or left out of everything downstream.

Owns what `images.quarantine` means. Does not own finding them (`data/images.py`) or decoding again.

    error   training, EDA and everything after it stop, and every faulty image is named
    drop    they leave the training samples, so folds, counts and training never see them; a test image
            must be answered all the same, and is predicted from a white square
"""

from __future__ import annotations

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.data.images import QUARANTINE, WHITE_IMAGE, Faulty
from pipeline.pages.report import plural
from pipeline.record.store import SHORT, Artifact
from pipeline.settings.schema import Config

SHOWN = 20
NAMES = {
    "train": "training images",
    "extra": "images of other sources",
    "unlabelled": "images without labels",
}
REMEDY = (
    "replace these files, or go on without them: images.quarantine=drop "
    "(truncated ones can be used in part: images.truncated=allow)"
)


def refuse(config: Config, images: Artifact) -> None:
    """Stop at images that do not decode, unless they are to be dropped.

    Raises:
        DataError: naming every one of them: split, id, path and why.
    """
    lost = _lost(images)
    if lost and config.images.quarantine == "error":
        table = images.folder / QUARANTINE
        raise DataError(
            f"{plural(len(lost), 'image does', 'images do')} not decode; all: {table}",
            [told(f) for f in lost],
            REMEDY,
        )


def without(samples: Samples, images: Artifact) -> tuple[Samples, list[str]]:
    """The samples without those that do not decode, and what to tell about it.

    A test set keeps every sample.
    """
    lost = [f for f in _lost(images) if f.split == samples.split]
    if not lost:
        return samples, []
    named = [told(f) for f in lost[:SHOWN]]
    if len(lost) > SHOWN:
        named.append(f"… and {len(lost) - SHOWN} more: {QUARANTINE} of images {images.key[:SHORT]}")
    if samples.split == "test":
        return samples, [f"{len(lost)} test images do not decode: predicted from a white square", *named]
    names = [f.id for f in lost]
    kept = samples.take(samples.ids_N[~np.isin(samples.ids_N, names)])
    return kept, [f"{len(lost)} {NAMES[samples.split]} do not decode: left out", *named]


def told(faulty: Faulty) -> str:
    """`train 0a1f: images/0a1f.jpg: image file is truncated`."""
    return f"{faulty.split} {faulty.id}: {faulty.path}: {faulty.why}"


def _lost(images: Artifact) -> list[Faulty]:
    return [f for f in load.decoded(images).faulty() if f.fate == WHITE_IMAGE]
