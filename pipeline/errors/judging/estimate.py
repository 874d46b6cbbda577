"""The score difference that a person's answers give: new minus old on the test images, with an interval.

Owns the estimator. Does not own the sample (`sample.py`), the person's errors (`rater.py`), its sentences
(`page.py`) nor any metric.

The estimand is the difference on these very test images, as the host will score them. Every draw fills in a
truth for each image, and both submissions are scored on it; the spread of the draws gives the interval.

1. A judged flip: drawn from what the answer says, given the person's errors (`rater.py`).
2. A flip that was not judged: like a judged flip of its stratum, drawn in proportion to 1 / inclusion
   probability (Hájek, 1971), a hot deck. The donor's role (the truth is the new value, the old value, or
   neither) is transferred, attribute by attribute. First the judged flips are reweighted by whole groups
   (Bayesian bootstrap: Rubin 1981; as an approximate one for imputation: Rubin & Schenker 1986), so that the
   draw accounts for their small number. Only unknown truths are filled in, so the interval of a fully judged
   stratum is as narrow as it should be.
3. An image on which both submissions agree: from the out-of-fold truth where the same class is predicted,
   training groups reweighted in the same way. It does not change accuracy, but the denominators of F1.

Shape legend: N test images, J judged ones, A attributes, C classes, S strata, U flips filled in, B draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DataError
from pipeline.core.group_resampling import percentile_interval
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings
from pipeline.core.seeds import rng
from pipeline.core.statistics import comparison
from pipeline.core.terminal import bar_of
from pipeline.errors import texts
from pipeline.errors.judging.rater import ENOUGH_CONTROLS, RatedAttribute, TruthModel, confusion

# All judged flips together lend each stratum the weight of so many judged flips.
POOLED = 1.0
ENOUGH_JUDGED = 20


@dataclass(frozen=True)
class SubmissionPair:
    """Both submissions on the test images.

    Args:
        new_N, old_N: class indices.
        stratum_N: the stratum of each flip, -1 where both agree.
        groups_N: the group of each image; groups are reweighted together.
        p_new_NC, p_old_NC: for metrics that need probabilities.
    """

    new_N: Ints
    old_N: Ints
    stratum_N: Ints
    groups_N: Strings
    p_new_NC: Floats | None = None
    p_old_NC: Floats | None = None


@dataclass(frozen=True)
class JudgedImages:
    """A person's answers.

    Args:
        at_J: positions of the judged test images.
        codes_JA: one value for each attribute, -1 for unsure.
        drawn_J: whether the image is in the sample of this comparison, so that it represents others as well;
            an image that was judged for an earlier comparison represents only itself.
        control_truth_NA, control_answer_NA: true codes of the controls, and the codes of their answers.
    """

    at_J: Ints
    codes_JA: Ints
    drawn_J: npt.NDArray[np.bool_]
    control_truth_NA: Ints
    control_answer_NA: Ints


class Agreed(NamedTuple):
    """Truth, prediction and group of labelled images on which both sides agree out of fold."""

    truth_M: Ints
    predicted_M: Ints
    groups_M: Strings


@dataclass(frozen=True)
class ScoreEstimate:
    """The estimated score difference.

    Args:
        comparison: new minus old on the test images; `n_groups` is the number of judged groups.
        judged: number of judged flips of this comparison.
        flips: number of all flips.
        unsure: number of judged flips with an unsure attribute.
        controls: number of judged images of known truth.
        mistaken: number of controls with a wrong value in at least one attribute.
        corrected: whether there were enough controls for the correction.
        new_right, old_right: estimated share of the flips whose class is right, 0 to 1.
        assumed: the assumptions of the estimate, one sentence each.
    """

    comparison: Comparison
    judged: int
    flips: int
    unsure: int
    controls: int
    mistaken: int
    corrected: bool
    new_right: float
    old_right: float
    assumed: tuple[str, ...]


def estimate(
    metric: Metric,
    space: LabelSpace,
    sides: SubmissionPair,
    judged: JudgedImages,
    agreed: Agreed | None,
    draws: int,
    seed: int,
) -> ScoreEstimate:
    """The difference of the metric, its interval and its conclusion.

    At least one flip was judged. Without `agreed`, the prediction on which both agree is taken as true.

    Raises:
        DataError: no flip was judged, or the metric needs probabilities that a side does not have.
    """
    _refuse(metric, sides, judged)
    filling = _Filling(space, sides, judged, agreed)
    gains, right = [], []
    flips = sides.stratum_N >= 0
    for draw in bar_of("judged flips", "draw", range(draws)):
        truth_N = filling.draw(rng(seed, "verdicts", draw))
        scores = [_score(metric, truth_N, *side, space.n_classes) for side in _both(sides)]
        gains.append(metric.sign * (scores[0] - scores[1]))
        right.append([(truth_N[flips] == side[flips]).mean() for side in (sides.new_N, sides.old_N)])
    new_right, old_right = np.mean(right, axis=0)
    of_flips = flips[judged.at_J]
    return ScoreEstimate(
        comparison=_comparison(np.array(gains), sides, judged),
        judged=int(of_flips.sum()),
        flips=int(flips.sum()),
        unsure=int((judged.codes_JA[of_flips] < 0).any(axis=1).sum()),
        controls=len(judged.control_truth_NA),
        mistaken=_mistaken(judged),
        corrected=len(judged.control_truth_NA) >= ENOUGH_CONTROLS,
        new_right=float(new_right),
        old_right=float(old_right),
        assumed=_assumed(judged, agreed),
    )


def _refuse(metric: Metric, sides: SubmissionPair, judged: JudgedImages) -> None:
    if not (sides.stratum_N[judged.at_J] >= 0).any():
        raise DataError(texts.NOTHING_JUDGED, remedy=texts.JUDGE_FIRST)
    lacking = sides.p_new_NC is None or sides.p_old_NC is None
    if metric.needs == "probabilities" and lacking:
        raise DataError(texts.NEEDS_PROBABILITIES.format(metric=metric.name), remedy=texts.COMPARE_OWN)


def _both(sides: SubmissionPair) -> tuple[tuple[Ints, Floats | None], tuple[Ints, Floats | None]]:
    return (sides.new_N, sides.p_new_NC), (sides.old_N, sides.p_old_NC)


def _score(metric: Metric, truth_N: Ints, predicted_N: Ints, p_NC: Floats | None, n_classes: int) -> float:
    if metric.needs == "labels" or p_NC is None:
        return metric.score_labels(truth_N, predicted_N, n_classes)
    return metric.score(truth_N, p_NC)


def _comparison(gains_B: Reals, sides: SubmissionPair, judged: JudgedImages) -> Comparison:
    low, high = (float(end) for end in percentile_interval(gains_B))
    n_judged = int((sides.stratum_N[judged.at_J] >= 0).sum())
    everything = n_judged == int((sides.stratum_N >= 0).sum())
    few = n_judged < ENOUGH_JUDGED and not everything
    note = texts.FEW_JUDGED.format(judged=n_judged, enough=ENOUGH_JUDGED) if few else ""
    n_groups = len(np.unique(sides.groups_N[judged.at_J]))
    return comparison(float(gains_B.mean()), (low, high), gains_B, n_groups, note, tells=not few)


def _mistaken(judged: JudgedImages) -> int:
    decided = judged.control_answer_NA >= 0
    return int((decided & (judged.control_answer_NA != judged.control_truth_NA)).any(axis=1).sum())


def _assumed(judged: JudgedImages, agreed: Agreed | None) -> tuple[str, ...]:
    assumed = [] if len(judged.control_truth_NA) >= ENOUGH_CONTROLS else [texts.ASSUMED_CORRECT]
    assumed.append(texts.ASSUMED_AGREED if agreed is None else texts.ASSUMED_OOF)
    return tuple(assumed)


class _Filling:
    """Draws a truth for every test image; values that are the same in all draws are computed once."""

    def __init__(
        self, space: LabelSpace, sides: SubmissionPair, judged: JudgedImages, agreed: Agreed | None
    ) -> None:
        self._space, self._sides, self._judged = space, sides, judged
        codes = space.codes_CA
        self._new_NA, self._old_NA = codes[sides.new_N], codes[sides.old_N]
        at = judged.at_J
        seen = [
            RatedAttribute(
                len(attribute.values),
                self._new_NA[at, a],
                self._old_NA[at, a],
                judged.codes_JA[:, a],
                judged.control_truth_NA[:, a],
                judged.control_answer_NA[:, a],
            )
            for a, attribute in enumerate(space.attributes)
        ]
        self._attributes = [(attribute, TruthModel(attribute)) for attribute in seen]
        _, self._group_J = np.unique(sides.groups_N[at], return_inverse=True)
        unknown = np.ones(len(sides.new_N), dtype=bool)
        unknown[at] = False
        self._filled_U = np.flatnonzero(unknown & (sides.stratum_N >= 0))
        self._agreed_N = np.flatnonzero(unknown & (sides.stratum_N < 0))
        # Images of one group with the same prediction share their draw.
        self._shared_U = _together(sides.groups_N[self._filled_U], sides.stratum_N[self._filled_U])
        self._shared_N = _together(sides.groups_N[self._agreed_N], sides.new_N[self._agreed_N])
        self._donors_SJ = self._donors()
        self._power_J = self._powers()
        self._truth_of = None if agreed is None else _AgreedTruth(agreed, space.n_classes)
        self._sizes = tuple(len(attribute.values) for attribute in space.attributes)
        self._exact = {self._flat(codes)[c]: c for c in range(len(codes))}

    def _donors(self) -> Reals:
        """(S, J) the weight of each judged flip for the flips of each stratum."""
        stratum_J = self._sides.stratum_N[self._judged.at_J]
        n_strata = int(self._sides.stratum_N.max()) + 1
        size_S = np.bincount(self._sides.stratum_N[self._filled_U], minlength=n_strata)
        table = np.zeros((n_strata, len(stratum_J)))
        # Flips judged for an earlier comparison represent others only if there is nothing better.
        drawn = self._judged.drawn_J & (stratum_J >= 0)
        usable = drawn if drawn.any() else stratum_J >= 0
        pool_J = np.zeros(len(stratum_J))
        for stratum in range(n_strata):
            inside = usable & (stratum_J == stratum)
            if not inside.any():
                continue
            table[stratum, inside] = 1.0
            # Hájek: each represents (flips of the stratum) / (judged ones), and itself.
            pool_J[inside] = (size_S[stratum] + inside.sum()) / inside.sum()
        return np.asarray(table + POOLED * pool_J / max(float(pool_J.sum()), 1e-12), dtype=np.float64)

    def _powers(self) -> Reals:
        """(J,) powers of the weights, so that means over few donors have the correct spread.

        A Bayesian bootstrap of m values gives (m - 1) / (m + 1) of the variance of their mean. Gamma weights
        of shape (m - 2) / m would give all of it; an exponential weight to the power √(m / (m - 2)) varies
        as much, and images of one group in several strata can share it.
        """
        stratum_J = self._sides.stratum_N[self._judged.at_J]
        m_J = np.maximum((stratum_J[:, None] == stratum_J).sum(axis=1), 3)
        return np.asarray(np.sqrt(m_J / (m_J - 2)), dtype=np.float64)

    def draw(self, generator: np.random.Generator) -> Ints:
        """(N,) the class of each test image."""
        truth_N = self._sides.new_N.copy()
        weight_J = generator.exponential(size=self._group_J.max() + 1)[self._group_J]
        codes_JA = self._judged_codes(generator, weight_J)
        truth_N[self._judged.at_J] = self._classes(codes_JA)
        if len(self._filled_U):
            truth_N[self._filled_U] = self._classes(self._filled_codes(generator, weight_J, codes_JA))
        if self._truth_of is not None and len(self._agreed_N):
            predicted_N = self._sides.new_N[self._agreed_N]
            truth_N[self._agreed_N] = self._truth_of.draw(generator, predicted_N, self._shared_N)
        return truth_N

    def _judged_codes(self, generator: np.random.Generator, weight_J: Reals) -> Ints:
        columns = [
            _pick(generator, reading.truth(confusion(attribute, generator), weight_J))
            for attribute, reading in self._attributes
        ]
        return np.stack(columns, axis=1)

    def _filled_codes(self, generator: np.random.Generator, weight_J: Reals, codes_JA: Ints) -> Ints:
        """(U, A) the codes of flips that were not judged, from the roles of the donors' truths."""
        p_SJ = self._donors_SJ * weight_J**self._power_J
        cumulative = np.cumsum(p_SJ / p_SJ.sum(axis=1, keepdims=True), axis=1)
        chance = generator.random(len(self._filled_U))[self._shared_U]
        donor_U = np.empty(len(self._filled_U), dtype=np.int64)
        strata = self._sides.stratum_N[self._filled_U]
        for stratum in np.unique(strata):
            here = strata == stratum
            donor_U[here] = np.searchsorted(cumulative[stratum], chance[here], side="right")
        donor_U = np.minimum(donor_U, len(weight_J) - 1)
        at = self._judged.at_J[donor_U]
        truth, new, old = codes_JA[donor_U], self._new_NA[at], self._old_NA[at]
        own_new, own_old = self._new_NA[self._filled_U], self._old_NA[self._filled_U]
        says_new, says_old = truth == new, truth == old
        codes = np.where(says_new, own_new, np.where(says_old, own_old, truth))
        # If both submissions agree on an attribute of the donor, its truth does not say which of two values
        # is right; the share over all judged changes does.
        open_UA = says_new & (new == old) & (own_new != own_old)
        old_share = self._old_share(codes_JA, weight_J)
        return np.where(open_UA & (generator.random(codes.shape) < old_share), own_old, codes)

    def _old_share(self, codes_JA: Ints, weight_J: Reals) -> float:
        """How often the old value is right, among judged changes in which one of the two is right."""
        new, old = self._new_NA[self._judged.at_J], self._old_NA[self._judged.at_J]
        changed = new != old
        old_right = float(weight_J @ (changed & (codes_JA == old)).sum(axis=1))
        new_right = float(weight_J @ (changed & (codes_JA == new)).sum(axis=1))
        return (old_right + 0.5) / (old_right + new_right + 1.0)

    def _flat(self, codes_UA: Ints) -> Ints:
        """(U,) one number for each row of codes."""
        return np.asarray(np.ravel_multi_index(tuple(codes_UA.T), self._sizes), dtype=np.int64)

    def _classes(self, codes_UA: Ints) -> Ints:
        """The class of each row of codes; if no class has these codes, the one that shares most of them."""
        flat, first, back = np.unique(self._flat(codes_UA), return_index=True, return_inverse=True)
        rows_UA = codes_UA[first]
        classes = [
            self._exact[int(number)]
            if int(number) in self._exact
            else int((self._space.codes_CA == row).sum(axis=1).argmax())
            for number, row in zip(flat, rows_UA, strict=True)
        ]
        return np.array(classes, dtype=np.int64)[back]


class _AgreedTruth:
    """Draws the truth of images on which both submissions agree, given their prediction."""

    def __init__(self, agreed: Agreed, n_classes: int) -> None:
        _, self._group_M = np.unique(agreed.groups_M, return_inverse=True)
        self._cell_M = agreed.predicted_M * n_classes + agreed.truth_M
        self._size = n_classes
        right = float(np.mean(agreed.predicted_M == agreed.truth_M)) if len(agreed.predicted_M) else 1.0
        # A prior with the weight of one image: a class that was never predicted out of fold has no row.
        base = np.bincount(agreed.truth_M, minlength=n_classes).astype(np.float64)
        off = (1 - right) * base / max(base.sum(), 1.0)
        self._prior_CC = off + np.diag(np.full(n_classes, right))

    def draw(self, generator: np.random.Generator, predicted_N: Ints, shared_N: Ints) -> Ints:
        """(N,) the class of each image; images with the same number in `shared_N` share their draw."""
        weights = generator.exponential(size=self._group_M.max(initial=0) + 1)[self._group_M]
        counts = np.bincount(self._cell_M, weights=weights, minlength=self._size**2)
        p_CC = counts.reshape(self._size, self._size) + self._prior_CC
        return _pick(generator, (p_CC / p_CC.sum(axis=1, keepdims=True))[predicted_N], shared_N)


def _together(groups_N: Strings, answer_N: Ints) -> Ints:
    """(N,) for each image the first image of its group with the same prediction."""
    _, group_N = np.unique(groups_N, return_inverse=True)
    pair_N = group_N * (int(answer_N.max(initial=0)) + 1) + answer_N
    _, first, back_N = np.unique(pair_N, return_index=True, return_inverse=True)
    return np.asarray(first[back_N], dtype=np.int64)


def _pick(generator: np.random.Generator, p_NK: Reals, shared_N: Ints | None = None) -> Ints:
    """(N,) one index for each row, drawn with its probabilities; rows of one number share their draw."""
    cumulative = np.cumsum(p_NK, axis=1)
    chance_N = generator.random(len(p_NK))
    chance_N = chance_N if shared_N is None else chance_N[shared_N]
    below = cumulative < (chance_N * cumulative[:, -1])[:, None]
    return np.asarray(below.sum(axis=1), dtype=np.int64).clip(0, p_NK.shape[1] - 1)
