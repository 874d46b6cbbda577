"""Greedy selection of members with replacement.

Owns the selection. Does not own cross-fitting it (`search.py`) or fast scores (`tally.py`).

Source: Caruana et al., Ensemble Selection from Libraries of Models (ICML 2004).

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, Ints
from pipeline.core.voting.tally import Tally

# Votes in the bag: weights are multiples of about 1/25. Finer ones only fit noise.
ROUNDS = 25
# A gain below this is rounding.
TINY = 1e-12


def select(p_MNC: Sequence[Floats], y_N: Ints, metric: Metric, rounds: int = ROUNDS) -> Reals:
    """(M,) weights, summing to 1, that score well on these rows.

    The bag starts with the best single member; each round adds the member that helps most, and the bag
    of the best round wins, the smallest among equals. Among members that help equally one that is in the
    bag already is taken before a new one, and then the first. Deterministic.

    Args:
        p_MNC: out-of-fold probabilities of each member, all of the same rows.
        y_N: true class index.
        metric: what is to be good.
        rounds: votes in the fullest bag.
    """
    tally = Tally(p_MNC, y_N, metric)
    count_M = np.zeros(len(p_MNC), np.int64)
    best_count_M, best = count_M, -np.inf
    for _ in range(rounds):
        score_M = np.array([tally.score({m: 1.0}) for m in range(len(p_MNC))])
        chosen = _chosen(score_M, count_M)
        tally.move({chosen: 1.0})
        count_M = count_M + (np.arange(len(p_MNC)) == chosen)
        if score_M[chosen] > best + TINY:
            best_count_M, best = count_M, score_M[chosen]
    return np.asarray(best_count_M / best_count_M.sum(), dtype=np.float64)


def _chosen(score_M: Reals, count_M: Ints) -> int:
    equal_M = score_M >= score_M.max() - TINY
    known_M = equal_M & (count_M > 0)
    return int(np.argmax(known_M if known_M.any() else equal_M))
