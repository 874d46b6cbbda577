import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.core.errors import ConfigError
from pipeline.core.types import Attribute, LabelSpace
from pipeline.learn.loss import REGISTRY, focal_loss, smooth_targets
from pipeline.learn.loss import make_loss as make
from pipeline.learn.targets import ClassFacts
from pipeline.settings.schema import LossSettings

FACTS = ClassFacts(
    LabelSpace.product([Attribute("class", tuple("abcde"))]), np.array([50, 20, 10, 5, 2], np.float32)
)


def make_loss(settings):
    return make(settings, FACTS)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 5, dtype=torch.float64, generator=generator) * 3
    y = torch.randint(0, 5, (12,), generator=generator)
    return logits, functional.one_hot(y, 5).double()


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
class TestContract:
    def test_one_loss_a_sample_finite_and_not_negative(self, name, smoothing, batch):
        loss = make_loss(LossSettings(name=name, label_smoothing=smoothing))(*batch)
        assert loss.shape == (12,)
        assert torch.isfinite(loss).all() and (loss >= 0).all()

    def test_independent_of_the_batch(self, name, smoothing, batch):
        loss = make_loss(LossSettings(name=name, label_smoothing=smoothing))
        single = torch.cat([loss(x[None], y[None]) for x, y in zip(*batch, strict=True)])
        torch.testing.assert_close(loss(*batch), single)

    def test_gradient(self, name, smoothing, batch):
        loss = make_loss(LossSettings(name=name, label_smoothing=smoothing))
        logits, y = batch
        assert torch.autograd.gradcheck(lambda x: loss(x, y), logits.clone().requires_grad_())

    def test_half_types_are_computed_in_float32(self, name, smoothing, batch):
        logits, y = batch
        loss = make_loss(LossSettings(name=name, label_smoothing=smoothing))
        assert loss(logits.bfloat16(), y).dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(batch, smoothing):
    mine = make_loss(LossSettings(label_smoothing=smoothing))(*batch)
    theirs = functional.cross_entropy(*batch, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(mine, theirs)


def test_focal_with_gamma_0_is_cross_entropy(batch):
    focal = make_loss(LossSettings(name="focal", gamma=0.0, label_smoothing=0.1))(*batch)
    assert torch.equal(focal, make_loss(LossSettings(label_smoothing=0.1))(*batch))


def test_focal_is_the_papers_formula(batch):
    logits, y = batch
    p = (logits.softmax(-1) * y).sum(-1)
    torch.testing.assert_close(focal_loss(logits, y, 2.0), -((1 - p) ** 2) * p.log())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_gradient_is_finite_on_a_certain_sample(gamma):
    logits = torch.tensor([[80.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([[1.0, 0.0]]), gamma).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean focal"):
        make_loss(LossSettings.model_construct(name="focall"))


def test_targets_sum_to_one():
    target = smooth_targets(functional.one_hot(torch.tensor([1, 0]), 4).float(), 0.2)
    np.testing.assert_allclose(
        target.numpy(), [[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-6
    )
