"""Prior correction: Bayes' rule, and the EM estimate against a known prior."""

import numpy as np
import pytest

from pipeline.ensemble import decision_steps

MEANS = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])


def world(prior, n=20_000, seed=0):
    """Gaussian classes with this prior."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=prior)
    return MEANS[y] + rng.normal(size=(n, 2)), y


def posterior(x, prior):
    """The exact posterior of such a world."""
    log = -0.5 * ((x[:, None] - MEANS) ** 2).sum(axis=2) + np.log(prior)
    p = np.exp(log - log.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


OLD, NEW = np.array([1 / 3, 1 / 3, 1 / 3]), np.array([0.8, 0.15, 0.05])


def test_correction_gives_the_posterior_of_the_new_prior():
    x, _ = world(NEW, 500)
    np.testing.assert_allclose(
        decision_steps.corrected(posterior(x, OLD), OLD, NEW), posterior(x, NEW), atol=1e-6
    )


def test_the_same_prior_changes_nothing():
    p = posterior(world(NEW, 50)[0], OLD)
    np.testing.assert_allclose(decision_steps.corrected(p, OLD, OLD), p, atol=1e-7)


@pytest.mark.parametrize("new", [NEW, OLD, np.array([0.05, 0.05, 0.9])], ids=["long", "same", "turned"])
def test_em_finds_the_prior_without_labels(new):
    x, _ = world(new)
    np.testing.assert_allclose(decision_steps.estimated(posterior(x, OLD), OLD), new, atol=0.02)


def test_counts_become_shares_and_no_class_is_impossible():
    shares = decision_steps.counted(np.array([9, 0, 0]))
    assert shares.sum() == pytest.approx(1) and shares[0] == pytest.approx(9.5 / 10.5) and shares[1] > 0
