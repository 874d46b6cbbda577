"""Stacking and temperatures: models fitted on the members' log-probabilities.

Owns fitting and applying them. Does not own cross-fitting (`core/voting/fitting.py`): the score of stacking
on the rows that it was fitted on says little, because it has M × C × C coefficients.

Stacking is a regularised logistic regression. Source: Wolpert, Stacked Generalization (Neural Networks 1992);
Ting & Witten, Issues in Stacked Generalization (JAIR 1999).

A member that was trained longer is more confident, right or wrong, and would dominate the others. Dividing
its logits by a temperature above 1 makes it less confident; its labels stay the same. Source: Guo et al., On
Calibration of Modern Neural Networks (ICML 2017).

Shape legend: M members, N samples, C classes, K classes that occur among the rows it is fitted on, D columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.metrics import LOG_FLOOR, Reals
from pipeline.core.samples import Floats, Ints
from pipeline.core.targets import softmax
from pipeline.core.voting.soft_voting import log_floored

ITERATIONS = 2000


@dataclass(frozen=True)
class Stack:
    """A fitted stacking model.

    Args:
        coefficient_MCC: of each member, from its class (second axis) to the predicted class (third).
        bias_C: for a class without rows the log of the floor, so that it is almost never predicted.
    """

    coefficient_MCC: Reals
    bias_C: Reals

    def votes(self, p_MNC: Sequence[Floats]) -> list[Floats]:
        """(N, C) contribution of each member, times M: their mean plus the bias gives the logits."""
        scale = len(self.coefficient_MCC)
        return [
            np.asarray(scale * (_centred(p_NC) @ w_CC), dtype=np.float32)
            for p_NC, w_CC in zip(p_MNC, self.coefficient_MCC, strict=True)
        ]

    @property
    def shares_M(self) -> Reals:
        """(M,) share of the coefficients of each member, summing to 1."""
        size_M = np.abs(self.coefficient_MCC).sum(axis=(1, 2))
        even = np.full(len(size_M), 1 / len(size_M))
        return np.asarray(size_M / size_M.sum() if size_M.sum() > 0 else even, dtype=np.float64)


def fit(p_MNC: Sequence[Floats], y_N: Ints, c: float) -> Stack:
    """Fit on out-of-fold probabilities of at least two classes; `c`: inverse strength of the L2 penalty."""
    # Imported here: scikit-learn takes a second to load, which no other method should wait for.
    from sklearn.linear_model import LogisticRegression

    n_members, n_classes = len(p_MNC), p_MNC[0].shape[1]
    x_ND = np.concatenate([_centred(p_NC) for p_NC in p_MNC], axis=1)
    learned = LogisticRegression(C=c, max_iter=ITERATIONS).fit(x_ND, y_N)
    coefficient_KD, bias_K = learned.coef_, learned.intercept_
    if len(learned.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficient_KD = np.concatenate([-coefficient_KD / 2, coefficient_KD / 2])
        bias_K = np.concatenate([-bias_K / 2, bias_K / 2])
    whole_CD = np.zeros((n_classes, x_ND.shape[1]))
    whole_CD[learned.classes_] = coefficient_KD
    bias_C = np.full(n_classes, np.log(LOG_FLOOR))
    bias_C[learned.classes_] = bias_K
    return Stack(whole_CD.reshape(n_classes, n_members, n_classes).transpose(1, 2, 0), bias_C)


def _centred(p_NC: Floats) -> Floats:
    """Log p minus its mean over the classes: a constant added to a row of logits changes nothing."""
    log_NC = log_floored(p_NC)
    return np.asarray(log_NC - log_NC.mean(axis=1, keepdims=True), dtype=np.float32)


COLDEST, HOTTEST = 0.05, 20.0
TOLERANCE = 1e-3


def fit_temperature(p_NC: Floats, y_N: Ints) -> float:
    """The temperature, 0.05 to 20, with the lowest log loss on these rows of one member."""
    from scipy.optimize import minimize_scalar

    log_NC = log_floored(p_NC)

    def loss(log_temperature: float) -> float:
        scaled_NC = log_NC / np.float32(math.exp(log_temperature))
        top_N = scaled_NC.max(axis=1)
        sums_N = np.exp(scaled_NC - top_N[:, None]).sum(axis=1, dtype=np.float64)
        right_N = scaled_NC[np.arange(len(y_N)), y_N] - top_N
        return float(np.mean(np.log(sums_N) - right_N))

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE})
    return float(math.exp(found.x))


def apply_temperature(p_NC: Floats, temperature: float) -> Floats:
    """(N, C) probabilities at another temperature; unchanged at 1."""
    if temperature == 1.0:
        return p_NC
    return softmax(log_floored(p_NC).astype(np.float64) / temperature)
