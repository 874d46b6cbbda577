"""`images`: every image decoded once, with the facts that EDA reads.

Owns the stage only; decoding is `pipeline/data/images.py`. Images that do not decode are listed in
quarantine.csv; what follows from that is `data/quarantine.py`. A killed run continues in its work
folder.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence

from pipeline.core.errors import StorageError
from pipeline.data import decode, images, load
from pipeline.data.decode import Decoding
from pipeline.engine.stage import Built, Job

log = logging.getLogger(__name__)

# Headers read for the estimate of disk space.
MEASURED = 400


def build(job: Job) -> Built:
    """Write decoded.bin, index.npz, facts.csv and quarantine.csv of all splits; ids carry their split.

    Raises:
        StorageError: the decoded images will not fit on the disk.
    """
    samples = [load.keyed(split) for split in load.splits(job.inputs["data"], job.home)]
    paths = [path for s in samples for path in s.paths_N.tolist()]
    settings = job.settings.config.images
    _announce(job, paths, settings.cache_px)
    work = job.store.work("images", job.key)
    before = images.build_decoded(samples, job.draft, Decoding.of(settings), work)
    if before:
        log.info("images: %d of %d were decoded before the last run was stopped", before, len(paths))
    faulty = images.DecodedImages(job.draft).faulty()
    fates = [f.fate for f in faulty]
    lines = []
    if n := fates.count(images.WHITE_IMAGE):
        lines.append(f"{n} images do not decode: quarantine.csv")
    if n := fates.count(images.IN_PART):
        lines.append(f"{n} truncated images are used in part: quarantine.csv")
    return Built(metrics={"images": float(len(paths)), "quarantined": float(len(faulty))}, lines=tuple(lines))


def _announce(job: Job, paths: Sequence[str], cache_px: int) -> None:
    """Bytes on disk, from the headers of some images, before the first is decoded."""
    some = paths[:: max(len(paths) // MEASURED, 1)]
    with decode.pillow():
        mean = sum(decode.kept_bytes(path, cache_px) for path in some) / max(len(some), 1)
    wanted, free = mean * len(paths), shutil.disk_usage(job.draft).free
    log.info("images: decoding %d, about %.0f MB (free: %.1f GB)", len(paths), wanted / 1e6, free / 1e9)
    if wanted > free:
        raise StorageError(
            f"{job.home}: about {wanted / 1e9:.1f} GB of decoded images do not fit into {free / 1e9:.1f} GB",
            remedy="keep them smaller (images.cache_px=256), free space (`make gc`), or set runtime.home",
        )
