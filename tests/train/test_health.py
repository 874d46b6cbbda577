import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import all_rows, digit_images, equal_states, fold_job
from torch import nn

from pipeline.core.errors import ConfigError, UserError
from pipeline.nets import model
from pipeline.nets.forward import Mode
from pipeline.settings.train import TrainSettings
from pipeline.train import losses
from pipeline.train.health import (
    GradientWatch,
    check_batches,
    explained_memory_errors,
    gradient_norm,
    unsafe_in_bf16,
)
from pipeline.train.loop import fit
from pipeline.train.losses import cross_entropy_terms, rows_of

FAR = 10**15


def watch(**more):
    return GradientWatch("fold 0, epoch 1", TrainSettings(), **more)


def test_norms_are_those_before_clipping():
    net = nn.Linear(2, 1, bias=False)
    net.weight.grad = torch.tensor([[3.0, 4.0]])
    assert gradient_norm(net, None) == 5 and torch.equal(net.weight.grad, torch.tensor([[3.0, 4.0]]))
    assert gradient_norm(net, 1.0) == 5
    torch.testing.assert_close(net.weight.grad, torch.tensor([[0.6, 0.8]]))


def test_an_exploding_gradient_is_told_once_an_epoch_and_recorded(caplog):
    gradients = watch()
    for step, norm in enumerate([1.0, 2e3, 3e3]):
        gradients.see(norm, step)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("fold 0, epoch 1, step 1: the gradient norm is 2e+03; set train.clip_norm=1")
    assert gradients.summary() == {"grad_norm": pytest.approx(5001 / 3), "grad_norm_max": 3e3}


@pytest.mark.parametrize("norm", [float("inf"), float("nan")])
def test_an_infinite_gradient_is_an_error_unless_fp16_scaling_skips_the_step(norm):
    with pytest.raises(UserError, match="step 4: the gradient is not a finite number") as caught:
        watch().see(norm, 4)
    assert "train.lr" in caught.value.remedy
    scaled = watch(skips_infinite=True)
    scaled.see(norm, 4)
    assert scaled.summary() == {}


def test_a_frozen_batch_normalisation_takes_batches_of_one_row(tmp_path):
    with pytest.raises(ConfigError, match="no variance"):
        fit(fold_job(n_train=3, epochs=1, batch_size=1), tmp_path)
    result, _ = fit(fold_job(n_train=3, epochs=1, batch_size=1, freeze_bn=True), tmp_path)
    assert np.isfinite(result.history[0]["train_loss"])


class _Infinite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.square().sum(1)

    @staticmethod
    def backward(ctx, grad):
        return torch.full((len(grad), 10), float("inf"))


def test_training_stops_at_an_infinite_gradient_of_a_finite_loss(tmp_path, monkeypatch):
    monkeypatch.setitem(
        losses.REGISTRY, "cross_entropy", lambda *made_of: lambda x, target: _Infinite.apply(x)
    )
    with pytest.raises(UserError, match="fold 3, epoch 0, step 0: the gradient"):
        fit(fold_job(), tmp_path)


@pytest.mark.parametrize(
    ("rows", "batch", "told"), [(49, 1, "train.batch_size is 1"), (1, 16, "train.batch_size=16")]
)
def test_one_sample_and_batch_norm_is_refused_before_training(tmp_path, rows, batch, told):
    with pytest.raises(ConfigError, match="batch normalisation of one sample") as caught:
        fit(replace(fold_job(batch_size=batch), rows=all_rows(rows)), tmp_path)
    assert told in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_one_sample_without_batch_norm_is_fine():
    norms = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).train()
    check_batches(norms, [4, 1], TrainSettings())
    frozen = nn.Sequential(nn.BatchNorm1d(2)).eval()
    check_batches(frozen, [4, 1], TrainSettings())


def test_accumulation_says_where_it_is_no_large_batch(caplog):
    normed, plain = nn.Sequential(nn.BatchNorm1d(2)).train(), nn.Linear(2, 2)
    twice = TrainSettings(batch_size=16, accumulate=2)
    check_batches(normed, [16], TrainSettings())
    check_batches(plain, [16], twice)
    assert not caplog.records
    check_batches(normed, [16], twice)
    assert "batch normalisation uses batches of 16, so this does not equal a batch of 32" in caplog.text


def test_the_loop_warns_of_accumulation(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        fit(fold_job(epochs=1, accumulate=2), tmp_path)
    assert "does not equal a batch of 32" in caplog.text


def test_too_little_memory_names_the_settings(tmp_path, monkeypatch):
    def hungry(settings, facts, weight_C):
        return lambda logits, target: logits.sum(1) + torch.empty(FAR).sum()

    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", hungry)
    with pytest.raises(UserError, match="out of memory") as caught:
        fit(fold_job(), tmp_path)
    text = str(caught.value)
    assert "train.batch_size=8 train.accumulate=2" in text and "images.size" in text


def test_other_runtime_errors_are_not_about_memory():
    with pytest.raises(RuntimeError, match="shapes"), explained_memory_errors(TrainSettings(), (32, 32)):
        raise RuntimeError("shapes differ")
    with pytest.raises(UserError, match="out of memory"), explained_memory_errors(TrainSettings(), (32, 32)):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def small_gpu(limit, calls):
    """Cross-entropy on a device that holds no more than so many rows; it fills in the second epoch."""

    def make(settings, facts, weight_C):
        plain = rows_of(cross_entropy_terms, settings.label_smoothing, weight_C)

        def value(logits_BC, target_BC):
            if logits_BC.requires_grad:
                calls.append(len(logits_BC))
                if len(calls) > 5 and len(logits_BC) > limit:
                    raise torch.OutOfMemoryError("CUDA out of memory")
            return plain(logits_BC, target_BC)

        return value

    return make


@pytest.mark.slow
def test_oom_halving_goes_on_in_smaller_pieces_and_resumes_alike(tmp_path, monkeypatch, caplog):
    job = fold_job(oom_halving=True)
    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", small_gpu(5, calls := []))
    result, state = fit(job, tmp_path / "a")
    assert "is now passed in 2 pieces" in caplog.text and "is now passed in 4 pieces" in caplog.text
    assert calls[:3] == [16, 16, 17] and max(calls[-12:]) <= 5
    assert len(result.history) == 3
    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", small_gpu(5, []))
    fit(job, tmp_path / "b", lambda fold, epoch, entry: epoch < 1)
    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", small_gpu(99, []))
    _, resumed = fit(job, tmp_path / "b")
    assert equal_states(state, resumed), "a checkpoint keeps in how many pieces batches pass"


def test_without_oom_halving_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", small_gpu(4, []))
    with pytest.raises(UserError, match="out of memory"):
        fit(fold_job(), tmp_path)


@pytest.fixture
def small_memory(monkeypatch):
    """A device whose memory a network's real forward pass fills from so many training rows on."""

    def install(limit, seen):
        forward = model.Classifier.forward

        def hungry(self, x_BCHW):
            logits_BC = forward(self, x_BCHW)
            if self.training:
                seen.append(len(x_BCHW))
                if len(x_BCHW) > limit:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return logits_BC

        monkeypatch.setattr(model.Classifier, "forward", hungry)

    return install


@pytest.mark.parametrize(
    "more", [{}, {"ema_decay": 0.9, "input_noise": 0.1}, {"weight_noise": 0.1, "clip_norm": 1.0}]
)
def test_halving_ends_with_the_bits_of_half_the_batch_accumulated_twice(tmp_path, small_memory, more):
    """Batch normalisation, dropout and noise included: both see the same rows at once, in the same order."""
    whole = fold_job(n_train=48, epochs=2, oom_halving=True, **more)
    accumulated = fold_job(n_train=48, epochs=2, accumulate=2, **{**more, "batch_size": 8})
    _, expected = fit(accumulated, tmp_path / "accumulated")
    small_memory(limit=8, seen=(seen := []))
    result, state = fit(whole, tmp_path / "halved")
    assert seen[:3] == [16, 8, 8] and len(result.history) == 2
    assert equal_states(state, expected)


def test_no_piece_is_a_single_row_which_batch_norm_cannot_take(tmp_path, small_memory):
    """The last batch of 49 rows has 17, and the last one of 51 has 3."""
    small_memory(limit=3, seen=(seen := []))
    for rows in (49, 51):
        result, _ = fit(fold_job(n_train=rows, epochs=1, oom_halving=True), tmp_path / str(rows))
        assert len(result.history) == 1
    assert min(seen) == 2 and max(seen[-20:]) == 3


def test_too_little_memory_for_validation_names_its_own_setting(tmp_path, monkeypatch):
    forward = model.Classifier.forward

    def hungry(self, x_BCHW):
        if not self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x_BCHW)

    monkeypatch.setattr(model.Classifier, "forward", hungry)
    with pytest.raises(UserError, match=r"validation: runtime\.infer_batch=128") as caught:
        fit(fold_job(epochs=1, oom_halving=True), tmp_path)
    assert "runtime.infer_batch=64" in caught.value.remedy


def test_pieces_change_no_gradient_without_batch_norm():
    from test_fit import gradients

    weights = torch.linspace(0.1, 5, 21)
    value, whole = gradients([16], weights)
    for most in (2, 3, 5, 16):
        again, gradient = gradients([16], weights, most=most)
        assert again == pytest.approx(value)
        torch.testing.assert_close(gradient, whole, rtol=1e-9, atol=1e-12)
    assert torch.isfinite(value)


def test_bf16_is_refused_on_a_cpu_where_its_gradient_reads_what_nothing_wrote(tmp_path):
    """Each layer of its own; the rule is the one that its measurement in docs/log.md gives."""
    narrow = [(3, 2, (1, 1)), (3, 2, (4, 1)), (3, 3, (2, 2))]
    wide = [(3, 2, (1, 2)), (3, 1, (1, 1)), (1, 2, (1, 1))]
    for kernel, stride, size in [*narrow, *wide]:
        unsafe = (kernel, stride, size) in narrow
        layer = nn.Sequential(nn.Conv2d(3, 4, kernel, stride, kernel // 2)).train()
        assert (unsafe_in_bf16(layer, size) == "0") == unsafe, (kernel, stride, size)
        assert layer[0].training and not layer[0]._forward_pre_hooks
    job = fold_job(n_train=17, n_valid=15, epochs=1, precision="bf16")
    small = replace(job, images=digit_images(32, size=16))
    with pytest.raises(ConfigError, match=r"16 × 16 px the input of backbone\.layer4\.0\.conv1") as caught:
        fit(small, tmp_path)
    assert "train.precision=fp32" in caught.value.remedy
    assert len(fit(replace(job, images=digit_images(32)), tmp_path)[0].history) == 1
    told = replace(small, train=small.train.model_copy(update={"precision": "auto"}), measured=Mode("bf16"))
    with pytest.raises(ConfigError):
        fit(told, tmp_path / "measured elsewhere")
