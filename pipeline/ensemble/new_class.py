"""The new class: the answer for an image that is none of the known classes, by a threshold.

Owns the step `new_class` of a decision. Does not own which images are scored as the new class
(`data/unseen.py`), nor keeping or leaving out a step (`ensemble/decision.py`).

The new class gets at least the threshold as its probability, and the row is scaled to sum to 1 again: it
becomes the answer where the best known class is less probable, and in a list of several answers it stands
where the threshold ranks among the known classes. Whether the model's own probability of the new class counts
where it is larger, or not at all, is fitted with the threshold: where the training table has images of the
new class it says something, else it is noise. This is how the winners of Humpback Whale Identification
(Kaggle, 2019) inserted `new_whale`.

Legend: N samples, C classes, T thresholds, M columns that a row is reduced to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints, Truth
from pipeline.core.targets import normalised
from pipeline.ensemble import texts
from pipeline.ensemble.decision import FittedStep, Rows

# Thresholds that are tried: quantiles of the best known probability; fewer where each takes long.
TRIED, FEW = 100, 20
MANY_CELLS = 20_000_000
# Known classes that are left of a row for metrics of the first answers: more than any of them looks at.
SHOWN = 16
# A smaller gain is rounding.
TINY = 1e-9


@dataclass(frozen=True)
class NewClass:
    """A threshold for the new class.

    Args:
        metric: of the competition.
        column: the new class among the columns.
        word: its name.
    """

    metric: Metric
    column: int
    word: str
    name: str = "new_class"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        labels_N = np.asarray(y_N, dtype=np.int64)
        threshold, own = fit_threshold(p_NC, labels_N, self.column, self.metric)
        facts = {"class": self.word, "threshold": threshold, "own": own}
        share = float((apply(p_NC, self.column, threshold, own).argmax(axis=1) == self.column).mean())
        also = texts.NEW_CLASS_OWN if own else ""
        text = texts.NEW_CLASS.format(word=self.word, threshold=threshold, share=share, own=also)
        return FittedStep(lambda p, _: apply(p, self.column, threshold, own), text, facts)


def apply(p_NC: Floats, column: int, threshold: float, own: bool) -> Floats:
    """Probabilities in which the new class has at least the threshold; rows sum to 1.

    `own`: its own probability counts where it is larger; otherwise it has the threshold alone.
    """
    p = np.array(p_NC, dtype=np.float32)
    p[:, column] = np.maximum(p[:, column], threshold) if own else threshold
    return normalised(p)


def fit_threshold(p_NC: Floats, y_N: Ints, column: int, metric: Metric) -> tuple[float, bool]:
    """(threshold, own) that score best on these rows; of equal ones the least threshold, with `own`."""
    rows = Reduced.of(p_NC, y_N, column, metric)
    best, found = -np.inf, (0.0, True)
    for own in (True, False):
        for threshold in candidates(p_NC, column, FEW if rows.p_NM.size > MANY_CELLS else TRIED):
            score = metric.sign * rows.score(metric, threshold, own)
            if score > best + TINY:
                best, found = score, (threshold, own)
    return found


def candidates(p_NC: Floats, column: int, tried: int) -> list[float]:
    """Thresholds, ascending from 0: quantiles of the best known probabilities of the rows."""
    levels = (np.arange(tried) + 0.5) / tried
    found = np.quantile(best_known(p_NC, column)[0], levels).tolist()
    return [0.0, *sorted(set(found))]


def best_known(p_NC: Floats, column: int) -> tuple[Floats, Ints]:
    """(N,) probability and index of the most probable class beside the new one."""
    known_NC = np.array(p_NC)
    known_NC[:, column] = -1
    at_N = known_NC.argmax(axis=1)
    return known_NC[np.arange(len(at_N)), at_N], at_N


@dataclass(frozen=True)
class Reduced:
    """What a metric looks at of each row: a score of all columns of thousands of classes takes a second.

    Args:
        p_NM: probabilities of some columns, or of all.
        y_N: the column of the truth among them.
        column: the new class among them.
        rest_N: what the columns that were left out sum to.
        classes: for metrics of the answer alone: (N,) the best known class, the true one, and how many there
            are; the columns are then the best known class and the new one. None: for other metrics.
        new: the new class among all classes.
    """

    p_NM: Floats
    y_N: Ints
    column: int
    rest_N: Floats
    classes: tuple[Ints, Ints, int] | None = None
    new: int = 0

    @staticmethod
    def of(p_NC: Floats, y_N: Ints, column: int, metric: Metric) -> Reduced:
        """The rows for this metric."""
        n, size = p_NC.shape
        at_N, new_N = np.arange(n), p_NC[:, column]
        none_N = np.zeros(n, np.float32)
        if metric.on_counts is not None:
            top_N, best_N = best_known(p_NC, column)
            p_N2 = np.stack([top_N, new_N], axis=1)
            return Reduced(p_N2, y_N, 1, none_N, (best_N, y_N, size), column)
        if metric.looks_at == "truth":
            true_N = np.where(y_N == column, 0, p_NC[at_N, y_N])
            others_N = p_NC.sum(axis=1, dtype=np.float64) - true_N - new_N
            p_N3 = np.stack([true_N, others_N.clip(0), new_N], axis=1).astype(np.float32)
            return Reduced(p_N3, np.where(y_N == column, 2, 0), 2, none_N)
        if metric.looks_at == "first" and size > 2 * SHOWN:
            return _first(p_NC, y_N, column)
        return Reduced(p_NC, y_N, column, none_N)

    def score(self, metric: Metric, threshold: float, own: bool) -> float:
        """The score with this threshold."""
        p = np.array(self.p_NM, dtype=np.float32)
        p[:, self.column] = np.maximum(p[:, self.column], threshold) if own else threshold
        if self.classes is not None:
            best_N, y_N, size = self.classes
            # Of equal ones the first class counts, as where the most probable class is taken.
            wins_N = (p[:, 1] > p[:, 0]) | ((p[:, 1] == p[:, 0]) & (self.new < best_N))
            return metric.score_labels(y_N, np.where(wins_N, self.new, best_N), size)
        total_N = p.sum(axis=1, dtype=np.float64) + self.rest_N
        return metric.score(self.y_N, np.asarray(p / total_N[:, None], dtype=np.float32))


def _first(p_NC: Floats, y_N: Ints, column: int) -> Reduced:
    """The most probable known classes of each row, the true one, and the new one, in the order of classes."""
    at_N1 = np.arange(len(p_NC))[:, None]
    known_NC = np.array(p_NC)
    known_NC[:, column] = -1
    top_NM = np.argpartition(-known_NC, SHOWN, axis=1)[:, :SHOWN]
    # A true class that is not among them takes the place of the last of them, behind which no metric looks.
    least_N = known_NC[at_N1, top_NM].argmin(axis=1)
    missing_N = (top_NM != y_N[:, None]).all(axis=1) & (y_N != column)
    top_NM[missing_N, least_N[missing_N]] = y_N[missing_N]
    all_NM = np.sort(np.concatenate([top_NM, np.full((len(p_NC), 1), column)], axis=1), axis=1)
    p_NM = p_NC[at_N1, all_NM]
    # The new class moves to the end, and its place among equal ones is lost: ties with it are of no account.
    is_new_NM = all_NM == column
    order_NM = np.argsort(is_new_NM, axis=1, kind="stable")
    p_NM, all_NM = np.take_along_axis(p_NM, order_NM, 1), np.take_along_axis(all_NM, order_NM, 1)
    rest_N = 1 - p_NM.sum(axis=1, dtype=np.float64)
    y_M = (all_NM == y_N[:, None]).argmax(axis=1).astype(np.int64)
    return Reduced(p_NM, y_M, all_NM.shape[1] - 1, np.asarray(rest_N.clip(0), dtype=np.float32))
