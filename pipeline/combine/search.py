"""Weights fitted on out-of-fold predictions, and the honest score of doing so.

Owns fitting and cross-fitting. Does not own voting (`vote.py`) or intervals (`core/statistics.py`).

Weights chosen on the rows that then score them look better than they are. So every part of the data
(a fold's validation ids) also gets weights fitted on the other parts only; those predictions, pooled,
give the cross-fitted score, and that is the one to report.

Source: Caruana et al., Ensemble Selection from Libraries of Models (ICML 2004), greedy selection with
replacement.

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from tqdm import tqdm

from pipeline.combine.vote import soft_vote
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Blend, Probabilities, align
from pipeline.core.types import Ints, Strings, positions

Method = Literal["mean", "weighted"]
# (members, true classes, metric) -> a weight a member.
Fit = Callable[[Sequence[Probabilities], Ints, Metric], tuple[float, ...]]

# Votes in the bag: weights are multiples of about 1/25. Finer ones only fit noise.
ROUNDS = 25
# A gain below this is rounding.
TINY = 1e-12

log = logging.getLogger(__name__)


def fit_weights(members: Sequence[Probabilities], y_N: Ints, metric: Metric) -> tuple[float, ...]:
    """Weights that score well on these rows, by greedy selection with replacement.

    The bag starts with the best single member; each round adds the member that helps most, and the
    bag of the best round wins, the smallest among equals. Equal weights win unless the bag is truly
    better. Deterministic: among equals the first member.

    Args:
        members: their out-of-fold probabilities.
        y_N: true class index, in the order of the first member's ids.
        metric: what is to be good.

    Returns:
        One weight a member, ≥ 0, summing to 1.
    """
    p = [member.p_NC for member in align(members)]
    count_M = np.zeros(len(p), np.int64)
    bag_NC = np.zeros_like(p[0])
    best_count_M, best = count_M, -np.inf
    for size in range(1, ROUNDS + 1):
        share = np.float32(1 / size)
        gains = [metric.sign * metric.score(y_N, (bag_NC + p_NC) * share) for p_NC in p]
        chosen = int(np.argmax(gains))
        bag_NC = bag_NC + p[chosen]
        count_M = count_M + (np.arange(len(p)) == chosen)
        if gains[chosen] > best + TINY:
            best_count_M, best = count_M, gains[chosen]
    equal = metric.sign * metric.score(y_N, np.asarray(np.mean(p, axis=0), dtype=np.float32))
    if best <= equal + TINY:
        return _equal(len(p))
    return tuple(float(w) for w in best_count_M / best_count_M.sum())


def cross_fit(
    members: Sequence[Probabilities],
    y_N: Ints,
    parts: Sequence[Strings],
    metric: Metric,
    method: Method = "weighted",
    fit: Fit | None = None,
) -> tuple[Blend, Probabilities]:
    """A blend of all members with its naive and its cross-fitted score.

    Args:
        members: their out-of-fold probabilities.
        y_N: true class index, in the order of the first member's ids.
        parts: disjoint id arrays that together are the members' ids, no group in two of them: the
            folds' validation ids.
        metric: what is scored, and fitted.
        method: "weighted", or "mean": equal weights, nothing fitted.
        fit: what finds weights instead, e.g. under a budget; then `method` is not asked.

    Returns:
        The blend, with weights fitted on all rows, and the pooled predictions, each part with weights
        that never saw it. With one member or a single part nothing can be fitted and held against
        other rows: equal weights.
    """
    aligned = align(members)
    ids_N = aligned[0].ids_N
    assert len(y_N) == len(ids_N), f"{len(y_N)} labels for {len(ids_N)} ids"
    at_parts = [positions(part, ids_N, "out-of-fold predictions") for part in parts if len(part)]
    covered = np.sort(np.concatenate(at_parts)) if at_parts else np.zeros(0, np.int64)
    assert np.array_equal(covered, np.arange(len(ids_N))), "parts must hold every id exactly once"
    names = tuple(member.name for member in aligned)
    fitted = fit is not None or (method == "weighted" and len(aligned) > 1)
    find = fit or fit_weights
    if fitted and fit is None and len(at_parts) < 2:
        log.warning("ensemble: one fold cannot choose weights for another: equal weights")
        fitted = False
    if not fitted:
        votes = soft_vote(aligned, None, "blend")
        score = metric.score(y_N, votes.p_NC)
        return Blend(names, _equal(len(aligned)), score, score), votes
    p_NC = np.zeros_like(aligned[0].p_NC)
    for at in tqdm(at_parts, desc="weights", unit="part", disable=not sys.stderr.isatty()):
        others = np.setdiff1d(np.arange(len(ids_N)), at)
        learning = [member.take(ids_N[others]) for member in aligned]
        weights = find(learning, y_N[others], metric)
        p_NC[at] = soft_vote(aligned, weights, "blend").p_NC[at]
    pooled = Probabilities(ids_N, aligned[0].classes, p_NC, "blend")
    weights = find(aligned, y_N, metric)
    naive = metric.score(y_N, soft_vote(aligned, weights, "blend").p_NC)
    return Blend(names, weights, naive, metric.score(y_N, pooled.p_NC)), pooled


def _equal(n_members: int) -> tuple[float, ...]:
    return (1 / n_members,) * n_members
