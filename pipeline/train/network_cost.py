"""What a network costs on this machine: parameters, multiplications, milliseconds an image.

Owns the measurement, before any training. Does not own which networks are asked about or the table
(`train/models.py`), nor the seconds a row of a whole training job (`train/step_timing.py`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.nets.forward import Mode, Pass, autocast, pixels
from pipeline.nets.model import Classifier, build, describe, to_device
from pipeline.settings.schema import Config, ModelSettings
from pipeline.train.optim import make_optimizer

BATCH = 32
# Rows of the table are for choosing: repeated so long, at least so often, and the fastest counts, since
# other programs on the machine can only slow a step down.
SECONDS, REPEATS = 0.3, 3
SPEED_BATCH = 64


@dataclass(frozen=True)
class Cost:
    """One network on this machine.

    Args:
        parameters: number of weights.
        megabytes: of the weights as they lie on the disk, fp32.
        gmacs: 10⁹ multiply-adds of one image, forward.
        ms_one, ms_batch: milliseconds an image without gradients, alone and in a batch of 32.
        ms_train: milliseconds an image of a training step of 32: forward, backward, optimizer.
        native_px: side of the images that its pretrained weights come from.
    """

    parameters: int
    megabytes: float
    gmacs: float
    ms_one: float
    ms_batch: float
    ms_train: float
    native_px: int


def measure(model: ModelSettings, config: Config, n_classes: int, device: str) -> Cost:
    """Build a network without its weights' source and time it on noise.

    Args:
        model: which one.
        config: `images.size`, `train.optimizer` and `train.precision` (auto: fp32) are read.
        n_classes: outputs.
        device: "cpu" or "cuda".

    Raises:
        UserError: as `model.build`.
    """
    bare = model.model_copy(update={"weights": "none"})
    network = to_device(build(bare, n_classes, 0, config.images.hw), device).eval()
    facts = describe(network)
    state = network.state_dict().values()
    x_BCHW = torch.rand(BATCH, 3, *config.images.hw, device=device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        gmacs = _multiplications(network, x_BCHW[:1]) / 1e9
        one = _milliseconds(lambda: _forward(network, x_BCHW[:1], config, device), device)
        batch = _milliseconds(lambda: _forward(network, x_BCHW, config, device), device)
    return Cost(
        parameters=facts.parameters,
        megabytes=sum(t.numel() * t.element_size() for t in state) / 1e6,
        gmacs=gmacs,
        ms_one=one,
        ms_batch=batch / BATCH,
        ms_train=_milliseconds(_training(network, x_BCHW, config, device), device) / BATCH,
        native_px=facts.size_px,
    )


@dataclass(frozen=True)
class Speed:
    """What one network costs to predict with, one view of one image.

    Args:
        parameters: number of weights.
        ms_1, ms_64: milliseconds an image without gradients, alone and in a batch of 64.
    """

    parameters: int
    ms_1: float
    ms_64: float


def speed(config: Config, n_classes: int, how: Pass) -> Speed:
    """Time the network of these settings on noise, forward only: its weights change no duration.

    Args:
        config: `model` and `images.size` are read.
        n_classes: outputs.
        how: device, precision and layout.

    Raises:
        UserError: as `model.build`.
    """
    bare = config.model.model_copy(update={"weights": "none"})
    network = to_device(build(bare, n_classes, 0, config.images.hw), how.device, how.layout).eval()
    x_BHWC = torch.randint(0, 256, (SPEED_BATCH, *config.images.hw, 3), dtype=torch.uint8)

    def forward(size: int) -> None:
        with autocast(how.device, how.precision):
            network(pixels(x_BHWC[:size], how.device, how.layout))

    with torch.inference_mode():
        one = _milliseconds(lambda: forward(1), how.device, 0.0)
        many = _milliseconds(lambda: forward(SPEED_BATCH), how.device, 0.0)
    return Speed(describe(network).parameters, one, many / SPEED_BATCH)


def _forward(network: Classifier, x_BCHW: torch.Tensor, config: Config, device: str) -> torch.Tensor:
    with autocast(device, Mode.of(config.train.precision).precision):
        logits_BC: torch.Tensor = network(x_BCHW)
    return logits_BC


def _training(network: Classifier, x_BCHW: torch.Tensor, config: Config, device: str) -> Callable[[], object]:
    """One step of training, to be called again and again."""
    optimizer = make_optimizer(network.backbone, config.train)
    network.train()

    def step() -> None:
        logits_BC = _forward(network, x_BCHW, config, device).float()
        (-logits_BC.log_softmax(1)[:, 0]).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _multiplications(network: Classifier, x_1CHW: torch.Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(x_1CHW)
    return float(counter.get_total_flops()) / 2


def _milliseconds(call: Callable[[], object], device: str, seconds: float = SECONDS) -> float:
    """The fastest of several calls, after one that allocates."""
    times: list[float] = []
    call()
    while len(times) < REPEATS or sum(times) < seconds:
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times) * 1000
