"""The picture itself as features: `model.name=pixels`, a small copy of it and a linear classifier.

Owns a network without anything learned before its classifier. It is the line that every other network has to
beat, and where a place or a colour is the answer, which averaged maps of a backbone do not keep, it is the
member that is missing. Does not own its heads (`train/solved_heads.py`).

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import nn

# Side of the copy, px.
SIDE = 16


class Pixels(nn.Module):
    """(B, outputs) from the means of 16 × 16 equal parts of each image.

    Args:
        outputs: of its classifier.
        channels: of an image.
    """

    def __init__(self, outputs: int, channels: int) -> None:
        super().__init__()
        # A module of its own, so that `make explain` finds the map that it gives.
        self.copy = nn.AdaptiveAvgPool2d(SIDE)
        self.classifier = nn.Linear(channels * SIDE * SIDE, outputs)
        # In timm's words. Heads standardise their features, so any scale does.
        self.pretrained_cfg = {
            "input_size": (channels, SIDE, SIDE),
            "mean": (0.5,) * 3,
            "std": (0.25,) * 3,
            "interpolation": "bilinear",
            "classifier": "classifier",
        }

    def forward_features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, C, 16, 16) the small copy."""
        small_BCHW: torch.Tensor = self.copy(x_BCHW)
        return small_BCHW

    def forward_head(self, x_BCHW: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, C · 256) its pixels, or the outputs of the classifier on them."""
        flat_BD = x_BCHW.flatten(1)
        outputs: torch.Tensor = flat_BD if pre_logits else self.classifier(flat_BD)
        return outputs

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, outputs)."""
        return self.forward_head(self.forward_features(x_BCHW))
