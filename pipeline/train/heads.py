"""Heads on cached features: a linear layer or a small MLP, any number of them side by side.

Owns what a head is, what one fold's heads train on (`HeadJob`), and what they predict. Does not own
training them (`train/batched_heads.py` by steps, `train/logistic.py` as a convex problem) or the features
(`nets/features.py`).

Legend: J heads side by side, N samples, V views, D features, H hidden units, C classes, B rows of a
batch, S synthetic rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features, FoldResult, Probabilities, ViewProbabilities
from pipeline.core.samples import Floats, Ints, Samples, SyntheticRows, TrainRows
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import softmax
from pipeline.nets.weights import State
from pipeline.settings.schema import LossSettings, TrainSettings
from pipeline.train.losses import Loss, make_loss
from pipeline.train.targets import class_facts, one_hot, targets_of

# A feature that never varies in training would be divided by nothing.
_SMALLEST_STD = 1e-6
# Rows of one pass without gradients: heads side by side hold as many standardised copies of them.
_ROWS = 4096


@dataclass(frozen=True)
class HeadJob:
    """Everything that training one fold's heads depends on.

    Args:
        fold: its number; part of every seed.
        loss, train: settings; `batch_size` × `accumulate` rows make a batch here.
        train_samples: the fold's training part, labelled.
        valid_samples: the fold's validation part, labelled; never trained on.
        features: of both parts, found by id; the view `identity`, which validates, is among them.
        rows: what each epoch shows, as positions in `train_samples` and, after them, in `synthetic`.
        metric: from (y_N, p_NC) to a score, for the history alone.
        weights_N: how much each training sample counts, ≥ 0; None: all the same. Synthetic rows count 1.
        synthetic: rows that belong to no image, of the same views; None: there are none.
        soft_NC: what a teacher says of each training sample; a row of NaN, or None: the label.
        heads: a head per attribute; None: an output a class.
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
        """(N, C) what each training sample is taught, and after them the synthetic rows."""
        target_NC = targets_of(self.train_samples, self.soft_NC)
        if self.synthetic is None:
            return target_NC
        return torch.cat([target_NC, one_hot(self.synthetic.labels_S, target_NC.shape[1])])

    @property
    def weight_N(self) -> torch.Tensor:
        """(N,) how much each training sample counts, and after them the synthetic rows."""
        weight_N = torch.ones(len(self.train_samples) + (len(self.synthetic) if self.synthetic else 0))
        if self.weights_N is not None:
            weight_N[: len(self.weights_N)] = torch.from_numpy(self.weights_N.copy())
        return weight_N

    @property
    def n_outputs(self) -> int:
        """C, or what `heads` asks for."""
        return self.heads.n_outputs if self.heads else self.train_samples.space.n_classes

    def make_loss(self, epoch: int) -> Loss:
        """What an epoch minimises; it knows the class counts of the training rows."""
        facts = class_facts(self.train_samples, self.rows(0), self.heads, self.synthetic)
        return make_loss(self.loss, facts, epoch, self.train.epochs)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(D,) mean and deviation of the fold's training samples over all views, each counted once."""
        flat = torch.from_numpy(self.features.take(self.train_samples.ids_N).x_NVD.copy()).flatten(0, 1)
        flat = flat.double()
        std_D = flat.std(0, correction=0).clamp_min(_SMALLEST_STD)
        return flat.mean(0).float(), std_D.float()


@dataclass(frozen=True)
class HeadFit:
    """What training one fold's heads gave.

    Args:
        result: its out-of-fold probabilities are the mean over the seeds.
        state: of one `HeadStack` that holds the heads of all seeds.
        by_seed: out-of-fold probabilities, one block a seed.
    """

    result: FoldResult
    state: State
    by_seed: ViewProbabilities


class _Linear(nn.Module):
    """J linear layers side by side, zero at first: weight (J, C, D), bias (J, C)."""

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_heads, n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_heads, n_outputs))

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        # As W·xᵀ: with few classes two to four times as fast on a CPU as x·Wᵀ, backward included.
        return torch.bmm(self.weight, x_JBD.transpose(1, 2)).transpose(1, 2) + self.bias[:, None]


class HeadStack(nn.Module):
    """J heads side by side: standardise, then one linear layer, or two with a ReLU between them.

    The last layer starts at zero: a linear head is a convex problem and needs no random start.

    Args:
        mean_JD, std_JD: of the training features of each head; part of the state dict.
        n_outputs: C, or what `by_attribute` asks for.
        hidden: H of an MLP; None: a linear head.
        by_attribute: a head per attribute; None: an output a class.
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
        """Draw the hidden weights of each head from its own seed."""
        if self.hidden is not None:
            for weight_HD, seed in zip(self.hidden.weight, seeds_J, strict=True):
                generator = torch.Generator().manual_seed(seed)
                nn.init.kaiming_normal_(weight_HD, nonlinearity="relu", generator=generator)

    def standardise(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """Features to mean 0 and deviation 1, by what each head saw in training; one block serves all."""
        return (x_JBD - self.mean_JD[:, None]) / self.std_JD[:, None]

    def logits(self, z_JBD: torch.Tensor, keep_JBH: torch.Tensor | None = None) -> torch.Tensor:
        """(J, B, C) of standardised features; `keep_JBH` is a dropout mask of the hidden units."""
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
    """The heads of a `HeadFit`'s state, and of its job's attributes."""
    hidden = len(state["hidden.bias"][0]) if "hidden.bias" in state else None
    head = HeadStack(state["mean_JD"], state["std_JD"], state["out.bias"].shape[1], hidden, by_attribute)
    head.load_state_dict(state, strict=True)
    return head.eval()


def head_probabilities(head: HeadStack, x_ND: torch.Tensor) -> Floats:
    """(J, N, C) probabilities of each head, without gradients."""
    with torch.inference_mode():
        parts = [softmax_JNC(head(x_BD[None])) for x_BD in torch.split(x_ND, _ROWS)]
    return np.concatenate(parts, axis=1)


def plain_view(features: Features) -> torch.Tensor:
    """(N, D) features of the view that validates.

    Raises:
        ConfigError: it is not among the views.
    """
    if "identity" not in features.views:
        raise ConfigError("infer.views: a head validates on identity, which is not among them")
    return torch.from_numpy(features.x_NVD[:, features.views.index("identity")].copy())


def softmax_JNC(logits_JNC: torch.Tensor) -> Floats:
    """Probabilities of each head's logits."""
    return np.stack([softmax(logits_NC) for logits_NC in logits_JNC.numpy()])


def mean_of_heads(p_JNC: Floats) -> Floats:
    """(N, C) the mean over the heads, in double precision."""
    return np.asarray(p_JNC.mean(axis=0, dtype=np.float64), dtype=np.float32)


def head_fit(
    job: HeadJob, state: State, p_SNC: Floats, history: Sequence[dict[str, float]], seconds: float
) -> HeadFit:
    """A fold's result from the validation part's probabilities by each seed's head."""
    samples, name = job.valid_samples, f"{job.train.head} head fold {job.fold}"
    views = tuple(f"seed {s}" for s in range(len(p_SNC)))
    by_seed = ViewProbabilities(samples.ids_N, samples.space.classes, views, p_SNC, name)
    oof = Probabilities(samples.ids_N, samples.space.classes, mean_of_heads(p_SNC), name)
    return HeadFit(FoldResult(job.fold, oof, tuple(history), seconds), state, by_seed)
