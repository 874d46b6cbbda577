"""Prepared images that are larger than a network's input: how they become its input.

    images.size=64 images.store_px=128      crops and zooms see 128 px, the network 64

Owns reducing pixels by area, as bytes on the host and as floats on a device, and the size of what a network
sees. Does not own preparing images (`data/images.py`) nor what crops and zooms before they are reduced
(`data/augment.py`, `data/device_policy.py`, `nets/views.py`).

Each new pixel is the mean of the area that it covers, so that nothing is skipped at any ratio of the sizes.
Both forms compute the same weights; the one for bytes rounds.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.data.decode import scaled

if TYPE_CHECKING:
    import torch

Size: TypeAlias = tuple[int, int]
Pixels = npt.NDArray[np.uint8]


class Rows(Protocol):
    """Whatever holds prepared images."""

    @property
    def x_NHWC(self) -> Pixels:
        """The pixels as they are stored."""


def hw_of(images: Rows) -> Size:
    """Height and width of what a network sees of these images, px; of most, that of their pixels."""
    found: Size | None = getattr(images, "hw", None)
    if found is not None:
        return found
    height, width = images.x_NHWC.shape[1:3]
    return int(height), int(width)


def reduced(image_HWC: Pixels, size: Size) -> Pixels:
    """(H, W, C) the image at this size, by area; itself if it has that size."""
    if image_HWC.shape[:2] == size:
        return image_HWC
    return scaled(np.ascontiguousarray(image_HWC), *size)


def reduced_batch(x_BCHW: torch.Tensor, size: Size) -> torch.Tensor:
    """(B, C, H, W) floats at this size, by area, as two products of matrices; itself if it has that size."""
    import torch

    if tuple(x_BCHW.shape[-2:]) == size:
        return x_BCHW
    rows, columns = (
        _shares(int(old), new, x_BCHW.device) for old, new in zip(x_BCHW.shape[-2:], size, strict=True)
    )
    with torch.autocast(x_BCHW.device.type, enabled=False):
        return (rows @ x_BCHW.float() @ columns.T).clamp(0, 1).to(x_BCHW.dtype)


def _shares(old: int, new: int, device: torch.device) -> torch.Tensor:
    """(new, old) the share of each old pixel in each new one along a side; every row sums to 1.

    Made on the device, so that a CUDA graph can capture it.
    """
    import torch

    edges = torch.arange(new + 1, dtype=torch.float64, device=device) * (old / new)
    at = torch.arange(old, dtype=torch.float64, device=device)
    covered = torch.minimum(edges[1:, None], at + 1) - torch.maximum(edges[:-1, None], at)
    return (covered.clamp(min=0) * (new / old)).float()
