"""How fast this machine trains: timed steps of a network in each mode, and of the other parts of a training.

Owns which modes this machine offers, timing them, choosing one, and timing augmentation, validation, the
features pass and the head on cached features. Does not own storing what was measured (`record/machine.py`),
when to measure (`train/precision.py`) nor turning it into epochs (`train/studies/walltime.py`).

Modes take turns: the speed of a busy machine drifts, and modes timed one after another would differ by when
they ran. Two modes are compared by the median of their ratios within a round.

Legend: N rows, V views, D features, H height, W width.
"""

import gc
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from pipeline.core.predictions import Features
from pipeline.core.samples import LabelSpace, Samples, TrainRows, Truth, strings
from pipeline.core.seeds import rng
from pipeline.data.augment import augmenter_of
from pipeline.data.device_images import is_full
from pipeline.data.images import PreparedImages
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.cosine import Angles
from pipeline.nets.forward import Mode, Pass, autocast, pixels, run
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier, build, to_device
from pipeline.nets.views import parse
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config
from pipeline.train import batched_heads, heads, strategy
from pipeline.train.captured import WARM_UP, Captured, Cuda, Device
from pipeline.train.health import explained_memory_errors, has_bf16, refuse_single_rows, unsafe_in_bf16
from pipeline.train.losses import make_loss
from pipeline.train.optim import can_record, make_optimizer
from pipeline.train.reproducible import reproducible
from pipeline.train.targets import ClassFacts, one_hot

log = logging.getLogger(__name__)

Seconds = dict[Mode, tuple[float, ...]]

PLAIN = Mode()
STEPS = 3
ROUNDS = 5
# After the first round, modes that take this many times as long as the fastest are not timed again.
MUCH_SLOWER = 1.4
# Another mode must take at most this share of the time: noise must not decide, and fp32 wins ties.
MARGIN = 0.95
# Steps have two batch shapes, since the last batch is shorter, and each shape is compiled.
SHAPES = 2
# Of the other parts of a training: rows of a timing, and how often it is repeated.
ROWS = 64
REPEATS = 2
HEAD_ROWS = 1024
HEAD_EPOCHS = (2, 6)
VALID_SHARE = 4  # one of so many rows, as with five folds
# With more classes than this, a head is timed on two batches at most: its steps are slow, and hardly noisy.
MANY_CLASSES = 300


def modes(device: str) -> list[Mode]:
    """The modes of this machine, the safest first."""
    precisions = ["fp32", "bf16"] if device == "cpu" or has_bf16() else ["fp32"]
    if device == "cuda":
        precisions.append("fp16")
    return [Mode(precision, layout) for precision in precisions for layout in ("channels_last", "contiguous")]


def can_compile(device: str) -> bool:
    """Whether torch.compile can run: it needs a C++ compiler, or Triton and a C compiler for a GPU."""
    if device == "cuda":
        return find_spec("triton") is not None and any(shutil.which(name) for name in ("gcc", "cc", "clang"))
    return any(shutil.which(name) for name in ("g++", "clang++"))


class _Stopwatch:
    """Times training steps of a network of one layout, in any precision."""

    def __init__(
        self, network: Classifier, config: Config, space: LabelSpace, device: str, recorder: Device | None
    ) -> None:
        self.network, self.config, self.device, self.recorder = network, config, device, recorder
        self.compute: nn.Module = network
        self.optimizer = make_optimizer(network.backbone, config.train, device, network.beside)
        self.scalers = {on: torch.amp.GradScaler(device, enabled=on) for on in (False, True)}
        n_classes, batch = space.n_classes, config.train.batch_size
        ones = np.ones(n_classes, np.float32)
        facts = ClassFacts(space, ones, network.heads, device, 2 * ones, ones)
        self.loss = make_loss(config.loss, facts)
        self.graphs: dict[Mode, Captured] = {}
        noise = rng(0, "timing").integers(
            0, 256, (batch, *config.images.hw, Intake.of(config).depth), dtype=np.uint8
        )
        self.x_BHWC = torch.from_numpy(noise)
        self.target_BC = one_hot(np.arange(batch) % n_classes, n_classes).to(device)

    def seconds(self, mode: Mode) -> float:
        """Seconds of one training step, from bytes to updated weights."""
        begin, x_BCHW = time.perf_counter(), pixels(self.x_BHWC, self.device, mode.layout)
        graph = self._graph(mode)
        if graph is None:
            self._step(mode, x_BCHW)
        else:
            graph(0, x_BCHW)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    def _step(self, mode: Mode, x_BCHW: torch.Tensor) -> torch.Tensor:
        scaler = self.scalers[mode.precision == "fp16"]
        with autocast(self.device, mode.precision):
            logits_BC = self.compute(x_BCHW)
        loss = self.loss.mean(logits_BC, self.target_BC)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _graph(self, mode: Mode) -> Captured | None:
        """The step as training runs it on a GPU; None where it runs as it is."""
        whole = self.config.train.accumulate == 1 and mode.precision != "fp16"
        whole = whole and not Intake.of(self.config).several
        if self.recorder is None or not whole or not can_record(self.optimizer):
            return None
        if mode not in self.graphs:
            self.graphs[mode] = Captured(partial(self._step, mode), self._forget, self.recorder)
        return self.graphs[mode]

    def forget(self, mode: Mode) -> None:
        """Leave out a mode, with what its last step left."""
        self.graphs.pop(mode, None)
        self.optimizer.zero_grad(set_to_none=True)

    def _forget(self, why: str) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        log.debug("timing without a graph: %s", why)


def _stopwatches(
    config: Config, space: LabelSpace, device: str, wanted: Sequence[Mode], epoch: int | None
) -> dict[Mode, _Stopwatch]:
    """One stopwatch per layout and compilation; the weights are read once."""
    network = build(config.model, space.n_classes, 0, config.images.hw, space, Intake.of(config))
    in_bf16 = device == "cpu" and any(mode.precision == "bf16" for mode in wanted)
    if in_bf16 and unsafe_in_bf16(network, config.images.hw, network.depth):
        wanted = [wanted[0], *(mode for mode in wanted[1:] if mode.precision != "bf16")]
    recorder = Cuda() if device == "cuda" else None  # one for all: its graphs share their memory
    made: dict[tuple[str, bool], _Stopwatch] = {}
    for mode in wanted:
        if (mode.layout, mode.compiled) not in made:
            own = to_device(deepcopy(network), device, mode.layout).train()
            strategy.prepare(own.backbone, config.train)
            if epoch is not None:
                strategy.begin_epoch(own.backbone, config.train, epoch)
            refuse_single_rows(own, [config.train.batch_size], config.train)
            stopwatch = made[mode.layout, mode.compiled] = _Stopwatch(own, config, space, device, recorder)
            if mode.compiled:
                stopwatch.compute = torch.compile(own, dynamic=False)  # type: ignore[assignment]
    return {mode: made[mode.layout, mode.compiled] for mode in wanted}


def race(
    config: Config, space: LabelSpace, device: str, wanted: Sequence[Mode], epoch: int | None = None
) -> tuple[Seconds, float]:
    """Seconds of single training steps in each mode, one number per round, and of the slowest first step.

    Modes that are much slower have one round, and bf16 none where a CPU computes it wrongly. A first step
    includes what is done once: allocation, compilation. With `train.oom_halving`, a batch that a GPU cannot
    hold takes twice the time of half of it, as in training.

    Of the modes `wanted`, the first is the reference and is never dropped. `epoch` is the one whose trained
    weights are timed, where a strategy freezes by epoch; None: the last.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
        UserError: too little memory for one step.
    """
    train, pieces = config.train, 1
    while True:
        part = train.model_copy(update={"batch_size": train.batch_size // pieces})
        smaller = config.model_copy(update={"train": part})
        with explained_memory_errors(train, config.images.hw):
            try:
                seconds, first = _race(smaller, space, device, wanted, epoch)
                return {m: tuple(pieces * t for t in times) for m, times in seconds.items()}, pieces * first
            except RuntimeError as error:
                if not is_full(error) or not train.oom_halving or part.batch_size < 4:
                    raise
        # Only here, beyond the exception, can the memory of the failed step be freed.
        _free(device)
        pieces *= 2


def _race(
    config: Config, space: LabelSpace, device: str, wanted: Sequence[Mode], epoch: int | None
) -> tuple[Seconds, float]:
    with reproducible(device, config.runtime.deterministic, config.train.precision == "auto"):
        stopwatches = _stopwatches(config, space, device, wanted, epoch)
        wanted = list(stopwatches)
        firsts = _round(stopwatches, wanted, wanted[0])
        # Steps that become a graph after a few calls are timed as one. All modes take each call in turn:
        # graphs keep their memory, so that of all steps that run as they are is needed before.
        for _ in range(WARM_UP if device == "cuda" else 0):
            _round(stopwatches, list(stopwatches), wanted[0])
        rounds = {mode: [s] for mode, s in _round(stopwatches, list(stopwatches), wanted[0]).items()}
        fastest = min(times[0] for times in rounds.values())
        left = [m for m in rounds if m == wanted[0] or rounds[m][0] <= MUCH_SLOWER * fastest]
        for number in range(1, ROUNDS if len(left) > 1 else STEPS):
            # The order alternates, so that no mode always runs after the same one.
            order = [m for m in (left if number % 2 == 0 else left[::-1]) if m in stopwatches]
            for mode, seconds in _round(stopwatches, order, wanted[0]).items():
                rounds[mode].append(seconds)
        rounds = {mode: times for mode, times in rounds.items() if mode in stopwatches}
    del stopwatches
    _free(device)
    return {mode: tuple(times) for mode, times in rounds.items()}, max(firsts.values())


def _round(stopwatches: dict[Mode, _Stopwatch], order: Sequence[Mode], reference: Mode) -> dict[Mode, float]:
    """Seconds of one step in each of these modes; one that has too little memory beside the others leaves.

    Alone, as in training, it might have enough; the reference has it, or there is nothing to choose.
    """
    seconds = {}
    for mode in order:
        try:
            seconds[mode] = stopwatches[mode].seconds(mode)
            continue
        except RuntimeError as error:
            if mode == reference or not is_full(error):
                raise
        log.debug("%s: too little memory beside the other modes", mode)
        stopwatches.pop(mode).forget(mode)
        _free(stopwatches[reference].device)
    return seconds


def _free(device: str) -> None:
    """Give back the memory of what is no longer used, circles of references included."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def ratio(seconds: Mapping[Mode, tuple[float, ...]], mode: Mode, rival: Mode) -> float:
    """The time of a mode as a share of another one's: the median over the rounds that both ran."""
    return float(np.median([a / b for a, b in zip(seconds[mode], seconds[rival], strict=False)]))


def choose(seconds: Mapping[Mode, tuple[float, ...]]) -> Mode:
    """The fastest mode of `race`; a less safe one must be faster by a margin, so that fp32 wins ties."""
    modes_left = list(seconds)
    chosen = modes_left[0]
    for mode in modes_left[1:]:
        if ratio(seconds, mode, chosen) < MARGIN:
            chosen = mode
    return chosen


def compile_pays(plain: float, compiled: float, compiling: float, steps: int) -> bool:
    """Whether faster steps save more time than compiling takes, by a margin.

    `compiling` is the time of the first compiled step; `steps` are of one fold: each fold compiles again.
    """
    return compiled < MARGIN * plain and (plain - compiled) * steps > SHAPES * compiling


def seconds_per_row(
    config: Config, space: LabelSpace, device: str, epoch: int | None = None, mode: Mode | None = None
) -> float:
    """Seconds per training row, without augmentation.

    `epoch` as for `race`; without a mode that of the settings, where `auto` means fp32.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    timed = mode or Mode.of(config.train.precision)
    seconds, _ = race(config, space, device, [timed], epoch)
    return float(np.median(seconds[timed])) / config.train.batch_size


@dataclass(frozen=True)
class Pace:
    """Seconds of the parts of a training.

    Args:
        train_S: forward and backward pass of one row, for each state of `strategy.states`.
        look: augmenting one row.
        valid: forward pass of one validation image.
        features: forward pass of one image through the frozen backbone, in one view.
        start: building the network.
    """

    train_S: tuple[float, ...]
    look: float = 0.0
    valid: float = 0.0
    features: float = 0.0
    start: float = 0.0

    def as_dict(self) -> dict[str, float | list[float]]:
        """Plain data, for a file."""
        return {**asdict(self), "train_S": list(self.train_S)}


def of_network(config: Config, space: LabelSpace, device: str, mode: Mode) -> Pace:
    """The pace of training a network.

    `train.epochs` bounds which states are timed; `mode` is that of training, validation is fp32.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    network = build(config.model, space.n_classes, 0, config.images.hw, space, Intake.of(config))
    start = _best_seconds(
        lambda: build(config.model, space.n_classes, 0, config.images.hw, space, Intake.of(config))
    )
    first_epochs = strategy.states(network.backbone, config.train)
    train = tuple(
        min(seconds_per_row(config, space, device, epoch, mode) for _ in range(REPEATS))
        for epoch in first_epochs
    )
    augmenter, image = augmenter_of(config), _noise(config).x_NHWC[0]
    look = _best_seconds(lambda: [augmenter(image, 0, 0, 0, str(n), 0) for n in range(ROWS)]) / ROWS
    return Pace(train, look, of_pass(config.model, config, device), start=start)


def of_pass(model: ModelSettings, config: Config, device: str) -> float:
    """Seconds per image of a forward pass without gradients, as in validation and the features pass."""
    network = to_device(build(model, 2, 0, config.images.hw, intake=Intake.of(config)), device).eval()
    images, how = _noise(config), Pass(device, config.runtime.infer_batch)
    view = parse("identity")
    return _best_seconds(lambda: run(network.features, images, images.ids_N, view, how)) / ROWS


def _width(config: Config) -> int:
    """Numbers that a head gets of each image, without computing any."""
    bare, intake = config.model.model_copy(update={"weights": "none"}), Intake.of(config)
    with torch.device("meta"), torch.no_grad():
        network = build(bare, 2, 0, config.images.hw, intake=intake).eval()
        return int(network.features(torch.zeros(1, network.depth, *config.images.hw)).shape[1])


def of_head(config: Config, space: LabelSpace) -> float:
    """Seconds per row of a head on cached features that is trained by steps, validation included."""
    few = space.n_classes <= MANY_CLASSES
    n_rows = HEAD_ROWS if few else min(2 * config.train.batch_size, HEAD_ROWS)
    width = _width(config)
    ids = strings([str(n) for n in range(n_rows)])
    truth: Truth = np.arange(n_rows) % space.n_classes
    if space.kind != "exclusive":
        truth = np.eye(space.n_classes, dtype=np.float32)[truth]
    samples = Samples(ids, ids, ids, space, None, "train").with_truth(truth, None)
    x_NVD = np.random.default_rng(0).normal(size=(n_rows, 2, width)).astype(np.float32)
    job = heads.HeadJob(
        fold=0,
        loss=config.loss,
        train=config.train,
        train_samples=samples,
        valid_samples=samples.take(ids[: n_rows // VALID_SHARE]),
        features=Features(ids, ("identity", "other"), x_NVD, ""),
        rows=lambda epoch: TrainRows.of(np.arange(n_rows)),
        metric=lambda y_N, p_NC: 0.0,
        heads=AttributeHeads.of(config.model, space),
        angles=Angles.of(config.model),
    )
    short, long = (
        replace(job, train=config.train.model_copy(update={"epochs": epochs, "warmup_epochs": 0.0}))
        for epochs in HEAD_EPOCHS
    )
    # The difference of two fits: the fixed cost of a fit is not part of the rate.
    taken = [_best_seconds(partial(batched_heads.fit_heads, [each])) for each in (short, long)]
    return max(taken[1] - taken[0], 0.0) / (HEAD_EPOCHS[1] - HEAD_EPOCHS[0]) / n_rows


def _noise(config: Config) -> PreparedImages:
    images = config.images
    shape = (ROWS, *images.stored_hw, Intake.of(config).depth)
    x_NHWC = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return PreparedImages(strings([str(n) for n in range(ROWS)]), x_NHWC, images.channels, hw=images.hw)


def _best_seconds(call: Callable[[], object]) -> float:
    """The fastest of a few runs: other load on the machine can only make a run slower."""
    call()  # the first call allocates
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)
