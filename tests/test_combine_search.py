"""Fitted weights help where there is something to fit, and the cross-fitted score is honest."""

import numpy as np
import pytest

from pipeline.combine import search
from pipeline.combine.vote import soft_vote
from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities

MACRO, LOSS = metrics.get("macro_f1"), metrics.get("log_loss")
CLASSES = ("a", "b", "c", "d")


def members(skills, n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    ids = np.array([f"{i:04d}" for i in range(n)])
    found = []
    for m, skill in enumerate(skills):
        x = rng.normal(size=(n, 4))
        x[np.arange(n), y] += skill
        p = np.exp(x)
        p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
        found.append(Probabilities(ids, CLASSES, p, f"m{m}"))
    return found, y


def parts(ids, n=5):
    return [ids[k::n] for k in range(n)]


@pytest.mark.parametrize("metric", [MACRO, LOSS], ids=lambda m: m.name)
def test_a_useless_member_gets_next_to_nothing(metric):
    found, y = members([2.0, 2.0, 0.0])
    weights = search.fit_weights(found, y, metric)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    assert weights[2] <= 0.1 and weights[0] > 0.2 and weights[1] > 0.2


@pytest.mark.parametrize("metric", [MACRO, LOSS], ids=lambda m: m.name)
def test_fitted_is_never_worse_than_equal_or_the_best_single_on_the_rows_it_saw(metric):
    for seed in range(5):
        found, y = members([1.5, 0.5, 1.0], seed=seed)
        fitted = metric.score(y, soft_vote(found, search.fit_weights(found, y, metric), "b").p_NC)
        rivals = [metric.score(y, m.p_NC) for m in found]
        rivals.append(metric.score(y, soft_vote(found, None, "b").p_NC))
        assert metric.sign * fitted >= max(metric.sign * r for r in rivals) - 1e-6


def test_fitting_is_deterministic_and_follows_the_members():
    found, y = members([1.5, 0.2, 1.0])
    weights = search.fit_weights(found, y, MACRO)
    assert weights == search.fit_weights(found, y, MACRO)
    shuffled = np.random.default_rng(0).permutation(len(y))
    again = [found[0], found[1].take(found[1].ids_N[shuffled]), found[2]]
    assert search.fit_weights(again, y, MACRO) == weights


def test_nothing_to_gain_means_equal_weights():
    found, y = members([1.0])
    assert search.fit_weights([found[0], found[0], found[0]], y, MACRO) == (1 / 3,) * 3
    assert search.fit_weights(found, y, MACRO) == (1.0,)


def test_naive_is_optimistic_and_crossfitted_is_not():
    # Eight members of equal skill on few rows: there is nothing to choose between them.
    naive, crossfitted, equal = [], [], []
    for seed in range(12):
        found, y = members([0.3] * 8, n=150, seed=seed)
        blend, _ = search.cross_fit(found, y, parts(found[0].ids_N), MACRO)
        naive.append(blend.naive)
        crossfitted.append(blend.crossfitted)
        equal.append(MACRO.score(y, soft_vote(found, None, "b").p_NC))
    assert np.mean(naive) > np.mean(crossfitted) + 0.01
    assert np.mean(naive) > np.mean(equal) > np.mean(crossfitted) - 0.02


def test_each_part_is_predicted_by_weights_that_never_saw_it():
    found, y = members([1.5, 0.5, 1.0])
    ids = found[0].ids_N
    blend, pooled = search.cross_fit(found, y, parts(ids), MACRO)
    assert blend.members == ("m0", "m1", "m2")
    assert blend.weights == search.fit_weights(found, y, MACRO)
    assert blend.crossfitted == MACRO.score(y, pooled.p_NC)
    assert blend.naive == MACRO.score(y, soft_vote(found, blend.weights, "b").p_NC)
    # Permuting the labels of part 2 leaves the predictions of part 2 as they were.
    spoiled = y.copy()
    spoiled[2::5] = np.random.default_rng(1).permutation(spoiled[2::5])
    _, other = search.cross_fit(found, spoiled, parts(ids), MACRO)
    np.testing.assert_array_equal(other.take(ids[2::5]).p_NC, pooled.take(ids[2::5]).p_NC)
    assert not np.array_equal(other.p_NC, pooled.p_NC)


def test_mean_fits_nothing():
    found, y = members([1.5, 0.2])
    blend, pooled = search.cross_fit(found, y, parts(found[0].ids_N), MACRO, "mean")
    assert blend.weights == (0.5, 0.5) and blend.naive == blend.crossfitted
    np.testing.assert_array_equal(pooled.p_NC, soft_vote(found, None, "b").p_NC)


def test_one_member_or_one_fold_fits_nothing(caplog):
    found, y = members([1.5, 0.2])
    ids = found[0].ids_N
    alone, _ = search.cross_fit(found[:1], y, parts(ids), MACRO)
    assert alone.weights == (1.0,) and not caplog.records
    single, _ = search.cross_fit(found, y, [ids, ids[:0]], MACRO)
    assert single.weights == (0.5, 0.5) and "one fold" in caplog.text


@pytest.mark.parametrize("change", ["missing", "twice"])
def test_parts_must_hold_every_id_once(change):
    found, y = members([1.0, 1.0], n=20)
    ids = found[0].ids_N
    wrong = {"missing": [ids[:10], ids[11:]], "twice": [ids[:11], ids[10:]]}[change]
    with pytest.raises(AssertionError, match="exactly once"):
        search.cross_fit(found, y, wrong, MACRO)


def test_parts_with_unknown_ids_are_named():
    found, y = members([1.0, 1.0], n=20)
    with pytest.raises(DataError, match="zzz"):
        search.cross_fit(found, y, [np.array(["zzz"])], MACRO)
