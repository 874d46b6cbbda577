"""Soft voting joins by id and normalises; disagreement, and the blend without each."""

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities, align
from pipeline.core.voting import soft_voting

ACCURACY = metrics.get("accuracy")


def member(p, ids="xyz", classes=("a", "b"), name="m"):
    return Probabilities(np.array(list(ids)), classes, np.array(p, np.float32), name)


FIRST = member([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
OTHER = member([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]], ids="zxy", name="o")  # x: .3, y: .8, z: .1


def test_equal_votes_are_the_mean_joined_by_id():
    blend = soft_voting.soft_vote([FIRST, OTHER], None, "blend")
    assert blend.ids_N.tolist() == ["x", "y", "z"] and blend.name == "blend"
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.6, 0.7, 0.15], atol=1e-6)


def test_classes_are_joined_by_name():
    turned = member(OTHER.p_NC[:, ::-1], ids="zxy", classes=("b", "a"))
    blend = soft_voting.soft_vote([FIRST, turned], None, "blend")
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.6, 0.7, 0.15], atol=1e-6)


@pytest.mark.parametrize("weights", [(3, 1), (0.75, 0.25), (30, 10)])
def test_weights_of_any_sum(weights):
    blend = soft_voting.soft_vote([FIRST, OTHER], weights, "blend")
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.75, 0.65, 0.175], atol=1e-6)


def test_rows_sum_to_one_though_members_are_off_by_rounding():
    off = member([[0.9995, 0.1], [0.6, 0.4], [0.2, 0.8]] / np.array([[1.0995], [1.0005], [0.9995]]))
    np.testing.assert_allclose(soft_voting.soft_vote([off], None, "b").p_NC.sum(axis=1), 1, atol=1e-6)


def test_one_member_votes_itself():
    np.testing.assert_array_equal(soft_voting.soft_vote([FIRST], None, "b").p_NC, FIRST.p_NC)


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, -1), (0, 0), (1, np.nan)])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        soft_voting.soft_vote([FIRST, OTHER], weights, "b")


def test_other_ids_are_refused():
    with pytest.raises(DataError, match="1 id missing and 1 extra"):
        soft_voting.soft_vote([FIRST, member(OTHER.p_NC, ids="xyq")], None, "b")


def test_disagreement_is_by_id_symmetric_and_zero_with_itself():
    shares = soft_voting.disagreement([FIRST, OTHER, FIRST])
    np.testing.assert_allclose(shares, [[0, 1 / 3, 0], [1 / 3, 0, 1 / 3], [0, 1 / 3, 0]])


def without(members, weights):
    aligned = align(members)
    rule = soft_voting.RULES["mean"]
    votes = [rule.prepare(m.p_NC) for m in aligned]
    return list(soft_voting.without_each(votes, soft_voting.checked(weights, len(votes)), rule))


def test_without_each_is_the_blend_of_the_others():
    bad = member(1 - FIRST.p_NC, name="bad")
    found = without([FIRST, OTHER, bad], (2, 1, 2.5))
    others = [([OTHER, bad], (1, 2.5)), ([FIRST, bad], (2, 2.5)), ([FIRST, OTHER], (2, 1))]
    for p_NC, (rest, weights) in zip(found, others, strict=True):
        by_hand = soft_voting.soft_vote(rest, weights, "b").take(FIRST.ids_N).p_NC
        np.testing.assert_allclose(p_NC, by_hand, atol=1e-6)
    assert ACCURACY.score(np.array([0, 0, 1]), found[2]) == 1


def test_without_the_one_that_had_all_weight_the_others_vote_equally():
    np.testing.assert_allclose(without([FIRST, OTHER], (1, 0))[0], OTHER.take(FIRST.ids_N).p_NC, atol=1e-6)
