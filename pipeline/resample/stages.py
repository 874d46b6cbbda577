"""The stages of `resample/`: what each fold's training part shows, in numbers and as pictures.

Owns the declarations. Does not own which rows there are (`resample/indices.py`).
"""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline.data.stages import prepared_inputs
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe, probe_views
from pipeline.settings import policies
from pipeline.settings.load import Settings
from pipeline.settings.resample import FEATURE_METHODS


def neighbour_views(settings: Settings) -> list[str]:
    """The views whose features resampling looks at; none for random draws."""
    if settings.config.resample.method not in FEATURE_METHODS:
        return []
    return list(probe_views(settings)) if is_probe(settings) else ["identity"]


def neighbour_inputs(settings: Settings) -> Inputs:
    """Features for resampling: the probe's own, or those of a frozen backbone beside the network."""
    beside = settings
    if not is_probe(settings):
        config = settings.config.model_copy(update={"model": settings.config.resample.features})
        beside = replace(settings, config=config)
    return {f"train:{view}": features_need(beside, "train", view) for view in neighbour_views(settings)}


def refuse_forbidden_copies(settings: Settings) -> None:
    """Raise ConfigError where the policy of offline copies does what an attribute forbids."""
    copies = settings.config.resample.copies
    if copies is not None:
        attributes = settings.config.competition.attributes
        policies.refuse_forbidden(copies.policy, attributes, "resample.copies.policy")


def build_resample(job: Job) -> Built:
    """Count what each fold's training part will show."""
    from pipeline.resample import stage_resample

    return stage_resample.build(job)


def refuse_resample(settings: Settings) -> None:
    """Raise ConfigError for offline copies whose augmentation policy cannot be made."""
    from pipeline.resample import stage_resample

    stage_resample.refuse(settings)


def resample_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds, and the features that resampling looks at."""
    return {"data": Need("data", settings), "folds": Need("folds", settings), **neighbour_inputs(settings)}


def build_preview(job: Job) -> Built:
    """Draw what training sees."""
    from pipeline.resample import stage_preview

    return stage_preview.build(job)


def refuse_preview(settings: Settings) -> None:
    """Raise ConfigError for an augmentation policy that cannot be made."""
    from pipeline.resample import stage_preview

    stage_preview.refuse(settings)


def refuse_forbidden_augmentation(settings: Settings) -> None:
    """Raise ConfigError where the augmentation policy does what an attribute forbids."""
    policies.refuse_forbidden(settings.config.augment.policy, settings.config.competition.attributes)


def preview_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """What images are prepared from, and boxes if any are known."""
    known = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return prepared_inputs(ask, settings, params) | known


def preview_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """What attributes forbid: the page names it; elsewhere it changes no result."""
    return json.dumps([[a.name, a.forbids] for a in settings.config.competition.attributes])


STAGES = (
    Stage(
        "resample",
        3,
        "what each fold's training part will show",
        build_resample,
        reads=("resample", "competition.title"),
        inputs=resample_inputs,
        words=("train",),
        label=of_experiment,
        refuse=refuse_resample,
        check=refuse_forbidden_copies,
        tracked=True,
    ),
    Stage(
        "preview",
        2,
        "what training sees",
        build_preview,
        reads=(
            *("images", "crop", "preprocess", "augment", "preview", "train.seed", "train.mix"),
            "competition.title",
        ),
        inputs=preview_inputs,
        identity=preview_identity,
        words=("preview",),
        refuse=refuse_preview,
        check=refuse_forbidden_augmentation,
        tracked=True,
    ),
)
