"""Metrics of labels, values and shares: known figures, weights as repeated rows, and unknown cells."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as theirs

from pipeline.core import metrics
from pipeline.core.targets import softmax

N, K = 60, 5


@pytest.fixture
def labels():
    generator = np.random.default_rng(3)
    y = (generator.random((N, K)) < [0.5, 0.3, 0.1, 0.6, 0.2]).astype(np.float32)
    # Rounded, so that scores tie.
    p = np.clip(0.35 * y + 0.5 * generator.random((N, K)), 0, 1).round(1).astype(np.float32)
    return y, p


@pytest.fixture
def values():
    generator = np.random.default_rng(4)
    y = (10 + 3 * generator.normal(size=(N, 2))).astype(np.float32)
    return y, (y + generator.normal(size=(N, 2))).astype(np.float32)


OF_LABELS = {
    "macro_f1": lambda y, p: theirs.f1_score(y, p > 0.5, average="macro"),
    "micro_f1": lambda y, p: theirs.f1_score(y, p > 0.5, average="micro"),
    "samples_f1": lambda y, p: theirs.f1_score(y, p > 0.5, average="samples", zero_division=1.0),
    "exact_match": lambda y, p: theirs.accuracy_score(y, p > 0.5),
    "accuracy": lambda y, p: 1 - theirs.hamming_loss(y, p > 0.5),
    "auc": lambda y, p: theirs.roc_auc_score(y, p, average="macro"),
    "micro_auc": lambda y, p: theirs.roc_auc_score(y, p, average="micro"),
    "map": lambda y, p: theirs.average_precision_score(y, p, average="macro"),
    "lrap": lambda y, p: theirs.label_ranking_average_precision_score(y, p),
    "log_loss": lambda y, p: np.mean(
        [theirs.log_loss(y[:, k], np.clip(p[:, k], 1.2e-7, 1 - 1.2e-7)) for k in range(K)]
    ),
}
OF_VALUES = {
    "rmse": lambda y, p: np.sqrt(((y - p) ** 2).mean(axis=0)).mean(),
    "mae": lambda y, p: theirs.mean_absolute_error(y, p),
    "rmsle": lambda y, p: np.mean([theirs.root_mean_squared_log_error(y[:, k], p[:, k]) for k in range(2)]),
    "mape": lambda y, p: theirs.mean_absolute_percentage_error(y, p),
    "r2": lambda y, p: theirs.r2_score(y, p),
    "pearson": lambda y, p: np.mean([stats.pearsonr(y[:, k], p[:, k])[0] for k in range(2)]),
    "spearman": lambda y, p: np.mean([stats.spearmanr(y[:, k], p[:, k])[0] for k in range(2)]),
}


@pytest.mark.parametrize("name", OF_LABELS)
def test_a_label_metric_gives_scikit_learns_figure(name, labels):
    assert metrics.get(name).score(*labels) == pytest.approx(OF_LABELS[name](*labels), abs=1e-5)


@pytest.mark.parametrize("name", OF_VALUES)
def test_a_value_metric_gives_the_figure_of_scikit_learn_or_scipy(name, values):
    assert metrics.get(name).score(*values) == pytest.approx(OF_VALUES[name](*values), abs=1e-4)


def test_kappa_of_values_is_that_of_their_rounded_grades():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 5, (200, 1)).astype(np.float32)
    p = (y + generator.normal(0, 0.8, (200, 1))).astype(np.float32)
    grades = np.clip(np.floor(p[:, 0] + 0.5), 0, 4).astype(int)
    expected = theirs.cohen_kappa_score(y[:, 0].astype(int), grades, weights="quadratic")
    assert metrics.get("qwk").score(y, p) == pytest.approx(expected, abs=1e-6)


def every_case():
    for name, metric in metrics.METRICS.items():
        for kind in metric.kinds:
            if kind != "exclusive":
                yield pytest.param(name, kind, id=f"{name}-{kind}")


def drawn(kind, labels, values):
    if kind == "labels":
        return labels
    if kind == "values":
        return values
    generator = np.random.default_rng(8)
    return softmax(generator.normal(size=(N, K))), softmax(generator.normal(size=(N, K)))


@pytest.mark.parametrize(("name", "kind"), list(every_case()))
def test_a_weight_counts_as_that_many_equal_rows(name, kind, labels, values):
    y, p = drawn(kind, labels, values)
    times = np.random.default_rng(1).integers(0, 3, (4, N))
    # Every resample has the range of the truth, to which kappa clips its grades.
    times[:, [y[:, 0].argmin(), y[:, 0].argmax(), y[:, 1].argmin(), y[:, 1].argmax()]] = 1
    metric = metrics.get(name)
    found = metric.resampler(y, p)(times.astype(float))
    rows = [np.repeat(np.arange(N), t) for t in times]
    np.testing.assert_allclose(found, [metric.score(y[r], p[r]) for r in rows], atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [c for c in every_case() if "shares" not in c.id])
def test_what_is_unknown_changes_nothing(name, kind, labels, values):
    y, p = (a.copy() for a in drawn(kind, labels, values))
    hidden = np.random.default_rng(2).random(y.shape) < 0.3
    y[hidden] = np.nan
    other = p.copy()
    other[hidden] = 0.77
    metric = metrics.get(name)
    assert metric.score(y, p) == metric.score(y, other)


def test_a_label_without_both_answers_is_left_out_of_auc_and_map(labels):
    y, p = labels
    y[:, 0], y[:, 1] = 1, 0
    kept = [metrics.get("auc").score(y[:, [k]], p[:, [k]]) for k in (2, 3, 4)]
    assert metrics.get("auc").score(y, p) == pytest.approx(np.mean(kept))
    with_hits = [metrics.get("map").score(y[:, [k]], p[:, [k]]) for k in (0, 2, 3, 4)]
    assert metrics.get("map").score(y, p) == pytest.approx(np.mean(with_hits))


def test_partial_auc_is_the_area_above_a_true_positive_rate_of_80_percent():
    y = np.repeat([1.0, 0.0], 500)[:, None].astype(np.float32)
    perfect, blind = y.copy(), np.random.default_rng(0).random((1000, 1)).astype(np.float32)
    metric = metrics.get("pauc")
    assert metric.score(y, perfect) == pytest.approx(0.2)
    # Of a line from (0.8, 0.8) to (1, 1) the area above 0.8.
    assert metric.score(y, blind) == pytest.approx(0.02, abs=0.01)


def test_ranked_answers_score_by_the_rank_of_the_true_class():
    p = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]], np.float32)
    y = np.array([0, 0, 1])
    assert metrics.get("map@3").score(y, p) == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert metrics.get("top3").score(y, p) == 1.0
    # Rows by confidence: right, wrong, wrong (of equal ones the first answer counts).
    assert metrics.get("gap").score(y, p) == pytest.approx((1 / 1) / 3)


def test_divergence_of_equal_shares_is_zero():
    y = softmax(np.random.default_rng(0).normal(size=(20, 4)))
    assert metrics.get("kl").score(y, y) == pytest.approx(0, abs=1e-6)
    assert metrics.get("kl").score(y, y[::-1]) > 0.1


@pytest.mark.parametrize("name", ["r2", "pearson", "spearman"])
def test_a_resample_whose_truth_does_not_vary_leaves_the_column_out(name):
    draw = np.random.default_rng(0)
    y = np.tile(draw.normal(0, 10, (200, 1, 1)), (1, 8, 1)).astype(np.float32)
    y[:, -1] = draw.normal(0, 10, (200, 1))
    p = draw.normal(0, 10, y.shape).astype(np.float32)
    weights = draw.integers(1, 4, (5, 8)) * (np.arange(8) < 7.0)
    for y_N1, p_N1 in zip(y, p, strict=True):
        assert (metrics.get(name).resampler(y_N1, p_N1)(weights) == 0).all()


def test_a_small_spread_around_a_large_number_is_no_rounding():
    y = (np.arange(8, dtype=np.float32) + 100_000)[:, None]
    assert metrics.get("r2").score(y, y + 1) == pytest.approx(1 - 1 / np.var(np.arange(8)), rel=1e-6)
    assert metrics.get("pearson").score(y, y + 1) == pytest.approx(1)


@pytest.mark.parametrize("name", ["qwk", "r2", "rmse", "mae", "pearson", "spearman"])
def test_a_column_of_which_nothing_is_known_is_left_out(name):
    y = np.arange(6, dtype=np.float32)[:, None]
    both = np.concatenate([y, np.full_like(y, np.nan)], axis=1)
    p = np.concatenate([y[::-1], y], axis=1)
    assert metrics.get(name).score(both, p) == metrics.get(name).score(y, y[::-1])
