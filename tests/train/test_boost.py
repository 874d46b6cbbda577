"""SAMME's formulas by their properties, and against scikit-learn's trees."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from pipeline.train import members


def test_the_vote_is_that_of_the_paper():
    failed = np.array([True, False, False, False])
    even = np.ones(4, np.float32)
    assert members.alpha(failed, even, 3) == pytest.approx(math.log(3) + math.log(2))
    assert members.alpha(failed, 7 * even, 3) == pytest.approx(members.alpha(failed, even, 3))
    heavy = np.array([9, 1, 1, 1], np.float32)
    assert members.alpha(failed, heavy, 2) == 0, "worse than guessing has no vote"
    assert math.isfinite(members.alpha(np.zeros(4, bool), even, 3))


@pytest.mark.parametrize("n_classes", [2, 5])
def test_after_reweighting_the_same_failures_are_as_bad_as_guessing(n_classes):
    """Zhu et al.: the member just added has weighted error (C - 1) / C under the new weights."""
    rng = np.random.default_rng(0)
    failed, weights = rng.random(50) < 0.2, rng.random(50).astype(np.float32)
    vote = members.alpha(failed, weights, n_classes)
    new = members.reweighted(weights, failed, vote, 1.0)
    assert new[failed].sum() / new.sum() == pytest.approx((n_classes - 1) / n_classes, rel=1e-5)
    assert new.mean() == pytest.approx(1, rel=1e-5)
    slow = members.reweighted(weights, failed, vote, 0.5)
    before, after = weights[failed].sum() / weights.sum(), slow[failed].sum() / slow.sum()
    assert before < after < (n_classes - 1) / n_classes
    assert np.allclose(members.reweighted(weights, failed, 0.0, 1.0), weights / weights.mean())


def test_the_chain_is_scikit_learns():
    x, y = load_digits(return_X_y=True)
    ours, weights = [], np.ones(len(y), np.float32)
    for _ in range(4):
        tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y, sample_weight=weights / len(y))
        failed = tree.predict(x) != y
        ours.append(members.alpha(failed, weights, 10))
        weights = members.reweighted(weights, failed, ours[-1], 1.0)
    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=4).fit(x, y)
    np.testing.assert_allclose(ours[0], theirs.estimator_weights_[0], rtol=1e-4)
    np.testing.assert_allclose(ours, theirs.estimator_weights_, rtol=0.15)


def test_shares():
    assert members.vote_shares([1.0, 3.0]) == (0.25, 0.75)
    assert members.vote_shares([0.0, 0.0, 0.0]) == pytest.approx((1 / 3,) * 3)
