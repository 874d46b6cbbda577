"""A sampler of the user's own: which rows of a fold's training part an epoch shows.

Owns calling it and holding it to its word. Does not own the samplers that ship (`resample.py`), nor
which rows may be shown: only the fold's training part comes in.

Legend: N rows of the training part, R rows of an epoch.
"""

from typing import Any

import numpy as np

from pipeline.core.plugin import Own, described
from pipeline.core.samples import Ints, Strings
from pipeline.core.seeds import rng

WANTED = "an array of whole numbers, the positions to show, each from 0 to N - 1 and as often as it is shown"


def draw(own: Own, labels_N: Ints, groups_N: Strings, fold: int, epoch: int, root_seed: int) -> Ints:
    """(R,) positions, R ≥ 1; the same for equal arguments, whatever was drawn before.

    Args:
        own: called with copies of the labels and groups, the fold, and a numpy Generator.
        labels_N: class of each row, or its value of the attribute that is balanced.
        groups_N: group of each row.
        fold: its number.
        epoch: of the draw; 0 where every epoch shows the same rows.
        root_seed: of the generator.

    Raises:
        ConfigError: it failed, or returned no positions, or positions outside; names function and file.
    """
    found: Any = own(labels_N.copy(), groups_N.copy(), fold, rng(root_seed, "own sampler", fold, epoch))
    try:
        at = np.asarray(found)
    except ValueError:
        raise own.wrong(described(found), WANTED) from None
    if at.ndim != 1 or not (np.issubdtype(at.dtype, np.integer) or not len(at)):
        raise own.wrong(described(at if at.shape else found), WANTED)
    if not len(at):
        raise own.wrong(f"no rows for fold {fold}", WANTED)
    outside = int(((at < 0) | (at >= len(labels_N))).sum())
    if outside:
        got = f"{outside} positions outside 0 … {len(labels_N) - 1} (from {at.min()} to {at.max()})"
        raise own.wrong(got, WANTED)
    return at.astype(np.int64)
