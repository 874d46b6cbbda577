"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a lesson on the fold's training part, and what is kept of it. Which models
learn it is `train/members.py`, one training `train/learners.py`. A killed fold continues from its
work folder. Of a plain linear probe it is cut out of `heads`, where all folds train at once.
"""

from __future__ import annotations

import shutil

from pipeline.core import metrics
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.nets import model, normalisation
from pipeline.nets.stages import is_probe
from pipeline.record import files
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.resample.subsets import inner_split
from pipeline.train import curves, members, teachers
from pipeline.train.committee import Committee
from pipeline.train.learners import Lesson
from pipeline.train.stages import is_batched


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz, history.json, per_class_f1.csv and, with pseudo-labels, pseudo.csv.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    config, number = job.settings.config, int(job.params["fold"])
    if is_batched(job.settings):
        return _cut_out(job, number)
    samples = load.training(job.inputs["data"], job.home)
    valid = samples.take(load.plan(job.inputs["folds"]).splits[number].valid_ids)
    part = subsets.of_fold(job.inputs, number, job.settings.config, job.home)
    part = subsets.group_share(part, config.train.group_share, config.train.seed)
    part, inner = _inner(job, part, samples)
    known = [part.samples, valid, *([inner] if inner is not None else [])]
    told = curves.judged(curves.logged(job.run, config.train.epochs, curves.rarest(known)), job.on_epoch)
    lesson = Lesson(part, valid, config.train, config.resample, job.work, inner=inner, on_epoch=told)
    taught = teachers.taught(job, lesson, valid)
    trained = members.train(teachers.learner(job), taught.lesson)
    files.write_probabilities(job.draft / "oof.npz", trained.oof)
    files.write_json(job.draft / "history.json", [curves.without_classes(e) for e in trained.history])
    curves.per_class(trained.history).to_csv(job.draft / "per_class_f1.csv", index=False)
    trained.committee.write(job.draft)
    if taught.adopted is not None:
        taught.adopted.to_csv(job.draft / teachers.TABLE, index=False)
    score = metrics.get(config.competition.metric).score
    figures = trained.figures | {"valid_score": score(valid.labels, trained.oof.p_NC)} | taught.figures
    if not is_probe(job.settings):
        figures |= _input(job, part)
    if inner is not None:
        figures["inner_images"] = float(len(inner))
    lines = (*taught.lines, *trained.lines)
    tags = {"device": set_up(config.runtime), **trained.tags}
    return Built(metrics=figures, lines=lines, attach=("per_class_f1.csv",), tags=tags)


def _inner(job: Job, part: Part, samples: Samples) -> tuple[Part, Samples | None]:
    """With early stopping, the training part less the inner split, and the inner split."""
    settings = job.settings.config.train
    if settings.early_stopping is None:
        return part, None
    own = load.samples(job.inputs["data"], "train", job.home)
    kept, ids = inner_split(part, own.ids_N, settings.early_stopping.share, settings.seed)
    return kept, samples.take(ids)


def _input(job: Job, part: Part) -> dict[str, float]:
    """What the network's first layer got; a bare network tells its normalisation as well as a trained one."""
    config = job.settings.config
    bare = config.model.model_copy(update={"weights": "none"})
    network = model.build(bare, 2, 0, config.images.hw)
    images = load.prepared(job.inputs["prepared"], "train")
    return normalisation.figures(network, config.model, images, part.samples.ids_N)


def _cut_out(job: Job, number: int) -> Built:
    """The fold's files of the heads that were trained together."""
    heads, config = job.inputs["heads"], job.settings.config
    for path in sorted((heads.folder / f"fold{number}").iterdir()):
        shutil.copyfile(path, job.draft / path.name)
    history: list[dict[str, float]] = heads.json(f"fold{number}/history.json")
    told = curves.logged(job.run, len(history))
    for entry in history:
        told(number, int(entry["epoch"]), entry)
    last = history[-1]
    figures = {n: last[n] for n in ("valid_score", "valid_loss", "train_loss", "gap")} | {
        "images_per_second": last.get("images_per_second", 0.0),
        "seconds_per_row": heads.metrics["seconds_per_row"],
        "weights_mb": Committee.read(job.draft).megabytes,
        "models": float(config.train.head_seeds),
    }
    share = heads.seconds / len(load.plan(job.inputs["folds"]))
    return Built(figures, tags={"device": set_up(config.runtime)}, shared_seconds=share)
