"""The optimizer by name, and the learning rate of each step.

Owns which parameters have weight decay, which form of an optimizer a device runs, and schedules. Does not own
stepping (`train/step.py`).

Optimizers have timm's names. A schedule is a pure function of the step and has no state: a resumed run needs
the number of the step and, for plateau, the history. Schedules change the learning rate only, never a
momentum.
"""

import inspect
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.settings.train import TrainSettings

# Arguments that have their own setting, or that the loop decides: not allowed in `optimizer_args`.
_OWN_SETTINGS = {"lr": "train.lr", "weight_decay": "train.weight_decay"}
_NOT_OURS = ("params", "maximize", "capturable", "differentiable")
# One-cycle: the share of steps in which the rate rises, and the divisors of the peak at start and end.
RISE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4
# Plateau: the loss must fall by at least this share to count as an improvement.
LEAST_FALL = 1e-4


# Optimizers that torch computes in one kernel, on a GPU and on a CPU.
_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)

# What differs between the forms of one optimizer.
_FORM = ("capturable", "fused", "foreach")


def make_optimizer(
    network: nn.Module, settings: TrainSettings, device: str = "cpu", beside: nn.Module | None = None
) -> torch.optim.Optimizer:
    """The timm optimizer of this name; biases and norms (1-D parameters) have no weight decay.

    It is fused where torch has that; on "cuda" it has the form that a CUDA graph can record, with its
    learning rate in a tensor. `network` is on the device already. `beside` are parts that train beside the
    network, with its full learning rate.

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
            _("train.optimizer: no optimizer called {name!r}").format(name=name),
            [hint] if hint else [],
            _("use a name of timm.optim.list_optimizers()"),
        )
    info = get_optimizer_info(name)
    if info.second_order:
        raise ConfigError(
            _("train.optimizer: {name} needs second derivatives, which the loop does not compute").format(
                name=name
            ),
            remedy=_("choose a first-order optimizer, e.g. adamw or sgd"),
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
            **_form(info.opt_class, settings, device),
            **settings.optimizer_args,
            layer_decay=settings.layer_decay,
        )
    except (AssertionError, ImportError, RuntimeError) as error:
        raise ConfigError(
            _("train.optimizer: {name} cannot be used: {error}").format(name=name, error=error),
            remedy=_("install what it needs, or choose another optimizer, e.g. adamw or sgd"),
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            _("train.optimizer_args: {name} rejects them: {error}").format(name=name, error=error),
            remedy=_("see the optimizer's documentation"),
        ) from error
    _add(optimizer, beside, settings)
    _even(optimizer)
    for group in optimizer.param_groups if device == "cuda" else ():
        if _takes_tensors(group):
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
    return optimizer


def _add(optimizer: torch.optim.Optimizer, beside: nn.Module | None, settings: TrainSettings) -> None:
    """Groups for the parts beside the network: weights, and biases without decay."""
    own = list(beside.parameters()) if beside is not None else []
    for parameters, decay in (
        ([p for p in own if p.dim() > 1], settings.weight_decay),
        ([p for p in own if p.dim() <= 1], 0.0),
    ):
        if parameters:
            optimizer.add_param_group({"params": parameters, "weight_decay": decay, "lr": settings.lr})


def _even(optimizer: torch.optim.Optimizer) -> None:
    """Start the momentum of torch's fused SGD at 0 where it has none, which gives the same bits.

    It takes a momentum of all weights or of none, and some may have been frozen until now.
    """
    for group in optimizer.param_groups if isinstance(optimizer, torch.optim.SGD) else ():
        if group["fused"] and group["momentum"] and not group["dampening"]:
            for p in group["params"]:
                if optimizer.state[p].get("momentum_buffer") is None:
                    optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay moments out in memory as their weights are.

    torch's fused steps on a CPU pair numbers by their place in memory, not by their index, and say nothing
    where the layouts differ (torch 2.14); a state may come from a device with another layout.
    """
    for group in optimizer.param_groups:
        for p in group["params"]:
            for name, value in optimizer.state[p].items() if p in optimizer.state else ():
                if torch.is_tensor(value) and value.shape == p.shape and value.stride() != p.stride():
                    optimizer.state[p][name] = torch.empty_like(p, dtype=value.dtype).copy_(value)


def _form(made_by: Any, settings: TrainSettings, device: str) -> dict[str, bool]:
    """Arguments for the form that this device runs best; what the user wrote comes first."""
    if not callable(made_by):  # its package is missing, which timm tells
        return {}
    given, takes = settings.optimizer_args, inspect.signature(made_by).parameters
    form = {"capturable": True} if device == "cuda" and "capturable" in takes else {}
    # With dampening a first momentum is another one than that of `_even`.
    if made_by in _FUSED and not {"fused", "foreach", "dampening"} & given.keys():
        form["fused"] = True
    return form


def _takes_tensors(group: dict[str, Any]) -> bool:
    return bool(group.get("capturable") or group.get("fused"))


def can_record(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a CUDA graph can record its steps."""
    fused = isinstance(optimizer, torch.optim.SGD) and all(g.get("fused") for g in optimizer.param_groups)
    return fused or all(group.get("capturable") for group in optimizer.param_groups)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue from its state dict, which is on the CPU; the form stays that of this device.

    The state may come from another kind of device, whose form could not run here.
    """
    own = [{name: group[name] for name in _FORM if name in group} for group in optimizer.param_groups]
    there = [without | form for without, form in zip(map(_plain, state["param_groups"]), own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": there})
    _lay_out(optimizer)
    _even(optimizer)
    for group in optimizer.param_groups:
        if _takes_tensors(group) and group["params"][0].is_cuda:  # as `make_optimizer` does
            group["lr"] = torch.tensor(float(group["lr"]), device=group["params"][0].device)


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """A group without its form."""
    return {name: value for name, value in group.items() if name not in _FORM} | {"lr": float(group["lr"])}


def _refuse_unknown(settings: TrainSettings, made_by: Any) -> None:
    """Raise ConfigError for arguments that the optimizer does not have, or that have their own setting."""
    takes = inspect.signature(made_by).parameters
    known = [name for name in takes if name not in (*_NOT_OURS, *_OWN_SETTINGS)]
    faults = []
    for name in settings.optimizer_args:
        if name in _OWN_SETTINGS:
            faults.append(_("{name}: set {setting} instead").format(name=name, setting=_OWN_SETTINGS[name]))
        elif name not in known:
            hint = nearest(name, known)
            faults.append(f"{name}: not an argument of {settings.optimizer}; {hint}".rstrip("; "))
    if faults:
        headline = _("train.optimizer_args: invalid arguments")
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
        own = lr * group.get("lr_scale", 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own
