"""What teachers predict for the images that a student may learn from.

Owns the predictions of a finished model for unlabelled images or its own training part (stage `teach`), and
the inner cross-validation behind distillation (stage `nested`). Does not own what students do with them
(`train/teacher_labels.py`).

Nested: the training part of a fold is cut into inner parts that share no group; the experiment is trained
on all but one of them and predicts that one. Nothing of the fold's validation part is used. Heads on cached
features take seconds; a network takes as many trainings as there are inner parts. Finished ones are kept in
the work folder, so that a killed run continues.

Legend: N samples of the training part, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import positions
from pipeline.core.seeds import seed
from pipeline.core.targets import Target
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job
from pipeline.nets.forward import Pass
from pipeline.nets.stages import is_probe
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.settings.train import TrainSettings
from pipeline.train import committee as votes
from pipeline.train import members, teachers
from pipeline.train.committee import Committee
from pipeline.train.members import Lesson


def of_model(job: Job) -> tuple[Probabilities, float]:
    """The probabilities of one finished model in the identity view, and milliseconds per image."""
    config, split = job.settings.config, str(job.params["split"])
    stored = "test" if split == "test" else "train"
    if split == teachers.OWN_PART:
        named = teachers.own_part(job)
        ids = named.ids_N
    else:
        # Test images may have the ids of training images: here they are renamed, in their file they are not.
        named = teachers.unlabelled(job.inputs["data"], job.home, split)
        ids = load.samples(job.inputs["data"], split, job.home).ids_N
    space = named.space
    committee = Committee.read(job.inputs["model"].folder)
    if is_probe(job.settings):
        features = load.features(dict(job.inputs), stored, ["identity"]).take(ids).with_metadata()
        made = votes.restored_heads(config.model, space, committee)
        (predictions, ms), *_ = votes.heads(made, committee.shares, Target.of(space), [features])
    else:
        images = load.prepared(job.inputs["prepared"], stored)
        how = Pass(set_up(config.runtime), config.runtime.infer_batch)
        models = votes.restored(config, space, committee)
        asked, target = [(images, ids)], Target.of(space)
        (predictions, ms), *_ = votes.networks(models, committee.shares, ["identity"], target, asked, how)
    p_NC = predictions.p_VNC[0]
    return Probabilities.of(Target.of(space), named.ids_N, p_NC, f"teacher {job.key}"), sum(ms)


def nested(job: Job, train: TrainSettings) -> tuple[Probabilities, int, int]:
    """Probabilities of the training part, each image by a model of these settings that saw none of its group.

    Returns:
        The probabilities, the number of inner parts, and the number of rows trained on.
    """
    config, part = job.settings.config, _training_part(job)
    learner, samples = members.learner_of(job), part.samples
    p_NC = np.full((len(samples), samples.space.n_classes), np.nan, np.float32)
    rows = 0
    inner = subsets.inner_folds(part, int(job.params["inner"]), train.seed, 0, "train.distill.inner")
    for j, ids in enumerate(inner):
        work = job.work / f"inner{j}"
        work.mkdir(parents=True, exist_ok=True)
        own = train.model_copy(update={"seed": seed(train.seed, "nested", j)})
        lesson = Lesson(part, samples.take(ids), own, config.resample, work)
        lesson = lesson.take(~np.isin(samples.ids_N, ids))
        trained = members.train(learner, replace(lesson, valid=samples.take(ids)))
        p_NC[positions(ids, samples.ids_N, "inner part")] = trained.oof.take(ids).p_NC
        rows += trained.rows
    return Probabilities.of(Target.of(samples.space), samples.ids_N, p_NC, "nested"), len(inner), rows


def _training_part(job: Job) -> Part:
    """The training part of the fold, or all images where no fold is named."""
    if "fold" in job.params:
        return subsets.of_fold(job.inputs, int(job.params["fold"]), job.settings.config, job.home)
    views = subsets.neighbour_views(job.settings.config, job.inputs)
    near = load.features(dict(job.inputs), "train", views) if views else None
    samples = teachers.own_part(job).for_training()
    return Part(samples, job.settings.config.folds.splits, None, near)
