"""`nested`: what models say of a fold's own training part, each image by those that did not learn it.

Owns the inner cross-validation behind distillation: the fold's training part is cut into inner parts that
share no group; the experiment is trained on all but one of them and asked about that one. Nothing of the
fold's validation part is touched. Does not own what students do with it (`train/teachers.py`).

Heads on cached features take seconds; a network takes as many trainings as there are inner parts. Finished
ones lie in the work folder, so that a killed run continues.

Legend: N samples of the training part, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import positions
from pipeline.core.seeds import seed
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.record import files
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.settings.load import Settings
from pipeline.train import members, teachers
from pipeline.train.learners import Lesson


def refuse(settings: Settings) -> None:
    """Raise ConfigError for teachers that cannot be trained on a part of a fold."""
    train = settings.config.train
    asked = [name for name in ("early_stopping", "init_from") if getattr(train, name) is not None]
    if asked:
        raise ConfigError(
            f"train.distill: teacher {settings.experiment} has train.{asked[0]}, which inner parts have not",
            remedy="leave it out, choose another teacher, or set train.distill.inner=0",
        )


def build(job: Job) -> Built:
    """Write said.npz and seen.npy."""
    config, part = job.settings.config, _part(job)
    learner, samples = teachers.learner(job), part.samples
    p_NC = np.full((len(samples), samples.space.n_classes), np.nan, np.float32)
    rows = 0
    inner = subsets.inner_folds(part, int(job.params["inner"]), config.train.seed, 0, "train.distill.inner")
    for j, ids in enumerate(inner):
        work = job.work / f"inner{j}"
        work.mkdir(parents=True, exist_ok=True)
        train = config.train.model_copy(update={"seed": seed(config.train.seed, "nested", j)})
        lesson = Lesson(part, samples.take(ids), train, config.resample, work)
        lesson = lesson.take(~np.isin(samples.ids_N, ids))
        trained = members.train(learner, replace(lesson, valid=samples.take(ids)))
        p_NC[positions(ids, samples.ids_N, "inner part")] = trained.oof.take(ids).p_NC
        rows += trained.rows
    files.write_probabilities(
        job.draft / teachers.SAID, Probabilities(samples.ids_N, samples.space.classes, p_NC, "nested")
    )
    np.save(job.draft / teachers.SEEN, samples.ids_N)
    return Built(metrics={"inner": float(len(inner)), "rows": float(rows)})


def _part(job: Job) -> Part:
    """The fold's training part, or all images where no fold is named."""
    if "fold" in job.params:
        return subsets.of_fold(job.inputs, int(job.params["fold"]), job.settings.config, job.home)
    views = subsets.neighbour_views(job.settings.config, job.inputs)
    near = load.features(dict(job.inputs), "train", views) if views else None
    samples = teachers.own_part(job).for_training()
    return Part(samples, job.settings.config.folds.splits, None, near)
