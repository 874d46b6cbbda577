"""Averages of weights that predict in place of the trained ones: EMA and SWA.

Owns when an average is updated and the batch statistics of an averaged network. Does not own training
(`train/loop.py`).

EMA follows every step. SWA is the plain mean of the weights at the end of the last epochs; activations
of a mean of weights are not the mean of activations, so its batch normalisation is measured anew.

Sources: Polyak & Juditsky, Acceleration of Stochastic Approximation by Averaging (1992); Izmailov et al.,
https://arxiv.org/abs/1803.05407.

Legend: B images, C channels, H height, W width.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from pipeline.nets.forward import autocast
from pipeline.nets.model import Classifier
from pipeline.settings.schema import TrainSettings


class Average:
    """The average that the settings ask for, or none.

    Args:
        model: the fresh network; it is copied.
        settings: `ema_decay`, `swa_start` and `epochs` are read.
        device: where the network is.
        precision: fp32, bf16 or fp16.
    """

    def __init__(self, model: Classifier, settings: TrainSettings, device: str, precision: str) -> None:
        from timm.utils import ModelEmaV3

        decay, start = settings.ema_decay, settings.swa_start
        # Warm-up of the decay: the average forgets the first steps, which short runs would drag along.
        self._ema = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None
        self._swa = AveragedModel(model) if start is not None else None
        self._first = min(math.floor((start or 0) * settings.epochs), settings.epochs - 1)
        self._device, self._precision = device, precision

    def predictor(self, model: Classifier) -> Classifier:
        """The network that predicts: the average where there is one by now."""
        found: Any = model
        if self._ema:
            found = self._ema.module
        elif self._swa and self._swa.n_averaged > 0:
            found = self._swa.module
        return found  # type: ignore[no-any-return]

    def after_step(self, model: Classifier, step: int) -> None:
        """Follow one optimizer step, numbered from 0."""
        if self._ema:
            self._ema.update(model, step=step + 1)

    def after_epoch(self, model: Classifier, epoch: int, batches: Iterable[torch.Tensor]) -> None:
        """Take in the weights at the end of an epoch, numbered from 0.

        Args:
            model: in training mode: normalisation that is not, being frozen, keeps its statistics.
            epoch: earlier ones than the first are left out.
            batches: the epoch's pixels in [0, 1], x_BCHW; read only where statistics are measured.
        """
        if self._swa is None or epoch < self._first:
            return
        self._swa.update_parameters(model)
        pairs = zip(model.modules(), self._swa.module.modules(), strict=True)
        live = [mine for own, mine in pairs if own.training and isinstance(mine, _BatchNorm)]
        with autocast(self._device, self._precision):
            measure_statistics(self._swa.module, live, batches)

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint keeps; None before there is anything to average."""
        average = self._ema.module if self._ema else self._swa
        begun = self._swa is None or self._swa.n_averaged > 0
        return dict(average.state_dict()) if average is not None and begun else None

    def load(self, state: dict[str, Any] | None) -> None:
        """Continue from what `state` gave."""
        average = self._ema.module if self._ema else self._swa
        if average is not None and state is not None:
            average.load_state_dict(state)


def measure_statistics(network: nn.Module, norms: list[_BatchNorm], batches: Iterable[torch.Tensor]) -> None:
    """Means and variances of these normalisations over all batches, each batch counting alike.

    The rest of the network is as in prediction, so nothing is drawn and dropout does not widen them.
    """
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        for x_BCHW in batches:
            network(x_BCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
