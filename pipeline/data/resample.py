"""Which of a fold's training rows an epoch shows: random under- and oversampling, as indices.

Owns: how many rows of a class there shall be, and drawing them. Does not own folds (`folds.py`): only
the labels of a fold's training part come in, so validation rows cannot be touched.

Drawing is imbalanced-learn's RandomUnderSampler and RandomOverSampler, https://imbalanced-learn.org.

Shape legend: N training samples, R rows, C classes.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.seeds import seed
from pipeline.core.types import Ints, TrainRows
from pipeline.settings.schema import ResampleSettings

SEED_LIMIT = 2**32
ONE_CLASS = "check the labels and the folds, or set resample.method=none"


def rows(labels_N: Ints, settings: ResampleSettings, fold: int, epoch: int) -> TrainRows:
    """The rows of one epoch: what stays in table order, then the copies.

    Args:
        labels_N: class of each of the fold's training samples, in table order.
        settings: what is dropped or repeated.
        fold: each fold draws on its own.
        epoch: enters the draw only with `redraw`; without, all epochs show the same rows.

    Raises:
        ConfigError: `to` needs a `cap` or `ratio` that is not given.
        DataError: there is only one class, so there is nothing to balance it against.
    """
    targets = _targets(labels_N, settings)
    present = np.bincount(labels_N) if len(labels_N) else np.zeros(0, np.int64)
    if all(present[c] == n for c, n in targets.items()):
        return TrainRows.of(np.arange(len(labels_N)))
    # Imported here: it takes a second, and most runs resample nothing.
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler_of = {"under": RandomUnderSampler, "over": RandomOverSampler}[settings.method]
    draw = seed(settings.seed, "resample", fold, epoch if settings.redraw else 0) % SEED_LIMIT
    if len(targets) == 1:
        raise DataError(f"fold {fold}: only one class to train on, nothing to resample", remedy=ONE_CLASS)
    sampler = sampler_of(sampling_strategy=targets, random_state=draw)
    with warnings.catch_warnings():
        # scikit-learn takes many classes of few samples for a regression; they are classes.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        sampler.fit_resample(np.zeros((len(labels_N), 1)), np.asarray(labels_N))
    index_R = np.asarray(sampler.sample_indices_, dtype=np.int64)
    return TrainRows.of(np.sort(index_R) if settings.method == "under" else index_R)


def counts(labels_N: Ints, chosen: TrainRows, n_classes: int) -> tuple[Ints, Ints]:
    """(C,) images per class before, and rows per class after."""
    before_C = np.bincount(labels_N, minlength=n_classes).astype(np.int64)
    after_C = np.bincount(labels_N[chosen.index_R], minlength=n_classes).astype(np.int64)
    return before_C, after_C


def _targets(labels_N: Ints, settings: ResampleSettings) -> dict[int, int]:
    """How many rows each class that occurs shall have."""
    classes, sizes = np.unique(labels_N, return_counts=True)
    have = {int(c): int(n) for c, n in zip(classes, sizes, strict=True)}
    if settings.method == "none" or not have:
        return have
    bound = _bound(list(have.values()), settings)
    pick = min if settings.method == "under" else max
    return {c: pick(n, bound) for c, n in have.items()}


def _bound(sizes: list[int], settings: ResampleSettings) -> int:
    """The most (under) or fewest (over) rows of a class."""
    under = settings.method == "under"
    if settings.to == "cap":
        if settings.cap is None:
            raise ConfigError("resample.to=cap needs a cap", remedy="set resample.cap, e.g. resample.cap=200")
        return settings.cap
    if settings.to == "ratio":
        if settings.ratio is None:
            raise ConfigError("resample.to=ratio needs a ratio", remedy="set resample.ratio, e.g. 3")
        # Rounded to the side that keeps largest : smallest within the ratio.
        return math.floor(settings.ratio * min(sizes)) if under else math.ceil(max(sizes) / settings.ratio)
    return min(sizes) if under else max(sizes)
