"""The training loop: one fold, from a seed to out-of-fold probabilities.

Owns training a fold and continuing it after a kill. Does not own the job's fields (`learn/job.py`),
where jobs run, which rows an epoch shows (a callable gives them), or what is kept afterwards.

A fold is a closed job: it builds its own network, optimizer and average from the seed, so nothing
can carry over from another fold. The schedule is fixed and its last epoch counts: the history is
for people, and nothing is chosen on it. On the same device with the same number of threads, a run
that was killed and continued ends with the same bits as one that was not.

Legend: N samples, C classes, E epochs.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pipeline.core.predictions import FoldResult, Probabilities
from pipeline.core.seeds import seed
from pipeline.core.types import Floats
from pipeline.data.augment import Augmenter
from pipeline.data.loader import EpochLoader, LoaderPlan, batch_bounds
from pipeline.data.views import parse
from pipeline.learn import checkpoint, strategy
from pipeline.learn.accumulate import Backward, windows
from pipeline.learn.forward import Pass, run, softmax
from pipeline.learn.job import FoldJob, fingerprint
from pipeline.learn.loss import diverged, make_loss
from pipeline.learn.model import Classifier, build, to_device
from pipeline.learn.optim import Schedule, make_optimizer, set_lr
from pipeline.learn.targets import class_facts, targets_of
from pipeline.learn.weights import State

log = logging.getLogger(__name__)

OnEpoch = Callable[[int, int, dict[str, float]], bool]


class _Training:
    """What changes while one fold trains, made fresh from the seed."""

    def __init__(self, job: FoldJob) -> None:
        from timm.utils import ModelEmaV3

        network = _network(job)
        self.model = to_device(network, job.device)
        strategy.prepare(self.model.backbone, job.train)  # the optimizer holds what will ever train
        self.optimizer = make_optimizer(self.model.backbone, job.train)
        decay = job.train.ema_decay
        # Warm-up of the decay: the average forgets the first steps, which short runs would drag along.
        self.ema = ModelEmaV3(self.model, decay=decay, use_warmup=True) if decay else None
        self.scaler = torch.amp.GradScaler(job.device, enabled=job.train.precision == "fp16")
        self.loss = make_loss(job.loss, class_facts(job.train_samples, job.rows(0)))
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def predictor(self) -> Classifier:
        """The network that predicts: the average where there is one."""
        return self.ema.module if self.ema else self.model

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]


def _network(job: FoldJob) -> Classifier:
    """The network as the fold finds it: nothing of the validation part has touched it."""
    classes, fresh = job.train_samples.space.classes, seed(job.train.seed, "model", job.fold)
    if job.initial is not None:
        return job.initial.build(job.model, classes, fresh, job.size)
    return build(job.model, len(classes), fresh, job.size)


def checkpoint_path(work: Path, fold: int) -> Path:
    """Where a fold keeps its unfinished state."""
    return work / f"fold{fold}.pt"


def _resume(job: FoldJob, training: _Training, path: Path, of: str) -> None:
    """Continue from the checkpoint, if there is one of this job."""
    state = checkpoint.load(path)
    if state is None:
        return
    if state["job"] != of:
        log.warning("%s: the checkpoint is of other settings or data; the fold starts again", path)
        return
    if state["threads"] != torch.get_num_threads():
        log.warning("%s: made with %s threads: the end may differ in its last bits", path, state["threads"])
    training.load(state)
    log.info("fold %d continues after epoch %d of %d", job.fold, training.epoch, job.train.epochs)


def _train_epoch(
    job: FoldJob, training: _Training, loader: EpochLoader, schedule: Schedule, bar: Any
) -> dict[str, float]:
    """One pass over the epoch's rows; the part of its history that training knows."""
    settings, epoch = job.train, training.epoch
    backward = Backward(
        training.loss,
        job.target_NC,
        job.sample_weights_N,
        job.device,
        settings.precision,
        training.scaler,
    )
    rows, begin, sum_loss = job.rows(epoch), time.perf_counter(), 0.0
    training.model.train()
    strategy.begin_epoch(training.model.backbone, settings, epoch)
    step = schedule.start(epoch)
    for window in windows(loader.batches(epoch, rows), settings.accumulate):
        # Dropout draws from torch's generators: seeded here, they need not be saved.
        torch.manual_seed(seed(settings.seed, "step", job.fold, step))
        set_lr(training.optimizer, schedule.lr(step))
        value = backward(training.model, window)
        if not math.isfinite(value):
            raise diverged(f"fold {job.fold}, epoch {epoch}, step {step}", settings)
        _step(training, settings.clip_norm, step)
        sum_loss += value * sum(len(batch.y_B) for batch in window)
        step += 1
        bar.update(1)
    seconds = time.perf_counter() - begin
    return {
        "train_loss": sum_loss / len(rows),
        "lr": schedule.lr(step - 1),
        "images_per_second": len(rows) / seconds,
    }


def _step(training: _Training, clip_norm: float | None, step: int) -> None:
    """Move the weights by the gradients at hand, and the average after them."""
    training.scaler.unscale_(training.optimizer)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(training.model.parameters(), clip_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    if training.ema:
        training.ema.update(training.model, step=step + 1)


def _validate(job: FoldJob, training: _Training) -> tuple[Floats, dict[str, float]]:
    """(N, C) probabilities of the validation part in fp32, and how good they are."""
    samples, model = job.valid_samples, training.predictor.eval()
    how = Pass(job.device, job.eval_batch)
    logits_NC = run(model, job.images, samples.ids_N, parse("identity"), how)
    loss = float(training.loss(torch.from_numpy(logits_NC), targets_of(samples)).mean())
    if not math.isfinite(loss):
        raise diverged(f"fold {job.fold}, validation after epoch {training.epoch - 1}", job.train)
    p_NC = softmax(logits_NC)
    return p_NC, {"valid_loss": loss, "valid_score": job.metric(samples.labels, p_NC)}


def fit(job: FoldJob, work: Path, on_epoch: OnEpoch | None = None) -> tuple[FoldResult, State]:
    """Train one fold to its last epoch, continuing what an earlier run left in `work`.

    Args:
        job: the fold.
        work: folder of the checkpoint, kept each epoch; made if missing. The caller deletes it.
        on_epoch: called after each epoch with (fold, epoch, history entry); False ends the fold
            there, as pruning does.

    Returns:
        The fold's result, and the state dict of the network that predicts, on the CPU.

    Raises:
        UserError: unknown or ill-fitting settings, a loss that is no number, a full disk.
    """
    work.mkdir(parents=True, exist_ok=True)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    path, of = checkpoint_path(work, job.fold), fingerprint(job)
    batches_E = [len(batch_bounds(len(job.rows(e)), job.train.batch_size)) for e in range(job.train.epochs)]
    schedule = Schedule.of(job.train, batches_E)
    training = _Training(job)
    _resume(job, training, path, of)
    p_NC: Floats | None = None
    augmenter = Augmenter(job.augment.policy, job.size)
    copies = tuple(Augmenter(policy, job.size) for policy in job.rows(0).policies if policy)
    plan = LoaderPlan(
        job.train_samples, augmenter, job.train.batch_size, job.train.seed, job.fold, job.workers, copies
    )
    with (
        EpochLoader(job.images, plan) as loader,
        tqdm(
            total=schedule.total,
            initial=schedule.start(training.epoch),
            desc=f"fold {job.fold}",
            unit="step",
            disable=not sys.stderr.isatty(),
        ) as bar,
        # Convolutions chosen by timing would differ from run to run.
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        while training.epoch < job.train.epochs:
            begin, epoch = time.perf_counter(), training.epoch
            bar.set_postfix_str(f"epoch {epoch + 1}/{job.train.epochs}")
            trained = _train_epoch(job, training, loader, schedule, bar)
            training.epoch += 1
            p_NC, scores = _validate(job, training)
            gap = scores["valid_loss"] - trained["train_loss"]
            entry = {"epoch": float(epoch), **trained, **scores, "gap": gap}
            training.history.append(entry)
            training.seconds += time.perf_counter() - begin
            checkpoint.save(path, {**training.state(), "job": of, "threads": torch.get_num_threads()})
            if on_epoch is not None and not on_epoch(job.fold, epoch, entry):
                break
    if p_NC is None:
        p_NC, _ = _validate(job, training)
    return _result(job, training, p_NC)


def _result(job: FoldJob, training: _Training, p_NC: Floats) -> tuple[FoldResult, State]:
    samples = job.valid_samples
    oof = Probabilities(samples.ids_N, samples.space.classes, p_NC, f"{job.model.name} fold {job.fold}")
    state = {key: value.detach().cpu().clone() for key, value in training.predictor.state_dict().items()}
    extra = {"device": job.device, "threads": str(torch.get_num_threads()), "precision": job.train.precision}
    return FoldResult(job.fold, oof, tuple(training.history), training.seconds, extra), state
