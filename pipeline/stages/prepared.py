"""`prepared`: images at the size that models see, one memory map a split.

Owns the stage only; resizing is `pipeline/data/images.py`.
"""

from pipeline.data import images
from pipeline.stages import load
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write train.npy and test.npy with their ids."""
    decoded = load.decoded(job.inputs["images"])
    for split in ("train", "test"):
        ids = load.samples(job.inputs["data"], split, job.home).ids_N
        images.build_prepared(decoded, ids, job.settings.config.images, job.draft / f"{split}.npy")
    return Built(metrics={"size_px": float(job.settings.config.images.size)})
