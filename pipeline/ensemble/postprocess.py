"""Post-processing by a function of the user's own, the same on out-of-fold and on test probabilities.

Owns loading it, calling it and holding it to its word. Does not own when, nor whether it is kept
(`decision.py`).

Legend: N images, C classes.
"""

from pathlib import Path

import numpy as np

from pipeline.core.plugin import Own, described
from pipeline.core.predictions import ROW_SUM_TOLERANCE
from pipeline.core.samples import Floats, Strings

SETTING = "decision.steps"


def load(name: str) -> Own:
    """The function behind `module:function`.

    Raises:
        ConfigError: it cannot be loaded.
    """
    return Own(name, Path.cwd(), SETTING)


def call(own: Own, p_NC: Floats, ids_N: Strings, groups_N: Strings, classes: tuple[str, ...]) -> Floats:
    """f(p_NC, ids_N, groups_N, classes) -> p_NC, called with copies; it sees no label.

    Args:
        own: the function.
        p_NC: probabilities.
        ids_N: of the images, in the same order.
        groups_N: their groups.
        classes: (C,) names.

    Raises:
        ConfigError: it failed, or returned no probabilities; names function and file.
    """
    p = own(p_NC.copy(), ids_N.copy(), groups_N.copy(), classes)
    wanted = f"probabilities of shape {p_NC.shape}: finite, not negative, rows that sum to 1"
    if not isinstance(p, np.ndarray) or p.shape != p_NC.shape or p.dtype.kind != "f":
        raise own.wrong(described(p), wanted)
    bad = ~np.isfinite(p).all(axis=1) | (p < 0).any(axis=1)
    bad |= ~(np.abs(p.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE)
    if bad.any():
        first = ids_N[bad][0]
        what = f"{bad.sum()} of {len(p)} rows that are no probabilities (first: {first}: {p[bad][0][:4]} …)"
        raise own.wrong(what, wanted)
    return np.asarray(p, dtype=np.float32)
