"""The stage of `nets/`: outputs of a frozen backbone, and which trainings rest on them.

Owns the declaration of `features`. Does not own running the backbone (`nets/features.py`).
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.engine.need import Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, needs, of_experiment
from pipeline.settings.load import Settings

# The linear probe trains on these views of each image, one drawn per epoch, unless a label forbids it.
PROBE_VIEWS = ("identity", "hflip")


def is_probe(settings: Settings) -> bool:
    """Whether training runs on cached features of a frozen backbone."""
    return settings.config.train.strategy == "linear_probe"


def probe_views(settings: Settings) -> tuple[str, ...]:
    """Views that the linear probe trains on: none that an attribute forbids."""
    forbidden = {change for a in settings.config.competition.attributes for change in a.forbids}
    return tuple(view for view in PROBE_VIEWS if view not in forbidden)


def features_need(settings: Settings, split: str, view: str) -> Need:
    """One view of one split through the backbone."""
    return Need("features", settings, {"split": split, "view": view})


def build_features(job: Job) -> Built:
    """Run one view of one split through the frozen backbone."""
    from pipeline.nets import stage_features

    return stage_features.build(job)


def weights_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """What tells one set of pretrained weights from another, without reading a network.

    Raises:
        ConfigError: there is no such file or package.
    """
    weights = settings.config.model.weights
    source, _, name = weights.partition(":")
    if source == "file":
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"model.weights: {path} is no file", remedy="give the path of a .pth or .safetensors file"
            )
        return ask.index.digest(path)
    if source == "package":
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(
                f"model.weights: the package {name} is not installed",
                remedy="run make install, or choose model.weights=file:PATH",
            ) from None
    return weights


STAGES = (
    Stage(
        "features",
        1,
        "outputs of the frozen backbone",
        build_features,
        reads=("model.name", "model.weights", "model.norm", "model.mean", "model.std"),
        inputs=needs("data", "prepared"),
        identity=weights_identity,
        label=of_experiment,
    ),
)
