"""Passes without gradients over prepared images, and softmax: the one place that does both.

Owns reading pixels in batches, views, device and precision of a pass. Does not own what is done
with the outputs: validation (`learn/fit.py`), features (`learn/features.py`), test-time
augmentation (`infer/predict.py`).

Legend: N images, B a batch, H height, W width, C channels or classes, D outputs of one image.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.types import Floats, Strings, positions
from pipeline.data.loader import Images
from pipeline.data.views import View

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Pass:
    """How a pass runs; none of it changes what the result means.

    Args:
        device: "cpu" or "cuda".
        batch: images at a time, ≥ 1.
        precision: fp32, bf16 or fp16 (on a GPU only).
    """

    device: str = "cpu"
    batch: int = 128
    precision: str = "fp32"


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Mixed precision as asked for; nothing for fp32.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    if precision == "fp16" and device == "cpu":
        raise ConfigError("train.precision: fp16 needs a GPU", remedy="use bf16 or fp32 on a CPU")
    return torch.autocast(device, dtype=DTYPES[precision], enabled=precision != "fp32")


def pixels(x_BHWC: torch.Tensor, device: str) -> torch.Tensor:
    """Bytes to floats in [0, 1], as x_BCHW in channels-last layout (which the permutation already is)."""
    return x_BHWC.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255


def run(
    network: Callable[[torch.Tensor], torch.Tensor], images: Images, ids: Strings, view: View, how: Pass
) -> Floats:
    """(N, D) float32 outputs of `network` on one view of the named images, in the order of `ids`.

    Args:
        network: from x_BCHW to (B, D); put its module in eval mode first.
        images: prepared images, found by id.
        ids: whose outputs are wanted.
        view: how the network sees them.
        how: device, batch and precision.

    Raises:
        DataError: an id has no image.
    """
    assert len(ids), "a pass over no images"
    at = positions(ids, images.ids_N, "prepared images")
    parts = []
    with torch.inference_mode(), autocast(how.device, how.precision):
        for start in range(0, len(at), how.batch):
            x_BHWC = torch.from_numpy(np.array(images.x_NHWC[at[start : start + how.batch]]))
            parts.append(network(view.apply(pixels(x_BHWC, how.device))).float().cpu())
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def softmax(logits_NC: Floats) -> Floats:
    """(N, C) probabilities, normalised in double precision whatever made the logits."""
    logits = logits_NC.astype(np.float64)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float32)
