"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a lesson on the fold's training part, and what is kept of it. Which models
learn it is `stages/members.py`, one training `stages/learners.py`. A killed fold continues from its
work folder.
"""

from __future__ import annotations

from pipeline.core import metrics
from pipeline.data import subsets
from pipeline.record import files
from pipeline.stages import load, members, teachers
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.learners import Lesson


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
    told = members.logged(job.run, config.train.epochs)
    lesson = Lesson(part, valid, config.train, config.resample, job.work, on_epoch=told)
    taught = teachers.taught(job, lesson, valid)
    trained = members.train(teachers.learner(job), taught.lesson)
    files.write_probabilities(job.draft / "oof.npz", trained.oof)
    files.write_json(job.draft / "history.json", list(trained.history))
    trained.committee.write(job.draft)
    if taught.adopted is not None:
        taught.adopted.to_csv(job.draft / teachers.TABLE, index=False)
    score = metrics.get(config.competition.metric).score
    figures = trained.figures | {"valid_score": score(valid.labels, trained.oof.p_NC)} | taught.figures
    lines = (*taught.lines, *trained.lines)
    return Built(metrics=figures, lines=lines, tags={"device": set_up(config.runtime)})
