"""Temperature per member: how sure it may be, before it votes with others.

Owns fitting and applying temperatures. Does not own cross-fitting them (`search.py`).

A member that was trained longer is surer of itself, right or wrong, and would out-shout the others.
Dividing its logits by a temperature above 1 makes it less sure; its labels stay as they are.

Source: Guo et al., On Calibration of Modern Neural Networks (ICML 2017).

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from pipeline.core.samples import Floats, Ints
from pipeline.core.voting.rules import log_floored, softmax

COLDEST, HOTTEST = 0.05, 20.0
TOLERANCE = 1e-3


def fit(p_NC: Floats, y_N: Ints) -> float:
    """The temperature, 0.05 to 20, of least log loss on these rows.

    Args:
        p_NC: out-of-fold probabilities of one member.
        y_N: true class index.
    """
    log_NC = log_floored(p_NC)

    def loss(log_temperature: float) -> float:
        scaled_NC = log_NC / np.float32(math.exp(log_temperature))
        top_N = scaled_NC.max(axis=1)
        sums_N = np.exp(scaled_NC - top_N[:, None]).sum(axis=1, dtype=np.float64)
        right_N = scaled_NC[np.arange(len(y_N)), y_N] - top_N
        return float(np.mean(np.log(sums_N) - right_N))

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE})
    return float(math.exp(found.x))


def apply(p_NC: Floats, temperature: float) -> Floats:
    """(N, C) probabilities at another temperature; at 1 they stay as they are."""
    if temperature == 1.0:
        return p_NC
    return softmax(log_floored(p_NC).astype(np.float64) / temperature)
