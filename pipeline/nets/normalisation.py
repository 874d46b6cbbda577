"""The input of a network's first layer: the training images after mean and standard deviation.

Owns measuring it. Does not own the normalisation itself (`nets/model.py`) nor advice about it
(`errors/advice/faults.py`).

Legend: N images, H height, W width, C colour channels.
"""

import math

import numpy as np

from pipeline.core.samples import Strings, positions
from pipeline.data.loader import Images
from pipeline.nets.model import Classifier, asked_normalisation
from pipeline.settings.model import ModelSettings

MOST_IMAGES = 256
# The least standard deviation of a channel: a constant channel has none.
SMALLEST = 1e-6


def figures(model: Classifier, settings: ModelSettings, images: Images, ids: Strings) -> dict[str, float]:
    """How far the network's input is from mean 0 and standard deviation 1.

    At most 256 of the training images `ids` are used, evenly spaced.

    Returns:
        For the worst channel: `input_mean` and `input_std` of the normalised pixels; `input_off`, the
        difference between this normalisation and that of the pretrained weights: the distance of the means in
        standard deviations, or the logarithm of the ratio of the standard deviations, whichever is larger; 0
        without pretrained weights.
    """
    taken = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MOST_IMAGES)).astype(int))
    rows = np.sort(positions(ids[taken], images.ids_N, "prepared images"))
    x_PC = np.asarray(images.x_NHWC[rows], np.float64).reshape(-1, 3) / 255
    mean_C, std_C = (b.flatten().double().cpu().numpy() for b in (model.mean_C11, model.std_C11))
    at_C = (x_PC.mean(axis=0) - mean_C) / std_C
    spread_C = np.maximum(x_PC.std(axis=0), SMALLEST) / std_C
    off = 0.0
    if settings.weights != "none":
        asked_mean_C, asked_std_C = (np.array(v) for v in asked_normalisation(model.backbone))
        off = max(np.abs(mean_C - asked_mean_C).max() / asked_std_C.min(), _log(std_C / asked_std_C).max())
    return {
        "input_mean": float(at_C[np.abs(at_C).argmax()]),
        "input_std": float(spread_C[_log(spread_C).argmax()]),
        "input_off": float(off) if math.isfinite(off) else 0.0,
    }


def _log(ratio_C: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.log(ratio_C)))
