"""Log loss of labels with several levels and with weights: each label is one cell."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pipeline.core import metrics, statistics
from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.truths import cells_of
from pipeline.record.files import space_of_text, space_text
from pipeline.settings.load import load

TWO = ("no", "yes")
ATTRIBUTES = [Attribute("any", TWO), Attribute("spine", ("normal", "mild", "severe")), Attribute("leg", TWO)]


def drawn(weights=(), n=60, unknown=True):
    space = LabelSpace.independent(ATTRIBUTES)
    space = LabelSpace(space.attributes, space.classes, space.codes_CA, "labels", weights)
    draw = np.random.default_rng(0)
    level = draw.choice(3, n, p=[0.7, 0.2, 0.1])
    y = np.column_stack([draw.random(n) < 0.3, np.eye(3)[level], draw.random(n) < 0.6]).astype(np.float32)
    if unknown:
        y[:7, 1:4] = np.nan
        y[5:9, 4] = np.nan
    p = np.column_stack([draw.random(n), draw.dirichlet([1, 1, 1], n), draw.random(n)]).astype(np.float32)
    ids = np.array([f"i{k:03}" for k in range(n)])
    return Samples(ids, ids, ids, space, None, "train", y_NK=y), p, level


def each(samples, p, level, by_level=(1, 1, 1)):
    """Scikit-learn's log loss of each label on the rows where it is known."""
    y = samples.y_NK
    known = ~np.isnan(y)
    weight = np.array(by_level)[level[known[:, 1]]]
    return [
        log_loss(y[:, 0], p[:, 0]),
        log_loss(level[known[:, 1]], p[known[:, 1], 1:4], sample_weight=weight, labels=[0, 1, 2]),
        log_loss(y[known[:, 4], 4], p[known[:, 4], 4]),
    ]


def test_a_label_of_several_levels_is_one_label():
    samples, p, level = drawn()
    expected = np.mean(each(samples, p, level))
    assert metrics.get("log_loss").score(samples.truth, p) == pytest.approx(expected, rel=1e-5)


def test_labels_and_levels_count_by_their_weights():
    samples, p, level = drawn((("any", 2.0), ("spine · severe", 4.0), ("spine · mild", 2.0)))
    expected = np.average(each(samples, p, level, (1, 2, 4)), weights=[2, 1, 1])
    assert metrics.get("log_loss").score(samples.truth, p) == pytest.approx(expected, rel=1e-5)


def test_rows_of_a_truth_keep_the_weights_and_other_columns_do_not():
    samples, p, _ = drawn((("any", 3.0),))
    some = np.arange(20, 50)
    alone = metrics.get("log_loss").score(samples.take(samples.ids_N[some]).truth, p[some])
    assert metrics.get("log_loss").score(samples.truth[some], p[some]) == alone
    assert cells_of(samples.truth[:, :2]) is None and cells_of(np.asarray(samples.truth)) is None


def test_resamples_of_weighted_labels_are_scored_like_rows():
    samples, p, _ = drawn((("any", 3.0),), unknown=False)
    found = statistics.interval(metrics.get("log_loss"), samples.truth, p, samples.groups_N, 50, 0)
    assert found.low < found.value < found.high
    times = np.random.default_rng(1).integers(0, 3, (1, len(p)))
    rows = np.repeat(np.arange(len(p)), times[0])
    by_weight = metrics.get("log_loss").resampler(samples.truth, p)(times.astype(float))[0]
    assert by_weight == pytest.approx(metrics.get("log_loss").score(samples.truth[rows], p[rows]))


def test_plain_labels_have_a_plain_truth():
    space = LabelSpace.independent(ATTRIBUTES[:1])
    ids = np.array(["a"])
    plain = Samples(ids, ids, ids, space, None, "train", y_NK=np.ones((1, 1), np.float32))
    assert type(plain.truth) is np.ndarray


def test_a_space_with_weights_is_written_and_read():
    samples, _, _ = drawn((("any", 2.0),))
    again = space_of_text(space_text(samples.space))
    assert again.weights == samples.space.weights and again.kind == "labels"
    assert space_of_text(space_text(drawn()[0].space)).weights == ()


def test_unknown_weights_and_weights_that_nothing_reads_are_refused():
    attributes = "[{name: a, column: a, values: ['0', '1']}, {name: b, column: b, values: [x, y, z]}]"
    base = ["competition=digits", "competition.demo=null", "competition.root=.", "competition.target=labels"]
    base += [f"competition.attributes={attributes}"]
    with pytest.raises(ConfigError) as error:
        load([*base, "competition.metric=log_loss", "competition.label_weights={'b · q': 2, a: 3, c: 1}"])
    assert sum("is neither a label nor" in fault for fault in error.value.faults) == 2
    with pytest.raises(ConfigError) as error:
        load([*base, "competition.metric=macro_f1", "competition.label_weights={a: 3}"])
    assert any("metric=log_loss" in fault for fault in error.value.faults)


def test_answers_of_levels_are_the_most_probable_ones_as_a_submission_writes_them():
    samples, p, level = drawn(unknown=False)
    p[:, 1:4] = np.eye(3)[level] * 0.1 + 0.3  # the right level, never above one half
    y, said = samples.y_NK, (p > 0.5).astype(np.float32)
    said[:, 1:4] = np.eye(3)[level]
    for name in ("macro_f1", "micro_f1", "samples_f1", "exact_match"):
        assert metrics.get(name).score(samples.truth, p) == metrics.get(name).score(y, said)
    assert metrics.get("exact_match").score(samples.truth[:, 1:4], p[:, 1:4]) == 0  # columns without a label
    right = (said[:, [0, 4]] == y[:, [0, 4]]).sum() + len(y)
    assert metrics.get("accuracy").score(samples.truth, p) == pytest.approx(right / (3 * len(y)))


def test_a_wrong_level_is_one_wrong_answer_and_unknown_ones_do_not_count():
    samples, p, level = drawn()
    p[:] = np.nan_to_num(samples.y_NK)
    wrong = np.flatnonzero(~np.isnan(samples.y_NK[:, 1]))[:4]
    p[np.ix_(wrong, [1, 2, 3])] = np.eye(3)[(level[wrong] + 1) % 3]
    known = len(p) + (~np.isnan(samples.y_NK[:, [1, 4]])).sum()
    assert metrics.get("accuracy").score(samples.truth, p) == pytest.approx(1 - 4 / known)
    found = statistics.interval(metrics.get("accuracy"), samples.truth, p, samples.groups_N, 50, 0)
    assert found.low < found.value <= found.high
