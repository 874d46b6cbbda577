"""Post-processing of the user's own: the same functions on out-of-fold and on test probabilities.

Owns calling them and holding them to their word. Does not own when: after the views are averaged
(`stages/infer.py`).

Legend: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.plugin import Own, described
from pipeline.core.predictions import ROW_SUM_TOLERANCE, Probabilities
from pipeline.core.types import Strings


def load(names: Sequence[str]) -> tuple[Own, ...]:
    """The functions, in the order in which they are applied.

    Raises:
        ConfigError: one of them cannot be loaded.
    """
    return tuple(Own(name, Path.cwd(), "infer.postprocess") for name in names)


def apply(steps: Sequence[Own], found: Probabilities, groups_N: Strings) -> Probabilities:
    """Each step on the result of the one before: f(p_NC, ids_N, groups_N, classes) -> p_NC.

    Args:
        steps: called with copies; they see no label.
        found: out-of-fold or test probabilities, whole.
        groups_N: of the same images in the same order.

    Raises:
        ConfigError: a step failed, or returned no probabilities; names function and file.
    """
    for own in steps:
        p = own(found.p_NC.copy(), found.ids_N.copy(), groups_N.copy(), found.classes)
        wanted = f"probabilities of shape {found.p_NC.shape}: finite, not negative, rows that sum to 1"
        if not isinstance(p, np.ndarray) or p.shape != found.p_NC.shape or p.dtype.kind != "f":
            raise own.wrong(described(p), wanted)
        bad = ~np.isfinite(p).all(axis=1) | (p < 0).any(axis=1)
        bad |= ~(np.abs(p.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE)
        if bad.any():
            first = found.ids_N[bad][0]
            what = (
                f"{bad.sum()} of {len(p)} rows that are no probabilities (first: {first}: {p[bad][0][:4]} …)"
            )
            raise own.wrong(what, wanted)
        found = replace(found, p_NC=p.astype(np.float32))
    return found
