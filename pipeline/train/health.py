"""What goes wrong while training, told so that a person can mend it.

Owns the checks of gradients, batches and memory, and their words. Does not own the loss that is no
number (`train/losses.py`).
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
from pipeline.settings.train import TrainSettings

# From this gradient norm on a step is told in the log: healthy ones are about 0.1 to 10.
EXPLODING = 1000.0
CPU_MEMORY = re.compile(r"can't allocate memory|not enough memory|Cannot allocate memory|bad_alloc")

log = logging.getLogger(__name__)


@dataclass
class GradientWatch:
    """The gradient norms of one epoch, before clipping.

    Args:
        where: fold and epoch, for messages.
        settings: whose values the remedy names.
        skips_infinite: fp16 scaling leaves such a step out by itself and lowers its scale.
    """

    where: str
    settings: TrainSettings
    skips_infinite: bool = False
    norms: list[float] = field(default_factory=list)

    def see(self, norm: float, step: int) -> None:
        """Note one step's norm.

        Raises:
            UserError: it is no finite number.
        """
        if not math.isfinite(norm):
            if self.skips_infinite:
                return
            raise UserError(
                f"{self.where}, step {step}: the gradient is not a finite number",
                remedy=f"try a smaller train.lr (now {self.settings.lr:g}), a longer train.warmup_epochs, "
                f"or train.precision=fp32 (now {self.settings.precision})",
            )
        if norm > EXPLODING and max(self.norms, default=0.0) <= EXPLODING:
            log.warning(
                "%s, step %d: the gradient's norm is %.3g; train.clip_norm=1 or a smaller train.lr tames it",
                self.where, step, norm,
            )  # fmt: skip
        self.norms.append(norm)

    def summary(self) -> dict[str, float]:
        """Mean and largest norm; nothing when every step was left out."""
        if not self.norms:
            return {}
        return {"grad_norm": sum(self.norms) / len(self.norms), "grad_norm_max": max(self.norms)}


def gradient_norm(network: nn.Module, clip_norm: float | None) -> float:
    """The norm of all gradients, which are then clipped to `clip_norm` if there is one."""
    if clip_norm is not None:
        return float(nn.utils.clip_grad_norm_(network.parameters(), clip_norm))
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return float(nn.utils.get_total_norm(gradients))


def has_batch_norm(network: nn.Module) -> bool:
    """Whether some normalisation looks at the whole batch, as the network stands."""
    return any(isinstance(module, _BatchNorm) and module.training for module in network.modules())


def check_batches(network: nn.Module, sizes: Sequence[int], settings: TrainSettings) -> None:
    """Refuse batches that cannot be normalised; say where accumulation is no large batch.

    Args:
        network: in training mode.
        sizes: rows of every micro-batch that will come.
        settings: of training.

    Raises:
        ConfigError: a batch of one sample and batch normalisation, which has no variance then.
    """
    refuse_single_rows(network, sizes, settings)
    if settings.accumulate == 1:
        return
    large = settings.batch_size * settings.accumulate
    if has_batch_norm(network):
        log.warning(
            "train.accumulate=%d: batch normalisation sees batches of %d, so this is not a batch of %d",
            settings.accumulate, settings.batch_size, large,
        )  # fmt: skip


def refuse_single_rows(network: nn.Module, sizes: Sequence[int], settings: TrainSettings) -> None:
    """Refuse batches that cannot be normalised; arguments as for `check_batches`.

    Raises:
        ConfigError: a batch of one sample and batch normalisation, which has no variance then.
    """
    if min(sizes) == 1 and has_batch_norm(network):
        what = "train.batch_size is 1" if max(sizes) == 1 else "the last batch has one row"
        raise ConfigError(
            f"train.batch_size={settings.batch_size}: {what}, and batch normalisation of one sample has no "
            "variance",
            remedy="use a larger train.batch_size, or a network without batch normalisation",
        )


def unsafe_in_bf16(network: nn.Module, size: tuple[int, int]) -> str | None:
    """The first convolution whose bf16 gradient is wrong on a CPU; None: there is none.

    Where a map is narrower than the stride, the gradient of the weights holds memory that nothing wrote:
    found with torch 2.14.1 on AVX512-BF16, see docs/log.md.

    Args:
        network: any mode; passed through once, in eval mode.
        size: height and width of the images, px.
    """
    found: list[str] = []

    def narrow(name: str, layer: nn.Conv2d, given: tuple[torch.Tensor]) -> None:
        if layer.kernel_size[1] > 1 and given[0].shape[-1] < layer.stride[1]:
            found.append(name)

    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    hooks = [layer.register_forward_pre_hook(partial(narrow, name)) for name, layer in layers.items()]
    was_training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in was_training.items():
            module.training = training
    return found[0] if found else None


def check_precision(network: nn.Module, size: tuple[int, int], device: str, precision: str) -> None:
    """Refuse bf16 where a CPU computes a wrong gradient in it.

    Raises:
        ConfigError: naming the layer.
    """
    layer = unsafe_in_bf16(network, size) if (device, precision) == ("cpu", "bf16") else None
    if layer:
        raise ConfigError(
            f"train.precision=bf16: images of {size[0]} × {size[1]} px leave {layer} a map narrower than its "
            "stride, and its bf16 gradient is wrong on a CPU",
            remedy="use train.precision=fp32, or a larger images.size",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and CPU_MEMORY.search(str(error)) is not None


@contextmanager
def told_memory(
    settings: TrainSettings, size: tuple[int, int], eval_batch: int | None = None
) -> Iterator[None]:
    """Out of memory inside becomes a message that names the settings.

    Args:
        settings: of training.
        size: height and width of the images, px.
        eval_batch: images of a pass without gradients, where inside is no training; None: it trains.

    Raises:
        UserError: there was no memory left.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if eval_batch is not None:
            raise UserError(
                f"out of memory in validation: runtime.infer_batch={eval_batch}, images of "
                f"{size[0]} × {size[1]} px",
                [str(error).splitlines()[0]],
                f"try runtime.infer_batch={max(eval_batch // 2, 1)}; no result depends on it",
            ) from error
        smaller, twice = max(settings.batch_size // 2, 1), settings.accumulate * 2
        raise UserError(
            f"out of memory: train.batch_size={settings.batch_size}, images of {size[0]} × {size[1]} px",
            [str(error).splitlines()[0]],
            f"try train.batch_size={smaller} train.accumulate={twice}, a smaller images.size, or a smaller "
            "model.name; train.oom_halving=true does the first by itself on a GPU",
        ) from error
