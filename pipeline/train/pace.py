"""How fast this machine passes rows through each part of a training: measured, before it starts.

Owns the timings beyond the training step itself (`train/step_timing.py`): augmentation, validation, the
features pass and the head on cached features. Does not own remembering them or turning them into epochs
(`train/studies/walltime.py`).

Legend: N rows, V views, D features, H height, W width.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch

from pipeline.core.predictions import Features
from pipeline.core.samples import LabelSpace, Samples, TrainRows, strings
from pipeline.data.augment import Augmenter
from pipeline.nets.forward import Mode, Pass, run
from pipeline.nets.model import build, to_device
from pipeline.nets.views import parse
from pipeline.settings.schema import Config, ModelSettings
from pipeline.train import batched_heads, heads, strategy
from pipeline.train.step_timing import seconds_per_row

ROWS = 64
REPEATS = 2
HEAD_ROWS = 1024
HEAD_EPOCHS = (2, 6)


@dataclass(frozen=True)
class Pace:
    """Seconds that the parts of a training take.

    Args:
        train_S: a row's step, forward and back, for each state of `learn.strategy.states`.
        look: augmenting a row.
        valid: passing a validation image.
        features: passing one image through the frozen backbone in one view.
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


@dataclass(frozen=True)
class _Noise:
    """Images of noise, of one size."""

    ids_N: np.ndarray
    x_NHWC: np.ndarray


def of_network(config: Config, space: LabelSpace, device: str, mode: Mode) -> Pace:
    """The pace of training a network.

    Args:
        config: every section that training reads; `train.epochs` bounds which states are timed.
        space: the classes.
        device: "cpu" or "cuda".
        mode: how training computes; validation is fp32.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    network = build(config.model, space.n_classes, 0, config.images.hw, space)
    start = _best_seconds(lambda: build(config.model, space.n_classes, 0, config.images.hw, space))
    first_epochs = strategy.states(network.backbone, config.train)
    train = tuple(
        min(seconds_per_row(config, space, device, epoch, mode) for _ in range(REPEATS))
        for epoch in first_epochs
    )
    augmenter, image = Augmenter(config.augment.policy, config.images.hw), _noise(config.images.hw).x_NHWC[0]
    look = _best_seconds(lambda: [augmenter(image, 0, 0, 0, str(n), 0) for n in range(ROWS)]) / ROWS
    return Pace(train, look, of_pass(config.model, config, device), start=start)


def of_pass(model: ModelSettings, config: Config, device: str) -> float:
    """Seconds that one image takes forward, without gradients: in validation, or to become features."""
    network = to_device(build(model, 2, 0, config.images.hw), device).eval()
    images, how = _noise(config.images.hw), Pass(device, config.runtime.infer_batch)
    view = parse("identity")
    return _best_seconds(lambda: run(network.features, images, images.ids_N, view, how)) / ROWS


def of_head(config: Config, space: LabelSpace) -> float:
    """Seconds that one row costs a head on cached features, validation included."""
    with torch.device("meta"):
        bare = config.model.model_copy(update={"weights": "none"})
        width = int(build(bare, 2, 0, config.images.hw).backbone.num_features)
    ids = strings([str(n) for n in range(HEAD_ROWS)])
    samples = Samples(ids, ids, ids, space, np.arange(HEAD_ROWS) % space.n_classes, "train")
    x_NVD = np.random.default_rng(0).normal(size=(HEAD_ROWS, 2, width)).astype(np.float32)
    job = heads.HeadJob(
        fold=0,
        loss=config.loss,
        train=config.train,
        train_samples=samples,
        valid_samples=samples,
        features=Features(ids, ("identity", "other"), x_NVD, ""),
        rows=lambda epoch: TrainRows.of(np.arange(HEAD_ROWS)),
        metric=lambda y_N, p_NC: 0.0,
    )
    short, long = (
        replace(job, train=config.train.model_copy(update={"epochs": epochs, "warmup_epochs": 0.0}))
        for epochs in HEAD_EPOCHS
    )
    # The difference: what a fit costs once is no rate.
    taken = [_best_seconds(partial(batched_heads.fit_heads, [each])) for each in (short, long)]
    return max(taken[1] - taken[0], 0.0) / (HEAD_EPOCHS[1] - HEAD_EPOCHS[0]) / HEAD_ROWS


def _noise(hw: tuple[int, int]) -> _Noise:
    x_NHWC = np.random.default_rng(0).integers(0, 256, (ROWS, *hw, 3), dtype=np.uint8)
    return _Noise(strings([str(n) for n in range(ROWS)]), x_NHWC)


def _best_seconds(call: Callable[[], object]) -> float:
    """The fastest of a few runs: what else the machine does can only slow one down."""
    call()  # the first one allocates
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)
