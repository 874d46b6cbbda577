"""Whether the out-of-fold score is too high: groups and copies on both sides of a fold, or in train and test.

Owns the checks by look-up: each validation image is predicted with the label of the most similar training
image. A network learns more than that, but what a look-up gains from relatives in training is what any model
can gain. Does not own finding copies (`eda/duplicates.py`).

The gain is measured, not assumed: the same look-up on the folds as they are, and on folds that keep groups
and copies together. Source of the idea: Kaufman et al. (2012), Leakage in Data Mining,
doi:10.1145/2382577.2382579.

Shape legend: N training images, T test images, M = N + T, D pixels of a thumbnail, Q queries, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold

from pipeline.core import seeds
from pipeline.core.neighbours import linked, search, squares
from pipeline.core.samples import Ints
from pipeline.eda import duplicates
from pipeline.pages.report import percent, plural
from pipeline.submit import texts
from pipeline.submit.gap.scene import Cause, GapScene, in_units_of_score

Values = npt.NDArray[np.float64]

# Shares from which a leak is reported: of images with relatives on the other side, of right answers.
TOUCHED, GAINED = 0.01, 0.01
# Standard errors that a gain must exceed: one-sided 0.5 %, because several checks are made at once.
CLEAR = 2.6
# From this AUC on, validation images have closer relatives in training than test images have.
CLOSER = 0.7
MOST_IMAGES = 4000


@dataclass(frozen=True)
class Families:
    """Which images belong together.

    Args:
        copies_M: number of each image's set of copies; an image without copies has a number of its own.
        family_N: number of each training image's family: groups and copies joined.
    """

    copies_M: Ints
    family_N: Ints


def find_families(scene: GapScene) -> Families:
    """Groups, equal files and near-duplicates."""
    images = scene.images
    names = list(zip(images["split"].astype(str), images["id"].astype(str), strict=True))
    place = {name: at for at, name in enumerate(names)}
    first = images["sha256"].map(
        dict(zip(images["sha256"][::-1], range(len(images) - 1, -1, -1), strict=True))
    )
    pairs = [np.stack([np.arange(len(images)), first.to_numpy(np.int64)], axis=1)]
    for copies in duplicates.near_duplicates(images, scene.glance, scene.settings):
        at = [place[member] for member in copies.members]
        pairs.append(np.array([(at[0], other) for other in at[1:]], np.int64))
    pairs_P2 = np.concatenate(pairs)
    copies_M = linked(pairs_P2[:, 0], pairs_P2[:, 1], len(images))
    n_train = len(scene.train)
    group_N = np.unique(scene.groups, return_inverse=True)[1].astype(np.int64)
    # Training images are linked by a shared group and by a shared set of copies.
    hub = np.concatenate(
        [group_N + n_train, np.unique(copies_M[:n_train], return_inverse=True)[1] + 2 * n_train]
    )
    return Families(copies_M, linked(np.tile(np.arange(n_train), 2), hub, 3 * n_train)[:n_train])


def pixels(thumbs_NTT3: npt.NDArray[np.generic]) -> Values:
    """(N, D) thumbnails as numbers from 0 to 1."""
    return thumbs_NTT3.reshape(len(thumbs_NTT3), -1).astype(np.float64) / 255


def nearest(x_ND: Values, query_QD: Values) -> tuple[Ints, Values]:
    """(Q,) place of the image nearest to each query, and its distance."""
    at_Q1, square_Q1 = search(query_QD, x_ND, 1, squares)
    return at_Q1[:, 0], np.sqrt(square_Q1[:, 0])


def plan_rows(scene: GapScene) -> list[tuple[Ints, Ints]]:
    """(training rows, validation rows) of each fold, images from elsewhere left out."""
    at = pd.Series(np.arange(len(scene.train)), index=scene.train["id"].astype(str))
    return [
        tuple(at.reindex(list(ids)).dropna().to_numpy(np.int64) for ids in (s.train_ids, s.valid_ids))  # type: ignore[misc]
        for s in scene.plan.splits
    ]


def right_by_lookup(x_ND: Values, scene: GapScene, folds: list[tuple[Ints, Ints]]) -> tuple[Values, Values]:
    """(N,) share of folds in which the look-up is right, and its distance; NaN for never validated images."""
    truth = scene.truth
    right_N, distance_N, times_N = (np.zeros(len(truth)) for _ in range(3))
    for train, valid in folds:
        if len(train) and len(valid):
            at, distance = nearest(x_ND[train], x_ND[valid])
            right_N[valid] += scene.agreement(truth[train][at], truth[valid])
            distance_N[valid] += distance
            times_N[valid] += 1
    with np.errstate(invalid="ignore"):
        return right_N / times_N, distance_N / times_N


def check(scene: GapScene, shifted: bool) -> tuple[Cause, Cause]:
    """Group leak, and duplicates.

    `shifted`: test images are known to look different, so their distances say nothing about leaks.
    """
    families = find_families(scene)
    folds = _sampled_folds(scene, families)
    x_ND = pixels(scene.glance.thumbs_NTT3[~scene.is_test])
    actual_N, distance_N = right_by_lookup(x_ND, scene, folds)
    by_group = _split_share(np.unique(scene.groups, return_inverse=True)[1].astype(np.int64), folds)
    by_copy = _split_share(families.copies_M[: len(x_ND)], folds)
    gain, error = 0.0, 0.0
    if max(by_group, by_copy) >= TOUCHED:
        whole_N = right_by_lookup(x_ND, scene, _kept_together(scene, families, folds))[0]
        gain, error = _gain(actual_N, whole_N, families.family_N)
    leaks = gain >= GAINED and gain > CLEAR * error
    groups = _groups(scene, by_group, (gain, error), leaks)
    if not groups.found and not shifted and max(by_group, by_copy) < TOUCHED:
        groups = _unknown_groups(scene, x_ND, distance_N, folds) or groups
    # The most that known answers can gain: the share that a look-up gets wrong.
    wrong = float(1 - np.nanmean(actual_N)) if np.isfinite(actual_N).any() else 0.0
    leak = (by_copy, gain) if leaks and by_group < TOUCHED else None
    return groups, _duplicates(scene, families, leak, wrong)


def _sampled_folds(scene: GapScene, families: Families) -> list[tuple[Ints, Ints]]:
    """The folds; for large data, those of a sample of whole families, as a look-up compares every pair."""
    folds = plan_rows(scene)
    names = np.unique(families.family_N)
    if len(families.family_N) <= MOST_IMAGES:
        return folds
    order = seeds.rng(scene.settings.seed, "gap look-up", len(names)).permutation(names)
    sizes = np.bincount(families.family_N)[order]
    kept = np.isin(families.family_N, order[np.cumsum(sizes) <= MOST_IMAGES])
    return [(train[kept[train]], valid[kept[valid]]) for train, valid in folds]


def _split_share(set_N: Ints, folds: list[tuple[Ints, Ints]]) -> float:
    """Share of validation images with a member of their set among the fold's training images."""
    touched = sum(int(np.isin(set_N[valid], set_N[train]).sum()) for train, valid in folds)
    return touched / max(sum(len(valid) for _, valid in folds), 1)


def _kept_together(
    scene: GapScene, families: Families, folds: list[tuple[Ints, Ints]]
) -> list[tuple[Ints, Ints]]:
    """Folds of the same images that do not split families; as many folds as before, at least two."""
    rows = np.unique(np.concatenate([valid for _, valid in folds]))
    family = families.family_N[rows]
    count = min(max(len(folds), 2), 10, len(np.unique(family)))
    if count < 2:  # all images are one family
        return []
    seed = seeds.seed(scene.settings.seed, "gap folds") % 2**32
    deal = GroupKFold(count, shuffle=True, random_state=seed).split(rows, groups=family)
    return [(rows[train], rows[valid]) for train, valid in deal]


def _gain(actual_N: Values, whole_N: Values, family_N: Ints) -> tuple[float, float]:
    """Gain in the share of right answers on the actual folds, and its standard error by family."""
    off_N = actual_N - whole_N
    known = np.isfinite(off_N)
    if not known.any():
        return 0.0, 0.0
    mean = float(off_N[known].mean())
    sums = np.bincount(family_N[known], weights=off_N[known] - mean)
    return mean, float(np.sqrt((sums**2).sum()) / known.sum())


def _groups(scene: GapScene, share: float, gain: tuple[float, float], leaks: bool) -> Cause:
    how = texts.GROUPS_HOW
    if share < TOUCHED:
        headline = texts.GROUPS_WHOLE if share == 0 else texts.GROUPS_NEARLY_WHOLE
        return Cause("group_leak", False, headline, how, texts.NOTHING_TO_DO)
    split = texts.GROUPS_SPLIT.format(share=percent(share))
    if not leaks:
        headline = texts.GROUPS_HARMLESS.format(split=split, gain=100 * gain[0])
        return Cause("group_leak", False, headline, how, texts.GROUPS_HARMLESS_ANSWER)
    headline = texts.GROUPS_LEAK.format(split=split, gain=100 * gain[0], error=100 * gain[1])
    effect = in_units_of_score(scene.metric, -gain[0], scene.space.kind)
    flatters = -int(scene.metric.sign)
    return Cause("group_leak", True, headline, how, texts.GROUPS_LEAK_ANSWER, effect, flatters)


def _unknown_groups(
    scene: GapScene, x_ND: Values, distance_N: Values, folds: list[tuple[Ints, Ints]]
) -> Cause | None:
    """Whether validation images have closer relatives in training than test images have."""
    test_TD = pixels(scene.glance.thumbs_NTT3[scene.is_test])
    valid = distance_N[np.isfinite(distance_N)]
    if not len(test_TD) or not len(valid):
        return None
    train = folds[0][0]
    far_T = nearest(x_ND[train], test_TD)[1]
    order = pd.Series(np.concatenate([far_T, valid])).rank().to_numpy()[: len(far_T)]
    auc = float((order.sum() - len(far_T) * (len(far_T) + 1) / 2) / (len(far_T) * len(valid)))
    if auc < CLOSER:
        return None
    headline = texts.UNKNOWN_GROUPS.format(valid=np.median(valid), test=np.median(far_T), share=percent(auc))
    how, answer = texts.UNKNOWN_GROUPS_HOW, texts.UNKNOWN_GROUPS_ANSWER
    return Cause("group_leak", True, headline, how, answer, None, -int(scene.metric.sign))


def _duplicates(scene: GapScene, families: Families, leak: tuple[float, float] | None, wrong: float) -> Cause:
    """`leak`: share of validation images with a copy in training, and what a look-up gains from them."""
    how, sign = texts.COPIES_HOW, int(scene.metric.sign)
    is_test = scene.is_test
    seen_T = np.isin(families.copies_M[is_test], families.copies_M[~is_test])
    share = float(seen_T.mean()) if len(seen_T) else 0.0
    if leak is not None:
        headline = texts.COPIES_LEAK.format(share=percent(leak[0]), gain=100 * leak[1])
        effect = in_units_of_score(scene.metric, -leak[1], scene.space.kind)
        return Cause("duplicates", True, headline, how, texts.COPIES_LEAK_ANSWER, effect, -sign)
    if share >= TOUCHED:
        images = plural(int(seen_T.sum()), "test image")
        headline = texts.COPIES_IN_TEST.format(images=images, share=percent(share))
        effect = in_units_of_score(scene.metric, share * wrong, scene.space.kind)
        return Cause("duplicates", True, headline, how, texts.COPIES_IN_TEST_ANSWER, effect, sign)
    return Cause("duplicates", False, texts.NO_COPIES, how, texts.NOTHING_TO_DO)
