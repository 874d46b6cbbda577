"""What changed between two submissions of labels, values or shares: columns and images, most first.

Owns joining the two by id, counting, and the cards of the largest changes. Does not own whether the changes
are for the better (`columns/scores.py`, out of fold, where the truth is known).

Shape legend: N images, K columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.group_resampling import Bools
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Floats, positions
from pipeline.core.targets import LABELS, Target
from pipeline.errors import texts
from pipeline.errors.columns.cards import Card, Line, largest, signed_number
from pipeline.errors.diff.flips import Submission, refuse_other_ids
from pipeline.pages.plots import number
from pipeline.pages.report import percent

# Values that differ by less, in standard deviations of the new ones, count as equal.
SAME = 0.01


@dataclass(frozen=True)
class Changes:
    """The differences of two submissions.

    Args:
        n_images: number of images.
        images: number of those with any change.
        answers: number of changed answers, one a column and image.
        table: one row for each column, most changed first.
        cards: the largest changes.
        ids: of all changed images, in the order of the new submission.
    """

    n_images: int
    images: int
    answers: int
    table: pd.DataFrame
    cards: tuple[Card, ...]
    ids: tuple[str, ...]


def find_changes(target: Target, new: Submission, old: Submission, limit: int) -> Changes:
    """All differences, joined by id; `limit`: the most cards.

    Raises:
        DataError: the two have different ids.
    """
    refuse_other_ids(new, old)
    at = positions(new.ids_N, old.ids_N, old.name)
    now, was = np.asarray(new.answers, np.float64), np.asarray(old.answers, np.float64)[at]
    moved_NK = np.abs(now - was)
    spread_K = now.std(axis=0)
    labels = target.kind == LABELS
    unit_K = np.ones(target.n_columns) if labels else np.where(spread_K > 0, spread_K, 1.0)
    changed_NK = moved_NK > (0.5 if labels else SAME * unit_K)
    p_new, p_old = (_p_of(side, target, new) for side in (new, old))
    by_size = moved_NK / unit_K * changed_NK
    if labels and p_new is not None and p_old is not None:
        by_size = np.maximum(np.abs(p_new - p_old), 1e-6) * changed_NK
    cards = []
    for n, k in largest(by_size, limit):
        p = (None if p_old is None else p_old[n, k], None if p_new is None else p_new[n, k])
        lines = _label_lines(bool(now[n, k] > 0.5), p) if labels else _value_lines(was[n, k], now[n, k])
        cards.append(Card(("test", str(new.ids_N[n])), target.columns[k], lines))
    table = _label_table(target, now, was) if labels else _value_table(target, now, was, changed_NK, unit_K)
    any_N = changed_NK.any(axis=1)
    ids = tuple(new.ids_N[any_N].tolist())
    return Changes(len(now), int(any_N.sum()), int(changed_NK.sum()), table, tuple(cards), ids)


def _p_of(side: Submission, target: Target, like: Submission) -> Floats | None:
    if side.probabilities is None:
        return None
    return side.probabilities.with_classes(target.columns).take(like.ids_N).p_NC


def _label_table(target: Target, now: Reals, was: Reals) -> pd.DataFrame:
    held, before = now > 0.5, was > 0.5
    table = pd.DataFrame(
        {
            "label": list(target.columns),
            "changed": (held != before).sum(axis=0),
            "now holds": (held & ~before).sum(axis=0),
            "no longer holds": (~held & before).sum(axis=0),
            "held before": before.sum(axis=0),
            "holds now": held.sum(axis=0),
        }
    )
    return table.sort_values("changed", ascending=False, kind="stable", ignore_index=True)


def _value_table(target: Target, now: Reals, was: Reals, changed_NK: Bools, unit_K: Reals) -> pd.DataFrame:
    off = now - was
    table = pd.DataFrame(
        {
            "value": list(target.columns),
            "changed": changed_NK.sum(axis=0),
            "mean change": off.mean(axis=0),
            "mean size of a change": np.abs(off).mean(axis=0),
            "in standard deviations": np.abs(off).mean(axis=0) / unit_K,
            "largest": np.abs(off).max(axis=0),
            "correlation": [_correlation(a, b) for a, b in zip(now.T, was.T, strict=True)],
        }
    )
    return table.sort_values("in standard deviations", ascending=False, kind="stable", ignore_index=True)


def _correlation(one: Reals, other: Reals) -> float:
    if one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _label_lines(holds: bool, p: tuple[float | None, float | None]) -> tuple[Line, ...]:
    words = (texts.HOLDS_NOT, texts.HOLDS) if holds else (texts.HOLDS, texts.HOLDS_NOT)
    shares = ["" if x is None else percent(float(x)) for x in p]
    return (
        Line(texts.OLD_LINE, words[0], shares[0], "old", True),
        Line(texts.NEW_LINE, words[1], shares[1], "new", True),
    )


def _value_lines(was: float, now: float) -> tuple[Line, ...]:
    return (
        Line(texts.OLD_LINE, number(float(was)), "", "old"),
        Line(texts.NEW_LINE, number(float(now)), signed_number(float(now - was)), "new", True),
    )
