"""Logistic regression on cached features: the linear head as a convex problem, solved.

Owns the rows and weights that the solver sees, and turning its answer into a head. The solver is
scikit-learn's L-BFGS. Does not own what a head is (`train/heads.py`).

Every view of an image is a row of 1/V of its weight, so nothing is drawn and no seed is read. Repeated
rows become weights, a soft label one row a class, each by its share.

Legend: N training rows that differ, K of their classes, V views, D features, C classes, M rows of the solver.
"""

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Floats, Ints
from pipeline.settings.schema import LossSettings
from pipeline.train.heads import (
    HeadFit,
    HeadJob,
    HeadStack,
    head_fit,
    head_probabilities,
    mean_of_heads,
    plain_view,
    softmax_JNC,
)

log = logging.getLogger(__name__)

MAX_ITERATIONS = 1000
# A class without a training row has odds of e^-30 against the others: the problem has no finite answer.
_ABSENT = -30.0
_SMALLEST_P = 1e-12


def fit_heads(jobs: Sequence[HeadJob]) -> list[HeadFit]:
    """Solve every fold's problem.

    Minimised is C · Σ weight · cross-entropy + ½ ‖W‖²: a sum over rows, not a mean; biases go unpunished.

    Args:
        jobs: at least one; all with the same settings and the same features.

    Raises:
        ConfigError: a loss other than plain cross-entropy.
    """
    refuse_loss(jobs[0].loss)
    bar = tqdm(jobs, desc="logistic regression", unit="fold", disable=not sys.stderr.isatty())
    return [_fit(job) for job in bar]


def refuse_loss(loss: LossSettings) -> None:
    """Raise ConfigError unless the loss is plain cross-entropy, which is all that the solver minimises."""
    if loss != LossSettings():
        raise ConfigError(
            f"loss.name: head=logistic minimises plain cross-entropy, and the loss is {loss.name}",
            remedy="leave loss.* out, or choose train.head=linear, which takes any loss",
        )


def _fit(job: HeadJob) -> HeadFit:
    begin, features = time.perf_counter(), job.features
    mean_D, std_D = job.statistics()
    x_NVD = features.take(job.train_samples.ids_N).x_NVD
    if job.synthetic is not None:
        x_NVD = np.concatenate([x_NVD, job.synthetic.x_SVD])
    z_NVD = ((torch.from_numpy(x_NVD.copy()) - mean_D) / std_D).numpy()
    target_NC = job.target_NC.numpy()
    times_N = np.bincount(job.rows(0).index_R, minlength=len(x_NVD)).astype(np.float32)
    problem = _problem(z_NVD, target_NC, job.weight_N.numpy() * times_N)
    weight_CD, bias_C, iterations = _solve(problem, target_NC.shape[1], job)
    head = HeadStack(mean_D[None], std_D[None], target_NC.shape[1])
    with torch.no_grad():
        head.out.weight.copy_(torch.from_numpy(weight_CD)[None])
        head.out.bias.copy_(torch.from_numpy(bias_C)[None])
    p_1NC = head_probabilities(head, plain_view(features.take(job.valid_samples.ids_N)))
    with torch.inference_mode():
        p_MC = softmax_JNC(head.logits(torch.from_numpy(problem.z_MD)[None]))[0]
    train_loss = _cross_entropy(p_MC, problem.class_M, problem.weight_M)
    labels_N = job.valid_samples.labels
    valid_loss = _cross_entropy(p_1NC[0], labels_N, np.ones(len(labels_N), np.float32))
    entry = {
        "epoch": 0.0,
        "iterations": float(iterations),
        "train_loss": train_loss,
        "valid_loss": valid_loss,
        "valid_score": job.metric(labels_N, mean_of_heads(p_1NC)),
        "gap": valid_loss - train_loss,
    }
    state = {key: value.detach().clone() for key, value in head.state_dict().items()}
    return head_fit(job, state, p_1NC, [entry], time.perf_counter() - begin)


@dataclass(frozen=True)
class _Problem:
    """What the solver sees: standardised rows, the class of each, and how much it counts."""

    z_MD: Floats
    class_M: Ints
    weight_M: Floats


def _problem(z_NVD: Floats, target_NC: Floats, weight_N: Floats) -> _Problem:
    """Rows that count, one for each class that their target gives mass to, and each of their views."""
    share_NC = target_NC * weight_N[:, None]
    row_K, class_K = np.nonzero(share_NC)
    n_views = z_NVD.shape[1]
    weight_K = np.asarray(share_NC[row_K, class_K] / n_views, dtype=np.float32)
    return _Problem(
        z_NVD[row_K].reshape(-1, z_NVD.shape[2]), class_K.repeat(n_views), weight_K.repeat(n_views)
    )


def _solve(problem: _Problem, n_classes: int, job: HeadJob) -> tuple[Floats, Floats, int]:
    """(C, D) weights, (C,) biases, and the iterations that it took."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(problem.class_M)
    weight_CD = np.zeros((n_classes, problem.z_MD.shape[1]), np.float32)
    bias_C = np.full(n_classes, _ABSENT, np.float32)
    bias_C[present] = 0
    if len(present) == 1:
        return weight_CD, bias_C, 0
    solver: Any = LogisticRegression(C=job.train.head_c, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told below, with the fold and a remedy
        solver.fit(problem.z_MD, problem.class_M, sample_weight=problem.weight_M)
    iterations = int(solver.n_iter_.max())
    if iterations >= MAX_ITERATIONS:
        log.warning(
            "fold %d: logistic regression has not converged after %d iterations; a smaller train.head_c "
            "(now %g) makes it easier",
            *(job.fold, MAX_ITERATIONS, job.train.head_c),
        )
    if len(present) == 2:  # scikit-learn then has one row: the log-odds of the second class
        weight_CD[present] = np.concatenate([-solver.coef_, solver.coef_]) / 2
        bias_C[present] = np.concatenate([-solver.intercept_, solver.intercept_]) / 2
    else:
        weight_CD[present], bias_C[present] = solver.coef_, solver.intercept_
    return weight_CD, bias_C, iterations


def _cross_entropy(p_MC: Floats, class_M: Ints, weight_M: Floats) -> float:
    """The weighted mean of -log p of each row's class."""
    p_M = np.maximum(p_MC[np.arange(len(class_M)), class_M], _SMALLEST_P)
    return float(np.average(-np.log(p_M.astype(np.float64)), weights=weight_M))
