"""A fold whose images are augmented on the device: what can be held on a CPU, and the tier gpu."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import learn_world
import numpy as np
import pytest
import torch
from learn_world import equal_states, fold_job

from pipeline.data.device_images import DeviceImages
from pipeline.data.device_loader import DeviceLoader
from pipeline.nets import model
from pipeline.settings.train import MixSettings
from pipeline.train import captured, job, loop
from pipeline.train.loop import checkpoint_path, fit
from pipeline.train.state import Training, load_checkpoint, save_checkpoint


@pytest.fixture
def as_gpu(monkeypatch):
    """The way of a GPU on the CPU: the images count as resident, and the device augments."""
    made = []

    def on_device(images, device, share):
        made.append(images if isinstance(images, DeviceImages) else DeviceImages(images, device, share))
        return made[-1]

    monkeypatch.setattr(job, "engine_of", lambda *asked: "device")
    monkeypatch.setattr(loop, "on_device", on_device)
    return made


MORE = [{}, {"swa_start": 0.3}, {"mix": MixSettings(method="cutmix", partner="minority"), "ema_decay": 0.9}]


@pytest.mark.parametrize("more", MORE)
def test_where_the_images_lie_changes_no_bit(as_gpu, tmp_path, more):
    one = replace(fold_job(epochs=2, policy="medium", **more), images_share=1.0)
    result, state = fit(one, tmp_path / "resident")
    assert as_gpu[-1].resident and result.extra["engine"] == "device"
    _, other = fit(replace(one, images_share=0.0), tmp_path / "host")
    assert not as_gpu[-1].resident and equal_states(state, other)


@pytest.mark.parametrize("more", MORE[1:])
def test_draws_are_made_while_the_epoch_before_trains_and_are_the_same(as_gpu, tmp_path, monkeypatch, more):
    drawn, table = [], DeviceLoader._table

    def seen(loader, rows, epoch):
        drawn.append((epoch, threading.current_thread() is threading.main_thread()))
        return table(loader, rows, epoch)

    monkeypatch.setattr(DeviceLoader, "_table", seen)
    one = fold_job(epochs=3, policy="medium", **more)
    _, ahead = fit(one, tmp_path / "ahead")
    assert all(in_main == (epoch == 0) for epoch, in_main in drawn), (
        "only the first epoch waits for its draws"
    )
    assert {epoch for epoch, _ in drawn} == {0, 1, 2}
    monkeypatch.setattr(DeviceLoader, "expect", lambda *asked: None)
    _, alone = fit(one, tmp_path / "alone")
    assert equal_states(ahead, alone)


def test_draws_for_other_rows_than_expected_are_made_anew(as_gpu, tmp_path, monkeypatch):
    one = fold_job(epochs=2, policy="medium")
    _, whole = fit(one, tmp_path / "whole")
    expect = DeviceLoader.expect

    def wrong(loader, epoch, rows, partners):
        expect(loader, epoch, replace(rows, index_R=rows.index_R[::-1].copy()), partners)

    monkeypatch.setattr(DeviceLoader, "expect", wrong)
    assert equal_states(fit(one, tmp_path / "again")[1], whole)


def test_a_policy_without_transforms_trains_alike_on_both_engines(as_gpu, tmp_path, monkeypatch):
    _, there = fit(fold_job(epochs=2, policy="none"), tmp_path / "device")
    monkeypatch.undo()
    result, here = fit(fold_job(epochs=2, policy="none"), tmp_path / "host")
    assert equal_states(there, here) and result.extra["engine"] == "albumentations"


def test_a_fold_that_is_augmented_on_the_device_resumes_with_the_same_bits(as_gpu, tmp_path):
    one = fold_job(policy="medium", ema_decay=0.9)
    _, whole = fit(one, tmp_path / "whole")
    fit(one, tmp_path / "killed", lambda fold, epoch, entry: epoch < 1)
    assert equal_states(fit(one, tmp_path / "killed")[1], whole)


def test_a_checkpoint_resumes_on_the_engine_that_it_began_on_only(as_gpu, tmp_path, monkeypatch, caplog):
    fit(fold_job(), tmp_path, lambda fold, epoch, entry: False)
    monkeypatch.undo()
    epochs = []
    fit(fold_job(), tmp_path, lambda fold, epoch, entry: epochs.append(epoch) or True)
    assert epochs == [0, 1, 2] and "augmented by the engine device, and albumentations is used" in caplog.text


def test_a_checkpoint_that_names_no_engine_was_made_by_the_only_one(tmp_path):
    fit(fold_job(), tmp_path, lambda fold, epoch, entry: False)
    path, epochs = checkpoint_path(tmp_path, 3), []
    state = load_checkpoint(path)
    save_checkpoint(path, {k: v for k, v in state.items() if k not in ("engine", "version")})
    fit(fold_job(), tmp_path, lambda fold, epoch, entry: epochs.append(epoch) or True)
    assert epochs == [1, 2]


@pytest.mark.parametrize("batch", [2, 8])
def test_images_make_room_before_batches_are_halved(as_gpu, tmp_path, monkeypatch, caplog, batch):
    """Memory runs out in this batch, in the first epoch (without a checkpoint) or in a later one."""
    one = replace(fold_job(policy="medium", ema_decay=0.9), images_share=1.0)
    _, expected = fit(one, tmp_path / "roomy")
    forward, seen = model.Classifier.forward, []

    def hungry(self, x_BCHW):
        if self.training:
            seen.append(1)
            if len(seen) >= batch and as_gpu[-1].resident:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, x_BCHW)

    def second(*given):
        assert not as_gpu[-1].resident, "the start needs a second network: room is made before it"
        return Training(*given)

    monkeypatch.setattr(model.Classifier, "forward", hungry)
    monkeypatch.setattr("pipeline.train.loop.Training", second)
    result, state = fit(one, tmp_path / "crowded")
    assert equal_states(state, expected) and len(result.history) == 3
    told = [record.getMessage() for record in caplog.records if "runtime.images_share" in record.getMessage()]
    assert len(told) == 1 and np.isfinite(result.oof.p_NC).all()


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_library_of_cuda_that_finds_no_memory_makes_images_go_as_well(as_gpu, tmp_path, monkeypatch, said):
    one = replace(fold_job(policy="none", epochs=1), images_share=1.0)
    _, expected = fit(one, tmp_path / "roomy")
    forward = model.Classifier.forward

    def hungry(self, x_BCHW):
        if self.training and as_gpu[-1].resident:
            raise RuntimeError(said)
        return forward(self, x_BCHW)

    monkeypatch.setattr(model.Classifier, "forward", hungry)
    assert equal_states(fit(one, tmp_path / "crowded")[1], expected) and not as_gpu[-1].resident


def test_images_make_room_for_the_evaluation_of_an_epoch(as_gpu, tmp_path, monkeypatch):
    """Its batches may be larger than those of training, and a step's graph has memory of its own."""
    one = replace(fold_job(policy="medium", ema_decay=0.9), images_share=1.0)
    expected, weights = fit(one, tmp_path / "roomy")
    forward = model.Classifier.forward

    def hungry(self, x_BCHW):
        if not self.training and as_gpu[-1].resident:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, x_BCHW)

    monkeypatch.setattr(model.Classifier, "forward", hungry)
    result, state = fit(one, tmp_path / "crowded")
    assert equal_states(state, weights) and not as_gpu[-1].resident
    assert len(result.history) == 3 and np.array_equal(result.oof.p_NC, expected.oof.p_NC)


# The tier gpu.


def on_gpu(**more):
    return replace(fold_job(policy="medium", n_train=97, **more), device="cuda", images_share=1.0)


@pytest.mark.gpu
def test_a_gpu_trains_alike_on_resident_and_on_pinned_images(tmp_path):
    result, state = fit(on_gpu(ema_decay=0.9), tmp_path / "resident")
    assert result.extra["engine"] == "device"
    pinned = replace(on_gpu(ema_decay=0.9), images_share=0.0)
    assert equal_states(fit(pinned, tmp_path / "pinned")[1], state)


@pytest.mark.gpu
@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("policy", ["medium", "none"])
def test_a_gpu_resumes_with_the_same_bits_wherever_the_images_lie(tmp_path, share, policy):
    one = replace(on_gpu(ema_decay=0.9), images_share=share)
    one = replace(one, augment=one.augment.model_copy(update={"policy": policy}))
    _, whole = fit(one, tmp_path / "whole")
    fit(one, tmp_path / "killed", lambda fold, epoch, entry: epoch < 1)
    assert equal_states(fit(one, tmp_path / "killed")[1], whole)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [2, 10])
def test_a_gpu_that_runs_out_of_memory_gives_up_its_images_first(tmp_path, monkeypatch, caplog, batch):
    _, expected = fit(on_gpu(), tmp_path / "roomy")
    forward, seen = model.Classifier.forward, []

    def hungry(self, x_BCHW):
        if self.training:
            seen.append(1)
            if len(seen) == batch:
                torch.empty(10**14, device="cuda")
        return forward(self, x_BCHW)

    monkeypatch.setattr(model.Classifier, "forward", hungry)
    # Steps that are replayed would not call it.
    monkeypatch.setattr(captured, "WARM_UP", 10**9)
    _, state = fit(on_gpu(), tmp_path / "crowded")
    assert equal_states(state, expected) and "runtime.images_share" in caplog.text


@pytest.mark.gpu
def test_four_processes_on_one_gpu_have_the_bits_of_one(tmp_path):
    words = [sys.executable, learn_world.__file__]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}

    def start(name):
        command = [*words, str(tmp_path / name), "0", "cuda"]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    alone = start("alone").communicate(timeout=300)[0]
    together = [start(f"one of four {n}") for n in range(4)]
    assert alone.strip() and {p.communicate(timeout=300)[0] for p in together} == {alone}


@pytest.mark.gpu
def test_a_policy_that_the_device_cannot_run_trains_with_pinned_batches(tmp_path, monkeypatch):
    """The engine of the CPU: batches come from loader processes and are copied ahead."""
    one = replace(on_gpu(), workers=2)
    monkeypatch.setattr(job, "engine_of", lambda *asked: "albumentations")
    result, state = fit(one, tmp_path / "two")
    assert result.extra["engine"] == "albumentations"
    assert equal_states(fit(replace(one, workers=0), tmp_path / "none")[1], state)
