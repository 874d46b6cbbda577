"""Optimizers by timm's names, and the learning rate as a pure function of the step.

Owns which parameters decay and how fast each step goes. Does not own stepping (`learn/fit.py`).
A schedule that is a function has no state: a resumed run needs the step's number alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.core.errors import ConfigError, nearest
from pipeline.settings.schema import TrainSettings


def make_optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer that timm knows by this name; biases and norms (1-D parameters) do not decay.

    Raises:
        ConfigError: the name is unknown, its package is missing, or it needs second derivatives.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers

    name = settings.optimizer
    known = list_optimizers()
    if name not in known:
        hint = nearest(name, known)
        raise ConfigError(
            f"train.optimizer: no optimizer called {name!r}",
            [hint] if hint else [],
            "any name of timm.optim.list_optimizers()",
        )
    if get_optimizer_info(name).second_order:
        raise ConfigError(
            f"train.optimizer: {name} needs second derivatives, which the loop does not make",
            remedy="choose a first-order optimizer, e.g. adamw or sgd",
        )
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            network,
            opt=name,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            filter_bias_and_bn=True,
            layer_decay=settings.layer_decay,
        )
    except (AssertionError, ImportError, RuntimeError) as error:
        raise ConfigError(
            f"train.optimizer: {name} cannot be used here: {error}",
            remedy="install what it needs, or choose another, e.g. adamw or sgd",
        ) from error
    return optimizer


def lr_at(step: int, total_steps: int, warmup_steps: int, settings: TrainSettings) -> float:
    """The learning rate of one step: linear warm-up, then cosine to 0 or constant.

    Args:
        step: from 0 to total_steps - 1.
        total_steps: of the whole run, warm-up included.
        warmup_steps: the rate rises to `settings.lr` over these; 0 starts at the peak.
        settings: `lr` and `schedule` are read.

    Source: Loshchilov & Hutter, https://arxiv.org/abs/1608.03983 (one cosine, no restart).
    """
    assert 0 <= step < total_steps, f"step {step} of {total_steps}"
    if step < warmup_steps:
        return settings.lr * (step + 1) / warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Schedule:
    """The steps of a whole run, known before its first one.

    Args:
        settings: `lr`, `schedule` and `warmup_epochs` are read.
        steps_E: optimizer steps of each epoch; epochs may differ when rows are redrawn.
    """

    settings: TrainSettings
    steps_E: tuple[int, ...]

    @staticmethod
    def of(settings: TrainSettings, batches_E: Sequence[int]) -> "Schedule":
        """From the number of micro-batches of each epoch; a last short window is a step too."""
        return Schedule(settings, tuple(math.ceil(n / settings.accumulate) for n in batches_E))

    @property
    def total(self) -> int:
        """Steps of the run."""
        return sum(self.steps_E)

    def start(self, epoch: int) -> int:
        """The number of the first step of an epoch."""
        return sum(self.steps_E[:epoch])

    def lr(self, step: int) -> float:
        """See `lr_at`."""
        warmup_steps = round(self.settings.warmup_epochs * self.total / len(self.steps_E))
        return lr_at(step, self.total, warmup_steps, self.settings)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this rate, times its own `lr_scale` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
