"""Every metric against scikit-learn, on data with absent classes, one class and ties."""

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace

# The metrics of one true class a row; those of rankings, labels and values are in test_matrix_metrics.py.
CLASSIC = ("accuracy", "auc", "balanced_accuracy", "log_loss", "macro_f1", "mcc", "qwk", "weighted_f1")


def draw(seed, n=200, c=6, skill=1.0, absent=()):
    rng = np.random.default_rng(seed)
    y = rng.choice(np.setdiff1d(np.arange(c), absent), n)
    x = rng.normal(size=(n, c))
    x[np.arange(n), y] += skill
    p = np.exp(x)
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def reference(name, y, p):
    pred, c = p.argmax(axis=1), p.shape[1]
    with warnings.catch_warnings():
        # "a class in y_pred is not in y_true": exactly what these tests are about.
        warnings.simplefilter("ignore", UserWarning)
        if name == "macro_f1":
            return sk.f1_score(y, pred, average="macro", zero_division=0)
        if name == "weighted_f1":
            return sk.f1_score(y, pred, average="weighted", zero_division=0)
        if name == "accuracy":
            return sk.accuracy_score(y, pred)
        if name == "balanced_accuracy":
            return sk.balanced_accuracy_score(y, pred)
        if name == "mcc":
            return sk.matthews_corrcoef(y, pred)
        if name == "qwk":
            return sk.cohen_kappa_score(y, pred, weights="quadratic", labels=np.arange(c))
        if name == "log_loss":
            q = p.astype(np.float64)
            return sk.log_loss(y, q / q.sum(axis=1, keepdims=True), labels=np.arange(c))
    occurs = [k for k in range(c) if 0 < (y == k).sum() < len(y)]
    return np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in occurs])


CASES = {
    "all classes": {},
    "absent from truth": {"absent": (0, 4)},
    "weak": {"skill": 0.0},
    "strong": {"skill": 6.0},
    "two classes": {"c": 2},
    "few rows": {"n": 5},
}


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("case", CASES)
def test_equals_scikit_learn(name, case):
    for seed in range(5):
        y, p = draw(seed, **CASES[case])
        got = metrics.get(name).score(y, p)
        assert got == pytest.approx(reference(name, y, p), abs=1e-9)
        assert metrics.get(name).minimum <= got <= metrics.get(name).maximum


def test_the_registry_begins_with_macro_f1_and_knows_which_scores_are_losses():
    assert set(CLASSIC) <= set(metrics.METRICS) and next(iter(metrics.METRICS)) == "macro_f1"
    losses = {m.name for m in metrics.METRICS.values() if not m.higher_is_better}
    assert losses == {"log_loss", "rmse", "mae", "rmsle", "mape", "kl", "cross_entropy"}
    for name, metric in metrics.METRICS.items():
        assert metric.name == name
        assert metric.description and metric.minimum < metric.maximum


@pytest.mark.parametrize("name", CLASSIC)
def test_perfect_is_the_best_possible_and_beats_reversed(name):
    y = np.array([0, 1, 2, 2, 1, 0, 3])
    metric, perfect = metrics.get(name), np.eye(4, dtype=np.float32)[y]
    best = metric.maximum if metric.higher_is_better else metric.minimum
    assert metric.score(y, perfect) == pytest.approx(best)
    wrong = np.eye(4, dtype=np.float32)[(y + 1) % 4]
    assert metric.sign * metric.score(y, perfect) > metric.sign * metric.score(y, wrong)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("macro_f1", 1), ("accuracy", 1), ("balanced_accuracy", 1), ("weighted_f1", 1)),
        *(("qwk", 0), ("mcc", 0), ("auc", 0.5), ("log_loss", 0)),
    ],
)
def test_one_class_only(name, expected):
    y = np.zeros(4, np.int64)
    assert metrics.get(name).score(y, np.eye(3, dtype=np.float32)[y]) == expected


def test_macro_f1_averages_what_occurs_in_truth_or_prediction():
    # Class 0 right, class 1 predicted but never true, class 2 neither: (1 · 2/3 + 0) / 2.
    y, pred = np.array([0, 0]), np.array([0, 1])
    assert metrics.get("macro_f1").score_labels(y, pred, 3) == pytest.approx((2 / 3 + 0) / 2)


def test_auc_counts_ties_half_and_equals_scikit_learn_on_coarse_scores():
    y, p = draw(3, n=300)
    p = (np.round(p * 4) + 0.5).astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    coarse = np.round(p, 1).astype(np.float32)
    assert metrics.get("auc").score(y, coarse) == pytest.approx(reference("auc", y, coarse))
    flat = np.full((300, 6), 1 / 6, np.float32)
    assert metrics.get("auc").score(y, flat) == pytest.approx(0.5)


def test_tied_labels_go_to_the_first_class():
    p = np.array([[0.4, 0.4, 0.2]], np.float32)
    assert metrics.get("accuracy").score(np.array([0]), p) == 1
    assert metrics.get("accuracy").score(np.array([1]), p) == 0


def test_log_loss_of_a_certain_wrong_answer_is_finite():
    metric = metrics.get("log_loss")
    score = metric.score(np.array([0]), np.array([[0, 1]], np.float32))
    assert score == pytest.approx(metric.maximum)


@pytest.mark.parametrize("name", CLASSIC)
def test_weights_equal_repeated_rows(name):
    y, p = draw(11, n=80, c=4)
    w_BN = np.random.default_rng(0).integers(0, 4, (5, 80)).astype(np.float64)
    w_BN[4] = np.where(y == 2, 0, w_BN[4])  # a resample without class 2
    metric = metrics.get(name)
    repeated = metrics.by_rows(metric.score)(y, p)(w_BN)
    np.testing.assert_allclose(metric.resampler(y, p)(w_BN), repeated, rtol=0, atol=1e-12)


def test_a_metric_of_ones_own_by_rows():
    mine = metrics.Metric(
        "brier", False, "probabilities", 0, 2, "squared error",
        on_weights=metrics.by_rows(lambda y, p: float(((np.eye(4)[y] - p) ** 2).sum(axis=1).mean())),
    )  # fmt: skip
    y, p = draw(1, n=30, c=4)
    assert mine.score(y, p) == pytest.approx(((np.eye(4)[y] - p) ** 2).sum(axis=1).mean())


def test_a_metric_without_its_function_is_refused():
    with pytest.raises(AssertionError, match="lacks the function"):
        dataclasses.replace(metrics.get("auc"), needs="labels")


@pytest.mark.parametrize("name", CLASSIC)
def test_labels_alone(name):
    y, p = draw(5)
    metric = metrics.get(name)
    if metric.needs == "labels":
        assert metric.score_labels(y, p.argmax(axis=1), 6) == metric.score(y, p)
    else:
        with pytest.raises(ConfigError, match=f"{name} needs probabilities"):
            metric.score_labels(y, p.argmax(axis=1), 6)


def test_unknown_metric_names_the_nearest_or_all():
    with pytest.raises(ConfigError, match=r"'macrof1'[\s\S]*did you mean macro_f1"):
        metrics.get("macrof1")
    with pytest.raises(ConfigError, match="balanced_accuracy"):
        metrics.get("zzz")


def test_confusion_and_per_class_equal_scikit_learn():
    y, p = draw(2, absent=(1,), skill=0.3)
    pred = np.where(p.argmax(axis=1) == 5, 0, p.argmax(axis=1))
    np.testing.assert_array_equal(
        metrics.confusion(y, pred, 6), sk.confusion_matrix(y, pred, labels=np.arange(6))
    )
    table = metrics.per_class(y, pred, 6)
    expected = sk.precision_recall_fscore_support(y, pred, labels=np.arange(6), zero_division=0)
    got = (table.precision_C, table.recall_C, table.f1_C, table.support_C)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_array_equal(table.predicted_C, np.bincount(pred, minlength=6))


@pytest.mark.parametrize(("y", "pred"), [([0, 3], [0, 1]), ([0, 1], [0, -1]), ([0], [0, 1])])
def test_labels_outside_or_of_other_length_are_our_own_bug(y, pred):
    with pytest.raises(AssertionError):
        metrics.confusion(np.array(y), np.array(pred), 3)


def test_nothing_to_score_is_our_own_bug():
    with pytest.raises(AssertionError, match="nothing to score"):
        metrics.get("accuracy").score(np.zeros(0, np.int64), np.zeros((0, 2), np.float32))


def test_attributes_are_judged_by_their_marginal():
    space = LabelSpace.product([Attribute("kind", ("a", "b", "c")), Attribute("size", ("s", "l"))])
    # Most probable class is (a, s), yet b has .6 in sum: the marginal says b.
    p = np.array([[0.4, 0.0, 0.3, 0.3, 0.0, 0.0]], np.float32)
    y = np.array([2])  # (b, s)
    assert metrics.attribute_scores(space, y, p) == {"kind": 1.0, "size": 1.0}
    assert metrics.attribute_scores(space, y, p.argmax(axis=1)) == {"kind": 0.0, "size": 1.0}


def test_attribute_scores_equal_scikit_learn():
    space = LabelSpace.product([Attribute("kind", ("a", "b", "c")), Attribute("size", ("s", "l"))])
    y, p = draw(9)
    kind = p.reshape(-1, 3, 2).sum(axis=2).argmax(axis=1)
    expected = sk.f1_score(y // 2, kind, average="macro")
    assert metrics.attribute_scores(space, y, p)["kind"] == pytest.approx(expected)
    expected = sk.f1_score(y % 2, p.argmax(axis=1) % 2, average="macro")
    assert metrics.attribute_scores(space, y, p.argmax(axis=1))["size"] == pytest.approx(expected)


COUNTED = [name for name, metric in metrics.METRICS.items() if metric.on_margins is not None]


@pytest.mark.parametrize("name", COUNTED)
def test_three_counts_of_each_class_give_the_scores_of_the_confusion(name):
    metric = metrics.get(name)
    y, p = draw(3)
    w_BN = np.random.default_rng(0).integers(0, 4, (5, len(y))).astype(float)
    counted = [np.repeat(np.arange(len(y)), w_N.astype(int)) for w_N in w_BN]
    confusions = np.stack([metrics.confusion(y[at], p.argmax(1)[at], 6) for at in counted]).astype(float)
    np.testing.assert_array_equal(metric.resampler(y, p)(w_BN), metric.on_counts(confusions))


@pytest.mark.parametrize("name", COUNTED)
def test_ten_thousand_classes_need_no_confusion(name):
    """A confusion would be 800 MB for each resample."""
    y = np.arange(40) * 250
    p = np.zeros((40, 10_000), np.float32)
    p[np.arange(40), np.where(np.arange(40) % 4, y, y + 1)] = 1
    metric = metrics.get(name)
    assert 0.5 < metric.score(y, p) < 1
    assert metric.score_labels(y, p.argmax(1), 10_000) == metric.score(y, p)
    assert (metrics.per_class(y, p.argmax(1), 10_000).support_C[y] == 1).all()
