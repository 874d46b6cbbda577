"""A linear head on cached features: a fold in a second or so.

Owns training and applying the head. Does not own features (`learn/features.py`), nor the loss,
optimizer and schedule, which it shares with the loop (`learn/fit.py`).

The head starts at zero: a convex problem needs no random start, so only rows and views are drawn.

Legend: N samples, V views, D features, C classes, B rows of a batch, R rows of an epoch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features, FoldResult, Probabilities
from pipeline.core.seeds import rng
from pipeline.core.types import Floats, Ints, Samples, SyntheticRows, TrainRows
from pipeline.data.loader import batch_bounds, epoch_order
from pipeline.learn.attributes import AttributeHeads
from pipeline.learn.forward import softmax
from pipeline.learn.loss import Loss, diverged, make_loss
from pipeline.learn.optim import Schedule, make_optimizer, set_lr
from pipeline.learn.targets import class_facts, one_hot, targets_of
from pipeline.learn.weights import State
from pipeline.settings.schema import LossSettings, TrainSettings

# A feature that never varies in training would be divided by nothing.
_SMALLEST_STD = 1e-6


@dataclass(frozen=True)
class HeadJob:
    """Everything that training one fold's head depends on.

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

    def make_loss(self, epoch: int) -> Loss:
        """What an epoch minimises; it knows the class counts of the training rows."""
        facts = class_facts(self.train_samples, self.rows(0), self.heads, self.synthetic)
        return make_loss(self.loss, facts, epoch, self.train.epochs)


class LinearHead(nn.Module):
    """Standardise, then one linear layer.

    Args:
        mean_D, std_D: of the fold's training features; part of the state dict.
        n_outputs: C, or what `heads` asks for.
        heads: a head per attribute; None: an output a class.
    """

    mean_D: torch.Tensor
    std_D: torch.Tensor

    def __init__(
        self, mean_D: torch.Tensor, std_D: torch.Tensor, n_outputs: int, heads: AttributeHeads | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean_D", mean_D)
        self.register_buffer("std_D", std_D)
        self.linear = nn.Linear(len(mean_D), n_outputs)
        self.heads = heads
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        """(B, C) logits."""
        outputs: torch.Tensor = self.linear((x_BD - self.mean_D) / self.std_D)
        logits: torch.Tensor = outputs if self.heads is None else self.heads(outputs)
        return logits


def restore_head(state: State, heads: AttributeHeads | None = None) -> LinearHead:
    """The head of a state dict that `fit_linear` gave, and of its job's heads."""
    head = LinearHead(state["mean_D"], state["std_D"], len(state["linear.bias"]), heads)
    head.load_state_dict(state, strict=True)
    return head


def _fresh_head(job: HeadJob, x_NVD: torch.Tensor) -> LinearHead:
    """Statistics come from the fold's training samples alone, each counted once."""
    flat = x_NVD.flatten(0, 1).double()
    std_D = flat.std(0, correction=0).clamp_min(_SMALLEST_STD)
    n_outputs = job.heads.n_outputs if job.heads else job.train_samples.space.n_classes
    return LinearHead(flat.mean(0).float(), std_D.float(), n_outputs, job.heads)


def fit_linear(job: HeadJob) -> tuple[FoldResult, State]:
    """Train one fold's head to its last epoch; each row sees one view, drawn anew each epoch.

    Returns:
        The fold's result, and the head's state dict.

    Raises:
        UserError: unknown settings, or a loss that is no number.
    """
    begin, train = time.perf_counter(), job.train
    if "identity" not in job.features.views:
        raise ConfigError("infer.views: the linear probe validates on identity, which is not among them")
    plain = job.features.views.index("identity")
    x_NVD = torch.from_numpy(job.features.take(job.train_samples.ids_N).x_NVD.copy())
    valid_ND = torch.from_numpy(job.features.take(job.valid_samples.ids_N).x_NVD[:, plain].copy())
    head = _fresh_head(job, x_NVD)
    if job.synthetic is not None:
        x_NVD = torch.cat([x_NVD, torch.from_numpy(job.synthetic.x_SVD.copy())])
    optimizer, batch = make_optimizer(head, train), train.batch_size * train.accumulate
    counts = [len(batch_bounds(len(job.rows(epoch)), batch)) for epoch in range(train.epochs)]
    schedule = Schedule(train, tuple(counts))
    history: list[dict[str, float]] = []
    p_NC = softmax(head_logits(head, valid_ND))
    for epoch in range(train.epochs):
        entry = _train_epoch(job, head, optimizer, schedule, epoch, x_NVD)
        logits_NC = head_logits(head, valid_ND)
        p_NC = softmax(logits_NC)
        loss, valid_NC = job.make_loss(epoch), targets_of(job.valid_samples)
        valid_loss = float(loss.mean(torch.from_numpy(logits_NC), valid_NC))
        score = job.metric(job.valid_samples.labels, p_NC)
        gap = valid_loss - entry["train_loss"]
        history.append({**entry, "valid_loss": valid_loss, "valid_score": score, "gap": gap})
    samples = job.valid_samples
    oof = Probabilities(samples.ids_N, samples.space.classes, p_NC, f"linear head fold {job.fold}")
    state = {key: value.detach().clone() for key, value in head.state_dict().items()}
    result = FoldResult(job.fold, oof, tuple(history), time.perf_counter() - begin)
    return result, state


def head_logits(head: LinearHead, x_ND: torch.Tensor) -> Floats:
    """(N, C) logits of all rows at once, without gradients."""
    with torch.inference_mode():
        return np.asarray(head.eval()(x_ND).numpy(), dtype=np.float32)


def _train_epoch(
    job: HeadJob,
    head: LinearHead,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    epoch: int,
    x_NVD: torch.Tensor,
) -> dict[str, float]:
    """One pass over the epoch's rows; the part of its history that training knows."""
    train, rows, begin = job.train, job.rows(epoch), time.perf_counter()
    order_R = epoch_order(len(rows), train.seed, job.fold, epoch)
    index_R = torch.from_numpy(rows.index_R[order_R])
    view_R = torch.from_numpy(
        rng(train.seed, "view", job.fold, epoch).integers(x_NVD.shape[1], size=len(rows))
    )
    target_NC = job.target_NC
    weight_N = torch.ones(len(target_NC))
    if job.weights_N is not None:
        weight_N[: len(job.weights_N)] = torch.from_numpy(job.weights_N.copy())
    loss, step, sum_loss = job.make_loss(epoch), schedule.start(epoch), 0.0
    weight_N = weight_N * loss.weigh(target_NC)
    head.train()
    for start, end in batch_bounds(len(rows), train.batch_size * train.accumulate):
        at_B, view_B = index_R[start:end], view_R[start:end]
        set_lr(optimizer, schedule.lr(step))
        weight_B = weight_N[at_B]
        value = (loss(head(x_NVD[at_B, view_B]), target_NC[at_B]) * weight_B).sum() / weight_B.sum()
        if not math.isfinite(value.item()):
            raise diverged(f"fold {job.fold}, epoch {epoch}, step {step}", train)
        value.backward()  # type: ignore[no-untyped-call]
        if train.clip_norm is not None:
            nn.utils.clip_grad_norm_(head.parameters(), train.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sum_loss += value.item() * (end - start)
        step += 1
    return {
        "epoch": float(epoch),
        "train_loss": sum_loss / len(rows),
        "lr": schedule.lr(step - 1),
        "images_per_second": len(rows) / (time.perf_counter() - begin),
    }
