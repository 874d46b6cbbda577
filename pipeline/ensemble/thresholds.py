"""Steps that turn probabilities and values into better answers: thresholds of labels, grades, rounding.

Owns the steps and their fits. Does not own when a step is kept (`ensemble/decision.py`).

Thresholds: a label holds above one half, so a step moves the log odds of a label by those of its threshold;
the order of images, and every metric that only looks at it, stays. First one common threshold is fitted,
which all labels together support; then each label's own one by coordinate ascent, shrunk towards the common
one: the score pays `shrink` times the mean squared distance in log odds. Otherwise a label of few images gets
whatever threshold catches one more of them. Levels of a label are not moved: their most probable one is the
answer. Sources: Lipton, Elkan & Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure
(ECML 2014); Yang, A Study of Thresholding Strategies for Text Categorization (SIGIR 2001).

Cut points: the values between which the answer changes from one grade to the next. A model that was trained
to be near the truth predicts too few of the outer grades, so that the best cut points are not halves. They
are fitted by coordinate ascent, shrunk towards halves. Of ordered classes the value is the expected grade.

Shape legend: N samples, K columns, C classes, G grades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints, Truth
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.ensemble import texts
from pipeline.ensemble.decision import SHOWN_CLASSES, TINY, FittedStep, Rows

# Log odds of the candidate thresholds: from 0.018 to 0.982.
CANDIDATES = np.round(np.linspace(-4, 4, 33), 2)
# Metrics that are a mean over labels of what each label's own column gives.
SEPARABLE = ("macro_f1", "accuracy")
PASSES = 5
# How far a cut point moves from where it is, in grades.
MOVES = np.round(np.linspace(-0.5, 0.5, 21), 2)
# Two cut points are at least this far apart.
APART = 0.05
MOST_GRADES = 100
# How much of a row of ordered classes goes to the grade that the cut points choose; more than one half.
CHOSEN = 0.51
# Values that differ from a whole number by less are that number.
WHOLE = 1e-4

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Thresholds:
    """One threshold for each label."""

    metric: Metric
    shrink: float
    target: Target
    name: str = "thresholds"

    @property
    def off(self) -> str:
        """Why there is nothing to move, or empty."""
        return "" if _alone(self.target).any() else texts.ONLY_LEVELS

    def fit(self, p_NK: Floats, y_NK: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        truth_NK = np.asanyarray(y_NK, np.float32)
        common, shift_K = fit_thresholds(self.target, p_NK, truth_NK, self.metric, self.shrink)
        at_K = _odds_share(shift_K)
        own_K = np.where(_alone(self.target), shift_K - common, 0.0)
        far = [int(k) for k in np.argsort(-np.abs(own_K), kind="stable")[:SHOWN_CLASSES] if own_K[k] != 0]
        own = ", ".join(f"{self.target.columns[k]} {at_K[k]:.2f}" for k in far)
        text = texts.THRESHOLDS.format(common=_odds_share(np.array([common]))[0])
        facts = {"thresholds": dict(zip(self.target.columns, at_K.tolist(), strict=True))}
        return FittedStep(
            lambda p, _: moved(self.target, p, shift_K),
            text + (texts.OWN_THRESHOLDS.format(own=own) if own else ""),
            facts,
        )


def _odds_share(log_odds: Reals) -> Reals:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)


def _alone(target: Target) -> Bools:
    """(K,) which columns are labels by themselves, and not levels of one."""
    alone_K = np.ones(target.n_columns, bool)
    for block in target.blocks:
        alone_K[block] = False
    return alone_K


def moved(target: Target, p_NK: Floats, shift_K: Reals) -> Floats:
    """Probabilities whose thresholds, given as log odds, have become one half; levels stay as they are."""
    out_NK = np.array(p_NK, dtype=np.float32)
    at = np.flatnonzero(shift_K)
    out_NK[:, at] = target.from_logits(target.logits(p_NK).astype(np.float64) - shift_K)[:, at]
    return out_NK


def fit_thresholds(
    target: Target, p_NK: Floats, y_NK: Floats, metric: Metric, shrink: float
) -> tuple[float, Reals]:
    """The log odds of the common threshold, and (K,) of each label's own one; 0 is one half.

    Deterministic: labels in order, and among equals the threshold nearest to the present one.
    """
    alone = np.flatnonzero(_alone(target))
    # The answers as 0 and 1: metrics of answers see nothing else.
    odds_NK, said_NK = target.logits(p_NK), target.held(p_NK).astype(np.float32)
    answered_NK = said_NK.copy()
    shift_K = np.zeros(target.n_columns)

    def all_at(common: float) -> float:
        answered_NK[:, alone] = odds_NK[:, alone] > common
        return metric.sign * metric.score(y_NK, answered_NK)

    common = _best(CANDIDATES, [all_at(float(c)) for c in CANDIDATES], 0.0)
    shift_K[alone] = common
    answered_NK[:, alone] = odds_NK[:, alone] > common
    grid = CANDIDATES if metric.name in SEPARABLE else CANDIDATES[::2]

    def gain(k: int, threshold: float) -> float:
        cost = shrink * (threshold - common) ** 2 / len(alone)
        answered_NK[:, k] = odds_NK[:, k] > threshold
        if metric.name in SEPARABLE:
            own = metric.sign * metric.score(y_NK[:, [k]], answered_NK[:, [k]])
            return own / len(alone) - cost
        return metric.sign * metric.score(y_NK, answered_NK) - cost

    for _ in range(1 if metric.name in SEPARABLE else PASSES):
        before_K = shift_K.copy()
        for k in alone.tolist():
            tried = np.unique(np.r_[grid, shift_K[k], common])
            shift_K[k] = _best(tried, [gain(k, float(t)) for t in tried], float(shift_K[k]))
            answered_NK[:, k] = odds_NK[:, k] > shift_K[k]
        if np.array_equal(before_K, shift_K):
            break
    return common, shift_K


def _best(tried: Reals, gains: Sequence[float], now: float) -> float:
    """The candidate with the largest gain; among equals the nearest to the present one."""
    gain = np.array(gains)
    good = tried[gain >= gain.max() - TINY]
    return float(good[np.argmin(np.abs(good - now))])


@dataclass(frozen=True)
class CutPoints:
    """Values, or ordered classes by their expected grade, to grades."""

    metric: Metric
    shrink: float
    target: Target
    name: str = "cut_points"
    off: str = ""

    def fit(self, p_NK: Floats, y_NK: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        if self.target.kind == EXCLUSIVE:
            return self._of_classes(p_NK, np.asarray(y_NK, np.int64))
        cuts = [self._of_column(p_NK[:, k], y_NK[:, k]) for k in range(p_NK.shape[1])]
        text = "; ".join(
            texts.CUT_POINTS.format(column=name, cuts=_numbers(at))
            for name, (_, at) in zip(self.target.columns, cuts, strict=True)
        )
        by_column = list(zip(self.target.columns, cuts, strict=True))
        facts = {
            "cut_points": {name: at.tolist() for name, (_, at) in by_column},
            "lowest": {name: low for name, (low, _) in by_column},
        }
        return FittedStep(lambda p, _: graded_values(p, cuts), text, facts)

    def _of_column(self, p_N: Floats, y_N: Truth) -> tuple[float, Reals]:
        """The lowest grade and the cut points of one column of values."""
        known = ~np.isnan(y_N)
        if not known.any():  # nothing to fit: the step is no better, so it is not kept for this column
            return 0.0, np.zeros(0)
        p_N, y_N = p_N[known], np.floor(y_N[known] + 0.5)
        low, high = float(y_N.min()), float(y_N.max())

        def score(cut_G: Reals) -> float:
            grade_N = (low + np.searchsorted(cut_G, p_N, side="right")).astype(np.float32)
            return self.metric.sign * self.metric.score(y_N[:, None].astype(np.float32), grade_N[:, None])

        return low, fit_cuts(score, np.arange(low, high) + 0.5, self.shrink)

    def _of_classes(self, p_NC: Floats, y_N: Ints) -> FittedStep:
        n_classes = p_NC.shape[1]
        grade_N = expected_grade(p_NC)

        def score(cut_G: Reals) -> float:
            chosen_N = np.searchsorted(cut_G, grade_N, side="right").astype(np.int64)
            return self.metric.sign * self.metric.score_labels(y_N, chosen_N, n_classes)

        cut_G = fit_cuts(score, np.arange(n_classes - 1) + 0.5, self.shrink)

        text = texts.CUT_POINTS.format(column=texts.EXPECTED_GRADE, cuts=_numbers(cut_G))
        facts = {"cut_points": cut_G.tolist(), "lowest": 0}
        return FittedStep(lambda p, _: graded_classes(p, cut_G), text, facts)


def graded_values(p_NK: Floats, cuts: Sequence[tuple[float, Reals]]) -> Floats:
    """(N, K) the grade of each value; `cuts`: the lowest grade and the cut points of each column."""
    graded = [low + np.searchsorted(at, p_NK[:, k], side="right") for k, (low, at) in enumerate(cuts)]
    return np.asarray(np.stack(graded, axis=1), dtype=np.float32)


def graded_classes(p_NC: Floats, cut_G: Reals) -> Floats:
    """(N, C) probabilities whose most probable class is the grade that the cut points choose."""
    chosen_N = np.searchsorted(cut_G, expected_grade(p_NC), side="right")
    chosen_NC = np.eye(p_NC.shape[1])[chosen_N]
    return np.asarray((1 - CHOSEN) * p_NC.astype(np.float64) + CHOSEN * chosen_NC, dtype=np.float32)


def expected_grade(p_NC: Floats) -> Reals:
    """(N,) the mean class index by probability."""
    return np.asarray(p_NC.astype(np.float64) @ np.arange(p_NC.shape[1]), dtype=np.float64)


def fit_cuts(score: Callable[[Reals], float], start_G: Reals, shrink: float) -> Reals:
    """(G-1,) ascending cut points that score well; at the start where a move gains nothing.

    Args:
        score: of cut points, more is better.
        start_G: where the search begins, and to which cut points are shrunk.
        shrink: what the mean squared distance from the start costs, in units of the score.
    """

    def gain(cut_G: Reals) -> float:
        return score(cut_G) - shrink * float(((cut_G - start_G) ** 2).mean())

    cut_G = start_G.copy()
    best = gain(cut_G) if len(cut_G) else 0.0
    for _ in range(PASSES):
        before = best
        for g in range(len(cut_G)):
            now = float(cut_G[g])
            for candidate in sorted(now + MOVES, key=lambda at: abs(at - now)):
                below = cut_G[g - 1] + APART if g else -np.inf
                above = cut_G[g + 1] - APART if g + 1 < len(cut_G) else np.inf
                if not below <= candidate <= above:
                    continue
                trial_G = cut_G.copy()
                trial_G[g] = candidate
                found = gain(trial_G)
                if found > best + TINY:
                    best, cut_G = found, trial_G
        if best <= before + TINY:
            break
    return cut_G


def _numbers(values: Reals) -> str:
    return " ".join(f"{value:.2f}" for value in values)


@dataclass(frozen=True)
class Clip:
    """Values no smaller and no larger than any that was seen."""

    target: Target
    name: str = "clip"
    off: str = ""

    def fit(self, p_NK: Floats, y_NK: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        known_NK, most = ~np.isnan(y_NK), np.finfo(np.float32).max
        low_K = np.where(known_NK, y_NK, most).min(axis=0).astype(np.float32)
        high_K = np.where(known_NK, y_NK, -most).max(axis=0).astype(np.float32)
        never_K = ~known_NK.any(axis=0)
        low_K[never_K], high_K[never_K] = -most, most
        ranges = zip(self.target.columns, low_K.tolist(), high_K.tolist(), strict=True)
        told = ", ".join(texts.RANGE.format(column=name, low=low, high=high) for name, low, high in ranges)
        facts = {"low": low_K.tolist(), "high": high_K.tolist()}
        return FittedStep(lambda p, _: np.asarray(np.clip(p, low_K, high_K), dtype=np.float32), told, facts)


@dataclass(frozen=True)
class Round:
    """Values to whole numbers."""

    off: str = ""
    name: str = "round"

    def fit(self, p_NK: Floats, y_NK: Truth, rows: Rows) -> FittedStep:
        """See `Step`; nothing is fitted."""
        return FittedStep(lambda p, _: np.asarray(np.floor(p + 0.5), dtype=np.float32), texts.ROUNDED)


def not_whole(truth_NK: Floats, most: int | None = None) -> str:
    """Why these values are no grades or counts, or empty; `most`: how many grades there may be."""
    known = truth_NK[~np.isnan(truth_NK)]
    odd = known[np.abs(known - np.round(known)) > WHOLE]
    if len(odd):
        return texts.NOT_WHOLE.format(value=float(odd[0]))
    span = float(known.max() - known.min()) if len(known) else 0.0
    if most is not None and span > most:
        return texts.TOO_MANY_GRADES.format(span=span, most=most)
    return ""
