"""Transfer strategies: which weights train, and from which epoch on.

Owns a network's stages, what is frozen in an epoch, and the modes that go with it. Does not own the
optimizer's groups (`train/optim.py`, which leaves out what never trains) or stepping (`train/loop.py`).

A frozen part costs no backward pass and moves by no bit: its parameters ask for no gradient, so the
optimizer holds no state of them and decays none, and its modules are in eval mode, so batch statistics
stay and its dropout is off. What an epoch trains follows from its number alone, so a resumed run needs
no state.

Sources: gradual unfreezing: Howard & Ruder, ULMFiT, https://arxiv.org/abs/1801.06146; batch normalisation
fixed with its affine part, as detectors do: He et al., https://arxiv.org/abs/1512.03385, section 4.
"""

import logging
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.core.errors import ConfigError, nearest
from pipeline.settings.train import TrainSettings

log = logging.getLogger(__name__)

Stages = tuple[tuple[str, ...], ...]


def stages(backbone: nn.Module) -> Stages:
    """Names of the parameters of each stage, from the stem to the head.

    A timm model says itself what its stages are (`group_matcher`, coarse); of any other network each
    direct child with parameters is one.
    """
    from timm.models import group_parameters

    matcher: Any = getattr(backbone, "group_matcher", None)
    if matcher is not None:
        grouped = group_parameters(backbone, matcher(coarse=True))
        return tuple(tuple(grouped[number]) for number in sorted(grouped))
    by_child: dict[str, list[str]] = {}
    for name, _ in backbone.named_parameters():
        by_child.setdefault(name.split(".")[0], []).append(name)
    return tuple(tuple(names) for names in by_child.values())


def prepare(backbone: nn.Module, settings: TrainSettings) -> None:
    """Freeze what no epoch trains, before the optimizer is made of the rest; tell what that is.

    Raises:
        ConfigError: `train.freeze_until` names no part of the network, or all of it;
            `train.freeze_bn` without batch normalisation; `train.layer_decay` where layers are unknown.
    """
    if settings.freeze_bn and not any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        raise ConfigError(
            "train.freeze_bn: the model has no batch normalisation", remedy="leave train.freeze_bn out"
        )
    if settings.layer_decay is not None and not hasattr(backbone, "group_matcher"):
        raise ConfigError(
            "train.layer_decay: this model does not say what its layers are (timm's group_matcher)",
            remedy="choose a model of timm, or leave train.layer_decay out",
        )
    begin_epoch(backbone, settings, settings.epochs - 1)
    frozen = sum(p.numel() for p in backbone.parameters() if not p.requires_grad)
    if frozen:
        whole = sum(p.numel() for p in backbone.parameters())
        log.info("%s: %d of %d weights stay frozen to the end", settings.strategy, frozen, whole)


def begin_epoch(backbone: nn.Module, settings: TrainSettings, epoch: int) -> None:
    """What trains in this epoch asks for gradients, the rest is frozen and in eval mode.

    Call it after `train()`, which would undo the modes.

    Args:
        backbone: changed in place.
        settings: strategy, freeze_until, unfreeze_every and freeze_bn are read.
        epoch: from 0.

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
    """The first epoch of each stretch in which the same weights train; one for all but `gradual`."""
    if settings.strategy != "gradual" or settings.unfreeze_every is None:
        return (0,)
    reached = min(len(stages(backbone)), -(-settings.epochs // settings.unfreeze_every))
    return tuple(number * settings.unfreeze_every for number in range(reached))


def _frozen(backbone: nn.Module, settings: TrainSettings, epoch: int) -> set[str]:
    """Names of the parameters that the strategy freezes in this epoch."""
    if settings.strategy == "freeze_until":
        assert settings.freeze_until is not None, "a rule of the settings asks for freeze_until"
        return _up_to(backbone, settings.freeze_until)
    if settings.strategy == "gradual":
        assert settings.unfreeze_every is not None, "a rule of the settings asks for unfreeze_every"
        whole = stages(backbone)
        trained = 1 + epoch // settings.unfreeze_every
        return {name for stage in whole[: max(len(whole) - trained, 0)] for name in stage}
    return set()


def _up_to(backbone: nn.Module, last: int | str) -> set[str]:
    """Everything from the stem to the named part, both included."""
    whole = stages(backbone)
    if isinstance(last, int):
        found = [name for stage in whole[: last + 1] for name in stage] if last < len(whole) else []
    else:
        place = {name: number for number, (name, _) in enumerate(backbone.named_parameters())}
        ordered = [name for stage in whole for name in sorted(stage, key=place.__getitem__)]
        hits = [at for at, name in enumerate(ordered) if name == last or name.startswith(f"{last}.")]
        found = ordered[: hits[-1] + 1] if hits else []
    if not found:
        known = {name.rpartition(".")[0] for stage in whole for name in stage}
        known |= {name.rpartition(".")[0] for name in known} - {""}
        hint = nearest(last, sorted(known)) if isinstance(last, str) else ""
        raise ConfigError(
            f"train.freeze_until: the model has no part {last!r}" + (f"; {hint}" if hint else ""),
            _described(whole),
            f"give a stage's number, 0 to {len(whole) - 2}, or a module's name: {_modules(whole[-2])[0]}",
        )
    if set(whole[-1]) <= set(found):
        raise ConfigError(
            f"train.freeze_until: {last!r} freezes the head too, so nothing would train",
            _described(whole),
            f"name a part below it: at most stage {len(whole) - 2}",
        )
    return set(found)


def _described(whole: Stages) -> list[str]:
    """One line a stage: its number and its modules, no deeper than two names."""
    return [f"stage {number}: {', '.join(_modules(names))}" for number, names in enumerate(whole)]


def _modules(names: Sequence[str]) -> list[str]:
    """The modules of these parameters; the module itself where there is but one below it."""
    above = [name.rpartition(".")[0] or name for name in names]
    short = [".".join(name.split(".")[:2]) for name in above]
    return list(dict.fromkeys(short))
