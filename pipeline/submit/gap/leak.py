"""Is the out-of-fold score too high? Groups and copies on both sides of a fold, or in train and test.

Owns the checks by look-up: each validation image is answered with the label of the training image that
looks most like it. A network learns more than that, but what a look-up gains from seeing relatives is what
any model can gain. Does not own finding copies (`twins.py`).

The gain is measured, not assumed: the same look-up on the folds as they are, and on folds that keep
groups and copies together. Source of the idea: Kaufman et al. (2012), Leakage in Data Mining,
doi:10.1145/2382577.2382579.

Shape legend: N training images, T test images, M = N + T, D pixels of a thumbnail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold

from pipeline.core import seeds
from pipeline.core.neighbours import search, squares
from pipeline.core.samples import Ints
from pipeline.eda import duplicates
from pipeline.pages.report import percent, plural
from pipeline.submit.gap.causes import Cause, Scene, in_units_of_score

Values = npt.NDArray[np.float64]

# Shares from which a leak is worth a word: of images with relatives on the other side, of right answers.
TOUCHED, GAINED = 0.01, 0.01
# Standard errors that a gain must clear: one-sided 0.5 %, since several checks are made at once.
CLEAR = 2.6
# From this AUC on, validation images have closer relatives in training than test images have.
CLOSER = 0.7
MOST_IMAGES = 4000


@dataclass(frozen=True)
class Kin:
    """Which images belong together.

    Args:
        copies_M: number of the set of copies of each image; alone: a number of its own.
        kin_N: the same for training images, groups and copies joined.
    """

    copies_M: Ints
    kin_N: Ints


def kin(scene: Scene) -> Kin:
    """Groups, equal files and near-duplicates."""
    images = scene.images
    names = list(zip(images["split"].astype(str), images["id"].astype(str), strict=True))
    place = {name: at for at, name in enumerate(names)}
    first = images["sha256"].map(
        dict(zip(images["sha256"][::-1], range(len(images) - 1, -1, -1), strict=True))
    )
    pairs = [np.stack([np.arange(len(images)), first.to_numpy(np.int64)], axis=1)]
    for found in duplicates.near_duplicates(images, scene.seen, scene.settings):
        at = [place[member] for member in found.members]
        pairs.append(np.array([(at[0], other) for other in at[1:]], np.int64))
    copies_M = _joined(np.concatenate(pairs), len(images))
    n_train = len(scene.train)
    group_N = np.unique(scene.groups, return_inverse=True)[1].astype(np.int64)
    # Two kinds of link among training images: a shared group, and a shared set of copies.
    hub = np.concatenate(
        [group_N + n_train, np.unique(copies_M[:n_train], return_inverse=True)[1] + 2 * n_train]
    )
    links = np.stack([np.tile(np.arange(n_train), 2), hub], axis=1)
    return Kin(copies_M, _joined(links, 3 * n_train)[:n_train])


def _joined(pairs_P2: Ints, size: int) -> Ints:
    ones = np.ones(len(pairs_P2), np.int8)
    graph = coo_matrix((ones, (pairs_P2[:, 0], pairs_P2[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def pixels(thumbs_NTT3: npt.NDArray[np.generic]) -> Values:
    """(N, D) thumbnails as numbers from 0 to 1."""
    return thumbs_NTT3.reshape(len(thumbs_NTT3), -1).astype(np.float64) / 255


def looked_up(x_ND: Values, asked_QD: Values, labels_N: Ints) -> tuple[Ints, Values]:
    """The label of the nearest of some images for each that is asked for, and how near it is."""
    at_Q1, square_Q1 = search(asked_QD, x_ND, 1, squares)
    return labels_N[at_Q1[:, 0]], np.sqrt(square_Q1[:, 0])


def plan_rows(scene: Scene) -> list[tuple[Ints, Ints]]:
    """(training rows, validation rows) of each fold, images from elsewhere left out."""
    at = pd.Series(np.arange(len(scene.train)), index=scene.train["id"].astype(str))
    return [
        tuple(at.reindex(list(ids)).dropna().to_numpy(np.int64) for ids in (s.train_ids, s.valid_ids))  # type: ignore[misc]
        for s in scene.plan.splits
    ]


def right_by_lookup(x_ND: Values, labels_N: Ints, folds: list[tuple[Ints, Ints]]) -> tuple[Values, Values]:
    """(N,) share of folds in which the look-up is right, and its distance; NaN where never asked."""
    right_N, distance_N, times_N = (np.zeros(len(labels_N)) for _ in range(3))
    for train, valid in folds:
        if len(train) and len(valid):
            answer, distance = looked_up(x_ND[train], x_ND[valid], labels_N[train])
            right_N[valid] += answer == labels_N[valid]
            distance_N[valid] += distance
            times_N[valid] += 1
    with np.errstate(invalid="ignore"):
        return right_N / times_N, distance_N / times_N


def check(scene: Scene, shifted: bool) -> tuple[Cause, Cause]:
    """Group leak, and duplicates.

    Args:
        scene: what is looked at.
        shifted: test images are known to look different, so their distances say nothing of leaks.
    """
    found = kin(scene)
    folds = _some(scene, found)
    x_ND = pixels(scene.seen.thumbs_NTT3[~scene.is_test])
    given_N, distance_N = right_by_lookup(x_ND, scene.labels, folds)
    by_group = _straddling(np.unique(scene.groups, return_inverse=True)[1].astype(np.int64), folds)
    by_copy = _straddling(found.copies_M[: len(x_ND)], folds)
    gain, error = 0.0, 0.0
    if max(by_group, by_copy) >= TOUCHED:
        kept_N = right_by_lookup(x_ND, scene.labels, _kept_together(scene, found, folds))[0]
        gain, error = _gain(given_N, kept_N, found.kin_N)
    leaks = gain >= GAINED and gain > CLEAR * error
    groups = _groups(scene, by_group, (gain, error), leaks)
    if not groups.found and not shifted and max(by_group, by_copy) < TOUCHED:
        groups = _unknown_groups(scene, x_ND, distance_N, folds) or groups
    # What there is to gain from knowing an answer: as much as a look-up gets wrong.
    wrong = float(1 - np.nanmean(given_N)) if np.isfinite(given_N).any() else 0.0
    copies = _Copies(by_copy, gain, leaks and by_group < TOUCHED, wrong)
    return groups, _duplicates(scene, found, copies)


def _some(scene: Scene, found: Kin) -> list[tuple[Ints, Ints]]:
    """The folds; of large data on a draw of whole families, for a look-up compares every pair."""
    folds = plan_rows(scene)
    families = np.unique(found.kin_N)
    if len(found.kin_N) <= MOST_IMAGES:
        return folds
    order = seeds.rng(scene.settings.seed, "gap look-up", len(families)).permutation(families)
    sizes = np.bincount(found.kin_N)[order]
    kept = np.isin(found.kin_N, order[np.cumsum(sizes) <= MOST_IMAGES])
    return [(train[kept[train]], valid[kept[valid]]) for train, valid in folds]


def _straddling(set_N: Ints, folds: list[tuple[Ints, Ints]]) -> float:
    """Share of validation images with a member of their set among the fold's training images."""
    touched = sum(int(np.isin(set_N[valid], set_N[train]).sum()) for train, valid in folds)
    return touched / max(sum(len(valid) for _, valid in folds), 1)


def _kept_together(scene: Scene, found: Kin, folds: list[tuple[Ints, Ints]]) -> list[tuple[Ints, Ints]]:
    """Folds of the same images that part no family, as many as there were, at least two."""
    rows = np.unique(np.concatenate([valid for _, valid in folds]))
    families = found.kin_N[rows]
    count = min(max(len(folds), 2), 10, len(np.unique(families)))
    if count < 2:  # all images are kin
        return []
    seed = seeds.seed(scene.settings.seed, "gap folds") % 2**32
    deal = GroupKFold(count, shuffle=True, random_state=seed).split(rows, groups=families)
    return [(rows[train], rows[valid]) for train, valid in deal]


def _gain(given_N: Values, kept_N: Values, family_N: Ints) -> tuple[float, float]:
    """How many more answers are right on the folds as they are, and its standard error by family."""
    off_N = given_N - kept_N
    known = np.isfinite(off_N)
    if not known.any():
        return 0.0, 0.0
    mean = float(off_N[known].mean())
    sums = np.bincount(family_N[known], weights=off_N[known] - mean)
    return mean, float(np.sqrt((sums**2).sum()) / known.sum())


def _groups(scene: Scene, share: float, gain: tuple[float, float], leaks: bool) -> Cause:
    how = (
        "Looked for groups with images on both sides of a fold. Then answered each validation image with "
        "the label of the training image that looks most like it, on these folds and on folds that keep "
        "groups and copies together."
    )
    if share < TOUCHED:
        where = "Every group lies on one side of each fold." if share == 0 else "Hardly a group is parted."
        return Cause("group_leak", False, where, how, "Nothing to do.")
    told = f"{percent(share)} of validation images have images of their own group in training"
    if not leaks:
        headline = f"{told}, but a look-up gains nothing from it ({100 * gain[0]:+.1f} points)."
        return Cause("group_leak", False, headline, how, "Still better: `folds.kind=stratified_group`.")
    return Cause(
        "group_leak",
        True,
        f"{told}: a mere look-up is right {100 * gain[0]:.1f} ± {100 * gain[1]:.1f} points more often than "
        "on folds that keep groups together. Out-of-fold scores are too high; the public score is not.",
        how,
        "Train again with `folds.kind=stratified_group`, and believe those scores.",
        in_units_of_score(scene.metric, -gain[0]),
    )


def _unknown_groups(
    scene: Scene, x_ND: Values, distance_N: Values, folds: list[tuple[Ints, Ints]]
) -> Cause | None:
    """Whether validation images have closer relatives in training than test images have."""
    test_TD = pixels(scene.seen.thumbs_NTT3[scene.is_test])
    known = distance_N[np.isfinite(distance_N)]
    if not len(test_TD) or not len(known):
        return None
    train = folds[0][0]
    far_T = looked_up(x_ND[train], test_TD, scene.labels[train])[1]
    order = pd.Series(np.concatenate([far_T, known])).rank().to_numpy()[: len(far_T)]
    auc = float((order.sum() - len(far_T) * (len(far_T) + 1) / 2) / (len(far_T) * len(known)))
    if auc < CLOSER:
        return None
    return Cause(
        "group_leak",
        True,
        f"Validation images have much closer relatives in training than test images have: the nearest one is "
        f"at {np.median(known):.2f} against {np.median(far_T):.2f} (0: the same pixels; nearer in "
        f"{percent(auc)} of pairs). There seem to be groups that nobody told of.",
        "Measured how far the most similar training image is, for validation and for test images.",
        "Find what belongs together (a person, a scene, a series) and name it by "
        "`competition.group_column` or `competition.group_pattern`; then train again.",
    )


@dataclass(frozen=True)
class _Copies:
    """Share of validation images with a copy in training, what a look-up gains, whether that leaks, and
    its share of wrong answers.
    """

    across: float
    gain: float
    leaks: bool
    wrong: float


def _duplicates(scene: Scene, found: Kin, copies: _Copies) -> Cause:
    how = "Compared all files, then perceptual hashes and thumbnails, of train and test."
    is_test = scene.is_test
    seen_T = np.isin(found.copies_M[is_test], found.copies_M[~is_test])
    share = float(seen_T.mean()) if len(seen_T) else 0.0
    if copies.leaks:
        return Cause(
            "duplicates",
            True,
            f"{percent(copies.across)} of validation images have a copy in training: a mere look-up is right "
            f"{100 * copies.gain:.1f} points more often than without. Out-of-fold scores are too high.",
            how,
            "Give copies one value of `competition.group_column` (`make eda` lists them in suspects.csv).",
            in_units_of_score(scene.metric, -copies.gain),
        )
    if share >= TOUCHED:
        return Cause(
            "duplicates",
            True,
            f"{plural(int(seen_T.sum()), 'test image')} ({percent(share)}) are copies of training images: "
            "the model has seen their answers, and the leaderboard flatters it there.",
            how,
            "Read the competition's rules before you use it; do not read the gain as skill.",
            in_units_of_score(scene.metric, share * copies.wrong),
        )
    told = "No copies across folds, and none in both train and test that would matter."
    return Cause("duplicates", False, told, how, "Nothing to do.")
