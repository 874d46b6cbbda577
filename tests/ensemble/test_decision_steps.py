"""The steps of post-processing: class scales, prior correction, functions of the user's own."""

import time

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.targets import Target
from pipeline.ensemble import decision, priors

MACRO = metrics.get("macro_f1")


# Class scales: exact search, shrunk toward one


def imbalanced(n=1200, seed=0, skill=2.0):
    """Long-tailed classes and probabilities that lean to the large ones."""
    rng = np.random.default_rng(seed)
    prior = np.geomspace(1, 1 / 12, 6)
    prior /= prior.sum()
    y = rng.choice(6, n, p=prior)
    z = rng.normal(size=(n, 6)) + np.log(prior)
    z[np.arange(n), y] += skill
    p = np.exp(z)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), y


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "accuracy", "qwk"])
def test_the_search_along_one_class_is_exact(name):
    p, y = imbalanced(300)
    metric = metrics.get(name)
    for c in range(3):
        start = np.array([0.2, -0.3, 0.0, 0.5, -0.1, 0.0])
        found = decision._best_scale(np.log(p.astype(np.float64)), y, start, c, metric, 0.0)

        def score(value, c=c, start=start, metric=metric):
            moved = start.copy()
            moved[c] = value
            return metric.score(y, decision.apply_scales(p, np.exp(moved)))

        assert score(found) == pytest.approx(max(score(v) for v in decision.CANDIDATES), abs=1e-12)


def test_scales_help_on_other_rows_too_and_never_hurt_on_the_fitted_ones():
    p, y = imbalanced()
    scale = decision.fit_scales(p, y, MACRO, 0.1)
    other, truth = imbalanced(6000, seed=1)
    assert MACRO.score(y, decision.apply_scales(p, scale)) > MACRO.score(y, p) + 0.03
    assert MACRO.score(truth, decision.apply_scales(other, scale)) > MACRO.score(truth, other) + 0.03
    # The probabilities lean to the large classes: the rare ones are raised.
    assert scale[-1] > scale[0]


def test_shrinking_draws_the_scales_to_one():
    p, y = imbalanced(200)
    spread = [np.square(np.log(decision.fit_scales(p, y, MACRO, s))).mean() for s in (0.0, 1.0, 100.0)]
    assert spread[0] > 2 * spread[1] > spread[2] == 0


def test_nothing_to_gain_leaves_every_scale_at_one():
    y = np.arange(60) % 3
    p = np.full((60, 3), 0.1, np.float32)
    p[np.arange(60), y] = 0.8
    assert (decision.fit_scales(p, y, MACRO, 0.0) == 1).all()


def test_a_class_without_rows_and_zero_probabilities_work():
    p, y = imbalanced(300)
    p[:, 5] = 0
    y[y == 5] = 0
    scaled = decision.apply_scales(p, decision.fit_scales(p, y, MACRO, 0.1))
    assert np.isfinite(scaled).all() and np.allclose(scaled.sum(axis=1), 1, atol=1e-5)


def test_thirty_thousand_rows_take_seconds():
    p, y = imbalanced(30_000)
    start = time.process_time()
    decision.fit_scales(p, y, MACRO, 0.1)
    assert time.process_time() - start < 8


# Prior correction: Bayes' rule, and the EM estimate against a known prior

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
    np.testing.assert_allclose(priors.corrected(posterior(x, OLD), OLD, NEW), posterior(x, NEW), atol=1e-6)


def test_the_same_prior_changes_nothing():
    p = posterior(world(NEW, 50)[0], OLD)
    np.testing.assert_allclose(priors.corrected(p, OLD, OLD), p, atol=1e-7)


@pytest.mark.parametrize("new", [NEW, OLD, np.array([0.05, 0.05, 0.9])], ids=["long", "same", "turned"])
def test_em_finds_the_prior_without_labels(new):
    x, _ = world(new)
    np.testing.assert_allclose(priors.estimated_prior(posterior(x, OLD), OLD), new, atol=0.02)


def test_counts_become_shares_and_no_class_is_impossible():
    shares = priors.class_shares(np.array([9, 0, 0]))
    assert shares.sum() == pytest.approx(1) and shares[0] == pytest.approx(9.5 / 10.5) and shares[1] > 0


# Functions of the user's own

SOURCE = """
import numpy as np


def sharpen(p_NC, ids_N, groups_N, classes):
    p_NC **= 2
    return p_NC / p_NC.sum(axis=1, keepdims=True)


def by_group(p_NC, ids_N, groups_N, classes):
    first = groups_N == "g0"
    p_NC[first] = np.eye(len(classes))[list(classes).index("b")]
    return p_NC


def shape(p_NC, *more):
    return p_NC[:, :2]


def logits(p_NC, *more):
    return np.log(p_NC)


def nan(p_NC, *more):
    p_NC[1] = np.nan
    return p_NC


def fails(p_NC, ids_N, groups_N, classes):
    return p_NC / classes
"""


@pytest.fixture
def apply(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    p_NC = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], dtype=np.float32)

    def applied(*names):
        after = p_NC
        for name in names:
            own = decision.load_own(f"mine:{name}")
            after = decision.call_own(
                own, after, np.array(["x", "y"]), np.array(["g0", "g1"]), Target(("a", "b", "c"))
            )
        assert p_NC[0, 0] == np.float32(0.5), "called with copies"
        return after

    return applied


def test_steps_follow_one_another_and_see_ids_groups_and_classes(apply):
    np.testing.assert_allclose(apply("sharpen")[0], [4 / 6, 1 / 6, 1 / 6], atol=1e-6)
    both = apply("by_group", "sharpen")
    np.testing.assert_allclose(both, [[0, 1, 0], [1 / 11, 1 / 11, 9 / 11]], atol=1e-6)
    np.testing.assert_allclose(apply(), [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("shape", r"of shape \(2, 2\)"),
        ("logits", "2 of 2 rows that are not probabilities"),
        ("nan", r"1 of 2 rows .*first: y"),
        ("fails", "failed at mine.py line 30"),
    ],
)
def test_results_that_are_not_probabilities_are_rejected(apply, function, expected):
    with pytest.raises(ConfigError, match=f"decision.steps: mine:{function}.*{expected}"):
        apply(function)
