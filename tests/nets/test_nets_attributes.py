"""A head per attribute: proper probabilities of classes, from blocks of outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import SIZE, accuracy, all_rows, digit_images, digit_samples, fold_job

from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target
from pipeline.nets.attributes import AttributeHeads, ordinal_log_p
from pipeline.nets.forward import Pass
from pipeline.nets.model import build, restore
from pipeline.nets.weights import fit_state
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train import batched_heads
from pipeline.train.committee import predict_head, predict_views
from pipeline.train.heads import HeadJob, restore_head
from pipeline.train.loop import fit
from pipeline.train.losses import classes_of, log_marginal

SPACE = LabelSpace.product([Attribute("mask", ("on", "off")), Attribute("age", ("young", "mid", "old"))])
# Digits as two attributes: whether it is odd (unordered) and which pair it belongs to (ordered).
DIGITS = LabelSpace.product([Attribute("pair", tuple("abcde")), Attribute("odd", ("even", "odd"))])
PER_ATTRIBUTE = ModelSettings(
    name="test_resnet", weights="none", drop_rate=0.0, heads="attributes", ordinal=["pair"]
)


def draws(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 4


def test_class_probabilities_are_products():
    outputs = draws(7, 5)
    p_BC = AttributeHeads(SPACE)(outputs).exp()
    mask, age = outputs[:, :2].softmax(-1), outputs[:, 2:].softmax(-1)
    torch.testing.assert_close(p_BC, (mask[:, :, None] * age[:, None, :]).flatten(1))


def test_a_combination_that_is_no_class_is_renormalised():
    few = LabelSpace(SPACE.attributes, SPACE.classes[:4], SPACE.codes_CA[:4])
    outputs = draws(7, 5)
    whole, part = AttributeHeads(SPACE)(outputs).exp(), AttributeHeads(few)(outputs).softmax(-1)
    torch.testing.assert_close(part, whole[:, :4] / whole[:, :4].sum(1, keepdim=True))


def test_marginals_are_the_attributes_own_probabilities():
    outputs = draws(7, 5)
    found = log_marginal(AttributeHeads(SPACE)(outputs), classes_of(SPACE, 1))
    torch.testing.assert_close(found, outputs[:, 2:].log_softmax(-1))


@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_ordered_values_have_proper_probabilities_and_an_even_start(size):
    log_p = ordinal_log_p(draws(200, size - 1))
    assert torch.isfinite(log_p).all()
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(200))
    even = ordinal_log_p(torch.zeros(1, size - 1)).exp()
    torch.testing.assert_close(even, torch.full((1, size), 1 / size))


def test_the_first_output_moves_the_whole_order():
    """A larger score makes every "above" likelier: the mean value can only rise."""
    outputs = torch.zeros(9, 4)
    outputs[:, 0] = torch.linspace(-6, 6, 9)
    p = ordinal_log_p(outputs).exp()
    above = p.flip(-1).cumsum(-1).flip(-1)[:, 1:]
    assert (above.diff(dim=0) > 0).all()


@pytest.mark.parametrize("value", [-60.0, 60.0])
def test_ordered_values_survive_extreme_outputs(value):
    outputs = torch.full((1, 3), value, requires_grad=True)
    log_p = ordinal_log_p(outputs)
    log_p.sum().backward()
    assert torch.isfinite(log_p).all() and torch.isfinite(outputs.grad).all()


def test_gradient():
    assert torch.autograd.gradcheck(ordinal_log_p, draws(4, 3).double().requires_grad_())


def test_half_types_and_autocast_are_computed_in_float32():
    heads, outputs = AttributeHeads(SPACE, ("age",)), draws(4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = heads(outputs)
    assert found.dtype == torch.float32
    assert torch.equal(found, heads(outputs.float()))


def test_outputs_are_counted_and_a_new_head_starts_even():
    model = build(PER_ATTRIBUTE, 10, 0, (SIZE, SIZE), DIGITS).eval()
    assert model.heads.n_outputs == 4 + 2 and model.backbone.get_classifier().out_features == 6
    p = model(torch.rand(3, 3, SIZE, SIZE)).softmax(-1)
    torch.testing.assert_close(p, torch.full((3, 10), 0.1))
    assert not any("heads" in key for key in model.state_dict())


def test_weights_of_a_joint_network_load_but_for_the_classifier():
    joint = build(PER_ATTRIBUTE.model_copy(update={"heads": "joint", "ordinal": []}), 10, 7)
    own = build(PER_ATTRIBUTE, 10, 0, None, DIGITS)
    assert fit_state(own.backbone, joint.backbone.state_dict(), "joint") is False
    again = build(PER_ATTRIBUTE, 10, 1, None, DIGITS)
    assert fit_state(again.backbone, own.backbone.state_dict(), "own") is True


def as_pairs(samples):
    return replace(samples, space=DIGITS)


def test_full_training_and_inference_by_attribute(tmp_path):
    job = fold_job(epochs=6, policy="none", lr=1e-2, n_train=161)
    job = replace(
        job,
        model=PER_ATTRIBUTE,
        loss=LossSettings(class_weights="inverse"),
        train_samples=as_pairs(job.train_samples),
        valid_samples=as_pairs(job.valid_samples),
    )
    result, state = fit(job, tmp_path)
    assert result.history[-1]["train_loss"] < 0.8 * result.history[0]["train_loss"]
    network = restore(PER_ATTRIBUTE, 10, state, job.size, DIGITS)
    from pipeline.nets.views import parse

    found, _ = predict_views(
        network, job.images, job.valid_samples.ids_N, Target.of(DIGITS), [parse("identity")], Pass()
    )
    np.testing.assert_allclose(found.p_VNC[0], result.oof.p_NC, atol=1e-6)


def test_a_linear_probe_by_attribute_learns_and_is_restored():
    images = digit_images(800, size=8)
    x_NVD = images.x_NHWC[..., 0].astype(np.float32).reshape(-1, 1, 64)
    heads = AttributeHeads(DIGITS, ("pair",))
    job = HeadJob(
        fold=0,
        loss=LossSettings(),
        train=TrainSettings(epochs=10, lr=0.02),
        train_samples=as_pairs(digit_samples(0, 600)),
        valid_samples=as_pairs(digit_samples(600, 800)),
        features=Features(images.ids_N, ("identity",), x_NVD, "digest"),
        rows=all_rows(600),
        metric=accuracy,
        heads=heads,
    )
    (fit,) = batched_heads.fit_heads([job])
    result, state = fit.result, fit.state
    assert state["out.weight"].shape == (1, 6, 64)
    # The pairs are no order that pixels show linearly; parity alone lifts it above one in five.
    assert result.history[-1]["valid_score"] > 0.3, "chance is 0.1"
    head, features = restore_head(state, heads), job.features.take(job.valid_samples.ids_N)
    found, _ = predict_head(head, features, Target.of(DIGITS))
    np.testing.assert_allclose(found.p_VNC[0], result.oof.p_NC, atol=1e-6)
