"""Training steps on a GPU that only torch's fake tensors know: devices and shapes, without values.

Whatever reads a number back from the device raises here, and so does mixing tensors of two devices. The
backward pass needs a driver and is left out.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import SIZE, all_rows, fold_job
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.data import device_images
from pipeline.data.augment import Augmenter
from pipeline.data.device_augment import DeviceAugmenter
from pipeline.data.loader import Batch
from pipeline.nets.forward import Mode
from pipeline.settings.loss import LOSSES, LossSettings
from pipeline.settings.train import MixSettings
from pipeline.train.losses import make_loss
from pipeline.train.optim import make_optimizer
from pipeline.train.state import Training
from pipeline.train.step import Step
from pipeline.train.targets import ClassFacts

FUSED = ("_fused_adamw_", "_fused_adam_", "_fused_sgd_")
BATCH = 8


@pytest.fixture
def fake(monkeypatch):
    """Tensors of a GPU without values."""
    monkeypatch.setattr(device_images, "_pinned", lambda x: x)
    for name in FUSED:
        monkeypatch.setattr(torch, name, on_the_gpu)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def on_the_gpu(*lists, lr, **more):
    assert lr.is_cuda and all(x.is_cuda for one in lists for x in one)


def moved(network):
    for module in network.modules():
        for name, p in module._parameters.items():
            if p is not None:
                there = torch.empty(p.shape, device="cuda")
                module._parameters[name] = torch.nn.Parameter(there, requires_grad=p.requires_grad)
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = torch.empty(b.shape, dtype=b.dtype, device="cuda")


class Running:
    """Runs every step as it is."""

    def watch(self, function, inputs):
        return function(*inputs), False

    def record(self, function, inputs):
        raise RuntimeError("there is no GPU")


def training_of(job, request):
    training = Training(job, Mode())
    request.getfixturevalue("fake")
    moved(training.model)
    if training.average._ema is not None:
        moved(training.average._ema.module)
        training.average._share = torch.zeros((), device="cuda")
    training.optimizer = make_optimizer(training.model.backbone, job.train, "cuda")
    training.facts = replace(training.facts, device="cuda")
    training.target_NC = torch.empty(training.target_NC.shape, device="cuda")
    training.weights_N = torch.empty(training.weights_N.shape, device="cuda")
    training.model.train()
    return training


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"ema_decay": 0.9, "clip_norm": 1.0, "weight_noise": 0.1, "input_noise": 0.1},
        {"mix": MixSettings(method="cutmix", partner="minority"), "optimizer": "sgd", "layer_decay": 0.8},
        {"mix": MixSettings(method="mixup"), "optimizer": "nadamw"},
    ],
    ids=str,
)
def test_no_part_of_a_step_reads_a_number_back_and_all_of_it_is_on_the_gpu(request, monkeypatch, more):
    job = replace(fold_job(n_train=49, batch_size=BATCH, **more), rows=all_rows(49))
    training = training_of(job, request)

    def backward(loss):
        for p in training.model.parameters():
            p.grad = torch.empty_like(p)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    step = Step(replace(job, device="cuda"), training, Running())
    for number, rows in enumerate((BATCH, BATCH, 5)):
        x_BHWC = torch.zeros((rows, SIZE, SIZE, 3), dtype=torch.uint8, device="cuda")
        at_B = torch.zeros(rows, dtype=torch.int64, device="cuda")
        partner = Batch(x_BHWC, at_B, at_B) if "partner" in str(more) else None
        made = step([Batch(x_BHWC, at_B, at_B, partner)], number, 0.1)
        assert made.is_cuda and made.shape == (2,) and made.dtype == torch.float64


GRADES = [Attribute("a", ("no", "yes")), Attribute("grade", ("0", "1", "2", "3"))]
SPACES = {
    "exclusive": LabelSpace.product(GRADES),
    "labels": LabelSpace.independent(GRADES),
    "values": LabelSpace.numbers(["x", "y"]),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for n, t in LOSSES.items() for k in t.kinds if k in SPACES]
)
def test_no_loss_reads_a_number_back(fake, kind, name):
    space, ones = SPACES[kind], np.ones(SPACES[kind].n_classes, np.float32)
    weights = {"class_weights": "inverse"} if LOSSES[name].weighs and kind != "values" else {}
    loss = make_loss(
        LossSettings(name=name, **weights), ClassFacts(space, ones, None, "cuda", 2 * ones, ones, scale=16.0)
    )
    x_BC = torch.zeros(BATCH, space.n_classes, device="cuda")
    assert (loss(x_BC, x_BC) * loss.weigh(x_BC)).is_cuda


def test_augmentation_on_the_device_reads_no_number_back(fake):
    augment = DeviceAugmenter([Augmenter("heavy", (SIZE, SIZE))])
    x_BHWC = torch.zeros(BATCH, SIZE, SIZE, 3, dtype=torch.uint8, device="cuda")
    assert augment(x_BHWC, torch.zeros(BATCH, augment.width, device="cuda")).is_cuda


def test_reading_a_number_back_is_found_here(fake):
    with pytest.raises(DataDependentOutputException):
        torch.zeros((), device="cuda").item()
