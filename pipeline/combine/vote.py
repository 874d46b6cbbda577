"""Soft voting, and how much its members agree and contribute.

Owns averaging with given weights. Does not own finding weights (`search.py`).

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.formulas import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities, align
from pipeline.core.types import Ints


@dataclass(frozen=True)
class Contribution:
    """What a blend owes to one member.

    Args:
        member: its name.
        without: the blend's score without it, the other weights scaled up.
        gain: what it adds, in the metric's good direction; negative: the blend is better without it.
    """

    member: str
    without: float
    gain: float


def soft_vote(members: Sequence[Probabilities], weights: Sequence[float] | None, name: str) -> Probabilities:
    """The weighted mean of the members' probabilities, joined by id, with rows that sum to 1.

    Args:
        members: at least one; the result has the id and class order of the first.
        weights: ≥ 0, one a member, of any sum above 0; None: equal weights.
        name: what errors and reports call the result.

    Raises:
        ConfigError: as many weights as members are needed, none negative, not all 0.
        DataError: members predict other ids or other classes.
    """
    weight_M = _checked(weights, len(members))
    aligned = align(members)
    p_NC = np.zeros(aligned[0].p_NC.shape)
    for weight, member in zip(weight_M, aligned, strict=True):
        p_NC += weight * member.p_NC
    p_NC /= p_NC.sum(axis=1, keepdims=True)
    return Probabilities(aligned[0].ids_N, aligned[0].classes, p_NC.astype(np.float32), name)


def disagreement(members: Sequence[Probabilities]) -> Reals:
    """(M, M) share of samples, 0 to 1, on which two members' labels differ.

    Raises:
        DataError: members predict other ids or other classes.
    """
    label_MN = np.stack([member.labels() for member in align(members)])
    return np.stack([(label_MN != label_N).mean(axis=1) for label_N in label_MN])


def leave_one_out(
    members: Sequence[Probabilities], weights: Sequence[float] | None, y_N: Ints, metric: Metric
) -> tuple[Contribution, ...]:
    """What the blend loses without each member in turn; nothing for a blend of one.

    Weights are not fitted anew. Where all the weight was on the member left out, the others vote
    equally.

    Args:
        members: their out-of-fold probabilities.
        weights: as for `soft_vote`.
        y_N: true class index, in the order of the first member's ids.
        metric: what is scored.
    """
    weight_M = _checked(weights, len(members))
    # Aligned once here, or dropping the first member would change the order of ids under y_N.
    aligned = align(members)
    if len(members) < 2:
        return ()
    whole = metric.score(y_N, soft_vote(aligned, weight_M.tolist(), "blend").p_NC)
    contributions = []
    for m, member in enumerate(aligned):
        rest = [*aligned[:m], *aligned[m + 1 :]]
        kept = np.delete(weight_M, m)
        votes = soft_vote(rest, kept.tolist() if kept.sum() > 0 else None, f"without {member.name}")
        without = metric.score(y_N, votes.p_NC)
        contributions.append(Contribution(member.name, without, metric.sign * (whole - without)))
    return tuple(contributions)


def _checked(weights: Sequence[float] | None, n_members: int) -> Reals:
    """(M,) weights that sum to 1."""
    assert n_members > 0, "no members to vote"
    weight_M = np.ones(n_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight_M.shape != (n_members,):
        raise ConfigError(f"ensemble: {weight_M.size} weights for {n_members} members")
    if not (np.isfinite(weight_M).all() and (weight_M >= 0).all() and weight_M.sum() > 0):
        raise ConfigError(f"ensemble: weights {weight_M.tolist()} must be ≥ 0 and not all 0")
    return np.asarray(weight_M / weight_M.sum(), dtype=np.float64)
