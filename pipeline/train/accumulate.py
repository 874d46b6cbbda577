"""Gradients of an accumulation window: the loss is summed and divided once.

Owns windows of micro-batches and their backward pass. Does not own stepping (`train/loop.py`).

Legend: B rows of a micro-batch, C classes, H height, N samples, W width.

Noise that makes training robust: on pixels, and on the weights of a step.

Owns drawing it. The draws come from torch's generators, which the loop seeds before every step.

Legend: B images, C channels, H height, W width.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import nn

from pipeline.data.loader import Batch
from pipeline.nets.forward import autocast, pixels
from pipeline.resample.mixing import MixedBatch, Mixer
from pipeline.train.losses import Loss


def noisy_pixels(x_BCHW: torch.Tensor, std: float) -> torch.Tensor:
    """Pixels in [0, 1] with Gaussian noise of this standard deviation, clipped to [0, 1]."""
    return x_BCHW if std == 0 else (x_BCHW + std * torch.randn_like(x_BCHW)).clamp(0, 1)


@contextmanager
def noisy_weights(network: nn.Module, share: float) -> Iterator[None]:
    """Inside, every trained weight tensor has Gaussian noise on it; afterwards it has its own bits again.

    Biases and norms (1-D parameters) are left alone.

    Args:
        network: whose gradients are made inside.
        share: standard deviation of the noise, as a share of the tensor's root mean square.

    Source: An, The Effects of Adding Noise During Backpropagation Training (1996); Wu et al., Adversarial
    Weight Perturbation, https://arxiv.org/abs/2004.05884, for noise relative to the tensor's size.
    """
    if share == 0:
        yield
        return
    noisy = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    own = [p.detach().clone() for p in noisy]
    try:
        with torch.no_grad():
            for p in noisy:
                p.add_(torch.randn_like(p), alpha=share * float(p.square().mean().sqrt()))
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(noisy, own, strict=True):
                p.copy_(value)


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
class Taught:
    """A micro-batch and what it is taught, mixed or not; on the CPU.

    Args:
        batch: pixels 0 to 255.
        blend: how it is mixed with its partners; None: not at all.
        target_BC: distributions over the classes.
        weight_B: how much each row counts.
    """

    batch: Batch
    blend: MixedBatch | None
    target_BC: torch.Tensor
    weight_B: torch.Tensor

    def pixels(self, device: str, layout: str) -> torch.Tensor:
        """(B, C, H, W) pixels in [0, 1], on the device."""
        own_BCHW = pixels(self.batch.x_BHWC, device, layout)
        if self.blend is None:
            return own_BCHW
        return self.blend.pixels(own_BCHW, pixels(self.blend.other.x_BHWC, device, layout))

    def split(self, most: int) -> list["Taught"]:
        """The same in pieces of about equal size and at most so many rows, none of one row: batch
        normalisation has no variance there. So three rows stay together where two are the most.
        """
        rows = len(self.weight_B)
        n = min(math.ceil(rows / most), max(rows // 2, 1))
        return [
            Taught(
                self.batch.part(start, end),
                self.blend and self.blend.part(start, end),
                self.target_BC[start:end],
                self.weight_B[start:end],
            )
            for start, end in pairwise(rows * i // n for i in range(n + 1))
        ]


@dataclass(frozen=True)
class Backward:
    """How the gradients of an accumulation window are made.

    The loss is summed over the window and divided once, by the window's total sample weight: equal
    to one large batch for unequal micro-batches, for weighted losses and for a last short window.
    Dividing each micro-batch's mean by their number is right in none of these. Where samples of a
    batch meet each other (batch normalisation), no accumulation equals the large batch.

    Args:
        loss: one number per sample, and how much its class counts.
        target_NC: what each training sample is taught.
        weights_N: weight of each training sample.
        device: where the network is.
        precision: fp32, bf16 or fp16.
        scaler: keeps fp16 gradients from vanishing; does nothing otherwise.
        mixer: mixes samples; None: nothing is mixed.
        input_noise: standard deviation of noise on pixels in [0, 1].
        most: rows that pass at once where memory is short, at least 2; None: a whole micro-batch.
        layout: of the images in memory, that of the network.
    """

    loss: Loss
    target_NC: torch.Tensor
    weights_N: torch.Tensor
    device: str = "cpu"
    precision: str = "fp32"
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    mixer: Mixer | None = None
    input_noise: float = 0.0
    most: int | None = None
    layout: str = "channels_last"

    def __call__(self, network: nn.Module, window: list[Batch], step: int = 0) -> float:
        """Add the window's gradients to the network's; returns its weighted mean loss.

        Args:
            network: in training mode.
            window: micro-batches.
            step: of the optimizer, from 0, for the draws of mixing.
        """
        taught = [self._taught(batch, step, number) for number, batch in enumerate(window)]
        total = sum(float(micro.weight_B.double().sum()) for micro in taught)
        assert total > 0, "an accumulation window whose samples all weigh nothing"
        value = 0.0
        if self.most is not None:
            taught = [piece for whole in taught for piece in whole.split(self.most)]
        for micro in taught:
            x_BCHW = noisy_pixels(micro.pixels(self.device, self.layout), self.input_noise)
            with autocast(self.device, self.precision):
                logits_BC = network(x_BCHW)
            weight_B, target_BC = micro.weight_B.to(self.device), micro.target_BC.to(self.device)
            part = (self.loss(logits_BC, target_BC) * weight_B).sum() / total
            self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            value += part.item()
        return value

    def _taught(self, batch: Batch, step: int, number: int) -> Taught:
        target_BC, weight_B = self.target_NC[batch.index_B], self.weights_N[batch.index_B]
        blend = self.mixer(batch, step, number) if self.mixer else None
        if blend is not None:
            at_B = blend.other.index_B
            target_BC = blend.of(target_BC, self.target_NC[at_B])
            weight_B = blend.of(weight_B, self.weights_N[at_B])
        # Sample weights times what the loss gives to the classes of the target.
        return Taught(batch, blend, target_BC, weight_B * self.loss.weigh(target_BC))
