"""Noise that makes training robust: on pixels, and on the weights of a step.

Owns drawing it. The draws come from torch's generators, which the loop seeds before every step.

Legend: B images, C channels, H height, W width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
