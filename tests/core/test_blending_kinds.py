"""Blends of labels, values and shares: every method, cross-fitted, with unknown truth."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target, sigmoid, softmax
from pipeline.core.voting import fitting, soft_voting, stacking
from pipeline.core.voting.fitting import Recipe
from pipeline.core.voting.soft_voting import RULES

N = 600
IDS = np.array([f"{n:04d}" for n in range(N)])
PARTS = [IDS[k::5] for k in range(5)]
YES_NO = ("0", "1")
LEVELS = ("none", "mild", "severe")
SPACES = {
    "labels": LabelSpace.independent(
        [Attribute("scab", YES_NO), Attribute("grade", LEVELS), Attribute("rust", YES_NO)]
    ),
    "values": LabelSpace.numbers(["weight", "angle"]),
    "shares": LabelSpace((Attribute("look", tuple("abc")),), tuple("abc"), np.arange(3)[:, None], "shares"),
}
METRICS = {"labels": "macro_f1", "values": "rmse", "shares": "kl"}


def drawn(kind, skills=(1.0, 0.6, 0.3), seed=0, n=N):
    """Members whose predictions are the truth behind noise, and the truth with unknown cells."""
    rng, target = np.random.default_rng(seed), Target.of(SPACES[kind])
    k = target.n_columns
    hidden = rng.normal(size=(n, k)) * 2
    noisy = [hidden * skill + rng.normal(size=(n, k)) for skill in skills]
    if kind == "values":
        scale = np.array([1.0, 40.0])
        y = (hidden * scale).astype(np.float32)
        predicted = [x * scale / (skill + 0.2) for x, skill in zip(noisy, skills, strict=True)]
    elif kind == "shares":
        y, predicted = softmax(hidden), [softmax(x) for x in noisy]
    else:
        y = (rng.random((n, k)) < sigmoid(hidden)).astype(np.float32)
        level = (hidden[:, 1:4] + rng.gumbel(size=(n, 3))).argmax(axis=1)
        y[:, 1:4] = np.eye(3)[level]
        predicted = [target.from_logits(x) for x in noisy]
    if kind != "shares":
        y[rng.random(n) < 0.1, 0] = np.nan
    members = [
        Probabilities.of(target, IDS[:n], np.asarray(p, np.float32), f"m{m}") for m, p in enumerate(predicted)
    ]
    return members, y


KINDS = tuple(SPACES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["mean", "weighted", "greedy", "search", "stacking"])
def test_every_method_makes_valid_rows_and_leaves_unknown_truth_out(kind, method):
    members, y = drawn(kind)
    metric = metrics.get(METRICS[kind])
    blend, oof = fitting.cross_fit(members, y, PARTS, metric, Recipe(method))
    assert (
        np.isfinite(blend.naive) and np.isfinite(blend.crossfitted) and not oof.target.faulty(oof.p_NC).any()
    )
    assert sum(blend.weights) == pytest.approx(1) or kind == "values"
    assert blend.crossfitted == pytest.approx(metric.score(y, oof.p_NC))
    worst = min(metric.sign * metric.score(y, m.p_NC) for m in members)
    assert metric.sign * blend.crossfitted > worst
    assert all(np.isfinite(p).all() for p in blend.fitted.without_each(members))


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_predicted_by_a_blend_that_did_not_see_it(kind):
    members, y = drawn(kind)
    metric = metrics.get(METRICS[kind])
    other = y.copy()
    at = np.isin(IDS, PARTS[0])
    other[at] = y[at][::-1]
    for method in ("greedy", "stacking"):
        _, one = fitting.cross_fit(members, y, PARTS, metric, Recipe(method))
        _, two = fitting.cross_fit(members, other, PARTS, metric, Recipe(method))
        np.testing.assert_array_equal(one.p_NC[at], two.p_NC[at])


def test_greedy_selection_scores_the_mean_of_the_bag():
    """The first vote alone is a mean of one; a bag of two that is not divided would double every value."""
    members, y = drawn("values")
    rmse = metrics.get("rmse")
    weights = fitting.fit(Recipe("greedy"), members, y, rmse).weights
    scores = [rmse.score(y, soft_voting.soft_vote(members, w, "b").p_NC) for w in (weights, (1, 0, 0))]
    assert sum(weights) == pytest.approx(1) and scores[0] <= scores[1]


def test_ridge_recalibrates_values_and_is_the_mean_without_evidence():
    members, y = drawn("values", skills=(1.0, 1.0))
    doubled = [Probabilities.of(m.target, m.ids_N, m.p_NC * 2 + 7, m.name) for m in members]
    r2 = metrics.get("r2")
    stacked, _ = fitting.cross_fit(doubled, y, PARTS, r2, Recipe("stacking", c=1.0))
    mean, _ = fitting.cross_fit(doubled, y, PARTS, r2, Recipe("mean"))
    assert stacked.crossfitted > 0.8 > mean.crossfitted
    far = stacking.fit([m.p_NC for m in members], y, 1e-9, members[0].target)
    np.testing.assert_allclose(np.diag(far.coefficient_MCC.sum(axis=0)), 1, atol=1e-4)
    # The penalty has no unit: the same values in grams have the same weights.
    in_grams = stacking.fit([m.p_NC * 1000 for m in members], y * 1000, 0.01, members[0].target)
    plain = stacking.fit([m.p_NC for m in members], y, 0.01, members[0].target)
    np.testing.assert_allclose(in_grams.coefficient_MCC, plain.coefficient_MCC, rtol=1e-3)


def test_without_a_penalty_the_fit_is_that_of_a_plain_regression():
    members, y = drawn("labels")
    target = members[0].target
    free = stacking.fit([m.p_NC for m in members], y, 1e6, target)
    known = ~np.isnan(y[:, 0])
    x = np.stack([target.logits(m.p_NC)[known, 0] for m in members], axis=1)
    plain = LogisticRegression(C=1e6, max_iter=5000).fit(x, y[known, 0])
    np.testing.assert_allclose(free.coefficient_MCC[:, 0, 0], plain.coef_[0], atol=2e-3)
    assert free.bias_C[0] == pytest.approx(plain.intercept_[0], abs=2e-3)
    tight = stacking.fit([m.p_NC for m in members], y, 1e-9, target)
    np.testing.assert_allclose(tight.coefficient_MCC[:, 4, 4], 1 / 3, atol=1e-4)
    np.testing.assert_allclose(tight.coefficient_MCC[0, 1:4, 1:4], np.eye(3) / 3, atol=1e-4)


def test_a_value_of_a_member_that_failed_does_not_spoil_the_others():
    members, y = drawn("values", skills=(1.0, 0.8))
    failed = Probabilities.of(members[0].target, members[0].ids_N, members[0].p_NC * 1e4 - 1e6, "failed")
    rmse = metrics.get("rmse")
    best = min(rmse.score(y, m.p_NC) for m in members)
    for c in (0.01, 1.0):
        blend, _ = fitting.cross_fit([*members, failed], y, PARTS, rmse, Recipe("stacking", c=c))
        assert blend.crossfitted < 1.1 * best


def test_stacking_of_labels_keeps_each_label_to_itself():
    members, y = drawn("labels")
    other = y.copy()
    other[:, 4] = 1 - y[:, 4]
    target = members[0].target
    one, two = (stacking.fit([m.p_NC for m in members], t, 0.1, target) for t in (y, other))
    np.testing.assert_array_equal(one.coefficient_MCC[:, :4, :4], two.coefficient_MCC[:, :4, :4])
    assert (one.coefficient_MCC[:, 0, 1:] == 0).all() and (one.coefficient_MCC[:, 1, 2:4] != 0).any()


def test_a_label_that_never_holds_or_never_varies_is_the_mean_of_the_members():
    members, y = drawn("labels")
    y[:, 0] = 0
    y[:, 1:4] = [0, 1, 0]
    fitted = fitting.fit(Recipe("stacking"), members, y, metrics.get("macro_f1"))
    p = fitted.apply(members, "b").p_NC
    geometric = soft_voting.combine(RULES["geometric"], members, None, "g").p_NC
    np.testing.assert_allclose(p[:, :4], geometric[:, :4], atol=1e-5)


def test_a_temperature_of_labels_divides_log_odds_and_values_refuse_it():
    members, y = drawn("labels")
    target = members[0].target
    hot = target.from_logits(target.logits(members[0].p_NC).astype(float) * 3)
    once, thrice = (stacking.fit_temperature(p, y, target) for p in (members[0].p_NC, hot))
    assert thrice == pytest.approx(3 * once, rel=0.02)
    cooled = stacking.apply_temperature(hot, 3.0, target)
    np.testing.assert_allclose(cooled, members[0].p_NC, atol=0.02)  # floored logs
    assert np.array_equal(target.held(cooled), target.held(hot))
    values, y_values = drawn("values")
    with pytest.raises(ConfigError, match=r"ensemble.temperature needs .*the target here is values"):
        fitting.fit(Recipe("mean", temperature=True), values, y_values, metrics.get("rmse"))


@pytest.mark.parametrize("method", ["geometric", "rank", "hard"])
def test_values_have_a_mean_and_nothing_else(method):
    members, y = drawn("values")
    with pytest.raises(ConfigError, match=f"voting by {method} needs .*the target here is values"):
        fitting.cross_fit(members, y, PARTS, metrics.get("rmse"), Recipe(method))


def test_labels_vote_column_by_column():
    target = Target.of(LabelSpace.independent([Attribute("scab", YES_NO), Attribute("grade", LEVELS)]))
    rows = [[[0.9, 0.6, 0.3, 0.1]], [[0.6, 0.2, 0.7, 0.1]], [[0.1, 0.5, 0.4, 0.1]]]
    members = [
        Probabilities.of(target, IDS[:1], np.array(row, np.float32), str(n)) for n, row in enumerate(rows)
    ]
    hard = soft_voting.combine(RULES["hard"], members, None, "h").p_NC[0]
    np.testing.assert_allclose(hard, [2 / 3, 2 / 3, 1 / 3, 0], atol=2e-3)
    geometric = soft_voting.combine(RULES["geometric"], members, None, "g").p_NC[0]
    odds = np.prod([9, 1.5, 1 / 9]) ** (1 / 3)
    assert geometric[0] == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert geometric[1:].sum() == pytest.approx(1, abs=1e-5)
    certain = [
        Probabilities.of(target, IDS[:1], np.array([row], np.float32), "c")
        for row in ([1, 1, 0, 0], [0, 0, 1, 0])
    ]
    assert np.isfinite(soft_voting.combine(RULES["geometric"], certain, None, "g").p_NC).all()


def test_disagreement_says_how_far_members_are_apart_in_each_kind():
    for kind in KINDS:
        members, _ = drawn(kind)
        apart = soft_voting.disagreement([*members, members[0]])
        assert (np.diag(apart) == 0).all() and np.allclose(apart, apart.T) and apart[0, 3] == 0
        assert apart[0, 2] > apart[0, 1] > 0
    members, _ = drawn("values")
    in_grams = [Probabilities.of(m.target, m.ids_N, m.p_NC * 1000, m.name) for m in members]
    np.testing.assert_allclose(
        soft_voting.disagreement(in_grams), soft_voting.disagreement(members), rtol=1e-4
    )


def test_where_answers_differ():
    members, _ = drawn("labels")
    target = members[0].target
    expected = target.held(members[0].p_NC) != target.held(members[1].p_NC)
    assert np.array_equal(soft_voting.differs(*members[:2]), expected)
    values, _ = drawn("values")
    nudged = Probabilities.of(values[0].target, IDS, values[0].p_NC * 1.0001, "n")
    assert not soft_voting.differs(values[0], nudged).any() and soft_voting.differs(*values[:2]).mean() > 0.9


def test_stacking_on_rows_of_one_class_predicts_it():
    p = np.array([[0.7, 0.3], [0.4, 0.6]], np.float32)
    target = Target(("a", "b"))
    made = stacking.fit([p, p], np.array([1, 1]), 0.01, target)
    assert (target.from_logits(sum(made.votes([p, p])) / 2 + made.bias_C).argmax(axis=1) == 1).all()
