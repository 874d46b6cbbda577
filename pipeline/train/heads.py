"""Heads on cached features: what a head is, what it predicts, and logistic regression.

Owns linear and MLP heads, any number of them side by side, what the heads of one fold train on (`HeadJob`),
and solving a linear head as a convex problem with scikit-learn's L-BFGS. Does not own training heads by
steps (`train/batched_heads.py`) or the features (`nets/forward.py`).

Logistic regression: every view of an image is a row with 1/V of its weight, so nothing is drawn and no seed
is read. Repeated rows become weights; a soft label becomes one row per class, weighted by its share.

Legend: J heads side by side, N samples, V views, D features, H hidden units, C classes, B rows of a
batch, S synthetic rows, K rows of single classes, M rows of the solver.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features, FoldResult, Probabilities, ViewProbabilities
from pipeline.core.samples import Floats, Ints, Samples, Strings, SyntheticRows, TrainRows, positions
from pipeline.core.targets import softmax
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.weights import State
from pipeline.record import files
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.losses import Loss, make_loss
from pipeline.train.state import save_checkpoint
from pipeline.train.targets import class_facts, one_hot, targets_of

# The least standard deviation of a feature: a constant one would be divided by 0.
_SMALLEST_STD = 1e-6
# Rows of one pass without gradients: each head side by side holds its own standardised copy of them.
_ROWS = 4096
# Columns of features whose mean and deviation are computed together.
_COLUMNS = 128


@dataclass(frozen=True)
class HeadJob:
    """Everything that the training of one fold's heads depends on.

    Args:
        fold: its number; part of every seed.
        loss, train: settings; `batch_size` × `accumulate` rows make a batch here.
        train_samples: the fold's training part, labelled.
        valid_samples: the fold's validation part, labelled; never trained on.
        features: of both parts, found by id; the view `identity`, used in validation, is one of them.
        rows: the rows of each epoch, as positions in `train_samples` and, after them, in `synthetic`.
        metric: from (y_N, p_NC) to a score, for the history alone.
        weights_N: sample weights, ≥ 0; None: all equal. Synthetic rows have weight 1.
        synthetic: rows that belong to no image, with the same views; None: there are none.
        soft_NC: soft labels of each training sample; None, or a row of NaN: the label.
        heads: a head per attribute; None: one output per class.
    """

    fold: int
    loss: LossSettings
    train: TrainSettings
    train_samples: Samples
    valid_samples: Samples
    features: Features
    rows: Callable[[int], TrainRows]
    metric: Callable[[Ints, Floats], float]
    weights_N: Floats | None = None
    synthetic: SyntheticRows | None = None
    soft_NC: Floats | None = None
    heads: AttributeHeads | None = None

    @property
    def target_NC(self) -> torch.Tensor:
        """(N, C) targets of the training samples, followed by those of the synthetic rows."""
        target_NC = targets_of(self.train_samples, self.soft_NC)
        if self.synthetic is None:
            return target_NC
        return torch.cat([target_NC, one_hot(self.synthetic.labels_S, target_NC.shape[1])])

    @property
    def weight_N(self) -> torch.Tensor:
        """(N,) weights of the training samples, followed by those of the synthetic rows."""
        weight_N = torch.ones(len(self.train_samples) + (len(self.synthetic) if self.synthetic else 0))
        if self.weights_N is not None:
            weight_N[: len(self.weights_N)] = torch.from_numpy(self.weights_N.copy())
        return weight_N

    @property
    def n_outputs(self) -> int:
        """C, or the number of outputs of `heads`."""
        return self.heads.n_outputs if self.heads else self.train_samples.space.n_classes

    def make_loss(self, epoch: int) -> Loss:
        """The loss of an epoch; it knows the class counts of the training rows."""
        facts = class_facts(self.train_samples, self.rows(0), self.heads, self.synthetic)
        return make_loss(self.loss, facts, epoch, self.train.epochs)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(D,) mean and standard deviation over the training samples and all views, each counted once."""
        x_NVD = self.features.x_NVD
        at_N = positions(self.train_samples.ids_N, self.features.ids_N, "features")
        means, stds = [], []
        for start in range(0, x_NVD.shape[2], _COLUMNS):  # not all in memory, and in double precision
            block = np.ascontiguousarray(x_NVD[at_N, :, start : start + _COLUMNS])
            flat = torch.from_numpy(block).flatten(0, 1).double()
            means.append(flat.mean(0).float())
            stds.append(flat.std(0, correction=0).clamp_min(_SMALLEST_STD).float())
        return torch.cat(means), torch.cat(stds)


@dataclass(frozen=True)
class HeadFit:
    """The trained heads of one fold.

    Args:
        result: its out-of-fold probabilities are the mean over the seeds.
        state: of one `HeadStack` that holds the heads of all seeds.
        by_seed: out-of-fold probabilities, one block per seed.
    """

    result: FoldResult
    state: State
    by_seed: ViewProbabilities

    def write(self, folder: Path) -> None:
        """Write weights.pt, oof.npz, history.json and, for several seeds, seeds.npz into a new folder."""
        folder.mkdir()
        save_checkpoint(folder / "weights.pt", {"weights": self.state})
        files.write_probabilities(folder / "oof.npz", self.result.oof)
        files.write_json(folder / "history.json", list(self.result.history))
        if len(self.by_seed.views) > 1:
            files.write_views(folder / "seeds.npz", self.by_seed)


class _Linear(nn.Module):
    """J linear layers side by side, initialised with zeros: weight (J, C, D), bias (J, C)."""

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_heads, n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_heads, n_outputs))

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        # W·xᵀ: with few classes two to four times as fast on a CPU as x·Wᵀ, backward pass included.
        return torch.bmm(self.weight, x_JBD.transpose(1, 2)).transpose(1, 2) + self.bias[:, None]


class HeadStack(nn.Module):
    """J heads side by side: standardise, then one linear layer, or two with a ReLU between them.

    The last layer starts at zero: a linear head is a convex problem and needs no random initialisation.

    Args:
        mean_JD, std_JD: of the training features of each head; part of the state dict.
        n_outputs: C, or the number of outputs of `by_attribute`.
        hidden: H of an MLP; None: a linear head.
        by_attribute: a head per attribute; None: one output per class.
    """

    mean_JD: torch.Tensor
    std_JD: torch.Tensor

    def __init__(
        self,
        mean_JD: torch.Tensor,
        std_JD: torch.Tensor,
        n_outputs: int,
        hidden: int | None = None,
        by_attribute: AttributeHeads | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean_JD", mean_JD)
        self.register_buffer("std_JD", std_JD)
        n_heads, n_features = mean_JD.shape
        self.hidden = _Linear(n_heads, n_features, hidden) if hidden else None
        self.out = _Linear(n_heads, hidden or n_features, n_outputs)
        self.by_attribute = by_attribute

    def start(self, seeds_J: list[int]) -> None:
        """Initialise the hidden weights of each head from its own seed."""
        if self.hidden is not None:
            for weight_HD, seed in zip(self.hidden.weight, seeds_J, strict=True):
                generator = torch.Generator().manual_seed(seed)
                nn.init.kaiming_normal_(weight_HD, nonlinearity="relu", generator=generator)

    def standardise(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """Features with mean 0 and deviation 1 over each head's training samples; x_JBD may have J = 1."""
        return (x_JBD - self.mean_JD[:, None]) / self.std_JD[:, None]

    def logits(self, z_JBD: torch.Tensor, keep_JBH: torch.Tensor | None = None) -> torch.Tensor:
        """(J, B, C) logits of standardised features; `keep_JBH` is a dropout mask of the hidden units."""
        if self.hidden is not None:
            z_JBD = self.hidden(z_JBD).relu()
            if keep_JBH is not None:
                z_JBD = z_JBD * keep_JBH
        outputs: torch.Tensor = self.out(z_JBD)
        logits: torch.Tensor = outputs if self.by_attribute is None else self.by_attribute(outputs)
        return logits

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """(J, B, C) logits."""
        return self.logits(self.standardise(x_JBD))


def restore_head(state: State, by_attribute: AttributeHeads | None = None) -> HeadStack:
    """The heads of the state of a `HeadFit`; `by_attribute` as in their job."""
    hidden = len(state["hidden.bias"][0]) if "hidden.bias" in state else None
    head = HeadStack(state["mean_JD"], state["std_JD"], state["out.bias"].shape[1], hidden, by_attribute)
    head.load_state_dict(state, strict=True)
    return head.eval()


def head_probabilities(head: HeadStack, x_ND: Floats) -> Floats:
    """(J, N, C) probabilities of each head, without gradients; the features may be those of a file."""
    with torch.inference_mode():
        blocks = (torch.from_numpy(x_ND[n : n + _ROWS].copy()) for n in range(0, len(x_ND), _ROWS))
        parts = [softmax_JNC(head(x_BD[None])) for x_BD in blocks]
    return np.concatenate(parts, axis=1)


def plain_view(features: Features, ids: Strings | None = None) -> torch.Tensor:
    """(N, D) features of the view `identity`, which is used in validation, in the order of `ids` (None: all).

    Raises:
        ConfigError: it is not one of the views.
    """
    if "identity" not in features.views:
        raise ConfigError("infer.views: add identity, on which heads are validated")
    at_N = positions(features.ids_N if ids is None else ids, features.ids_N, "features")
    return torch.from_numpy(features.x_NVD[at_N, features.views.index("identity")])


def softmax_JNC(logits_JNC: torch.Tensor) -> Floats:
    """Probabilities from the logits of each head."""
    return np.stack([softmax(logits_NC) for logits_NC in logits_JNC.numpy()])


def mean_of_heads(p_JNC: Floats) -> Floats:
    """(N, C) the mean over the heads, in double precision."""
    return np.asarray(p_JNC.mean(axis=0, dtype=np.float64), dtype=np.float32)


def head_fit(
    job: HeadJob, state: State, p_SNC: Floats, history: Sequence[dict[str, float]], seconds: float
) -> HeadFit:
    """The result of a fold: `p_SNC` are for its validation part, `history` has one entry per epoch."""
    samples, name = job.valid_samples, f"{job.train.head} head fold {job.fold}"
    views = tuple(f"seed {s}" for s in range(len(p_SNC)))
    by_seed = ViewProbabilities(samples.ids_N, samples.space.classes, views, p_SNC, name)
    oof = Probabilities(samples.ids_N, samples.space.classes, mean_of_heads(p_SNC), name)
    return HeadFit(FoldResult(job.fold, oof, tuple(history), seconds), state, by_seed)


log = logging.getLogger(__name__)

MAX_ITERATIONS = 1000
# The bias of a class without a training row, for which the problem has no finite solution: odds of e^-30.
_ABSENT = -30.0
_SMALLEST_P = 1e-12


def fit_heads(jobs: Sequence[HeadJob]) -> list[HeadFit]:
    """Solve the problem of every fold; all jobs have the same settings and the same features.

    The objective is C · Σ weight · cross-entropy + ½ ‖W‖²: a sum over rows, not a mean; biases have no
    penalty.

    Raises:
        ConfigError: a loss other than plain cross-entropy.
    """
    refuse_loss(jobs[0].loss)
    bar = tqdm(jobs, desc="logistic regression", unit="fold", disable=not sys.stderr.isatty())
    return [_fit(job) for job in bar]


def refuse_loss(loss: LossSettings) -> None:
    """Raise ConfigError unless the loss is plain cross-entropy, the only one that the solver minimises."""
    if loss != LossSettings():
        raise ConfigError(
            f"loss.name: head=logistic minimises plain cross-entropy, but the loss is {loss.name}",
            remedy="leave loss.* out, or choose train.head=linear, which accepts any loss",
        )


def _fit(job: HeadJob) -> HeadFit:
    begin, features = time.perf_counter(), job.features
    mean_D, std_D = job.statistics()
    x_NVD = features.x_NVD[positions(job.train_samples.ids_N, features.ids_N, "features")]  # a copy
    if job.synthetic is not None:
        x_NVD = np.concatenate([x_NVD, job.synthetic.x_SVD])
    z_NVD = torch.from_numpy(x_NVD).sub_(mean_D).div_(std_D).numpy()
    target_NC = job.target_NC.numpy()
    times_N = np.bincount(job.rows(0).index_R, minlength=len(z_NVD)).astype(np.float32)
    problem = _problem(z_NVD, target_NC, job.weight_N.numpy() * times_N)
    weight_CD, bias_C, iterations = _solve(problem, target_NC.shape[1], job)
    head = HeadStack(mean_D[None], std_D[None], target_NC.shape[1])
    with torch.no_grad():
        head.out.weight.copy_(torch.from_numpy(weight_CD)[None])
        head.out.bias.copy_(torch.from_numpy(bias_C)[None])
    p_1NC = head_probabilities(head, plain_view(features, job.valid_samples.ids_N).numpy())
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
    solver: Any = LogisticRegression(C=job.train.head_c, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # logged below, with the fold and a remedy
        solver.fit(problem.z_MD, problem.class_M, sample_weight=problem.weight_M)
    iterations = int(solver.n_iter_.max())
    if iterations >= MAX_ITERATIONS:
        log.warning(
            "fold %d: logistic regression has not converged after %d iterations; try a smaller train.head_c "
            "(now %g)",
            *(job.fold, MAX_ITERATIONS, job.train.head_c),
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
