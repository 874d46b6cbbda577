"""The new class by a threshold: where it is inserted, how it is fitted, and that it holds on other images."""

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target
from pipeline.ensemble import decision, new_class
from pipeline.ensemble.new_class import NewClass, Reduced, apply, candidates, fit_threshold

KNOWN = 60
NEW = 7  # not the last column, and not the first
SPACE = LabelSpace.product([Attribute("whale", tuple(f"w{n}" for n in range(KNOWN + 1)))])
SCORED = ("map@5", "map@3", "top3", "gap", "accuracy", "macro_f1", "balanced_accuracy", "log_loss")


def draws(n=400, seed=0, own=0.0):
    """A model that is surer of known images than of those of the new class, which are 30 %."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, KNOWN + 1, n)
    y = np.where(rng.random(n) < 0.3, NEW, np.where(y == NEW, 0, y))
    logits = rng.normal(size=(n, KNOWN + 1))
    logits[np.arange(n), y] += np.where(y == NEW, own, 3.5)
    logits[:, NEW] += 0 if own else -30
    p = np.exp(1.5 * logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32), y


def labelled(p, y, parts=5):
    ids = np.array([f"{i:05d}" for i in range(len(p))])
    at = tuple(np.arange(len(p))[k::parts] for k in range(parts))
    oof = Probabilities.of(Target.of(SPACE), ids, p, "oof")
    return decision.Labelled(oof, y, decision.Rows(ids, ids, np.arange(len(p))), at)


def test_it_is_the_answer_where_no_known_class_reaches_the_threshold():
    p = np.array([[0.6, 0.0, 0.4], [0.3, 0.35, 0.35], [0.45, 0.5, 0.05]], np.float32)
    for own, wins in ((False, [False, True, False]), (True, [False, True, True])):
        decided = apply(p, 1, 0.4, own)
        assert ((decided.argmax(1) == 1) == wins).all()
        np.testing.assert_allclose(decided.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(apply(p, 1, 0.0, True), p, atol=1e-6)


def test_among_several_answers_it_stands_where_the_threshold_ranks():
    p = np.array([[0.5, 0.0, 0.3, 0.15, 0.05]], np.float32)
    order = np.argsort(-apply(p, 1, 0.2, False), axis=1)[0]
    assert order.tolist() == [0, 2, 1, 3, 4]


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("own", [True, False])
def test_the_score_of_reduced_rows_is_that_of_whole_rows(name, own):
    p, y = draws(own=1.0)
    metric = metrics.get(name)
    reduced = Reduced.of(p, y, NEW, metric)
    assert reduced.p_NM.shape[1] < p.shape[1]
    # Between the probabilities of the rows: at equal ones the order of columns decides.
    for threshold in [*(np.array(candidates(p, NEW, 9)) + 1e-4).tolist(), 0.0]:
        whole = metric.score(y, apply(p, NEW, threshold, own))
        assert reduced.score(metric, threshold, own) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("name", SCORED)
def test_no_tried_threshold_is_better_than_the_fitted_one(name):
    p, y = draws()
    metric = metrics.get(name)
    threshold, own = fit_threshold(p, y, NEW, metric)
    best = metric.sign * metric.score(y, apply(p, NEW, threshold, own))
    tried = [metric.sign * metric.score(y, apply(p, NEW, t, own)) for t in candidates(p, NEW, 100)]
    assert best >= max(tried) - 1e-6


@pytest.mark.parametrize("name", ["map@5", "accuracy", "macro_f1"])
def test_the_step_is_kept_where_it_helps_and_helps_on_other_images_too(name):
    metric = metrics.get(name)
    (p, y), (other, truth) = draws(900), draws(3000, seed=1)
    judge = decision.Criterion(metric, 100, 0, "better")
    test = labelled(other, truth)
    found = decision.decide([NewClass(metric, NEW, "w7")], labelled(p, y), test.oof, test.rows, judge)
    assert found.adopted == ("new_class",)
    assert metric.score(truth, found.test.p_NC) > metric.score(truth, other) + 0.1
    facts = found.tried[0].facts
    assert facts["class"] == "w7" and 0 < facts["threshold"] < 1
    assert "`w7` where no known class is more probable than" in found.tried[0].text


def test_it_is_left_out_where_no_image_is_of_the_new_class():
    metric = metrics.get("map@5")
    p, y = draws(600)
    p, y = p[y != NEW], y[y != NEW]
    some = labelled(p, y)
    judge = decision.Criterion(metric, 100, 0, "better")
    found = decision.decide([NewClass(metric, NEW, "w7")], some, some.oof, some.rows, judge)
    assert not found.adopted and found.tried[0].facts["threshold"] == 0.0
    np.testing.assert_array_equal(found.test.p_NC, p)


def test_a_model_that_knows_the_new_class_keeps_its_own_word():
    p, y = draws(1500, own=4.0)
    threshold, own = fit_threshold(p, y, NEW, metrics.get("accuracy"))
    assert own and threshold < 0.5


def test_many_classes_take_no_score_of_all_columns(monkeypatch):
    metric = metrics.get("map@5")
    seen = []
    monkeypatch.setattr(type(metric), "score", lambda self, y, p: seen.append(p.shape[1]) or 0.0)
    p, y = draws(50)
    fit_threshold(p, y, NEW, metric)
    assert set(seen) == {new_class.SHOWN + 1}
