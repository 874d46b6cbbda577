"""The state of a fold that trains: network, optimizer, averages, history; saved and loaded as one dict.

Owns what a checkpoint holds and when one may be continued. Does not own its file
(`train/checkpoint.py`) or training itself (`train/loop.py`).
"""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core.seeds import seed
from pipeline.nets.forward import Mode
from pipeline.nets.model import Classifier, build, to_device
from pipeline.nets.weights import State
from pipeline.train import checkpoint, strategy
from pipeline.train.average import Average
from pipeline.train.job import FoldJob, fingerprint
from pipeline.train.losses import Loss, make_loss
from pipeline.train.optim import make_optimizer
from pipeline.train.targets import class_facts

log = logging.getLogger(__name__)


class Training:
    """What changes while one fold trains, made fresh from the seed.

    Args:
        job: the fold.
        mode: how the network computes.
    """

    def __init__(self, job: FoldJob, mode: Mode) -> None:
        self.mode = mode
        self.model = to_device(_network(job), job.device, mode.layout)
        strategy.prepare(self.model.backbone, job.train)  # the optimizer holds what will ever train
        # One graph a batch shape: a dynamic one would compute otherwise after a resume than before it.
        self.compute: nn.Module = torch.compile(self.model, dynamic=False) if mode.compiled else self.model  # type: ignore[assignment]
        self.optimizer = make_optimizer(self.model.backbone, job.train)
        self.average = Average(self.model, job.train, job.device, mode.precision)
        self.scaler = torch.amp.GradScaler(job.device, enabled=mode.precision == "fp16")
        self.facts = class_facts(job.train_samples, job.rows(0), self.model.heads)
        self.of = fingerprint(job)
        self.epoch = 0
        self.seconds = 0.0
        self.pieces = 1
        self.history: list[dict[str, float]] = []
        self.best: State | None = None

    @property
    def predictor(self) -> Classifier:
        """The network that predicts: the average where there is one."""
        return self.average.predictor(self.model)

    def loss(self, job: FoldJob, epoch: int) -> Loss:
        """What an epoch minimises: class weights may start late."""
        return make_loss(job.loss, self.facts, epoch, job.train.epochs)

    @property
    def watched(self) -> list[float]:
        """A loss of each epoch that the rate may follow: never one of the validation part."""
        return [entry.get("inner_loss", entry["train_loss"]) for entry in self.history]

    def state(self) -> dict[str, Any]:
        """All of it, as a checkpoint keeps it."""
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
            "job": self.of,
            "threads": torch.get_num_threads(),
            "mode": str(self.mode),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.scaler.load_state_dict(state["scaler"])
        self.best, self.pieces = state["best"], state["pieces"]
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]


def _network(job: FoldJob) -> Classifier:
    """The network as the fold finds it: nothing of the validation part has touched it."""
    space, fresh = job.train_samples.space, seed(job.train.seed, "model", job.fold)
    if job.initial is not None:
        return job.initial.build(job.model, space, fresh, job.size)
    return build(job.model, space.n_classes, fresh, job.size, space)


def resume(job: FoldJob, path: Path) -> Training:
    """The training of the checkpoint, in the mode that it was made in; a fresh one if there is none."""
    state = checkpoint.load(path)
    if state is None:
        return Training(job, job.mode)
    training = Training(job, Mode.parse(state["mode"]))
    if state["job"] != training.of:
        log.warning("%s: the checkpoint is of other settings or data; the fold starts again", path)
        return Training(job, job.mode)
    if state["threads"] != torch.get_num_threads():
        log.warning("%s: made with %s threads: the end may differ in its last bits", path, state["threads"])
    training.load(state)
    log.info("fold %d continues after epoch %d of %d", job.fold, training.epoch, job.train.epochs)
    return training
