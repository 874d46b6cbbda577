"""The stages of `infer/`: views of test-time augmentation, their average, models of all data, robustness.

Owns their declarations and inputs. Does not own the views (`nets/views.py`) nor prediction
(`train/committee.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Host, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.train.stages import train_inputs


def build_views(job: Job) -> Built:
    """Predict every view of every image."""
    from pipeline.infer import stage_views

    return stage_views.build(job)


def refuse_views(settings: Settings) -> None:
    """Raise ConfigError for unknown views, or arguments that do not suit the images."""
    from pipeline.infer import stage_views

    stage_views.refuse(settings)


def views_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The trained folds, and the images or their features in every view."""
    common = {"train": Need("train", settings), **train_inputs(ask, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"{s}:{v}": features_need(settings, s, v) for s in ("train", "test") for v in views}


def build_infer(job: Job) -> Built:
    """Average the views and score the average."""
    from pipeline.infer import stage_infer

    return stage_infer.build(job)


def infer_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The views first, so that they are refused before folds are trained."""
    views = {"views": Need("views", settings), "train": Need("train", settings)}
    return views | train_inputs(ask, settings, params)


def build_refit(job: Job) -> Built:
    """Predict the test set with a model of all data."""
    from pipeline.infer import stage_refit

    return stage_refit.build(job)


def refuse_refit(settings: Settings) -> None:
    """Raise ConfigError for settings whose cross-validation says nothing about a model of all data."""
    from pipeline.infer import stage_refit

    stage_refit.refuse(settings)


def announce_refit(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """What is trained now."""
    from pipeline.infer import stage_refit

    return stage_refit.announce(settings, inputs, missing, host)


def refit_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The cross-validation's predictions, the model of all data, and the test images or their features."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common |= {"twin": Need("infer", settings), "whole": Need("whole", settings)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"test:{view}": features_need(settings, "test", view) for view in views}


def build_robustness(job: Job) -> Built:
    """Score the folds' models on spoilt images."""
    from pipeline.infer import stage_robustness

    return stage_robustness.build(job)


def refuse_robustness(settings: Settings) -> None:
    """Raise ConfigError for strengths that do not suit the images."""
    from pipeline.infer import stage_robustness

    stage_robustness.refuse(settings)


def robustness_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The trained folds, and the training images only, as nothing else is ever scored."""
    common = {"train": Need("train", settings), **train_inputs(ask, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = ["identity", *settings.config.robustness.views()]
    return common | {f"train:{view}": features_need(settings, "train", view) for view in views}


STAGES = (
    Stage(
        "views",
        2,
        "every view of every image",
        build_views,
        reads=("infer.views", "infer.precision"),
        inputs=views_inputs,
        label=of_experiment,
        refuse=refuse_views,
    ),
    Stage(
        "infer",
        4,
        "the views of every image as one",
        build_infer,
        reads=("infer.merge", "statistics", "competition.metric"),
        inputs=infer_inputs,
        label=of_experiment,
        tracked=True,
    ),
    Stage(
        "refit",
        2,
        "a model of all data on the test set",
        build_refit,
        reads=("infer", "competition.metric"),
        inputs=refit_inputs,
        label=of_experiment,
        refuse=refuse_refit,
        announce=announce_refit,
        inside="whole",
        tracked=True,
    ),
    Stage(
        "robustness",
        1,
        "score on spoilt images",
        build_robustness,
        reads=("robustness", "infer.precision", "statistics", "competition.metric"),
        inputs=robustness_inputs,
        words=("competition",),
        label=of_experiment,
        refuse=refuse_robustness,
        tracked=True,
    ),
)
