"""Checks of a training in progress: gradients, batches, precision and memory.

Owns the checks and their messages, which name the setting to change, and when the figures of steps are read
from the device. Does not own the message of a loss that is not a finite number (`train/losses.py`).
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.language import _
from pipeline.data.device_images import is_full
from pipeline.nets.model import Classifier
from pipeline.settings.train import TrainSettings
from pipeline.train import texts
from pipeline.train.losses import diverged, slower

# Steps after which their figures are read from the device; reading waits for a GPU, and is free on a CPU.
READ_EVERY = {"cpu": 1, "cuda": 50}
# A larger gradient norm is a warning in the log: usual norms are about 0.1 to 10.
EXPLODING = 1000.0
CPU_MEMORY = re.compile(r"can't allocate memory|not enough memory|Cannot allocate memory|bad_alloc")

log = logging.getLogger(__name__)


@dataclass
class GradientWatch:
    """The gradient norms of one epoch, before clipping.

    Args:
        where: fold and epoch, for messages.
        skips_infinite: fp16 scaling skips a step with an infinite gradient and lowers its scale.
    """

    where: str
    settings: TrainSettings
    skips_infinite: bool = False
    norms: list[float] = field(default_factory=list)

    def see(self, norm: float, step: int) -> None:
        """Record the norm of one step.

        Raises:
            UserError: it is not a finite number.
        """
        if not math.isfinite(norm):
            if self.skips_infinite:
                return
            raise UserError(
                _("{where}, step {step}: the gradient is not a finite number").format(
                    where=self.where, step=step
                ),
                remedy=_(
                    "try {mend} (now {lr:g}), a longer train.warmup_epochs, or "
                    "train.precision=fp32 (now {precision})"
                ).format(mend=slower(self.settings), lr=self.settings.lr, precision=self.settings.precision),
                mend=[slower(self.settings)],
            )
        if norm > EXPLODING and max(self.norms, default=0.0) <= EXPLODING:
            log.warning(
                _(
                    "{where}, step {step}: the gradient norm is {norm:.3g}; set train.clip_norm=1 or a "
                    "smaller train.lr"
                ).format(where=self.where, step=step, norm=norm)
            )
        self.norms.append(norm)

    def summary(self) -> dict[str, float]:
        """Mean and largest norm; empty when every step was skipped."""
        if not self.norms:
            return {}
        return {"grad_norm": sum(self.norms) / len(self.norms), "grad_norm_max": max(self.norms)}


class StepFigures:
    """Loss and gradient norm of the steps of an epoch: kept on the device, read and checked every few steps.

    Args:
        watch: checks the norms, and says where the steps are.
        device: of the figures.
    """

    def __init__(self, watch: GradientWatch, device: str) -> None:
        self.watch = watch
        self.sum_loss = 0.0
        self._every = READ_EVERY[device]
        self._kept: list[tuple[torch.Tensor, int, int]] = []

    def keep(self, loss_and_norm: torch.Tensor, step: int, rows: int) -> None:
        """Remember the figures (2,) of a step of so many rows, to read them now or a few steps later.

        Raises:
            UserError: as `read`.
        """
        self._kept.append((loss_and_norm, step, rows))
        if len(self._kept) >= self._every:
            self.read()

    def read(self) -> None:
        """Read and check all figures that were kept, in the order of the steps.

        Raises:
            UserError: a loss, or a gradient where it must be, is not a finite number; names the first step.
        """
        kept, self._kept = self._kept, []
        if not kept:
            return
        numbers = torch.stack([pair for pair, _, _ in kept]).tolist()
        for (loss, norm), (_pair, step, rows) in zip(numbers, kept, strict=True):
            if not math.isfinite(loss):
                raise diverged(f"{self.watch.where}, step {step}", self.watch.settings)
            self.watch.see(norm, step)
            self.sum_loss += loss * rows


def gradient_norm(network: nn.Module, clip_norm: float | None) -> torch.Tensor:
    """The norm of all gradients, before they are clipped to `clip_norm` if that is set."""
    if clip_norm is not None:
        return nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a normalisation layer uses batch statistics in the current modes of the network."""
    return any(isinstance(module, _BatchNorm) and module.training for module in network.modules())


def check_batches(network: nn.Module, sizes: Sequence[int], settings: TrainSettings) -> None:
    """Reject batches that cannot be normalised; warn where accumulation does not equal a large batch.

    The network is in training mode; `sizes` are the rows of every micro-batch of the training.

    Raises:
        ConfigError: a batch of one sample and batch normalisation, which has no variance then.
    """
    refuse_single_rows(network, sizes, settings)
    if settings.accumulate == 1:
        return
    large = settings.batch_size * settings.accumulate
    if has_batch_norm(network):
        log.warning(
            _(
                "train.accumulate={accumulate}: batch normalisation uses batches of {batch_size}, so this "
                "does not equal a batch of {large}"
            ).format(accumulate=settings.accumulate, batch_size=settings.batch_size, large=large)
        )


def refuse_single_rows(network: nn.Module, sizes: Sequence[int], settings: TrainSettings) -> None:
    """Reject batches that cannot be normalised; arguments as for `check_batches`.

    Raises:
        ConfigError: a batch of one sample and batch normalisation, which has no variance then.
    """
    if min(sizes) == 1 and has_batch_norm(network):
        reason = "train.batch_size is 1" if max(sizes) == 1 else "the last batch has one row"
        raise ConfigError(
            _(
                "train.batch_size={batch_size}: {reason}, and batch normalisation of one sample has no "
                "variance"
            ).format(batch_size=settings.batch_size, reason=reason),
            remedy=_("use a larger train.batch_size, or a network without batch normalisation"),
        )


def unsafe_in_bf16(network: nn.Module, size: tuple[int, int], depth: int = 3) -> str | None:
    """The first convolution whose bf16 gradient is wrong on a CPU; None if there is none.

    Where a map is narrower than the stride, the gradient of the weights contains uninitialised memory:
    found with torch 2.14.1 on AVX512-BF16, see docs/log.md.

    Makes one forward pass in eval mode; `size` is height and width of the images, px, `depth` the number of
    their channels.
    """
    unsafe: list[str] = []

    def narrow(name: str, layer: nn.Conv2d, given: tuple[torch.Tensor]) -> None:
        if layer.kernel_size[1] > 1 and given[0].shape[-1] < layer.stride[1]:
            unsafe.append(name)

    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    hooks = [layer.register_forward_pre_hook(partial(narrow, name)) for name, layer in layers.items()]
    was_training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, depth, *size, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in was_training.items():
            module.training = training
    return unsafe[0] if unsafe else None


def has_bf16() -> bool:
    """Whether the GPU computes in bf16; older ones (a T4, a V100) do it in many steps of float32, slowly."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def check_precision(network: Classifier, size: tuple[int, int], device: str, precision: str) -> None:
    """Reject bf16 where a CPU computes a wrong gradient in it; warn where a GPU only imitates it.

    Raises:
        ConfigError: with the name of the layer.
    """
    if (device, precision) == ("cuda", "bf16") and not has_bf16():
        log.warning("%s", texts.BF16_IMITATED.format(gpu=torch.cuda.get_device_name()))
    layer = unsafe_in_bf16(network, size, network.depth) if (device, precision) == ("cpu", "bf16") else None
    if layer:
        raise ConfigError(
            _(
                "train.precision=bf16: with images of {size} px the input of {layer} is narrower "
                "than its stride, and its bf16 gradient is wrong on a CPU"
            ).format(size=f"{size[0]} × {size[1]}", layer=layer),
            remedy=_("use train.precision=fp32, or a larger images.size"),
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine ran out of memory."""
    if isinstance(error, MemoryError) or is_full(error):
        return True
    return isinstance(error, RuntimeError) and CPU_MEMORY.search(str(error)) is not None


@contextmanager
def explained_memory_errors(
    settings: TrainSettings, size: tuple[int, int], eval_batch: int | None = None
) -> Iterator[None]:
    """Inside, running out of memory raises an error that names the settings to change.

    `size` is height and width of the images, px; `eval_batch` that of a pass without gradients, None in a
    training step.

    Raises:
        UserError: out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if eval_batch is not None:
            raise UserError(
                _(
                    "out of memory in validation: runtime.infer_batch={eval_batch}, images of {size} px"
                ).format(eval_batch=eval_batch, size=f"{size[0]} × {size[1]}"),
                [str(error).splitlines()[0]],
                _("try runtime.infer_batch={eval_batch}; it changes no result").format(
                    eval_batch=max(eval_batch // 2, 1)
                ),
            ) from error
        smaller, twice = max(settings.batch_size // 2, 1), settings.accumulate * 2
        raise UserError(
            _("out of memory: train.batch_size={batch_size}, images of {size} px").format(
                batch_size=settings.batch_size, size=f"{size[0]} × {size[1]}"
            ),
            [str(error).splitlines()[0]],
            _(
                "try train.batch_size={smaller} train.accumulate={twice}, a smaller images.size, or a "
                "smaller model.name; on a GPU, train.oom_halving=true does the first automatically"
            ).format(smaller=smaller, twice=twice),
        ) from error
