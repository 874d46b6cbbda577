"""The stage of `nets/`: outputs of a frozen backbone, and which trainings use them.

Owns the declaration of `features` and the function that builds it. Does not own running the backbone
(`nets/forward.py`).
"""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.data import load
from pipeline.data.stages import learns_from
from pipeline.engine.hardware import set_up
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.record import files
from pipeline.settings.infer import does
from pipeline.settings.load import Settings

# Enters the keys of predictions of samples of several images: since then they pass in blocks of one size.
BLOCKS = " in blocks"


def is_probe(settings: Settings) -> bool:
    """Whether training runs on cached features of a frozen backbone."""
    return settings.config.train.strategy == "linear_probe"


def probe_views(settings: Settings) -> tuple[str, ...]:
    """The views that a linear probe trains on, one drawn per epoch; not those that an attribute forbids."""
    forbidden = {change for a in settings.config.competition.attributes for change in a.forbids}
    return tuple(view for view in settings.config.train.probe_views if not forbidden & set(does(view)))


def features_need(settings: Settings, split: str, view: str) -> Need:
    """The need for one view of one split through the backbone."""
    return Need("features", settings, {"split": split, "view": view})


def build_features(job: Job) -> Built:
    """Write features.npz: one view of one split through the frozen backbone.

    The metric ms_per_image is the time of the backbone.
    """
    from pipeline.nets import forward, model, views
    from pipeline.nets.forward import Pass
    from pipeline.nets.intake import Intake

    config = job.settings.config
    device = set_up(config.runtime)
    images = load.prepared(job.inputs["prepared"], str(job.params["split"]))
    settings = model.frozen(config.model)
    network = model.build(settings, 2, 0, config.images.hw, intake=Intake.of(config))
    of_train = load.prepared(job.inputs.get("train", job.inputs["prepared"]), "train")
    network.normalise_by(of_train, of_train.ids_N)
    network = model.to_device(network, device)
    view = views.parse(str(job.params["view"]))
    how = Pass.of_features(device, config.runtime.infer_batch)
    started = time.perf_counter()
    digest = forward.backbone_digest(network, forward.sizes_of(images), [view])
    parts = forward.extract_in_parts(network, images, images.ids_N, view, how)
    whose = (images.ids_N, (view.name,), digest)
    files.write_features_of(job.draft / "features.npz", *whose, parts, images.beside_NE)
    seconds = time.perf_counter() - started
    figures = model.input_figures(network, settings, images, images.ids_N)
    return Built(metrics={"ms_per_image": 1000 * seconds / len(images.ids_N), **figures})


def passes_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """How samples pass a network, where that is newer than the results of one image a sample: in blocks."""
    from pipeline.nets.intake import Intake

    return BLOCKS if Intake.of(settings.config).several else ""


def features_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The pretrained weights, and how samples pass the network."""
    return weights_identity(ask, settings, params) + passes_identity(ask, settings, params)


def features_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The images of the split; those of the training set do not depend on the test set."""
    of_test = params["split"] == "test"
    # By this, the error report knows which features of both splits are of one network and one preparation.
    partner = {"train": Need("train_prepared", settings)} if of_test else {}
    return learns_from(settings, of_test, "data", "prepared") | partner


def weights_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The identity of the pretrained weights, without reading a network.

    Raises:
        ConfigError: there is no such file or package.
    """
    weights = settings.config.model.weights
    source, _colon, name = weights.partition(":")
    if source == "file":
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(
                _("model.weights: there is no file {path}").format(path=path),
                remedy=_("give the path of a .pth or .safetensors file"),
            )
        return ask.index.digest(path)
    if source == "package":
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(
                _("model.weights: the package {name} is not installed").format(name=name),
                remedy=_("run make install, or choose model.weights=file:PATH"),
            ) from None
    return weights


STAGES = (
    Stage(
        "features",
        2,
        "outputs of the frozen backbone",
        build_features,
        reads=(
            *("model.name", "model.weights", "model.norm", "model.mean", "model.std"),
            *("model.pool_images", "model.feature_stages", "model.feature_px"),
        ),
        inputs=features_inputs,
        identity=features_identity,
        label=of_experiment,
        heavy=True,
    ),
)
