"""`loss.name=module:function`: a loss of the user's own, checked wherever it is called.

Owns what such a function must be. Does not own finding its code (`core/plugin.py`).

    def hinge(logits_BC, target_BC):      # float32 logits; targets are distributions over the classes
        ...
        return loss_B                     # one loss per row, differentiable

`hinge.soft_targets = False` declares that it understands one-hot targets only; it is then refused
where images are mixed or labels soft.

Legend: B rows, C classes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.core import plugin
from pipeline.core.errors import ConfigError
from pipeline.train.loss_formulas import Rows, wide

SETTING = "loss.name"
TRIAL_ROWS = 6


def own_loss(name: str) -> Rows:
    """The function behind `module:function` in the current folder, its results checked at each call.

    Raises:
        ConfigError: it cannot be loaded; when called: it fails, or gives no (B,) finite losses.
    """
    function = _load(name)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        logits_BC = wide(logits_BC)
        value = plugin.call(name, function, logits_BC, target_BC.to(logits_BC.dtype))
        return _checked(name, value, logits_BC)

    return rows


def takes_soft(name: str) -> bool:
    """Whether the function says nothing against targets that are no plain labels."""
    return bool(getattr(_load(name), "soft_targets", True))


def trial(name: str, sizes: Sequence[int]) -> None:
    """Call it once for each number of classes, forward and backward, before hours of training depend on it.

    Raises:
        ConfigError: as `own_loss`, or a gradient that is missing or not finite.
    """
    loss, generator = own_loss(name), torch.Generator().manual_seed(0)
    for size in sizes:
        logits_BC = torch.randn(TRIAL_ROWS, size, generator=generator, requires_grad=True)
        target_BC = torch.eye(size)[torch.arange(TRIAL_ROWS) % size]
        loss(logits_BC, target_BC).sum().backward()  # type: ignore[no-untyped-call]
        if logits_BC.grad is None or not torch.isfinite(logits_BC.grad).all():
            raise ConfigError(
                f"{SETTING}: {name} has no finite gradient for the logits",
                remedy="compute it from logits_BC with torch's differentiable functions",
            )


def _load(name: str) -> Callable[..., Any]:
    return plugin.load(name, Path.cwd(), SETTING)


def _checked(name: str, value: Any, logits_BC: torch.Tensor) -> torch.Tensor:
    rows = len(logits_BC)
    if not isinstance(value, torch.Tensor) or value.shape != (rows,) or not value.is_floating_point():
        shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)[:60]
        raise ConfigError(
            f"{SETTING}: {name} returned {shown} for {rows} rows",
            remedy=f"return one loss per row, a float tensor of shape ({rows},), not their mean",
        )
    if torch.is_grad_enabled() and logits_BC.requires_grad and not value.requires_grad:
        raise ConfigError(
            f"{SETTING}: {name} is not differentiable: its losses do not depend on the logits",
            remedy="argmax, comparisons, .detach() and numpy cut the gradient; use softmax instead",
        )
    if not torch.isfinite(value).all() and torch.isfinite(logits_BC).all():
        odd = int((~torch.isfinite(value)).sum())
        raise ConfigError(
            f"{SETTING}: {name} gave {odd} of {rows} losses that are not finite, for finite logits",
            remedy="take logits_BC.log_softmax(-1), not the log of a softmax; divide by nothing near 0",
        )
    return value
