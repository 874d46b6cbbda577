"""Heads on cached features that are solved, not trained: logistic regression, ridge, the nearest samples.

Owns the convex problems of each kind of target and their solutions: scikit-learn's L-BFGS for classes, shares
and labels, the closed form of ridge regression for values; and making a head of the training part itself.
Does not own what a head is (`train/heads.py`) nor how neighbours vote (`nets/nearest.py`).

Every view of an image is a row with 1/V of its weight, so nothing is drawn and no seed is read. Repeated rows
become weights; a soft label becomes one row per class, weighted by its share. Each label is a problem by
itself, on the rows where it is known: one logistic regression a column, or one over the levels of a label.
Each value is a ridge regression by itself, of the standardised value.

Legend: N samples, V views, D features, C classes or columns, K rows of single classes, M rows of the solver.
"""

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.samples import Floats, Ints, positions
from pipeline.core.targets import LABELS, VALUES, Target
from pipeline.core.terminal import bar_of
from pipeline.nets.nearest import state_of
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import AUTO
from pipeline.train import column_losses, head_penalty, heads
from pipeline.train.heads import HeadFit, HeadJob, HeadStack
from pipeline.train.targets import class_facts, targets_of

log = logging.getLogger(__name__)

MAX_ITERATIONS = 1000
# The bias of a class without a training row, for which the problem has no finite solution: odds of e^-30.
_ABSENT = -30.0
_SMALLEST_P = 1e-12
# The penalty of a ridge regression is this over C.
_RIDGE = 16.0


def fit_heads(jobs: Sequence[HeadJob]) -> list[HeadFit]:
    """Solve the problem of every fold; all jobs have the same settings and the same features.

    Of classes and labels the objective is C · Σ weight · cross-entropy + ½ ‖W‖²: a sum over rows, not a
    mean; biases have no penalty.

    Raises:
        ConfigError: a loss other than plain cross-entropy.
    """
    refuse_loss(jobs[0].loss, jobs[0].train.head)
    bar = bar_of("solved heads", "fold", jobs)
    return [(_nearest if job.train.head == "knn" else _fit)(job) for job in bar]


def refuse_loss(loss: LossSettings, head: str = "logistic") -> None:
    """Raise ConfigError unless the loss is the natural one of the target, the only one that is solved."""
    if loss != LossSettings(label_weights=loss.label_weights):
        what = "minimises no loss" if head == "knn" else "minimises plain cross-entropy"
        raise ConfigError(
            _("loss.name: head={head} {what}, but the loss is {loss}").format(
                head=head, what=what, loss=loss.name
            ),
            remedy=_("leave loss.* out, or choose train.head=linear, which accepts any loss"),
        )


@dataclass(frozen=True)
class _Solved:
    """The logits of a linear head on standardised features; `iterations` is 0 for a closed form."""

    weight_CD: Floats
    bias_C: Floats
    iterations: int


def _nearest(job: HeadJob) -> HeadFit:
    """The training part itself, in the plain view; nothing is minimised.

    The loss of the training rows is that of rows that find themselves, so it is not told: both losses are of
    the validation part.
    """
    begin, features, valid = time.perf_counter(), job.features, job.valid_samples
    mean_D, std_D = job.statistics()
    x_ND = heads.plain_view(features, job.train_samples.ids_N)
    if job.synthetic is not None:
        view = features.views.index("identity")
        x_ND = torch.cat([x_ND, torch.from_numpy(job.synthetic.x_SVD[:, view].copy())])
    times_N = torch.from_numpy(np.bincount(job.rows(0).index_R, minlength=len(x_ND)))
    form = (job.train.head_k, job.train.head_temperature, features.n_beside)
    z_ND = (x_ND - mean_D) / std_D
    weight_N = job.weight_N * times_N
    state = state_of(z_ND, job.target_NC, weight_N, (mean_D, std_D), job.target, form)
    head = heads.restore_head(state)
    valid_ND = heads.plain_view(features, valid.ids_N)
    p_1NC = heads.head_probabilities(head, valid_ND.numpy(), job.target)
    logits_NC = torch.from_numpy(job.target.logits(p_1NC[0]))
    loss = float(job.make_loss(0).mean(logits_NC, targets_of(valid)))
    figures = {"train_loss": loss, "valid_loss": loss, "gap": 0.0}
    entry = {"epoch": 0.0, **figures, "valid_score": job.metric(valid.truth, p_1NC[0])}
    return heads.head_fit(job, state, p_1NC, [entry], time.perf_counter() - begin)


def _fit(job: HeadJob) -> HeadFit:
    begin, features = time.perf_counter(), job.features
    mean_D, std_D = job.statistics()
    x_NVD = features.x_NVD[positions(job.train_samples.ids_N, features.ids_N, "features")]  # a copy
    if job.synthetic is not None:
        x_NVD = np.concatenate([x_NVD, job.synthetic.x_SVD])
    z_NVD = torch.from_numpy(x_NVD).sub_(mean_D).div_(std_D).numpy()
    if features.n_beside:
        np.nan_to_num(z_NVD[..., -features.n_beside :], copy=False)
    target_NC = job.target_NC.numpy()
    times_N = np.bincount(job.rows(0).index_R, minlength=len(z_NVD)).astype(np.float32)
    weight_N = job.weight_N.numpy() * times_N
    solve = {LABELS: _labels, VALUES: _values}.get(job.target.kind, _classes)
    job = _with_penalty(job, z_NVD, target_NC, weight_N)
    solved = solve(z_NVD, target_NC, weight_N, job)
    low_D, high_D = job.ends()
    head = HeadStack(
        mean_D[None],
        std_D[None],
        target_NC.shape[1],
        scale=heads.scale_of_heads([job.scale], len(mean_D)),
        n_beside=features.n_beside,
        ends=(low_D[None], high_D[None]),
    )
    weight_CD, bias_C = (torch.from_numpy(v).double() for v in (solved.weight_CD, solved.bias_C))
    if head.scale is not None:
        # The last step of the head turns this round again.
        mean_C, spread_C = head.scale.mean[0, 0].double(), head.scale.spread[0, 0].double()
        weight_CD, bias_C = weight_CD / spread_C[:, None], (bias_C - mean_C) / spread_C
    with torch.no_grad():
        head.load_state_dict({**head.state_dict(), "out.weight": weight_CD[None], "out.bias": bias_C[None]})
    head.eval()
    entry, p_1NC = _figures(job, head, z_NVD, target_NC, weight_N)
    state = {key: value.detach().clone() for key, value in head.state_dict().items()}
    facts = {"iterations": float(solved.iterations), "head_c": _c(job)}
    history = [{"epoch": 0.0, **facts, **entry}]
    return heads.head_fit(job, state, p_1NC, history, time.perf_counter() - begin)


def _with_penalty(job: HeadJob, z_NVD: Floats, target_NC: Floats, weight_N: Floats) -> HeadJob:
    """The job with a number for `train.head_c`."""
    if job.train.head_c != AUTO:
        return job
    plain, scale = job.features.views.index("identity"), job.scale

    def at(c: float) -> HeadJob:
        return replace(job, train=job.train.model_copy(update={"head_c": c}))

    if job.target.kind != VALUES:
        return at(head_penalty.USUAL_C)
    assert scale is not None, "values have a scale"

    def loss_of(solve_N: head_penalty.Mask, judge_N: head_penalty.Mask, c: float) -> float:
        own, other = np.flatnonzero(solve_N), np.flatnonzero(judge_N)
        own_NVD, other_NVD = head_penalty.standardised(z_NVD[own], z_NVD[other], job.features.n_beside)
        found = _values(own_NVD, target_NC[own], weight_N[own], at(c))
        off_NC = other_NVD[:, plain] @ found.weight_CD.T + found.bias_C - target_NC[other]
        loss_NC = (off_NC / scale.spread_C) ** 2
        known_NC = ~np.isnan(loss_NC) & (weight_N[other, None] > 0)
        weight_NC = np.broadcast_to(weight_N[other, None], loss_NC.shape)
        return float(np.average(loss_NC[known_NC], weights=weight_NC[known_NC])) if known_NC.any() else np.nan

    return at(head_penalty.chosen(job.train_samples, loss_of))


def _c(job: HeadJob) -> float:
    """The chosen C."""
    assert job.train.head_c != AUTO, "C is chosen before anything is solved"
    return float(job.train.head_c)


def _figures(
    job: HeadJob, head: HeadStack, z_NVD: Floats, target_NC: Floats, weight_N: Floats
) -> tuple[dict[str, float], Floats]:
    """The losses and the score of a solved head, and (1, N, C) predictions of the validation part."""
    valid = job.valid_samples
    x_ND = heads.plain_view(job.features, valid.ids_N)
    p_1NC = heads.head_probabilities(head, x_ND.numpy(), job.target)
    if job.target.rows_sum_to_one:
        problem = _problem(z_NVD, target_NC, weight_N)
        with torch.inference_mode():
            logits_1MC = head.logits(torch.from_numpy(problem.z_MD)[None])
        p_MC = heads.from_logits_JNC(logits_1MC, job.target)[0]
        train_loss = _cross_entropy(p_MC, problem.class_M, problem.weight_M)
        own = _problem(p_1NC[0][:, None], targets_of(valid).numpy(), np.ones(len(valid), np.float32))
        valid_loss = _cross_entropy(own.z_MD, own.class_M, own.weight_M)
    else:
        train_loss, valid_loss = _mean_losses(job, head, z_NVD, target_NC, weight_N, x_ND)
    score = job.metric(valid.truth, heads.mean_of_heads(p_1NC))
    return {
        "train_loss": train_loss,
        "valid_loss": valid_loss,
        "valid_score": score,
        "gap": valid_loss - train_loss,
    }, p_1NC


def _mean_losses(
    job: HeadJob, head: HeadStack, z_NVD: Floats, target_NC: Floats, weight_N: Floats, x_ND: torch.Tensor
) -> tuple[float, float]:
    """The loss of the training rows and of the validation part, each over its known cells."""
    loss, n_views = job.make_loss(0), z_NVD.shape[1]
    target_MC = torch.from_numpy(target_NC.repeat(n_views, axis=0))
    weight_M = torch.from_numpy(weight_N.repeat(n_views)) * loss.weigh(target_MC)
    with torch.inference_mode():
        logits_MC = head.logits(torch.from_numpy(z_NVD.reshape(-1, z_NVD.shape[2]))[None])[0]
        value_M = loss(logits_MC, target_MC)
        train = float((value_M * weight_M).sum() / weight_M.sum().clamp_min(_SMALLEST_P))
        valid = float(loss.mean(head(x_ND[None])[0], targets_of(job.valid_samples)))
    return train, valid


def _classes(z_NVD: Floats, target_NC: Floats, weight_N: Floats, job: HeadJob) -> _Solved:
    """One multinomial logistic regression over all classes."""
    return _Solved(*_solve(_problem(z_NVD, target_NC, weight_N), target_NC.shape[1], job))


def _labels(z_NVD: Floats, target_NC: Floats, weight_N: Floats, job: HeadJob) -> _Solved:
    """A logistic regression for each label, on the rows where it is known."""
    n_columns, most = target_NC.shape[1], 0
    # Problems of single labels do not depend on how much these count; those of levels do on each level.
    facts = class_facts(job.train_samples, job.rows(0), job.heads, job.synthetic)
    level_C = column_losses.metric_weights(job.loss, facts)
    weight_CD = np.zeros((n_columns, z_NVD.shape[2]), np.float32)
    bias_C = np.zeros(n_columns, np.float32)
    for columns in _blocks(job.target):
        own_NC = target_NC[:, columns]
        known_N = ~np.isnan(own_NC).any(axis=1) & (weight_N > 0)
        if not known_N.any():
            continue  # probabilities of one half, or equal ones
        own_NC, single = own_NC[known_N], len(columns) == 1
        share_NC = np.concatenate([1 - own_NC, own_NC], axis=1) if single else own_NC
        if level_C is not None and not single:
            own_C = level_C[columns]
            share_NC = share_NC * (own_C / _mean_of_rows(own_C, share_NC, weight_N[known_N])).astype(
                np.float32
            )
        problem = _problem(z_NVD[known_N], share_NC, weight_N[known_N])
        own_CD, own_C, iterations = _solve(problem, share_NC.shape[1], job)
        most = max(most, iterations)
        # One column has the odds of the second value against the first.
        weight_CD[columns] = own_CD[1:] - own_CD[:1] if single else own_CD
        bias_C[columns] = own_C[1:] - own_C[:1] if single else own_C
    return _Solved(weight_CD, bias_C, most)


def _mean_of_rows(level_W: np.ndarray, share_NW: Floats, weight_N: Floats) -> float:
    """The mean weight of the rows of a label, so that weights of levels do not change the penalty's share."""
    total = float((share_NW * weight_N[:, None]).sum())
    return float((share_NW * weight_N[:, None] * level_W).sum()) / total if total > 0 else 1.0


def _blocks(target: Target) -> list[list[int]]:
    """The columns of each label."""
    blocks = {block.start: list(range(block.start, block.stop)) for block in target.blocks}
    inside = {column for block in blocks.values() for column in block}
    alone = {column: [column] for column in range(target.n_columns) if column not in inside}
    return [columns for _, columns in sorted((blocks | alone).items())]


def _values(z_NVD: Floats, target_NC: Floats, weight_N: Floats, job: HeadJob) -> _Solved:
    """A ridge regression for each value: C/16 · Σ weight · squared error + ‖w‖², of standardised values.

    With this factor a C that suits classes suits values, too (measured on 2,468 images and three values: mean
    R² .50 for C = .03, and .38 with a quarter). The closed form, by Cholesky factorisation.
    """
    from sklearn.linear_model import Ridge

    scale, n_views = job.scale, z_NVD.shape[1]
    assert scale is not None, "values have a scale"
    weight_CD = np.zeros((target_NC.shape[1], z_NVD.shape[2]), np.float32)
    bias_C = np.zeros(target_NC.shape[1], np.float32)
    for c in range(target_NC.shape[1]):
        known_N = ~np.isnan(target_NC[:, c]) & (weight_N > 0)
        if not known_N.any():
            continue  # 0, as nothing is known
        z_MD = z_NVD[known_N].reshape(-1, z_NVD.shape[2]).astype(np.float64)
        y_N = (target_NC[known_N, c].astype(np.float64) - scale.mean_C[c]) / scale.spread_C[c]
        weight_M = weight_N[known_N].repeat(n_views).astype(np.float64) / n_views
        solver: Any = Ridge(alpha=_RIDGE / _c(job), solver="cholesky")
        solver.fit(z_MD, y_N.repeat(n_views), sample_weight=weight_M)
        weight_CD[c] = solver.coef_ * scale.spread_C[c]
        bias_C[c] = solver.intercept_ * scale.spread_C[c] + scale.mean_C[c]
    return _Solved(weight_CD, bias_C, 0)


@dataclass(frozen=True)
class _Problem:
    """The rows of the solver: standardised features, the class and the weight of each."""

    z_MD: Floats
    class_M: Ints
    weight_M: Floats


def _problem(z_NVD: Floats, target_NC: Floats, weight_N: Floats) -> _Problem:
    """One row for each view of a sample and each class of its target, without rows of weight 0."""
    share_NC = target_NC * weight_N[:, None]
    row_K, class_K = np.nonzero(share_NC)
    n_views = z_NVD.shape[1]
    weight_K = np.asarray(share_NC[row_K, class_K] / n_views, dtype=np.float32)
    every = len(row_K) == len(z_NVD) and bool((row_K == np.arange(len(z_NVD))).all())
    z_MD = (z_NVD if every else z_NVD[row_K]).reshape(-1, z_NVD.shape[2])
    return _Problem(z_MD, class_K.repeat(n_views), weight_K.repeat(n_views))


def _solve(problem: _Problem, n_classes: int, job: HeadJob) -> tuple[Floats, Floats, int]:
    """(C, D) weights, (C,) biases, and the number of iterations."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(problem.class_M)
    weight_CD = np.zeros((n_classes, problem.z_MD.shape[1]), np.float32)
    bias_C = np.full(n_classes, _ABSENT, np.float32)
    bias_C[present] = 0
    if len(present) == 1:
        return weight_CD, bias_C, 0
    solver: Any = LogisticRegression(C=_c(job), max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # logged below, with the fold and a remedy
        solver.fit(problem.z_MD, problem.class_M, sample_weight=problem.weight_M)
    iterations = int(solver.n_iter_.max())
    if iterations >= MAX_ITERATIONS:
        log.warning(
            _(
                "fold {fold}: logistic regression has not converged after {iterations} iterations; try a "
                "smaller train.head_c (now {c:g})"
            ).format(fold=job.fold, iterations=MAX_ITERATIONS, c=_c(job))
        )
    if len(present) == 2:  # scikit-learn then returns one row: the log-odds of the second class
        weight_CD[present] = np.concatenate([-solver.coef_, solver.coef_]) / 2
        bias_C[present] = np.concatenate([-solver.intercept_, solver.intercept_]) / 2
    else:
        weight_CD[present], bias_C[present] = solver.coef_, solver.intercept_
    return weight_CD, bias_C, iterations


def _cross_entropy(p_MC: Floats, class_M: Ints, weight_M: Floats) -> float:
    """The weighted mean of -log p of the class of each row."""
    p_M = np.maximum(p_MC[np.arange(len(class_M)), class_M], _SMALLEST_P)
    return float(np.average(-np.log(p_M.astype(np.float64)), weights=weight_M))
