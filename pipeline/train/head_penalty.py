"""`train.head_c=auto`: the penalty of a solved head of values, chosen within its training part.

The likelihood of classes has a unit of its own, and one C suited every set that was measured. The noise of a
value is not known before, and the best C ranged over three powers of ten.

Owns the parts of the training samples that judge a penalty, whole groups each, and the walk over penalties.
The samples of the fold's validation part are never looked at, so its score stays honest. Does not own the
problems themselves (`train/solved_heads.py`).

Legend: N samples, V views, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Samples, Strings
from pipeline.core.seeds import rng

Mask = npt.NDArray[np.bool_]
# The held-out loss of one penalty: from (samples to solve on, samples to judge by, C).
LossOf = Callable[[Mask, Mask, float], float]

# Where the walk starts; the C of too few groups to choose by, and of other targets.
USUAL_C = 0.03
# One step of the walk, and where it ends.
STEP = 10**0.5
SMALLEST_C, LARGEST_C = 1e-6, 100.0
PARTS = 3
_SMALLEST_STD = 1e-6
# More samples choose no better and take longer.
ENOUGH = 600


def chosen(samples: Samples, loss_of: LossOf) -> float:
    """The C with the smallest held-out loss, in steps of half a power of ten from 0.03.

    The objective is a sum over rows against the penalty, so the best C hardly depends on their number, and
    some of the samples can choose for all of them.

    Args:
        samples: the training part of a fold.
        loss_of: solves on some samples and judges by others; NaN: nothing to judge by.
    """
    masks = list(_parts(samples, _some(samples.groups_N)))
    if len(masks) < PARTS:
        return USUAL_C

    def loss(c: float) -> float:
        values = np.array([loss_of(solve_N, judge_N, c) for solve_N, judge_N in masks])
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    best, least = USUAL_C, loss(USUAL_C)
    if np.isnan(least):
        return USUAL_C
    for factor in (1 / STEP, STEP):
        c = best * factor
        while SMALLEST_C <= c <= LARGEST_C and (value := loss(c)) < least:
            best, least, c = c, value, c * factor
        if best != USUAL_C:
            break  # smaller ones are better, so larger ones are not
    return float(f"{best:.2g}")


def _some(groups_N: Strings) -> Mask:
    """(N,) the samples of as many whole groups as are needed."""
    names, group_N, count = np.unique(groups_N, return_inverse=True, return_counts=True)
    if len(groups_N) <= ENOUGH:
        return np.ones(len(groups_N), bool)
    order = rng(0, "head_penalty").permutation(len(names))
    before = np.cumsum(count[order]) - count[order]
    return np.isin(group_N, order[before < ENOUGH])


def _parts(samples: Samples, chosen_N: Mask) -> Iterator[tuple[Mask, Mask]]:
    """(N,) masks of the samples to solve on and to judge by; none if there are fewer groups than parts."""
    from sklearn.model_selection import GroupKFold

    at = np.flatnonzero(chosen_N)
    groups = samples.groups_N[at]
    if len(np.unique(groups)) < PARTS:
        return
    for solve, judge in GroupKFold(PARTS).split(at, groups=groups):
        masks = [np.zeros(len(chosen_N), bool) for _ in range(2)]
        masks[0][at[solve]] = masks[1][at[judge]] = True
        yield masks[0], masks[1]


def standardised(own_NVD: Floats, other_NVD: Floats, n_beside: int) -> tuple[Floats, Floats]:
    """Both by the mean and deviation of the first: else the others would look like what was solved on.

    A feature that hardly varies in a few samples is far out in others, which is what a penalty protects from.

    Args:
        own_NVD: features of the samples to solve on.
        other_NVD: of those to judge by.
        n_beside: columns of metadata at the end, which stay as they are.
    """
    mean_D = own_NVD.mean(axis=(0, 1), dtype=np.float64)
    std_D = np.maximum(own_NVD.std(axis=(0, 1), dtype=np.float64), _SMALLEST_STD)
    if n_beside:
        mean_D[-n_beside:], std_D[-n_beside:] = 0, 1
    own, other = (((part - mean_D) / std_D).astype(np.float32) for part in (own_NVD, other_NVD))
    ends_D = own.min(axis=(0, 1)), own.max(axis=(0, 1))
    n_own = own.shape[2] - n_beside
    other[..., :n_own] = other[..., :n_own].clip(*(end_D[:n_own] for end_D in ends_D))
    return own, other
