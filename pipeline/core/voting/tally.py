"""Scores of many blends that differ from a known one in a few members, without summing all of them anew.

Owns keeping the known sum of votes and scoring changes of it. Does not own which changes are tried
(`greedy.py`, `minimise.py`).

A row's label can only change where its lead, the sum of its first class less that of its second, is no
larger than the weight that is added or taken: probabilities lie in [0, 1]. So a label metric looks at
those rows only, exactly, and a bag of 25 votes leaves few of them open. Other metrics score every row.

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core import metrics
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints
from pipeline.core.voting.rules import normalised

# Rows at a time: their sums stay in the processor's cache.
BLOCK = 8192
# Rounding of float32 sums.
SLACK = 1e-4


class Tally:
    """The known blend, and the score of others near it.

    Args:
        p_MNC: each member's probabilities, all of the same rows; memory-mapped arrays do as well.
        y_N: true class index.
        metric: what is scored; scores are signed, so that more is better.
    """

    def __init__(self, p_MNC: Sequence[Floats], y_N: Ints, metric: Metric) -> None:
        self.p_MNC, self.y_N, self.metric = p_MNC, y_N, metric
        self.n_classes = p_MNC[0].shape[1]
        self.total_NC: Floats = np.zeros(p_MNC[0].shape, np.float32)
        self._label_N = np.zeros(len(y_N), np.int64)
        self._lead_N = np.zeros(len(y_N), np.float32)
        self._open: tuple[float, Ints, Ints, Floats] | None = None

    def move(self, changes: Mapping[int, float]) -> None:
        """Make the known blend another one: weights by member are added to those that it has."""
        for m, weight in changes.items():
            self.total_NC += np.float32(weight) * self.p_MNC[m]
        self._label_N = self.total_NC.argmax(axis=1)
        rest_NC = self.total_NC.copy()
        np.put_along_axis(rest_NC, self._label_N[:, None], -np.inf, axis=1)
        first_N = np.take_along_axis(self.total_NC, self._label_N[:, None], axis=1)[:, 0]
        self._lead_N = first_N - rest_NC.max(axis=1)
        self._open = None

    def score(self, changes: Mapping[int, float]) -> float:
        """The signed score of the known blend with these weights added; it stays as it is.

        Args:
            changes: weight to add by member; below 0 takes votes back.
        """
        if self.metric.on_counts is None:
            total_NC = self.total_NC.copy()
            for m, weight in changes.items():
                total_NC += np.float32(weight) * self.p_MNC[m]
            # Taken-back votes leave rounding below 0, which is no probability.
            return self.metric.sign * self.metric.score(self.y_N, normalised(np.maximum(total_NC, 0)))
        counts_CC = self._counts(changes)[None].astype(np.float64)
        return self.metric.sign * float(self.metric.on_counts(counts_CC)[0])

    def _counts(self, changes: Mapping[int, float]) -> Ints:
        """(C, C) confusion: the settled rows as they were, the open ones looked at."""
        at, settled_CC, near_RC = self._opened(sum(abs(weight) for weight in changes.values()))
        label_R = np.empty(len(at), np.int64)
        every = len(at) == len(self.y_N)
        for start in range(0, len(at), BLOCK):
            rows = slice(start, start + BLOCK)
            sums_RC = near_RC[rows].copy()
            for m, weight in changes.items():
                seen_RC = self.p_MNC[m][rows] if every else self.p_MNC[m][at[rows]]
                sums_RC += seen_RC if weight == 1 else np.float32(weight) * seen_RC
            label_R[rows] = sums_RC.argmax(axis=1)
        return settled_CC + metrics.confusion(self.y_N[at], label_R, self.n_classes)

    def _opened(self, reach: float) -> tuple[Ints, Ints, Floats]:
        """Rows whose label a change of this size may move, the confusion of the others, and their sums."""
        if self._open is None or self._open[0] != reach:
            open_N = self._lead_N <= reach + SLACK
            at = np.flatnonzero(open_N)
            settled = ~open_N
            settled_CC = metrics.confusion(self.y_N[settled], self._label_N[settled], self.n_classes)
            self._open = (reach, at, settled_CC, self.total_NC[at])
        return self._open[1:]
