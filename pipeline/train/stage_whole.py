"""`whole`: one experiment trained on all data, as its folds were.

Owns the stage only. It inherits from its twin, the finished train run of the same settings, how many
epochs count: all of them, or with early stopping the median of the folds' best epochs (there is no
held-out part left to stop on). It has no validation part, so it has no score.
"""

from __future__ import annotations

from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.record import files
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.settings.load import Settings
from pipeline.settings.train import TrainSettings
from pipeline.train import curves, inherit, members, teachers
from pipeline.train.learners import Lesson, OnEpoch

# Training looks at something after each epoch; here at images that it has learned, and nothing is kept.
LOOKED_AT = 64
KEPT = ("epoch", "member", "train_loss", "lr", "images_per_second")
# Figures of images that a fold holds out.
HELD_OUT = ("valid_loss", "gap", "chosen_epoch", "inner_score")
# What needs a held-out part to decide: its decision is inherited.
DECIDED = ("early_stopping",)


def refuse(settings: Settings) -> None:
    """Raise ConfigError for a twin that is not whole, or data that are not all."""
    inherit.refuse(settings)


def build(job: Job) -> Built:
    """Write weights.pt, history.json and inherited.json."""
    config, twin = job.settings.config, job.inputs["twin"]
    epochs = inherit.epochs(twin, job.store)
    train = _fixed(config.train, epochs)
    samples = load.training(job.inputs["data"], job.home).for_training()
    views = subsets.neighbour_views(job.settings.config, job.inputs)
    near = load.features(dict(job.inputs), "train", views) if views else None
    # A number that no fold has: its draws are its own.
    part = Part(samples, config.folds.splits, None, near)
    told = _without_looks(curves.logged(job.run, epochs))
    lesson = Lesson(part, _some(samples), train, config.resample, job.work, on_epoch=told)
    taught = teachers.taught(job, lesson, None)
    trained = members.train(teachers.learner(job), taught.lesson)
    trained.committee.write(job.draft)
    history = [_kept(entry) for entry in trained.history]
    files.write_json(job.draft / "history.json", history)
    files.write_json(job.draft / "inherited.json", {"twin": f"train/{twin.key}", "epochs": epochs})
    figures = {k: v for k, v in trained.figures.items() if k not in HELD_OUT}
    figures |= {"epochs": float(epochs), "images": float(len(samples))} | taught.figures
    lines = (f"{len(samples)} images, {epochs} epochs as in its folds", *taught.lines, *trained.lines)
    return Built(metrics=figures, lines=lines, tags={"device": set_up(config.runtime), **trained.tags})


def _kept(entry: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name in KEPT}


def _without_looks(told: OnEpoch) -> OnEpoch:
    """Curves of training alone: a score of images that were learned would pass for one."""
    return lambda fold, epoch, entry: told(fold, epoch, _kept(entry))


def _fixed(train: TrainSettings, epochs: int) -> TrainSettings:
    off = {name: None for name in DECIDED if name in TrainSettings.model_fields}
    warmup = min(train.warmup_epochs, float(epochs))
    return train.model_copy(update={"epochs": epochs, "warmup_epochs": warmup, **off})


def _some(samples: Samples) -> Samples:
    return samples.take(samples.ids_N[:: max(len(samples) // LOOKED_AT, 1)])
