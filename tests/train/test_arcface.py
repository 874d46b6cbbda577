"""Heads of cosines and the margin of angles: the published formula, networks, heads side by side, resume."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import head_job, three_folds
from learn_world import equal_states, fold_job
from torch.nn import functional

from pipeline.core.errors import ModelError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.nets import model
from pipeline.nets.cosine import Angles, Cosine
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import MixSettings
from pipeline.train import batched_heads
from pipeline.train.heads import head_probabilities, plain_view, restore_head
from pipeline.train.job import Initial
from pipeline.train.loop import fit
from pipeline.train.losses import arcface_terms, ldam_terms, make_loss, margins
from pipeline.train.targets import ClassFacts

ARCFACE = LossSettings(name="arcface", margin=0.3, rare_margin=0.2)


def cosine_model(**settings):
    return ModelSettings(name="test_resnet", weights="none", heads="cosine", scale=16.0, **settings)


def arcface_job(loss=ARCFACE, centres=2, **train):
    return replace(fold_job(**train), model=cosine_model(centres=centres), loss=loss)


def in_batch(job, **train):
    return replace(job, train=job.train.model_copy(update=train))


def test_the_margin_widens_the_angle_of_the_label_alone():
    generator = torch.Generator().manual_seed(0)
    cos_BC = torch.rand(6, 4, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    margin_C = torch.tensor([0.0, 0.2, 0.5, 1.0])
    terms_BC = arcface_terms(16 * cos_BC, (16 * cos_BC).log_softmax(1), margin_C, 16.0)
    for c in range(4):
        angle = cos_BC[:, c].acos() + margin_C[c]
        changed = cos_BC.clone()
        # Beyond π the authors continue along the tangent at π - margin.
        along = cos_BC[:, c] - margin_C[c] * margin_C[c].sin()
        changed[:, c] = torch.where(angle < torch.pi, angle.cos(), along)
        expected = functional.cross_entropy(16 * changed, torch.full((6,), c), reduction="none")
        torch.testing.assert_close(terms_BC[:, c], expected)
    torch.testing.assert_close(terms_BC[:, 0], -(16 * cos_BC).log_softmax(1)[:, 0])


HARD = torch.eye(8)[[0, 2, 7]]
MIXED = torch.cat([HARD, 0.3 * HARD[:1] + 0.7 * HARD[1:2]])
SOFT = torch.cat([HARD, torch.full((1, 8), 1 / 8), torch.linspace(1, 8, 8)[None] / 36])


@pytest.mark.parametrize("target_BC", [HARD, MIXED, SOFT], ids=["labels", "mixed", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["arcface", "ldam"])
def test_targets_of_any_kind_have_the_loss_of_the_whole_formula(name, smoothing, target_BC):
    """Where only the terms of the label are computed, and where all are."""
    space = LabelSpace.product([Attribute("class", tuple("abcdefgh"))])
    facts = ClassFacts(space, np.array([160, 10, 40, 20, 20, 20, 20, 10], np.float32), scale=10.0)
    settings = LossSettings(name=name, label_smoothing=smoothing)
    generator = torch.Generator().manual_seed(0)
    logits_BC = (torch.rand(len(target_BC), 8, generator=generator) * 2 - 1).requires_grad_()
    if name == "arcface":
        margin_C = settings.margin + margins(facts, settings.rare_margin)
        terms_BC = arcface_terms(logits_BC, logits_BC.double().log_softmax(1), margin_C, 10.0)
    else:
        margin_C = margins(facts, settings.max_margin)
        log_p_BC = (settings.scale * logits_BC).double().log_softmax(1)
        terms_BC = ldam_terms(logits_BC, log_p_BC, margin_C, settings.scale)
    whole_B = (terms_BC * (target_BC * (1 - smoothing) + smoothing / 8)).sum(1)
    own_B = make_loss(settings, facts)(logits_BC, target_BC)
    torch.testing.assert_close(own_B, whole_B)
    own, expected = (
        torch.autograd.grad(one_B.sum(), logits_BC, retain_graph=True) for one_B in (own_B, whole_B)
    )
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("centres", [1, 2])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_the_slopes_of_cosines_are_those_of_the_formula(lead, centres):
    generator = torch.Generator().manual_seed(0)
    layer = Cosine(4, 3, Angles(5.0, centres), *lead).double()
    x = torch.randn(*lead, 6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(*lead, 6, 3, generator=generator, dtype=torch.float64)
    directions = functional.normalize(layer.weight, dim=-1).transpose(-1, -2)
    cosines = functional.normalize(x, dim=-1) @ directions
    by_formula = 5 * cosines.unflatten(-1, (3, centres)).amax(-1)
    of_training = layer(x)
    torch.testing.assert_close(of_training, by_formula)
    torch.testing.assert_close(layer.eval()(x), by_formula)
    own, expected = (
        torch.autograd.grad((logits * towards).sum(), (x, layer.weight))
        for logits in (of_training, by_formula)
    )
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("value", [-1.0, 1.0, 1.0000001])
def test_the_slope_is_finite_where_a_sample_lies_on_a_centre_or_opposite(value):
    cos_BC = torch.tensor([[value, 0.1, -0.2]], requires_grad=True)
    log_p_BC = (30 * cos_BC).double().log_softmax(1)
    arcface_terms(30 * cos_BC, log_p_BC, torch.tensor([0.3, 0.3, 0.3]), 30.0).sum().backward()
    assert cos_BC.grad.isfinite().all()


def test_rare_classes_get_a_larger_margin():
    space = LabelSpace.product([Attribute("class", ("a", "b"))])
    facts = ClassFacts(space, np.array([160.0, 10.0], np.float32), scale=10.0)
    logits_BC, targets = torch.tensor([[5.0, 0.0], [0.0, 5.0]]), torch.eye(2)
    equal = make_loss(LossSettings(name="arcface", margin=0.2), facts)(logits_BC, targets)
    assert equal[0] == equal[1]
    own = make_loss(LossSettings(name="arcface", margin=0.2, rare_margin=0.4), facts)(logits_BC, targets)
    by_hand = [
        make_loss(LossSettings(name="arcface", margin=m), facts)(logits_BC, targets) for m in (0.4, 0.6)
    ]
    torch.testing.assert_close(own, torch.stack([by_hand[0][0], by_hand[1][1]]))


def test_the_nearest_centre_of_a_class_answers_for_it_and_lengths_do_not_count():
    layer = Cosine(3, 2, Angles(10.0, 2))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0, 0], [0, 5, 0], [0, 0, 1], [-1, 0, 0]]))
    x = torch.tensor([[0.0, 3, 0], [7, 0, 0], [0, 0, 0.1]])
    torch.testing.assert_close(layer(x), torch.tensor([[10.0, 0], [10, 0], [0, 10]]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x.bfloat16()).dtype == torch.float32


@pytest.mark.slow
def test_a_network_of_cosines_learns_and_predicts_the_softmax_of_its_scaled_cosines(tmp_path):
    job = in_batch(arcface_job(n_train=161, policy="none"), epochs=6, lr=1e-2)
    result, state = fit(job, tmp_path)
    assert result.history[-1]["train_loss"] < 0.8 * result.history[0]["train_loss"]
    assert result.history[-1]["valid_score"] > 0.3, "chance is 0.1"
    space = job.train_samples.space
    network = model.restore(job.model, 10, state, (32, 32), space).eval()
    assert state["backbone.fc.weight"].shape[0] == 20 and "backbone.fc.bias" not in state
    with torch.no_grad():
        logits = network(torch.rand(5, 3, 32, 32))
    assert logits.abs().max() <= 16.0
    np.testing.assert_allclose(result.oof.p_NC.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("mix", [None, MixSettings(method="mixup", alpha=0.4)])
def test_a_killed_fold_of_cosines_with_an_average_continues_bit_by_bit(mix, tmp_path):
    job = in_batch(
        arcface_job(n_valid=9), epochs=2, ema_decay=0.9, accumulate=2, **({"mix": mix} if mix else {})
    )
    whole, state = fit(job, tmp_path / "whole")
    fit(job, tmp_path / "killed", lambda fold, epoch, entry: epoch < 0)
    again, resumed = fit(job, tmp_path / "killed")
    assert equal_states(state, resumed)
    np.testing.assert_array_equal(whole.oof.p_NC, again.oof.p_NC)


def test_the_centres_start_from_the_seed_and_not_at_zero():
    built = [model.build(cosine_model(), 10, seed) for seed in (1, 1, 2)]
    first, same, other = (one.backbone.get_classifier().weight for one in built)
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert first.norm(dim=1).min() > 0.5


def test_weights_of_a_linear_run_start_a_run_of_cosines_and_the_other_way_round():
    space = fold_job().train_samples.space
    linear, cosine = ModelSettings(name="test_resnet", weights="none"), cosine_model()
    for before, after in ((linear, cosine), (cosine, linear), (cosine, cosine_model(centres=3))):
        state = model.build(before, 10, 5, None, space).state_dict()
        started = Initial("earlier", state, space.classes, (32, 32)).build(after, space, 7, (32, 32))
        kept = [
            torch.equal(value, state[key]) for key, value in started.state_dict().items() if "layer" in key
        ]
        assert kept and all(kept)


def test_a_network_without_a_known_linear_classifier_is_refused_in_one_sentence():
    settings = ModelSettings(name="torchvision:squeezenet1_1", weights="none", heads="cosine", drop_rate=0.2)
    with pytest.raises(ModelError, match=r"model\.heads=cosine: .* no known linear classifier"):
        model.build(settings, 10, 0, (64, 64))


def test_heads_of_cosines_side_by_side_are_the_heads_alone():
    angles = Angles(16.0, 2)
    jobs = [replace(job, loss=ARCFACE, angles=angles) for job in three_folds(head_seeds=2, epochs=3)]
    together, alone = batched_heads.fit_heads(jobs), batched_heads.fit_heads(jobs[:1])
    torch.testing.assert_close(together[0].state["out.weight"], alone[0].state["out.weight"])
    assert together[0].result.history[-1]["valid_score"] > 0.8
    x_ND = plain_view(jobs[0].features.take(jobs[0].valid_samples.ids_N))
    restored = restore_head(together[0].state)
    p_JNC = head_probabilities(restored, x_ND.numpy(), jobs[0].target)
    np.testing.assert_allclose(p_JNC.mean(0), together[0].result.oof.p_NC, atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_head_of_cosines_learns_from_soft_labels_too(head):
    job = replace(head_job(head=head), angles=Angles(16.0, 1), loss=ARCFACE)
    soft_NC = (
        np.full((600, 10), 0.02, np.float32) + 0.8 * np.eye(10, dtype=np.float32)[job.train_samples.labels]
    )
    (found,) = batched_heads.fit_heads([replace(job, soft_NC=soft_NC)])
    assert found.result.history[-1]["valid_score"] > 0.8


# The nearest training images beside a network's classifier.


def test_a_network_answers_with_its_nearest_training_images(tmp_path):
    plain = in_batch(fold_job(policy="none"), epochs=1)
    _, state = fit(plain, tmp_path / "plain")
    whole = in_batch(plain, neighbours=1.0, head_k=3, head_temperature=0.1)
    near, kept = fit(whole, tmp_path / "near")
    half, _ = fit(in_batch(whole, neighbours=0.5), tmp_path / "half")
    assert {k for k in kept if not k.startswith("nearest.")} == set(state)
    assert all(torch.equal(value, kept[key]) for key, value in state.items()), "training is the same"
    assert len(kept["nearest.rows_TD"]) == len(plain.train_samples), "the validation part is no neighbour"
    space = plain.train_samples.space
    network = model.restore(plain.model, 10, kept, (32, 32), space).eval()
    x_BCHW = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        own = network.nearest(network.features(x_BCHW)[None])[0].softmax(1)
        torch.testing.assert_close(network(x_BCHW).softmax(1), own, atol=1e-5, rtol=0)
    alone = fit(plain, tmp_path / "plain")[0]
    np.testing.assert_allclose(half.oof.p_NC, (near.oof.p_NC + alone.oof.p_NC) / 2, atol=1e-5)


def test_a_fold_with_neighbours_continues_bit_by_bit_and_starts_another_run(tmp_path):
    job = in_batch(arcface_job(n_valid=9), epochs=2, neighbours=0.5, ema_decay=0.9)
    whole, state = fit(job, tmp_path / "whole")
    fit(job, tmp_path / "killed", lambda fold, epoch, entry: epoch < 0)
    again, resumed = fit(job, tmp_path / "killed")
    assert equal_states(state, resumed)
    np.testing.assert_array_equal(whole.oof.p_NC, again.oof.p_NC)
    space = job.train_samples.space
    started = Initial("earlier", state, space.classes, (32, 32)).build(job.model, space, 7, (32, 32))
    assert started.nearest is None
