"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a closed training job and back. Training is `pipeline/learn/fit.py`; a killed
fold continues from its work folder. Of a linear probe it is cut out of `heads`, where all folds train at
once.
"""

from __future__ import annotations

import shutil
from functools import partial

from pipeline.core import metrics
from pipeline.core.predictions import FoldResult
from pipeline.core.types import Samples
from pipeline.data import resample
from pipeline.data.resample import Part, Resampled
from pipeline.learn import checkpoint, fit
from pipeline.learn.job import FoldJob
from pipeline.learn.weights import State
from pipeline.record import files
from pipeline.stages import load
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.registry import is_probe

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz and history.json.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    number = int(job.params["fold"])
    if is_probe(job.settings):
        return _cut_out(job, number)
    samples = load.training(job.inputs["data"], job.home)
    plan = load.plan(job.inputs["folds"])
    part = load.part(dict(job.inputs), number, job.settings, job.home)
    valid = samples.take(plan.splits[number].valid_ids)
    chosen = resample.plan(part, job.settings.config.resample)
    result, state = _network(job, part, valid, chosen)
    files.write_probabilities(job.draft / "oof.npz", result.oof)
    files.write_json(job.draft / "history.json", list(result.history))
    checkpoint.save(job.draft / "weights.pt", {"weights": state})
    per_row = result.seconds / max(len(result.history) * len(chosen.rows(0)), 1)
    return _built(job, list(result.history), state, per_row)


def _built(
    job: Job, history: list[dict[str, float]], state: State, per_row: float, shared_seconds: float = 0.0
) -> Built:
    last = history[-1]
    figures = {
        "valid_score": last["valid_score"],
        "valid_loss": last["valid_loss"],
        "train_loss": last["train_loss"],
        "gap": last["gap"],
        "images_per_second": last.get("images_per_second", 0.0),
        "seconds_per_row": per_row,
        "weights_mb": sum(t.numel() * t.element_size() for t in state.values()) / 1e6,
    }
    tags = {"device": set_up(job.settings.config.runtime)}
    return Built(metrics=figures, tags=tags, shared_seconds=shared_seconds)


def _on_epoch(job: Job, fold: int, epoch: int, entry: dict[str, float]) -> bool:
    every = max(job.settings.config.train.epochs // CURVE_POINTS, 1)
    if epoch % every == 0 or epoch == job.settings.config.train.epochs - 1:
        job.run.epoch(epoch, {k: v for k, v in entry.items() if k != "epoch"})
    return True


def _network(job: Job, part: Part, valid: Samples, chosen: Resampled) -> tuple[FoldResult, State]:
    config = job.settings.config
    fold = FoldJob(
        fold=part.fold,
        model=config.model,
        loss=config.loss,
        augment=config.augment,
        train=config.train,
        train_samples=part.samples,
        valid_samples=valid,
        images=load.prepared(job.inputs["prepared"], "train"),
        rows=chosen.rows,
        metric=metrics.get(config.competition.metric).score,
        device=set_up(config.runtime),
        threads=config.runtime.threads,
        workers=config.runtime.workers,
        eval_batch=config.runtime.infer_batch,
    )
    return fit.fit(fold, job.work, partial(_on_epoch, job))


def _cut_out(job: Job, number: int) -> Built:
    """The fold's files of the heads that were trained together."""
    heads = job.inputs["heads"]
    source = heads.folder / f"fold{number}"
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, job.draft / path.name)
    history: list[dict[str, float]] = heads.json(f"fold{number}/history.json")
    for entry in history:
        _on_epoch(job, number, int(entry["epoch"]), entry)
    state = checkpoint.load(source / "weights.pt")
    assert state is not None, f"{source} was verified, yet its weights cannot be read"
    share = heads.seconds / len(load.plan(job.inputs["folds"]))
    return _built(job, history, state["weights"], heads.metrics["seconds_per_row"], share)
