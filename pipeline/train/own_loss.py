"""A loss of the user's own: loading it, checking what it returns, and where its targets may be soft.

Owns the checks at each call, the trial before a training, and the refusal of soft targets. Does not own the
losses of the registry (`train/losses.py`) nor finding the user's code (`core/plugin.py`).

`loss.name=module:function` names a loss of the user's own, which is checked at each call:

    def hinge(logits_BC, target_BC):      # float32 logits; targets are distributions over the classes
        ...
        return loss_B                     # one loss per row, differentiable

Of labels the targets are 0 or 1 a column, of values numbers in the unit of the table, and both are NaN where
they are unknown: the function has to leave such cells out (`torch.where`). Rows of which nothing is known
come with targets of 0 and count with weight 0.

`hinge.soft_targets = False` declares that it accepts one-hot targets only; it is then refused where images
are mixed or labels are soft.

Legend: B rows, C classes or columns.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.core import plugin
from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Kind
from pipeline.core.targets import VALUES
from pipeline.settings.loss import LOSSES, LossSettings
from pipeline.settings.schema import Config
from pipeline.settings.submission import columns_of
from pipeline.train.column_losses import Rows, wide

SETTING = "loss.name"
TRIAL_ROWS = 6


def refuse_soft(settings: LossSettings, why: str) -> None:
    """Reject soft targets where the loss accepts plain labels only.

    Every loss of the registry is defined for distributions unless it says otherwise; a function of the user's
    own may declare that it is not. `why` is the setting that makes targets soft, e.g. "train.mix=mixup".

    Raises:
        ConfigError: with the pair of settings.
    """
    names = dict.fromkeys([settings.name, *(own.name for own in settings.attributes.values())])
    refused = [n for n in names if not (takes_soft(n) if is_plugin(n) else LOSSES[n].soft_targets)]
    if refused:
        raise ConfigError(
            _("loss.name={refused} and {why}: this loss accepts plain labels only").format(
                refused=refused[0], why=why
            ),
            remedy=_("leave {partition} out, or choose another loss, e.g. cross_entropy").format(
                partition=why.partition("=")[0]
            ),
        )


def refuse_unfit(config: Config) -> None:
    """Call a loss of the user's own once, and refuse settings whose soft labels it does not accept.

    Raises:
        ConfigError: as `trial` and `refuse_soft`.
    """
    loss, train, kind = config.loss, config.train, config.competition.target
    sizes = [len(columns_of(config.competition))]
    if config.model.heads == "attributes":
        sizes = [len(a.values) for a in config.competition.attributes]
    trial(loss.name, sizes, kind)
    if train.mix.method != "none":
        refuse_soft(loss, f"train.mix.method={train.mix.method}")
    if train.pseudo is not None and train.pseudo.soft:
        refuse_soft(loss, "train.pseudo.soft=true")
    if train.distill is not None:
        refuse_soft(loss, f"train.distill.soft={train.distill.soft:g}")
    for attribute in config.competition.attributes:
        if attribute.soft_width is not None:
            refuse_soft(loss, f"soft_width={attribute.soft_width:g} of {attribute.name}")


def own_loss(name: str) -> Rows:
    """The function `module:function` of the current folder, with its results checked at each call.

    Raises:
        ConfigError: it cannot be loaded; when called: it fails, or does not return (B,) finite losses.
    """
    function = _load(name)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        logits_BC = wide(logits_BC)
        value = plugin.call(name, function, logits_BC, target_BC.to(logits_BC.dtype))
        return _checked(name, value, logits_BC)

    return rows


def takes_soft(name: str) -> bool:
    """Whether the function accepts soft targets; it does unless it declares `soft_targets = False`."""
    return bool(getattr(_load(name), "soft_targets", True))


def trial(name: str, sizes: Sequence[int], kind: Kind = "exclusive") -> None:
    """Call it once for each number of classes, forward and backward, before a long training depends on it.

    Raises:
        ConfigError: as `own_loss`, or a gradient that is missing or not finite.
    """
    loss, generator = own_loss(name), torch.Generator().manual_seed(0)
    for size in sizes:
        logits_BC = torch.randn(TRIAL_ROWS, size, generator=generator, requires_grad=True)
        target_BC = torch.eye(size)[torch.arange(TRIAL_ROWS) % size]
        if kind == VALUES:
            target_BC = torch.randn(TRIAL_ROWS, size, generator=generator)
        loss(logits_BC, target_BC).sum().backward()  # type: ignore[no-untyped-call]
        if logits_BC.grad is None or not torch.isfinite(logits_BC.grad).all():
            raise ConfigError(
                _("{setting}: {name} has no finite gradient for the logits").format(
                    setting=SETTING, name=name
                ),
                remedy=_("compute it from logits_BC with torch's differentiable functions"),
            )


def _load(name: str) -> Callable[..., Any]:
    return plugin.load(name, Path.cwd(), SETTING)


def _checked(name: str, value: Any, logits_BC: torch.Tensor) -> torch.Tensor:
    rows = len(logits_BC)
    if not isinstance(value, torch.Tensor) or value.shape != (rows,) or not value.is_floating_point():
        shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)[:60]
        raise ConfigError(
            _("{setting}: {name} returned {shown} for {rows} rows").format(
                setting=SETTING, name=name, shown=shown, rows=rows
            ),
            remedy=_("return one loss per row, a float tensor of shape ({rows},), not their mean").format(
                rows=rows
            ),
        )
    if torch.is_grad_enabled() and logits_BC.requires_grad and not value.requires_grad:
        raise ConfigError(
            _("{setting}: {name} is not differentiable: its losses do not depend on the logits").format(
                setting=SETTING, name=name
            ),
            remedy=_("argmax, comparisons, .detach() and numpy stop the gradient; use softmax instead"),
        )
    if not torch.isfinite(value).all() and torch.isfinite(logits_BC).all():
        odd = int((~torch.isfinite(value)).sum())
        raise ConfigError(
            _("{setting}: {name} gave {odd} of {rows} losses that are not finite, for finite logits").format(
                setting=SETTING, name=name, odd=odd, rows=rows
            ),
            remedy=_(
                "use logits_BC.log_softmax(-1), not the log of a softmax; do not divide by values near 0"
            ),
        )
    return value
