"""Costs of members together, the best blend under a budget, and the Pareto front."""

import numpy as np
import pytest
from test_search import MACRO, members, parts

from pipeline.core.errors import ConfigError
from pipeline.core.voting import fitting
from pipeline.core.voting.soft_voting import soft_vote
from pipeline.ensemble import cost
from pipeline.ensemble.cost import Cost, Price


def price(ms, **shared):
    return Price(Cost(10.0, ms, ms), {name: Cost(100.0, value, value) for name, value in shared.items()})


def test_shared_costs_count_once():
    a, b, c = price(1, flip=5, plain=4), price(2, plain=4), price(7)
    assert a.alone.ms_64 == 10 and b.alone == Cost(110, 6, 6)
    assert cost.total([a, b, c]) == Cost(230, 19, 19)
    assert cost.total([]) == cost.NOTHING
    # The same pass, timed twice: the better time, in any order.
    twice = [price(1, plain=4), price(2, plain=6)]
    assert cost.total(twice) == cost.total(twice[::-1]) == Cost(120, 7, 7)


def test_the_budget_holds_and_the_best_affordable_pair_is_found():
    # The best single takes all; two cheaper ones together are better than it.
    found, y = members([1.4, 1.3, 1.3, 0.2])
    prices = [price(9), price(5), price(5), price(1)]
    fitted = cost.fit_weights(found, y, MACRO, prices, 10)
    used = [p for p, w in zip(prices, fitted, strict=True) if w > 0]
    assert cost.total(used).ms_64 <= 10 and fitted[1] > 0 and fitted[2] > 0
    score = MACRO.score(y, soft_vote(found, fitted, "b").p_NC)
    assert score >= max(MACRO.score(y, m.p_NC) for m in found)
    rich = cost.fit_weights(found, y, MACRO, prices, 1000)
    assert MACRO.score(y, soft_vote(found, rich, "b").p_NC) >= score
    (only,) = [w for w in cost.fit_weights(found, y, MACRO, prices, 1) if w > 0]
    assert only == 1


def test_a_shared_backbone_allows_more_members():
    found, y = members([1.3, 1.3, 1.3])
    apart = cost.fit_weights(found, y, MACRO, [price(8), price(8), price(8)], 10)
    together = cost.fit_weights(found, y, MACRO, [price(1, lite0=7)] * 3, 10)
    assert sum(w > 0 for w in apart) == 1 and sum(w > 0 for w in together) > 1


@pytest.mark.parametrize("seed", range(8))
def test_of_two_members_that_say_the_same_one_is_paid_for(seed):
    found, y = members([1.3, 0.9], seed=seed)
    weights = cost.fit_weights([found[0], found[0], found[1]], y, MACRO, [price(3)] * 3, 10)
    assert min(weights[:2]) == 0


def test_trees_cost_what_all_members_cost_that_they_read_and_members_beside_them_nothing_more():
    prices = cost.with_trees({"a": price(3, lite0=7), "b": price(2, lite0=6), "c": price(4)})
    assert prices["gbdt"].alone.ms_64 == 3 + 2 + 6 + 4
    assert prices["a"].alone.ms_64 == 10 and prices["b"].alone.ms_64 == 8
    assert cost.total([prices["a"], prices["b"]]).ms_64 == 3 + 2 + 6
    assert cost.total(list(prices.values())).ms_64 == prices["gbdt"].alone.ms_64
    found, y = members([0.4, 0.4, 0.4, 3.0])
    of = [prices[name] for name in ("a", "b", "c", "gbdt")]
    assert cost.fit_weights(found, y, MACRO, of, 14)[3] == 0, "trees of members that do not fit the budget"
    assert cost.fit_weights(found, y, MACRO, of, 16)[3] > 0.5


def test_a_budget_below_every_cost_lists_the_cheapest_member_first():
    found, y = members([1.0, 1.0])
    with pytest.raises(ConfigError, match=r"max_ms=1: every member.*\n.*m1: 2.00 ms\n.*m0: 3.00 ms"):
        cost.fit_weights(found, y, MACRO, [price(3), price(2)], 1)


def test_the_selection_is_cross_fitted():
    found, y = members([0.0] * 6, n=120)
    prices = [price(5)] * 6
    blend, pooled = fitting.cross_fit(
        found, y, parts(found[0].ids_N), MACRO,
        fitting.Recipe(fit=lambda some, labels, metric: cost.fit_weights(some, labels, metric, prices, 10)),
    )  # fmt: skip
    assert sum(w > 0 for w in blend.weights) <= 2
    assert blend.naive > blend.crossfitted + 0.02 and blend.crossfitted == MACRO.score(y, pooled.p_NC)


def test_the_pareto_front():
    ms, quality = [1, 2, 2, 3, 4], [0.5, 0.4, 0.7, 0.7, 0.9]
    assert cost.undominated(ms, quality) == [0, 2, 4]
    assert cost.undominated([1.0], [np.float64(0.1)]) == [0]
