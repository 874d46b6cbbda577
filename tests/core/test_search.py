"""Fitted weights help where there is something to fit, and the cross-fitted score is honest."""

import numpy as np
import pytest
from combine_world import members, parts
from sklearn.linear_model import LinearRegression

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.targets import normalised
from pipeline.core.voting import fitting, stacking
from pipeline.core.voting import weights as greedy
from pipeline.core.voting import weights as minimise
from pipeline.core.voting.fitting import Recipe
from pipeline.core.voting.soft_voting import soft_vote

MACRO, LOSS = metrics.get("macro_f1"), metrics.get("log_loss")


@pytest.mark.parametrize("metric", [MACRO, LOSS], ids=lambda m: m.name)
def test_a_useless_member_gets_next_to_nothing(metric):
    found, y = members([2.0, 2.0, 0.0])
    weights = fitting.fit_weights(found, y, metric)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    assert weights[2] <= 0.1 and weights[0] > 0.2 and weights[1] > 0.2


@pytest.mark.parametrize("metric", [MACRO, LOSS], ids=lambda m: m.name)
def test_fitted_is_never_worse_than_equal_or_the_best_single_on_the_rows_it_saw(metric):
    for seed in range(5):
        found, y = members([1.5, 0.5, 1.0], seed=seed)
        fitted = soft_vote(found, fitting.fit_weights(found, y, metric), "b").p_NC
        rivals = [m.p_NC for m in found] + [soft_vote(found, None, "b").p_NC]
        assert judged(metric, y, fitted) >= max(judged(metric, y, p_NC) for p_NC in rivals) - 1e-6
        score = metric.score(y, fitted)
        best = max(metric.sign * metric.score(y, p_NC) for p_NC in rivals)
        assert metric.sign * score >= best - greedy.CLEARLY * metric.headroom(score)


def judged(metric, y_N, p_NC):
    """As weights see probabilities: where classes are counted, their cosine with the truth, less its mean."""
    if metric.needs == "probabilities":
        return metric.sign * metric.score(y_N, p_NC)
    truth_NC, classes = np.eye(p_NC.shape[1])[y_N], p_NC.shape[1]
    x, y = (a.ravel() - 1 / classes for a in (p_NC, truth_NC))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_weights_where_classes_are_counted_are_those_of_least_squares():
    """scikit-learn's non-negative regression on the same columns, as finely as 25 votes can be."""
    found, y = members([1.5, 0.5, 1.0, 0.0], n=2000)
    x_RM = np.stack([m.p_NC.ravel() - 0.25 for m in found], axis=1)
    truth_R = np.eye(4)[y].ravel() - 0.25
    free_M = LinearRegression(positive=True, fit_intercept=False).fit(x_RM, truth_R).coef_
    weights = fitting.fit_weights(found, y, MACRO)
    np.testing.assert_allclose(weights, free_M / free_M.sum(), atol=0.04)


@pytest.mark.parametrize("skills", [[1.2, 1.0, 0.6, 0.3], [1.5, 1.4, 1.3, 1.2], [0.5] * 6])
def test_such_weights_are_better_on_other_rows_than_those_that_the_count_itself_chose(skills):
    kept = []
    for seed in range(15):
        found, y = members(skills, n=150, seed=seed)
        others, truth = members(skills, n=3000, seed=100 + seed)
        by_count = greedy.select(greedy.Tally([m.p_NC for m in found], y, MACRO))
        both = (by_count, fitting.fit_weights(found, y, MACRO))
        kept.append([MACRO.score(truth, soft_vote(others, list(w), "b").p_NC) for w in both])
    count, cosine = np.mean(kept, axis=0)
    assert cosine > count + 0.003


@pytest.mark.parametrize("at_once", [10, 10**9])
def test_the_judge_of_weights_sees_their_blend(monkeypatch, at_once):
    monkeypatch.setattr(greedy, "AT_ONCE", at_once)
    found, y = members([1.0, 0.8, 0.1], n=101)
    judge = greedy.judge_of([m.p_NC for m in found], y, MACRO)
    judge.move({0: 2.0, 2: 1.0})
    blend = soft_vote(found, (2, 1, 0.5), "b").p_NC
    assert judge.score({1: 1.0, 2: -0.5}) == pytest.approx(judged(MACRO, y, blend), abs=1e-6)
    assert judge.emptied().score({1: 1.0}) == pytest.approx(judged(MACRO, y, found[1].p_NC), abs=1e-6)
    assert judge.at(np.array([0.0, 3.0, 0.0])) == pytest.approx(judge.emptied().score({1: 1.0}))


@pytest.mark.parametrize("classes", [3, 4, 7])
def test_a_member_that_knows_nothing_gets_no_weight(classes):
    """A third is no number of 32 bits: what is left of it must not look like knowledge."""
    rng, y = np.random.default_rng(0), np.arange(90) % classes
    fair_NC = normalised(np.exp(2 * np.eye(classes)[y] + rng.normal(size=(90, classes))).astype(np.float32))
    flat_NC = np.full((90, classes), 1 / classes, np.float32)
    ids, names = np.array([f"{n:03d}" for n in range(90)]), tuple("abcdefg"[:classes])
    two = [Probabilities(ids, names, p_NC, name) for p_NC, name in ((fair_NC, "fair"), (flat_NC, "flat"))]
    assert fitting.fit_weights(two, y, MACRO)[0] >= 0.5
    assert greedy.judge_of([flat_NC], y, MACRO).score({0: 1.0}) == 0.0


def test_a_metric_that_wants_something_else_than_likely_classes_judges_itself():
    """Balanced accuracy on a long tail: one member knows the frequent classes, one was trained balanced."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, 3000, p=[0.9, 0.07, 0.03])
    logit_NC = 1.2 * np.eye(3)[y] + rng.normal(size=(3000, 3))
    plain_NC = normalised(np.exp(logit_NC + np.log([0.9, 0.07, 0.03])).astype(np.float32))
    even_NC = normalised(np.exp(0.5 * logit_NC).astype(np.float32))
    ids = np.array([f"{n:04d}" for n in range(3000)])
    two = [Probabilities(ids, tuple("abc"), p_NC, name) for p_NC, name in ((plain_NC, "p"), (even_NC, "e"))]
    balanced = metrics.get("balanced_accuracy")
    score = balanced.score(y, soft_vote(two, fitting.fit_weights(two, y, balanced), "b").p_NC)
    alone = max(balanced.score(y, m.p_NC) for m in two)
    assert score >= alone - 0.1 * (1 - alone)
    by_cosine = greedy.select(greedy.judge_of([m.p_NC for m in two], y, balanced))
    assert balanced.score(y, soft_vote(two, list(by_cosine), "b").p_NC) < score - 0.1
    assert not greedy.by_cosine(metrics.get("qwk")) and greedy.by_cosine(MACRO)


def test_fitting_is_deterministic_and_follows_the_members():
    found, y = members([1.5, 0.2, 1.0])
    weights = fitting.fit_weights(found, y, MACRO)
    assert weights == fitting.fit_weights(found, y, MACRO)
    shuffled = np.random.default_rng(0).permutation(len(y))
    again = [found[0], found[1].take(found[1].ids_N[shuffled]), found[2]]
    assert fitting.fit_weights(again, y, MACRO) == weights


def test_nothing_to_gain_means_equal_weights():
    found, y = members([1.0])
    assert fitting.fit_weights([found[0], found[0], found[0]], y, MACRO) == (1 / 3,) * 3
    assert fitting.fit_weights(found, y, MACRO) == (1.0,)


@pytest.mark.parametrize(("method", "optimism"), [("search", 0.01), ("greedy", 0.0)])
def test_naive_is_optimistic_and_crossfitted_is_not(method, optimism):
    # Eight members of equal skill on few rows: there is nothing to choose between them.
    naive, crossfitted, equal = [], [], []
    for seed in range(12):
        found, y = members([0.3] * 8, n=150, seed=seed)
        blend, _ = fitting.cross_fit(found, y, parts(found[0].ids_N), MACRO, method)
        naive.append(blend.naive)
        crossfitted.append(blend.crossfitted)
        equal.append(MACRO.score(y, soft_vote(found, None, "b").p_NC))
    assert np.mean(naive) > np.mean(crossfitted) + optimism
    assert np.mean(naive) > np.mean(equal) > np.mean(crossfitted) - 0.02


def test_each_part_is_predicted_by_weights_that_never_saw_it():
    found, y = members([1.5, 0.5, 1.0])
    ids = found[0].ids_N
    blend, pooled = fitting.cross_fit(found, y, parts(ids), MACRO)
    assert blend.members == ("m0", "m1", "m2")
    assert blend.weights == fitting.fit_weights(found, y, MACRO)
    assert blend.crossfitted == MACRO.score(y, pooled.p_NC)
    assert blend.naive == MACRO.score(y, soft_vote(found, blend.weights, "b").p_NC)
    # Permuting the labels of part 2 leaves the predictions of part 2 as they were.
    spoiled = y.copy()
    spoiled[2::5] = np.random.default_rng(1).permutation(spoiled[2::5])
    _, other = fitting.cross_fit(found, spoiled, parts(ids), MACRO)
    np.testing.assert_array_equal(other.take(ids[2::5]).p_NC, pooled.take(ids[2::5]).p_NC)
    assert not np.array_equal(other.p_NC, pooled.p_NC)


def test_mean_fits_nothing():
    found, y = members([1.5, 0.2])
    blend, pooled = fitting.cross_fit(found, y, parts(found[0].ids_N), MACRO, "mean")
    assert blend.weights == (0.5, 0.5) and blend.naive == blend.crossfitted
    np.testing.assert_array_equal(pooled.p_NC, soft_vote(found, None, "b").p_NC)


def test_one_member_or_one_fold_fits_nothing(caplog):
    found, y = members([1.5, 0.2])
    ids = found[0].ids_N
    alone, _ = fitting.cross_fit(found[:1], y, parts(ids), MACRO)
    assert alone.weights == (1.0,) and not caplog.records
    single, _ = fitting.cross_fit(found, y, [ids, ids[:0]], MACRO)
    assert single.weights == (0.5, 0.5) and "at least two folds" in caplog.text


@pytest.mark.parametrize("change", ["missing", "twice"])
def test_parts_must_hold_every_id_once(change):
    found, y = members([1.0, 1.0], n=20)
    ids = found[0].ids_N
    wrong = {"missing": [ids[:10], ids[11:]], "twice": [ids[:11], ids[10:]]}[change]
    with pytest.raises(AssertionError, match="exactly once"):
        fitting.cross_fit(found, y, wrong, MACRO)


def test_parts_with_unknown_ids_are_named():
    found, y = members([1.0, 1.0], n=20)
    with pytest.raises(DataError, match="zzz"):
        fitting.cross_fit(found, y, [np.array(["zzz"])], MACRO)


METHODS = ("mean", "weighted", "geometric", "rank", "hard", "greedy", "search", "stacking")
RECIPES = [Recipe(m) for m in METHODS] + [Recipe(m, temperature=True) for m in ("mean", "stacking")]
NAMED = pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.method}{'-t' * r.temperature}")


def published(p_MNC, y_N, metric, rounds):
    """Caruana et al.'s selection in its plainest form: every bag is averaged and scored anew."""
    bag = []
    for _ in range(rounds):
        scores = [
            metric.sign * metric.score(y_N, np.mean([*(p_MNC[b] for b in bag), p], axis=0, dtype=np.float32))
            for p in p_MNC
        ]
        best = max(scores)
        equal = [m for m, score in enumerate(scores) if score >= best - 1e-12]
        bag.append(next((m for m in equal if m in bag), equal[0]))
    return bag


@pytest.mark.parametrize("metric", [MACRO, LOSS], ids=lambda m: m.name)
def test_selection_on_tallies_is_the_published_one(metric):
    for seed in range(4):
        found, y = members([1.0, 0.9, 0.8, 0.2, 0.6], n=300, seed=seed)
        p_MNC = [m.p_NC for m in found]
        bags = [published(p_MNC, y, metric, r) for r in range(1, 9)]
        at = [metric.sign * metric.score(y, np.mean([p_MNC[m] for m in bag], axis=0)) for bag in bags]
        best = bags[int(np.argmax(np.round(at, 9)))]
        weights = greedy.select(greedy.Tally(p_MNC, y, metric), rounds=8)
        np.testing.assert_allclose(weights, np.bincount(best, minlength=5) / len(best), atol=1e-12)


def test_ties_keep_the_members_already_in():
    found, y = members([1.0, 0.9])
    twin = found[1].p_NC.copy()
    p_MNC = [twin, found[0].p_NC, found[1].p_NC]
    for judge in (greedy.Tally(p_MNC, y, MACRO), greedy.judge_of(p_MNC, y, MACRO)):
        assert greedy.select(judge)[2] == 0, "of two equal members only the first is ever taken"
    assert greedy._chosen(np.array([0.5, 0.7, 0.7]), np.array([1, 0, 2])) == 2
    assert greedy._chosen(np.array([0.5, 0.7, 0.7]), np.array([1, 0, 0])) == 1


def test_search_is_never_worse_than_greedy_on_the_rows_it_saw():
    for seed in range(3):
        found, y = members([1.0, 0.8, 0.6, 0.3], n=250, seed=seed)
        scores = [
            MACRO.score(y, fitting.fit(Recipe(method), found, y, MACRO).apply(found, "b").p_NC)
            for method in ("greedy", "search")
        ]
        assert scores[1] >= scores[0] - 1e-9


def test_any_minimiser_may_search():
    found, y = members([1.0, 0.8, 0.6], n=250)
    asked = []

    def nelder_mead(objective, start_M):
        from scipy.optimize import minimize

        def loss(weight_M):
            asked.append(weight_M)
            return objective(np.maximum(weight_M, 0))

        return minimize(loss, start_M, method="Nelder-Mead", options={"maxfev": 60}).x

    fitted = fitting.fit(Recipe("search", minimise=nelder_mead), found, y, LOSS)
    greedy_loss = LOSS.score(y, fitting.fit(Recipe("greedy"), found, y, LOSS).apply(found, "b").p_NC)
    assert len(asked) >= 60 and sum(fitted.weights) == pytest.approx(1)
    assert LOSS.score(y, fitted.apply(found, "b").p_NC) <= greedy_loss + 1e-9


def test_the_loss_near_known_weights_is_the_loss_anew():
    found, y = members([1.0, 0.8, 0.6, 0.1], n=300)
    p_MNC = [m.p_NC for m in found]
    for metric in (MACRO, LOSS):
        loss, rng = minimise._loss(p_MNC, y, metric), np.random.default_rng(0)
        weight_M = np.ones(4) / 4
        for _ in range(60):
            weight_M = np.maximum(weight_M + rng.choice([0, 0, 0.1, -0.1], 4), 0)
            weight_M[0] += weight_M.sum() == 0
            blend = soft_vote(found, weight_M.tolist(), "b").p_NC
            assert -loss(weight_M) == pytest.approx(metric.sign * metric.score(y, blend), abs=5e-3)


def test_stacking_learns_what_no_weights_can():
    """A member that calls every class by its neighbour's name is as good as any."""
    found, y = members([1.5, 0.5], n=1500)
    wrong = Probabilities(found[0].ids_N, found[0].classes, np.roll(found[0].p_NC, 1, axis=1), "wrong")
    scores = {}
    for method in ("greedy", "stacking"):
        blend, _ = fitting.cross_fit([wrong, found[1]], y, parts(wrong.ids_N), MACRO, Recipe(method, c=1.0))
        scores[method] = blend.crossfitted
    assert scores["stacking"] > scores["greedy"] + 0.15


def test_stacking_of_two_classes_and_with_a_class_that_no_row_has():
    found, y = members([1.5, 0.5])
    two = y < 2
    few = [m.take(m.ids_N[two]) for m in found]
    fitted = fitting.fit(Recipe("stacking"), few, y[two], MACRO)
    p_NC = fitted.apply(few, "b").p_NC
    assert p_NC[:, 2:].max() < 1e-3 and MACRO.score(y[two], p_NC) > 0.85
    halves = [
        Probabilities(m.ids_N, ("a", "b"), m.p_NC[:, :2] / m.p_NC[:, :2].sum(1, keepdims=True)) for m in few
    ]
    again = fitting.fit(Recipe("stacking"), halves, y[two], MACRO).apply(halves, "b")
    assert MACRO.score(y[two], again.p_NC) > 0.85


def test_a_strong_penalty_takes_the_coefficients_away():
    found, y = members([1.5, 0.5])
    sizes = [
        np.abs(stacking.fit([m.p_NC for m in found], y, c, found[0].target).coefficient_MCC).sum()
        for c in (1e-4, 1.0)
    ]
    assert sizes[0] < 0.2 * sizes[1]


def test_temperature_undoes_a_member_that_is_too_sure():
    found, y = members([1.5], n=2000)
    honest = stacking.fit_temperature(found[0].p_NC, y)
    loud = stacking.apply_temperature(found[0].p_NC, 0.5)
    assert stacking.fit_temperature(loud, y) == pytest.approx(2 * honest, rel=0.02)
    back = stacking.apply_temperature(loud, 2.0)
    np.testing.assert_allclose(back, found[0].p_NC, atol=2e-3)
    assert np.array_equal(loud.argmax(axis=1), found[0].labels())


def test_temperature_keeps_a_loud_member_from_drowning_the_others():
    found, y = members([0.5, 1.2, 1.2], n=1500)
    loud = Probabilities(
        found[0].ids_N, found[0].classes, stacking.apply_temperature(found[0].p_NC, 0.05), "loud"
    )
    scores = [
        fitting.cross_fit([loud, *found[1:]], y, parts(loud.ids_N), MACRO, Recipe("mean", temperature=heat))[
            0
        ]
        for heat in (False, True)
    ]
    assert scores[1].crossfitted > scores[0].crossfitted + 0.03
    assert scores[0].naive == scores[0].crossfitted, "nothing was fitted there"


@NAMED
class TestEveryMethod:
    def test_scores_and_predicts_other_images(self, recipe):
        found, y = members([1.5, 1.0, 0.2])
        blend, pooled = fitting.cross_fit(found, y, parts(found[0].ids_N), MACRO, recipe)
        assert sum(blend.weights) == pytest.approx(1) and min(blend.weights) >= 0
        assert blend.naive == MACRO.score(y, blend.fitted.apply(found, "b").p_NC)
        assert blend.crossfitted == MACRO.score(y, pooled.p_NC) > 0.6
        assert (blend.naive == blend.crossfitted) or recipe.fits(3)
        others, y_others = members([1.5, 1.0, 0.2], n=900, seed=5)
        assert MACRO.score(y_others, blend.fitted.apply(others, "test").p_NC) > 0.6

    def test_no_part_is_predicted_by_what_saw_its_labels(self, recipe):
        found, y = members([1.5, 0.5, 1.0])
        ids = found[0].ids_N
        spoiled = y.copy()
        spoiled[2::5] = np.random.default_rng(1).permutation(spoiled[2::5])
        plain, other = (
            fitting.cross_fit(found, labels, parts(ids), MACRO, recipe)[1] for labels in (y, spoiled)
        )
        np.testing.assert_array_equal(other.take(ids[2::5]).p_NC, plain.take(ids[2::5]).p_NC)

    def test_members_are_joined_by_id_and_class_order(self, recipe):
        found, y = members([1.5, 0.5])
        shuffled = np.random.default_rng(0).permutation(len(y))
        turned = found[1].take(found[1].ids_N[shuffled]).with_classes(("d", "b", "a", "c"))
        plain, other = (
            fitting.cross_fit(group, y, parts(found[0].ids_N), MACRO, recipe)
            for group in (found, [found[0], turned])
        )
        assert plain[0].weights == other[0].weights
        np.testing.assert_array_equal(plain[1].p_NC, other[1].p_NC)

    def test_one_fold_fits_nothing_and_says_so(self, recipe, caplog):
        found, y = members([1.5, 0.2])
        blend, _ = fitting.cross_fit(found, y, [found[0].ids_N], MACRO, recipe)
        assert blend.weights == (0.5, 0.5) and set(blend.fitted.temperatures) == {1.0}
        assert ("at least two folds" in caplog.text) == recipe.fits(2)

    def test_without_each_is_as_many_blends(self, recipe):
        found, y = members([1.5, 1.0, 0.2])
        fitted = fitting.fit(recipe, found, y, MACRO)
        without = fitted.without_each(found)
        assert len(without) == 3 and all(np.isfinite(p).all() for p in without)
        assert MACRO.score(y, without[0]) < MACRO.score(y, fitted.apply(found, "b").p_NC)


def test_given_weights_are_taken_as_they_are_and_fit_nothing():
    found, y = members([1.5, 0.2])
    recipe = Recipe("weighted", weights=(3.0, 1.0))
    blend, pooled = fitting.cross_fit(found, y, parts(found[0].ids_N), MACRO, recipe)
    assert blend.weights == (0.75, 0.25) and blend.naive == blend.crossfitted and not recipe.fits(2)
    np.testing.assert_array_equal(pooled.p_NC, soft_vote(found, (3, 1), "b").p_NC)
    with pytest.raises(ConfigError, match="weights"):
        fitting.fit(Recipe("geometric", weights=(1.0,)), found, y, MACRO)
