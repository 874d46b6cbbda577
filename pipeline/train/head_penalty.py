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
# As in `train/heads.py`, which needs torch; the plan of a budget reads this file without it.
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
        told = ~np.isnan(values)
        weights = np.array([judge_N.sum() for _, judge_N in masks])[told]
        return float(np.average(values[told], weights=weights)) if told.any() else float("nan")

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
    """(N,) samples of as many groups as are needed: all of a small group, and some of a large one.

    Of a group no more than there would be in each of `PARTS` equal ones: else one large group would be all.
    """
    if len(groups_N) <= ENOUGH:
        return np.ones(len(groups_N), bool)
    at_N = rng(0, "head_penalty").permutation(len(groups_N))
    names, group_N = np.unique(groups_N[at_N], return_inverse=True)
    taken_N, total = np.zeros(len(groups_N), bool), 0
    for group in rng(0, "head_penalty groups").permutation(len(names)):
        own = at_N[np.flatnonzero(group_N == group)[: ENOUGH // PARTS]]
        taken_N[own] = True
        total += len(own)
        if total >= ENOUGH:
            break
    return taken_N


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
