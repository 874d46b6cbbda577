"""`images`: every image decoded once, with the facts that EDA reads.

Owns the stage only; decoding is `pipeline/data/images.py`.
"""

from pipeline.data import images
from pipeline.stages import load
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write decoded.bin, index.npz and facts.csv of all splits; ids carry their split.

    Raises:
        DataError: images that do not decode, all of them.
    """
    samples = [load.keyed(split) for split in load.splits(job.inputs["data"], job.home)]
    images.build_decoded(samples, job.draft, job.settings.config.images.cache_px)
    return Built(metrics={"images": float(sum(len(s) for s in samples))})
