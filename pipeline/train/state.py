"""The state of a fold in training: network, optimizer, averages, history; saved and loaded as one dict.

Owns what a checkpoint holds, its file (the format, its version, and what happens to a damaged one: it is
written completely or not at all), when a fold may be continued, and averages of weights that predict in place
of the trained ones (EMA and SWA). Does not own training (`train/loop.py`) nor finished artifacts
(`record/store.py`).

No random state is saved: every random draw is derived from the seed and the number of the step.

EMA follows every step. SWA is the plain mean of the weights at the end of the last epochs; activations of a
mean of weights are not the mean of activations, so its batch normalisation is measured again. Sources: Polyak
& Juditsky, Acceleration of Stochastic Approximation by Averaging (1992); Izmailov et al.,
https://arxiv.org/abs/1803.05407.

Legend: B images, C channels, H height, W width.
"""

import hashlib
import io
import logging
import math
import os
import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from pipeline.core.errors import StorageError
from pipeline.core.language import _
from pipeline.core.seeds import seed
from pipeline.nets.cosine import Angles
from pipeline.nets.forward import Mode, autocast
from pipeline.nets.model import Classifier, build, to_device
from pipeline.nets.tabular import NAME, Tabular
from pipeline.nets.weights import State
from pipeline.record.files import temporary_of
from pipeline.settings.train import TrainSettings
from pipeline.train import strategy
from pipeline.train.captured import Captured
from pipeline.train.job import FoldJob, fingerprint
from pipeline.train.losses import Loss, make_loss, stretch
from pipeline.train.optim import load_optimizer, make_optimizer
from pipeline.train.targets import Scale, class_facts

VERSION = 2
_DIGEST_BYTES = 32

log = logging.getLogger(__name__)


class Training:
    """Everything that changes while one fold trains, initialised from the seed."""

    def __init__(self, job: FoldJob, mode: Mode) -> None:
        self.mode = mode
        self.model = to_device(_network(job), job.device, mode.layout)
        strategy.prepare(self.model.backbone, job.train)  # the optimizer holds all weights that will train
        # One graph per batch shape: a dynamic graph would compute differently after a resume.
        self.compute: nn.Module = torch.compile(self.model, dynamic=False) if mode.compiled else self.model  # type: ignore[assignment]
        self.optimizer = make_optimizer(self.model.backbone, job.train, job.device, self.model.beside)
        self.average = Average(self.model, job.train, job.device, mode.precision)
        self.scaler = torch.amp.GradScaler(job.device, enabled=mode.precision == "fp16")
        facts = class_facts(job.train_samples, job.rows(0), self.model.heads)
        angles = Angles.of(job.model)
        self.facts = replace(facts, device=job.device, scale=None if angles is None else angles.scale)
        self.target_NC, self.weights_N = job.target_NC.to(job.device), job.sample_weights_N.to(job.device)
        own_NE = job.beside_NE if self.model.reads_metadata else None
        self.beside_NE: torch.Tensor | None = None
        if own_NE is not None:
            tabular = cast(Tabular, self.model.beside[NAME])
            self.beside_NE = tabular.filled(torch.from_numpy(own_NE).to(job.device))
        self._losses: dict[tuple[bool, ...], Loss] = {}
        # The step as a graph, and what it was recorded of.
        self.recorded: tuple[object, Captured | None] | None = None
        self.graphs = True
        self._said: set[str] = set()
        self.fingerprint, self.engine = fingerprint(job), job.engine
        self.epoch = 0
        self.seconds = 0.0
        self.pieces = 1
        self.history: list[dict[str, float]] = []
        self.best: State | None = None

    @property
    def has_graph(self) -> bool:
        """Whether steps are replayed as a graph, which has memory of its own."""
        return self.recorded is not None and self.recorded[1] is not None and self.recorded[1].recorded

    def say_once(self, text: str) -> None:
        """Log a text that could come up in every epoch."""
        if text not in self._said:
            log.info("%s", text)
        self._said.add(text)

    @property
    def predictor(self) -> Classifier:
        """The network that predicts: the average where there is one."""
        return self.average.predictor(self.model)

    def loss(self, job: FoldJob, epoch: int) -> Loss:
        """The loss of an epoch; class weights may be deferred to later epochs."""
        key = stretch(job.loss, epoch, job.train.epochs)
        if key not in self._losses:
            self._losses[key] = make_loss(job.loss, self.facts, epoch, job.train.epochs)
        return self._losses[key]

    @property
    def losses_for_plateau(self) -> list[float]:
        """One loss per epoch for a plateau schedule: never that of the validation part."""
        return [entry.get("inner_loss", entry["train_loss"]) for entry in self.history]

    def state(self) -> dict[str, Any]:
        """The whole state for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "pieces": self.pieces,
            "history": self.history,
            "job": self.fingerprint,
            "threads": torch.get_num_threads(),
            "mode": str(self.mode),
            "engine": self.engine,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state()`."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.recorded = None
        self.average.load(state["average"])
        self.scaler.load_state_dict(state["scaler"])
        self.best, self.pieces = state["best"], state["pieces"]
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]


def resume(job: FoldJob, path: Path) -> Training:
    """The training of the checkpoint, in the mode that it was made in; without a checkpoint, a new one."""
    state = load_checkpoint(path)
    if state is None:
        return Training(job, job.mode)
    training = Training(job, Mode.parse(state["mode"]))
    if state["job"] != training.fingerprint:
        log.warning(
            _("{path}: the checkpoint has other settings or data; the fold starts again").format(path=path)
        )
        return Training(job, job.mode)
    # Checkpoints of a version with one engine do not name it.
    if state.get("engine", "albumentations") != training.engine:
        log.warning(
            _(
                "{path}: the checkpoint was augmented by the engine {state}, and {engine} is used now; the "
                "fold starts again"
            ).format(path=path, state=state.get("engine", "albumentations"), engine=training.engine)
        )
        return Training(job, job.mode)
    threads = state["threads"]
    if threads != torch.get_num_threads():
        log.warning(
            _("{path}: made with {threads} threads; the result may differ in its last bits").format(
                path=path, threads=threads
            )
        )
    training.load(state)
    log.info(
        _("fold {fold} continues after epoch {epoch} of {epochs}").format(
            fold=job.fold, epoch=training.epoch, epochs=job.train.epochs
        )
    )
    return training


def _network(job: FoldJob) -> Classifier:
    """The network before training; it has not seen anything of the validation part."""
    space, fresh = job.train_samples.space, seed(job.train.seed, "model", job.fold)
    if job.initial is not None:
        network = job.initial.build(job.model, space, fresh, job.size, job.intake)
    else:
        network = build(job.model, space.n_classes, fresh, job.size, space, job.intake)
    network.normalise_by(job.images, job.train_samples.ids_N)
    own_NE = job.beside_NE
    if own_NE is not None and job.metadata is not None:
        n_outputs = network.heads.n_outputs if network.heads else space.n_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fresh)
            tabular = Tabular.of(job.metadata, n_outputs)
        tabular.fit(own_NE)
        network.add_metadata(tabular)
    scale = Scale.of(job.train_samples)
    if network.scale is not None and scale is not None:
        network.scale.fit(*scale.tensors())
    return network


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in one step, so that after a kill there is the old or the new one.

    The file holds a sha256 and the `torch.save` bytes, so that damage is found on reading.

    The state consists of tensors, plain numbers, text, lists and dicts; the folder must exist.

    Raises:
        StorageError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    torch.save({"version": VERSION, **state}, buffer)
    body = buffer.getvalue()
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(body).digest())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            _("{path}: the checkpoint cannot be written: {strerror}").format(
                path=path, strerror=error.strerror
            ),
            remedy=_("free some space or set runtime.home to a writable disk; the run then continues"),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The saved state on the CPU, or None when there is no usable file.

    A damaged file, or one of another version, is logged and ignored: the fold starts again, which costs
    time and never gives a wrong result.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = data[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != data[:_DIGEST_BYTES]:
        log.warning(_("{path}: the checkpoint is damaged; the fold starts again").format(path=path))
        return None
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        log.warning(
            _("{path}: the checkpoint cannot be read ({error}); the fold starts again").format(
                path=path, error=error
            )
        )
        return None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        log.warning(_("{path}: the checkpoint has another version; the fold starts again").format(path=path))
        return None
    return state


class Average:
    """The average that the settings ask for, or none; it starts as a copy of the untrained network."""

    def __init__(self, model: Classifier, settings: TrainSettings, device: str, precision: str) -> None:
        from timm.utils import ModelEmaV3

        decay, start = settings.ema_decay, settings.swa_start
        # Warm-up of the decay: otherwise the first steps stay in the average of a short run.
        self._ema = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None
        self._swa = AveragedModel(model) if start is not None else None
        self._first = min(math.floor((start or 0) * settings.epochs), settings.epochs - 1)
        self._device, self._precision = device, precision
        self._decay = 0.0
        # On a GPU a tensor: a step that is replayed as a graph would keep a number for ever.
        self._share = torch.zeros((), device=device) if decay and device == "cuda" else None

    def predictor(self, model: Classifier) -> Classifier:
        """The network that predicts: the average, once there is one."""
        network: Any = model
        if self._ema:
            network = self._ema.module
        elif self._swa and self._swa.n_averaged > 0:
            network = self._swa.module
        return network  # type: ignore[no-any-return]

    def before_step(self, step: int) -> None:
        """Set how far EMA follows the weights after this optimizer step, numbered from 0."""
        if self._ema:
            self._decay = self._ema.get_decay(step + 1)
            if self._share is not None:
                self._share.fill_(1 - self._decay)

    def after_step(self, model: Classifier) -> None:
        """Update EMA after an optimizer step."""
        if self._ema and self._share is None:
            with torch.no_grad():
                self._ema.apply_update_(model, self._decay)
        elif self._ema and self._share is not None:
            follow(self._ema.module, model, self._share)

    def after_epoch(self, model: Classifier, epoch: int, batches: Iterable[torch.Tensor]) -> None:
        """Update SWA with the weights at the end of an epoch, numbered from 0.

        Epochs before the first one to average are left out. The model is in training mode; its frozen
        normalisation layers are in eval mode and keep their statistics. `batches` are the epoch's pixels in
        [0, 1], x_BCHW, read only where statistics are measured.
        """
        if self._swa is None or epoch < self._first:
            return
        self._swa.update_parameters(model)
        pairs = zip(model.modules(), self._swa.module.modules(), strict=True)
        live = [mine for own, mine in pairs if own.training and isinstance(mine, _BatchNorm)]
        with autocast(self._device, self._precision):
            measure_statistics(self._swa.module, live, batches)

    def state(self) -> dict[str, Any] | None:
        """The state for a checkpoint; None before there is anything to average."""
        average = self._ema.module if self._ema else self._swa
        begun = self._swa is None or self._swa.n_averaged > 0
        return dict(average.state_dict()) if average is not None and begun else None

    def load(self, state: dict[str, Any] | None) -> None:
        """Continue from a state of `state()`."""
        average = self._ema.module if self._ema else self._swa
        if average is not None and state is not None:
            average.load_state_dict(state)


def follow(average: nn.Module, model: nn.Module, share: torch.Tensor) -> None:
    """Move an average towards the model by a share, a tensor (); whole numbers are copied."""
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    with torch.no_grad():
        mine, theirs = [a for a, _ in floats], [b for _, b in floats]
        steps = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(steps, share)
        torch._foreach_add_(mine, steps)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)


def measure_statistics(network: nn.Module, norms: list[_BatchNorm], batches: Iterable[torch.Tensor]) -> None:
    """Measure the means and variances of these normalisation layers over all batches, equally weighted.

    The rest of the network is in eval mode, so that dropout does not increase the variances.
    """
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        for x_BCHW in batches:
            network(x_BCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
