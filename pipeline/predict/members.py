"""The members of a packed submission: their models, and their predictions of a chunk of images.

Owns loading models from a folder, keeping them in memory or not, running them over the views of a chunk, and
the time that this takes. Does not own one pass (`nets/forward.py`), the vote of several models
(`train/committee.py`) nor how members vote (`predict/blending.py`). The same functions predict as in
inference, in batches of the same size, so the bits are the same on the same device.

Legend: N images, V views, C columns, D features.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features, Probabilities, ViewProbabilities
from pipeline.core.samples import LabelSpace, Strings, strings
from pipeline.core.targets import Target
from pipeline.data.decode import Pixels
from pipeline.nets import model as networks
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Mode, Pass, run
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier
from pipeline.nets.views import View, parse_all
from pipeline.nets.weights import State
from pipeline.predict import folder, texts
from pipeline.settings.model import ModelSettings
from pipeline.train import committee
from pipeline.train.committee import predict_head
from pipeline.train.heads import HeadStack, restore_head
from pipeline.train.precision import predicting_mode

# Outputs of the classifier of a frozen backbone, which nothing passes.
UNUSED_OUTPUTS = 2


@dataclass(frozen=True)
class Chunk:
    """Prepared images of a chunk, as a pass reads them; rows are numbered from 0."""

    ids_N: Strings
    x_NHWC: Pixels
    channels: int
    hw: tuple[int, int]

    @staticmethod
    def of(x_NHWC: Pixels, channels: int, hw: tuple[int, int]) -> Chunk:
        """From pixels, the channels of one image, and the height and width that networks see of them, px."""
        return Chunk(strings([f"{n:06d}" for n in range(len(x_NHWC))]), x_NHWC, channels, hw)


@dataclass(frozen=True)
class Machine:
    """Where models run.

    Args:
        device: "cpu" or "cuda".
        batch: images that pass a network together.
        keep_bytes: of weights that are kept in memory; larger ensembles read each model for each chunk.
    """

    device: str
    batch: int
    keep_bytes: float


@dataclass
class Models:
    """The models of a folder, loaded when they are needed."""

    home: Path
    manifest: folder.Manifest
    machine: Machine
    _kept: dict[str, Classifier | HeadStack] = field(default_factory=dict)
    _kept_bytes: float = 0.0

    @property
    def space(self) -> LabelSpace:
        """The label space."""
        from pipeline.record.files import space_of_text

        return space_of_text(self.manifest.space)

    def network(self, member: folder.Member, file: str, size: tuple[int, int]) -> Classifier:
        """A network that takes pixels, on its device; a frozen backbone if `file` is that of the member."""
        known = self._kept.get(file)
        if isinstance(known, Classifier):
            return known
        settings = _settings(member)
        frozen = file == member.backbone
        if frozen:
            settings = networks.frozen(settings)
        space = None if frozen else self.space
        intake = Intake(member.channels, member.images, settings.pool_images)
        outputs = UNUSED_OUTPUTS if frozen else self.space.n_classes
        # A network of the user's own is found in the current folder.
        with contextlib.chdir(self.home / folder.OWN) if _is_own(settings) else contextlib.nullcontext():
            made = networks.restore(settings, outputs, self._state(file), size, space, intake)
        made.eval()
        self._keep(file, made)
        return made

    def head(self, member: folder.Member, file: str) -> HeadStack:
        """The heads of a fold on features."""
        known = self._kept.get(file)
        if isinstance(known, HeadStack):
            return known
        made = restore_head(self._state(file), AttributeHeads.of(_settings(member), self.space))
        self._keep(file, made)
        return made

    def _state(self, file: str) -> State:
        from safetensors.torch import load_file

        return load_file(self.home / file)

    def _keep(self, file: str, made: Classifier | HeadStack) -> None:
        size = self.manifest.files[file].bytes
        if self._kept_bytes + size <= self.machine.keep_bytes:
            self._kept[file] = made
            self._kept_bytes += size


def _settings(member: folder.Member) -> ModelSettings:
    return ModelSettings.model_validate_json(json.dumps(member.model))


def _is_own(settings: ModelSettings) -> bool:
    from pipeline.core.plugin import is_plugin

    return is_plugin(settings.name)


@dataclass(frozen=True)
class Votes:
    """What a member predicts of a chunk, and the seconds that each view took."""

    p: Probabilities
    seconds_V: tuple[float, ...]


def predict(
    models: Models, member: folder.Member, x_NHWC: Pixels, names: Sequence[str], size: tuple[int, int]
) -> Votes:
    """The predictions of a member for a chunk of images; `names` are the views that it looks at.

    `size` is height and width of what its networks see, px.
    Several views are weighted as in the submission; where some are left out, the others are scaled up.
    """
    chunk, parsed = Chunk.of(x_NHWC, member.channels, size), parse_all(list(names))
    target = Target.of(models.space)
    seconds = [0.0] * len(parsed)
    features = _features(models, member, chunk, parsed, seconds) if member.backbone else None
    folds = []
    for one in member.committees:
        by_model = []
        for file in one.weights:
            if features is not None:
                p, ms_V = predict_head(models.head(member, file), features, target)
                by_model.append(replace(p, views=tuple(names)))
                for v, ms in enumerate(ms_V):
                    seconds[v] += ms * len(chunk.ids_N) / 1000
                continue
            mode = predicting_mode(member.precision, one.mode, models.machine.device)
            network = models.network(member, file, size)
            by_model.append(_of_network(network, chunk, parsed, target, mode, models.machine, seconds))
        folds.append(by_model[0] if len(by_model) == 1 else committee.mean(by_model, one.shares))
    of_views = folds[0] if len(folds) == 1 else committee.mean(folds)
    weight_of = dict(zip(member.views, member.view_weights, strict=True))
    weights = [weight_of[name] for name in names]
    if not sum(weights):
        weights = [1.0] * len(names)
    return Votes(replace(of_views.merge(weights), name=member.name), tuple(seconds))


def _of_network(
    network: Classifier,
    chunk: Chunk,
    parsed: Sequence[View],
    target: Target,
    mode: Mode,
    machine: Machine,
    seconds: list[float],
) -> ViewProbabilities:
    how = Pass(machine.device, machine.batch, mode.precision, mode.layout, padded=True)
    network = networks.to_device(network, machine.device, mode.layout)
    blocks = []
    for v, view in enumerate(parsed):
        begin = time.perf_counter()
        blocks.append(target.from_logits(run(network, chunk, chunk.ids_N, view, how)))
        seconds[v] += time.perf_counter() - begin
    names = tuple(view.name for view in parsed)
    return ViewProbabilities.of(target, chunk.ids_N, names, np.stack(blocks), network.name)


def _features(
    models: Models, member: folder.Member, chunk: Chunk, parsed: Sequence[View], seconds: list[float]
) -> Features:
    """What the frozen backbone makes of a chunk, view by view; always in fp32, as where heads are trained."""
    assert member.backbone is not None, "asked for heads only"
    device = models.machine.device
    network = networks.to_device(models.network(member, member.backbone, chunk.hw), device)
    how = Pass(device, models.machine.batch, padded=True)
    blocks = []
    for v, view in enumerate(parsed):
        begin = time.perf_counter()
        blocks.append(run(network.features, chunk, chunk.ids_N, view, how))
        seconds[v] += time.perf_counter() - begin
    return Features(chunk.ids_N, tuple(view.name for view in parsed), np.stack(blocks, axis=1), "")


def device_of(asked: str) -> str:
    """`cpu` or `cuda`; `auto` is a GPU where there is one.

    Raises:
        ConfigError: a GPU is asked for, and torch sees none.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError(texts.NO_GPU, remedy=texts.NO_GPU_REMEDY)
    return "cuda" if there and asked != "cpu" else "cpu"
