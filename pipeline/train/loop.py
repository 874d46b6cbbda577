"""The training loop: one fold, from a seed to out-of-fold probabilities.

Owns training a fold, continuing it after a kill, evaluating it after each epoch (fp32, identity view) and
early stopping. Does not own the job's fields (`train/job.py`), which rows an epoch shows (a callable gives
them), the inner split (`resample/subsets.py`), or what is kept afterwards.

A fold is a closed job: it builds its own network, optimizer and average from the seed, so nothing can carry
over from another fold. The schedule is fixed and its last epoch counts, or early stopping chooses an epoch
on an inner split of the training part; nothing is ever chosen on the fold's validation part. What early
stopping decides follows from the history alone, so a resumed run decides the same. On the same device with
the same number of threads, a run that was killed and continued ends with the same bits as one that was not.

Legend: N samples, C classes, E epochs.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.core.language import _
from pipeline.core.predictions import FoldResult, Probabilities
from pipeline.core.samples import Floats, Samples, TrainRows
from pipeline.core.targets import Target
from pipeline.core.terminal import bar_of
from pipeline.data.detail import reduced_batch
from pipeline.data.device_images import DeviceImages, ahead, is_full, on_device
from pipeline.data.device_loader import DeviceLoader
from pipeline.data.loader import Batch, EpochLoader, LoaderPlan, batch_bounds
from pipeline.engine.stage import OnEpoch
from pipeline.nets.forward import Pass, pixels, run
from pipeline.nets.model import Classifier
from pipeline.nets.several import on_each
from pipeline.nets.views import parse
from pipeline.nets.weights import State
from pipeline.resample.mixing import partner_rows
from pipeline.settings.train import EarlyStoppingSettings, TrainSettings
from pipeline.train import columns, health, neighbours, strategy, texts
from pipeline.train.health import GradientWatch, StepFigures
from pipeline.train.job import FoldJob
from pipeline.train.losses import Loss, diverged
from pipeline.train.optim import Schedule
from pipeline.train.reproducible import cores, reproducible
from pipeline.train.state import Training, load_checkpoint, resume, save_checkpoint
from pipeline.train.step import Step, windows
from pipeline.train.targets import targets_of

log = logging.getLogger(__name__)

Entry = dict[str, float]
Loader = EpochLoader | DeviceLoader


def best_epoch(history: Sequence[Entry], higher_is_better: bool) -> int:
    """The epoch with the best inner score; of equal ones, the first."""
    sign = 1.0 if higher_is_better else -1.0
    return max(range(len(history)), key=lambda epoch: (sign * history[epoch]["inner_score"], -epoch))


def ended(history: Sequence[Entry], settings: EarlyStoppingSettings | None, higher_is_better: bool) -> bool:
    """Whether the inner score has not improved for `patience` epochs."""
    if settings is None or not history:
        return False
    return len(history) - 1 - best_epoch(history, higher_is_better) >= settings.patience


def marked(history: Sequence[Entry], epoch: int | None) -> tuple[Entry, ...]:
    """The history with `chosen`: 1 for the epoch whose weights predict, else 0; unchanged for None."""
    if epoch is None:
        return tuple(history)
    return tuple({**entry, "chosen": float(number == epoch)} for number, entry in enumerate(history))


def predicting(history: Sequence[Entry]) -> Entry:
    """The entry of the epoch whose weights predict: the chosen one, or else the last."""
    return next((entry for entry in history if entry.get("chosen")), history[-1])


# (N, C) probabilities of a part, and its scores by name.
Evaluation = tuple[Floats, dict[str, float]]


def evaluate(
    job: FoldJob, model: Classifier, loss: Loss, samples: Samples, part: str, layout: str = "channels_last"
) -> Evaluation:
    """Probabilities of labelled samples that are not trained on, with their loss and score.

    Raises:
        UserError: the loss is not a finite number.
    """
    how = Pass(job.device, job.eval_batch, layout=layout)
    logits_NC = run(model.eval(), job.images, samples.ids_N, parse("identity"), how)
    value = float(loss.mean(torch.from_numpy(logits_NC), targets_of(samples)))
    if not math.isfinite(value):
        raise diverged(f"fold {job.fold}, {part} part", job.train)
    p_NC = Target.of(samples.space).from_logits(logits_NC)
    return p_NC, {f"{part}_loss": value, f"{part}_score": job.metric(samples.truth, p_NC)}


def validate(job: FoldJob, model: Classifier, loss: Loss, layout: str = "channels_last") -> Evaluation:
    """The same for the validation part, with a figure of each class, label or value that occurs in it."""
    samples = job.valid_samples
    p_NC, scores = evaluate(job, model, loss, samples, "valid", layout)
    return p_NC, scores | columns.figures(samples, p_NC)


def checkpoint_path(work: Path, fold: int) -> Path:
    """The file of a fold's unfinished state."""
    return work / f"fold{fold}.pt"


def _batches(job: FoldJob, loader: Loader, epoch: int, mixed: bool = True) -> Iterator[Batch]:
    """The micro-batches of an epoch on the device; with partners where mixing takes them from elsewhere."""
    rows, partners = _rows(job, epoch, mixed)
    batches = loader.batches(epoch, rows, partners)
    if not isinstance(loader, DeviceLoader):
        return ahead(batches, job.device)
    if mixed and epoch + 1 < job.train.epochs:
        loader.expect(epoch + 1, *_rows(job, epoch + 1))
    return batches


def size_of(epoch: int, settings: TrainSettings, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the images of an epoch, px; sides of smaller ones are multiples of 8."""
    whole, last = max(size), math.ceil(settings.epochs * 2 / 3)
    if settings.first_px is None or epoch >= last:
        return size
    side = settings.first_px + (whole - settings.first_px) * epoch / last
    height, width = (min(max(round(side * own / whole / 8) * 8, 8), own) for own in size)
    return height, width


def sized(batches: Iterator[Batch], job: FoldJob, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch at its size (`train.first_px`), reduced by area on the device."""
    size = size_of(epoch, job.train, job.size)
    yield from batches if size == job.size else (_reduced(batch, job, size) for batch in batches)


def _reduced(batch: Batch, job: FoldJob, size: tuple[int, int]) -> Batch:
    x_BCHW = pixels(batch.x_BHWC, job.device)
    small = on_each(x_BCHW, job.intake.channels, lambda x: reduced_batch(x, size))
    partner = None if batch.partner is None else _reduced(batch.partner, job, size)
    return batch._replace(x_BHWC=small.permute(0, 2, 3, 1), partner=partner)


def _rows(job: FoldJob, epoch: int, mixed: bool = True) -> tuple[TrainRows, TrainRows | None]:
    """The rows of an epoch, and those of their partners where mixing takes them from elsewhere."""
    mix, rows = job.train.mix, job.rows(epoch)
    if not mixed:
        return rows, None
    return rows, partner_rows(mix, job.train_samples, rows, job.train.seed, job.fold, epoch)


def _train_epoch(
    job: FoldJob, training: Training, loader: Loader, schedule: Schedule, bar: Any
) -> dict[str, float]:
    """One pass over the rows of the epoch; returns the training figures of its history entry."""
    settings, epoch, losses = job.train, training.epoch, training.losses_for_plateau
    n_rows = len(job.rows(epoch))
    where = f"fold {job.fold}, epoch {epoch}"
    figures = StepFigures(GradientWatch(where, settings, training.scaler.is_enabled()), job.device)
    begin = time.perf_counter()
    training.model.train()
    strategy.begin_epoch(training.model.backbone, settings, epoch)
    step, number = Step(job, training), schedule.start(epoch)
    for window in windows(sized(_batches(job, loader, epoch), job, epoch), settings.accumulate):
        made = step(window, number, schedule.lr(number, losses))
        figures.keep(made, number, sum(len(batch.y_B) for batch in window))
        number += 1
        bar.update(1)
    figures.read()
    seconds = time.perf_counter() - begin
    return {
        "train_loss": figures.sum_loss / n_rows,
        "lr": schedule.lr(number - 1, losses),
        "images_per_second": n_rows / seconds,
        **figures.watch.summary(),
    }


def _try_epoch(
    job: FoldJob, training: Training, loader: Loader, schedule: Schedule, bar: Any, path: Path
) -> dict[str, float] | None:
    """The same; None if the GPU had too little memory: training is at the epoch's start, and needs less."""
    try:
        return _train_epoch(job, training, loader, schedule, bar)
    except RuntimeError as error:
        halved = job.train.oom_halving and training.pieces * 4 <= job.train.batch_size
        if not is_full(error) or not (_can_make_room(job, training) or halved):
            raise
    # The memory of the failed step is free only here, after the exception.
    training.optimizer.zero_grad(set_to_none=True)
    pieces = training.pieces
    # First what changes no result, and before the start is loaded, which may need a second network.
    if _can_make_room(job, training):
        _make_room(job, training)
    else:
        training.recorded = None
        pieces *= 2
        log.warning(
            _("fold {fold}: out of memory; each batch is now passed in {pieces} pieces").format(
                fold=job.fold, pieces=pieces
            )
        )
    training.load(load_checkpoint(path) or Training(job, training.mode).state())
    training.pieces = pieces
    bar.n = schedule.start(training.epoch)
    return None


def _can_make_room(job: FoldJob, training: Training) -> bool:
    """Whether the GPU's memory holds what only makes training faster: images, or a step's graph."""
    return (isinstance(job.images, DeviceImages) and job.images.resident) or training.has_graph


def _make_room(job: FoldJob, training: Training) -> None:
    """Free one of them, which changes no result: the images if they are there, else graphs for good."""
    training.recorded = None
    if isinstance(job.images, DeviceImages) and job.images.resident:
        job.images.evict()
    else:
        training.graphs = False
        training.say_once(texts.NOT_CAPTURED.format(why=texts.STEP_MEMORY))


def _evaluated(job: FoldJob, training: Training, evaluation: Callable[[], Evaluation]) -> Evaluation:
    """An evaluation; if the GPU has too little memory, once more with more room."""
    while True:
        try:
            return evaluation()
        except RuntimeError as error:
            if not is_full(error) or not _can_make_room(job, training):
                raise
        _make_room(job, training)


def _end_epoch(job: FoldJob, training: Training, loader: Loader, trained: dict[str, float]) -> Floats:
    """Average, evaluate and record the epoch that was just trained."""
    epoch, layout = training.epoch, training.mode.layout
    shown = (pixels(batch.x_BHWC, job.device, layout) for batch in _batches(job, loader, epoch, mixed=False))
    loss, before = training.loss(job, epoch), _soup(job, training)
    training.average.after_epoch(training.model, epoch, shown)
    kept: dict[str, float] = {}
    if before is not None:
        seen = partial(evaluate, job, training.predictor, loss, _inner(job), "inner", layout)
        tried = _evaluated(job, training, seen)[1]["inner_score"]
        sign, known = 1.0 if job.higher_is_better else -1.0, training.history[-1]["inner_score"]
        kept = {"averaged": float(sign * tried >= sign * known)}
        if not kept["averaged"]:
            training.average.load(before)
    training.epoch += 1
    p_NC, scores = _evaluated(job, training, partial(validate, job, training.predictor, loss, layout))
    scores |= kept
    if job.inner_samples is not None:
        seen = partial(evaluate, job, training.predictor, loss, job.inner_samples, "inner", layout)
        scores |= _evaluated(job, training, seen)[1]
    gap = scores["valid_loss"] - trained["train_loss"]
    training.history.append({"epoch": float(epoch), **trained, **scores, "gap": gap})
    if job.inner_samples is not None and _best(job, training) == epoch:
        training.best = _on_cpu(training.predictor)
    return p_NC


def _soup(job: FoldJob, training: Training) -> dict[str, Any] | None:
    """The average before this epoch, if the epoch may be left out of it (`train.soup=greedy`)."""
    state = training.average.state() if job.train.soup == "greedy" else None
    if state is None:
        return None
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}


def _inner(job: FoldJob) -> Samples:
    assert job.inner_samples is not None, "a rule of the settings asks for an inner split"
    return job.inner_samples


def _best(job: FoldJob, training: Training) -> int:
    return best_epoch(training.history, job.higher_is_better)


def _on_cpu(network: Classifier) -> State:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _loader(job: FoldJob, batches_left: int) -> Loader:
    (augmenter, *copies), train = job.augmenters, job.train
    plan = LoaderPlan(
        samples=job.train_samples,
        augmenter=augmenter,
        batch_size=train.batch_size,
        root_seed=train.seed,
        fold=job.fold,
        workers=job.workers,
        copies=tuple(copies),
        cores=cores(job.device),
        n_batches=batches_left,
        window=train.accumulate,
    )
    if job.engine == "device":
        assert isinstance(job.images, DeviceImages), "the device's engine is for a device with its own images"
        return DeviceLoader(job.images, plan, job.device)
    return EpochLoader(job.images.host if isinstance(job.images, DeviceImages) else job.images, plan)


def fit(job: FoldJob, work: Path, on_epoch: OnEpoch | None = None) -> tuple[FoldResult, State]:
    """Train one fold to its last epoch, continuing from the checkpoint of an earlier run in `work`.

    Args:
        job: the fold.
        work: folder of the checkpoint, written after each epoch; made if missing. The caller deletes it.
        on_epoch: called after each epoch with (fold, epoch, history entry); False ends the fold there, as
            pruning does.

    Returns:
        The result of the fold, and the state dict of the network that predicts, on the CPU.

    Raises:
        UserError: settings that are unknown or do not fit, a loss or gradient that is not a finite number,
            too little memory, a full disk.
    """
    work.mkdir(parents=True, exist_ok=True)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    job = replace(job, images=on_device(job.images, job.device, job.images_share))
    settings, path = job.train, checkpoint_path(work, job.fold)
    bounds_E = [batch_bounds(len(job.rows(e)), settings.batch_size) for e in range(settings.epochs)]
    schedule = Schedule.of(settings, [len(bounds) for bounds in bounds_E])
    training = resume(job, path)
    sizes = [end - start for bounds in bounds_E for start, end in bounds]
    strategy.begin_epoch(training.model.train().backbone, settings, settings.epochs - 1)
    health.check_batches(training.model, sizes, settings)
    health.check_precision(training.model, job.size, job.device, training.mode.precision)
    if settings.oom_halving and training.epoch == 0:
        save_checkpoint(path, training.state())
    p_NC: Floats | None = None
    left = sum(len(bounds) for bounds in bounds_E[training.epoch :])
    with (
        contextlib.ExitStack() as at_end,
        _loader(job, left) as loader,
        _bar(job, schedule, training.epoch) as bar,
        reproducible(job.device, job.deterministic, job.tf32),
    ):
        # The graph holds all of the training, which holds the graph: only the garbage collector would free
        # the memory of both.
        at_end.callback(setattr, training, "recorded", None)
        while training.epoch < settings.epochs:
            if ended(training.history, settings.early_stopping, job.higher_is_better):
                break
            begin, epoch = time.perf_counter(), training.epoch
            bar.set_postfix_str(f"epoch {epoch + 1}/{settings.epochs}")
            with health.explained_memory_errors(settings, job.size):
                trained = _try_epoch(job, training, loader, schedule, bar, path)
            if trained is None:
                continue
            with health.explained_memory_errors(settings, job.size, job.eval_batch):
                p_NC = _end_epoch(job, training, loader, trained)
            training.seconds += time.perf_counter() - begin
            save_checkpoint(path, training.state())
            if on_epoch is not None and not on_epoch(job.fold, epoch, training.history[-1]):
                break
    return _result(job, training, p_NC)


def _bar(job: FoldJob, schedule: Schedule, epoch: int) -> Any:
    return bar_of(f"fold {job.fold}", "step", total=schedule.total, done=schedule.start(epoch))


def _result(job: FoldJob, training: Training, p_NC: Floats | None) -> tuple[FoldResult, State]:
    """The predictions of the chosen epoch, or else of the last one; `p_NC` if they are known already."""
    chosen = None
    if training.best is not None:
        training.predictor.load_state_dict(training.best)
        chosen, p_NC = _best(job, training), None
    if job.train.neighbours:
        neighbours.attach(job, training.predictor, training.mode.layout)
        p_NC = None
    if p_NC is None:
        loss = training.loss(job, max(training.epoch - 1, 0))
        seen = partial(validate, job, training.predictor, loss, training.mode.layout)
        p_NC, _ = _evaluated(job, training, seen)
    samples, history = job.valid_samples, marked(training.history, chosen)
    oof = Probabilities.of(Target.of(samples.space), samples.ids_N, p_NC, f"{job.model.name} fold {job.fold}")
    extra = {"device": job.device, "threads": str(torch.get_num_threads()), "mode": str(training.mode)}
    extra |= {"engine": job.engine}
    if job.device == "cuda":
        extra["matmul"] = "tf32" if job.tf32 else "fp32"
    return FoldResult(job.fold, oof, history, training.seconds, extra), _on_cpu(training.predictor)
