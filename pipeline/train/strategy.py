"""Transfer strategies: which weights train, and from which epoch on.

Owns the stages of a network, which weights are frozen in an epoch, and the train or eval modes that go with
it. Does not own the optimizer's groups (`train/optim.py`, which leaves out weights that never train) or
stepping (`train/loop.py`).

Frozen layers need no backward pass and do not change at all: their parameters require no gradient, so the
optimizer holds no state for them and does not decay them, and their modules are in eval mode, so batch
statistics stay and dropout is off. What an epoch trains follows from its number alone, so a resumed run
needs no state.

Sources: gradual unfreezing: Howard & Ruder, ULMFiT, https://arxiv.org/abs/1801.06146; batch normalisation
fixed with its affine part, as detectors do: He et al., https://arxiv.org/abs/1512.03385, section 4; the head
before everything else: Kumar et al., https://arxiv.org/abs/2202.10054.
"""

import logging
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.settings.train import TrainSettings

log = logging.getLogger(__name__)

# Names of the parameters of each stage.
Stages = tuple[tuple[str, ...], ...]


def stages(backbone: nn.Module) -> Stages:
    """Names of the parameters of each stage, from the stem to the head.

    A timm model defines its stages (`group_matcher`, coarse); of any other network, each direct child with
    parameters is a stage.
    """
    from timm.models import group_parameters

    matcher: Any = getattr(backbone, "group_matcher", None)
    if matcher is not None:
        grouped = group_parameters(backbone, matcher(coarse=True))
        return tuple(tuple(grouped[number]) for number in sorted(grouped))
    by_child: dict[str, list[str]] = {}
    for name, _weight in backbone.named_parameters():
        by_child.setdefault(name.split(".")[0], []).append(name)
    return tuple(tuple(names) for names in by_child.values())


def prepare(backbone: nn.Module, settings: TrainSettings) -> None:
    """Freeze the weights that no epoch trains, before the optimizer is made; log how many they are.

    Raises:
        ConfigError: `train.freeze_until` matches no layer of the network, or all of them;
            `train.freeze_bn` without batch normalisation; `train.layer_decay` where layers are unknown;
            `train.first_px` or `train.grad_checkpointing` where the network cannot do it.
    """
    if settings.freeze_bn and not any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        missing = _("train.freeze_bn: the model has no batch normalisation")
        raise ConfigError(missing, remedy=_("leave train.freeze_bn out"))
    if settings.layer_decay is not None and not hasattr(backbone, "group_matcher"):
        raise ConfigError(
            _("train.layer_decay: this model does not define its layers (timm's group_matcher)"),
            remedy=_("choose a model of timm, or leave train.layer_decay out"),
        )
    if settings.first_px is not None and hasattr(backbone, "set_input_size"):
        raise ConfigError(
            _("train.first_px: this model is built for images of one size"),
            remedy=_("choose a convolutional network, or leave train.first_px out"),
        )
    if settings.grad_checkpointing:
        _checkpoint(backbone)
    begin_epoch(backbone, settings, settings.epochs - 1)
    frozen = sum(p.numel() for p in backbone.parameters() if not p.requires_grad)
    if frozen:
        total = sum(p.numel() for p in backbone.parameters())
        log.info(
            _("{strategy}: {frozen} of {total} weights are frozen in all epochs").format(
                strategy=settings.strategy, frozen=frozen, total=total
            )
        )


def _checkpoint(backbone: nn.Module) -> None:
    """Let the network compute its activations again in the backward pass."""
    switch: Any = getattr(backbone, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError("it has no set_grad_checkpointing")
        switch(True)
    except AssertionError as error:
        raise ConfigError(
            _("train.grad_checkpointing: this model does not support it"),
            [str(error)] if str(error) else [],
            _("leave it out, and lower train.batch_size with a higher train.accumulate instead"),
        ) from error


def begin_epoch(backbone: nn.Module, settings: TrainSettings, epoch: int) -> None:
    """Enable gradients of the weights that this epoch trains; freeze the rest and set it to eval mode.

    Call it after `train()`, which resets the modes.

    Raises:
        ConfigError: as `prepare`.
    """
    frozen = _frozen(backbone, settings, epoch)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for module in backbone.modules():
        own = list(module.parameters())
        fixed = settings.freeze_bn and isinstance(module, _BatchNorm)
        if fixed or (own and not any(p.requires_grad for p in own)):
            module.eval()
            module.requires_grad_(False)


def states(backbone: nn.Module, settings: TrainSettings) -> tuple[int, ...]:
    """The first epochs of stretches of equal trainable weights; several if `gradual` or `head_epochs`."""
    if settings.head_epochs is not None:
        return (0, settings.head_epochs)
    if settings.strategy != "gradual" or settings.unfreeze_every is None:
        return (0,)
    reached = min(len(stages(backbone)), -(-settings.epochs // settings.unfreeze_every))
    return tuple(number * settings.unfreeze_every for number in range(reached))


def _frozen(backbone: nn.Module, settings: TrainSettings, epoch: int) -> set[str]:
    """Names of the parameters that the strategy freezes in this epoch."""
    if settings.head_epochs is not None and epoch < settings.head_epochs:
        return {name for stage in stages(backbone)[:-1] for name in stage}
    if settings.strategy == "freeze_until":
        assert settings.freeze_until is not None, "a rule of the settings requires freeze_until"
        return _up_to(backbone, settings.freeze_until)
    if settings.strategy == "gradual":
        assert settings.unfreeze_every is not None, "a rule of the settings requires unfreeze_every"
        every = stages(backbone)
        trained = 1 + epoch // settings.unfreeze_every
        return {name for stage in every[: max(len(every) - trained, 0)] for name in stage}
    return set()


def _up_to(backbone: nn.Module, last: int | str) -> set[str]:
    """Names of the parameters from the stem to the named stage or module, inclusive."""
    every = stages(backbone)
    if isinstance(last, int):
        frozen = [name for stage in every[: last + 1] for name in stage] if last < len(every) else []
    else:
        place = {name: number for number, (name, _) in enumerate(backbone.named_parameters())}
        ordered = [name for stage in every for name in sorted(stage, key=place.__getitem__)]
        hits = [at for at, name in enumerate(ordered) if name == last or name.startswith(f"{last}.")]
        frozen = ordered[: hits[-1] + 1] if hits else []
    if not frozen:
        known = {name.rpartition(".")[0] for stage in every for name in stage}
        known |= {name.rpartition(".")[0] for name in known} - {""}
        hint = nearest(last, sorted(known)) if isinstance(last, str) else ""
        raise ConfigError(
            _("train.freeze_until: the model has no stage or module {last!r}").format(last=last)
            + (_("; {hint}").format(hint=hint) if hint else ""),
            _described(every),
            _("give the number of a stage, 0 to {n}, or the name of a module, such as {modules}").format(
                n=len(every) - 2, modules=_modules(every[-2])[0]
            ),
        )
    if set(every[-1]) <= set(frozen):
        raise ConfigError(
            _("train.freeze_until: {last!r} also freezes the head, so nothing would train").format(last=last),
            _described(every),
            _("name an earlier stage or module: at most stage {n}").format(n=len(every) - 2),
        )
    return set(frozen)


def _described(every: Stages) -> list[str]:
    """One line per stage: its number and its modules, at most two names deep."""
    return [f"stage {number}: {', '.join(_modules(names))}" for number, names in enumerate(every)]


def _modules(names: Sequence[str]) -> list[str]:
    """The modules of these parameters, at most two names deep."""
    above = [name.rpartition(".")[0] or name for name in names]
    short = [".".join(name.split(".")[:2]) for name in above]
    return list(dict.fromkeys(short))
