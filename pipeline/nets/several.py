"""Several images of a sample in a network: taking them apart, and pooling what is known of each.

Owns the pooling of features or outputs, with images that are missing left out, and changing the images of a
batch one by one. Does not own how images lie in a row (`data/several.py`) nor the network (`nets/model.py`).

A place of zeros holds no image. In a pass that must not depend on the other samples of a batch (`block`),
images pass through the network in blocks of one size, and are summed one place after the other: neither the
images of other samples nor the number of places change a bit.

Source of attention: Ilse, Tomczak & Welling 2018, Attention-based deep multiple instance learning,
https://arxiv.org/abs/1802.04712, equation 8, without the gate.

Legend: B samples, I places for images, C channels of one image, H height, W width, D features or outputs,
G images that are there, of all samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

# Hidden units of the attention.
ATTENTION = 64


def present(x_BEHW: torch.Tensor, channels: int) -> torch.Tensor:
    """(B, I) where there is an image, in rows of I images of so many channels, E = I · C."""
    return x_BEHW.reshape(len(x_BEHW), -1, channels, *x_BEHW.shape[2:]).flatten(2).amax(dim=2) > 0


def on_each(
    x_BEHW: torch.Tensor, channels: int, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The batch with each image changed by a function of (B, C, H, W); places without an image stay empty."""
    if x_BEHW.shape[1] == channels:
        return change(x_BEHW)
    changed = change(x_BEHW.reshape(-1, channels, *x_BEHW.shape[2:]))
    there = present(x_BEHW, channels).view(-1, 1, 1, 1)
    return (changed * there).reshape(*x_BEHW.shape[:2], *changed.shape[2:])


class Pool(nn.Module):
    """From (B, I, D) features or outputs of images to one row for each sample.

    Args:
        kind: mean, max, attention or concat.
        width: D, for attention.
    """

    def __init__(self, kind: str, width: int = 0) -> None:
        super().__init__()
        self.kind = kind
        self.attend: nn.Module | None = None
        if kind == "attention":
            # The last layer starts at zero, so that attention starts as the mean.
            last = nn.Linear(ATTENTION, 1, bias=False)
            nn.init.zeros_(last.weight)
            self.attend = nn.Sequential(nn.Linear(width, ATTENTION), nn.Tanh(), last)

    def forward(self, h_BID: torch.Tensor, there_BI: torch.Tensor, in_turn: bool = False) -> torch.Tensor:
        """(B, D), or (B, I · D) for concat; places where `there_BI` is false do not count.

        `in_turn`: the places are taken one after the other, so that empty ones behind change no bit.
        """
        if self.kind == "concat":
            return h_BID.flatten(1)
        if in_turn:
            return self._in_turn(h_BID, there_BI)
        there_BI1 = there_BI.unsqueeze(2)
        if self.kind == "max":
            return h_BID.masked_fill(~there_BI1, -torch.inf).amax(dim=1)
        if self.attend is None:
            weight_BI1 = there_BI1.to(h_BID.dtype)
            return (h_BID * weight_BI1).sum(1) / weight_BI1.sum(1).clamp_min(1)
        score_BI1 = self.attend(h_BID).masked_fill(~there_BI1, -torch.inf)
        pooled: torch.Tensor = (h_BID * score_BI1.softmax(dim=1)).sum(1)
        return pooled

    def _in_turn(self, h_BID: torch.Tensor, there_BI: torch.Tensor) -> torch.Tensor:
        places = range(h_BID.shape[1])
        if self.kind == "max":
            return h_BID.masked_fill(~there_BI.unsqueeze(2), -torch.inf).amax(dim=1)
        weights = [there_BI[:, i : i + 1].to(h_BID.dtype) for i in places]
        if self.attend is not None:
            scores = [
                self.attend(h_BID[:, i]).masked_fill(~there_BI[:, i : i + 1], -torch.inf) for i in places
            ]
            most_B1 = torch.stack(scores).amax(dim=0)
            weights = [(score - most_B1).exp() for score in scores]
        total_BD, weight_B1 = h_BID[:, 0] * weights[0], weights[0]
        for i in places[1:]:
            total_BD, weight_B1 = total_BD + h_BID[:, i] * weights[i], weight_B1 + weights[i]
        return total_BD / (weight_B1.clamp_min(1) if self.attend is None else weight_B1)


def of_images(
    x_BEHW: torch.Tensor,
    channels: int,
    network: Callable[[torch.Tensor], torch.Tensor],
    block: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, I, D) what a network of (G, C, H, W) gives for each image, zeros where there is none; and where.

    Only images that are there pass through it, so that normalisation by batches does not see empty places:
    all together, or so many (`block`) at a time.
    """
    there_BI = present(x_BEHW, channels)
    x_NCHW = x_BEHW.reshape(-1, channels, *x_BEHW.shape[2:])
    kept_N = there_BI.flatten()
    x_GCHW = x_NCHW[kept_N]
    h_GD = network(x_GCHW) if block is None else _in_blocks(x_GCHW, block, network)
    h_ND = h_GD.new_zeros(len(kept_N), h_GD.shape[1]).masked_scatter(kept_N.unsqueeze(1), h_GD)
    return h_ND.view(*there_BI.shape, -1), there_BI


def _in_blocks(
    x_GCHW: torch.Tensor, size: int, network: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """(G, D) the outputs of blocks of one size; the last block is filled up with its last image."""
    parts = []
    for start in range(0, max(len(x_GCHW), 1), size):
        part = x_GCHW[start : start + size]
        fill = part[-1:].expand(size - len(part), *part.shape[1:]) if len(part) else part
        parts.append(network(torch.cat([part, fill]))[: len(part)])
    return torch.cat(parts)
