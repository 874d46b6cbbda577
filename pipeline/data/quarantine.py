"""Images that do not decode: all of them named in one error, or left out of everything that follows.

Owns the meaning of `images.quarantine`. Does not own finding them (`data/images.py`) or decoding again.

    error   training, EDA and everything after it stop, and every faulty image is named
    drop    they leave the training samples, so folds, counts and training do not contain them; a test image
            still needs a prediction, and is predicted from a white square
"""

from __future__ import annotations

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.samples import Samples
from pipeline.core.wording import worded
from pipeline.data import load, several, texts
from pipeline.data.images import QUARANTINE, WHITE_IMAGE, Faulty
from pipeline.pages.report import plural
from pipeline.record.store import SHORT, Artifact
from pipeline.settings.schema import Config

SHOWN = 20


def refuse(config: Config, images: Artifact) -> None:
    """Raise for images that do not decode, unless they are to be dropped.

    Raises:
        DataError: naming every one of them: split, id, path and why.
    """
    lost = _lost(images)
    if lost and config.images.quarantine == "error":
        table = images.folder / QUARANTINE
        raise DataError(
            texts.QUARANTINE.format(images=plural(len(lost), "image does", "images do"), table=table),
            [line_of(f) for f in lost],
            texts.QUARANTINE_REMEDY,
        )


def refuse_missing(config: Config, images: Artifact) -> None:
    """Raise for samples with fewer images than others, where the network needs the same number of each.

    Raises:
        DataError: naming all of them.
    """
    settings = config.competition.images_per_sample
    if config.model.pool_images != "concat" or settings is None or settings.fixed is None:
        return
    decoded = load.decoded(images)
    counts = {
        name: len(several.names_in(name, decoded))
        for name in decoded.ids.tolist()
        if not several.is_further(name)
    }
    short = [(name, count) for name, count in counts.items() if count != settings.fixed]
    if short:
        raise DataError(
            worded(texts.FEWER_IMAGES, samples=len(short), wanted=settings.fixed),
            [texts.FEWER_IMAGES_OF.format(sample=name, images=count) for name, count in short],
            texts.FEWER_IMAGES_REMEDY,
        )


def without(samples: Samples, images: Artifact) -> tuple[Samples, list[str]]:
    """The samples without those that do not decode, and lines about them; a test set keeps every sample."""
    lost = [f for f in _lost(images) if f.split == samples.split]
    if not lost:
        return samples, []
    named = [line_of(f) for f in lost[:SHOWN]]
    if len(lost) > SHOWN:
        left, key = len(lost) - SHOWN, images.key[:SHORT]
        named.append(texts.QUARANTINE_MORE.format(images=left, table=QUARANTINE, key=key))
    if samples.split == "test":
        return samples, [worded(texts.QUARANTINE_TEST, images=len(lost)), *named]
    names = {f.id for f in lost}
    # A sample is left out with any of its images.
    faulty = [not names.isdisjoint(own) for own in several.names(samples)]
    kept = samples.take(samples.ids_N[~np.array(faulty, bool)])
    split = texts.QUARANTINE_SPLITS[samples.split]
    return kept, [worded(texts.QUARANTINE_DROPPED, images=len(lost), split=split), *named]


def line_of(faulty: Faulty) -> str:
    """`train 0a1f: images/0a1f.jpg: image file is truncated`."""
    return texts.FAULTY_IMAGE.format(split=faulty.split, id=faulty.id, path=faulty.path, why=faulty.why)


def _lost(images: Artifact) -> list[Faulty]:
    return [f for f in load.decoded(images).faulty() if f.fate == WHITE_IMAGE]
