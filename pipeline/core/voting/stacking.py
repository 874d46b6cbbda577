"""Stacking and temperatures: models fitted on the members' log-probabilities.

Owns fitting and applying them. Does not own cross-fitting (`core/voting/fitting.py`): the score of stacking
on the rows that it was fitted on says little, because it has M × C × C coefficients.

Stacking is a regularised logistic regression. Source: Wolpert, Stacked Generalization (Neural Networks 1992);
Ting & Witten, Issues in Stacked Generalization (JAIR 1999).

A member that was trained longer is more confident, right or wrong, and would dominate the others. Dividing
its logits by a temperature above 1 makes it less confident; its labels stay the same. Source: Guo et al., On
Calibration of Modern Neural Networks (ICML 2017).

Labels that hold together are stacked one at a time: a logistic regression of a label on the members' log odds
of that label, so that a rare label is not fitted on the columns of all others. Shares are fitted by their
cross-entropy. Values have a ridge regression for each column. These three are shrunk towards a mean of the
members, so that without evidence they are averaged: of log odds the plain mean, of values the one whose
weights are inverse to the squared errors, because a member that fails may be any number of units away. One
temperature divides the log odds of all labels of a member.

Shape legend: M members, N samples, C classes or columns, K classes that occur among the rows it is fitted on,
D columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.metric_arithmetic import LOG_FLOOR, Reals
from pipeline.core.samples import Floats, Ints, Truth
from pipeline.core.targets import LABELS, SHARES, VALUES, Target, softmax
from pipeline.core.voting.soft_voting import log_floored

Bools = npt.NDArray[np.bool_]
ITERATIONS = 2000
# Biases are all but free; without any penalty that of a class that never occurs has no end.
TINY_PENALTY = 1e-3


@dataclass(frozen=True)
class Stack:
    """A fitted stacking model.

    Args:
        coefficient_MCC: of each member, from its class (second axis) to the predicted class (third).
        bias_C: for a class without rows the log of the floor, so that it is almost never predicted.
        target: what the columns mean.
    """

    coefficient_MCC: Reals
    bias_C: Reals
    target: Target

    def votes(self, p_MNC: Sequence[Floats]) -> list[Floats]:
        """(N, C) contribution of each member, times M: their mean plus the bias gives the logits."""
        scale = len(self.coefficient_MCC)
        return [
            np.asarray(scale * (_inputs(self.target, p_NC) @ w_CC), dtype=np.float32)
            for p_NC, w_CC in zip(p_MNC, self.coefficient_MCC, strict=True)
        ]

    @property
    def shares_M(self) -> Reals:
        """(M,) share of the coefficients of each member, summing to 1."""
        size_M = np.abs(self.coefficient_MCC).sum(axis=(1, 2))
        even = np.full(len(size_M), 1 / len(size_M))
        return np.asarray(size_M / size_M.sum() if size_M.sum() > 0 else even, dtype=np.float64)


def fit(p_MNC: Sequence[Floats], y_N: Truth, c: float, target: Target) -> Stack:
    """Fit on out-of-fold predictions, of at least two classes; `c`: inverse strength of the L2 penalty."""
    x_MNC = [_inputs(target, p_NC) for p_NC in p_MNC]
    if target.kind == VALUES:
        return _of_columns(x_MNC, y_N, c, target)
    if target.kind == LABELS:
        return _of_labels(x_MNC, y_N, c, target)
    if target.kind == SHARES:
        return Stack(*_near_mean(x_MNC, y_N, c), target)
    return Stack(*_of_classes(x_MNC, np.asarray(y_N, np.int64), c), target)


def _inputs(target: Target, p_NC: Floats) -> Floats:
    """What the regression sees of a member: log p centred, the log odds of labels, or values."""
    if target.rows_sum_to_one:
        return _centred(p_NC)
    x_NC = target.logits(p_NC)
    for block in target.blocks:
        x_NC[:, block] = _centred(p_NC[:, block])
    return x_NC


def _of_labels(x_MNC: Sequence[Floats], y_NC: Truth, c: float, target: Target) -> Stack:
    """A logistic regression for each label, on the members' own columns of it, where it is known."""
    n_columns = target.n_columns
    whole_MCC, bias_C = np.zeros((len(x_MNC), n_columns, n_columns)), np.zeros(n_columns)
    inside = {k for block in target.blocks for k in range(block.start, block.stop)}
    alone = [slice(k, k + 1) for k in range(n_columns) if k not in inside]
    for block in [*target.blocks, *alone]:
        known = np.flatnonzero(~np.isnan(y_NC[:, block]).any(axis=1))
        of_block = [x_NC[known, block] for x_NC in x_MNC]
        whole_MCC[:, block, block], bias_C[block] = _near_mean(of_block, y_NC[known, block], c)
    return Stack(whole_MCC, bias_C, target)


def _near_mean(x_MNC: Sequence[Floats], y_NC: Truth, c: float) -> tuple[Reals, Reals]:
    """(M, C, C) coefficients and (C,) biases of a logistic regression that is shrunk towards the mean.

    The penalty is that of L2 with inverse strength `c`, on the distance from the members' mean log odds:
    without evidence they are averaged, and not flattened. One column is a label by itself, several are
    exclusive.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    n_members, n_columns = len(x_MNC), x_MNC[0].shape[1]
    mean_MCC = np.stack([np.eye(n_columns) / n_members] * n_members)
    held_C = np.nansum(y_NC, axis=0)
    varies = len(y_NC) > 0 and (held_C > 0).sum() + (held_C < len(y_NC)).sum() > max(n_columns, 1)
    if not varies:
        return mean_MCC, np.zeros(n_columns)
    x = np.stack([np.asarray(x_NC, np.float64) for x_NC in x_MNC])
    y = np.asarray(y_NC, dtype=np.float64)
    start_NC = x.mean(axis=0)

    def loss(values: Reals) -> tuple[float, Reals]:
        off_MCC, bias_C = values[:-n_columns].reshape(mean_MCC.shape), values[-n_columns:]
        logit_NC = start_NC + np.einsum("mnc,mcd->nd", x, off_MCC) + bias_C
        if n_columns == 1:
            total = np.logaddexp(0, logit_NC)
            p_NC = np.exp(logit_NC - total)
        else:
            total = logsumexp(logit_NC, axis=1, keepdims=True)
            p_NC = np.exp(logit_NC - total) * y.sum(axis=1, keepdims=True)
        entropy = (total[:, 0] * (1 if n_columns == 1 else y.sum(axis=1))).sum() - (y * logit_NC).sum()
        off_NC = p_NC - y
        slope_MCC = np.einsum("mnc,nd->mcd", x, off_NC) + off_MCC / c
        slope_C = off_NC.sum(axis=0) + TINY_PENALTY * bias_C
        penalty = (off_MCC**2).sum() / (2 * c) + TINY_PENALTY * (bias_C**2).sum() / 2
        return float(entropy + penalty), np.r_[slope_MCC.ravel(), slope_C]

    size = mean_MCC.size + n_columns
    found = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    off_MCC, bias_C = found.x[:-n_columns].reshape(mean_MCC.shape), found.x[-n_columns:]
    return mean_MCC + off_MCC, np.asarray(bias_C, dtype=np.float64)


def _of_columns(x_MNC: Sequence[Floats], y_NC: Truth, c: float, target: Target) -> Stack:
    """A ridge regression for each value, shrunk towards weights that are inverse to squared errors.

    The penalty is that of 1/`c` rows whose predictions vary as the truth does, so it has no unit.
    """
    n_members, n_columns = len(x_MNC), target.n_columns
    whole_MCC, bias_C = np.zeros((n_members, n_columns, n_columns)), np.zeros(n_columns)
    for k in range(n_columns):
        known = np.flatnonzero(~np.isnan(y_NC[:, k]))
        weight_M = np.full(n_members, 1 / n_members)
        if len(known):
            x_NM = np.stack([x_NC[known, k] for x_NC in x_MNC], axis=1).astype(np.float64)
            y_N = np.asarray(y_NC[known, k], dtype=np.float64)
            means_M, mean = x_NM.mean(axis=0), y_N.mean()
            off_NM = x_NM - means_M
            moments_MM, penalty = off_NM.T @ off_NM, float(y_N.var()) / c
            error_M = ((x_NM - y_N[:, None]) ** 2).mean(axis=0)
            precise_M = 1 / np.maximum(error_M, 1e-9 * max(float(error_M.max()), 1e-30))
            weight_M = precise_M / precise_M.sum()
            if penalty > 0:
                rest_N = (y_N - mean) - off_NM @ weight_M
                weight_M = weight_M + np.linalg.solve(
                    moments_MM + penalty * np.eye(n_members), off_NM.T @ rest_N
                )
            bias_C[k] = mean - means_M @ weight_M
        whole_MCC[:, k, k] = weight_M
    return Stack(whole_MCC, bias_C, target)


def _of_classes(x_MNC: Sequence[Floats], y_N: Ints, c: float) -> tuple[Reals, Reals]:
    """(M, C, C) coefficients and (C,) biases of a multinomial regression."""
    # Imported here: scikit-learn takes a second to load, which no other method should wait for.
    from sklearn.linear_model import LogisticRegression

    n_members, n_classes = len(x_MNC), x_MNC[0].shape[1]
    if len(np.unique(y_N)) < 2:  # nothing to tell apart: that class
        bias_C = np.full(n_classes, np.log(LOG_FLOOR))
        bias_C[y_N] = 0
        return np.zeros((n_members, n_classes, n_classes)), bias_C
    x_ND = np.concatenate(x_MNC, axis=1)
    learned = LogisticRegression(C=c, max_iter=ITERATIONS).fit(x_ND, y_N)
    coefficient_KD, bias_K = learned.coef_, learned.intercept_
    if len(learned.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficient_KD = np.concatenate([-coefficient_KD / 2, coefficient_KD / 2])
        bias_K = np.concatenate([-bias_K / 2, bias_K / 2])
    whole_CD = np.zeros((n_classes, x_ND.shape[1]))
    whole_CD[learned.classes_] = coefficient_KD
    bias_C = np.full(n_classes, np.log(LOG_FLOOR))
    bias_C[learned.classes_] = bias_K
    return whole_CD.reshape(n_classes, n_members, n_classes).transpose(1, 2, 0), bias_C


def _centred(p_NC: Floats) -> Floats:
    """Log p minus its mean over the classes: a constant added to a row of logits changes nothing."""
    log_NC = log_floored(p_NC)
    return np.asarray(log_NC - log_NC.mean(axis=1, keepdims=True), dtype=np.float32)


COLDEST, HOTTEST = 0.05, 20.0
TOLERANCE = 1e-3


def fit_temperature(p_NC: Floats, y_N: Truth, target: Target | None = None) -> float:
    """The temperature, 0.05 to 20, with the lowest log loss on these rows of one member.

    `target`: None for exclusive classes.
    """
    if target is not None and y_N.ndim == 2:
        return _temperature_of_columns(target, p_NC, y_N)
    log_NC = log_floored(p_NC)

    def loss(log_temperature: float) -> float:
        scaled_NC = log_NC / np.float32(math.exp(log_temperature))
        top_N = scaled_NC.max(axis=1)
        sums_N = np.exp(scaled_NC - top_N[:, None]).sum(axis=1, dtype=np.float64)
        right_N = scaled_NC[np.arange(len(y_N)), y_N] - top_N
        return float(np.mean(np.log(sums_N) - right_N))

    return _lowest(loss)


def _lowest(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE})
    return float(math.exp(found.x))


def _temperature_of_columns(target: Target, p_NC: Floats, y_NC: Truth) -> float:
    """The same for labels and shares: the mean cross-entropy of the known cells."""
    target.require((LABELS, SHARES), "a temperature")
    logit_NC, known_NC = target.logits(p_NC).astype(np.float64), ~np.isnan(y_NC)
    alone_C = np.ones(target.n_columns, bool)
    for block in target.blocks or ([slice(0, target.n_columns)] if target.kind == SHARES else []):
        alone_C[block] = False
    truth_NC = np.nan_to_num(y_NC).astype(np.float64)

    def loss(log_temperature: float) -> float:
        p = np.clip(target.from_logits(logit_NC / math.exp(log_temperature)), LOG_FLOOR, 1).astype(np.float64)
        loss_NC = -truth_NC * np.log(p)
        rest_NC = -(1 - truth_NC) * np.log(np.maximum(1 - p, LOG_FLOOR))
        loss_NC[:, alone_C] += rest_NC[:, alone_C]
        return float(loss_NC[known_NC].sum() / max(known_NC.sum(), 1))

    return _lowest(loss)


def apply_temperature(p_NC: Floats, temperature: float, target: Target | None = None) -> Floats:
    """(N, C) probabilities at another temperature; unchanged at 1. `target`: None for exclusive classes."""
    if temperature == 1.0:
        return p_NC
    if target is not None and not target.rows_sum_to_one:
        return target.from_logits(target.logits(p_NC).astype(np.float64) / temperature)
    return softmax(log_floored(p_NC).astype(np.float64) / temperature)
