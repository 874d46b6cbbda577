"""Soft voting joins by id and normalises; disagreement and contributions."""

import numpy as np
import pytest

from pipeline.combine import vote
from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities

ACCURACY = metrics.get("accuracy")


def member(p, ids="xyz", classes=("a", "b"), name="m"):
    return Probabilities(np.array(list(ids)), classes, np.array(p, np.float32), name)


FIRST = member([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
OTHER = member([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]], ids="zxy", name="o")  # x: .3, y: .8, z: .1


def test_equal_votes_are_the_mean_joined_by_id():
    blend = vote.soft_vote([FIRST, OTHER], None, "blend")
    assert blend.ids_N.tolist() == ["x", "y", "z"] and blend.name == "blend"
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.6, 0.7, 0.15], atol=1e-6)


def test_classes_are_joined_by_name():
    turned = member(OTHER.p_NC[:, ::-1], ids="zxy", classes=("b", "a"))
    blend = vote.soft_vote([FIRST, turned], None, "blend")
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.6, 0.7, 0.15], atol=1e-6)


@pytest.mark.parametrize("weights", [(3, 1), (0.75, 0.25), (30, 10)])
def test_weights_of_any_sum(weights):
    blend = vote.soft_vote([FIRST, OTHER], weights, "blend")
    np.testing.assert_allclose(blend.p_NC[:, 0], [0.75, 0.65, 0.175], atol=1e-6)


def test_rows_sum_to_one_though_members_are_off_by_rounding():
    off = member([[0.9995, 0.1], [0.6, 0.4], [0.2, 0.8]] / np.array([[1.0995], [1.0005], [0.9995]]))
    np.testing.assert_allclose(vote.soft_vote([off], None, "b").p_NC.sum(axis=1), 1, atol=1e-6)


def test_one_member_votes_itself():
    np.testing.assert_array_equal(vote.soft_vote([FIRST], None, "b").p_NC, FIRST.p_NC)


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, -1), (0, 0), (1, np.nan)])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        vote.soft_vote([FIRST, OTHER], weights, "b")


def test_other_ids_are_refused():
    with pytest.raises(DataError, match="1 ids missing and 1 extra"):
        vote.soft_vote([FIRST, member(OTHER.p_NC, ids="xyq")], None, "b")


def test_disagreement_is_by_id_symmetric_and_zero_with_itself():
    shares = vote.disagreement([FIRST, OTHER, FIRST])
    np.testing.assert_allclose(shares, [[0, 1 / 3, 0], [1 / 3, 0, 1 / 3], [0, 1 / 3, 0]])


def test_leave_one_out_says_who_helps_and_who_harms():
    y = np.array([0, 0, 1])
    bad = member(1 - FIRST.p_NC, name="bad")
    found = {c.member: c for c in vote.leave_one_out([FIRST, OTHER, bad], (2, 1, 2.5), y, ACCURACY)}
    blend = vote.soft_vote([FIRST, OTHER, bad], (2, 1, 2.5), "b")
    whole = ACCURACY.score(y, blend.p_NC)
    rest = ACCURACY.score(y, vote.soft_vote([FIRST, OTHER], (2, 1), "b").p_NC)
    assert found["bad"].without == rest == 1
    assert found["bad"].gain == whole - rest < 0 < found["m"].gain


def test_leave_one_out_keeps_the_labels_order_when_the_first_is_dropped():
    y = np.array([0, 0, 1])
    found = vote.leave_one_out([member(1 - FIRST.p_NC, name="bad"), OTHER], None, y, ACCURACY)
    by_hand = ACCURACY.score(y, OTHER.take(FIRST.ids_N).p_NC)
    assert found[0].without == by_hand


def test_leave_one_out_gains_are_positive_for_losses_too():
    y = np.array([0, 0, 1])
    found = vote.leave_one_out([FIRST, member(1 - FIRST.p_NC)], None, y, metrics.get("log_loss"))
    assert found[0].gain > 0 > found[1].gain


def test_leave_one_out_when_all_weight_was_on_one_and_of_one():
    y = np.array([0, 0, 1])
    found = vote.leave_one_out([FIRST, OTHER], (1, 0), y, ACCURACY)
    assert found[0].without == ACCURACY.score(y, OTHER.take(FIRST.ids_N).p_NC)
    assert vote.leave_one_out([FIRST], None, y, ACCURACY) == ()
