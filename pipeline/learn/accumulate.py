"""Gradients of an accumulation window: the loss is summed and divided once.

Owns windows of micro-batches and their backward pass. Does not own stepping (`learn/fit.py`).

Legend: B rows of a micro-batch, C classes, H height, N samples, W width.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from pipeline.data.loader import Batch
from pipeline.learn.forward import autocast, pixels
from pipeline.learn.loss import Loss


def windows(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` micro-batches; the last may be shorter."""
    window: list[Batch] = []
    for batch in batches:
        window.append(batch)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


@dataclass(frozen=True)
class Backward:
    """How the gradients of an accumulation window are made.

    The loss is summed over the window and divided once, by the window's total sample weight: equal
    to one large batch for unequal micro-batches, for weighted losses and for a last short window.
    Dividing each micro-batch's mean by their number is right in none of these. Where samples of a
    batch meet each other (batch normalisation), no accumulation equals the large batch.

    Args:
        loss: one number per sample.
        target_NC: what each training sample is taught.
        weights_N: weight of each training sample.
        device: where the network is.
        precision: fp32, bf16 or fp16.
        scaler: keeps fp16 gradients from vanishing; does nothing otherwise.
        layout: of the images in memory, that of the network.
    """

    loss: Loss
    target_NC: torch.Tensor
    weights_N: torch.Tensor
    device: str = "cpu"
    precision: str = "fp32"
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    layout: str = "channels_last"

    def __call__(self, network: nn.Module, window: list[Batch]) -> float:
        """Add the window's gradients to the network's; returns its weighted mean loss."""
        total = sum(float(self.weights_N[batch.index_B].double().sum()) for batch in window)
        assert total > 0, "an accumulation window whose samples all weigh nothing"
        value = 0.0
        for batch in window:
            with autocast(self.device, self.precision):
                logits_BC = network(pixels(batch.x_BHWC, self.device, self.layout))
            weight_B = self.weights_N[batch.index_B].to(self.device)
            target_BC = self.target_NC[batch.index_B].to(self.device)
            part = (self.loss(logits_BC, target_BC) * weight_B).sum() / total
            self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            value += part.item()
        return value
