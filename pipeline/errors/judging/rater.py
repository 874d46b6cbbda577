"""How far a person's answers can be trusted, measured on images of known truth.

Owns the person's confusion matrix of each attribute, and what an answer then says about the truth. Does not
own the answers (`answers.py`) nor the score (`estimate.py`).

The model: within an attribute an answer depends on the truth alone, and the truth of a judged image has one
of three roles: it is the value of the new submission, that of the old one, or neither. The shares of the
roles are estimated by expectation-maximisation through the person's confusion matrix (Dawid & Skene 1979,
with one rater and controls of known truth). So a person's errors do not favour the submission that makes the
same errors.

Shape legend: J judged images, K values of an attribute, R roles, N controls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Ints

NEW, OLD, NEITHER = 0, 1, 2
ROLES = 3
STEPS = 8
# With fewer controls the answers are taken as correct.
ENOUGH_CONTROLS = 10
# The errors of one value are shrunk to those of the attribute, with the weight of so many controls.
SHRINK = 8.0


@dataclass(frozen=True)
class RatedAttribute:
    """One attribute of the judged images and of the controls.

    Args:
        size: K.
        new_J, old_J: the predictions of the two submissions.
        answer_J: the answers, -1 for unsure.
        control_truth_N, control_answer_N: truth and answers of the controls.
    """

    size: int
    new_J: Ints
    old_J: Ints
    answer_J: Ints
    control_truth_N: Ints
    control_answer_N: Ints

    @property
    def measured(self) -> bool:
        """Whether there are enough controls for a correction."""
        return len(self.control_truth_N) >= ENOUGH_CONTROLS

    @property
    def errors(self) -> tuple[int, int, int]:
        """Numbers of right, wrong and unsure answers about controls."""
        decided = self.control_answer_N >= 0
        right = int((self.control_answer_N == self.control_truth_N).sum())
        return right, int(decided.sum()) - right, int((~decided).sum())


def confusion(attribute: RatedAttribute, generator: np.random.Generator | None) -> Reals:
    """(K, K + 1) probability of each answer given the true value; the last column is unsure.

    The generator draws from the posterior; None: its mean.
    """
    size = attribute.size
    if not attribute.measured:
        exact = np.eye(size, size + 1)
        exact[:, size] = 0.5  # the same for every value: unsure says nothing about the truth
        return exact
    overall = np.array(attribute.errors) + 0.5
    shares = overall / overall.sum() if generator is None else generator.dirichlet(overall)
    alpha_KL = np.full((size, size + 1), SHRINK * shares[1] / max(size - 1, 1))
    np.fill_diagonal(alpha_KL, SHRINK * shares[0])
    alpha_KL[:, size] = SHRINK * shares[2]
    answer_N = np.where(attribute.control_answer_N >= 0, attribute.control_answer_N, size)
    np.add.at(alpha_KL, (attribute.control_truth_N, answer_N), 1.0)
    drawn = alpha_KL if generator is None else generator.standard_gamma(np.maximum(alpha_KL, 1e-3))
    drawn = np.maximum(drawn, 1e-12)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), dtype=np.float64)


class TruthModel:
    """The truth of one attribute given the answers; what no draw changes is computed once."""

    def __init__(self, attribute: RatedAttribute) -> None:
        self._attribute = attribute
        values_K = np.arange(attribute.size)
        role_JK = np.full((len(attribute.new_J), attribute.size), NEITHER, dtype=np.int64)
        role_JK[values_K == attribute.old_J[:, None]] = OLD
        role_JK[values_K == attribute.new_J[:, None]] = NEW  # also if both predict the same value
        onehot_JKR = (role_JK[:, :, None] == np.arange(ROLES)).astype(np.float64)
        # The share of a role is divided among its values: several values can be neither.
        self._divided_JKR = onehot_JKR / np.maximum(onehot_JKR.sum(axis=1, keepdims=True), 1.0)
        self._answer_J = np.where(attribute.answer_J >= 0, attribute.answer_J, attribute.size)
        changed_J = attribute.new_J != attribute.old_J
        # Images on which the attribute changed have other shares than images on which both agree.
        self._parts = [some for some in (np.flatnonzero(changed_J), np.flatnonzero(~changed_J)) if len(some)]

    def truth(self, confusion_KL: Reals, weight_J: Reals) -> Reals:
        """(J, K) the probability of each value for each judged image.

        The weight of an image, > 0, is for the shares of the roles.
        """
        likelihood_JK = confusion_KL[:, self._answer_J].T
        truth_JK = np.empty_like(likelihood_JK)
        for part in self._parts:
            divided = self._divided_JKR[part]
            theta_R = _shares(np.einsum("jk,jkr->jr", likelihood_JK[part], divided), weight_J[part])
            joint = likelihood_JK[part] * (divided @ theta_R)
            truth_JK[part] = joint / joint.sum(axis=1, keepdims=True)
        return truth_JK


def _shares(likelihood_JR: Reals, weight_J: Reals) -> Reals:
    """(R,) the shares of the roles by expectation-maximisation, with a prior of half an image each."""
    possible_R = (likelihood_JR > 0).any(axis=0).astype(np.float64)
    theta_R = possible_R / possible_R.sum()
    weight_J = weight_J * (len(weight_J) / weight_J.sum())
    for _ in range(STEPS):
        joint_JR = likelihood_JR * theta_R
        share_R = (weight_J / joint_JR.sum(axis=1)) @ joint_JR + 0.5 * possible_R
        theta_R = share_R / share_R.sum()
    return np.asarray(theta_R, dtype=np.float64)
