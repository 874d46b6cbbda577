"""Losses of labels and values: against torch and the papers' formulas, with unknown cells left out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.core import metrics, truths
from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target
from pipeline.settings.load import load
from pipeline.settings.loss import LOSSES, LossSettings, losses_for
from pipeline.train import column_losses
from pipeline.train.losses import make_loss
from pipeline.train.own_loss import trial
from pipeline.train.targets import ClassFacts

NAN = float("nan")
TWO = ("no", "yes")
SPACE = LabelSpace.independent(
    [Attribute("a", TWO), Attribute("grade", ("0", "1", "2")), Attribute("b", TWO)]
)
PLAIN = LabelSpace.independent([Attribute(name, TWO) for name in "abc"])
NUMBERS = LabelSpace.numbers(["x", "y"])


def facts(space, **more):
    n = space.n_classes
    return ClassFacts(
        space, **({"counts_C": np.full(n, 4, np.float32), "known_C": np.full(n, 10, np.float32)} | more)
    )


def labels(n=12, space=PLAIN, unknown=0.3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, space.n_classes, generator=draw, requires_grad=True)
    target = (torch.rand(n, space.n_classes, generator=draw) < 0.4).float()
    target[torch.rand(n, space.n_classes, generator=draw) < unknown] = NAN
    return logits, target


def loss_of(space=PLAIN, **settings):
    return make_loss(LossSettings(**settings), facts(space))


def test_the_loss_of_a_window_is_the_mean_over_its_known_cells():
    logits, target = labels()
    known = ~target.isnan()
    expected = functional.binary_cross_entropy_with_logits(logits[known], target[known])
    assert torch.allclose(loss_of().mean(logits, target), expected)


def test_an_unknown_cell_has_no_gradient_and_a_row_of_them_no_weight():
    logits, target = labels()
    target[3] = NAN
    loss = loss_of(name="focal")
    assert loss.weigh(target)[3] == 0 and torch.isfinite(loss(logits, target)).all()
    loss.mean(logits, target).backward()
    assert (logits.grad[target.isnan()] == 0).all() and (logits.grad[~target.isnan()] != 0).all()
    nothing = torch.full_like(target, NAN)
    assert float(loss.mean(logits, nothing).detach()) == 0


def test_a_label_of_several_levels_is_one_cell_with_softmax_cross_entropy():
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    grade = torch.tensor([0, 2, 1, 0, 2])
    target = torch.cat([torch.ones(5, 1), torch.eye(3)[grade], torch.zeros(5, 1)], 1)
    target[2, 1:4] = NAN
    a = functional.softplus(-logits[:, 0])
    b = functional.softplus(logits[:, 4])
    of_grade = functional.cross_entropy(logits[:, 1:4], grade, reduction="none")
    expected = torch.stack([a + b + of_grade, a + b, a + b + of_grade])[[0, 0, 1, 0, 0], torch.arange(5)]
    expected = expected / torch.tensor([3, 3, 2, 3, 3])
    loss = loss_of(SPACE)
    assert torch.allclose(loss(logits, target), expected)
    assert torch.allclose(loss.weigh(target), torch.tensor([3, 3, 2, 3, 3]) / 3)


def test_asymmetric_loss_is_the_papers_formula():
    x = torch.tensor([[-3.0, 0.2, 2.5]])
    p, m = torch.sigmoid(x), 0.05
    for y in (0.0, 1.0):
        up = (1 - p) ** 1 * -p.log()
        q = (p - m).clamp_min(0)
        down = q**4 * -(1 - q).log()
        expected = (up if y else down).mean()
        loss = loss_of(name="asymmetric", gamma_pos=1.0, gamma_neg=4.0, clip=m)
        assert torch.allclose(loss(x, torch.full_like(x, y)), expected)
    # A label that does not hold costs nothing below the clip.
    assert float(loss(torch.full((1, 3), -4.0), torch.zeros(1, 3))) == 0


@pytest.mark.parametrize("clip", [0.0])
def test_asymmetric_loss_without_focus_or_clip_is_binary_cross_entropy(clip):
    logits, target = labels()
    same = loss_of(name="asymmetric", gamma_pos=0.0, gamma_neg=0.0, clip=clip)
    assert torch.allclose(same(logits, target), loss_of()(logits, target), atol=1e-6)


def test_focal_loss_of_labels_weighs_by_the_probability_of_the_error():
    x, y = torch.tensor([[0.7, -1.2, 0.1]]), torch.tensor([[1.0, 0.0, 0.0]])
    wrong = torch.where(y == 1, torch.sigmoid(-x), torch.sigmoid(x))
    plain = functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    assert torch.allclose(loss_of(name="focal", gamma=2.0)(x, y), (wrong**2 * plain).mean(-1))


@pytest.mark.parametrize("name", [n for n in losses_for("labels") if not LOSSES[n].of_batch])
@pytest.mark.parametrize("space", [PLAIN, SPACE])
def test_the_loss_of_mixed_labels_is_the_mix_of_the_losses(name, space):
    logits = torch.randn(6, space.n_classes, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one = torch.zeros(6, space.n_classes, dtype=torch.float64)
    other = torch.ones(6, space.n_classes, dtype=torch.float64)
    if space is SPACE:
        one[:, 1], other[:, 1:3] = 1, 0
    loss = loss_of(space, name=name, label_smoothing=0.1)
    mixed = loss(logits, 0.3 * one + 0.7 * other)
    assert torch.allclose(mixed, 0.3 * loss(logits, one) + 0.7 * loss(logits, other))


def test_smoothing_moves_a_label_towards_one_half_and_levels_towards_equal_shares():
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(3))
    target = torch.tensor([[1.0, 0, 1, 0, 0]]).expand(4, 5)
    soft = torch.tensor([[0.9, 0.2 / 3, 0.8 + 0.2 / 3, 0.2 / 3, 0.1]]).expand(4, 5)
    assert torch.allclose(loss_of(SPACE, label_smoothing=0.2)(x, target), loss_of(SPACE)(x, soft), atol=1e-6)


def test_inverse_weights_make_both_values_of_a_label_count_equally():
    counts = {"counts_C": np.array([1, 5, 9], np.float32), "known_C": np.array([10, 10, 10], np.float32)}
    loss = make_loss(LossSettings(class_weights="inverse"), facts(PLAIN, **counts))
    up, down = column_losses.label_weights(LossSettings(class_weights="inverse"), facts(PLAIN, **counts))
    held = torch.tensor([1.0, 5, 9])
    assert torch.allclose(up * held, down * (10 - held))
    assert torch.allclose(up * held + down * (10 - held), torch.full((3,), 10.0))
    logits = torch.zeros(1, 3)
    assert loss.weigh(torch.tensor([[1.0, 1, 1]])) > loss.weigh(torch.tensor([[0.0, 1, 1]]))
    assert torch.allclose(loss(logits, torch.ones(1, 3)), torch.tensor(2.0).log())


def test_weights_by_hand_are_for_columns_that_hold():
    by_hand = {"a": 4.0, "b": 1.0, "c": 1.0}
    up, down = column_losses.label_weights(LossSettings(class_weights="hand", hand=by_hand), facts(PLAIN))
    assert torch.allclose(up / down, torch.tensor([4.0, 1, 1]))
    with pytest.raises(ConfigError) as error:
        column_losses.label_weights(LossSettings(class_weights="hand", hand={"a": 1.0}), facts(PLAIN))
    assert len(error.value.faults) == 2


def test_soft_f1_of_labels_is_the_macro_f1_of_certain_answers():
    target = torch.tensor([[1.0, 0, NAN], [1, 1, 0], [0, 1, 0]])
    sure = torch.where(target.nan_to_num() > 0.5, 40.0, -40.0)
    assert float(loss_of(name="soft_f1")(sure, target)[0]) == pytest.approx(0, abs=1e-6)
    sure[1, 0] = -40
    assert float(loss_of(name="soft_f1")(sure, target)[0]) == pytest.approx(1 - (2 / 3 + 1) / 2, abs=1e-6)


def values(unit=1.0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    found = torch.randn(8, 2, generator=draw) * unit
    target = torch.randn(8, 2, generator=draw) * unit
    target[2, 0] = NAN
    return found, target


@pytest.mark.parametrize("name", losses_for("values"))
def test_a_loss_of_values_does_not_depend_on_their_unit(name):
    ones = np.ones(2, np.float32)
    plain = make_loss(LossSettings(name=name), facts(NUMBERS, spread_C=ones))
    metres = make_loss(LossSettings(name=name), facts(NUMBERS, spread_C=1000 * ones))
    assert torch.allclose(plain(*values()), metres(*values(1000.0)), rtol=1e-5)
    assert torch.equal(plain.weigh(values()[1]), torch.tensor([1, 1, 0.5, 1, 1, 1, 1, 1]))


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        ({"name": "cross_entropy"}, 4.0),
        ({"name": "mse"}, 4.0),
        ({"name": "mae"}, 2.0),
        ({"name": "quantile", "quantile": 0.75}, 3.0),
        ({"name": "huber", "delta": 0.01}, 2.0),
    ],
)
def test_each_loss_of_values_is_least_at_its_own_middle(settings, best):
    seen = torch.tensor([0.0, 1, 2, 3, 14])
    space = LabelSpace.numbers(["x"])
    loss = make_loss(LossSettings(**settings), facts(space, spread_C=np.ones(1, np.float32)))
    asked = torch.linspace(-1, 15, 1601)
    cost = torch.stack([loss(torch.full((5, 1), float(a)), seen[:, None]).mean() for a in asked])
    assert float(asked[cost.argmin()]) == pytest.approx(best, abs=0.03)


def test_kl_is_cross_entropy_less_the_entropy_of_the_shares():
    space = LabelSpace((Attribute("v", ("x", "y")),), ("x", "y"), np.array([[0], [1]]), "shares")
    share = torch.tensor([[0.3, 0.7], [1.0, 0.0]])
    loss = make_loss(LossSettings(name="kl"), facts(space))
    assert torch.allclose(loss(share.clamp_min(1e-12).log(), share), torch.zeros(2), atol=1e-6)
    plain = make_loss(LossSettings(), facts(space))
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    entropy = torch.special.entr(share).sum(-1)
    assert torch.allclose(plain(x, share) - loss(x, share), entropy)


def test_a_loss_of_another_target_is_refused_with_those_that_fit():
    with pytest.raises(ConfigError, match="choose one of cross_entropy, mse, mae, huber, quantile"):
        make_loss(LossSettings(name="focal"), facts(NUMBERS, spread_C=np.ones(2, np.float32)))
    words = [
        "competition=digits",
        "competition.target=labels",
        "competition.metric=macro_f1",
        "loss.name=huber",
    ]
    with pytest.raises(ConfigError) as error:
        load(words)
    assert any(
        "huber is not for target=labels; choose one of cross_entropy, focal" in f for f in error.value.faults
    )


def test_parameters_of_another_target_are_refused():
    with pytest.raises(ConfigError) as error:
        load(["competition=digits", "loss.name=asymmetric", "loss.label_smoothing=0.1", "loss.clip=0.1"])
    assert any("loss.clip" in fault and "not used by asymmetric" in fault for fault in error.value.faults)


def test_a_loss_of_ones_own_sees_unknown_cells_as_nan_and_no_empty_row(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def masked(x, t):\n"
        "    assert not t.isnan().all(-1).any()\n"
        "    known = ~t.isnan()\n"
        "    off = torch.where(known, x - torch.where(known, t, 0), 0)\n"
        "    return (off ** 2).sum(-1)\n"
    )
    monkeypatch.chdir(tmp_path)
    trial("mine:masked", [2], "values")
    loss = make_loss(LossSettings(name="mine:masked"), facts(NUMBERS, spread_C=np.ones(2, np.float32)))
    target = torch.tensor([[1.0, NAN], [NAN, NAN]])
    assert loss.weigh(target).tolist() == [1, 0]
    assert float(loss.mean(torch.zeros(2, 2), target)) == 1


WEIGHED = (("a", 3.0), ("grade · 2", 4.0))


def complete(n=40):
    """Logits and truths of `SPACE` without unknown cells, and their facts; labels and levels weigh."""
    logits, _ = labels(n, SPACE)
    draw = np.random.default_rng(0)
    grade = np.eye(3, dtype=np.float32)[draw.integers(0, 3, n)]
    y = np.concatenate([draw.integers(0, 2, (n, 1)), grade, draw.integers(0, 2, (n, 1))], axis=1).astype(
        np.float32
    )
    space = replace(SPACE, weights=WEIGHED)
    return logits, y, space, facts(space, counts_C=y.sum(0), known_C=np.full(5, n, np.float32))


def test_labels_and_levels_weigh_in_the_loss_as_in_the_metric():
    logits, y, space, known = complete()
    loss = make_loss(LossSettings(), known)
    truth = truths.known(y, space.cells, None)
    p = Target.of(space).from_logits(logits.detach().numpy())
    expected = metrics.get("log_loss").score(truth, p)
    assert float(loss.mean(logits, torch.from_numpy(y)).detach()) == pytest.approx(expected, abs=1e-5)
    plain = make_loss(LossSettings(label_weights="none"), known)
    assert float(plain.mean(logits, torch.from_numpy(y)).detach()) != pytest.approx(expected, abs=1e-3)


def test_weights_of_labels_by_hand_take_the_place_of_the_metric_and_multiply_those_of_classes():
    logits, y, _, known = complete()
    by_hand = make_loss(LossSettings(label_weights=dict(WEIGHED)), facts(SPACE, counts_C=y.sum(0)))
    of_metric = make_loss(LossSettings(), replace(known, counts_C=y.sum(0)))
    target = torch.from_numpy(y)
    assert torch.allclose(by_hand.mean(logits, target), of_metric.mean(logits, target))
    both = column_losses.label_weights(LossSettings(class_weights="inverse"), known)
    by_class = column_losses.label_weights(LossSettings(class_weights="inverse", label_weights="none"), known)
    factor = column_losses.metric_weights(LossSettings(), known)
    assert all(np.allclose(x.numpy(), z.numpy() * factor) for x, z in zip(both, by_class, strict=True))
    assert column_losses.label_weights(LossSettings(), facts(SPACE)) is None


@pytest.mark.parametrize(
    ("target", "words", "said"),
    [
        ("labels", "{scab: 2, rust: 1}", "loss.label_weights `scab` is neither a label nor"),
        ("values", "{red: 2}", "loss.label_weights is for target=labels"),
    ],
)
def test_weights_of_labels_by_hand_are_checked(target, words, said):
    values = "['0', '1']" if target == "labels" else "[]"
    about = f"[{{name: red, column: red, values: {values}}}, {{name: blue, column: blue, values: {values}}}]"
    with pytest.raises(ConfigError) as error:
        load(
            [
                "competition=digits",
                "competition.demo=null",
                "competition.root=/x",
                f"competition.target={target}",
                f"competition.attributes={about}",
                f"competition.metric={'log_loss' if target == 'labels' else 'rmse'}",
                f"loss.label_weights={words}",
            ]
        )
    assert said in str(error.value)
