"""The heads of all folds at once: one batched product per step instead of one loop per fold.

Owns training linear and MLP heads of several folds and seeds side by side. Does not own what a head is
(`train/heads.py`), nor the loss, optimizer and schedule, which it shares with the loop (`train/loop.py`).

Heads share only the matrix products: each draws its own rows, views and dropout from its own seeds, has its
own loss on its own rows, and its gradient is its own slice of the stacked weights. So an elementwise
optimizer updates the stack as it would update each head alone, up to the last bits, which torch rounds by the
place of a weight; with any other optimizer, every head has a stack of its own. Folds whose epochs have
another number of steps are in another stack, as the learning rate depends on the step.

Legend: J heads side by side, F folds, S seeds, N samples, V views, D features, H hidden units,
C classes, B rows of a batch, R rows of an epoch, P rows of the pool, T rows that a fold may train on.
"""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.core.samples import Floats, TrainRows, positions
from pipeline.core.seeds import rng, seed
from pipeline.core.terminal import bar_of
from pipeline.data.loader import batch_bounds, epoch_order
from pipeline.nets.weights import State
from pipeline.settings.train import TrainSettings
from pipeline.train import heads
from pipeline.train.losses import Loss, diverged
from pipeline.train.optim import Schedule, make_optimizer, set_lr
from pipeline.train.targets import targets_of

# Elementwise optimizers of timm; a test compares a stack with its heads trained alone.
ELEMENTWISE = frozenset(
    (
        *("adabelief", "adadelta", "adagrad", "adam", "adamax", "adamc", "adamw", "adan", "adanw", "adopt"),
        *("adoptw", "laprop", "lion", "lionc", "momentum", "nadam", "nadamw", "nesterov"),
        *("radam", "radamw", "rmsprop", "rmsproptf", "sgd", "sgdc", "sgdw"),
    )
)


# The least weight of a batch, so that one without any weight is not divided by 0.
_LEAST_WEIGHT = 1e-12

Losses = dict[int, Loss]  # by the id of a fold


@dataclass(frozen=True)
class _Fold:
    """What the heads of one fold share, prepared for training.

    Args:
        at_T: for each row that it may train on, the position of its first view in the pool; V views follow.
        target_of: from positions in these rows, (B,), to their (B, C) targets.
        mean_D, std_D: of its training features.
    """

    job: heads.HeadJob
    at_T: torch.Tensor
    target_of: Callable[[torch.Tensor], torch.Tensor]
    weight_T: torch.Tensor
    mean_D: torch.Tensor
    std_D: torch.Tensor

    @property
    def z_ND(self) -> torch.Tensor:
        """Standardised features of its validation part; not kept, because those of all folds are many."""
        valid_ND = heads.plain_view(self.job.features, self.job.valid_samples.ids_N)
        z_ND = valid_ND.sub_(self.mean_D).div_(self.std_D)
        if self.job.features.n_beside:
            z_ND[:, -self.job.features.n_beside :].nan_to_num_(nan=0.0)
        return z_ND


@dataclass(frozen=True)
class _Member:
    """One head of a fold, with the root of its seeds."""

    fold: _Fold
    root: int


@dataclass(frozen=True)
class _Epoch:
    """The rows of one head in one epoch, in the order of training, and its loss.

    Args:
        index_R: of the rows that its fold may train on.
        at_R: their drawn views in the pool.
        bounds: of its batches.
    """

    loss: Loss
    fold: _Fold
    index_R: torch.Tensor
    at_R: torch.Tensor
    bounds: list[tuple[int, int]]


def fit_heads(jobs: Sequence[heads.HeadJob]) -> list[heads.HeadFit]:
    """Train the heads of all folds to their last epoch; each row uses one view, drawn again in each epoch.

    All jobs, at least one, have the same settings and the same features.

    Returns:
        One result per job, in their order. The `seconds` of a fold are its share of the total.

    Raises:
        UserError: unknown settings, or a loss that is not a finite number.
    """
    begin, train = time.perf_counter(), jobs[0].train
    assert all(job.train == train for job in jobs), "heads side by side share their settings"
    folds, pool_PD = _prepare(jobs)
    roots = [train.seed, *(seed(train.seed, "head", s) for s in range(1, train.head_seeds))]
    members = [_Member(fold, root) for fold in folds for root in roots]
    stacks = [_Stack(group, pool_PD) for group in _groups(members)]
    histories: list[list[dict[str, float]]] = [[] for _ in folds]
    bar = bar_of("heads", "epoch", range(train.epochs))
    for epoch in bar:
        losses = {id(fold): fold.job.make_loss(epoch) for fold in folds}
        trained = {id(m): figures for stack in stacks for m, figures in stack.train_epoch(epoch, losses)}
        for f, fold in enumerate(folds):
            own = [trained[id(m)] for m in members if m.fold is fold]
            entry = {key: sum(figures[key] for figures in own) / len(own) for key in own[0]}
            _, scores = _validate(fold, _state_of(fold, stacks), losses[id(fold)])
            gap = scores["valid_loss"] - entry["train_loss"]
            histories[f].append({"epoch": float(epoch), **entry, **scores, "gap": gap})
    seconds = (time.perf_counter() - begin) / len(folds)
    states = [_state_of(fold, stacks) for fold in folds]
    return [
        heads.head_fit(fold.job, state, _predict(fold, state)[0], history, seconds)
        for fold, state, history in zip(folds, states, histories, strict=True)
    ]


def _prepare(jobs: Sequence[heads.HeadJob]) -> tuple[list[_Fold], torch.Tensor]:
    """The folds, and (P, D) the pool of features: the views of each image, then synthetic rows by fold."""
    features = jobs[0].features
    n_views = len(features.views)
    blocks, end, folds = [features.x_NVD], len(features.ids_N), []
    for job in jobs:
        assert job.features is features, "heads side by side share their features"
        at = positions(job.train_samples.ids_N, features.ids_N, "features")
        if job.synthetic is not None:
            blocks.append(job.synthetic.x_SVD)
            at = np.concatenate([at, np.arange(end, end + len(job.synthetic))])
            end += len(job.synthetic)
        mean_D, std_D = job.statistics()
        at_T = torch.from_numpy(at * n_views)
        folds.append(_Fold(job, at_T, job.targets(), job.weight_N, mean_D, std_D))
    return folds, _tensor(blocks).flatten(0, 1)


def _tensor(blocks: Sequence[Floats]) -> torch.Tensor:
    """These blocks of features below each other; a single one, which nobody changes, is not copied."""
    if len(blocks) > 1:
        return torch.from_numpy(np.concatenate(blocks))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        return torch.from_numpy(blocks[0])


def _steps(job: heads.HeadJob) -> tuple[int, ...]:
    """Number of steps of each epoch."""
    batch = job.train.batch_size * job.train.accumulate
    return tuple(len(batch_bounds(len(job.rows(epoch)), batch)) for epoch in range(job.train.epochs))


def _groups(members: list[_Member]) -> list[list[_Member]]:
    """The heads of each stack."""
    if members[0].fold.job.train.optimizer not in ELEMENTWISE:
        return [[member] for member in members]
    by_steps: dict[tuple[int, ...], list[_Member]] = {}
    steps = {id(m.fold): _steps(m.fold.job) for m in members}
    for member in members:
        by_steps.setdefault(steps[id(member.fold)], []).append(member)
    return list(by_steps.values())


class _Stack:
    """Heads whose epochs have equally many steps, and their training state."""

    def __init__(self, members: list[_Member], pool_PD: torch.Tensor) -> None:
        job = members[0].fold.job
        train: TrainSettings = job.train
        self.members, self.train, self.pool_PD = members, train, pool_PD
        self.views = len(job.features.views)
        mean_JD = torch.stack([m.fold.mean_D for m in members])
        std_JD = torch.stack([m.fold.std_D for m in members])
        hidden = train.head_hidden if train.head == "mlp" else None
        width, beside = hidden or mean_JD.shape[1], job.features.n_beside
        scale = heads.scale_of_heads([m.fold.job.scale for m in members], width)
        form = (job.n_outputs, hidden, job.heads, scale, beside, job.angles)
        self.network = heads.HeadStack(mean_JD, std_JD, *form)
        with torch.no_grad():
            self.network.start([seed(m.root, "model", m.fold.job.fold) for m in members])
        self.inverse_J1D = std_JD[:, None].reciprocal()
        self.optimizer = make_optimizer(self.network, train)
        self.schedule = Schedule(train, _steps(job))

    def state(self, member: _Member) -> State:
        """The state of one head: its slice of the stack."""
        j = self.members.index(member)
        return {key: value[j : j + 1].detach().clone() for key, value in self.network.state_dict().items()}

    def train_epoch(self, epoch: int, losses: Losses) -> list[tuple[_Member, dict[str, float]]]:
        """One pass of every head over its rows; returns the training figures of each head."""
        started = time.perf_counter()
        rows = {id(m.fold): m.fold.job.rows(epoch) for m in self.members}
        passes = [self._epoch_of(m, epoch, rows[id(m.fold)], losses[id(m.fold)]) for m in self.members]
        widest = max(end - start for one in passes for start, end in one.bounds)
        buffer = torch.empty(len(passes) * widest, self.pool_PD.shape[1])
        step = self.schedule.start(epoch)
        sum_J = torch.zeros(len(passes), dtype=torch.float64)
        for number in range(len(passes[0].bounds)):
            set_lr(self.optimizer, self.schedule.lr(step))
            bounds_J = [one.bounds[number] for one in passes]
            value_J = self._backward(passes, bounds_J, step, buffer)
            if not value_J.isfinite().all():
                fold = self.members[int((~value_J.isfinite()).nonzero()[0])].fold.job.fold
                raise diverged(f"fold {fold}, epoch {epoch}, step {step}", self.train)
            if self.train.clip_norm is not None:
                clip_each(self.network, self.train.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            sum_J += value_J * torch.tensor([end - start for start, end in bounds_J])
            step += 1
        speed = sum(len(one.at_R) for one in passes) / (time.perf_counter() - started)
        common = {"lr": self.schedule.lr(step - 1), "images_per_second": speed}
        return [
            (member, {"train_loss": float(total) / len(one.at_R), **common})
            for member, total, one in zip(self.members, sum_J, passes, strict=True)
        ]

    def _epoch_of(self, member: _Member, epoch: int, rows: TrainRows, loss: Loss) -> _Epoch:
        fold, number = member.fold, member.fold.job.fold
        index_R = torch.from_numpy(rows.index_R[epoch_order(len(rows), member.root, number, epoch)])
        view_R = rng(member.root, "view", number, epoch).integers(self.views, size=len(rows))
        at_R = fold.at_T[index_R] + torch.from_numpy(view_R)
        bounds = batch_bounds(len(rows), self.train.batch_size * self.train.accumulate)
        return _Epoch(loss, fold, index_R, at_R, bounds)

    def _backward(
        self, passes: list[_Epoch], bounds_J: list[tuple[int, int]], step: int, buffer: torch.Tensor
    ) -> torch.Tensor:
        """(J,) loss of each head on its own batch; adds their gradients to those of the stacked weights."""
        widest = max(end - start for start, end in bounds_J)
        # Shorter batches are padded with the first row of the pool, which no loss uses.
        at_JB = torch.zeros(len(passes), widest, dtype=torch.int64)
        for at_B, one, (start, end) in zip(at_JB, passes, bounds_J, strict=True):
            at_B[: end - start] = one.at_R[start:end]
        x_PD = buffer[: at_JB.numel()]
        torch.index_select(self.pool_PD, 0, at_JB.flatten(), out=x_PD)
        x_JBD = x_PD.view(*at_JB.shape, -1)
        x_JBD = self.network.filled(x_JBD.sub_(self.network.mean_JD[:, None]).mul_(self.inverse_J1D))
        logits_JBC = self.network.logits(x_JBD, self._kept(bounds_J, step))
        values = []
        # Unbound, because the gradient of each slice would be a stack of zeros around it, all to be added.
        for logits_BC, one, (start, end) in zip(logits_JBC.unbind(), passes, bounds_J, strict=True):
            index_B = one.index_R[start:end]
            target_BC = one.fold.target_of(index_B)
            # Sample weights times the class weights of the target.
            weight_B = one.fold.weight_T[index_B] * one.loss.weigh(target_BC)
            logits_BC = logits_BC if end - start == widest else logits_BC[: end - start]
            loss_B = one.loss(logits_BC, target_BC)
            # Rows of which nothing is known have weight 0.
            values.append((loss_B * weight_B).sum() / weight_B.sum().clamp_min(_LEAST_WEIGHT))
        value_J = torch.stack(values)
        value_J.sum().backward()  # type: ignore[no-untyped-call]
        return value_J.detach()

    def _kept(self, bounds_J: list[tuple[int, int]], step: int) -> torch.Tensor | None:
        """(J, B, H) dropout mask of the hidden units, from the seed of each head; None without dropout."""
        rate = self.train.head_dropout
        if self.train.head != "mlp" or rate == 0:
            return None
        widest = max(end - start for start, end in bounds_J)
        kept_JBH = torch.zeros(len(bounds_J), widest, self.train.head_hidden)
        for kept_BH, member, (start, end) in zip(kept_JBH, self.members, bounds_J, strict=True):
            generator = torch.Generator().manual_seed(seed(member.root, "step", member.fold.job.fold, step))
            kept_BH[: end - start].bernoulli_(1 - rate, generator=generator)
        return kept_JBH / (1 - rate)


def clip_each(network: nn.Module, max_norm: float) -> None:
    """`torch.nn.utils.clip_grad_norm_` for each head of a stack separately."""
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    square_J = torch.stack([grad.flatten(1).square().sum(1) for grad in grads]).sum(0)
    scale_J = (max_norm / (square_J.sqrt() + 1e-6)).clamp(max=1)
    for grad in grads:
        grad.mul_(scale_J.view(-1, *[1] * (grad.ndim - 1)))


def _state_of(fold: _Fold, stacks: list[_Stack]) -> State:
    """The state of a stack that holds only the heads of this fold, in the order of their seeds."""
    parts = [stack.state(m) for stack in stacks for m in stack.members if m.fold is fold]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _predict(fold: _Fold, state: State) -> tuple[Floats, torch.Tensor]:
    """(S, N, C) probabilities of the validation part, and their logits."""
    head = heads.restore_head(state, fold.job.heads)
    assert isinstance(head, heads.HeadStack), "trained heads have weights"
    with torch.inference_mode():
        logits_SNC = head.logits(fold.z_ND.expand(len(head.mean_JD), -1, -1))
    return heads.from_logits_JNC(logits_SNC, fold.job.target), logits_SNC


def _validate(fold: _Fold, state: State, loss: Loss) -> tuple[Floats, dict[str, float]]:
    """(S, N, C) probabilities of the validation part, and the scores of their mean."""
    samples = fold.job.valid_samples
    p_SNC, logits_SNC = _predict(fold, state)
    target_NC = targets_of(samples)
    losses = [float(loss.mean(logits_NC, target_NC)) for logits_NC in logits_SNC]
    if not all(math.isfinite(loss) for loss in losses):
        raise diverged(f"fold {fold.job.fold}, validation", fold.job.train)
    score = fold.job.metric(samples.truth, heads.mean_of_heads(p_SNC))
    return p_SNC, {"valid_loss": sum(losses) / len(losses), "valid_score": score}
