"""Voting with given weights, and how much members agree and contribute.

Owns joining members by id and weighing what they put in. Does not own the rules (`rules.py`) nor finding
weights (`search.py`).

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.formulas import Reals
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Floats
from pipeline.core.voting.rules import RULES, Rule


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
    """The weighted mean of the members' probabilities; see `combine`."""
    return combine(RULES["mean"], members, weights, name)


def combine(
    rule: Rule, members: Sequence[Probabilities], weights: Sequence[float] | None, name: str
) -> Probabilities:
    """The members' vote by a rule, joined by id, with rows that sum to 1.

    Args:
        rule: how they vote.
        members: at least one; the result has the id and class order of the first.
        weights: ≥ 0, one a member, of any sum above 0; None: equal weights.
        name: what errors and reports call the result.

    Raises:
        ConfigError: as many weights as members are needed, none negative, not all 0.
        DataError: members predict other ids or other classes.
    """
    weight_M = checked(weights, len(members))
    aligned = align(members)
    total_NC = summed([rule.prepare(member.p_NC) for member in aligned], weight_M)
    return Probabilities(aligned[0].ids_N, aligned[0].classes, rule.finish(total_NC), name)


def summed(votes_MNC: Sequence[Floats], weight_M: Reals) -> Reals:
    """(N, C) sum of the members' votes, each times its weight; those of weight 0 are not read."""
    total_NC = np.zeros(votes_MNC[0].shape)
    for weight, vote_NC in zip(weight_M, votes_MNC, strict=True):
        if weight:
            total_NC += weight * vote_NC
    return total_NC


def disagreement(members: Sequence[Probabilities]) -> Reals:
    """(M, M) share of samples, 0 to 1, on which two members' labels differ.

    Raises:
        DataError: members predict other ids or other classes.
    """
    label_MN = np.stack([member.labels() for member in align(members)]).astype(np.int16)
    return np.stack([(label_MN != label_N).mean(axis=1) for label_N in label_MN])


def without_each(votes_MNC: Sequence[Floats], weight_M: Reals, rule: Rule) -> Iterator[Floats]:
    """The blend's (N, C) probabilities without each member in turn, the other weights scaled up.

    Args:
        votes_MNC: what each of at least two members puts in.
        weight_M: summing to 1.
        rule: how they vote.
    """
    total_NC = summed(votes_MNC, weight_M)
    for m, (weight, vote_NC) in enumerate(zip(weight_M, votes_MNC, strict=True)):
        rest = 1 - weight
        if rest > 1e-9:  # below, rounding would be scaled up to votes
            yield rule.finish((total_NC - weight * vote_NC) / rest)
        else:
            others_M = (np.arange(len(weight_M)) != m) / (len(weight_M) - 1)
            yield rule.finish(summed(votes_MNC, others_M))


def checked(weights: Sequence[float] | None, n_members: int) -> Reals:
    """(M,) weights that sum to 1; None: equal ones.

    Raises:
        ConfigError: not one a member, a negative one, or all 0.
    """
    assert n_members > 0, "no members to vote"
    weight_M = np.ones(n_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight_M.shape != (n_members,):
        raise ConfigError(f"ensemble: {weight_M.size} weights for {n_members} members")
    if not (np.isfinite(weight_M).all() and (weight_M >= 0).all() and weight_M.sum() > 0):
        raise ConfigError(f"ensemble: weights {weight_M.tolist()} must be ≥ 0 and not all 0")
    return np.asarray(weight_M / weight_M.sum(), dtype=np.float64)
