"""`teach`: what one fold's model says of images that nobody labelled, or of those that it learned.

Owns the stage only: probabilities of the images as they are, and the ids of the labelled images that
the model has seen, so that a student can refuse a teacher that knows its validation labels
(`train/teachers.py`).
"""

from __future__ import annotations

import numpy as np

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Strings
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.nets.forward import Pass
from pipeline.nets.stages import is_probe
from pipeline.record import files
from pipeline.train import committee as votes
from pipeline.train import teachers
from pipeline.train.committee import Committee
from pipeline.train.teaching import OWN_PART


def build(job: Job) -> Built:
    """Write said.npz and seen.npy."""
    config, split = job.settings.config, str(job.params["split"])
    stored = "test" if split == "test" else "train"
    if split == OWN_PART:
        named = teachers.own_part(job)
        ids, space = named.ids_N, named.space
    else:
        named = teachers.unlabelled(job.inputs["data"], job.home, split)
        ids, space = load.samples(job.inputs["data"], split, job.home).ids_N, named.space
    committee = Committee.read(job.inputs["model"].folder)
    if is_probe(job.settings):
        features = load.features(dict(job.inputs), stored, ["identity"]).take(ids)
        (found, ms), *_ = votes.heads(config.model, space, committee, [features])
    else:
        images = load.prepared(job.inputs["prepared"], stored)
        plain = config.model_copy(update={"infer": config.infer.model_copy(update={"views": ["identity"]})})
        how = Pass(set_up(config.runtime), config.runtime.infer_batch)
        (found, ms), *_ = votes.networks(plain, space, committee, [(images, ids)], how)
    said = Probabilities(named.ids_N, space.classes, found.p_VNC[0], f"teacher {job.key}")
    files.write_probabilities(job.draft / teachers.SAID, said)
    np.save(job.draft / teachers.SEEN, _seen(job))
    return Built(metrics={"images": float(len(ids)), "ms_per_image": sum(ms)})


def _seen(job: Job) -> Strings:
    """Ids of the labelled images that the model may have learned from."""
    return teachers.own_part(job).ids_N
