"""What spoils a picture: blur, noise and JPEG, as views of a batch.

Owns the three. Does not own their names and texts (`views.py`, the one registry) nor which strengths a
robustness curve has (`settings/robustness.py`).

All are the same for any batch size. Legend: B images, C channels, H height, W width; x_BCHW is float in
[0, 1], as models see it: strengths are in px of that size.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.seeds import rng


def blur(x_BCHW: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with a standard deviation of `sigma` px, above 0 to 20; the border is mirrored.

    As two matrix products in fp32, never as a convolution: oneDNN of torch 2.14 does not return from a bf16
    depthwise one of 19 × 19 on three channels in channels_last (docs/log.md).
    """
    if not 0 < sigma <= 20:
        raise ConfigError(f"view blur: sigma is {sigma:g}, wanted above 0 to 20")
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows_HH, columns_WW = (_smoothing(size, sigma).to(x_BCHW.device) for size in x_BCHW.shape[-2:])
        blurred = rows_HH @ x_BCHW.float() @ columns_WW.T
    return blurred.clamp(0, 1).to(x_BCHW.dtype)


def _smoothing(size: int, sigma: float) -> torch.Tensor:
    """(size, size) weights of a Gaussian cut off at 3 sigma along one side, rows summing to 1."""
    # A kernel cannot reach beyond the mirror image of the border.
    reach = min(math.ceil(3 * sigma), size - 1)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    at = np.abs(np.arange(size)[:, None] + offsets)
    at = np.where(at >= size, 2 * (size - 1) - at, at)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], at), weights / weights.sum())
    return torch.from_numpy(matrix.astype(np.float32))


def noise(x_BCHW: torch.Tensor, sd: float) -> torch.Tensor:
    """Gaussian noise of standard deviation `sd` (a share of white, 0 to 1) on every channel by itself.

    One pattern, rolled by an amount that the image's own pixels tell: each image gets the same noise in
    every batch, and different images get different noise.
    """
    if not 0 <= sd <= 1:
        raise ConfigError(f"view noise: sd is {sd:g}, wanted 0 to 1")
    height, width = x_BCHW.shape[-2:]
    pattern = rng(0, "view noise").standard_normal(tuple(x_BCHW.shape[1:]), dtype=np.float32)
    pattern_CHW = torch.from_numpy(pattern).to(x_BCHW.device, x_BCHW.dtype)
    # Whole numbers: a sum of floats would depend on the order of adding.
    sums_B = (x_BCHW * 255).round().long().sum(dim=(1, 2, 3)).tolist()
    # Multiplicative hashing (Knuth): close sums must not give close rolls.
    hashes_B = [(s * 2654435761 & 0xFFFFFFFF) >> 8 for s in sums_B]
    rolled = [torch.roll(pattern_CHW, (h % height, h // height % width), (1, 2)) for h in hashes_B]
    return (x_BCHW + sd * torch.stack(rolled)).clamp(0, 1)


def jpeg(x_BCHW: torch.Tensor, quality: int) -> torch.Tensor:
    """Saved as JPEG of this quality, 1 to 100, and read again."""
    if not 1 <= quality <= 100:
        raise ConfigError(f"view jpeg: quality is {quality}, wanted 1 to 100")
    bytes_BHWC = (x_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    read = []
    for image_HWC in bytes_BHWC:
        done, coded = cv2.imencode(".jpg", image_HWC[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "OpenCV could not encode an image as JPEG"
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None, "OpenCV could not read its own JPEG"
        read.append(decoded[:, :, ::-1])
    x_BHWC = torch.from_numpy(np.ascontiguousarray(np.stack(read)))
    return x_BHWC.permute(0, 3, 1, 2).to(x_BCHW.device, x_BCHW.dtype) / 255
