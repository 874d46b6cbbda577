"""Equal wall time: how many epochs of an arm fit into the seconds that every arm has.

Owns turning measured rates into epochs, before training. Does not own measuring (`train/step_timing.py`) or
storing rates (`record/machine.py`). Since rates are stored, a repeated command gives the same epochs, which
are ordinary settings of the arm and part of its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.samples import FoldPlan, LabelSpace, Samples
from pipeline.engine.hardware import machine, set_up
from pipeline.nets.stages import is_probe, probe_views
from pipeline.record.machine import Profile
from pipeline.resample import indices, subsets
from pipeline.resample.stages import neighbour_views
from pipeline.settings.load import Settings
from pipeline.settings.members import trainings
from pipeline.train.stages import folds_of

if TYPE_CHECKING:
    from pipeline.nets.forward import Mode
    from pipeline.train.step_timing import Pace

# The settings of training that do not affect its speed.
_NO_MATTER = {
    *("folds", "epochs", "lr", "layer_decay", "weight_decay", "warmup_epochs", "schedule", "seed"),
    *("strategy", "init_from"),
}


@dataclass(frozen=True)
class FittedEpochs:
    """The epochs of each fold that fit, or 0; expected seconds of the training, and of one with a single
    epoch.
    """

    epochs: int
    seconds: float
    first: float


@dataclass(frozen=True)
class Work:
    """The number of rows of one training with all its folds.

    Args:
        folds: number of folds, times the models of a bag or chain.
        rows: training rows of an epoch, over all folds and models.
        valid: validation images of an epoch, over all folds and models.
        features: images passed through a frozen backbone before training, counted once per view.
    """

    folds: int
    rows: int
    valid: int
    features: int


def fit(
    settings: Settings, samples: Samples, plan: FoldPlan, seconds: float, most: int, home: Path
) -> FittedEpochs:
    """The most epochs of these settings that end within `seconds`, by this machine's rates.

    At most `most`; the seconds are those of one training with all its folds and its features pass, and rates
    are stored in `home`. The epochs of the settings are not read.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    work = work_of(settings, samples, plan)
    every = settings.config.train.unfreeze_every
    return within(work, pace_of(settings, samples.space, work, most, home), seconds, most, every)


def within(work: Work, pace: Pace, seconds: float, most: int, unfreeze_every: int | None) -> FittedEpochs:
    """How many epochs fit; with gradual unfreezing, each epoch has the rate of the weights that it trains."""
    spent = work.features * pace.features + work.folds * pace.start
    first = spent
    for epoch in range(most + 1):
        state = min(epoch // unfreeze_every, len(pace.train_S) - 1) if unfreeze_every else 0
        more = work.rows * (pace.train_S[state] + pace.look) + work.valid * pace.valid
        first = spent + more if epoch == 0 else first
        if epoch == most or spent + more > seconds:
            break
        spent += more
    return FittedEpochs(epoch, spent, first)


def work_of(settings: Settings, samples: Samples, plan: FoldPlan) -> Work:
    """The rows that one training passes through the network."""
    train, folds, rows, valid = settings.config.train, folds_of(settings), 0, 0
    for k in folds:
        split = plan.splits[k]
        part = indices.Part(samples.take(split.train_ids).for_training(), k, split.times_T)
        part = subsets.group_share(part, train.group_share, train.seed)
        rows += indices.expected_rows(part, settings.config.resample)
        valid += len(split.valid_ids)
    views = probe_views(settings) if is_probe(settings) else neighbour_views(settings)
    models = trainings(train.bag, train.chain)
    each, rows, valid = (round(models * n) for n in (len(folds), rows, valid))
    return Work(each, rows, valid, len(views) * len(samples))


def pace_of(settings: Settings, space: LabelSpace, work: Work, most: int, home: Path) -> Pace:
    """The pace of these settings on this machine: from its profile, or else measured now."""
    from pipeline.train import step_timing

    device = set_up(settings.config.runtime)
    mode = _mode(settings, space, work, most, home)
    question = {**_question(settings, space, device), "mode": str(mode)}
    rates = Profile(home).measured(question, lambda: _measure(settings, space, device, most, mode).as_dict())
    return step_timing.Pace(**{**rates, "train_S": tuple(rates["train_S"])})


def _mode(settings: Settings, space: LabelSpace, work: Work, most: int, home: Path) -> Mode:
    """The mode of the trainings; `auto` is measured now, and the trainings look it up."""
    from pipeline.nets.forward import Mode
    from pipeline.train import precision

    if is_probe(settings):
        return Mode()
    config, device = settings.config, set_up(settings.config.runtime)
    # Compiling takes too long to be timed for every arm; with 0 steps per fold it is never tried.
    precision.measure(config, space, device, (most * work.rows // config.train.batch_size, 0), home)
    return precision.choose(config, device, 0, home).mode


def _measure(settings: Settings, space: LabelSpace, device: str, most: int, mode: Mode) -> Pace:
    from pipeline.train import step_timing

    config = settings.config
    if is_probe(settings):
        features = step_timing.of_pass(config.model, config, device)
        return step_timing.Pace((step_timing.of_head(config, space),), features=features)
    # With the largest number of epochs, every state that a strategy can reach is timed.
    long = config.model_copy(update={"train": config.train.model_copy(update={"epochs": most})})
    near, backbone = neighbour_views(settings), config.resample.features
    seconds = step_timing.of_pass(backbone, config, device) if near else 0.0
    return replace(step_timing.of_network(long, space, device, mode), features=seconds)


def _question(settings: Settings, space: LabelSpace, device: str) -> Mapping[str, Any]:
    """The facts that the pace depends on; arms with equal facts share one measurement."""
    config = settings.config
    return {
        "machine": machine(),
        "device": device,
        "threads": config.runtime.threads,
        "versions": {name: version(name) for name in ("torch", "timm")},
        "model": config.model.model_dump(exclude={"weights"}),
        "probe": is_probe(settings),
        "features": config.resample.features.model_dump() if neighbour_views(settings) else None,
        "size": list(config.images.hw),
        "train": config.train.model_dump(exclude=_NO_MATTER),
        "loss": config.loss.name,
        "policy": config.augment.policy,
        "classes": space.n_classes,
    }
