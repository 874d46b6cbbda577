"""Voting: the rules by which members vote, joining members by id, and weighing their votes.

Owns the registry of rules, disagreement between members, and a blend without each member. Does not own
finding weights (`core/voting/weights.py`) nor cross-fitting them (`core/voting/fitting.py`).

Every rule is a weighted mean: of probabilities (soft voting), of their logarithms (geometric), of ranks
within a class, or of labels (hard voting). So leaving a member out, or changing its weight, is the same code
for all rules. Labels that hold together vote column by column: their logarithms are log odds, and a vote of
labels is yes or no for each of them. Values have a mean and nothing else.

Shape legend: M members, N samples, C classes or columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError
from pipeline.core.metric_arithmetic import LOG_FLOOR, Reals
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Floats, Kind
from pipeline.core.targets import (
    EXCLUSIVE,
    LABELS,
    SHARES,
    VALUES,
    Target,
    most_probable,
    normalised,
    softmax,
)

# A tie of labels falls to the class with more probability; no other count of labels is changed by it.
TIE_BREAK = 1e-3
# Values that differ by less than this many standard deviations are the same answer.
SAME_VALUE = 0.01

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VotingRule:
    """One way to combine votes.

    Args:
        name: as in the settings.
        prepare: (N, C) probabilities of a member to its votes, float32.
        finish: the weighted mean of the votes, weights summing to 1, to probabilities.
        kinds: of targets for which it makes sense; see `refuse`.
    """

    name: str
    prepare: Callable[[Floats], Floats]
    finish: Callable[[Reals], Floats]
    kinds: tuple[Kind, ...] = (EXCLUSIVE,)

    def suited(self, target: Target) -> VotingRule:
        """The same rule for the columns of this target; exclusive classes and shares are its plain form."""
        if target.rows_sum_to_one or self.name not in COLUMN_VOTES:
            return self
        prepare, finish = COLUMN_VOTES[self.name](target)
        return replace(self, prepare=prepare, finish=finish)

    def refuse(self, target: Target) -> None:
        """Raise a `ConfigError` for a target whose predictions this rule cannot combine."""
        target.require(self.kinds, f"ensemble: voting by {self.name}")


def log_floored(p_NC: Floats) -> Floats:
    """Log p with p at least 1.2e-7, so that one certain member cannot veto all the others."""
    return np.asarray(np.log(np.maximum(p_NC, LOG_FLOOR)), dtype=np.float32)


def _ranks(p_NC: Floats) -> Floats:
    """For each class the share of samples with less probability; ties share their rank."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(p_NC, axis=0) - 0.5) / len(p_NC), dtype=np.float32)


def _labels(p_NC: Floats) -> Floats:
    """1 for the most probable class, plus a small part of the probabilities to break ties."""
    votes = (TIE_BREAK * p_NC).astype(np.float32)
    votes[np.arange(len(p_NC)), most_probable(p_NC)] += 1 - TIE_BREAK
    return votes


RULES: dict[str, VotingRule] = {
    rule.name: rule
    for rule in (
        VotingRule("mean", lambda p_NC: p_NC, normalised, (EXCLUSIVE, LABELS, VALUES, SHARES)),
        VotingRule("geometric", log_floored, softmax, (EXCLUSIVE, LABELS, SHARES)),
        VotingRule("rank", _ranks, normalised, (EXCLUSIVE, LABELS)),
        VotingRule("hard", _labels, normalised, (EXCLUSIVE, LABELS)),
    )
}


def _held(target: Target, p_NK: Floats) -> Floats:
    """1 for each label that holds, plus a small part of the probabilities to break ties."""
    return np.asarray(TIE_BREAK * p_NK + (1 - TIE_BREAK) * target.held(p_NK), dtype=np.float32)


# `prepare` and `finish` of each rule for columns that do not sum to 1.
COLUMN_VOTES: dict[str, Callable[[Target], tuple[Callable[[Floats], Floats], Callable[[Reals], Floats]]]] = {
    "mean": lambda target: (lambda p_NK: p_NK, target.normalised),
    "geometric": lambda target: (target.logits, target.from_logits),
    "rank": lambda target: (_ranks, target.normalised),
    "hard": lambda target: (partial(_held, target), target.normalised),
}


@dataclass(frozen=True)
class Contribution:
    """What one member contributes to a blend.

    Args:
        member: its name.
        without: score of the blend without the member, the other weights scaled up.
        gain: what the member adds, positive is better; negative: the blend is better without it.
    """

    member: str
    without: float
    gain: float


def soft_vote(members: Sequence[Probabilities], weights: Sequence[float] | None, name: str) -> Probabilities:
    """The weighted mean of the members' probabilities; see `combine`."""
    return combine(RULES["mean"], members, weights, name)


def combine(
    rule: VotingRule, members: Sequence[Probabilities], weights: Sequence[float] | None, name: str
) -> Probabilities:
    """The members' vote by a rule, joined by id, with rows that sum to 1.

    Args:
        rule: how votes are combined.
        members: at least one; the result has the id and class order of the first.
        weights: ≥ 0, one for each member, of any sum above 0; None: equal weights.
        name: of the result, for errors and reports.

    Raises:
        ConfigError: not one weight for each member, a negative weight, or all weights are 0; or the rule does
            not make sense for what the members predict.
        DataError: members predict other ids or other classes.
    """
    weight_M = checked(weights, len(members))
    aligned = align(members)
    rule.refuse(aligned[0].target)
    rule = rule.suited(aligned[0].target)
    total_NC = summed([rule.prepare(member.p_NC) for member in aligned], weight_M)
    return replace(aligned[0], p_NC=rule.finish(total_NC), name=name)


def summed(votes_MNC: Sequence[Floats], weight_M: Reals) -> Reals:
    """(N, C) weighted sum of the members' votes; votes with weight 0 are not read."""
    total_NC = np.zeros(votes_MNC[0].shape)
    for weight, vote_NC in zip(weight_M, votes_MNC, strict=True):
        if weight:
            total_NC += weight * vote_NC
    return total_NC


def disagreement(members: Sequence[Probabilities]) -> Reals:
    """(M, M) how much the predictions of two members differ; 0: not at all.

    The share of samples, 0 to 1, on which the most probable classes differ; of labels that hold together the
    share of their answers; of shares half the mean sum of absolute differences, 0 to 1; of values the mean
    absolute difference divided by the standard deviation of the members' mean.

    Raises:
        DataError: members predict other ids or other classes.
    """
    aligned = align(members)
    target = aligned[0].target
    if target.kind == EXCLUSIVE:
        label_MN = np.stack([member.labels() for member in aligned]).astype(np.int16)
        return np.stack([(label_MN != label_N).mean(axis=1) for label_N in label_MN])
    if target.kind == LABELS:
        says = [target.held(member.p_NC).astype(np.float64) for member in aligned]
        unit_K = np.ones(target.n_columns)
    else:
        says = [member.p_NC.astype(np.float64) for member in aligned]
        spread_K = np.mean(says, axis=0).std(axis=0)
        unit_K = np.where(spread_K > 0, spread_K, 1.0)
    if target.kind == SHARES:
        unit_K = np.full(target.n_columns, 2 / target.n_columns)
    return np.array([[float((np.abs(a - b) / unit_K).mean()) for b in says] for a in says])


def differs(one: Probabilities, other: Probabilities) -> Bools:
    """Where the answers of two predictions of the same rows differ.

    (N,) of exclusive classes and of shares: the most probable class; (N, K) of labels; (N, K) of values: by
    more than 1 % of their standard deviation.
    """
    target = one.target
    if target.kind == LABELS:
        return np.asarray(target.held(one.p_NC) != target.held(other.p_NC))
    if target.kind == VALUES:
        return np.asarray(np.abs(one.p_NC - other.p_NC) > SAME_VALUE * one.p_NC.std(axis=0))
    return np.asarray(one.labels() != other.labels())


def without_each(votes_MNC: Sequence[Floats], weight_M: Reals, rule: VotingRule) -> Iterator[Floats]:
    """The blend's (N, C) probabilities without each of at least two members, the other weights scaled up."""
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
        ConfigError: not one weight for each member, a negative weight, or all weights are 0.
    """
    assert n_members > 0, "no members to vote"
    weight_M = np.ones(n_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight_M.shape != (n_members,):
        raise ConfigError(f"ensemble: {weight_M.size} weights for {n_members} members; give one for each")
    if not (np.isfinite(weight_M).all() and (weight_M >= 0).all() and weight_M.sum() > 0):
        raise ConfigError(f"ensemble: weights {weight_M.tolist()} must be finite, ≥ 0 and not all 0")
    return np.asarray(weight_M / weight_M.sum(), dtype=np.float64)
