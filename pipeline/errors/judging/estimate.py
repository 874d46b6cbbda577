"""What a person's answers say of the score: new minus old on the test images, with an interval.

Owns the estimator. Does not own the sample (`sampling.py`), the person's error (`eye.py`) nor any metric.

What is estimated is the difference on these very test images, as the host will score them. Every draw fills
in a truth for each of them, and both submissions are scored on it; the spread of the draws is the interval.

1. A judged flip: drawn from what the answer says, given the person's error (`eye.py`).
2. A flip that was not judged: as in a judged one of its stratum, drawn in proportion to 1 / inclusion
   probability (Hájek, 1971), a hot deck; what is transferred is the role of the truth (new, old, neither), an
   attribute each. First the judged ones are reweighted by whole groups (Bayesian bootstrap: Rubin 1981; as an
   approximate one for imputation: Rubin & Schenker 1986), so that the draw knows how few they are. Filling in
   only what is unknown makes the interval of a stratum judged whole as narrow as it should be.
3. An image on which both agree: from what is true out of fold where the same is said, training groups
   reweighted in the same way. It moves no accuracy, but the denominators of F1.

Shape legend: N test images, J judged ones, A attributes, C classes, S strata, U flips filled in, B draws.

How far a person's answers can be trusted, measured on images of known truth.

Owns the person's confusion of each attribute, and what an answer then says of the truth. Does not own the
answers (`verdicts.py`) nor the score (`estimate.py`).

The model: within an attribute an answer depends on the truth alone, and what is true of a judged image has a
role: what the new submission says, what the old one says, or neither. The shares of the roles are estimated
by expectation-maximisation through the person's confusion (Dawid & Skene 1979, one rater, known truth for
the controls), so a person who errs does not favour the submission that errs in the same way.

Shape legend: J judged images, K values of an attribute, R roles, N controls.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.group_resampling import percentile_interval
from pipeline.core.metrics import Metric, Reals
from pipeline.core.predictions import Comparison
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings
from pipeline.core.seeds import rng
from pipeline.core.statistics import comparison

NEW, OLD, NEITHER = 0, 1, 2
ROLES = 3
STEPS = 8
# Controls below this say too little: answers are then taken as they are.
ENOUGH_CONTROLS = 10
# A value's own error is shrunk towards the attribute's as if it had been seen on so many further controls.
SHRINK = 8.0


@dataclass(frozen=True)
class Attribute:
    """One attribute of the judged images and of the controls.

    Args:
        size: K.
        new_J, old_J: what each submission says.
        said_J: what the person said, -1 for unsure.
        control_truth_N, control_said_N: the same of the controls.
    """

    size: int
    new_J: Ints
    old_J: Ints
    said_J: Ints
    control_truth_N: Ints
    control_said_N: Ints

    @property
    def measured(self) -> bool:
        """Whether there are enough controls to correct by."""
        return len(self.control_truth_N) >= ENOUGH_CONTROLS

    @property
    def errors(self) -> tuple[int, int, int]:
        """Controls that were answered rightly, wrongly, and not."""
        sure = self.control_said_N >= 0
        right = int((self.control_said_N == self.control_truth_N).sum())
        return right, int(sure.sum()) - right, int((~sure).sum())


def confusion(attribute: Attribute, generator: np.random.Generator | None) -> Reals:
    """(K, K + 1) how often each value is answered as each value, and last as unsure.

    Args:
        attribute: with its controls.
        generator: draws from what the controls leave open; None: the expected one.
    """
    size = attribute.size
    if not attribute.measured:
        exact = np.eye(size, size + 1)
        exact[:, size] = 0.5  # the same for every value: being unsure says nothing of the truth
        return exact
    overall = np.array(attribute.errors) + 0.5
    shares = overall / overall.sum() if generator is None else generator.dirichlet(overall)
    alpha_KL = np.full((size, size + 1), SHRINK * shares[1] / max(size - 1, 1))
    np.fill_diagonal(alpha_KL, SHRINK * shares[0])
    alpha_KL[:, size] = SHRINK * shares[2]
    said_N = np.where(attribute.control_said_N >= 0, attribute.control_said_N, size)
    np.add.at(alpha_KL, (attribute.control_truth_N, said_N), 1.0)
    drawn = alpha_KL if generator is None else generator.standard_gamma(np.maximum(alpha_KL, 1e-3))
    drawn = np.maximum(drawn, 1e-12)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), dtype=np.float64)


class Reading:
    """What the answers on one attribute say of the truth; what no draw changes is worked out once."""

    def __init__(self, attribute: Attribute) -> None:
        self._attribute = attribute
        values_K = np.arange(attribute.size)
        role_JK = np.full((len(attribute.new_J), attribute.size), NEITHER, dtype=np.int64)
        role_JK[values_K == attribute.old_J[:, None]] = OLD
        role_JK[values_K == attribute.new_J[:, None]] = NEW  # both, where they say the same
        onehot_JKR = (role_JK[:, :, None] == np.arange(ROLES)).astype(np.float64)
        # A role's share is divided among its values: several can be neither.
        self._divided_JKR = onehot_JKR / np.maximum(onehot_JKR.sum(axis=1, keepdims=True), 1.0)
        self._said_J = np.where(attribute.said_J >= 0, attribute.said_J, attribute.size)
        changed_J = attribute.new_J != attribute.old_J
        # Images on which the attribute changed have other shares than those on which both agree in it.
        self._parts = [some for some in (np.flatnonzero(changed_J), np.flatnonzero(~changed_J)) if len(some)]

    def truth(self, confusion_KL: Reals, weight_J: Reals) -> Reals:
        """(J, K) how probable each value is for each judged image.

        Args:
            confusion_KL: from `confusion`.
            weight_J: how much each image counts for the shares of the roles, > 0.
        """
        likelihood_JK = confusion_KL[:, self._said_J].T
        truth_JK = np.empty_like(likelihood_JK)
        for part in self._parts:
            divided = self._divided_JKR[part]
            theta_R = _shares(np.einsum("jk,jkr->jr", likelihood_JK[part], divided), weight_J[part])
            joint = likelihood_JK[part] * (divided @ theta_R)
            truth_JK[part] = joint / joint.sum(axis=1, keepdims=True)
        return truth_JK


def _shares(likelihood_JR: Reals, weight_J: Reals) -> Reals:
    """(R,) the shares of the roles by expectation-maximisation; half an image is lent to each."""
    possible_R = (likelihood_JR > 0).any(axis=0).astype(np.float64)
    theta_R = possible_R / possible_R.sum()
    weight_J = weight_J * (len(weight_J) / weight_J.sum())
    for _ in range(STEPS):
        joint_JR = likelihood_JR * theta_R
        found_R = (weight_J / joint_JR.sum(axis=1)) @ joint_JR + 0.5 * possible_R
        theta_R = found_R / found_R.sum()
    return np.asarray(theta_R, dtype=np.float64)


# So much of one judged flip is lent to each stratum by all others.
POOLED = 1.0
ENOUGH_JUDGED = 20


@dataclass(frozen=True)
class TestAnswers:
    """Both submissions on the test images.

    Args:
        new_N, old_N: class indices.
        stratum_N: the stratum of each flip, -1 where both agree.
        groups_N: images of one group are reweighted together.
        p_new_NC, p_old_NC: for metrics that need probabilities.
    """

    new_N: Ints
    old_N: Ints
    stratum_N: Ints
    groups_N: Strings
    p_new_NC: Floats | None = None
    p_old_NC: Floats | None = None


@dataclass(frozen=True)
class Judged:
    """What a person said.

    Args:
        at_J: positions of the judged test images.
        codes_JA: a value an attribute, -1 for unsure.
        drawn_J: whether this comparison's sample drew it, so that it stands for others as well; an image that
            is known from an earlier comparison stands for itself.
        control_truth_NA, control_said_NA: codes of the controls, and what was said of them.
    """

    at_J: Ints
    codes_JA: Ints
    drawn_J: npt.NDArray[np.bool_]
    control_truth_NA: Ints
    control_said_NA: Ints


@dataclass(frozen=True)
class Agreed:
    """Truth, answer and group of labelled images on which both sides agree out of fold."""

    truth_M: Ints
    said_M: Ints
    groups_M: Strings


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Args:
        comparison: new minus old on the test images; `n_groups` are the groups judged.
        judged: judged images that are flips of this comparison.
        flips: all of them.
        unsure: judged ones with an attribute left open.
        controls: images of known truth that were judged.
        mistaken: of these, how many were answered wrongly in at least one attribute.
        corrected: whether the controls were enough to correct by.
        new_right, old_right: estimated share of the flips whose class is right, 0 to 1.
        assumed: what the figure rests on beside the answers, a sentence each.
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
    sides: TestAnswers,
    judged: Judged,
    agreed: Agreed | None,
    draws: int,
    seed: int,
) -> Estimate:
    """The difference of the metric, its interval and its verdict.

    Args:
        metric: any of the registry, or one's own.
        space: the label space.
        sides: both submissions.
        judged: at least one flip.
        agreed: out-of-fold truth where both agree; None: what both say is taken as true.
        draws: number of draws.
        seed: of the draws.

    Raises:
        DataError: no flip was judged, or the metric needs probabilities that a side has not.
    """
    _refuse(metric, sides, judged)
    filling = _Filling(space, sides, judged, agreed)
    gains, right = [], []
    flips = sides.stratum_N >= 0
    for draw in tqdm(range(draws), "judged flips", leave=False, disable=not sys.stderr.isatty()):
        truth_N = filling.draw(rng(seed, "verdicts", draw))
        scores = [_score(metric, truth_N, *side, space.n_classes) for side in _both(sides)]
        gains.append(metric.sign * (scores[0] - scores[1]))
        right.append([(truth_N[flips] == side[flips]).mean() for side in (sides.new_N, sides.old_N)])
    new_right, old_right = np.mean(right, axis=0)
    of_flips = flips[judged.at_J]
    return Estimate(
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


def _refuse(metric: Metric, sides: TestAnswers, judged: Judged) -> None:
    if not (sides.stratum_N[judged.at_J] >= 0).any():
        raise DataError("no changed prediction was judged", remedy="judge some in the error report first")
    lacking = sides.p_new_NC is None or sides.p_old_NC is None
    if metric.needs == "probabilities" and lacking:
        raise DataError(
            f"{metric.name} needs probabilities, and a submission brought none",
            remedy="compare submissions made here, whose provenance lies beside them",
        )


def _both(sides: TestAnswers) -> tuple[tuple[Ints, Floats | None], tuple[Ints, Floats | None]]:
    return (sides.new_N, sides.p_new_NC), (sides.old_N, sides.p_old_NC)


def _score(metric: Metric, truth_N: Ints, said_N: Ints, p_NC: Floats | None, n_classes: int) -> float:
    if metric.needs == "labels" or p_NC is None:
        return metric.score_labels(truth_N, said_N, n_classes)
    return metric.score(truth_N, p_NC)


def _comparison(gains_B: Reals, sides: TestAnswers, judged: Judged) -> Comparison:
    low, high = (float(end) for end in percentile_interval(gains_B))
    n_judged = int((sides.stratum_N[judged.at_J] >= 0).sum())
    everything = n_judged == int((sides.stratum_N >= 0).sum())
    few = n_judged < ENOUGH_JUDGED and not everything
    note = f"{n_judged} judged: judge at least {ENOUGH_JUDGED}" if few else ""
    n_groups = len(np.unique(sides.groups_N[judged.at_J]))
    return comparison(float(gains_B.mean()), (low, high), gains_B, n_groups, note, tells=not few)


def _mistaken(judged: Judged) -> int:
    sure = judged.control_said_NA >= 0
    return int((sure & (judged.control_said_NA != judged.control_truth_NA)).any(axis=1).sum())


def _assumed(judged: Judged, agreed: Agreed | None) -> tuple[str, ...]:
    said = []
    if len(judged.control_truth_NA) < ENOUGH_CONTROLS:
        said.append("Too few images of known truth were judged: the answers are taken as they are.")
    if agreed is None:
        said.append("There are no out-of-fold predictions: where both agree, both are taken as right.")
    else:
        said.append(
            "Where both agree, the truth is taken to be as often something else as out of fold; the test "
            "images may be easier or harder."
        )
    return tuple(said)


class _Filling:
    """Draws a truth for every test image; what no draw changes is worked out once."""

    def __init__(self, space: LabelSpace, sides: TestAnswers, judged: Judged, agreed: Agreed | None) -> None:
        self._space, self._sides, self._judged = space, sides, judged
        codes = space.codes_CA
        self._new_NA, self._old_NA = codes[sides.new_N], codes[sides.old_N]
        at = judged.at_J
        seen = [
            Attribute(
                len(attribute.values),
                self._new_NA[at, a],
                self._old_NA[at, a],
                judged.codes_JA[:, a],
                judged.control_truth_NA[:, a],
                judged.control_said_NA[:, a],
            )
            for a, attribute in enumerate(space.attributes)
        ]
        self._attributes = [(attribute, Reading(attribute)) for attribute in seen]
        _, self._group_J = np.unique(sides.groups_N[at], return_inverse=True)
        unknown = np.ones(len(sides.new_N), dtype=bool)
        unknown[at] = False
        self._filled_U = np.flatnonzero(unknown & (sides.stratum_N >= 0))
        self._agreed_N = np.flatnonzero(unknown & (sides.stratum_N < 0))
        # Photos of one person that got one answer share what is true of them.
        self._shared_U = _together(sides.groups_N[self._filled_U], sides.stratum_N[self._filled_U])
        self._shared_N = _together(sides.groups_N[self._agreed_N], sides.new_N[self._agreed_N])
        self._donors_SJ = self._donors()
        self._power_J = self._powers()
        self._truth_of = None if agreed is None else _AgreedTruth(agreed, space.n_classes)
        self._sizes = tuple(len(attribute.values) for attribute in space.attributes)
        self._exact = {self._flat(codes)[c]: c for c in range(len(codes))}

    def _donors(self) -> Reals:
        """(S, J) how much each judged flip counts for the flips of each stratum."""
        stratum_J = self._sides.stratum_N[self._judged.at_J]
        n_strata = int(self._sides.stratum_N.max()) + 1
        size_S = np.bincount(self._sides.stratum_N[self._filled_U], minlength=n_strata)
        table = np.zeros((n_strata, len(stratum_J)))
        # What an earlier comparison asked for stands for others only where nothing better is there.
        drawn = self._judged.drawn_J & (stratum_J >= 0)
        usable = drawn if drawn.any() else stratum_J >= 0
        pool_J = np.zeros(len(stratum_J))
        for stratum in range(n_strata):
            inside = usable & (stratum_J == stratum)
            if not inside.any():
                continue
            table[stratum, inside] = 1.0
            # Hájek: each stands for (flips of the stratum) / (judged ones), and one further for itself.
            pool_J[inside] = (size_S[stratum] + inside.sum()) / inside.sum()
        return np.asarray(table + POOLED * pool_J / max(float(pool_J.sum()), 1e-12), dtype=np.float64)

    def _powers(self) -> Reals:
        """(J,) powers of the weights that give means over few donors the spread they have.

        A Bayesian bootstrap of m values has (m - 1) / (m + 1) of the variance of their mean. Gamma weights of
        shape (m - 2) / m would have all of it; an exponential weight to the power √(m / (m - 2)) varies as
        much, and can be shared by the images of a group that lie in several strata.
        """
        stratum_J = self._sides.stratum_N[self._judged.at_J]
        m_J = np.maximum((stratum_J[:, None] == stratum_J).sum(axis=1), 3)
        return np.asarray(np.sqrt(m_J / (m_J - 2)), dtype=np.float64)

    def draw(self, generator: np.random.Generator) -> Ints:
        """(N,) a class for each test image."""
        truth_N = self._sides.new_N.copy()
        weight_J = generator.exponential(size=self._group_J.max() + 1)[self._group_J]
        codes_JA = self._judged_codes(generator, weight_J)
        truth_N[self._judged.at_J] = self._classes(codes_JA)
        if len(self._filled_U):
            truth_N[self._filled_U] = self._classes(self._filled_codes(generator, weight_J, codes_JA))
        if self._truth_of is not None and len(self._agreed_N):
            said = self._sides.new_N[self._agreed_N]
            truth_N[self._agreed_N] = self._truth_of.draw(generator, said, self._shared_N)
        return truth_N

    def _judged_codes(self, generator: np.random.Generator, weight_J: Reals) -> Ints:
        columns = []
        for attribute, reading in self._attributes:
            p_JK = reading.truth(confusion(attribute, generator), weight_J)
            columns.append(_pick(generator, p_JK))
        return np.stack(columns, axis=1)

    def _filled_codes(self, generator: np.random.Generator, weight_J: Reals, codes_JA: Ints) -> Ints:
        """(U, A) the codes of flips that nobody judged: a donor's truth, in the words of the two answers."""
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
        # A donor on which both agree in an attribute does not say which of two answers is right: all judged
        # changes together do.
        open_UA = says_new & (new == old) & (own_new != own_old)
        old_share = self._old_share(codes_JA, weight_J)
        return np.where(open_UA & (generator.random(codes.shape) < old_share), own_old, codes)

    def _old_share(self, codes_JA: Ints, weight_J: Reals) -> float:
        """How often the old answer is right, of the judged changes in which one of both is."""
        new, old = self._new_NA[self._judged.at_J], self._old_NA[self._judged.at_J]
        changed = new != old
        old_right = float(weight_J @ (changed & (codes_JA == old)).sum(axis=1))
        new_right = float(weight_J @ (changed & (codes_JA == new)).sum(axis=1))
        return (old_right + 0.5) / (old_right + new_right + 1.0)

    def _flat(self, codes_UA: Ints) -> Ints:
        """(U,) one number for each row of codes."""
        return np.asarray(np.ravel_multi_index(tuple(codes_UA.T), self._sizes), dtype=np.int64)

    def _classes(self, codes_UA: Ints) -> Ints:
        """The class of each row of codes; where no class has them, the one that shares most."""
        flat, first, back = np.unique(self._flat(codes_UA), return_index=True, return_inverse=True)
        rows_UA = codes_UA[first]
        found = [
            self._exact[int(number)]
            if int(number) in self._exact
            else int((self._space.codes_CA == row).sum(axis=1).argmax())
            for number, row in zip(flat, rows_UA, strict=True)
        ]
        return np.array(found, dtype=np.int64)[back]


class _AgreedTruth:
    """What is true where both submissions say the same, by what they say."""

    def __init__(self, agreed: Agreed, n_classes: int) -> None:
        _, self._group_M = np.unique(agreed.groups_M, return_inverse=True)
        self._cell_M = agreed.said_M * n_classes + agreed.truth_M
        self._size = n_classes
        right = float(np.mean(agreed.said_M == agreed.truth_M)) if len(agreed.said_M) else 1.0
        # One image's worth of the overall accuracy: a class that was never said out of fold has no row.
        base = np.bincount(agreed.truth_M, minlength=n_classes).astype(np.float64)
        off = (1 - right) * base / max(base.sum(), 1.0)
        self._prior_CC = off + np.diag(np.full(n_classes, right))

    def draw(self, generator: np.random.Generator, said_N: Ints, shared_N: Ints) -> Ints:
        """(N,) a class for each image; those with the same number in `shared_N` draw by the same chance."""
        weights = generator.exponential(size=self._group_M.max(initial=0) + 1)[self._group_M]
        counts = np.bincount(self._cell_M, weights=weights, minlength=self._size**2)
        p_CC = counts.reshape(self._size, self._size) + self._prior_CC
        return _pick(generator, (p_CC / p_CC.sum(axis=1, keepdims=True))[said_N], shared_N)


def _together(groups_N: Strings, answer_N: Ints) -> Ints:
    """(N,) for each image the first one of its group with its answer."""
    _, group_N = np.unique(groups_N, return_inverse=True)
    pair_N = group_N * (int(answer_N.max(initial=0)) + 1) + answer_N
    _, first, back_N = np.unique(pair_N, return_index=True, return_inverse=True)
    return np.asarray(first[back_N], dtype=np.int64)


def _pick(generator: np.random.Generator, p_NK: Reals, shared_N: Ints | None = None) -> Ints:
    """(N,) one index a row, drawn with its probabilities; rows of one number share their chance."""
    cumulative = np.cumsum(p_NK, axis=1)
    chance_N = generator.random(len(p_NK))
    chance_N = chance_N if shared_N is None else chance_N[shared_N]
    below = cumulative < (chance_N * cumulative[:, -1])[:, None]
    return np.asarray(below.sum(axis=1), dtype=np.int64).clip(0, p_NK.shape[1] - 1)
