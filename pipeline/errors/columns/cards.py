"""Single images of the report on labels, values and shares: the worst answers, and the largest changes.

Owns which images are shown, with which figures. Does not own tables (`columns/scores.py`,
`columns/changes.py`) nor the page (`columns/page.py`).

Shape legend: N images, K columns, M cells of images and columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.core.language import joined
from pipeline.core.samples import Ints
from pipeline.core.targets import LABELS
from pipeline.errors import texts
from pipeline.errors.columns.scores import Scored
from pipeline.pages.plots import number
from pipeline.pages.report import Key, percent

# How many cards of one column are shown, so that one label does not fill the section.
OF_ONE = 8


@dataclass(frozen=True)
class Line:
    """A line of a card: what, its value, and a figure; `side` colours it: "old", "new" or empty."""

    what: str
    value: str
    figure: str = ""
    side: str = ""
    wrong: bool = False


@dataclass(frozen=True)
class Card:
    """An image with some of its answers.

    Args:
        key: of its picture.
        column: that it is shown for.
        lines: below each other.
    """

    key: Key
    column: str
    lines: tuple[Line, ...]

    @property
    def label(self) -> str:
        """The description for screen readers."""
        told = joined(", ", (joined(" ", (line.what, line.value)) for line in self.lines))
        return joined(": ", (self.key[1], told))


def worst(scored: Scored, limit: int, judged: Collection[tuple[str, str]] = ()) -> tuple[Card, ...]:
    """The worst answers, at most `OF_ONE` of each column, without those that were judged, by id and column.

    Of labels the wrong ones that the run was surest of; of values and shares the largest residuals in
    standard deviations.
    """
    labels = scored.target.kind == LABELS
    if labels:
        off_NK = np.abs(scored.p_NK - np.nan_to_num(scored.truth_NK)) * scored.wrong_NK
    else:
        off_NK = np.abs(np.nan_to_num(scored.residual_NK)) / scored.spread_K
    at = {str(name): n for n, name in enumerate(scored.ids_N)} if judged else {}
    for name, column in judged:
        off_NK[at[name], scored.target.columns.index(column)] = 0
    make = _label_card if labels else _value_card
    return tuple(make(scored, int(n), int(k)) for n, k in largest(off_NK, limit))


def largest(off_NK: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """The places of the largest cells above 0, largest first, at most `OF_ONE` of a column or `limit`."""
    order: Ints = np.argsort(-off_NK, axis=None, kind="stable")
    taken: Counter[int] = Counter()
    found: list[tuple[int, int]] = []
    of_one = max(OF_ONE, -(-limit // off_NK.shape[1]))
    for flat in order.tolist():
        n, k = divmod(flat, off_NK.shape[1])
        if not off_NK[n, k] > 0 or len(found) == limit:
            break
        if taken[k] < of_one:
            taken[k] += 1
            found.append((n, k))
    return found


def _label_card(scored: Scored, n: int, k: int) -> Card:
    name, p, true = scored.target.columns[k], float(scored.p_NK[n, k]), bool(scored.holds_NK[n, k])
    others = [c for j, c in enumerate(scored.target.columns) if scored.holds_NK[n, j] and j != k]
    lines = [
        Line(texts.TRUTH_LINE, texts.HOLDS if true else texts.HOLDS_NOT),
        Line(texts.SAID_LINE, texts.HOLDS_NOT if true else texts.HOLDS, percent(p), "new", True),
    ]
    if others:
        lines.append(Line(texts.OTHERS_LINE, ", ".join(others)))
    return Card(("train", str(scored.ids_N[n])), name, tuple(lines))


def _value_card(scored: Scored, n: int, k: int) -> Card:
    true, p = float(scored.truth_NK[n, k]), float(scored.p_NK[n, k])
    lines = (
        Line(texts.TRUTH_LINE, number(true)),
        Line(texts.SAID_LINE, number(p), signed_number(p - true), "new", True),
    )
    return Card(("train", str(scored.ids_N[n])), scored.target.columns[k], lines)


def signed_number(value: float) -> str:
    """A short number with its sign, a true minus."""
    return ("+" if value >= 0 else "−") + number(abs(value))


def keys(cards: Iterable[Card]) -> tuple[Key, ...]:
    """The pictures that cards show."""
    return tuple(dict.fromkeys(card.key for card in cards))
