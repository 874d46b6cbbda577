"""Every rule of voting passes the same battery; each does what its name says."""

import numpy as np
import pytest
from combine_world import members
from scipy.stats import gmean, rankdata

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities
from pipeline.core.voting import soft_voting
from pipeline.core.voting.soft_voting import RULES

MACRO = metrics.get("macro_f1")


def say(rows, name="m"):
    p = np.array(rows, np.float32)
    return Probabilities(np.array([f"i{n}" for n in range(len(p))]), tuple("abc"[: p.shape[1]]), p, name)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
class TestContract:
    def test_rows_are_probabilities_whatever_the_weights(self, rule):
        found, _ = members([1.0, 0.5, 0.1])
        for weights in (None, (1, 0, 0), (0.2, 3, 1)):
            p_NC = soft_voting.combine(rule, found, weights, "b").p_NC
            assert p_NC.dtype == np.float32 and (p_NC >= 0).all()
            np.testing.assert_allclose(p_NC.sum(axis=1), 1, atol=1e-5)

    def test_certain_members_and_zeros_stay_finite(self, rule):
        p_NC = soft_voting.combine(rule, [say([[1, 0], [0, 1]]), say([[0, 1], [0, 1]])], None, "b").p_NC
        assert np.isfinite(p_NC).all() and p_NC[1].argmax() == 1

    def test_members_are_joined_by_id_and_class_and_their_order_means_nothing(self, rule):
        found, _ = members([1.0, 0.5, 0.1])
        shuffled = np.random.default_rng(0).permutation(len(found[0]))
        turned = found[1].take(found[1].ids_N[shuffled]).with_classes(tuple("dcba"))
        plain = soft_voting.combine(rule, found, (1, 2, 3), "b")
        other = soft_voting.combine(rule, [found[0], found[2], turned], (1, 3, 2), "b")
        np.testing.assert_allclose(plain.p_NC, other.p_NC, atol=1e-6)

    def test_one_member_keeps_its_labels_but_for_ranks(self, rule):
        found, _ = members([1.0])
        labels = soft_voting.combine(rule, found, None, "b").labels()
        assert rule.name == "rank" or np.array_equal(labels, found[0].labels())

    def test_several_are_better_than_each(self, rule):
        found, y = members([0.8] * 7, n=2000)
        blend = MACRO.score(y, soft_voting.combine(rule, found, None, "b").p_NC)
        assert blend > max(MACRO.score(y, m.p_NC) for m in found) + 0.05

    def test_leaving_one_out_equals_the_vote_of_the_others(self, rule):
        found, _ = members([1.0, 0.5, 0.1])
        votes = [rule.prepare(m.p_NC) for m in found]
        left = next(soft_voting.without_each(votes, np.array([1, 2, 3]) / 6, rule))
        by_hand = soft_voting.combine(rule, found[1:], (2, 3), "b").p_NC
        np.testing.assert_allclose(left / left.sum(axis=1, keepdims=True), by_hand, atol=1e-6)


def test_geometric_is_the_geometric_mean():
    a, b = [[0.7, 0.2, 0.1]], [[0.1, 0.6, 0.3]]
    wanted = gmean([a[0], b[0]])
    np.testing.assert_allclose(
        soft_voting.combine(RULES["geometric"], [say(a), say(b)], None, "g").p_NC[0],
        wanted / wanted.sum(),
        atol=1e-6,
    )


def test_geometric_has_a_floor_so_one_member_is_no_veto():
    crowd = [say([[0.4, 0.6]])] * 30
    p_NC = soft_voting.combine(RULES["geometric"], [say([[1, 0]]), *crowd], None, "g").p_NC
    assert p_NC[0, 1] > 0.4


def test_rank_averages_ranks_within_a_class_and_ties_share_theirs():
    a = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    rank_NC = (rankdata(np.array(a, np.float32), axis=0) - 0.5) / 4
    found = soft_voting.combine(RULES["rank"], [say(a)], None, "r").p_NC
    np.testing.assert_allclose(found, rank_NC / rank_NC.sum(axis=1, keepdims=True), atol=1e-6)
    assert np.array_equal(found[0], found[1])


def test_hard_counts_labels_and_breaks_ties_by_probability():
    sure, unsure = [[0.9, 0.1, 0], [0.1, 0.9, 0]], [[0.4, 0.6, 0], [0.55, 0.45, 0]]
    hard = RULES["hard"]
    assert soft_voting.combine(hard, [say(sure), say(unsure), say(unsure)], None, "h").labels().tolist() == [
        1,
        0,
    ]
    assert soft_voting.combine(hard, [say(sure), say(unsure)], None, "h").labels().tolist() == [0, 1]
    p_NC = soft_voting.combine(hard, [say(sure), say(unsure), say(unsure)], None, "h").p_NC
    assert p_NC[0, 1] == pytest.approx(2 / 3, abs=2e-3)
