"""Weights by search: any minimiser over the weights of members, and the one that is used by default.

Owns the objective and the pattern search. Does not own cross-fitting (`search.py`) or fast scores
(`tally.py`). Another minimiser, such as a study of Optuna, is passed as a callable: it asks for losses
of weights and returns the weights that it liked best.

Source: Hooke & Jeeves, Direct Search Solution of Numerical and Statistical Problems (JACM 1961).

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints
from pipeline.core.voting.greedy import TINY
from pipeline.core.voting.tally import Tally

# (M,) weights ≥ 0, not all 0, of any sum, to a loss.
Objective = Callable[[Reals], float]
# An objective and where to start to the best weights found.
Minimise = Callable[[Objective, Reals], Reals]

# Shares of the vote that a weight is moved by, coarse to fine. Finer ones only fit noise.
STEPS = (0.16, 0.08, 0.04, 0.02)
# Passes over all members at one step; a pass without a gain ends it earlier.
PASSES = 4


def search(
    p_MNC: Sequence[Floats], y_N: Ints, metric: Metric, start_M: Reals, minimise: Minimise | None = None
) -> Reals:
    """(M,) weights, summing to 1, found by a minimiser; never worse on these rows than where it started.

    Args:
        p_MNC: out-of-fold probabilities of each member, all of the same rows.
        y_N: true class index.
        metric: what is to be good.
        start_M: weights to begin with.
        minimise: who searches; None: `pattern`.
    """
    objective = _loss(p_MNC, y_N, metric)
    found_M = np.maximum((minimise or pattern)(objective, start_M), 0.0)
    kept_M = found_M if found_M.sum() > 0 and objective(found_M) < objective(start_M) - TINY else start_M
    return np.asarray(kept_M / kept_M.sum(), dtype=np.float64)


def pattern(objective: Objective, start_M: Reals) -> Reals:
    """Move one weight at a time, up or down by ever smaller steps, as long as it helps. Deterministic."""
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


def _loss(p_MNC: Sequence[Floats], y_N: Ints, metric: Metric) -> Objective:
    """The loss of weights; near the weights of an earlier call only what differs is summed."""
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
