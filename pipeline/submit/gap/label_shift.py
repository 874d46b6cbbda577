"""Label shift: whether classes of the test set are as frequent as in training, estimated without test labels.

Owns the estimate and its test. The predictions on the test set are counted; the out-of-fold errors say how
images of each class are predicted; so the counts can be turned into class frequencies.

Black box shift estimation: Lipton et al. (2018), Detecting and Correcting for Label Shift with Black Box
Predictors, arXiv:1802.03916, solved with frequencies ≥ 0. It assumes that images of one class look alike in
train and test; `gap/shift.py` checks whether they do.

Labels that may hold together are checked one at a time, as two classes where the label is known: which of
them are more or less frequent. How that moves the score is not said, because labels change together. Values
have no classes to count.

Shape legend: N training images, K of them with predictions, T test images, C classes, B resamples, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from pipeline.core.group_resampling import percentile_interval, times_drawn
from pipeline.core.samples import Ints, Strings
from pipeline.core.seeds import rng
from pipeline.core.targets import EXCLUSIVE, LABELS, Target
from pipeline.pages.report import percent
from pipeline.submit import texts
from pipeline.submit.gap.scene import Cause, GapScene, Submitted

Values = npt.NDArray[np.float64]

# Total variation distance from which other frequencies matter, beyond what chance alone gives.
MATTERS = 0.05
# Several checks are made at once, so each needs a smaller p-value than 5 %.
# With more classes most have too few images to be counted in a test set, and the pairs are too many.
MOST_CLASSES = 250
SURE_P = 0.005
SHOWN = 4
# The largest factor for the frequency of a class, as a class that is rarely recognised has an uncertain one.
MOST_RATIO = 50.0


@dataclass(frozen=True)
class Priors:
    """Class frequencies of the test set, estimated from predictions.

    Args:
        train_C: frequencies in training.
        test_C: the estimate for the test set.
        low_C, high_C: its 95 % interval.
        distance: total variation between the two, minus what chance gives, 0 to 1.
        p: probability that equal frequencies give predictions as different.
    """

    train_C: Values
    test_C: Values
    low_C: Values
    high_C: Values
    distance: float
    p: float

    @property
    def shifted(self) -> bool:
        """Whether frequencies differ significantly and by an amount that matters."""
        return self.p <= SURE_P and self.distance >= MATTERS


def estimate(scene: GapScene, submitted: Submitted) -> Priors:
    """Estimate the class frequencies of the test set.

    Where the groups of the test set are unknown, its images are assumed to be as clustered as in training.
    """
    size, y_N = scene.space.n_classes, scene.labels[submitted.rows_K]
    predicted_N, predicted_T = submitted.oof_KC.argmax(axis=1), submitted.test_TC.argmax(axis=1)
    return _estimated(scene, (y_N, predicted_N, predicted_T), scene.groups[submitted.rows_K], size)


def _estimated(scene: GapScene, seen: tuple[Ints, Ints, Ints], of_group: Strings, size: int) -> Priors:
    """`seen`: true and predicted class of labelled images, and predicted class of the test images."""
    y_N, predicted_N, predicted_T = seen
    groups_N = np.unique(of_group, return_inverse=True)[1]
    groups_T = np.unique(scene.images[scene.is_test]["group"].to_numpy(str), return_inverse=True)[1]
    n_test_groups = int(groups_T.max()) + 1
    effect = _design_effect(predicted_N, groups_N, size) if n_test_groups == len(predicted_T) else 1.0
    cells_N = predicted_N * size + y_N
    draws = rng(scene.settings.seed, "label shift", len(y_N), len(predicted_T))
    n_groups = int(groups_N.max()) + 1
    joint_BCC = np.empty((scene.draws, size, size))
    predicted_BC = np.empty((scene.draws, size))
    for b in range(scene.draws):
        times_N = times_drawn(draws, n_groups, 1)[0][groups_N]
        joint_BCC[b] = np.bincount(cells_N, times_N, size * size).reshape(size, size)
        drawn = max(round(n_test_groups / effect), 1)
        times_T = times_drawn(draws, n_test_groups, 1, drawn)[0][groups_T]
        predicted_BC[b] = np.bincount(predicted_T, times_T, size)
    joint_CC = np.bincount(cells_N, minlength=size * size).reshape(size, size).astype(float)
    predicted_C = np.bincount(predicted_T, minlength=size).astype(float)
    test_C = _solved(joint_CC, predicted_C)
    test_BC = np.stack([_solved(j, s) for j, s in zip(joint_BCC, predicted_BC, strict=True)])
    train_C = np.bincount(y_N, minlength=size) / len(y_N)
    low_C, high_C = percentile_interval(test_BC, axis=0)
    # The distance by chance alone: the spread of the estimate.
    null = 0.5 * np.abs(test_BC - test_BC.mean(axis=0)).sum(axis=1).mean()
    distance = float(0.5 * np.abs(test_C - train_C).sum() - null)
    p = _p_value(predicted_C / predicted_C.sum(), joint_CC, predicted_BC, joint_BCC)
    return Priors(train_C, test_C, low_C, high_C, max(distance, 0.0), p)


def _design_effect(predicted_N: Ints, groups_N: Ints, size: int) -> float:
    """The design effect, ≥ 1: number of images per independent one."""
    share_C = np.bincount(predicted_N, minlength=size) / len(predicted_N)
    counts_GC = np.zeros((int(groups_N.max()) + 1, size))
    np.add.at(counts_GC, (groups_N, predicted_N), 1)
    off_GC = counts_GC - counts_GC.sum(axis=1, keepdims=True) * share_C
    alone = len(predicted_N) * (share_C * (1 - share_C)).sum()
    return max(float((off_GC**2).sum() / alone), 1.0) if alone > 0 else 1.0


def _solved(joint_CC: Values, predicted_C: Values) -> Values:
    """(C,) frequencies q ≥ 0 that explain the counts of the predictions."""
    train_C = joint_CC.sum(axis=0)
    rates_CC = joint_CC / np.maximum(train_C, 1)
    ratio_C = nnls(rates_CC * (train_C / train_C.sum()), predicted_C / predicted_C.sum())[0]
    test_C = np.minimum(ratio_C, MOST_RATIO) * train_C
    if not test_C.any():
        return np.asarray(train_C / train_C.sum())  # no frequencies explain the counts, so none differ
    return np.asarray(test_C / test_C.sum())


def _p_value(predicted_C: Values, joint_CC: Values, predicted_BC: Values, joint_BCC: Values) -> float:
    """Probability that test and out-of-fold predictions from one source differ as much in frequency."""
    own_C = joint_CC.sum(axis=1) / joint_CC.sum()
    own_BC = joint_BCC.sum(axis=2) / joint_BCC.sum(axis=(1, 2))[:, None]
    off_C = predicted_C - own_C
    noise_BC = predicted_BC / predicted_BC.sum(axis=1, keepdims=True) - own_BC - off_C
    spread_C = np.maximum(noise_BC.std(axis=0), 1e-9)
    reached = ((noise_BC / spread_C) ** 2).sum(axis=1) >= ((off_C / spread_C) ** 2).sum()
    return float((reached.sum() + 1) / (len(noise_BC) + 1))


def weights(scene: GapScene, priors: Priors) -> Values:
    """(N,) weight of each training image that makes classes as frequent as in the test set."""
    ratio_C = priors.test_C / np.maximum(priors.train_C, 1 / len(scene.labels))
    return np.asarray(np.minimum(ratio_C, MOST_RATIO)[scene.labels])


def matched(scene: GapScene, priors: Priors) -> npt.NDArray[np.bool_]:
    """Rows of the test images, and of as many training images as possible with their class frequencies."""
    chance_N = weights(scene, priors)
    chance_N = chance_N / chance_N.max()
    draw = rng(scene.settings.seed, "matched classes", len(chance_N)).random(len(chance_N))
    kept = np.ones(len(scene.images), bool)
    kept[~scene.is_test] = draw < chance_N
    return kept


def check(scene: GapScene, submitted: Submitted, priors: Priors, reliable: bool) -> Cause:
    """Label shift; `reliable`: images of one class look alike in train and test, as far as is known."""
    how = texts.LABEL_SHIFT_HOW
    if not priors.shifted:
        headline = texts.NO_LABEL_SHIFT.format(p=priors.p)
        return Cause("label_shift", False, headline, how, texts.NOTHING_TO_DO)
    classes = _most_changed(scene, priors)
    if not reliable:
        headline = texts.LABEL_SHIFT_UNCERTAIN.format(classes=classes)
        return Cause("label_shift", False, headline, how, texts.SEE_TRANSFORM)
    scores = scene.metric.resampler(scene.truth[submitted.rows_K], submitted.oof_KC)
    like_test_K = weights(scene, priors)[submitted.rows_K]
    plain, shifted = (float(scores(w[None])[0]) for w in (np.ones(len(like_test_K)), like_test_K))
    headline = texts.LABEL_SHIFT.format(
        distance=percent(priors.distance), classes=classes, shifted=shifted, plain=plain
    )
    return Cause("label_shift", True, headline, how, texts.LABEL_SHIFT_ANSWER, shifted - plain)


def check_columns(scene: GapScene, submitted: Submitted, reliable: bool) -> Cause:
    """Label shift of labels that hold together, a label at a time; other kinds and many classes have none."""
    if scene.space.kind == EXCLUSIVE:
        headline = texts.TOO_MANY_TO_COUNT.format(classes=scene.space.n_classes, most=MOST_CLASSES)
        return Cause("label_shift", False, headline, texts.TOO_MANY_HOW, texts.NOTHING_TO_DO)
    if scene.space.kind != LABELS:
        headline = texts.NO_LABELS_TO_COUNT.format(kind=scene.space.kind)
        return Cause("label_shift", False, headline, texts.NO_LABELS_HOW, texts.NOTHING_TO_DO)
    target = Target.of(scene.space)
    held_K, held_T = target.held(submitted.oof_KC), target.held(submitted.test_TC)
    found = []
    for k, name in enumerate(scene.space.classes):
        true_K = scene.truth[submitted.rows_K, k]
        known = np.flatnonzero(~np.isnan(true_K))
        seen = (true_K[known] >= 0.5).astype(np.int64)
        if not len(known) or seen.min() == seen.max():
            continue
        groups = scene.groups[submitted.rows_K[known]]
        answers = (seen, held_K[known, k].astype(np.int64), held_T[:, k].astype(np.int64))
        found.append((name, _estimated(scene, answers, groups, 2)))
    least = min((priors.p for _, priors in found), default=1.0)
    sure = SURE_P / max(len(found), 1)
    # The smallest p that resamples can give is 1 / (draws + 1).
    shifted = [(n, p) for n, p in found if p.p <= max(sure, 1 / (scene.draws + 1)) and p.distance >= MATTERS]
    how = texts.LABEL_SHIFT_EACH_HOW.format(labels=len(found))
    if not shifted:
        headline = texts.NO_LABEL_SHIFT_EACH.format(p=least)
        return Cause("label_shift", False, headline, how, texts.NOTHING_TO_DO)
    shifted.sort(key=lambda pair: -pair[1].distance)
    classes = ", ".join(_change(name, priors, 1) for name, priors in shifted[:SHOWN])
    if not reliable:
        headline = texts.LABEL_SHIFT_UNCERTAIN.format(classes=classes)
        return Cause("label_shift", False, headline, how, texts.SEE_TRANSFORM)
    headline = texts.LABEL_SHIFT_EACH.format(count=len(shifted), labels=len(found), classes=classes)
    return Cause("label_shift", True, headline, how, texts.LABEL_SHIFT_EACH_ANSWER)


def _change(name: str, priors: Priors, c: int) -> str:
    values = (priors.train_C[c], priors.test_C[c], priors.low_C[c], priors.high_C[c])
    shares = dict(zip(("train", "test", "low", "high"), (percent(float(v)) for v in values), strict=True))
    return texts.CLASS_CHANGE.format(name=name, **shares)


def _most_changed(scene: GapScene, priors: Priors) -> str:
    order = np.argsort(-np.abs(priors.test_C - priors.train_C), kind="stable")[:SHOWN]
    return ", ".join(_change(scene.space.classes[c], priors, int(c)) for c in order)
