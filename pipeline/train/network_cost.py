"""What a network costs on this machine: parameters, multiplications, milliseconds per image.

    make models                                              every file of configs/model/
    make models NAMES="resnet18 tf_efficientnet_lite0"       these; also torchvision:NAME, module:function
    make models ARGS="images.size=96 runtime.threads=1"      at another size, with this many threads

Owns the measurement before any training, which networks are measured, and the table of `make models`. Does
not own the seconds per row of a whole training job (`train/step_timing.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from pipeline.core import plugin
from pipeline.core.columns import padded
from pipeline.core.errors import ModelError, UserError, nearest
from pipeline.core.language import _, joined
from pipeline.core.terminal import bar_of
from pipeline.nets.forward import Mode, Pass, autocast, pixels
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier, build, describe, frozen, to_device
from pipeline.pages import text_table
from pipeline.settings import read
from pipeline.settings.load import Settings, load
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config
from pipeline.settings.submission import columns_of
from pipeline.train import texts
from pipeline.train.optim import make_optimizer

BATCH = 32
# A timing is repeated for so many seconds and at least so often, and the fastest counts: other load on the
# machine can only make a step slower.
SECONDS, REPEATS = 0.3, 3
SPEED_BATCH = 64


@dataclass(frozen=True)
class NetworkCost:
    """One network on this machine.

    Args:
        megabytes: of the weights on disk, fp32.
        gmacs: 10⁹ multiply-adds of one image, forward.
        ms_one, ms_batch: milliseconds per image without gradients, alone and in a batch of 32.
        ms_train: milliseconds per image of a training step of 32: forward, backward, optimizer.
        native_px: side of the images that its pretrained weights were trained on.
    """

    parameters: int
    megabytes: float
    gmacs: float
    ms_one: float
    ms_batch: float
    ms_train: float
    native_px: int


def measure(model: ModelSettings, config: Config, n_classes: int, device: str) -> NetworkCost:
    """Build a network without pretrained weights and time it on noise.

    Of `config`, `images.size`, `train.optimizer` and `train.precision` (auto: fp32) are read.

    Raises:
        UserError: as `model.build`.
    """
    bare = model.model_copy(update={"weights": "none"})
    network = to_device(build(bare, n_classes, 0, config.images.hw, intake=Intake.of(config)), device).eval()
    facts = describe(network)
    state = network.state_dict().values()
    shape = (BATCH, Intake.of(config).depth, *config.images.hw)
    x_BCHW = torch.rand(shape, device=device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        gmacs = _multiplications(network, x_BCHW[:1]) / 1e9
        one = _milliseconds(lambda: _forward(network, x_BCHW[:1], config, device), device)
        batch = _milliseconds(lambda: _forward(network, x_BCHW, config, device), device)
    return NetworkCost(
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
    """A network's parameters and milliseconds per image without gradients, alone and in a batch of 64."""

    parameters: int
    ms_1: float
    ms_64: float


def speed(config: Config, n_classes: int, how: Pass) -> Speed:
    """Time the network of these settings on noise, forward only; the time does not depend on its weights.

    Raises:
        UserError: as `model.build`.
    """
    bare = frozen(config.model).model_copy(update={"weights": "none"})
    network = to_device(
        build(bare, n_classes, 0, config.images.hw, intake=Intake.of(config)), how.device, how.layout
    ).eval()
    x_BHWC = torch.randint(
        0, 256, (SPEED_BATCH, *config.images.hw, Intake.of(config).depth), dtype=torch.uint8
    )

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
    """A function that makes one training step."""
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
    """The fastest of several calls, after a first one that allocates."""
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


# The settings that the table depends on; other overrides are rejected.
READS = ("images.size", "train.precision", "train.optimizer", "train.weight_decay", "train.lr", "competition")
HEAD = (_("model"), _("M params"), "MB", "GMACs", "ms ×1", "ms ×32", _("ms train"), _("native px"))
# Columns of a figure.
FIGURE = 9


def table(settings: Settings, names: Sequence[str], device: str) -> Iterator[str]:
    """The lines of the table, each as soon as it is measured.

    `names` are files of configs/model/, or as in `model.name`; empty: every file of configs/model/.

    Raises:
        ModelError: unknown names, each with the nearest known one.
    """
    config = settings.config
    chosen = _chosen(names)
    wide = [max(len(name) for name in [*chosen, HEAD[0]]), *[FIGURE] * (len(HEAD) - 1)]
    n_classes = len(columns_of(config.competition))
    yield _heading(settings, device)
    yield text_table.row(HEAD, wide)
    for name, model in bar_of("models", "model", chosen.items()):
        try:
            cost = measure(model, config, n_classes, device)
        except UserError as error:  # a network that does not accept the size is a line of the table
            yield joined("", (padded(name, wide[0] + 2), error.headline))
            continue
        figures = (
            f"{cost.parameters / 1e6:.2f}",
            f"{cost.megabytes:.1f}",
            f"{cost.gmacs:.3f}",
            *(f"{ms:.2f}" for ms in (cost.ms_one, cost.ms_batch, cost.ms_train)),
            str(cost.native_px),
        )
        yield text_table.row((name, *figures), wide)


def _heading(settings: Settings, device: str) -> str:
    height, width = settings.config.images.hw
    where = texts.ON_CPU.format(threads=torch.get_num_threads()) if device == "cpu" else texts.ON_GPU
    precision = Mode.of(settings.config.train.precision).precision
    return texts.MODELS_HEADING.format(height=height, width=width, device=where, precision=precision)


def _chosen(names: Sequence[str]) -> dict[str, ModelSettings]:
    """Settings by name: a file of configs/model/ is preferred to timm's model of the same name."""
    from pipeline.nets.backbones import known_names

    files = read.names(read.CONFIGS, "model")
    known = known_names()
    wanted = list(dict.fromkeys(names)) or files
    # In a name with timm's tag of weights (resnet18.a1_in1k), the model is before the dot.
    odd = [n for n in wanted if n not in files and n.split(".")[0] not in known and not plugin.is_plugin(n)]
    if odd:
        raise ModelError(
            _("models: {n} unknown").format(n=len(odd)),
            [
                _("`{n}`: {nearest}").format(
                    n=n, nearest=nearest(n, [*files, *known]) or "no similar name is known"
                )
                for n in odd
            ],
            _("give files of configs/model/, models of timm, torchvision:NAME, or module:function"),
        )
    return {n: load([f"model={n}"]).config.model if n in files else ModelSettings(name=n) for n in wanted}
