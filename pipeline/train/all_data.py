"""A model of all data: one experiment trained without a held-out part, after its cross-validation.

Owns what it takes over from the finished train run of the same settings (called its twin in files and keys):
the number of epochs, or with early stopping the median of the folds' best epochs, since there is no held-out
part left to stop on. A model of all data has no score of its own; the score of its cross-validation is shown
with it (`infer/stages.py`, `build_refit`).
"""

from __future__ import annotations

from statistics import median

from pipeline.data import load
from pipeline.engine.stage import Job, OnEpoch
from pipeline.record.store import Artifact, Store
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.settings.train import TrainSettings
from pipeline.train import members, scoring, teacher_labels
from pipeline.train.members import Lesson, Trained
from pipeline.train.teacher_labels import LessonWithTeachers

# The loop predicts something after each epoch; here this many training images, whose scores are dropped.
VALIDATED = 64
KEPT = ("epoch", "member", "train_loss", "lr", "images_per_second")
# Figures that need a held-out part.
HELD_OUT = ("valid_loss", "gap", "chosen_epoch", "inner_score")


def train(job: Job, settings: TrainSettings, epochs: int) -> tuple[Trained, LessonWithTeachers, int]:
    """Train on all data.

    The settings are those of its cross-validation.

    Returns:
        The trained models, their lesson with what teachers added, and the number of labelled images.
    """
    config = job.settings.config
    samples = load.training(job.inputs["data"], job.home).for_training()
    views = subsets.neighbour_views(config, job.inputs)
    near = load.features(dict(job.inputs), "train", views) if views else None
    # The number after the last fold: its random draws are its own.
    part = Part(samples, config.folds.splits, None, near)
    on_epoch = without_held_out(scoring.stoppable(scoring.logged(job.run, epochs), job.on_epoch))
    # Early stopping needs a held-out part: its result, the number of epochs, is taken over from the folds.
    length = {"epochs": epochs, "warmup_epochs": min(settings.warmup_epochs, float(epochs))}
    own = settings.model_copy(update={**length, "early_stopping": None})
    some = samples.take(samples.ids_N[:: max(len(samples) // VALIDATED, 1)])
    lesson = Lesson(part, some, own, config.resample, job.work, on_epoch=on_epoch)
    student = teacher_labels.add(job, lesson, None)
    return members.train(members.learner_of(job), student.lesson), student, len(samples)


def epochs(twin: Artifact, store: Store) -> int:
    """The median number of epochs behind the weights of the folds of a finished train run."""
    counts = []
    folds = store.behind(twin, "fold", ("fold",))
    assert folds, f"{twin.address} needs its folds, which are gone"
    for fold in folds:
        counts += epochs_of(fold.json("history.json"))
    return round(median(counts))


def epochs_of(history: list[dict[str, float]]) -> list[int]:
    """The number of epochs behind the weights of each model: up to the entry marked `chosen`, else all."""
    counts = []
    for model in sorted({entry.get("member", 0.0) for entry in history}):
        own = [entry for entry in history if entry.get("member", 0.0) == model]
        chosen = [entry for entry in own if entry.get("chosen")]
        counts.append(int((chosen or own)[-1]["epoch"]) + 1)
    return counts


def kept(entry: dict[str, float]) -> dict[str, float]:
    """A history entry without the figures that need a held-out part."""
    return {name: value for name, value in entry.items() if name in KEPT}


def without_held_out(on_epoch: OnEpoch) -> OnEpoch:
    """Calls `on_epoch` without validation figures, which here would be scores on training images."""
    return lambda fold, epoch, entry: on_epoch(fold, epoch, kept(entry))
