"""What a model of all data inherits from its twin, the cross-validation of the same settings.

Owns the number of epochs, and refusing twins that have nothing to pass on. The score is never inherited:
it stays the twin's, and is shown as such (`infer/stage_refit.py`).
"""

from __future__ import annotations

from statistics import median

from pipeline.core.errors import ConfigError
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.train.stages import folds_of


def refuse(settings: Settings) -> None:
    """Raise ConfigError for a twin that is not whole, or data that are not all."""
    faults = []
    if len(folds_of(settings)) < settings.config.folds.splits:
        faults.append(f"train.folds={settings.config.train.folds}: its twin needs every fold; leave it out")
    if settings.config.train.group_share < 1:
        faults.append("train.group_share: a refit trains on all data; leave it out")
    if faults:
        raise ConfigError("refit: a model of all data inherits from a whole cross-validation", faults)


def epochs(twin: Artifact, store: Store) -> int:
    """The median over the twin's folds of the epochs that made their weights."""
    counts = []
    for name, whole in twin.inputs.items():
        stage, _, key = whole.partition("/")
        if stage == "fold":
            fold = store.find(stage, key)
            assert fold is not None, f"train {twin.key} needs fold {key} ({name}), which is gone"
            counts += epochs_of(fold.json("history.json"))
    return round(median(counts))


def epochs_of(history: list[dict[str, float]]) -> list[int]:
    """Epochs that made each model's weights: up to the one marked `chosen`, or else all."""
    models = sorted({entry.get("member", 0.0) for entry in history})
    found = []
    for model in models:
        own = [entry for entry in history if entry.get("member", 0.0) == model]
        chosen = [entry for entry in own if entry.get("chosen")]
        found.append(int((chosen or own)[-1]["epoch"]) + 1)
    return found
