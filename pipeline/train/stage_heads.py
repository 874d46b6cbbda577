"""`heads`: the heads of every fold and seed on cached features, trained at once.

Owns turning artifacts into closed jobs and back. Training is `pipeline/train/batched_heads.py`, or
`pipeline/train/logistic.py` for logistic regression. All folds of the plan are always trained together,
whatever `train.folds` asks for: the `fold` stage cuts its fold out, so a fold has the same bits alone,
first or last.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core import metrics
from pipeline.core.predictions import Features
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.stages import probe_views
from pipeline.record import files
from pipeline.resample import indices, subsets
from pipeline.train import batched_heads, checkpoint, heads
from pipeline.train.heads import HeadFit, HeadJob


def build(job: Job) -> Built:
    """Write a folder a fold, with weights.pt, oof.npz, history.json and, for several seeds, seeds.npz.

    Raises:
        UserError: settings that do not fit, a loss that is no number.
    """
    train = job.settings.config.train
    set_up(job.settings.config.runtime)
    features = load.features(dict(job.inputs), "train", list(probe_views(job.settings)))
    jobs = [_head_job(job, number, features) for number in range(len(load.plan(job.inputs["folds"])))]
    fits = (heads if train.head == "logistic" else batched_heads).fit_heads(jobs)
    for head_job, fit in zip(jobs, fits, strict=True):
        _write(job.draft / f"fold{head_job.fold}", fit)
    rows = sum(len(head_job.rows(0)) for head_job in jobs) * train.epochs * train.head_seeds
    seconds = sum(fit.result.seconds for fit in fits)
    return Built(metrics={"seconds_per_row": seconds / max(rows, 1)})


def _head_job(job: Job, number: int, features: Features) -> HeadJob:
    config = job.settings.config
    part = subsets.of_fold(job.inputs, number, job.settings.config, job.home)
    part = subsets.group_share(part, config.train.group_share, config.train.seed)
    split = load.plan(job.inputs["folds"]).splits[number]
    chosen = indices.plan(part, config.resample)
    return HeadJob(
        fold=number,
        loss=config.loss,
        train=config.train,
        train_samples=part.samples,
        valid_samples=load.training(job.inputs["data"], job.home).take(split.valid_ids),
        features=features,
        rows=chosen.rows,
        metric=metrics.get(config.competition.metric).score,
        synthetic=chosen.synthetic,
        soft_NC=part.samples.soft_NC,
        heads=AttributeHeads.of(config.model, part.samples.space),
    )


def _write(folder: Path, fit: HeadFit) -> None:
    folder.mkdir()
    checkpoint.save(folder / "weights.pt", {"weights": fit.state})
    files.write_probabilities(folder / "oof.npz", fit.result.oof)
    files.write_json(folder / "history.json", list(fit.result.history))
    if len(fit.by_seed.views) > 1:
        files.write_views(folder / "seeds.npz", fit.by_seed)
