"""Class scales: exact search, shrunk toward one."""

import time

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.ensemble import decision_steps

MACRO = metrics.get("macro_f1")


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
        found = decision_steps._best(np.log(p.astype(np.float64)), y, start, c, metric, 0.0)

        def score(value, c=c, start=start, metric=metric):
            moved = start.copy()
            moved[c] = value
            return metric.score(y, decision_steps.apply(p, np.exp(moved)))

        assert score(found) == pytest.approx(max(score(v) for v in decision_steps.CANDIDATES), abs=1e-12)


def test_it_helps_on_other_rows_too_and_never_hurts_those_it_saw():
    p, y = imbalanced()
    scale = decision_steps.fit(p, y, MACRO, 0.1)
    other, truth = imbalanced(6000, seed=1)
    assert MACRO.score(y, decision_steps.apply(p, scale)) > MACRO.score(y, p) + 0.03
    assert MACRO.score(truth, decision_steps.apply(other, scale)) > MACRO.score(truth, other) + 0.03
    # The probabilities lean to the large classes: the rare ones are raised.
    assert scale[-1] > scale[0]


def test_shrinking_draws_the_scales_to_one():
    p, y = imbalanced(200)
    spread = [np.square(np.log(decision_steps.fit(p, y, MACRO, s))).mean() for s in (0.0, 1.0, 100.0)]
    assert spread[0] > 2 * spread[1] > spread[2] == 0


def test_nothing_to_gain_leaves_every_scale_at_one():
    y = np.arange(60) % 3
    p = np.full((60, 3), 0.1, np.float32)
    p[np.arange(60), y] = 0.8
    assert (decision_steps.fit(p, y, MACRO, 0.0) == 1).all()


def test_a_class_that_nobody_has_and_certain_zeros_are_no_trouble():
    p, y = imbalanced(300)
    p[:, 5] = 0
    y[y == 5] = 0
    scaled = decision_steps.apply(p, decision_steps.fit(p, y, MACRO, 0.1))
    assert np.isfinite(scaled).all() and np.allclose(scaled.sum(axis=1), 1, atol=1e-5)


def test_thirty_thousand_rows_take_seconds():
    p, y = imbalanced(30_000)
    start = time.process_time()
    decision_steps.fit(p, y, MACRO, 0.1)
    assert time.process_time() - start < 8
