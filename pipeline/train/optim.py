"""One step of training: the optimizer, the learning rate, and the gradients of an accumulation window.

Owns which parameters have weight decay, the learning rate of each step, windows of micro-batches, their
backward pass (the loss is summed and divided once), and the noise on pixels and on the weights of a step.
Does not own stepping (`train/loop.py`).

Optimizers have timm's names. A schedule is a pure function of the step and has no state: a resumed run needs
the number of the step and, for plateau, the history. Schedules change the learning rate only, never a
momentum. The noise is drawn from torch's generators, which the loop seeds before every step.

Legend: B rows of a micro-batch, C classes (of pixels: channels), H height, N samples, W width.
"""

import inspect
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from typing import Any

import torch
from torch import nn

from pipeline.core.errors import ConfigError, nearest
from pipeline.data.loader import Batch
from pipeline.nets.forward import autocast, pixels
from pipeline.resample.mixing import MixedBatch, Mixer
from pipeline.settings.train import TrainSettings
from pipeline.train.losses import Loss

# Arguments that have their own setting, or that the loop decides: not allowed in `optimizer_args`.
_OWN_SETTINGS = {"lr": "train.lr", "weight_decay": "train.weight_decay"}
_NOT_OURS = ("params", "maximize", "capturable", "differentiable")
# One-cycle: the share of steps in which the rate rises, and the divisors of the peak at start and end.
RISE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4
# Plateau: the loss must fall by at least this share to count as an improvement.
LEAST_FALL = 1e-4


def make_optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The timm optimizer of this name; biases and norms (1-D parameters) have no weight decay.

    Raises:
        ConfigError: the name or one of its arguments is unknown, its package is missing, or it needs
            second derivatives.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers

    name = settings.optimizer
    known = list_optimizers()
    if name not in known:
        hint = nearest(name, known)
        raise ConfigError(
            f"train.optimizer: no optimizer called {name!r}",
            [hint] if hint else [],
            "use a name of timm.optim.list_optimizers()",
        )
    info = get_optimizer_info(name)
    if info.second_order:
        raise ConfigError(
            f"train.optimizer: {name} needs second derivatives, which the loop does not compute",
            remedy="choose a first-order optimizer, e.g. adamw or sgd",
        )
    if settings.optimizer_args:
        _refuse_unknown(settings, info.opt_class)
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            network,
            opt=name,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            filter_bias_and_bn=True,
            **settings.optimizer_args,
            layer_decay=settings.layer_decay,
        )
    except (AssertionError, ImportError, RuntimeError) as error:
        raise ConfigError(
            f"train.optimizer: {name} cannot be used: {error}",
            remedy="install what it needs, or choose another optimizer, e.g. adamw or sgd",
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"train.optimizer_args: {name} rejects them: {error}", remedy="see the optimizer's documentation"
        ) from error
    return optimizer


def _refuse_unknown(settings: TrainSettings, made_by: Any) -> None:
    """Raise ConfigError for arguments that the optimizer does not have, or that have their own setting."""
    takes = inspect.signature(made_by).parameters
    known = [name for name in takes if name not in (*_NOT_OURS, *_OWN_SETTINGS)]
    faults = []
    for name in settings.optimizer_args:
        if name in _OWN_SETTINGS:
            faults.append(f"{name}: set {_OWN_SETTINGS[name]} instead")
        elif name not in known:
            hint = nearest(name, known)
            faults.append(f"{name}: not an argument of {settings.optimizer}; {hint}".rstrip("; "))
    if faults:
        headline = "train.optimizer_args: invalid arguments"
        raise ConfigError(headline, faults, f"{settings.optimizer} accepts {', '.join(known)}")


def reductions(losses: Sequence[float], patience: int) -> int:
    """How often a plateau has been reached, as torch's ReduceLROnPlateau counts (mode min, no cooldown).

    One loss per epoch, from the first on; `patience` is epochs without improvement before a reduction, ≥ 0.
    """
    best, waited, count = math.inf, 0, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best * (1 - LEAST_FALL) else (best, waited + 1)
        if waited > patience:
            count, waited = count + 1, 0
    return count


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step of a run, known before its first step.

    Args:
        settings: `lr`, `schedule` and the settings of that schedule are read.
        steps_E: optimizer steps of each epoch; epochs may differ when rows are redrawn.
    """

    settings: TrainSettings
    steps_E: tuple[int, ...]

    @staticmethod
    def of(settings: TrainSettings, batches_E: Sequence[int]) -> "Schedule":
        """From the number of micro-batches of each epoch; a shorter last window is also a step."""
        return Schedule(settings, tuple(math.ceil(n / settings.accumulate) for n in batches_E))

    @property
    def total(self) -> int:
        """Steps of the run."""
        return sum(self.steps_E)

    def start(self, epoch: int) -> int:
        """The number of the first step of an epoch."""
        return sum(self.steps_E[:epoch])

    def lr(self, step: int, losses: Sequence[float] = ()) -> float:
        """The learning rate of one step.

        Steps count from 0, warm-up included; `losses` are those of earlier epochs, for plateau.

        Source: Loshchilov & Hutter, https://arxiv.org/abs/1608.03983 (one cosine, no restart); Smith &
        Topin, https://arxiv.org/abs/1708.07120 (one-cycle, as torch's OneCycleLR anneals it).
        """
        assert 0 <= step < self.total, f"step {step} of {self.total}"
        settings = self.settings
        if settings.schedule == "one_cycle":
            return settings.lr * self._one_cycle(step)
        warmup_steps = round(settings.warmup_epochs * self.total / len(self.steps_E))
        if step < warmup_steps:
            return settings.lr * (step + 1) / warmup_steps
        return settings.lr * self._after_warmup(step, warmup_steps, losses)

    def _after_warmup(self, step: int, warmup_steps: int, losses: Sequence[float]) -> float:
        settings = self.settings
        if settings.schedule == "cosine":
            return _half_cosine(1.0, 0.0, (step - warmup_steps) / (self.total - warmup_steps))
        if settings.schedule == "step":
            epoch = bisect_right(list(accumulate(self.steps_E)), step)
            return settings.lr_decay ** (epoch // settings.lr_decay_epochs)
        if settings.schedule == "plateau":
            return settings.lr_decay ** reductions(losses, settings.lr_patience)
        return 1.0

    def _one_cycle(self, step: int) -> float:
        low, end = 1 / START_DIVISOR, 1 / START_DIVISOR / END_DIVISOR
        # As torch counts: the peak may lie between two steps.
        top, last = RISE * self.total - 1, self.total - 1
        if step <= top:
            return _half_cosine(low, 1.0, step / top if top > 0 else 1.0)
        return _half_cosine(1.0, end, (step - top) / (last - top) if last > top else 1.0)


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, times its `lr_scale` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def noisy_pixels(x_BCHW: torch.Tensor, std: float) -> torch.Tensor:
    """Pixels in [0, 1] with Gaussian noise of this standard deviation, clipped to [0, 1]."""
    return x_BCHW if std == 0 else (x_BCHW + std * torch.randn_like(x_BCHW)).clamp(0, 1)


@contextmanager
def noisy_weights(network: nn.Module, share: float) -> Iterator[None]:
    """Inside, Gaussian noise is added to every trained weight tensor; afterwards the old values are restored.

    Biases and norms (1-D parameters) have no noise.

    `share` is the standard deviation of the noise as a share of the tensor's root mean square.

    Source: An, The Effects of Adding Noise During Backpropagation Training (1996); Wu et al., Adversarial
    Weight Perturbation, https://arxiv.org/abs/2004.05884, for noise relative to the tensor's size.
    """
    if share == 0:
        yield
        return
    noisy = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    own = [p.detach().clone() for p in noisy]
    try:
        with torch.no_grad():
            for p in noisy:
                p.add_(torch.randn_like(p), alpha=share * float(p.square().mean().sqrt()))
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(noisy, own, strict=True):
                p.copy_(value)


def windows(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` micro-batches; the last may be shorter."""
    left = iter(batches)
    while window := list(islice(left, size)):
        yield window


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch (pixels 0 to 255) with its targets and row weights, mixed with partners or not; on the
    CPU.
    """

    batch: Batch
    blend: MixedBatch | None
    target_BC: torch.Tensor
    weight_B: torch.Tensor

    def pixels(self, device: str, layout: str) -> torch.Tensor:
        """(B, C, H, W) pixels in [0, 1], on the device."""
        own_BCHW = pixels(self.batch.x_BHWC, device, layout)
        if self.blend is None:
            return own_BCHW
        return self.blend.pixels(own_BCHW, pixels(self.blend.other.x_BHWC, device, layout))

    def split(self, most: int) -> list["MicroBatch"]:
        """The same in pieces of about equal size and at most `most` rows, but none of a single row, for which
        batch normalisation has no variance: three rows stay together if `most` is two.
        """
        rows = len(self.weight_B)
        n = min(math.ceil(rows / most), max(rows // 2, 1))
        return [
            MicroBatch(
                self.batch.part(a, b),
                self.blend and self.blend.part(a, b),
                self.target_BC[a:b],
                self.weight_B[a:b],
            )
            for a, b in pairwise(rows * i // n for i in range(n + 1))
        ]


@dataclass(frozen=True)
class Backward:
    """Computes the gradients of an accumulation window.

    The loss is summed over the window and divided once, by the total sample weight of the window. This
    equals one large batch for unequal micro-batches, for weighted losses and for a shorter last window;
    averaging the means of the micro-batches does not. Where the samples of a batch affect each other (batch
    normalisation), accumulation does not equal the large batch.

    Args:
        loss: one number per sample, and the weight of its class.
        scaler: keeps fp16 gradients from underflowing; does nothing otherwise.
        input_noise: standard deviation of noise on pixels in [0, 1].
        most: rows that pass at once where memory is short, at least 2; None: a whole micro-batch.
        layout: of the images in memory, that of the network.
    """

    loss: Loss
    target_NC: torch.Tensor
    weights_N: torch.Tensor
    device: str = "cpu"
    precision: str = "fp32"
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    mixer: Mixer | None = None
    input_noise: float = 0.0
    most: int | None = None
    layout: str = "channels_last"

    def __call__(self, network: nn.Module, window: list[Batch], step: int = 0) -> float:
        """Add the window's gradients to the network's; returns its weighted mean loss.

        The network is in training mode; `step` counts from 0, for the random draws of mixing.
        """
        batches = [self._micro_batch(batch, step, number) for number, batch in enumerate(window)]
        total = sum(float(micro.weight_B.double().sum()) for micro in batches)
        assert total > 0, "an accumulation window whose samples all have weight 0"
        value = 0.0
        if self.most is not None:
            batches = [piece for micro in batches for piece in micro.split(self.most)]
        for micro in batches:
            x_BCHW = noisy_pixels(micro.pixels(self.device, self.layout), self.input_noise)
            with autocast(self.device, self.precision):
                logits_BC = network(x_BCHW)
            weight_B, target_BC = micro.weight_B.to(self.device), micro.target_BC.to(self.device)
            part = (self.loss(logits_BC, target_BC) * weight_B).sum() / total
            self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            value += part.item()
        return value

    def _micro_batch(self, batch: Batch, step: int, number: int) -> MicroBatch:
        target_BC, weight_B = self.target_NC[batch.index_B], self.weights_N[batch.index_B]
        blend = self.mixer(batch, step, number) if self.mixer else None
        if blend is not None:
            at_B = blend.other.index_B
            target_BC = blend.of(target_BC, self.target_NC[at_B])
            weight_B = blend.of(weight_B, self.weights_N[at_B])
        # Sample weights times the class weights of the target.
        return MicroBatch(batch, blend, target_BC, weight_B * self.loss.weigh(target_BC))
