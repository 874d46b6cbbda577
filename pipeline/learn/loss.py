"""Losses by name, each as one number per sample.

Owns what training minimises. Does not own averaging: the loop sums over an accumulation window and
divides once by the window's total sample weight, which no loss that averages by itself allows.

Targets are distributions over the classes, (B, C): a plain label is a one-hot row (`learn/targets.py`).

Legend: B samples, C classes.
"""

from collections.abc import Callable

import torch

from pipeline.core.errors import ConfigError, UserError, nearest
from pipeline.learn.targets import ClassFacts
from pipeline.settings.schema import LossSettings, TrainSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def smooth_targets(target_BC: torch.Tensor, smoothing: float) -> torch.Tensor:
    """(B, C) targets: 1 - smoothing of what they were, plus smoothing spread evenly over all classes.

    Source: Szegedy et al., https://arxiv.org/abs/1512.00567, section 7.
    """
    return target_BC * (1 - smoothing) + smoothing / target_BC.shape[1]


def focal_loss(
    logits_BC: torch.Tensor, target_BC: torch.Tensor, gamma: float, smoothing: float = 0.0
) -> torch.Tensor:
    """(B,) focal loss, ≥ 0: cross-entropy whose terms are weighed by (1 - p)^gamma.

    It weighs by difficulty, not by class frequency; gamma 0 is cross-entropy.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, equation 4.

    Args:
        logits_BC: any float type; half types are computed in float32.
        target_BC: distributions over the classes.
        gamma: ≥ 0.
        smoothing: label smoothing, 0 to 1.
    """
    logits_BC = logits_BC if logits_BC.dtype == torch.float64 else logits_BC.float()
    log_p_BC = logits_BC.log_softmax(-1)
    target_BC = smooth_targets(target_BC.to(log_p_BC.dtype), smoothing)
    if gamma == 0:
        return -(target_BC * log_p_BC).sum(-1)
    # The power's slope at 0 is infinite for gamma < 1; expm1 keeps the digits of 1 - p near p = 1.
    missed_BC = (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(log_p_BC.dtype).eps)
    return -(target_BC * missed_BC.pow(gamma) * log_p_BC).sum(-1)


def _cross_entropy(settings: LossSettings, facts: ClassFacts) -> Loss:
    return lambda logits_BC, target_BC: focal_loss(logits_BC, target_BC, 0.0, settings.label_smoothing)


def _focal(settings: LossSettings, facts: ClassFacts) -> Loss:
    return lambda logits_BC, target_BC: focal_loss(
        logits_BC, target_BC, settings.gamma, settings.label_smoothing
    )


REGISTRY: dict[str, Callable[[LossSettings, ClassFacts], Loss]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
}


def make_loss(settings: LossSettings, facts: ClassFacts) -> Loss:
    """The loss of these settings: (logits_BC, target_BC) -> one loss per sample, (B,), ≥ 0.

    Args:
        settings: name and parameters.
        facts: of the training rows; never of a validation part.

    Raises:
        ConfigError: the name is unknown.
    """
    if settings.name not in REGISTRY:
        hint = nearest(settings.name, REGISTRY)
        raise ConfigError(
            f"loss.name: no loss called {settings.name!r}",
            [hint] if hint else [],
            f"choose one of {', '.join(REGISTRY)}",
        )
    return REGISTRY[settings.name](settings, facts)


def diverged(where: str, settings: TrainSettings) -> UserError:
    """The error to raise when a loss is no finite number.

    Args:
        where: fold, epoch and step.
        settings: whose values the remedy names.
    """
    return UserError(
        f"{where}: the loss is not a finite number",
        remedy=f"try a smaller train.lr (now {settings.lr:g}), train.clip_norm=1, a longer "
        f"train.warmup_epochs, or train.precision=fp32 (now {settings.precision})",
    )
