"""What columns mean: exclusive classes, and one clear sentence for every other kind."""

import numpy as np
import pytest

from pipeline.core import metrics, targets
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities, ViewProbabilities
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target, most_probable, normalised, softmax
from pipeline.core.voting import fitting, soft_voting
from pipeline.data import answer_cells
from pipeline.ensemble import decision, priors
from pipeline.settings.loss import LOSSES, LossSettings
from pipeline.settings.submission import SubmissionSettings

SPACE = LabelSpace.product([Attribute("mask", ("on", "off")), Attribute("age", ("young", "middle", "old"))])
TARGET = Target.of(SPACE)
# Whatever needs exclusive classes has to refuse it.
OTHER = Target(SPACE.classes, "labels", SPACE)


KINDS = ("exclusive", "labels", "values", "shares")


def truth_of(kind, n=20, k=6):
    generator = np.random.default_rng(9)
    if kind == "exclusive":
        return generator.integers(0, k, n)
    if kind == "labels":
        return generator.integers(0, 2, (n, k)).astype(np.float32)
    return softmax(generator.normal(size=(n, k)))


def p_of(seed, n=20, k=6):
    return softmax(np.random.default_rng(seed).normal(size=(n, k)) * 3)


def test_a_target_knows_its_columns_and_how_they_are_built():
    assert TARGET.n_columns == 6 and TARGET.columns == SPACE.classes and TARGET.rows_sum_to_one
    assert [a.name for a in TARGET.attributes] == ["mask", "age"] and Target(("a", "b")).attributes == ()
    assert [at.tolist() for at in TARGET.columns_of(0)] == [[0, 1, 2], [3, 4, 5]]
    assert [at.tolist() for at in TARGET.columns_of(1)] == [[0, 3], [1, 4], [2, 5]]
    p = p_of(0)
    expected = np.stack([p[:, at].sum(axis=1) for at in TARGET.columns_of(1)], axis=1)
    np.testing.assert_allclose(TARGET.marginal(p, 1), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "bad"),
    [
        ([0.2, 0.8], False),
        ([0.2005, 0.8], False),
        ([0.21, 0.8], True),
        ([-0.1, 1.1], True),
        ([np.nan, 1.0], True),
        ([np.inf, 1.0], True),
        ([0.0, 0.0], True),
    ],
)
def test_a_valid_row_is_a_distribution(row, bad):
    p = np.array([row, [0.5, 0.5]], np.float32)
    assert Target(("a", "b")).faulty(p).tolist() == [bad, False]
    if bad:
        with pytest.raises(DataError, match="1 row is not probabilities"):
            Probabilities(np.array(["x", "y"]), ("a", "b"), p)


def test_rows_of_another_kind_need_not_sum_to_one():
    p = np.array([[0.9, 0.8], [0.1, -0.1]])
    values = Target(("a", "b"), "values")
    assert not values.faulty(p).any() and values.faulty(p * [[np.nan], [1]]).tolist() == [True, False]
    other = Target(("a", "b"), "labels")
    assert other.faulty(p).tolist() == [False, True] and other.off_N(p).tolist() == [0, 0]
    np.testing.assert_array_equal(other.normalised(p), np.clip(p, 0, 1).astype(np.float32))
    assert "sum to 1" in TARGET.rule and "sum" not in other.rule


def test_normalised_rows_sum_to_one_and_nothing_hides_a_nan():
    found = normalised(np.array([[1.0, 3.0], [0.0, 0.0], [np.nan, 1.0]]))
    np.testing.assert_array_equal(found[:2], np.array([[0.25, 0.75], [0.5, 0.5]], np.float32))
    assert np.isnan(found[2]).all() and found.dtype == np.float32


# The two softmaxes that there were; both gave these bits for what they were called with.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_keeps_the_bits_of_both_that_it_replaces(dtype):
    logits = (np.random.default_rng(5).normal(size=(40, 7)) * 30).astype(dtype)
    wide = logits.astype(np.float64)
    exp = np.exp(wide - wide.max(axis=1, keepdims=True))
    of_networks = np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float32)
    np.testing.assert_array_equal(softmax(logits), of_networks)
    np.testing.assert_array_equal(softmax(wide), normalised(exp))
    np.testing.assert_array_equal(TARGET.from_logits(logits), of_networks)
    assert softmax(np.array([[1e4, -1e4], [np.nan, 0.0]])).tolist()[0] == [1.0, 0.0]


def test_softmax_of_torch_is_the_same_up_to_rounding():
    torch = pytest.importorskip("torch")
    from pipeline.nets.forward import probabilities

    logits = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)) * 10
    np.testing.assert_allclose(probabilities(logits).numpy(), softmax(logits.numpy()), rtol=1e-5, atol=1e-7)
    assert torch.equal(probabilities(logits), logits.softmax(1))


def test_answers_are_the_most_probable_of_equal_ones_the_first():
    p = np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]], np.float32)
    assert Target(("a", "b", "c")).answers(p).tolist() == [0, 2] == most_probable(p).tolist()
    assert Probabilities(np.array(["x", "y"]), ("a", "b", "c"), p).labels().tolist() == [0, 2]


def test_merged_views_keep_their_bits():
    views = np.stack([p_of(1), p_of(2), p_of(3)])
    ids, weights = np.arange(20).astype(str), np.array([1.0, 2.0, 0.5])
    mean = np.einsum("v,vnc->nc", weights / weights.sum(), views.astype(np.float64))
    expected = (mean / mean.sum(axis=1, keepdims=True)).astype(np.float32)
    found = ViewProbabilities(ids, SPACE.classes, ("a", "b", "c"), views).merge(weights.tolist())
    np.testing.assert_array_equal(found.p_NC, expected)


# Refusals: one clear sentence that names the setting, the kinds that it needs, and the kind of the target.


def refused(what):
    return pytest.raises(ConfigError, match=f"{what} needs exclusive classes .*; the target here is labels")


def test_a_refusal_names_both_kinds():
    TARGET.require_exclusive("cutmix")
    TARGET.require(("exclusive",), "cutmix")
    with refused("cutmix"):
        OTHER.require_exclusive("cutmix")
    with refused("one answer per image"):
        OTHER.answers(p_of(0))


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_every_metric_says_what_it_scores(name):
    metric = metrics.get(name)
    for kind in KINDS:
        target = Target(SPACE.classes, kind, SPACE)
        if kind in metric.kinds:
            metric.refuse(target)
            assert np.isfinite(metric.score(truth_of(kind), p_of(0)))
        else:
            with pytest.raises(
                ConfigError, match=f"competition.metric={name} needs .*the target here is {kind}"
            ):
                metric.refuse(target)


@pytest.mark.parametrize("name", sorted(soft_voting.RULES))
def test_every_voting_rule_says_what_it_combines(name):
    soft_voting.RULES[name].refuse(TARGET)
    if "labels" in soft_voting.RULES[name].kinds:
        soft_voting.RULES[name].refuse(OTHER)
        return
    with refused(f"ensemble: voting by {name}"):
        soft_voting.RULES[name].refuse(OTHER)


@pytest.fixture
def together(monkeypatch):
    """Every target in the code under test is of another kind."""
    monkeypatch.setattr(targets.Target, "of", staticmethod(lambda space: OTHER))
    monkeypatch.setattr(Probabilities, "target", OTHER)


def test_losses_ask(together):
    pytest.importorskip("torch")
    from pipeline.train.losses import REGISTRY, make_loss
    from pipeline.train.targets import ClassFacts

    facts = ClassFacts(SPACE, np.ones(6, np.float32))
    for name in (n for n in REGISTRY if "labels" not in LOSSES[n].kinds):
        with pytest.raises(ConfigError, match=f"loss.name: {name} is not for labels"):
            make_loss(LossSettings(name=name), facts)


def test_blends_ask(together):
    found = Probabilities(np.arange(20).astype(str), SPACE.classes, p_of(4))
    with pytest.raises(ConfigError, match="ensemble: voting by rank needs"):
        soft_voting.RULES["rank"].refuse(Target(SPACE.classes, "values"))
    with refused("competition.metric=mcc"):
        fitting.fit(fitting.Recipe("mean"), [found, found], np.zeros(20, np.int64), metrics.get("mcc"))


def test_decisions_ask(together):
    ids = np.arange(20).astype(str)
    found = Probabilities(ids, SPACE.classes, p_of(4))
    rows = decision.Rows(ids, ids, np.arange(20))
    known = decision.Labelled(found, np.zeros(20, np.int64), rows, (np.arange(10), np.arange(10, 20)))
    judge = decision.Criterion(metrics.get("mcc"), 10, 0)
    with refused("competition.metric=mcc"):
        decision.decide([], known, found, rows, judge)


def test_hosts_ask(together):
    p = p_of(4, n=1)
    for kind in ("class_name", "class_index", "top_k"):
        settings = SubmissionSettings(format=kind)
        with refused(f"competition.submission.format={kind}"):
            answer_cells.columns_of(SPACE, settings)
    probabilities = SubmissionSettings(format="probabilities")
    assert answer_cells.columns_of(SPACE, probabilities) == SPACE.classes
    cells = answer_cells.host_cells(p, SPACE.classes, SPACE, probabilities)
    assert list(cells) == list(SPACE.classes)


def test_a_step_for_exclusive_classes_is_refused(monkeypatch):
    ids = np.arange(20).astype(str)
    found = Probabilities(ids, SPACE.classes, p_of(4))
    rows = decision.Rows(ids, ids, np.arange(20))
    known = decision.Labelled(found, np.zeros(20, np.int64), rows, (np.arange(10), np.arange(10, 20)))
    accuracy = metrics.get("mcc")
    judge = decision.Criterion(accuracy, 10, 0)
    monkeypatch.setattr(Probabilities, "target", OTHER)
    monkeypatch.setattr(metrics.Metric, "refuse", lambda self, target: None)
    with refused("decision.steps: class_scales"):
        decision.decide([decision.ClassScales(accuracy, 0.1, SPACE.classes)], known, found, rows, judge)


def test_scaled_and_corrected_rows_keep_their_bits():
    p, scale = p_of(6), np.array([1, 2, 0.5, 1, 1, 3.0])
    even, share = np.full(6, 1 / 6), scale / scale.sum()
    floored = np.maximum(p.astype(np.float64), decision.FLOOR)
    for found, raw in (
        (decision.apply_scales(p, scale), floored * scale),
        (priors.corrected(p, even, share), floored * (share / even)),
    ):
        np.testing.assert_array_equal(found, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32))
