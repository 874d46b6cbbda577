"""What training will take, said before it starts.

Owns the estimate: from folds of the same network on this machine, or else from a few timed steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data import resample
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.stages import load
from pipeline.stages.hardware import machine, set_up
from pipeline.stages.registry import Need, is_probe

if TYPE_CHECKING:
    from pipeline.stages.context import Context

# Share of a fold's time beyond its steps, where no earlier fold says: validation and augmentation.
OVERHEAD = 1.25
# A checkpoint holds the weights, two moments of each, an average and the best epoch at most; the result
# holds the weights.
CHECKPOINT_COPIES = 5
PROBE_ROW_SECONDS = 5e-6
BYTES_PER_WEIGHT = 4


def training(
    settings: Settings, inputs: dict[str, Artifact], missing: list[Need], ctx: Context
) -> tuple[float, float]:
    """(seconds, bytes on disk) that the missing folds will take.

    Raises:
        ModelError, ConfigError: settings that do not fit the model, before any fold starts.
    """
    samples = load.training(inputs["data"], ctx.home)
    plan = load.plan(inputs["folds"])
    config = settings.config
    rows = 0
    for need in missing:
        fold = int(need.params["fold"])
        split = plan.splits[fold]
        part = resample.Part(samples.take(split.train_ids).for_training(), fold, split.times_T)
        rows += resample.expected_rows(part, config.resample) * config.train.epochs
    n_classes = samples.space.n_classes
    device = set_up(config.runtime)
    known = _earlier(ctx.store, settings, device)
    if is_probe(settings):
        per_row, parameters = known or PROBE_ROW_SECONDS, 2000.0 * n_classes
        return rows * per_row, parameters * BYTES_PER_WEIGHT * len(missing)
    from pipeline.learn import model, probe

    per_row = known or OVERHEAD * probe.seconds_per_row(config, samples.space, device)
    bare = config.model.model_copy(update={"weights": "none"})
    parameters = float(model.describe(model.build(bare, n_classes, 0, config.images.hw)).parameters)
    oof = len(samples) * n_classes * BYTES_PER_WEIGHT
    return rows * per_row, parameters * BYTES_PER_WEIGHT * (len(missing) + CHECKPOINT_COPIES) + oof


def _earlier(store: Store, settings: Settings, device: str) -> float | None:
    """Seconds a row of the newest fold of the same network, size and batch on this machine."""
    config = settings.config
    wanted = {
        "model.name": config.model.name,
        "train.strategy": config.train.strategy,
        "train.batch_size": config.train.batch_size,
        "train.precision": config.train.precision,
        "images.size": config.images.size,
    }
    for artifact in reversed(store.all()):
        used_device = artifact.manifest.get("tags", {}).get("device")
        here = artifact.manifest.get("hardware") == machine() and used_device == device
        used = artifact.manifest.get("settings", {})
        found = {path: used.get(path.split(".")[0], {}).get(path.split(".")[1]) for path in wanted}
        if artifact.stage == "fold" and here and found == wanted and artifact.metrics.get("seconds_per_row"):
            return artifact.metrics["seconds_per_row"]
    return None
