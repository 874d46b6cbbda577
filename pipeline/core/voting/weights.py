"""Finding weights: greedy selection of members, and a minimiser over the weights.

Owns both searches, what judges the weights, and fast scores of blends that differ from a known one in a few
members. Does not own cross-fitting (`core/voting/fitting.py`). Another minimiser, such as an Optuna study, is
passed as a callable: it asks for losses of weights and returns the best ones.

Greedy weights are judged by the competition's metric, but where it counts right, true and predicted classes:
such a count follows single images that lie between two classes, and rewards members for tipping them over.
There the judge is the cosine between the blend and the truth, both less their row's mean: the Brier score of
the blend after it was sharpened or flattened in the best way, because a mean of members is flatter than they
are, and counts do not mind. It needs one matrix (M, M). Measured on 46 blends, held out, against macro-F1
itself: macro-F1 better by .005 (standard error .002), log loss by .06 (docs/log.md). It knows nothing of rare
classes, so where the metric finds equal weights or a single member clearly better, the metric judges after
all. A search goes on by the metric.

A row's label can only change where its lead, the sum of its first class minus that of its second, is no
larger than the weight that is added or removed, because probabilities are in [0, 1]. So a label metric is
computed from those rows only, exactly. Other metrics score every row, as does every kind of target other than
exclusive classes.

Sources: greedy selection with replacement: Caruana et al., Ensemble Selection from Libraries of Models (ICML
2004); the score: Brier, Verification of Forecasts Expressed in Terms of Probability (1950); pattern search:
Hooke & Jeeves, Direct Search Solution of Numerical and Statistical Problems (JACM 1961).

Shape legend: M members, N samples, C classes, R open rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from pipeline.core import metrics
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints, Truth
from pipeline.core.targets import most_probable, normalised

# Rows at a time: their sums stay in the processor's cache.
BLOCK = 8192
# Rounding of float32 sums.
SLACK = 1e-4
# Probabilities of all members at a time, for the matrix of their products.
AT_ONCE = 2_000_000
# Mean squares below this are rounding: predictions that are equal for all classes.
FLAT = 1e-12
# Clearly better by a metric: by this share of the way to a perfect score.
CLEARLY = 0.1


class Judge(Protocol):
    """A current blend, empty at first, and the scores of others; more is better."""

    size: int

    def move(self, changes: Mapping[int, float]) -> None:
        """Change the current blend: add these weights, by member."""

    def score(self, changes: Mapping[int, float]) -> float:
        """The score of the current blend with these weights added; negative weights remove votes."""

    def at(self, weight_M: Reals) -> float:
        """The score of a blend with these weights, of any sum above 0."""

    def emptied(self) -> Judge:
        """The same with an empty blend."""


def judge_of(p_MNC: Sequence[Floats], y_N: Truth, metric: Metric) -> Judge:
    """What greedy weights are judged by: the metric, or `Cosine`, see above."""
    if by_cosine(metric) and y_N.ndim == 1:
        return Cosine.of(p_MNC, np.asarray(y_N, np.int64))
    return Tally(p_MNC, y_N, metric)


def by_cosine(metric: Metric) -> bool:
    """Whether greedy weights for this metric of exclusive classes are judged by `Cosine`."""
    return metric.on_margins is not None and metric.on_samples is None


def is_beaten(weight_M: Reals, p_MNC: Sequence[Floats], y_N: Truth, metric: Metric) -> bool:
    """Whether equal weights or a single member are clearly better by the metric on these rows."""
    tally, every = Tally(p_MNC, y_N, metric), range(len(p_MNC))
    found = tally.at(weight_M)
    clearly = found + CLEARLY * metric.headroom(metric.sign * found)
    rivals = (dict.fromkeys(every, 1.0), *({m: 1.0} for m in every))
    return any(tally.score(rival) > clearly for rival in rivals)


class Cosine:
    """The cosine between a blend and the truth, both less their row's mean: 1 where they are equal.

    Args:
        product_MM: mean over the rows of the product of two members.
        right_M: mean over the rows of the product of a member and the truth.
        length: of the truth.
    """

    def __init__(self, product_MM: Reals, right_M: Reals, length: float) -> None:
        self.product_MM, self.right_M, self.length = product_MM, right_M, length
        self.size = len(right_M)
        self.weight_M: Reals = np.zeros(self.size)

    @staticmethod
    def of(p_MNC: Sequence[Floats], y_N: Ints) -> Cosine:
        """Of these members and true class indices."""
        (n, classes), members = p_MNC[0].shape, len(p_MNC)
        product_MM, right_M = np.zeros((members, members)), np.zeros(members)
        block = max(AT_ONCE // (members * classes), 1)
        for start in range(0, n, block):
            rows = slice(start, start + block)
            less_MRC = np.stack([p_NC[rows] for p_NC in p_MNC]).astype(np.float64)
            less_MRC -= less_MRC.mean(axis=2, keepdims=True)
            right_M += np.take_along_axis(less_MRC, y_N[None, rows, None], axis=2).sum(axis=(1, 2))
            flat = less_MRC.reshape(members, -1)
            product_MM += flat @ flat.T
        return Cosine(product_MM / n, right_M / n, np.sqrt(1 - 1 / classes))

    def move(self, changes: Mapping[int, float]) -> None:
        """Change the current blend."""
        self.weight_M = self._with(changes)

    def score(self, changes: Mapping[int, float]) -> float:
        """Of the current blend with these changes."""
        return self.at(self._with(changes))

    def at(self, weight_M: Reals) -> float:
        """Of these weights."""
        square = weight_M @ self.product_MM @ weight_M
        if square <= FLAT * weight_M.sum() ** 2:
            return 0.0
        return float(weight_M @ self.right_M / (self.length * np.sqrt(square)))

    def emptied(self) -> Cosine:
        """The same with an empty blend."""
        return Cosine(self.product_MM, self.right_M, self.length)

    def _with(self, changes: Mapping[int, float]) -> Reals:
        weight_M = self.weight_M.copy()
        for m, weight in changes.items():
            weight_M[m] += weight
        return weight_M


class Tally:
    """The metric's score of a current blend, and of blends that differ from it in a few members.

    Args:
        p_MNC: each member's probabilities, all for the same rows; memory-mapped arrays work as well.
        y_N: true class index, or the truth (N, K) of another kind of target.
        metric: to score; scores are signed, so that more is better.
    """

    def __init__(self, p_MNC: Sequence[Floats], y_N: Truth, metric: Metric) -> None:
        self.p_MNC, self.y_N, self.metric = p_MNC, y_N, metric
        self.exclusive, self.size = y_N.ndim == 1, len(p_MNC)
        # The weight of the current blend: columns that do not sum to 1 are a mean only if divided by it.
        self.weight = 0.0
        self.n_classes = p_MNC[0].shape[1]
        self.total_NC: Floats = np.zeros(p_MNC[0].shape, np.float32)
        self._label_N = np.zeros(len(y_N), np.int64)
        self._lead_N = np.zeros(len(y_N), np.float32)
        self._open: tuple[float, Ints, Ints, Floats] | None = None

    def move(self, changes: Mapping[int, float]) -> None:
        """Change the current blend: add these weights, by member."""
        for m, weight in changes.items():
            self.total_NC += np.float32(weight) * self.p_MNC[m]
        self.weight += sum(changes.values())
        if not self.exclusive:
            return
        self._label_N = most_probable(self.total_NC)
        rest_NC = self.total_NC.copy()
        np.put_along_axis(rest_NC, self._label_N[:, None], -np.inf, axis=1)
        first_N = np.take_along_axis(self.total_NC, self._label_N[:, None], axis=1)[:, 0]
        self._lead_N = first_N - rest_NC.max(axis=1)
        self._open = None

    def score(self, changes: Mapping[int, float]) -> float:
        """The signed score of the current blend with these weights added; negative weights remove votes."""
        if self.metric.on_counts is None or not self.exclusive:
            total_NC = self.total_NC.copy()
            for m, weight in changes.items():
                total_NC += np.float32(weight) * self.p_MNC[m]
            return self._scored(total_NC, self.weight + sum(changes.values()))
        counts = self._counts(np.asarray(self.y_N, np.int64), changes).astype(np.float64)
        if self.metric.on_margins is not None:
            return self.metric.sign * float(self.metric.on_margins(*counts[:, None])[0])
        return self.metric.sign * float(self.metric.on_counts(counts[None])[0])

    def at(self, weight_M: Reals) -> float:
        """The signed score of a blend with these weights."""
        total_NC = np.zeros_like(self.total_NC)
        for weight, p_NC in zip(weight_M, self.p_MNC, strict=True):
            if weight:
                total_NC += np.float32(weight) * p_NC
        return self._scored(total_NC, float(weight_M.sum()))

    def emptied(self) -> Tally:
        """The same with an empty blend."""
        return Tally(self.p_MNC, self.y_N, self.metric)

    def _scored(self, total_NC: Floats, weight: float) -> float:
        if not self.exclusive:
            return self.metric.sign * self.metric.score(self.y_N, total_NC / np.float32(weight))
        # Removed votes leave values below 0 by rounding, which are not probabilities.
        return self.metric.sign * self.metric.score(self.y_N, normalised(np.maximum(total_NC, 0)))

    def _counts(self, y_N: Ints, changes: Mapping[int, float]) -> Ints:
        """What the metric counts: settled rows from the cache, open rows computed."""
        at, settled, near_RC = self._opened(y_N, sum(abs(weight) for weight in changes.values()))
        label_R = np.empty(len(at), np.int64)
        every = len(at) == len(y_N)
        for start in range(0, len(at), BLOCK):
            rows = slice(start, start + BLOCK)
            sums_RC = near_RC[rows].copy()
            for m, weight in changes.items():
                seen_RC = self.p_MNC[m][rows] if every else self.p_MNC[m][at[rows]]
                sums_RC += seen_RC if weight == 1 else np.float32(weight) * seen_RC
            label_R[rows] = most_probable(sums_RC)
        return settled + self._counted(y_N[at], label_R)

    def _counted(self, y_R: Ints, label_R: Ints) -> Ints:
        """(C, C) confusion; or (3, C) right, true and predicted ones where the metric needs no more."""
        if self.metric.on_margins is None:
            return metrics.confusion(y_R, label_R, self.n_classes)
        parts = (label_R[y_R == label_R], y_R, label_R)
        return np.stack([np.bincount(part, minlength=self.n_classes) for part in parts]).astype(np.int64)

    def _opened(self, y_N: Ints, reach: float) -> tuple[Ints, Ints, Floats]:
        """Rows whose label a change of this size may move, the counts of the others, and their sums."""
        if self._open is None or self._open[0] != reach:
            open_N = self._lead_N <= reach + SLACK
            at = np.flatnonzero(open_N)
            counts = self._counted(y_N[~open_N], self._label_N[~open_N])
            self._open = (reach, at, counts, self.total_NC[at])
        return self._open[1:]


# Votes in the bag: weights are multiples of about 1/25. Finer weights only fit noise.
ROUNDS = 25
# A smaller gain is rounding.
TINY = 1e-12


def select(judge: Judge, rounds: int = ROUNDS) -> Reals:
    """(M,) weights, summing to 1, that the judge finds good; its blend is empty at first.

    The bag starts with the best single member; each round adds the member that improves the score most, and
    the bag of the best round is returned, the smallest among equals. Among equally good members, one that is
    in the bag already is preferred, and then the first. Deterministic. `rounds`: votes in the largest bag.
    """
    count_M = np.zeros(judge.size, np.int64)
    best_count_M, best = count_M, -np.inf
    for _ in range(rounds):
        score_M = np.array([judge.score({m: 1.0}) for m in range(judge.size)])
        chosen = _chosen(score_M, count_M)
        judge.move({chosen: 1.0})
        count_M = count_M + (np.arange(judge.size) == chosen)
        if score_M[chosen] > best + TINY:
            best_count_M, best = count_M, score_M[chosen]
    return np.asarray(best_count_M / best_count_M.sum(), dtype=np.float64)


def greedy(
    p_MNC: Sequence[Floats], y_N: Truth, metric: Metric, find: Callable[[Judge], Reals] = select
) -> Reals:
    """(M,) weights that `find` finds, by the metric where it is clearly against those of the cosine."""
    judge = judge_of(p_MNC, y_N, metric)
    found_M = find(judge)
    if isinstance(judge, Tally) or not is_beaten(found_M, p_MNC, y_N, metric):
        return found_M
    return find(Tally(p_MNC, y_N, metric))


def _chosen(score_M: Reals, count_M: Ints) -> int:
    equal_M = score_M >= score_M.max() - TINY
    known_M = equal_M & (count_M > 0)
    return int(np.argmax(known_M if known_M.any() else equal_M))


# (M,) weights ≥ 0, not all 0, of any sum -> loss.
Objective = Callable[[Reals], float]
# (objective, start) -> the best weights found.
Minimise = Callable[[Objective, Reals], Reals]

# Steps by which a weight is changed, as shares of the vote, coarse to fine. Finer steps only fit noise.
STEPS = (0.16, 0.08, 0.04, 0.02)
# Most passes over all members with one step; a pass without a gain ends them earlier.
PASSES = 4


def search(
    p_MNC: Sequence[Floats], y_N: Truth, metric: Metric, start_M: Reals, minimise: Minimise | None = None
) -> Reals:
    """(M,) weights, summing to 1, found by a minimiser (None: `pattern`); never worse here than the start."""
    objective = _loss(p_MNC, y_N, metric)
    found_M = np.maximum((minimise or pattern)(objective, start_M), 0.0)
    kept_M = found_M if found_M.sum() > 0 and objective(found_M) < objective(start_M) - TINY else start_M
    return np.asarray(kept_M / kept_M.sum(), dtype=np.float64)


def pattern(objective: Objective, start_M: Reals) -> Reals:
    """Change one weight at a time, by decreasing steps, while the loss decreases. Deterministic."""
    best_M = start_M / start_M.sum()
    best = objective(best_M)
    for step in STEPS:
        for _ in range(PASSES):
            before = best
            for m in range(len(best_M)):
                for move in (step, -step):
                    trial_M = best_M.copy()
                    trial_M[m] = max(0.0, trial_M[m] + move)
                    if trial_M[m] == best_M[m] or trial_M.sum() <= 0:
                        continue
                    loss = objective(trial_M)
                    if loss < best - TINY:
                        best_M, best = trial_M, loss
                        break
            if best >= before - TINY:
                break
    return np.asarray(best_M, dtype=np.float64)


def _loss(p_MNC: Sequence[Floats], y_N: Truth, metric: Metric) -> Objective:
    """The loss of weights; a change of one weight since an earlier call does not sum all members again."""
    tally = Tally(p_MNC, y_N, metric)
    known_M = np.zeros(len(p_MNC))

    def loss(weight_M: Reals) -> float:
        nonlocal known_M
        changes = {int(m): float(weight_M[m] - known_M[m]) for m in np.flatnonzero(weight_M != known_M)}
        if len(changes) > 1:
            tally.move(changes)
            known_M, changes = weight_M.copy(), {}
        return -tally.score(changes)

    return loss
