"""The expected time and disk space of a training, before it starts.

Owns the estimate: from finished folds of the same network on this machine, or else from a few timed steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.samples import LabelSpace
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine.hardware import machine, set_up
from pipeline.engine.need import Need
from pipeline.engine.stage import Host
from pipeline.nets.stages import is_probe
from pipeline.record.machine import Profile
from pipeline.record.store import Artifact, Store
from pipeline.resample import indices, subsets
from pipeline.settings.load import Settings
from pipeline.settings.members import trainings
from pipeline.train import precision, texts

# Time of a fold relative to its steps, where no earlier fold was timed: validation and augmentation.
OVERHEAD = 1.25
# A checkpoint holds at most the weights, two moments of each, an average and the best epoch; the result
# holds the weights.
CHECKPOINT_COPIES = 5
# Seconds of a row of a solved head for each class (1,000 drawn ones of 1,280 features: .84 ms a row), and at
# least; and of a row of an epoch of a head that is trained by steps (emoji, 5 folds: logistic regression 8 s,
# linear 6 s, an MLP 18 s in 30 epochs).
SOLVED_ROW_CLASS, SOLVED_ROW, STEPPED_ROW = 1e-6, 8e-4, 6e-5
BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Estimate:
    """Expected seconds and disk space (bytes) of all missing folds; `lines` say what was measured for it."""

    seconds: float
    disk: float
    lines: tuple[str, ...] = ()


def training(settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host) -> Estimate:
    """Expected time and disk space of the missing folds; also measures speeds for `train.precision=auto`.

    Raises:
        ModelError, ConfigError: settings that do not fit the model, before any fold starts.
    """
    samples = load.training(inputs["data"], host.home)
    plan = load.plan(inputs["folds"])
    config = settings.config
    # A solved head passes over its rows once.
    epochs = 1 if is_probe(settings) and config.train.solved else config.train.epochs
    last, rows, numbers = 0, 0, [int(need.params["fold"]) for need in missing]
    heads = host.graph.inputs(missing[0]).get("heads") if missing else None
    if heads is not None:  # the heads of all folds train together, once
        finished = host.graph.found(heads)
        numbers = [] if finished else list(range(len(plan))) * config.train.head_seeds
    for fold in numbers:
        split = plan.splits[fold]
        part = indices.Part(samples.take(split.train_ids).for_training(), fold, split.times_T)
        part = subsets.group_share(part, config.train.group_share, config.train.seed)
        last = indices.expected_rows(part, config.resample) * epochs
        rows += last
    rows = round(rows * trainings(config.train.bag, config.train.chain))
    n_classes = samples.space.n_classes
    device = set_up(config.runtime)
    known = earlier(host.store, settings, device)
    if is_probe(settings):
        per_row = known or head_row(settings, samples.space, host.home)
        parameters = 2000.0 * n_classes
        seconds, lines = _features(settings, heads, len(samples), host)
        disk = parameters * BYTES_PER_WEIGHT * len(missing)
        return Estimate(rows * per_row + seconds, disk, lines)
    from pipeline.nets import model
    from pipeline.nets.intake import Intake
    from pipeline.train import step_timing, strategy

    batch = config.train.batch_size
    # Of all folds of the plan, also those not asked for now: later trainings use what is measured now.
    steps = math.ceil(last * len(plan) / batch), math.ceil(last / batch)
    precision.measure(config, samples.space, device, steps, host.home)
    choice = precision.choose(config, device, steps[1], host.home)
    if known is None and choice.seconds_per_step is not None:
        known = OVERHEAD * choice.seconds_per_step / batch
    per_row = known or OVERHEAD * step_timing.seconds_per_row(config, samples.space, device)
    bare = config.model.model_copy(update={"weights": "none"})
    network = model.build(bare, n_classes, 0, config.images.hw, intake=Intake.of(config))
    # Rejects unknown names of layers before a fold starts.
    strategy.prepare(network.backbone, config.train)
    parameters = float(model.describe(network).parameters)
    oof = len(samples) * n_classes * BYTES_PER_WEIGHT
    disk = parameters * BYTES_PER_WEIGHT * (len(missing) + CHECKPOINT_COPIES) + oof
    return Estimate(rows * per_row, disk, (choice.line,) if choice.line else ())


def head_row(settings: Settings, space: LabelSpace, home: Path) -> float:
    """Seconds of a row in an epoch of one head on features; of a solved head in all.

    With few classes every machine is fast. With many, a step of such a head is timed on this machine and
    kept: its time grows with the classes.
    """
    config, train, n_classes = settings.config, settings.config.train, space.n_classes
    if train.head == "knn":
        return STEPPED_ROW
    if train.solved:
        return max(SOLVED_ROW, SOLVED_ROW_CLASS * n_classes)
    from pipeline.train import step_timing

    if n_classes <= step_timing.MANY_CLASSES:
        return STEPPED_ROW
    rows = min(train.batch_size * train.accumulate, step_timing.HEAD_ROWS)
    own = train.model_copy(update={"head_seeds": 1, "accumulate": 1, "batch_size": rows})
    question = {
        "what": "a row of a head",
        "machine": machine(),
        "threads": config.runtime.threads,
        "versions": {"torch": version("torch")},
        "model": config.model.model_dump(mode="json", exclude={"weights"}),
        "loss": config.loss.model_dump(mode="json"),
        "train": {name: getattr(own, name) for name in ("head", "head_hidden", "batch_size", "optimizer")},
        "classes": n_classes,
    }
    timed = config.model_copy(update={"train": own})
    measured = Profile(home).measured(question, lambda: {"seconds": step_timing.of_head(timed, space)})
    return float(measured["seconds"])


def _features(
    settings: Settings, heads: Need | None, images: int, host: Host
) -> tuple[float, tuple[str, ...]]:
    """Seconds of the features that are missing, by those of this network here, and what to say.

    The line says that they are not in the estimate where this machine has not made any.
    """
    below = host.graph.inputs(heads) if heads is not None else {}
    views = sum(name.startswith("train:") and not host.graph.found(need) for name, need in below.items())
    if not views:
        return 0.0, ()
    config = settings.config
    seconds = pass_seconds(host.store, config.model.name, math.prod(config.images.hw))
    if seconds is None:
        return 0.0, (worded(texts.FEATURES_FIRST, images=images, views=views),)
    return views * images * seconds, ()


def pass_seconds(store: Store, model: str, area: int, farthest: float = math.inf) -> float | None:
    """Seconds of an image of `area` px in one view, by this network's features on this machine.

    By the newest ones of the nearest size, of at most `farthest` times the area or so small a part of it.
    None: there are none.
    """
    known = dict[float, float]()
    for artifact in reversed(store.all("features")):
        milliseconds, size = artifact.metrics.get("ms_per_image"), artifact.setting("images.size")
        same = artifact.setting("model.name") == model and artifact.manifest.get("hardware") == machine()
        if same and milliseconds and size:
            height, width = size if isinstance(size, list) else (size, size)
            known.setdefault(height * width, milliseconds / 1000)
    return of_similar(known, area, farthest)


def of_similar(known: Mapping[float, float], area: float, farthest: float) -> float | None:
    """Seconds at an area, scaled from those of the nearest one that is known; None: all are too far away.

    `known`: seconds by area; `farthest`: at most so many times the area, or so small a part of it.
    """

    def away(other: float) -> float:
        return max(other / area, area / other)

    nearest = min(known, key=away, default=0.0)
    return known[nearest] * area / nearest if nearest and away(nearest) <= farthest else None


def earlier(store: Store, settings: Settings, device: str) -> float | None:
    """Seconds per row of the newest fold with the same network, image size and batch on this machine."""
    config = settings.config
    wanted: dict[str, Any] = {
        "model.name": config.model.name,
        "train.strategy": config.train.strategy,
        "train.freeze_until": config.train.freeze_until,
        "train.batch_size": config.train.batch_size,
        "train.precision": config.train.precision,
        "images.size": config.images.size,
        "images.channels": config.images.channels,
    }
    if is_probe(settings):
        own = {"competition.name": config.competition.name, "model.heads": config.model.heads}
        of_maps = {
            "model.feature_stages": config.model.feature_stages,
            "model.feature_px": config.model.feature_px,
        }
        wanted |= own | of_maps | {"train.head": config.train.head}
        if config.train.solved:  # by no steps, so what they would read is not recorded
            wanted = {k: v for k, v in wanted.items() if k not in ("train.batch_size", "train.precision")}
            wanted["train.head_c"] = config.train.head_c
        else:
            wanted["train.head_hidden"] = config.train.head_hidden
    for artifact in reversed(store.all("fold")):
        used_device = artifact.manifest.get("tags", {}).get("device")
        here = artifact.manifest.get("hardware") == machine() and used_device == device
        seconds = artifact.metrics.get("seconds_per_row")
        if seconds and here and {path: artifact.setting(path) for path in wanted} == wanted:
            return seconds
    return None
