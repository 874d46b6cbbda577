"""One optimizer step: the gradients of an accumulation window, clipping, the update, and the average.

Owns windows of micro-batches, their backward pass (the loss is summed and divided once), the noise on pixels
and on the weights of a step, and the seed of its random draws. Does not own the order of steps
(`train/loop.py`), the optimizer and its schedule (`train/optim.py`), replaying a step as one CUDA graph
(`train/captured.py`) nor what is checked of its figures (`train/health.py`).

No step reads a number back from the device: on a GPU that would wait until everything before it is computed.
Loss and gradient norm are returned as a tensor. Dropout and noise draw from torch's generators, which are
seeded before every step.

Legend: B rows of a micro-batch, C classes (of pixels: channels), H height, N samples, W width.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice, pairwise

import torch
from torch import nn

from pipeline.core.seeds import seed
from pipeline.data.loader import Batch
from pipeline.nets.forward import autocast, pixels
from pipeline.nets.several import on_each
from pipeline.resample.mixing import MixedBatch, Mixer
from pipeline.train import texts
from pipeline.train.captured import Captured, Cuda, Device
from pipeline.train.health import gradient_norm
from pipeline.train.job import FoldJob
from pipeline.train.losses import Loss
from pipeline.train.optim import can_record, set_lr
from pipeline.train.state import Training

# The least weight of a window, so that one without any weight is not divided by 0.
_LEAST_WEIGHT = 1e-12


def noisy_pixels(x_BCHW: torch.Tensor, std: float, channels: int | None = None) -> torch.Tensor:
    """Pixels in [0, 1] with Gaussian noise of this standard deviation, clipped to [0, 1].

    `channels` are those of one of several images; None: there is one. Where there is no image is no noise.
    """
    if std == 0:
        return x_BCHW
    return on_each(x_BCHW, channels or x_BCHW.shape[1], lambda x: (x + std * torch.randn_like(x)).clamp(0, 1))


@contextmanager
def noisy_weights(network: nn.Module, share: float) -> Iterator[None]:
    """Inside, Gaussian noise is added to every trained weight tensor; afterwards the old values are restored.

    Biases and norms (1-D parameters) have no noise.

    `share` is the standard deviation of the noise as a share of the tensor's root mean square.

    Source: An, The Effects of Adding Noise During Backpropagation Training (1996); Wu et al., Adversarial
    Weight Perturbation, https://arxiv.org/abs/2004.05884, for noise relative to the tensor's size.
    """
    if share == 0:
        yield
        return
    noisy = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    own = [p.detach().clone() for p in noisy]
    try:
        with torch.no_grad():
            for p in noisy:
                _add_noise(p, share)
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(noisy, own, strict=True):
                p.copy_(value)


def _add_noise(p: torch.Tensor, share: float) -> None:
    size = p.square().mean().sqrt()
    if p.is_cuda:  # as a number it would have to be waited for
        p.addcmul_(torch.randn_like(p), size * share)
    else:
        p.add_(torch.randn_like(p), alpha=share * float(size))


def windows(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` micro-batches; the last may be shorter."""
    left = iter(batches)
    while window := list(islice(left, size)):
        yield window


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch (pixels 0 to 255) with its targets and row weights, mixed with partners or not."""

    batch: Batch
    blend: MixedBatch | None
    target_BC: torch.Tensor
    weight_B: torch.Tensor
    beside_BE: torch.Tensor | None = None

    def pixels(self, device: str, layout: str) -> torch.Tensor:
        """(B, C, H, W) pixels in [0, 1], on the device."""
        own_BCHW = pixels(self.batch.x_BHWC, device, layout)
        if self.blend is None:
            return own_BCHW
        return self.blend.pixels(own_BCHW, pixels(self.blend.other.x_BHWC, device, layout))

    def split(self, most: int) -> list["MicroBatch"]:
        """The same in pieces of about equal size and at most `most` rows, but none of a single row, for which
        batch normalisation has no variance: three rows stay together if `most` is two.
        """
        rows = len(self.weight_B)
        n = min(math.ceil(rows / most), max(rows // 2, 1))
        return [
            MicroBatch(
                self.batch.part(a, b),
                self.blend and self.blend.part(a, b),
                self.target_BC[a:b],
                self.weight_B[a:b],
                None if self.beside_BE is None else self.beside_BE[a:b],
            )
            for a, b in pairwise(rows * i // n for i in range(n + 1))
        ]


@dataclass(frozen=True)
class Backward:
    """Computes the gradients of an accumulation window.

    The loss is summed over the window and divided once, by the total sample weight of the window. This
    equals one large batch for unequal micro-batches, for weighted losses and for a shorter last window;
    averaging the means of the micro-batches does not. Where the samples of a batch affect each other (batch
    normalisation), accumulation does not equal the large batch.

    Args:
        loss: one number per sample, and the weight of its class.
        target_NC, weights_N: of all training samples, on the device of the batches.
        beside_NE: their metadata, nothing missing; None: there is none.
        scaler: keeps fp16 gradients from underflowing; does nothing otherwise.
        input_noise: standard deviation of noise on pixels in [0, 1].
        most: rows that pass at once where memory is short, at least 2; None: a whole micro-batch.
        layout: of the images in memory, that of the network.
        channels: of one of several images a sample; None: there is one image.
    """

    loss: Loss
    target_NC: torch.Tensor
    weights_N: torch.Tensor
    device: str = "cpu"
    precision: str = "fp32"
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    mixer: Mixer | None = None
    input_noise: float = 0.0
    most: int | None = None
    layout: str = "channels_last"
    channels: int | None = None
    beside_NE: torch.Tensor | None = None

    def __call__(self, network: nn.Module, window: list[Batch], step: int = 0) -> torch.Tensor:
        """Add the window's gradients to the network's; returns its weighted mean loss, in double precision.

        The network is in training mode; `step` counts from 0, for the random draws of mixing.
        """
        pieces, total = self.pieces(window, step)
        value = torch.zeros((), dtype=torch.float64, device=total.device)
        for piece in pieces:
            x_BCHW = piece.pixels(self.device, self.layout)
            value += self.part(network, x_BCHW, piece.target_BC, piece.weight_B, total, piece.beside_BE)
        return value

    def pieces(self, window: list[Batch], step: int) -> tuple[list[MicroBatch], torch.Tensor]:
        """What passes at once, in order, and the total sample weight of the window, in double precision."""
        batches = [self._micro_batch(batch, step, number) for number, batch in enumerate(window)]
        # One after the other: torch may sum many numbers in another order.
        total = reduce(torch.add, [micro.weight_B.double().sum() for micro in batches])
        # Rows of which nothing is known have weight 0: a window of such rows changes nothing.
        total = total.clamp_min(_LEAST_WEIGHT)
        if self.most is not None:
            batches = [piece for micro in batches for piece in micro.split(self.most)]
        return batches, total

    def part(
        self,
        network: nn.Module,
        x_BCHW: torch.Tensor,
        target_BC: torch.Tensor,
        weight_B: torch.Tensor,
        total: torch.Tensor,
        beside_BE: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Add the gradients of these rows to the network's; returns their share of the window's loss.

        Of pixels in [0, 1] on the device, and of targets and weights there.
        """
        x_BCHW = noisy_pixels(x_BCHW, self.input_noise, self.channels)
        with autocast(self.device, self.precision):
            logits_BC = network(x_BCHW) if beside_BE is None else network(x_BCHW, beside_BE)
        loss = (self.loss(logits_BC, target_BC) * weight_B).sum()
        part = loss / total.to(loss.dtype)
        self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
        return part.detach().double()

    def _micro_batch(self, batch: Batch, step: int, number: int) -> MicroBatch:
        target_BC, weight_B = self.target_NC[batch.index_B], self.weights_N[batch.index_B]
        beside_BE = None if self.beside_NE is None else self.beside_NE[batch.index_B]
        blend = self.mixer(batch, step, number) if self.mixer else None
        if blend is not None:
            at_B = blend.other.index_B
            target_BC = blend.of(target_BC, self.target_NC[at_B])
            weight_B = blend.of(weight_B, self.weights_N[at_B])
            if beside_BE is not None and self.beside_NE is not None:
                beside_BE = blend.of(beside_BE, self.beside_NE[at_B])
        # Sample weights times the class weights of the target.
        return MicroBatch(batch, blend, target_BC, weight_B * self.loss.weigh(target_BC), beside_BE)


class Step:
    """The steps of one epoch.

    On a GPU the step of a full batch is recorded as a CUDA graph where that is possible, and kept by
    `training` for later epochs; the last batch of an epoch and accumulation windows run as they are.
    """

    def __init__(self, job: FoldJob, training: Training, device: Device | None = None) -> None:
        settings = job.train
        self._job, self._training = job, training
        self._loss = training.loss(job, training.epoch)
        self._backward = Backward(
            self._loss,
            training.target_NC,
            training.weights_N,
            job.device,
            training.mode.precision,
            training.scaler,
            Mixer(settings.mix, settings.seed, job.fold),
            settings.input_noise,
            None if training.pieces == 1 else math.ceil(settings.batch_size / training.pieces),
            training.mode.layout,
            job.intake.channels,
            training.beside_NE,
        )
        self._graph = self._captured(device)

    def __call__(self, window: list[Batch], number: int, lr: float) -> torch.Tensor:
        """Make step `number` of the training, from 0.

        Returns:
            (2,) the window's weighted mean loss and the norm of its gradient before clipping, in double
            precision, on the device.
        """
        settings, training = self._job.train, self._training
        # Dropout and noise draw from torch's generators: seeded here, they need not be saved.
        own_seed = seed(settings.seed, "step", self._job.fold, number)
        set_lr(training.optimizer, lr)
        training.average.before_step(number)
        if self._graph is not None and len(window[0].y_B) == settings.batch_size:
            (piece,), total = self._backward.pieces(window, number)
            x_BCHW = piece.pixels(self._job.device, training.mode.layout)
            return self._graph(own_seed, x_BCHW, piece.target_BC, piece.weight_B, total)
        torch.manual_seed(own_seed)
        with noisy_weights(training.model, settings.weight_noise):
            value = self._backward(training.compute, window, number)
        return torch.stack([value, update(training, settings.clip_norm).to(value)])

    def _captured(self, device: Device | None) -> Captured | None:
        """The step as a graph: that of an earlier epoch if it computes the same; None where there is none."""
        training, network = self._training, self._training.model
        if not training.graphs or (device is None and self._job.device != "cuda"):
            return None
        flags = (*(p.requires_grad for p in network.parameters()), *(m.training for m in network.modules()))
        key = (id(self._loss), training.pieces, flags)
        if training.recorded is not None and training.recorded[0] == key:
            return training.recorded[1]
        made = None
        if why := self._not_recordable():
            training.say_once(texts.NOT_CAPTURED.format(why=why))
        else:
            whole = _Whole(self._job, training, self._backward)
            made = Captured(whole, whole.forget, device or Cuda())
        training.recorded = key, made
        return made

    def _not_recordable(self) -> str:
        """Why the steps cannot be one graph; empty if they can, as far as is known before they run."""
        settings, training = self._job.train, self._training
        if self._job.intake.several:
            return texts.STEP_IMAGES
        if training.beside_NE is not None:
            return texts.STEP_METADATA
        if settings.accumulate > 1 or training.pieces > 1:
            return texts.STEP_PIECES
        if training.scaler.is_enabled():
            return texts.STEP_SCALED
        if settings.grad_checkpointing:
            return texts.STEP_CHECKPOINTING
        if self._job.device == "cuda" and not can_record(training.optimizer):
            return texts.STEP_OPTIMIZER.format(optimizer=settings.optimizer)
        return ""


@dataclass(frozen=True)
class _Whole:
    """The step of one batch, from what is on the device already, and nothing else that changes.

    It does not refer to a `Step`: its graph has memory of the GPU, which must be free as soon as `training`
    drops it, and not when Python next looks for circles of references.
    """

    job: FoldJob
    training: Training
    backward: Backward

    def __call__(
        self, x_BCHW: torch.Tensor, target_BC: torch.Tensor, weight_B: torch.Tensor, total: torch.Tensor
    ) -> torch.Tensor:
        """(2,) loss and norm, as of `Step`."""
        settings, training = self.job.train, self.training
        with noisy_weights(training.model, settings.weight_noise):
            value = self.backward.part(training.compute, x_BCHW, target_BC, weight_B, total)
        return torch.stack([value, update(training, settings.clip_norm).to(value)])

    def forget(self, why: str) -> None:
        """Drop the gradients that a recording left when it failed."""
        self.training.optimizer.zero_grad(set_to_none=True)
        self.training.say_once(texts.NOT_CAPTURED.format(why=why))


def update(training: Training, clip_norm: float | None) -> torch.Tensor:
    """Update the weights with the current gradients, and then the average; returns the gradients' norm."""
    training.scaler.unscale_(training.optimizer)
    norm = gradient_norm(training.model, clip_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    training.average.after_step(training.model)
    return norm
