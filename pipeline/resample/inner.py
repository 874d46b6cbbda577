"""The inner split: a share of a fold's training part that chooses, and is not trained on.

Owns which whole groups choose. Does not own what is chosen (early stopping, `train/stopping.py`). Only a
training part comes in, so the fold's validation part cannot be touched.

Shape legend: N training samples, C classes.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.samples import Strings
from pipeline.core.seeds import seed
from pipeline.data.deal import images_per_class, parts_of_groups
from pipeline.resample.indices import Part

log = logging.getLogger(__name__)


def inner_split(part: Part, own_ids: Strings, share: float, root_seed: int) -> tuple[Part, Strings]:
    """The training part without the inner split, and the ids of the inner split, sorted.

    Of the parts that a deal by class and whole groups gives, the first one that leaves as many classes as
    possible to train on.

    Args:
        part: a fold's training part.
        own_ids: the competition's own samples; those from elsewhere never choose.
        share: of the own samples that choose, met to the nearest 1/n.
        root_seed: equal seeds and folds give equal splits.

    Raises:
        DataError: all own samples are of one group, or of classes of one image.
    """
    samples = part.samples
    own = samples.take(samples.ids_N[np.isin(samples.ids_N, own_ids)])
    parts = parts_of_groups(own, max(round(1 / share), 2), seed(root_seed, "inner", part.fold))
    if len(parts) < 2:
        raise DataError(
            f"train.early_stopping: the training part of fold {part.fold} cannot be split by groups",
            remedy="train with train.early_stopping=null",
        )
    inside = [np.isin(samples.groups_N, own.take(ids).groups_N) for ids in parts]
    left = [int((images_per_class(samples.take(samples.ids_N[~mine_N])) > 0).sum()) for mine_N in inside]
    best = int(np.argmax(left))
    there = int((images_per_class(samples) > 0).sum())
    if left[best] < there:
        log.warning("fold %d: the inner split takes every image of %d classes", part.fold, there - left[best])
    train_N = ~inside[best]
    kept = replace(
        part,
        samples=samples.take(samples.ids_N[train_N]),
        times_N=None if part.times_N is None else part.times_N[train_N],
        features=None if part.features is None else part.features.take(samples.ids_N[train_N]),
    )
    return kept, np.sort(parts[best])
