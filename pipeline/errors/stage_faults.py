"""Faults planted into a competition's own data and out-of-fold predictions: what finders are tuned on.

Owns the stage: one planting of one seed into one half of the groups. Half of them are for searching, the
others for the re-test, so no image is in both. Does not own planting (`errors/findings/planting.py`) nor looking
for the faults (`errors/stage_finders.py`).
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.data import load
from pipeline.data.decode import phash
from pipeline.eda.survey import glance
from pipeline.engine.stage import Built, Job
from pipeline.errors.findings import planting


def build(job: Job) -> Built:
    """Write faults.npz.

    Raises:
        DataError: there are too few groups.
    """
    number = int(job.params["seed"])
    known, oof = planting.half(job.inputs, str(job.params["side"]), job)
    facts = planting.of_train(job.inputs["images"])
    image = load.image_of(job.inputs["images"])
    rows = facts.set_index("id").loc[known.ids_N.tolist()].reset_index()
    rows = rows.assign(split="train", label=known.labels, group=known.groups_N)
    # Equal files are found by their bytes; here they would be near-duplicates that nobody planted.
    rows = rows[~rows["sha256"].duplicated()]
    of_K = planting.copied(len(rows), number)
    copies = [planting.altered(image("train", name), number, name) for name in rows["id"].iloc[of_K]]
    seen = glance(rows, known.space.n_classes, image)
    hashes = [*rows["phash"], *(phash(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY)) for c in copies)]
    spoilt = list(planting.spoilt(known, oof.labels(), facts, number))
    np.savez_compressed(
        job.draft / planting.FAULTS,
        labels=planting.turned(known, number),
        of=of_K,
        groups=rows["group"].to_numpy(np.str_),
        hashes=np.array([int(text, 16) for text in hashes], np.uint64),
        thumbs=np.concatenate([seen.thumbs_NTT3, np.stack([planting.thumb(c) for c in copies])]),
        names=np.array([s.name for s in spoilt], dtype=np.str_),
        inside=np.stack([s.inside_N for s in spoilt]) if spoilt else np.zeros((0, len(known)), bool),
        predicted=np.stack([s.predicted_N for s in spoilt]) if spoilt else np.zeros((0, len(known)), int),
    )
    planted = {"copies": float(len(of_K)), "slices": float(len(spoilt)), "images": float(len(known))}
    return Built(planted)
