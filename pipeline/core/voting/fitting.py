"""Fitting a blend on out-of-fold predictions, and its cross-fitted score.

Owns the methods by name, fitting one of them, and cross-fitting. Does not own the arithmetic of each
(`core/voting/soft_voting.py`, `weights.py`, `stacking.py`) nor intervals (`core/statistics.py`).

Weights that are scored on the rows that chose them look better than they are. So every part of the data (a
fold's validation part) is also predicted by a blend that was fitted on the other parts only, temperatures
included. Those predictions, pooled, give the cross-fitted score, which is the one to report.

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Floats, Strings, Truth, positions
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES, Target
from pipeline.core.terminal import bar_of
from pipeline.core.voting import soft_voting, stacking
from pipeline.core.voting import weights as searches
from pipeline.core.voting.soft_voting import RULES, VotingRule

Method = Literal["mean", "weighted", "geometric", "rank", "hard", "greedy", "search", "stacking"]
# (members, truth, metric) -> one weight for each member.
Fit = Callable[[Sequence[Probabilities], Truth, Metric], tuple[float, ...]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How members are combined.

    Args:
        method: mean, geometric, rank and hard: a rule of `soft_voting.py`; weighted: soft voting with
            `weights`, or with greedy ones; greedy, search: soft voting with fitted weights; stacking.
        temperature: whether to fit one temperature per member first.
        weights: one for each member, for methods that fit none; None: equal weights.
        c: of stacking: inverse strength of the penalty.
        minimise: the minimiser of method search.
        fit: finds the weights of soft voting instead, e.g. under a budget; `method` is then ignored.
    """

    method: Method = "weighted"
    temperature: bool = False
    weights: tuple[float, ...] | None = None
    c: float = 0.01
    minimise: searches.Minimise | None = field(default=None, repr=False)
    fit: Fit | None = field(default=None, repr=False)

    @property
    def finds_weights(self) -> bool:
        """Whether weights are learned from labels."""
        learns = self.fit is not None or self.method in ("greedy", "search", "stacking")
        return learns or (self.method == "weighted" and self.weights is None)

    def fits(self, n_members: int) -> bool:
        """Whether anything is learned from labels, so that the naive and the cross-fitted score differ."""
        # A `fit` of its own may reject even a single member.
        alone = self.method == "stacking" or self.fit is not None
        return self.temperature or alone or (self.finds_weights and n_members > 1)


@dataclass(frozen=True)
class Fitted:
    """A fitted blend.

    Args:
        weights: one for each member, ≥ 0, summing to 1; for stacking, each member's share of the
            coefficients.
        rule: how votes are combined.
        temperatures: one for each member; 1 where none was fitted.
        stack: the fitted model of stacking; else None.
    """

    weights: tuple[float, ...]
    rule: VotingRule
    temperatures: tuple[float, ...]
    stack: stacking.Stack | None = None

    def votes(self, members: Sequence[Probabilities]) -> list[Floats]:
        """The votes of each member.

        Raises:
            DataError: members predict other ids or other classes.
        """
        at_MNC = _heated(align(members), self.temperatures)
        if self.stack is not None:
            return self.stack.votes(at_MNC)
        return [self.rule.prepare(p_NC) for p_NC in at_MNC]

    @property
    def weight_M(self) -> Reals:
        """(M,) weights of `votes`, summing to 1."""
        equal = self.stack is not None
        return soft_voting.checked(None if equal else self.weights, len(self.weights))

    def apply(self, members: Sequence[Probabilities], name: str) -> Probabilities:
        """The blend of the members' probabilities, for any images.

        Args:
            members: in the order in which they were fitted; the result has the ids and classes of the first.
            name: of the result.

        Raises:
            DataError: members predict other ids or other classes.
        """
        self.rule.refuse(members[0].target)  # a file of another kind was given in place of a member
        total_NC = soft_voting.summed(self.votes(members), self.weight_M)
        return replace(members[0], p_NC=self.rule.finish(total_NC), name=name)

    def without_each(self, members: Sequence[Probabilities]) -> list[Floats]:
        """(N, C) the blend without each member in turn, not refitted; it has at least two members."""
        return list(soft_voting.without_each(self.votes(members), self.weight_M, self.rule))


@dataclass(frozen=True)
class FittedBlend:
    """A blend with its two scores, and the fitted model for other images.

    Args:
        members: names, in the order of `weights`.
        weights: ≥ 0, summing to 1.
        naive: score of these weights on the very predictions that chose them.
        crossfitted: score with the weights of each part chosen on the other parts; equals `naive` when
            nothing was fitted.
    """

    members: tuple[str, ...]
    weights: tuple[float, ...]
    naive: float
    crossfitted: float
    fitted: Fitted


def fit_weights(members: Sequence[Probabilities], y_N: Truth, metric: Metric) -> tuple[float, ...]:
    """One weight a member, ≥ 0, summing to 1, by greedy selection on out-of-fold probabilities.

    Judged as `core/voting/weights.py` says. Equal weights are kept unless the selection is better by more
    than rounding. `y_N` is in the order of the first member's ids.
    """
    return _floats(searches.greedy([m.p_NC for m in align(members)], y_N, metric, _selected))


def cross_fit(
    members: Sequence[Probabilities],
    y_N: Truth,
    parts: Sequence[Strings],
    metric: Metric,
    method: Method | Recipe = "weighted",
) -> tuple[FittedBlend, Probabilities]:
    """A blend of all members with its naive and its cross-fitted score.

    Args:
        members: their out-of-fold probabilities.
        y_N: true class index, or the truth (N, K), in the order of the first member's ids.
        parts: disjoint id arrays that together are the members' ids, no group in two of them: the
            folds' validation ids.
        metric: to score, and to optimise as `core/voting/weights.py` says.
        method: how to combine; a name: without temperatures and with its own weights.

    Returns:
        The blend, fitted on all rows, and the pooled predictions, each part by a blend that was fitted
        without it. With a single part nothing can be tested on other rows, so weights are equal.

    Raises:
        ConfigError: the recipe's own `fit` finds no weights, or has a single part to find them on.
    """
    recipe = method if isinstance(method, Recipe) else Recipe(method)
    aligned = align(members)
    ids_N = aligned[0].ids_N
    assert len(y_N) == len(ids_N), f"{len(y_N)} labels for {len(ids_N)} ids"
    at_parts = [positions(part, ids_N, "out-of-fold predictions") for part in parts if len(part)]
    covered = np.sort(np.concatenate(at_parts)) if at_parts else np.zeros(0, np.int64)
    assert np.array_equal(covered, np.arange(len(ids_N))), "parts must hold every id exactly once"
    if recipe.fit is not None and len(at_parts) < 2:
        raise ConfigError(
            "ensemble: weights under ensemble.max_ms are cross-fitted, which needs at least two folds",
            remedy="train and infer more folds, or remove ensemble.max_ms",
        )
    if recipe.fits(len(aligned)) and len(at_parts) < 2:
        log.warning(
            _("ensemble: weights are cross-fitted, which needs at least two folds; nothing is fitted")
        )
        recipe = Recipe("mean" if recipe.finds_weights else recipe.method, weights=recipe.weights)
    fitted = fit(recipe, aligned, y_N, metric)
    whole = fitted.apply(aligned, "blend")
    naive = metric.score(y_N, whole.p_NC)
    names = tuple(member.name for member in aligned)
    if not recipe.fits(len(aligned)):
        return FittedBlend(names, fitted.weights, naive, naive, fitted), whole
    p_NC = np.zeros_like(aligned[0].p_NC)
    for at in bar_of("weights", "part", at_parts):
        others = np.setdiff1d(np.arange(len(ids_N)), at)
        learned = fit(recipe, [member.take(ids_N[others]) for member in aligned], y_N[others], metric)
        p_NC[at] = learned.apply([member.take(ids_N[at]) for member in aligned], "part").p_NC
    pooled = replace(whole, p_NC=p_NC)
    crossfitted = metric.score(y_N, pooled.p_NC)
    return FittedBlend(names, fitted.weights, naive, crossfitted, fitted), pooled


def fit(recipe: Recipe, members: Sequence[Probabilities], y_N: Truth, metric: Metric) -> Fitted:
    """Fit a recipe on out-of-fold probabilities; `y_N` is in the order of the first member's ids.

    Raises:
        ConfigError: not one weight for each member.
        DataError: members predict other ids or other classes.
    """
    members = align(members)
    metric.refuse(members[0].target)
    target = members[0].target
    if recipe.temperature:
        target.require((EXCLUSIVE, LABELS, SHARES), "ensemble.temperature")
    heat = tuple(
        stacking.fit_temperature(m.p_NC, y_N, target) if recipe.temperature else 1.0 for m in members
    )
    p_MNC = _heated(members, heat)
    mean = RULES["mean"].suited(target)
    if recipe.fit is not None:
        heated = [replace(m, p_NC=p_NC) for m, p_NC in zip(members, p_MNC, strict=True)]
        return Fitted(recipe.fit(heated, y_N, metric), mean, heat)
    if not recipe.finds_weights:
        weight_M = soft_voting.checked(recipe.weights, len(p_MNC))
        rule = RULES.get(recipe.method, mean)
        rule.refuse(target)
        return Fitted(_floats(weight_M), rule.suited(target), heat)
    if recipe.method == "stacking":
        stack = stacking.fit(p_MNC, y_N, recipe.c, target)
        finish = partial(_stacked, target, stack.bias_C)
        rule = VotingRule("stacking", mean.prepare, finish, mean.kinds)
        return Fitted(_floats(stack.shares_M), rule, heat, stack)
    if len(p_MNC) == 1:
        return Fitted((1.0,), mean, heat)
    weight_M = searches.greedy(p_MNC, y_N, metric, _selected)
    if recipe.method == "search":
        tally = searches.Tally(p_MNC, y_N, metric)
        start_M = max(weight_M, _selected(tally.emptied()), key=tally.at)
        weight_M = searches.search(p_MNC, y_N, metric, start_M, recipe.minimise)
    return Fitted(_floats(weight_M), mean, heat)


def _stacked(target: Target, bias_C: Reals, total_NC: Reals) -> Floats:
    return target.from_logits(total_NC + bias_C)


def _heated(members: Sequence[Probabilities], heat: Sequence[float]) -> list[Floats]:
    return [stacking.apply_temperature(m.p_NC, t, m.target) for m, t in zip(members, heat, strict=True)]


def _selected(judge: searches.Judge) -> Reals:
    """Greedy weights, or equal ones where these are as good."""
    weight_M, equal_M = searches.select(judge), soft_voting.checked(None, judge.size)
    return weight_M if judge.at(weight_M) > judge.at(equal_M) + searches.TINY else equal_M


def _floats(weight_M: Reals) -> tuple[float, ...]:
    return tuple(weight_M.tolist())
