"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a closed training job and back. Training is `pipeline/learn/fit.py`, or
`pipeline/learn/heads.py` for a linear probe. A killed fold continues from its work folder.
"""

from __future__ import annotations

from functools import partial

from pipeline.core import metrics
from pipeline.core.predictions import FoldResult
from pipeline.core.types import FoldPlan, Samples
from pipeline.data import resample
from pipeline.learn import checkpoint, fit, heads
from pipeline.learn.job import FoldJob
from pipeline.learn.weights import State
from pipeline.record import files
from pipeline.stages import load
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.registry import is_probe, probe_views

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz and history.json.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    number = int(job.params["fold"])
    samples = load.training(job.inputs["data"], job.home)
    plan = load.plan(job.inputs["folds"])
    result, state = (_probe if is_probe(job.settings) else _network)(job, number, samples, plan)
    files.write_probabilities(job.draft / "oof.npz", result.oof)
    files.write_json(job.draft / "history.json", list(result.history))
    checkpoint.save(job.draft / "weights.pt", {"weights": state})
    last = result.history[-1]
    figures = {
        "valid_score": last["valid_score"],
        "valid_loss": last["valid_loss"],
        "train_loss": last["train_loss"],
        "gap": last["gap"],
        "images_per_second": last.get("images_per_second", 0.0),
        "seconds_per_row": result.seconds / max(len(result.history) * _rows(job, number, samples, plan), 1),
        "weights_mb": sum(t.numel() * t.element_size() for t in state.values()) / 1e6,
    }
    return Built(metrics=figures)


def _parts(samples: Samples, plan: FoldPlan, number: int) -> tuple[Samples, Samples]:
    split = plan.splits[number]
    return samples.take(split.train_ids).for_training(), samples.take(split.valid_ids)


def _rows(job: Job, number: int, samples: Samples, plan: FoldPlan) -> int:
    train, _ = _parts(samples, plan, number)
    return len(resample.rows(train.labels, job.settings.config.resample, number, 0))


def _on_epoch(job: Job, fold: int, epoch: int, entry: dict[str, float]) -> bool:
    every = max(job.settings.config.train.epochs // CURVE_POINTS, 1)
    if epoch % every == 0 or epoch == job.settings.config.train.epochs - 1:
        job.run.epoch(epoch, {k: v for k, v in entry.items() if k != "epoch"})
    return True


def _network(job: Job, number: int, samples: Samples, plan: FoldPlan) -> tuple[FoldResult, State]:
    config = job.settings.config
    train, valid = _parts(samples, plan, number)
    fold = FoldJob(
        fold=number,
        model=config.model,
        loss=config.loss,
        augment=config.augment,
        train=config.train,
        train_samples=train,
        valid_samples=valid,
        images=load.prepared(job.inputs["prepared"], "train"),
        rows=partial(resample.rows, train.labels, config.resample, number),
        metric=metrics.get(config.competition.metric).score,
        device=set_up(config.runtime),
        threads=config.runtime.threads,
        workers=config.runtime.workers,
        eval_batch=config.runtime.infer_batch,
    )
    return fit.fit(fold, job.work, partial(_on_epoch, job))


def _probe(job: Job, number: int, samples: Samples, plan: FoldPlan) -> tuple[FoldResult, State]:
    config = job.settings.config
    set_up(config.runtime)
    train, valid = _parts(samples, plan, number)
    head = heads.HeadJob(
        fold=number,
        loss=config.loss,
        train=config.train,
        train_samples=train,
        valid_samples=valid,
        features=load.features(dict(job.inputs), "train", list(probe_views(job.settings))),
        rows=partial(resample.rows, train.labels, config.resample, number),
        metric=metrics.get(config.competition.metric).score,
    )
    result, state = heads.fit_linear(head)
    for entry in result.history:
        _on_epoch(job, number, int(entry["epoch"]), entry)
    return result, state
