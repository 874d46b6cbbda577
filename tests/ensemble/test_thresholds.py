"""Thresholds of labels, cut points of grades, clipping and rounding: fitted, shrunk, kept only if better."""

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.targets import Target, sigmoid, softmax
from pipeline.ensemble import decision, grouping, priors, thresholds
from pipeline.ensemble.decision import Rows
from pipeline.ensemble.thresholds import Clip, CutPoints, Round, Thresholds
from pipeline.settings.decision import DecisionSettings

F1, MICRO, QWK, RMSE = (metrics.get(name) for name in ("macro_f1", "micro_f1", "qwk", "rmse"))
LABELS = Target.of(LabelSpace.independent([Attribute(f"l{k}", ("0", "1")) for k in range(5)]))
VALUE = Target.of(LabelSpace.numbers(["grade"]))
GRADES = Target.of(LabelSpace.product([Attribute("grade", ("none", "mild", "moderate", "severe"))]))


def rare(n=900, seed=0, bias=-2.5):
    """Calibrated probabilities of labels that are rare, so that one half is too high for F1."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(n, 5)) * 1.5 + bias
    p = sigmoid(odds)
    return p, (rng.random((n, 5)) < p).astype(np.float32)


def graded(n=900, seed=0):
    """Values that a careful model draws towards the middle, of grades 0 to 3 of which the outer are rare."""
    rng = np.random.default_rng(seed)
    grade = rng.choice(4, n, p=[0.5, 0.2, 0.2, 0.1]).astype(np.float32)
    value = 0.45 * (grade - 1) + 1.0 + rng.normal(size=n) * 0.2
    return value[:, None].astype(np.float32), grade[:, None]


def labelled(target, p, y, parts=5):
    n = len(p)
    ids = np.array([f"{i:05d}" for i in range(n)])
    rows = Rows(ids, ids, np.arange(n))
    at = tuple(np.arange(n)[k::parts] for k in range(parts))
    return decision.Labelled(Probabilities.of(target, ids, p, "oof"), y, rows, at)


def decided(target, drawn, step, metric, adopt="better"):
    (p, y), (other, truth) = drawn(seed=1), drawn(seed=2)
    known, test = labelled(target, p, y), labelled(target, other, truth)
    judge = decision.Criterion(metric, 100, 0, adopt)
    return known, test, decision.decide([step], known, test.oof, test.rows, judge)


@pytest.mark.parametrize("metric", [F1, MICRO])
def test_rare_labels_get_thresholds_below_one_half_that_hold_on_other_images(metric):
    known, test, found = decided(LABELS, rare, Thresholds(metric, 0.1, LABELS), metric)
    assert found.adopted == ("thresholds",)
    assert found.crossfitted > metric.score(known.y_N, known.oof.p_NC) + 0.03
    assert metric.score(test.y_N, found.test.p_NC) > metric.score(test.y_N, test.oof.p_NC) + 0.03
    at = found.tried[0].facts["thresholds"]
    assert all(0.05 < value < 0.5 for value in at.values())
    # Whoever answers at one half answers by the thresholds, and the order of images stays.
    expected = test.oof.p_NC > np.array(list(at.values()))
    assert np.array_equal(LABELS.held(found.test.p_NC), expected)
    auc = metrics.get("auc")
    before, after = (auc.score(test.y_N, p) for p in (test.oof.p_NC, found.test.p_NC))
    assert after == pytest.approx(before, abs=1e-4)


def test_thresholds_that_gain_nothing_stay_at_one_half_and_are_left_out():
    def balanced(seed):
        return rare(bias=0.0, seed=seed)

    accuracy = metrics.get("accuracy")
    _, test, found = decided(LABELS, balanced, Thresholds(accuracy, 0.1, LABELS), accuracy)
    assert found.adopted == ()
    np.testing.assert_array_equal(found.test.p_NC, test.oof.p_NC)


def test_a_label_of_few_images_keeps_the_common_threshold():
    p, y = rare()
    y[:, 0] = 0
    y[np.flatnonzero(p[:, 0] < 0.03)[:1], 0] = 1  # its own best threshold answers nearly every image with it
    common, shift = thresholds.fit_thresholds(LABELS, p, y, F1, 0.1)
    alone = thresholds.fit_thresholds(LABELS, p, y, F1, 0.0)[1]
    assert -2 < common < 0 and abs(shift[0] - common) < abs(alone[0] - common)
    assert (np.abs(shift - common) <= 1).all()


def test_unknown_truth_moves_no_threshold():
    p, y = rare()
    holes = y.copy()
    holes[::3, 2] = np.nan
    filled = np.where(np.isnan(holes), 1 - y, y).astype(np.float32)
    kept = np.arange(len(p)) % 3 != 0
    shifts = [thresholds.fit_thresholds(LABELS, p, t, F1, 0.0)[1][2] for t in (holes, filled)]
    only = thresholds.fit_thresholds(LABELS, p[kept], y[kept], F1, 0.0)[1][2]
    assert shifts[0] == only and shifts[0] != shifts[1]


def test_levels_of_a_label_are_not_moved():
    space = LabelSpace.independent([Attribute("scab", ("0", "1")), Attribute("g", ("a", "b", "c"))])
    target = Target.of(space)
    rng = np.random.default_rng(0)
    p = target.from_logits(rng.normal(size=(300, 4)) - [2, 0, 0, 0])
    y = (rng.random((300, 4)) < p).astype(np.float32)
    shift = thresholds.fit_thresholds(target, p, y, F1, 0.1)[1]
    assert shift[0] != 0 and (shift[1:] == 0).all()
    np.testing.assert_array_equal(thresholds.moved(target, p, shift)[:, 1:], p[:, 1:])
    levels = Target.of(LabelSpace.independent([Attribute("g", ("a", "b", "c"))]))
    assert "several levels" in Thresholds(F1, 0.1, levels).off and not Thresholds(F1, 0.1, target).off


def test_cut_points_of_values_are_better_than_halves():
    known, test, found = decided(VALUE, graded, CutPoints(QWK, 0.1, VALUE), QWK)
    assert found.adopted == ("cut_points",)
    before, after = (QWK.score(test.y_N, p) for p in (test.oof.p_NC, found.test.p_NC))
    assert after > before + 0.03 and set(np.unique(found.test.p_NC)) <= {0, 1, 2, 3}
    assert found.crossfitted > QWK.score(known.y_N, known.oof.p_NC) + 0.03


def test_cut_points_of_ordered_classes_choose_by_the_expected_grade():
    def classes(seed):
        value, grade = graded(seed=seed)
        odds = -((np.arange(4) - value) ** 2) * 1.2
        return softmax(odds), grade[:, 0].astype(np.int64)

    _, test, found = decided(GRADES, classes, CutPoints(QWK, 0.1, GRADES), QWK)
    assert found.adopted == ("cut_points",)
    cuts = np.array(found.tried[0].facts["cut_points"])
    assert (np.diff(cuts) > 0).all()
    expected = np.searchsorted(cuts, thresholds.expected_grade(test.oof.p_NC), side="right")
    assert np.array_equal(found.test.labels(), expected)
    np.testing.assert_allclose(found.test.p_NC.sum(axis=1), 1, atol=1e-5)
    assert QWK.score(test.y_N, found.test.p_NC) > QWK.score(test.y_N, test.oof.p_NC) + 0.02


def test_shrinking_holds_cut_points_at_halves():
    value, grade = graded(n=200)

    def score(cuts):
        return QWK.score(grade, np.searchsorted(cuts, value[:, 0], side="right")[:, None].astype(np.float32))

    start = np.array([0.5, 1.5, 2.5])
    free, held = (thresholds.fit_cuts(score, start, shrink) for shrink in (0.0, 1e6))
    np.testing.assert_array_equal(held, start)
    assert score(free) > score(start) and (np.diff(free) > 0).all()


def test_values_that_are_no_grades_are_not_cut_and_not_rounded():
    assert "0.25" in thresholds.not_whole(np.array([[1.0], [0.25], [np.nan]], np.float32))
    assert "100 grades" in thresholds.not_whole(np.array([[0.0], [5000.0]], np.float32), 100)
    assert thresholds.not_whole(np.array([[0.0], [3.0], [np.nan]], np.float32), 100) == ""


def test_a_value_that_only_one_part_knows_is_no_fault():
    target = Target.of(LabelSpace.numbers(["grade", "rare"]))
    p, y = graded(200)
    y = np.concatenate([y, np.where(np.arange(200)[:, None] % 5 == 0, y, np.nan)], axis=1)
    p = np.concatenate([p, p], axis=1)
    given = labelled(target, p, y.astype(np.float32))
    steps = [CutPoints(QWK, 0.1, target), Clip(target)]
    rows = given.rows.take(np.arange(3))
    test = Probabilities.of(target, rows.ids_N, p[:3] + 1e9, "test")
    made = decision.decide(steps, given, test, rows, decision.Criterion(QWK, 20, 0, "always"))
    assert np.isfinite(made.oof.p_NC).all() and made.test.p_NC.max() == 3


def test_clipping_and_rounding_are_kept_where_they_help():
    def counts(seed):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, (600, 1)).astype(np.float32)
        return y + rng.normal(size=y.shape).astype(np.float32) * 0.15 + (y == 3) * 1.0, y

    for step in (Clip(VALUE), Round()):
        _, test, found = decided(VALUE, counts, step, RMSE)
        assert found.adopted == (step.name,)
        assert RMSE.score(test.y_N, found.test.p_NC) < RMSE.score(test.y_N, test.oof.p_NC) - 0.01


@pytest.mark.parametrize("step", ["class_scales", "thresholds", "cut_points", "clip"])
def test_a_step_refuses_a_target_for_which_it_makes_no_sense(step):
    made = {
        "class_scales": decision.ClassScales(F1, 0.1, LABELS.columns),
        "thresholds": Thresholds(F1, 0.1, LABELS),
        "cut_points": CutPoints(QWK, 0.1, VALUE),
        "clip": Clip(VALUE),
    }[step]
    fits_labels = step == "thresholds"
    target, (p, y) = (VALUE, graded(100)) if fits_labels else (LABELS, rare(100))
    known = labelled(target, p, y)
    judge = decision.Criterion(RMSE if fits_labels else F1, 10, 0)
    with pytest.raises(ConfigError, match=f"decision.steps: {step} needs .*the target here is"):
        decision.decide([made], known, known.oof, known.rows, judge)


def test_a_labels_prior_is_corrected_by_itself():
    rng = np.random.default_rng(0)
    p, columns = sigmoid(rng.normal(size=(4000, 5))), LABELS
    old, new = np.array([0.5, 0.2, 0.1, 0.5, 0.5]), np.array([0.5, 0.1, 0.3, 0.5, 0.9])
    found = priors.corrected(p, old, new, columns).astype(float)
    odds = p / (1 - p) * (new / (1 - new)) / (old / (1 - old))
    np.testing.assert_allclose(found, odds / (1 + odds), atol=1e-5)
    shown = p.mean(axis=0).astype(float)
    estimated = priors.estimated_prior(p, shown, columns)
    np.testing.assert_allclose(estimated, shown, atol=0.01)
    shares = priors.label_shares(np.array([9, 0, 0, 5, 5]), np.array([10, 10, 0, 10, 10]), columns)
    assert shares[0] == pytest.approx(9.5 / 11) and 0 < shares[1] < 0.1 and shares[2] == 0.5


def test_levels_of_a_label_are_corrected_together():
    target = Target.of(LabelSpace.independent([Attribute("s", ("0", "1")), Attribute("g", ("a", "b", "c"))]))
    p = target.from_logits(np.random.default_rng(0).normal(size=(50, 4)))
    old, new = np.array([0.5, 0.2, 0.3, 0.5]), np.array([0.5, 0.5, 0.3, 0.2])
    found = priors.corrected(p, old, new, target)
    assert not target.faulty(found).any()
    np.testing.assert_allclose(found[:, 1:], priors.corrected(p[:, 1:], old[1:], new[1:]), atol=1e-6)
    step = priors.PriorCorrection(old, "uniform", target)
    known = labelled(target, p, np.zeros((50, 4), np.float32))
    assert step.fit(p, known.y_N, known.rows).facts["to"] == pytest.approx([0.5, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("kind", ["labels", "values"])
def test_what_a_group_shares_is_averaged(kind):
    constant = {"labels": ("0", "1"), "values": ()}[kind]
    attributes = (Attribute("age", constant, True), Attribute("pose", constant))
    plain = LabelSpace.independent(attributes) if kind == "labels" else LabelSpace.numbers(["age", "pose"])
    space = LabelSpace(attributes, plain.classes, plain.codes_CA, kind)
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 4)
    truth = np.stack([rng.integers(0, 2, 100)[groups], rng.integers(0, 2, 400)], axis=1).astype(np.float32)
    p = np.clip(truth * 0.4 + 0.3 + rng.normal(size=truth.shape) * 0.2, 0, 1).astype(np.float32)
    ids = np.array([f"{i:04d}" for i in range(400)])
    samples = Samples(ids, ids, groups.astype(str), space, None, "train", y_NK=truth)
    table = grouping.table_groups(samples, samples, DecisionSettings(steps=["group_average"]))
    assert not table.off and "100.0%" in table.text
    step = decision.GroupAverage(space, table.text)
    after = step.fit(p, truth, None).apply(p, Rows(ids, groups.astype(str), table.oof_N))
    np.testing.assert_array_equal(after[:, 1], p[:, 1])
    assert np.square(after[:, 0] - truth[:, 0]).mean() < np.square(p[:, 0] - truth[:, 0]).mean() - 0.01
    assert np.ptp(after[:4, 0]) == 0


def test_groups_that_disagree_are_not_averaged_and_unknown_truth_is_no_disagreement():
    space = LabelSpace.independent([Attribute("age", ("0", "1"), True)])
    ids = np.array([f"{i:04d}" for i in range(8)])
    truth = np.array([[1], [1], [np.nan], [1], [0], [0], [0], [np.nan]], np.float32)
    known = Samples(ids, ids, np.repeat(["a", "b"], 4), space, None, "train", y_NK=truth)
    settings = DecisionSettings(steps=["group_average"])
    assert not grouping.table_groups(known, known, settings).off
    truth[1] = 0
    other = Samples(ids, ids, np.repeat(["a", "b"], 4), space, None, "train", y_NK=truth)
    assert "pure" in grouping.table_groups(other, other, settings).off
