"""Every loss of the registry through one battery, then each against its published formula."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace, SyntheticRows, TrainRows
from pipeline.nets.attributes import AttributeHeads
from pipeline.settings.loss import LOSSES, AttributeLossSettings, LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.train.losses import REGISTRY, class_weights, deferred, make_loss, margins, smooth_targets
from pipeline.train.own_loss import refuse_soft
from pipeline.train.targets import ClassFacts, class_facts

COUNTS = (50, 20, 10, 5, 2)
SMOOTHINGS = (0.0, 0.2)
# Of cosines: the batches' logits are within it.
SCALE = 12.0
OF_CLASSES = [name for name, traits in LOSSES.items() if "exclusive" in traits.kinds]
# KL also subtracts the entropy of the target.
LINEAR = [name for name in OF_CLASSES if not LOSSES[name].of_batch and name != "kl"]


def facts_of(counts=COUNTS):
    space = LabelSpace.product([Attribute("class", tuple("abcde"[: len(counts)]))])
    return ClassFacts(space, np.array(counts, np.float32), scale=SCALE)


def made(name="cross_entropy", counts=COUNTS, epoch=0, epochs=1, **settings):
    return make_loss(LossSettings(name=name, **settings), facts_of(counts), epoch, epochs)


def one_hot(y, size=5):
    return functional.one_hot(torch.as_tensor(y), size).double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 5, dtype=torch.float64, generator=generator) * 3
    return logits, one_hot(torch.randint(0, 5, (12,), generator=generator))


@pytest.fixture
def soft(batch):
    """Half of each target given to another row's class, as mixing does."""
    return batch[0], 0.7 * batch[1] + 0.3 * batch[1].flip(0)


def test_the_registry_is_the_settings_table():
    assert sorted(REGISTRY) == sorted(OF_CLASSES)


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
class TestContract:
    def test_one_loss_a_row_finite_and_not_negative(self, name, smoothing, batch):
        loss = made(name, label_smoothing=smoothing)(*batch)
        assert loss.shape == (12,) and loss.dtype == torch.float64
        assert torch.isfinite(loss).all() and (loss >= 0).all()

    def test_gradient(self, name, smoothing, soft):
        loss = made(name, label_smoothing=smoothing)
        logits, target = soft
        assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.clone().requires_grad_())

    def test_half_types_are_computed_in_float32(self, name, smoothing, batch):
        loss = made(name, label_smoothing=smoothing)
        found = loss(batch[0].bfloat16(), batch[1].float())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, loss(batch[0].bfloat16().float(), batch[1].float()))

    def test_a_constant_on_all_logits_changes_nothing(self, name, smoothing, soft):
        if name == "arcface":
            pytest.skip("cosines have no constant to add")
        loss = made(name, label_smoothing=smoothing)
        torch.testing.assert_close(loss(soft[0] + 7, soft[1]), loss(*soft))

    def test_only_soft_f1_depends_on_the_batch(self, name, smoothing, batch):
        loss = made(name, label_smoothing=smoothing)
        single = torch.cat([loss(x[None], y[None]) for x, y in zip(*batch, strict=True)])
        assert torch.allclose(loss(*batch), single) == (not LOSSES[name].of_batch)

    def test_a_batch_without_a_class_and_of_one_class(self, name, smoothing):
        loss = made(name, label_smoothing=smoothing)
        for y in ([0, 1, 1], [3, 3], [4]):
            logits = torch.randn(len(y), 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
            value = loss.mean(logits, one_hot(y).float())
            value.backward()
            assert torch.isfinite(value) and torch.isfinite(logits.grad).all() and logits.grad.any()

    def test_training_rows_of_one_class_only(self, name, smoothing, batch):
        loss = made(name, counts=(9, 0, 0, 0, 0), label_smoothing=smoothing)
        assert torch.isfinite(loss(*batch)).all()

    def test_certain_rows_have_finite_gradients(self, name, smoothing):
        logits = torch.tensor([[80.0, 0, 0, 0, 0], [0, 0, 0, 0, 80.0]], requires_grad=True)
        made(name, label_smoothing=smoothing).mean(logits, one_hot([0, 0]).float()).backward()
        assert torch.isfinite(logits.grad).all()

    def test_even_logits_learn(self, name, smoothing, batch):
        """A new classifier starts at zero: each row's own class must pull."""
        logits = torch.zeros(12, 5, requires_grad=True)
        made(name, label_smoothing=smoothing).mean(logits, batch[1].float()).backward()
        assert ((logits.grad * batch[1]).sum(0)[batch[1].any(0)] < 0).all()


@pytest.mark.parametrize(
    ("name", "weights"),
    [(n, w) for n in LINEAR for w in ("none", "inverse") if w == "none" or LOSSES[n].weighs],
)
def test_the_loss_of_a_mix_is_the_mix_of_the_losses(name, weights, batch):
    logits, target = batch
    loss, other = made(name, class_weights=weights, label_smoothing=0.1), target.flip(0)
    mix = 0.7 * target + 0.3 * other

    def weighted(y):
        return loss.weigh(y) * loss(logits, y)

    torch.testing.assert_close(weighted(mix), 0.7 * weighted(target) + 0.3 * weighted(other))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cross_entropy", {}),
        ("focal", {"gamma": 0.0}),
        ("asymmetric", {"gamma_pos": 0.0, "gamma_neg": 0.0}),
        ("ldam", {"max_margin": 0.0, "scale": 1.0}),
        ("logit_adjustment", {"tau": 0.0}),
    ],
)
def test_what_is_cross_entropy_is_torchs(name, settings, smoothing, soft):
    mine = made(name, label_smoothing=smoothing, **settings)(*soft)
    theirs = functional.cross_entropy(*soft, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("how", ["inverse", "effective", "hand"])
def test_weighted_cross_entropy_is_torchs(how, smoothing, batch):
    given = {"hand": dict(zip("abcde", (1.0, 2.0, 0.5, 8.0, 3.0), strict=True))} if how == "hand" else {}
    settings = LossSettings(class_weights=how, label_smoothing=smoothing, **given)
    mine = make_loss(settings, facts_of()).mean(*batch)
    weight = class_weights(settings, facts_of()).double()
    theirs = functional.cross_entropy(batch[0], batch[1].argmax(1), weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(mine, theirs)


class TestWeights:
    def weights(self, counts=COUNTS, **settings):
        return class_weights(LossSettings(**settings), facts_of(counts)).double()

    def test_inverse(self):
        expected = sum(COUNTS) / (5 * torch.tensor(COUNTS).double())
        torch.testing.assert_close(self.weights(class_weights="inverse"), expected, rtol=1e-6, atol=0)

    def test_effective_number_is_the_papers(self):
        n, beta = torch.tensor(COUNTS).double(), 0.9
        expected = (1 - beta) / (1 - beta**n)
        expected *= n.sum() / (n * expected).sum()
        found = self.weights(class_weights="effective", beta=beta)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)

    def test_beta_0_is_cross_entropy_and_towards_1_inverse(self, batch):
        flat = made(class_weights="effective", beta=0.0)
        assert torch.equal(flat.mean(*batch), made().mean(*batch))
        steep = self.weights(class_weights="effective", beta=1 - 1e-9)
        torch.testing.assert_close(steep, self.weights(class_weights="inverse"), rtol=1e-4, atol=0)

    def test_their_mean_over_the_training_rows_is_one(self):
        n = torch.tensor(COUNTS).double()
        for settings in ({"class_weights": "inverse"}, {"class_weights": "effective", "beta": 0.9}):
            assert float((self.weights(**settings) * n).sum() / n.sum()) == pytest.approx(1)

    def test_a_class_without_rows_counts_as_one_with_a_single_row(self):
        found = self.weights((10, 1, 0), class_weights="inverse")
        assert found.tolist() == pytest.approx([0.55, 5.5, 5.5])

    def test_names_by_hand_are_told_all_at_once(self):
        settings = LossSettings(class_weights="hand", hand={"a": 1.0, "f": 2.0, "B": 3.0})
        with pytest.raises(ConfigError) as caught:
            make_loss(settings, facts_of())
        text = "\n".join(caught.value.faults)
        assert "names `f`, which is not a class" in text and "names `B`, which is not a class" in text
        assert all(f"no weight for `{name}`" in text for name in "bcde") and len(caught.value.faults) == 6

    @pytest.mark.parametrize(("epochs", "start"), [(10, 8), (200, 160), (100, 80), (2, 1), (1, 0)])
    def test_deferred_weights_start_in_time(self, epochs, start):
        settings = LossSettings(name="ldam", class_weights="inverse", defer=0.8)
        waits = [deferred(settings, epoch, epochs) for epoch in range(epochs)]
        assert waits == [True] * start + [False] * (epochs - start)
        first, last = (make_loss(settings, facts_of(), e, epochs).weight_C for e in (0, epochs - 1))
        assert (first is None) == (start > 0) and last is not None


class TestFormulas:
    def hard(self, batch):
        return batch[0], batch[1].argmax(1), torch.arange(12)

    def test_focal(self, batch):
        logits, y, at = self.hard(batch)
        p = logits.softmax(-1)[at, y]
        torch.testing.assert_close(made("focal", gamma=2.0)(*batch), -((1 - p) ** 2) * p.log())

    def test_focal_alpha_is_a_class_weight(self, batch):
        """α_t (1 - p_t)^γ (-log p_t), up to the common factor that class weights are scaled by."""
        logits, y, at = self.hard(batch)
        alpha = dict(zip("abcde", (0.25, 0.75, 0.5, 0.1, 0.9), strict=True))
        loss = made("focal", gamma=2.0, class_weights="hand", hand=alpha)
        p, alpha_B = logits.softmax(-1)[at, y], torch.tensor(list(alpha.values())).double()[y]
        found, expected = loss.weigh(batch[1]) * loss(*batch), -alpha_B * (1 - p) ** 2 * p.log()
        ratio = found / expected
        torch.testing.assert_close(ratio, ratio[:1].expand(12), rtol=1e-6, atol=0)

    def test_ldam(self, batch):
        """Margins ∝ n^(-1/4), the rarest class's is the largest; the label's logit is lowered by its own."""
        logits, y, at = self.hard(batch)
        margin = torch.tensor(COUNTS).double() ** -0.25
        margin = margin * 0.5 / margin.max()
        torch.testing.assert_close(margins(facts_of(), 0.5), margin)
        lowered = logits.clone()
        lowered[at, y] -= margin[y]
        expected = functional.cross_entropy(10 * lowered, y, reduction="none")
        torch.testing.assert_close(made("ldam", scale=10.0)(*batch), expected)

    def test_ldam_without_margins_is_cross_entropy_of_scaled_logits(self, batch):
        mine = made("ldam", max_margin=0.0, scale=30.0)(*batch)
        torch.testing.assert_close(mine, functional.cross_entropy(30 * batch[0], batch[1], reduction="none"))

    def test_ldam_keeps_its_digits_in_float32(self):
        """The label far ahead: 1 - p is lost in float32, and exp(-scale · margin) is what counts."""
        logits = torch.tensor([[2.0, 0, 0, 0, 0], [0, 0, 0, 0, 2.0]])
        mine = made("ldam")(logits, one_hot([0, 4]).float())
        exact = made("ldam")(logits.double(), one_hot([0, 4]))
        torch.testing.assert_close(mine.double(), exact, rtol=1e-5, atol=0)

    @pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
    def test_logit_adjustment(self, tau, batch):
        logits, y, at = self.hard(batch)
        prior = torch.tensor(COUNTS).double() / sum(COUNTS)
        expected = -(logits + tau * prior.log()).log_softmax(-1)[at, y]
        torch.testing.assert_close(made("logit_adjustment", tau=tau)(*batch), expected)

    def test_balanced_softmax(self, batch):
        logits, y, at = self.hard(batch)
        weighed = torch.tensor(COUNTS) * logits.exp()
        expected = -(weighed[at, y] / weighed.sum(-1)).log()
        torch.testing.assert_close(made("balanced_softmax")(*batch), expected)
        torch.testing.assert_close(made("logit_adjustment")(*batch), expected)

    @pytest.mark.parametrize(("pos", "neg"), [(0.0, 4.0), (1.0, 4.0), (0.5, 0.5)])
    def test_asymmetric_is_timms_port_of_the_authors(self, pos, neg, batch):
        from timm.loss import AsymmetricLossSingleLabel

        mine = made("asymmetric", gamma_pos=pos, gamma_neg=neg, label_smoothing=0.1)
        theirs = AsymmetricLossSingleLabel(gamma_pos=pos, gamma_neg=neg, eps=0.1, reduction=None)
        expected = theirs(batch[0], batch[1].argmax(1))
        torch.testing.assert_close(mine(*batch), expected)

    def test_soft_f1_of_certain_predictions_is_one_less_macro_f1(self):
        from sklearn.metrics import f1_score

        generator = np.random.default_rng(0)
        y, predicted = generator.integers(0, 5, (2, 40))
        logits = 100 * one_hot(predicted)
        found = made("soft_f1")(logits, one_hot(y))
        torch.testing.assert_close(found, found[:1].expand(40))
        assert float(found[0]) == pytest.approx(1 - f1_score(y, predicted, average="macro"))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_soft_f1_of_a_class_that_nobody_has_or_expects_is_a_number(self, dtype):
        """Logits 1,000 apart: the third class has a probability of exactly 0 in every row."""
        logits = torch.tensor([[900.0, 901.0, -900.0], [901.0, 900.0, -900.0]], dtype=dtype)
        logits.requires_grad_()
        found = made("soft_f1")(logits, one_hot([0, 1], 3)[:, :3])
        found.sum().backward()
        assert torch.isfinite(found).all() and torch.isfinite(logits.grad).all()
        two = made("soft_f1")(logits[:, :2].detach(), one_hot([0, 1], 2)[:, :2])
        torch.testing.assert_close(found.detach(), two)

    def test_soft_f1_leaves_out_classes_that_the_batch_lacks(self):
        found = made("soft_f1")(100 * one_hot([0, 1, 1]), one_hot([0, 1, 1]))
        torch.testing.assert_close(found, torch.zeros(3, dtype=torch.float64))

    def test_a_blend_is_a_blend(self, soft):
        third = made("soft_f1", blend=0.3)(*soft)
        torch.testing.assert_close(third, 0.3 * made("soft_f1")(*soft) + 0.7 * made()(*soft))

    def test_ordinal_is_a_sum_over_thresholds(self, batch):
        logits, y, _ = self.hard(batch)
        p = logits.softmax(-1)
        expected = torch.zeros(12, dtype=torch.float64)
        for k in range(4):
            above = p[:, k + 1 :].sum(-1)
            expected += functional.binary_cross_entropy(above, (y > k).double(), reduction="none")
        torch.testing.assert_close(made("ordinal")(*batch), expected)

    def test_ordinal_of_two_values_is_cross_entropy(self, batch):
        pair = batch[0][:, :2], one_hot(batch[1].argmax(1) % 2, 2)
        torch.testing.assert_close(made("ordinal", counts=(5, 2))(*pair), made(counts=(5, 2))(*pair))

    def test_ordinal_minds_the_distance(self):
        near, far = (torch.log(torch.tensor([p]).double()) for p in ([0.1, 0.8, 0.1], [0.1, 0.1, 0.8]))
        truth = one_hot([0], 3)
        ordinal, plain = made("ordinal", counts=(1, 1, 1)), made(counts=(1, 1, 1))
        torch.testing.assert_close(plain(near, truth), plain(far, truth))
        assert ordinal(near, truth) < ordinal(far, truth)


def test_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean focal"):
        make_loss(LossSettings(name="focall"), facts_of())


def test_targets_sum_to_one():
    target = smooth_targets(one_hot([1, 0], 4).float(), 0.2)
    np.testing.assert_allclose(
        target.numpy(), [[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-6
    )


@pytest.mark.parametrize("name", REGISTRY)
def test_every_loss_of_the_registry_takes_soft_targets(name):
    refuse_soft(LossSettings(name=name), "train.mix=mixup")


def test_counts_are_of_the_rows_shown_synthetic_ones_too():
    from learn_world import digit_samples

    samples = digit_samples(0, 20)
    made_rows = SyntheticRows(np.zeros((3, 1, 4), np.float32), np.array([7, 7, 1]))
    rows = TrainRows.of(np.array([0, 0, 1, 20, 21, 22]))
    counts = class_facts(samples, rows, None, made_rows).counts_C
    expected = np.bincount([*samples.labels[[0, 0, 1]], 7, 7, 1], minlength=10)
    assert counts.tolist() == expected.tolist()


class TestPerAttribute:
    """mask × age, 2 × 3 = 6 classes."""

    SPACE = LabelSpace.product([Attribute("mask", ("on", "off")), Attribute("age", ("young", "mid", "old"))])
    FACTS = ClassFacts(SPACE, np.array([60, 20, 4, 12, 3, 1], np.float32))

    def loss(self, *ordinal, **settings):
        heads = AttributeHeads.of(ModelSettings(heads="attributes", ordinal=list(ordinal)), self.SPACE)
        facts = ClassFacts(self.SPACE, self.FACTS.counts_C, heads)
        return make_loss(LossSettings(**settings), facts)

    @pytest.fixture
    def outputs(self):
        generator = torch.Generator().manual_seed(3)
        blocks = [torch.randn(8, k, generator=generator) for k in (2, 3)]
        y = torch.randint(0, 6, (8,), generator=generator)
        heads = AttributeHeads(self.SPACE)
        return blocks, heads(torch.cat(blocks, 1)), y

    def test_cross_entropies_of_attributes_add_up_to_that_of_the_class(self, outputs):
        blocks, logits, y = outputs
        found = self.loss()(logits, functional.one_hot(y, 6).float())
        torch.testing.assert_close(found, functional.cross_entropy(logits, y, reduction="none"))
        mask, age = y // 3, y % 3
        parts = [
            functional.cross_entropy(b, t, reduction="none") for b, t in zip(blocks, (mask, age), strict=True)
        ]
        torch.testing.assert_close(found, parts[0] + parts[1])

    def test_each_attribute_has_its_own_loss_share_and_counts(self, outputs):
        blocks, logits, y = outputs
        own = {"age": AttributeLossSettings(name="logit_adjustment", share=2.0)}
        found = self.loss(name="focal", attributes=own)(logits, functional.one_hot(y, 6).float())
        p_B = blocks[0].softmax(-1)[torch.arange(8), y // 3]
        prior = torch.tensor([72.0, 23.0, 5.0]) / 100
        age = functional.cross_entropy(blocks[1] + prior.log(), y % 3, reduction="none")
        torch.testing.assert_close(found, -((1 - p_B) ** 2) * p_B.log() + 2 * age)

    def test_class_weights_are_those_of_the_attribute(self, outputs):
        blocks, logits, y = outputs
        found = self.loss(class_weights="inverse")(logits, functional.one_hot(y, 6).float())
        counts = torch.tensor([84.0, 16.0]), torch.tensor([72.0, 23.0, 5.0])
        weights = [100 / (len(n) * n) for n in counts]
        parts = [
            w[t] * functional.cross_entropy(b, t, reduction="none")
            for b, t, w in zip(blocks, (y // 3, y % 3), weights, strict=True)
        ]
        torch.testing.assert_close(found, parts[0] + parts[1])

    def test_an_ordered_attribute_takes_the_ordinal_loss(self, outputs):
        _, logits, y = outputs
        target = functional.one_hot(y, 6).float()
        by_name = self.loss("age", attributes={"age": AttributeLossSettings(name="ordinal")})
        assert torch.equal(self.loss("age")(logits, target), by_name(logits, target))
        assert not torch.allclose(self.loss("age")(logits, target), self.loss()(logits, target))

    def test_gradient_with_soft_targets(self, outputs):
        _, logits, y = outputs
        target = functional.one_hot(y, 6).double()
        loss = self.loss("age", name="focal", class_weights="inverse")
        soft = 0.6 * target + 0.4 * target.flip(0)
        assert torch.autograd.gradcheck(lambda x: loss(x, soft), logits.double().requires_grad_())
