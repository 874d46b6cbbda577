"""`prepared`: images as models see them, cut, resized and preprocessed, one memory map a split.

Owns the stage only; the pixels are made by `pipeline/data/look.py`, by one object for both splits.
"""

from __future__ import annotations

import logging
import shutil

import numpy as np

from pipeline.core.errors import StorageError
from pipeline.data import images, load, quarantine
from pipeline.data.decode import Pixels
from pipeline.data.preprocess import Look
from pipeline.engine.stage import Built, Job

log = logging.getLogger(__name__)


def build(job: Job) -> Built:
    """Write train.npy and test.npy with their ids.

    Raises:
        DataError: images that do not decode (all of them are named), a crop without training boxes.
        StorageError: the prepared images will not fit on the disk.
    """
    config = job.settings.config
    quarantine.refuse(config, job.inputs["images"])
    decoded = load.decoded(job.inputs["images"])
    look = load.look(config, job.inputs)
    parts = [load.keyed(split).ids_N for split in load.splits(job.inputs["data"], job.home)]
    _announce(job, sum(len(part) for part in parts))
    for split, ids in (("train", np.concatenate([parts[0], *parts[2:]])), ("test", parts[1])):
        images.build_prepared(decoded, ids, _keyed(look), config.images.hw, job.draft / f"{split}.npy")
    height, width = config.images.hw
    return Built(metrics={"height_px": float(height), "width_px": float(width)}, lines=look.crop.notes)


def _keyed(look: Look) -> images.LookOf:
    """The look by image key instead of split and id."""

    def seen(key: str, image: Pixels) -> Pixels:
        split, _, name = key.partition("/")
        return look((split, name), image)

    return seen


def _announce(job: Job, n_images: int) -> None:
    height, width = job.settings.config.images.hw
    wanted, free = n_images * height * width * 3, shutil.disk_usage(job.draft).free
    log.info("prepared: %d images, %.0f MB (free: %.1f GB)", n_images, wanted / 1e6, free / 1e9)
    if wanted > free:
        raise StorageError(
            f"{job.home}: {wanted / 1e9:.1f} GB of prepared images do not fit into {free / 1e9:.1f} GB",
            remedy="use a smaller images.size, free space (`make du`, `make gc`), or set runtime.home",
        )
