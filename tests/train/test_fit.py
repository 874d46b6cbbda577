import copy
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import learn_world
import numpy as np
import pytest
import torch
from learn_world import SIZE, all_rows, digest, equal_states, fold_job, long_job
from torch import nn

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.samples import TrainRows
from pipeline.data.loader import Batch
from pipeline.nets.forward import Mode
from pipeline.nets.model import Classifier
from pipeline.settings.loss import LossSettings, traits
from pipeline.train.job import fingerprint
from pipeline.train.loop import checkpoint_path, fit
from pipeline.train.losses import REGISTRY, make_loss
from pipeline.train.state import load_checkpoint
from pipeline.train.step import Backward, windows
from pipeline.train.targets import class_facts, targets_of


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


class Bomb:
    """Pixels that kill whoever reads the n-th image."""

    def __init__(self, x_NHWC, reads):
        self.x_NHWC, self.shape, self.left = x_NHWC, x_NHWC.shape, reads

    def __getitem__(self, at):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.x_NHWC[at]


def armed(job, reads):
    return replace(job, images=learn_world.Pixels(job.images.ids_N, Bomb(job.images.x_NHWC, reads)))


def comparable(result):
    return [{k: v for k, v in entry.items() if k != "images_per_second"} for entry in result.history]


@pytest.fixture(scope="module")
def hard_job():
    """Everything that could hide state: dropout, average, accumulation, clipping, redrawn rows."""

    def rows(epoch):
        return TrainRows.of(np.random.default_rng(epoch).integers(0, 49, size=40 + epoch))

    return replace(fold_job(ema_decay=0.9, accumulate=2, clip_norm=1.0), rows=rows)


@pytest.fixture(scope="module")
def whole(hard_job, tmp_path_factory):
    return fit(hard_job, tmp_path_factory.mktemp("whole"))


def test_the_network_learns_and_predicts_its_validation_part(tmp_path):
    job = fold_job(epochs=6, policy="none", lr=1e-2, n_train=161)
    result, state = fit(job, tmp_path)
    losses = [entry["train_loss"] for entry in result.history]
    assert losses[-1] < 0.8 * losses[0]
    assert result.history[-1]["valid_score"] > 0.3, "chance is 0.1"
    assert np.array_equal(result.oof.ids_N, job.valid_samples.ids_N)
    assert result.oof.classes == job.valid_samples.space.classes
    np.testing.assert_allclose(result.oof.p_NC.sum(1), 1, atol=1e-6)
    assert result.history[-1]["valid_score"] == learn_world.accuracy(
        job.valid_samples.labels, result.oof.p_NC
    )
    assert all(torch.isfinite(v).all() for v in state.values())


def test_history_names_what_a_person_asks(whole):
    result, _ = whole
    expected = {"epoch", "train_loss", "lr", "images_per_second", "valid_loss", "valid_score", "gap"}
    expected |= {"grad_norm", "grad_norm_max", *(f"f1/{digit}" for digit in range(10))}
    assert [set(entry) for entry in result.history] == [expected] * 3
    assert all(0 < entry["grad_norm"] <= entry["grad_norm_max"] for entry in result.history)
    assert [entry["epoch"] for entry in result.history] == [0, 1, 2]
    assert result.seconds > 0


@pytest.mark.parametrize("reads", [20, 60, 110])
def test_killed_inside_an_epoch_and_continued_is_bit_identical(hard_job, whole, tmp_path, reads):
    with pytest.raises(Killed):
        fit(armed(hard_job, reads), tmp_path)
    result, state = fit(hard_job, tmp_path)
    assert equal_states(state, whole[1])
    assert np.array_equal(result.oof.p_NC, whole[0].oof.p_NC)
    assert comparable(result) == comparable(whole[0])


@pytest.mark.parametrize("after", [0, 1, 2])
def test_interrupted_between_epochs_and_continued_is_bit_identical(hard_job, whole, tmp_path, after):
    def interrupt(fold, epoch, entry):
        if epoch == after:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        fit(hard_job, tmp_path, interrupt)
    assert load_checkpoint(checkpoint_path(tmp_path, hard_job.fold))["epoch"] == after + 1
    seen = []
    result, state = fit(hard_job, tmp_path, lambda fold, epoch, entry: seen.append(epoch) or True)
    assert seen == list(range(after + 1, 3)), "finished epochs were trained again"
    assert equal_states(state, whole[1])
    assert np.array_equal(result.oof.p_NC, whole[0].oof.p_NC)


def test_bf16_resume_is_bit_identical(tmp_path):
    job = fold_job(precision="bf16")
    _, expected = fit(job, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(armed(job, 80), tmp_path / "killed")
    assert equal_states(fit(job, tmp_path / "killed")[1], expected)
    assert not equal_states(fit(fold_job(), tmp_path / "fp32")[1], expected)


def test_a_resume_computes_in_the_mode_of_its_checkpoint_whatever_was_measured_since(tmp_path):
    seen = Mode("bf16", "contiguous")
    job = replace(fold_job(precision="auto", epochs=2), measured=seen)
    result, expected = fit(job, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(armed(job, 80), tmp_path / "killed")
    assert load_checkpoint(checkpoint_path(tmp_path / "killed", 3))["epoch"] == 1
    again, state = fit(replace(job, measured=Mode()), tmp_path / "killed")
    assert equal_states(state, expected)
    assert result.extra["mode"] == again.extra["mode"] == str(seen)
    assert not equal_states(fit(replace(job, measured=Mode()), tmp_path / "now")[1], expected)


def test_a_precision_that_the_user_wrote_is_not_measured_away(tmp_path):
    job = replace(fold_job(precision="fp32", epochs=1), measured=Mode("bf16"))
    assert fit(job, tmp_path)[0].extra["mode"] == "fp32 channels_last"


def test_a_damaged_checkpoint_restarts_the_fold(hard_job, whole, tmp_path, caplog):
    fit(hard_job, tmp_path, lambda fold, epoch, entry: False)
    path = checkpoint_path(tmp_path, hard_job.fold)
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        _, state = fit(hard_job, tmp_path)
    assert "damaged" in caplog.text
    assert equal_states(state, whole[1])


def test_a_checkpoint_of_another_job_is_not_continued(hard_job, whole, tmp_path, caplog):
    fit(replace(hard_job, train=hard_job.train.model_copy(update={"lr": 1e-4})), tmp_path)
    _, state = fit(hard_job, tmp_path)
    assert "other settings" in caplog.text
    assert equal_states(state, whole[1])


def test_fingerprint_ignores_which_folds_are_asked_for_and_sees_the_rest(hard_job):
    train = hard_job.train
    assert fingerprint(replace(hard_job, train=train.model_copy(update={"folds": [3]}))) == fingerprint(
        hard_job
    )
    others = [
        replace(hard_job, fold=1),
        replace(hard_job, rows=all_rows(49)),
        replace(hard_job, loss=LossSettings(name="focal")),
        replace(hard_job, train_samples=hard_job.train_samples.take(hard_job.train_samples.ids_N[::-1])),
        replace(hard_job, weights_N=np.full(49, 2, np.float32)),
    ]
    assert len({fingerprint(job) for job in [hard_job, *others]}) == 6


def test_on_epoch_ends_a_fold(hard_job, tmp_path):
    calls = []
    result, _ = fit(hard_job, tmp_path, lambda *call: calls.append(call) or len(calls) < 2)
    assert [(fold, epoch) for fold, epoch, _ in calls] == [(3, 0), (3, 1)]
    assert len(result.history) == 2 and calls[1][2] == result.history[1]


@pytest.mark.slow
def test_a_fold_is_the_same_alone_first_and_last(hard_job, whole, tmp_path):
    fit(replace(hard_job, fold=0), tmp_path / "0")
    torch.manual_seed(123)
    torch.rand(100)
    _, last = fit(hard_job, tmp_path / "3")
    assert equal_states(last, whole[1])
    other = fit(replace(hard_job, fold=1), tmp_path / "1")[1]
    assert not equal_states(other, last), "folds share their draws"


def test_workers_change_nothing(hard_job, whole, tmp_path):
    assert equal_states(fit(replace(hard_job, workers=2), tmp_path)[1], whole[1])


def test_the_average_is_what_predicts(hard_job, whole, tmp_path):
    state = checkpoint_state(hard_job, tmp_path)
    assert equal_states(state["average"], whole[1])
    assert not equal_states(state["model"], whole[1])


def checkpoint_state(job, work):
    fit(job, work)
    return load_checkpoint(checkpoint_path(work, job.fold))


def test_a_loss_that_is_no_number_says_where_and_what_to_try(tmp_path):
    weights = np.ones(49, np.float32)
    weights[7] = np.inf
    with pytest.raises(UserError, match=r"fold 3, epoch 0, step \d") as caught:
        fit(replace(fold_job(), weights_N=weights), tmp_path)
    assert "train.lr" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_fp16_without_a_gpu_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        fit(fold_job(precision="fp16"), tmp_path)


def plain_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 10))
    return net.double()


class _Doubled(nn.Module):
    """Double precision, so that only the arithmetic of the window can differ."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x_BCHW):
        return self.net(x_BCHW.double())


def gradients(cuts, weights_N, settings=None, total=21, **more):
    images, samples = learn_world.digit_images(total), learn_world.digit_samples(0, total)
    at = [int(np.flatnonzero(images.ids_N == i)[0]) for i in samples.ids_N]
    x, y = torch.from_numpy(images.x_NHWC[at]), torch.from_numpy(samples.labels.copy())
    index = torch.arange(total)
    window = [Batch(x[a:b], y[a:b], index[a:b]) for a, b in zip([0, *cuts], [*cuts, total], strict=True)]
    net = _Doubled(plain_network())
    facts = replace(class_facts(samples, TrainRows.of(np.arange(total))), scale=5.0)
    loss = make_loss(settings or LossSettings(), facts)
    value = Backward(loss, targets_of(samples), weights_N, **more)(net, window)
    return value, torch.cat([p.grad.flatten() for p in net.parameters()])


LOSSES = {
    name: LossSettings(name=name, label_smoothing=0.1)
    for name in REGISTRY
    if not (traits(name).of_batch or traits(name).only_attributes)
} | {
    "by class": LossSettings(class_weights="inverse", label_smoothing=0.1),
    "focal by class": LossSettings(name="focal", class_weights="effective", beta=0.9),
    "ldam": LossSettings(name="ldam", scale=5.0),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cuts", [[7, 14], [16], [8, 16], [20]])
def test_accumulation_equals_the_large_batch(cuts, weighted, loss):
    weights = torch.linspace(0.1, 5, 21) if weighted else torch.ones(21)
    value, gradient = gradients(cuts, weights, LOSSES[loss])
    whole_value, whole_gradient = gradients([], weights, LOSSES[loss])
    assert value == pytest.approx(whole_value)
    torch.testing.assert_close(gradient, whole_gradient, rtol=1e-9, atol=1e-12)


def test_accumulated_class_weights_are_torchs_mean_over_the_large_batch():
    """Each 0 weighs nine times as much as any other digit."""
    hand = {str(digit): 9.0 if digit == 0 else 1.0 for digit in range(10)}
    value, gradient = gradients([5, 16], torch.ones(21), LossSettings(class_weights="hand", hand=hand))
    images, samples = learn_world.digit_images(21), learn_world.digit_samples(0, 21)
    at = [int(np.flatnonzero(images.ids_N == i)[0]) for i in samples.ids_N]
    net = _Doubled(plain_network())
    loss = nn.functional.cross_entropy(
        net(torch.from_numpy(images.x_NHWC[at]).permute(0, 3, 1, 2) / 255),
        torch.from_numpy(samples.labels.copy()),
        weight=torch.tensor(list(hand.values())).double(),
    )
    loss.backward()
    assert value == pytest.approx(loss.item())
    theirs = torch.cat([p.grad.flatten() for p in net.parameters()])
    torch.testing.assert_close(gradient, theirs, rtol=1e-6, atol=1e-9)


# Of cosines, probabilities do not tell the logits.
BY_PROBABILITY = [loss for name, loss in LOSSES.items() if name != "arcface"]


@pytest.mark.parametrize("loss", [*BY_PROBABILITY, LossSettings(name="logit_adjustment")])
def test_the_validation_loss_is_the_training_loss_class_weights_included(loss, tmp_path):
    job = replace(
        fold_job(epochs=1, policy="none"), loss=loss, rows=lambda epoch: TrainRows.of(np.arange(30))
    )
    result, _ = fit(job, tmp_path)
    facts = class_facts(job.train_samples, job.rows(0))
    log_p = torch.from_numpy(result.oof.p_NC.astype(np.float64)).log()
    expected = make_loss(loss, facts).mean(log_p, targets_of(job.valid_samples).double())
    assert result.history[0]["valid_loss"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_deferred_class_weights_survive_a_kill(tmp_path):
    job = fold_job(epochs=4, policy="none")
    job = replace(job, loss=LossSettings(name="ldam", scale=4.0, class_weights="inverse", defer=0.5))
    _, whole = fit(job, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(armed(job, 49 + 23 + 49 + 23 + 30), tmp_path / "killed")
    assert equal_states(fit(job, tmp_path / "killed")[1], whole)
    never = replace(job, loss=job.loss.model_copy(update={"class_weights": "none", "defer": 0.0}))
    assert not equal_states(fit(never, tmp_path / "never")[1], whole), "the weights started"
    always = replace(job, loss=job.loss.model_copy(update={"defer": 0.0}))
    assert not equal_states(fit(always, tmp_path / "always")[1], whole), "they waited"


def test_the_mean_of_means_would_have_been_seen():
    """The trap itself: dividing by the number of micro-batches is far off for unequal ones."""
    weights = torch.linspace(0.1, 5, 21)
    _, right = gradients([], weights)
    parts = []
    for a, b in [(0, 16), (16, 21)]:
        masked = torch.zeros(21)
        masked[a:b] = weights[a:b]
        parts.append(gradients([], masked)[1])
    wrong = sum(parts) / 2
    assert (wrong - right).norm() / right.norm() > 0.05


def test_windows_end_with_a_short_one():
    batches = [Batch(torch.zeros(1), torch.zeros(1), torch.tensor([i])) for i in range(5)]
    assert [[int(b.index_B) for b in w] for w in windows(batches, 2)] == [[0, 1], [2, 3], [4]]


def test_sample_weights_reach_the_loss(tmp_path):
    job = fold_job(epochs=1)
    heavy = replace(job, weights_N=np.linspace(0.1, 5, 49).astype(np.float32))
    assert not equal_states(fit(job, tmp_path / "a")[1], fit(heavy, tmp_path / "b")[1])
    same = replace(job, weights_N=np.full(49, 4, np.float32))
    torch.testing.assert_close(fit(job, tmp_path / "c")[1], fit(same, tmp_path / "d")[1])


def other_process(work, fold):
    script = Path(learn_world.__file__)
    environment = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    command = [sys.executable, str(script), str(work), str(fold)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=script.parent.parent
    )


@pytest.mark.slow
def test_kill_9_inside_an_epoch_and_another_process_end_alike(tmp_path):
    """Also fold isolation: the same fold here, there, and there again after a kill."""
    _, here = fit(long_job(3), tmp_path / "here")
    process = other_process(tmp_path / "killed", 3)
    path = checkpoint_path(tmp_path / "killed", 3)
    while not path.exists():
        assert process.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert load_checkpoint(path)["epoch"] < long_job(3).train.epochs
    again = other_process(tmp_path / "killed", 3)
    alone = other_process(tmp_path / "alone", 3)
    digests = {again.communicate()[0].strip(), alone.communicate()[0].strip(), digest(here)}
    assert len(digests) == 1


GPU_MODES = [
    Mode("fp32", "channels_last"),
    Mode("fp32", "contiguous"),
    Mode("bf16", "channels_last"),
    Mode("fp16", "channels_last"),
    Mode("fp16", "contiguous"),
]


@pytest.mark.gpu
@pytest.mark.parametrize("mode", GPU_MODES, ids=str)
def test_resume_on_a_gpu_is_bit_identical(tmp_path, mode, monkeypatch):
    job = fold_job(precision="auto", ema_decay=0.9, accumulate=2, clip_norm=1.0)
    job = replace(job, device="cuda", measured=mode)
    result, expected = fit(job, tmp_path / "whole")
    assert result.extra["mode"] == str(mode) and result.extra["device"] == "cuda"
    forward, passed = Classifier.forward, []

    def deadly(self, x_BCHW):
        passed.extend([1] * self.training)
        if len(passed) == 5:  # an epoch has three batches
            raise Killed
        return forward(self, x_BCHW)

    with pytest.raises(Killed), monkeypatch.context() as patch:
        patch.setattr(Classifier, "forward", deadly)
        fit(job, tmp_path / "killed")
    assert load_checkpoint(checkpoint_path(tmp_path / "killed", 3))["epoch"] == 1
    assert equal_states(fit(replace(job, measured=Mode()), tmp_path / "killed")[1], expected)
    assert not torch.are_deterministic_algorithms_enabled(), "the switch was left on"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_learns_on_a_gpu_in_each_precision(tmp_path, precision):
    job = fold_job(epochs=6, policy="none", lr=1e-2, n_train=161, precision=precision)
    result, state = fit(replace(job, device="cuda"), tmp_path)
    losses = [entry["train_loss"] for entry in result.history]
    assert losses[-1] < 0.8 * losses[0]
    assert result.history[-1]["valid_score"] > 0.3, "chance is 0.1"
    assert all(v.device.type == "cpu" and torch.isfinite(v).all() for v in state.values())


@pytest.mark.gpu
def test_a_gpu_and_a_cpu_agree_at_first(tmp_path):
    job = fold_job(epochs=1, policy="none", precision="fp32")
    job = replace(job, model=job.model.model_copy(update={"drop_rate": 0.0}))
    here, there = (
        fit(replace(job, device=d), tmp_path / d)[0].history[0]["train_loss"] for d in ("cpu", "cuda")
    )
    assert here == pytest.approx(there, rel=2e-2)


@pytest.mark.gpu
def test_scaled_gradients_of_fp16_are_carried_over_a_kill(tmp_path):
    job = replace(fold_job(precision="fp16"), device="cuda")
    state = checkpoint_state(job, tmp_path)
    assert state["scaler"]["scale"] > 1 and state["scaler"]["_growth_tracker"] > 0


@pytest.mark.gpu
def test_without_determinism_a_gpu_still_trains(tmp_path):
    job = replace(fold_job(epochs=1), device="cuda", deterministic=False)
    assert fit(job, tmp_path)[0].history


def test_the_job_is_left_as_it_was(hard_job, tmp_path):
    before = copy.deepcopy(hard_job.images.x_NHWC)
    fit(hard_job, tmp_path)
    assert hard_job.images.x_NHWC.shape[1] == SIZE
    assert np.array_equal(before, hard_job.images.x_NHWC)
