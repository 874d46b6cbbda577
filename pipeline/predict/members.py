"""The members of a packed submission: their models, and their predictions of a chunk of images.

Owns loading models from a folder, keeping them in memory or not, and averaging folds and views of a chunk.
Does not own the vote of several models (`train/committee.py`) nor how members vote (`predict/blending.py`).
Inference (`infer/view_predictions.py`) predicts through the same functions, `committee.networks` and
`committee.heads` with the same `Pass`, in batches of the same size: the bits are the same on the same device.

Legend: N images, V views, C columns, D features, E columns of metadata.
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
from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Floats, LabelSpace, Strings, strings
from pipeline.core.targets import Target
from pipeline.data.decode import Pixels
from pipeline.data.detail import hw_of
from pipeline.data.device_images import on_device
from pipeline.data.loader import Images, beside_of
from pipeline.nets import model as networks
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Pass, run
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier
from pipeline.nets.views import parse_all
from pipeline.nets.weights import State
from pipeline.predict import folder, texts
from pipeline.settings.model import ModelSettings
from pipeline.train import committee, precision
from pipeline.train.heads import Head, restore_head

# Outputs of the classifier of a frozen backbone, which nothing passes.
UNUSED_OUTPUTS = 2


@dataclass(frozen=True)
class Chunk:
    """Prepared images of a chunk, as a pass reads them; rows are numbered from 0.

    Args:
        ids_N: the numbers of the rows.
        x_NHWC: what the members see.
        channels: of one image.
        hw: height and width of what the networks see, px.
        beside_NE: the metadata of each sample as numbers; None: there is none.
    """

    ids_N: Strings
    x_NHWC: Pixels
    channels: int
    hw: tuple[int, int]
    beside_NE: Floats | None = None

    @staticmethod
    def of(x_NHWC: Pixels, channels: int, hw: tuple[int, int], beside_NE: Floats | None = None) -> Chunk:
        """From pixels, channels of one image, height and width that networks see of it, px, and metadata."""
        return Chunk(strings([f"{n:06d}" for n in range(len(x_NHWC))]), x_NHWC, channels, hw, beside_NE)


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
    _kept: dict[str, Classifier | Head] = field(default_factory=dict)
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

    def head(self, member: folder.Member, file: str) -> Head:
        """The heads of a fold on features."""
        known = self._kept.get(file)
        if isinstance(known, Head):
            return known
        made = restore_head(self._state(file), AttributeHeads.of(_settings(member), self.space))
        self._keep(file, made)
        return made

    def _state(self, file: str) -> State:
        from safetensors.torch import load_file

        return load_file(self.home / file)

    def _keep(self, file: str, made: Classifier | Head) -> None:
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


def predict(models: Models, member: folder.Member, chunk: Chunk, names: Sequence[str]) -> Votes:
    """The predictions of a member for a chunk of images; `names` are the views that it looks at.

    Several views are weighted as in the submission; where some are left out, the others are scaled up.
    """
    target, machine, size = Target.of(models.space), models.machine, chunk.hw
    seconds = [0.0] * len(names)
    placed = on_device(chunk, machine.device, Pass().images_share)
    features = _features(models, member, placed, names, seconds) if member.backbone else None
    folds = []
    for one in member.committees:
        if features is not None:
            heads = (models.head(member, file) for file in one.weights)
            ((p, ms_V),) = committee.heads(heads, one.shares, target, [features])
        else:
            how = precision.predicting(member.precision, one.mode, machine.device, machine.batch)
            made = (models.network(member, file, size) for file in one.weights)
            asked = [(placed, chunk.ids_N)]
            ((p, ms_V),) = committee.networks(made, one.shares, names, target, asked, how, shown=False)
        folds.append(p)
        for v, ms in enumerate(ms_V):
            seconds[v] += ms * len(chunk.ids_N) / 1000
    weight_of = dict(zip(member.views, member.view_weights, strict=True))
    weights = [weight_of[name] for name in names]
    if not sum(weights):
        weights = [1.0] * len(names)
    return Votes(replace(committee.mean(folds).merge(weights), name=member.name), tuple(seconds))


def _features(
    models: Models, member: folder.Member, images: Images, names: Sequence[str], seconds: list[float]
) -> Features:
    """What the frozen backbone makes of a chunk, view by view, with the metadata beside it."""
    assert member.backbone is not None, "asked for heads only"
    device = models.machine.device
    network = networks.to_device(models.network(member, member.backbone, hw_of(images)), device)
    how = Pass.of_features(device, models.machine.batch)
    blocks = []
    for v, view in enumerate(parse_all(list(names))):
        begin = time.perf_counter()
        blocks.append(run(network.features, images, images.ids_N, view, how))
        seconds[v] += time.perf_counter() - begin
    x_NVD = np.stack(blocks, axis=1)
    return Features(images.ids_N, tuple(names), x_NVD, "", beside_of(images)).with_metadata()


def device_of(asked: str) -> str:
    """`cpu` or `cuda`; `auto` is a GPU where there is one.

    Raises:
        ConfigError: a GPU is asked for, and torch sees none.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError(texts.NO_GPU, remedy=texts.NO_GPU_REMEDY)
    return "cuda" if there and asked != "cpu" else "cpu"
