"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a lesson on the fold's training part, and what is kept of it. Which models
learn it is `stages/members.py`, one training `stages/learners.py`. A killed fold continues from its
work folder.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.core import metrics
from pipeline.core.types import Samples
from pipeline.data import subsets
from pipeline.record import files
from pipeline.stages import load, members, teachers
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.learners import Lesson
from pipeline.stages.members import Trained

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz, history.json and, with pseudo-labels, pseudo.csv.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    config, number = job.settings.config, int(job.params["fold"])
    samples = load.training(job.inputs["data"], job.home)
    valid = samples.take(load.plan(job.inputs["folds"]).splits[number].valid_ids)
    part = load.part(dict(job.inputs), number, job.settings, job.home)
    part = subsets.group_share(part, config.train.group_share, config.train.seed)
    lesson = Lesson(part, valid, config.train, config.resample, job.work, on_epoch=partial(_on_epoch, job))
    taught = teachers.taught(job, lesson, valid)
    trained = members.train(teachers.learner(job), taught.lesson)
    files.write_probabilities(job.draft / "oof.npz", trained.oof)
    files.write_json(job.draft / "history.json", list(trained.history))
    trained.committee.write(job.draft)
    if taught.adopted is not None:
        taught.adopted.to_csv(job.draft / teachers.TABLE, index=False)
    figures = _figures(trained, valid, metrics.get(config.competition.metric)) | taught.figures
    lines = (*taught.lines, *trained.lines)
    return Built(metrics=figures, lines=lines, tags={"device": set_up(config.runtime)})


def _figures(trained: Trained, valid: Samples, metric: metrics.Metric) -> dict[str, float]:
    """Summary figures; losses are means over the models' last epochs."""
    models = len(trained.committee.states)
    epochs = max(entry["epoch"] for entry in trained.history)
    last = [entry for entry in trained.history if entry["epoch"] == epochs]
    figures = {
        name: float(np.mean([entry[name] for entry in last])) for name in ("valid_loss", "train_loss", "gap")
    }
    score = metric.score(valid.labels, trained.oof.take(valid.ids_N).p_NC)
    return figures | {
        "valid_score": score if models > 1 else last[-1]["valid_score"],
        "images_per_second": last[-1].get("images_per_second", 0.0),
        "seconds_per_row": trained.seconds / max(trained.rows, 1),
        "weights_mb": trained.committee.megabytes,
        "models": float(models),
    }


def _on_epoch(job: Job, fold: int, epoch: int, entry: dict[str, float]) -> bool:
    every = max(job.settings.config.train.epochs // CURVE_POINTS, 1)
    if epoch % every == 0 or epoch == job.settings.config.train.epochs - 1:
        job.run.epoch(epoch, {k: v for k, v in entry.items() if k != "epoch"})
    return True
