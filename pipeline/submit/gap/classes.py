"""Are classes of the test set as frequent as in training? Estimated without a single test label.

Owns the estimate and its test. A model's predictions on the test set are counted; its out-of-fold errors
say how a class's images are predicted; so the counts can be turned into class frequencies.

Black box shift estimation: Lipton et al. (2018), Detecting and Correcting for Label Shift with Black Box
Predictors, arXiv:1802.03916, solved with frequencies ≥ 0. It asks that images of one class look alike in
train and test; whether they do is `gap_shift.py`'s question.

Shape legend: N training images, K of them with predictions, T test images, C classes, B resamples, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from pipeline.core.group_resampling import percentile_interval, times_drawn
from pipeline.core.samples import Ints
from pipeline.core.seeds import rng
from pipeline.pages.report import percent
from pipeline.submit.gap.causes import Cause, Scene, Submitted

Values = npt.NDArray[np.float64]

# Total variation from which other frequencies matter, beyond what chance alone estimates.
MATTERS = 0.05
# Several checks are made at once, so each must be surer than 95 %.
SURE_P = 0.005
SHOWN = 4
# A class that out-of-fold predictions hardly tell is not made more than so many times as frequent.
MOST_RATIO = 50.0


@dataclass(frozen=True)
class Priors:
    """Class frequencies of the test set, as predictions tell them.

    Args:
        train_C: those of training.
        test_C: the estimate.
        low_C, high_C: its 95 % interval.
        apart: total variation between the two, chance taken off, 0 to 1.
        p: how often equal frequencies give predictions as different.
    """

    train_C: Values
    test_C: Values
    low_C: Values
    high_C: Values
    apart: float
    p: float

    @property
    def shifted(self) -> bool:
        """Other frequencies, surely and by an amount that matters."""
        return self.p <= SURE_P and self.apart >= MATTERS


def estimate(scene: Scene, of: Submitted) -> Priors:
    """Estimate the class frequencies of the test set.

    Where the test set's groups are not known, its images are taken to be as clustered as training's.
    """
    size = scene.space.n_classes
    y_N = scene.labels[of.rows_K]
    said_N, said_T = of.oof_KC.argmax(axis=1), of.test_TC.argmax(axis=1)
    groups_N = np.unique(scene.groups[of.rows_K], return_inverse=True)[1]
    groups_T = np.unique(scene.images[scene.is_test]["group"].to_numpy(str), return_inverse=True)[1]
    known = int(groups_T.max()) + 1
    alike = _clustered(said_N, groups_N, size) if known == len(said_T) else 1.0
    cells_N = said_N * size + y_N
    draws = rng(scene.settings.seed, "label shift", len(y_N), len(said_T))
    n_groups = int(groups_N.max()) + 1
    joint_BCC = np.empty((scene.draws, size, size))
    said_BC = np.empty((scene.draws, size))
    for b in range(scene.draws):
        times_N = times_drawn(draws, n_groups, 1)[0][groups_N]
        joint_BCC[b] = np.bincount(cells_N, times_N, size * size).reshape(size, size)
        times_T = times_drawn(draws, known, 1, max(round(known / alike), 1))[0][groups_T]
        said_BC[b] = np.bincount(said_T, times_T, size)
    joint_CC = np.bincount(cells_N, minlength=size * size).reshape(size, size).astype(float)
    said_C = np.bincount(said_T, minlength=size).astype(float)
    test_C = _solved(joint_CC, said_C)
    test_BC = np.stack([_solved(j, s) for j, s in zip(joint_BCC, said_BC, strict=True)])
    train_C = np.bincount(y_N, minlength=size) / len(y_N)
    low_C, high_C = percentile_interval(test_BC, axis=0)
    # What chance alone makes of equal frequencies: the estimate's spread, laid about those of training.
    null = 0.5 * np.abs(test_BC - test_BC.mean(axis=0)).sum(axis=1).mean()
    apart = float(0.5 * np.abs(test_C - train_C).sum() - null)
    p = _p_value(said_C / said_C.sum(), joint_CC, said_BC, joint_BCC)
    return Priors(train_C, test_C, low_C, high_C, max(apart, 0.0), p)


def _clustered(said_N: Ints, groups_N: Ints, size: int) -> float:
    """How many images that are no evidence of their own stand behind one that is: the design effect, ≥ 1."""
    share_C = np.bincount(said_N, minlength=size) / len(said_N)
    counts_GC = np.zeros((int(groups_N.max()) + 1, size))
    np.add.at(counts_GC, (groups_N, said_N), 1)
    off_GC = counts_GC - counts_GC.sum(axis=1, keepdims=True) * share_C
    alone = len(said_N) * (share_C * (1 - share_C)).sum()
    return max(float((off_GC**2).sum() / alone), 1.0) if alone > 0 else 1.0


def _solved(joint_CC: Values, said_C: Values) -> Values:
    """(C,) frequencies q ≥ 0 that make predictions as frequent as they are."""
    train_C = joint_CC.sum(axis=0)
    rates_CC = joint_CC / np.maximum(train_C, 1)
    ratio_C = nnls(rates_CC * (train_C / train_C.sum()), said_C / said_C.sum())[0]
    found_C = np.minimum(ratio_C, MOST_RATIO) * train_C
    return np.asarray(found_C / found_C.sum())


def _p_value(said_C: Values, joint_CC: Values, said_BC: Values, joint_BCC: Values) -> float:
    """How often test and out-of-fold predictions of one source are as unequally frequent."""
    own_C = joint_CC.sum(axis=1) / joint_CC.sum()
    own_BC = joint_BCC.sum(axis=2) / joint_BCC.sum(axis=(1, 2))[:, None]
    off_C = said_C - own_C
    noise_BC = said_BC / said_BC.sum(axis=1, keepdims=True) - own_BC - off_C
    spread_C = np.maximum(noise_BC.std(axis=0), 1e-9)
    reached = ((noise_BC / spread_C) ** 2).sum(axis=1) >= ((off_C / spread_C) ** 2).sum()
    return float((reached.sum() + 1) / (len(noise_BC) + 1))


def weights(scene: Scene, priors: Priors) -> Values:
    """(N,) how often each training image counts, so that classes are as frequent as in the test set."""
    ratio_C = priors.test_C / np.maximum(priors.train_C, 1 / len(scene.labels))
    return np.asarray(np.minimum(ratio_C, MOST_RATIO)[scene.labels])


def matched(scene: Scene, priors: Priors) -> npt.NDArray[np.bool_]:
    """Test images, and as many training images as can be had with the test set's class frequencies."""
    chance_N = weights(scene, priors)
    chance_N = chance_N / chance_N.max()
    draw = rng(scene.settings.seed, "matched classes", len(chance_N)).random(len(chance_N))
    kept = np.ones(len(scene.images), bool)
    kept[~scene.is_test] = draw < chance_N
    return kept


def check(scene: Scene, of: Submitted, priors: Priors, believed: bool) -> Cause:
    """Label shift.

    Args:
        scene: what is looked at.
        of: the predictions.
        priors: the estimate.
        believed: images of one class look alike in train and test, as far as is known.
    """
    how = (
        "Counted what is predicted for the test set, and corrected the counts by the out-of-fold errors; "
        "the interval resamples groups and test images."
    )
    if not priors.shifted:
        told = f"Classes seem to be as frequent as in training (p = {priors.p:.3f})."
        return Cause("label_shift", False, told, how, "Nothing to do.")
    words = _most_changed(scene, priors)
    if not believed:
        told = f"Predicted classes are not as frequent as in training ({words}), but the images differ too."
        return Cause("label_shift", False, f"{told} Mend those first.", how, "See the transform mismatch.")
    scores = scene.metric.resampler(scene.labels[of.rows_K], of.oof_KC)
    like_test_K = weights(scene, priors)[of.rows_K]
    plain, shifted = (float(scores(w[None])[0]) for w in (np.ones(len(like_test_K)), like_test_K))
    return Cause(
        "label_shift",
        True,
        f"Classes are not as frequent as in training, {percent(priors.apart)} of the test set apart: "
        f"{words}. With these frequencies the out-of-fold score is {shifted:.4f} instead of {plain:.4f}.",
        how,
        "Compare submissions by the re-weighted score, and correct predictions for the new frequencies "
        "(prior correction); do not resample to the old ones.",
        shifted - plain,
    )


def _most_changed(scene: Scene, priors: Priors) -> str:
    order = np.argsort(-np.abs(priors.test_C - priors.train_C), kind="stable")[:SHOWN]
    return ", ".join(
        f"{scene.space.classes[c]} {percent(float(priors.train_C[c]))} → {percent(float(priors.test_C[c]))} "
        f"[{percent(float(priors.low_C[c]))}, {percent(float(priors.high_C[c]))}]"
        for c in order
    )
