"""Soft targets near a boundary: a person of 59 is almost 60, and half of the label is a matter of luck.

Owns sharing a row's training target between the two bins that meet at an edge. Does not own labels, which
score and never change (`data/labels.py`), or what a loss does with targets (`learn/`).

With `soft_width` w, a value v within ± w of an edge e belongs to the upper bin by (v - e + w) / 2w and to
the lower one by the rest. Edges are those of training (`train_bins`, or else `bins`).

Legend: N rows, A attributes, C classes, K values of one attribute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Ints
from pipeline.settings.schema import AttributeSettings, CompetitionSettings


def shares(
    values_N: npt.NDArray[np.float64], edges: Sequence[float], width: float
) -> npt.NDArray[np.float64]:
    """(N, K) how much of each row belongs to each bin; K is one more than there are edges.

    Args:
        values_N: of the column; NaN belongs to the first bin.
        edges: ascending, at least 2 · width apart.
        width: > 0, in the column's unit.
    """
    # Share above each edge: 0 a width below it, 1 a width above it.
    above = [np.clip((values_N - edge + width) / (2 * width), 0, 1) for edge in edges]
    above_NE = np.nan_to_num(np.stack(above, axis=1))
    ends = np.ones((len(values_N), 1)), np.zeros((len(values_N), 1))
    return np.hstack([ends[0], above_NE]) - np.hstack([above_NE, ends[1]])


def targets(
    values_AN: Sequence[Sequence[float] | None], training_N: Ints, settings: CompetitionSettings
) -> Floats | None:
    """(N, C) training targets of rows near an edge, NaN elsewhere; None where no attribute has a soft_width.

    Args:
        values_AN: numbers of the binned attributes, in their order; None for the others.
        training_N: class index of each row, as training sees it.
        settings: the attributes; a class is their product, the last one running fastest.
    """
    if not any(a.soft_width for a in settings.attributes):
        return None
    sizes = [len(a.values) for a in settings.attributes]
    codes_AN = np.unravel_index(training_N, sizes)
    target_NC, is_soft_N = np.ones((len(training_N), 1)), np.zeros(len(training_N), bool)
    for attribute, values, codes_N in zip(settings.attributes, values_AN, codes_AN, strict=True):
        share_NK = np.eye(len(attribute.values))[codes_N]
        if attribute.soft_width is not None:
            assert values is not None, "a rule of the settings asks for bins"
            share_NK = shares(np.array(values), _edges(attribute), attribute.soft_width)
            is_soft_N |= (share_NK.max(axis=1) < 1) if len(values) else False
        # The last attribute runs fastest: (N, C so far, 1) × (N, 1, K).
        target_NC = (target_NC[:, :, None] * share_NK[:, None, :]).reshape(len(training_N), -1)
    target_NC[~is_soft_N] = np.nan
    return np.asarray(target_NC, dtype=np.float32)


def notes(table: str, soft_NC: Floats | None, settings: CompetitionSettings) -> list[str]:
    """How many rows are shared, one line."""
    if soft_NC is None:
        return []
    told = ", ".join(f"{a.name} ± {a.soft_width:g}" for a in settings.attributes if a.soft_width)
    count = int((~np.isnan(soft_NC).any(axis=1)).sum())
    text = f"{table}: {count} images near an edge train as a share of both bins ({told})"
    return [f"{text}; scores keep their labels"]


def _edges(attribute: AttributeSettings) -> list[float]:
    return attribute.train_bins or attribute.bins or []
