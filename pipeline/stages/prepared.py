"""`prepared`: images at the size that models see, one memory map a split.

Owns the stage only; resizing is `pipeline/data/images.py`.
"""

import numpy as np

from pipeline.data import images
from pipeline.stages import load
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write train.npy and test.npy with their ids."""
    decoded = load.decoded(job.inputs["images"])
    parts = [load.keyed(split).ids_N for split in load.splits(job.inputs["data"], job.home)]
    for split, ids in (("train", np.concatenate([parts[0], *parts[2:]])), ("test", parts[1])):
        images.build_prepared(decoded, ids, job.settings.config.images, job.draft / f"{split}.npy")
    return Built(metrics={"size_px": float(job.settings.config.images.size)})
