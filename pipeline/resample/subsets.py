"""Subsets of a fold's training part: a share of its groups, a bootstrap, inner folds, an inner split.

Owns drawing them. Does not own what is trained on them (`train/members.py`) nor what the inner split decides
(early stopping, `train/loop.py`). Only a training part comes in, so a validation row cannot go out. Whole
groups are drawn, because the photos of one group are not independent evidence.

Bootstrap by groups: Breiman, Bagging Predictors (Machine Learning 24, 1996), with groups as its cases.

Shape legend: N training samples, G groups, C classes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError
from pipeline.core.group_resampling import times_drawn
from pipeline.core.language import _
from pipeline.core.samples import Ints, Strings
from pipeline.core.seeds import rng, seed
from pipeline.data import load
from pipeline.data.folds import codes, images_per_class, parts_of_groups
from pipeline.data.strata import Strata, one_each
from pipeline.record.store import Artifact
from pipeline.resample.indices import Part
from pipeline.settings.resample import FEATURE_METHODS
from pipeline.settings.schema import Config

log = logging.getLogger(__name__)

Bools = npt.NDArray[np.bool_]


def neighbour_views(config: Config, inputs: Mapping[str, Artifact]) -> list[str]:
    """The views whose features resampling uses, among a job's inputs; none for random draws."""
    return load.views_of(inputs, "train") if config.resample.method in FEATURE_METHODS else []


def of_fold(inputs: Mapping[str, Artifact], number: int, config: Config, home: Path) -> Part:
    """A fold's training part from the artifacts of a job, with the features that its resampling uses."""
    split = load.plan(inputs["folds"]).splits[number]
    train = load.training(inputs["data"], home).take(split.train_ids).for_training()
    views = neighbour_views(config, inputs)
    features = load.features(inputs, "train", views) if views else None
    return Part(train, number, split.times_T, features)


def take(part: Part, kept_N: Bools) -> Part:
    """The samples of a training part that are marked, in their order."""
    times = None if part.times_N is None else part.times_N[kept_N]
    return replace(part, samples=part.samples.take(part.samples.ids_N[kept_N]), times_N=times)


def group_share(part: Part, share: float, root_seed: int) -> Part:
    """The part with a share of its groups; the groups of a smaller share are among those of a larger one.

    The share, above 0 and at most 1, is taken class by class (a group counts where most of its images are),
    rounded up: every class keeps a group. Each fold draws its own groups.
    """
    if share >= 1:
        return part
    names, group_N = np.unique(part.samples.groups_N, return_inverse=True)
    of = Strata.of(part.samples)
    table_GC = of.sizes_in(group_N.reshape(-1), len(names)).astype(np.float64)
    if not one_each(part.samples):  # a group counts as its rarest label, or the range of its first value
        table_GC = (table_GC > 0) / np.maximum(of.sizes_S, 1)
    class_G = table_GC.argmax(axis=1)
    order_G = rng(root_seed, "group share", part.fold).permutation(len(names))
    kept: list[int] = []
    for c in np.unique(class_G):
        of_class = order_G[class_G[order_G] == c]
        kept += of_class[: math.ceil(round(share * len(of_class), 9))].tolist()
    return take(part, np.isin(group_N, kept))


def bag(part: Part, root_seed: int, member: int) -> Part:
    """A bootstrap of the part: as many groups as it has, drawn with replacement.

    About 63 % of the groups are in it, each as often as it was drawn.
    """
    group_N = codes(part.samples.groups_N)
    n_groups = int(group_N.max()) + 1
    times_N = times_drawn(rng(root_seed, "bag", part.fold, member), n_groups, 1)[0][group_N]
    if part.times_N is not None:
        times_N = times_N * part.times_N
    return take(replace(part, times_N=times_N.astype(np.int64)), times_N > 0)


def inner_folds(
    part: Part, n: int, root_seed: int, member: int, setting: str = "train.chain.inner"
) -> list[Strings]:
    """The ids of the part in at most n disjoint inner folds that share no group.

    Raises:
        DataError: the part cannot be split: it has one group, or one image per class.
    """
    parts = parts_of_groups(part.samples, n, seed(root_seed, "inner", part.fold, member))
    if len(parts) < 2:
        raise DataError(
            _("{setting}: fold {fold}'s training part cannot be split by groups").format(
                setting=setting, fold=part.fold
            ),
            remedy=_("it needs two groups and a class with two images; otherwise set {setting}=0").format(
                setting=setting
            ),
        )
    return parts


def some_of_each_class(labels_N: Ints, among_N: Bools, share: float, root_seed: int, *purpose: int) -> Bools:
    """(N,) a share of the marked samples, drawn class by class and rounded up."""
    order_N = rng(root_seed, "others", *purpose).permutation(len(labels_N))
    chosen_N = np.zeros(len(labels_N), bool)
    for c in np.unique(labels_N[among_N]):
        of_class = order_N[(among_N & (labels_N == c))[order_N]]
        chosen_N[of_class[: math.ceil(round(share * len(of_class), 9))]] = True
    return chosen_N


def inner_split(part: Part, own_ids: Strings, share: float, root_seed: int) -> tuple[Part, Strings]:
    """The training part without the inner split, and the ids of the inner split, sorted.

    The training part is divided by class and whole groups. The inner split is the first of these parts that
    leaves as many classes as possible to train on.

    Args:
        part: a fold's training part.
        own_ids: the competition's own samples; those from elsewhere are never in the inner split.
        share: of the own samples that are in the inner split, to the nearest 1/n.
        root_seed: equal seeds and folds give equal splits.

    Raises:
        DataError: all own samples belong to one group, or to classes with one image.
    """
    samples = part.samples
    own = samples.take(samples.ids_N[np.isin(samples.ids_N, own_ids)])
    parts = parts_of_groups(own, max(round(1 / share), 2), seed(root_seed, "inner", part.fold))
    if len(parts) < 2:
        raise DataError(
            _("train.early_stopping: the training part of fold {fold} cannot be split by groups").format(
                fold=part.fold
            ),
            remedy=_("set train.early_stopping=null"),
        )
    inside = [np.isin(samples.groups_N, own.take(ids).groups_N) for ids in parts]
    left = [int((images_per_class(samples.take(samples.ids_N[~mine_N])) > 0).sum()) for mine_N in inside]
    best = int(np.argmax(left))
    present = int((images_per_class(samples) > 0).sum())
    if left[best] < present:
        lost = present - left[best]
        log.warning(
            _("fold {fold}: the inner split takes every image of {lost} classes").format(
                fold=part.fold, lost=lost
            )
        )
    train_N = ~inside[best]
    features = None if part.features is None else part.features.take(samples.ids_N[train_N])
    return replace(take(part, train_N), features=features), np.sort(parts[best])
