"""Faults planted into a competition's own data and out-of-fold predictions: what finders are tuned on.

Owns the stage: one planting of one seed into one half of the groups. Half of them are for searching, the
others for the re-test, so no image is in both. Does not own planting (`analyze/planting.py`) nor looking
for the faults (`stages/finders.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.analyze import planting
from pipeline.analyze.glance import glance
from pipeline.analyze.planting import PLANTED_GROUPS, Spoilt
from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.seeds import rng
from pipeline.core.types import Samples, Strings
from pipeline.data.decode import phash
from pipeline.record.store import Artifact
from pipeline.stages import load
from pipeline.stages.context import Built, Job

SEARCH, CONFIRM = "search", "confirm"
FILE = "faults.npz"
# Fewer groups in a half are too few to plant anything that chance does not find.
FEWEST_GROUPS = 2 * PLANTED_GROUPS


def build(job: Job) -> Built:
    """Write faults.npz.

    Raises:
        DataError: there are too few groups.
    """
    number = int(job.params["seed"])
    known, oof = half(job.inputs, str(job.params["side"]), job)
    facts = of_train(job.inputs["images"])
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
        job.draft / FILE,
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


def half(inputs: Mapping[str, Artifact], side: str, job: Job) -> tuple[Samples, Probabilities]:
    """One half of the groups that have out-of-fold predictions, and these.

    Raises:
        DataError: they are too few.
    """
    train = load.samples(inputs["data"], "train", job.home)
    oof = load.oof(inputs["of"], "out-of-fold").with_classes(train.space.classes)
    train = train.take(oof.ids_N)
    ids = train.ids_N[np.isin(train.groups_N, halves(np.unique(train.groups_N), side))]
    return train.take(ids), oof.take(ids)


def halves(groups: Strings, side: str) -> Strings:
    """One half of the groups.

    Raises:
        DataError: they are too few.
    """
    if len(groups) < 2 * FEWEST_GROUPS:
        raise DataError(
            f"{len(groups)} groups of images have out-of-fold predictions: too few to plant faults",
            remedy=f"it takes {2 * FEWEST_GROUPS}: half of them for searching, half for the re-test",
        )
    order = rng(0, "halves for planted faults").permutation(len(groups))
    middle = len(groups) // 2
    return groups[order[:middle] if side == SEARCH else order[middle:]]


def of_train(images: Artifact) -> pd.DataFrame:
    """Facts of the training images."""
    facts = load.facts(images)
    return facts[facts["split"] == "train"]


def planted(artifact: Artifact) -> tuple[dict[str, npt.NDArray[Any]], list[Spoilt]]:
    """What `build` wrote."""
    with np.load(artifact.folder / FILE) as file:
        found = {name: file[name] for name in file.files}
    rows = zip(found["names"].tolist(), found["inside"], found["predicted"], strict=True)
    return found, [Spoilt(*row) for row in rows]
