"""Losses by name, each as one number per sample.

Owns what training minimises. Does not own averaging: the loop sums over an accumulation window and
divides once by the window's total sample weight, which no loss that averages by itself allows.

Legend: B samples, C classes.
"""

from collections.abc import Callable

import torch

from pipeline.core.errors import ConfigError, UserError, nearest
from pipeline.settings.schema import LossSettings, TrainSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def smooth_targets(y_B: torch.Tensor, n_classes: int, smoothing: float, dtype: torch.dtype) -> torch.Tensor:
    """(B, C) targets: 1 - smoothing on the label, plus smoothing spread evenly over all classes.

    Source: Szegedy et al., https://arxiv.org/abs/1512.00567, section 7.
    """
    target_BC = torch.full((len(y_B), n_classes), smoothing / n_classes, dtype=dtype, device=y_B.device)
    return target_BC.scatter_add_(1, y_B[:, None], target_BC.new_full((len(y_B), 1), 1 - smoothing))


def focal_loss(
    logits_BC: torch.Tensor, y_B: torch.Tensor, gamma: float, smoothing: float = 0.0
) -> torch.Tensor:
    """(B,) focal loss, ≥ 0: cross-entropy whose terms are weighed by (1 - p)^gamma.

    It weighs by difficulty, not by class frequency; gamma 0 is cross-entropy.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, equation 4.

    Args:
        logits_BC: any float type; half types are computed in float32.
        y_B: class indices.
        gamma: ≥ 0.
        smoothing: label smoothing, 0 to 1.
    """
    logits_BC = logits_BC if logits_BC.dtype == torch.float64 else logits_BC.float()
    log_p_BC = logits_BC.log_softmax(-1)
    target_BC = smooth_targets(y_B, logits_BC.shape[1], smoothing, log_p_BC.dtype)
    if gamma == 0:
        return -(target_BC * log_p_BC).sum(-1)
    # The power's slope at 0 is infinite for gamma < 1; expm1 keeps the digits of 1 - p near p = 1.
    missed_BC = (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(log_p_BC.dtype).eps)
    return -(target_BC * missed_BC.pow(gamma) * log_p_BC).sum(-1)


def _cross_entropy(settings: LossSettings) -> Loss:
    return lambda logits_BC, y_B: focal_loss(logits_BC, y_B, 0.0, settings.label_smoothing)


def _focal(settings: LossSettings) -> Loss:
    return lambda logits_BC, y_B: focal_loss(logits_BC, y_B, settings.gamma, settings.label_smoothing)


REGISTRY: dict[str, Callable[[LossSettings], Loss]] = {"cross_entropy": _cross_entropy, "focal": _focal}


def make_loss(settings: LossSettings) -> Loss:
    """The loss of these settings: (logits_BC, y_B) -> one loss per sample, (B,), ≥ 0.

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
    return REGISTRY[settings.name](settings)


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
