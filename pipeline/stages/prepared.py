"""`prepared`: images as models see them, cut, resized and preprocessed, one memory map a split.

Owns the stage only; the pixels are made by `pipeline/data/look.py`, by one object for both splits.
"""

from __future__ import annotations

import logging
import shutil

import numpy as np

from pipeline.core.errors import StorageError
from pipeline.data import images
from pipeline.data.look import Look
from pipeline.data.resize import Pixels
from pipeline.stages import load, quarantine
from pipeline.stages.context import Built, Job

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
    train, test, *others = (load.keys(split) for split in load.splits(job.inputs["data"], job.home))
    # Images from elsewhere train too: they stand with the training images.
    parts = {"train": np.concatenate([train, *others]), "test": test}
    _announce(job, sum(len(keys) for keys in parts.values()))
    for split, keys in parts.items():
        path = job.draft / f"{split}.npy"
        images.build_prepared(decoded, keys, _of(look), config.images.hw, path)
    height, width = config.images.hw
    return Built(metrics={"height_px": float(height), "width_px": float(width)}, lines=look.crop.notes)


def _of(look: Look) -> images.LookOf:
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
