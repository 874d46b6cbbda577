"""The stages of `train/`: heads on features, one fold, all folds, a model of all data, and what teachers say.

Owns their declarations and inputs. Does not own the loop (`train/loop.py`) nor which models a fold trains
(`train/members.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Host, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe, probe_views, weights_identity
from pipeline.record.store import Artifact
from pipeline.resample.stages import neighbour_inputs, refuse_forbidden_augmentation, refuse_forbidden_copies
from pipeline.settings.load import Settings
from pipeline.train import init_from, teaching

# Of `train`, what a head reads that is solved and not trained by steps; and what several of them read.
SOLVED = ("train.strategy", "train.head", "train.head_c", "train.group_share", "train.seed")
SEVERAL = ("train.bag", "train.chain", "train.pseudo", "train.distill")


def is_batched(settings: Settings) -> bool:
    """Whether all folds train at once: heads on features, one model a fold."""
    train = settings.config.train
    several = (train.bag, train.chain, train.pseudo, train.distill)
    return is_probe(settings) and all(one is None for one in several)


def folds_of(settings: Settings) -> list[int]:
    """The folds that were asked for, ascending."""
    asked = settings.config.train.folds
    return sorted(asked) if asked is not None else list(range(settings.config.folds.splits))


def folds_in(inputs: Mapping[str, object]) -> list[int]:
    """The folds among a job's inputs, ascending."""
    return sorted(int(name.removeprefix("fold")) for name in inputs if name.removeprefix("fold").isdigit())


def _is_solved(settings: Settings) -> bool:
    return is_probe(settings) and settings.config.train.head == "logistic"


def lesson_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that one training reads; a head, whose features know their backbone, what shapes it."""
    learns = ("model.heads", "model.ordinal") if is_probe(settings) else ("model", "augment")
    train = (*SOLVED, *SEVERAL) if _is_solved(settings) else ("train",)
    return ("resample", "loss", *train, "competition.metric", *learns)


def lesson_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """What a training reads that is not cut out of `heads`."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    pseudo = settings.config.train.pseudo
    common |= teaching.inputs(ask, settings, params)
    if is_probe(settings):
        splits = ("train", "test") if pseudo is not None and pseudo.test_images else ("train",)
        views = probe_views(settings)
        return common | {f"{s}:{view}": features_need(settings, s, view) for s in splits for view in views}
    if settings.config.train.init_from is not None:
        fold = int(params["fold"]) if "fold" in params else None
        common[init_from.INITIAL] = init_from.need(ask, settings, fold)
    return common | {"prepared": Need("prepared", settings), **neighbour_inputs(settings)}


def refuse_forbidden(settings: Settings) -> None:
    """Raise ConfigError where a policy does what an attribute forbids."""
    if not is_probe(settings):
        refuse_forbidden_augmentation(settings)
    refuse_forbidden_copies(settings)


def build_heads(job: Job) -> Built:
    """Train the heads of all folds and seeds at once."""
    from pipeline.train import stage_heads

    return stage_heads.build(job)


def heads_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that the heads of all folds read."""
    train = SOLVED if _is_solved(settings) else ("train",)
    return ("resample", "loss", "competition.metric", "model.heads", "model.ordinal", *train)


def heads_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds and the features of the training images."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    return common | {
        f"train:{view}": features_need(settings, "train", view) for view in probe_views(settings)
    }


def build_fold(job: Job) -> Built:
    """Train one fold."""
    from pipeline.train import stage_fold

    return stage_fold.build(job)


def fold_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a fold reads; one that is cut out of `heads` reads none."""
    return () if is_batched(settings) else lesson_sections(settings)


def fold_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The heads of all folds, or what a training of its own reads."""
    if is_batched(settings):
        return {name: Need(name, settings) for name in ("data", "folds", "heads")}
    return lesson_inputs(ask, settings, params)


def build_teach(job: Job) -> Built:
    """Predict unlabelled images with one fold's model."""
    from pipeline.train import stage_teach

    return stage_teach.build(job)


def teach_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The model that teaches, and the images or their features."""
    which = {name: value for name, value in params.items() if name == "fold"}
    model = Need("fold", settings, which) if which else Need("whole", settings)
    common = {"data": Need("data", settings), "folds": Need("folds", settings), "model": model}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    split = "test" if params["split"] == "test" else "train"
    return common | {f"{split}:identity": features_need(settings, split, "identity")}


def build_nested(job: Job) -> Built:
    """Predict a fold's own training part with models that did not see it."""
    from pipeline.train import stage_nested

    return stage_nested.build(job)


def refuse_nested(settings: Settings) -> None:
    """Raise ConfigError for teachers that cannot be trained on a part of a fold."""
    from pipeline.train import stage_nested

    stage_nested.refuse(settings)


def build_train(job: Job) -> Built:
    """Pool the folds' out-of-fold predictions and score them."""
    from pipeline.train import stage_train

    return stage_train.build(job)


def refuse_train(settings: Settings) -> None:
    """Raise ConfigError for an unknown metric, or for own code that does not work."""
    from pipeline.train import stage_train

    stage_train.refuse(settings)


def announce_train(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """Expected time and disk, before the first fold starts."""
    from pipeline.train import stage_train

    return stage_train.announce(settings, inputs, missing, host)


def train_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the fold plan and every fold that was asked for."""
    folds = {f"fold{k}": Need("fold", settings, {"fold": k}) for k in folds_of(settings)}
    return {"data": Need("data", settings), "folds": Need("folds", settings), **folds}


def build_whole(job: Job) -> Built:
    """Train one experiment on all data."""
    from pipeline.train import stage_whole

    return stage_whole.build(job)


def whole_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """What a training reads, and its cross-validation, from which it inherits."""
    return {"twin": Need("train", settings), **lesson_inputs(ask, settings, params)}


STAGES = (
    Stage(
        "heads",
        1,
        "heads of all folds and seeds on cached features",
        build_heads,
        reads=heads_sections,
        inputs=heads_inputs,
        label=of_experiment,
    ),
    Stage(
        "fold",
        3,
        "one fold, trained",
        build_fold,
        reads=fold_sections,
        inputs=fold_inputs,
        identity=weights_identity,
        label=of_experiment,
        check=refuse_forbidden,
    ),
    Stage(
        "teach",
        1,
        "what one fold's model predicts for unlabelled images",
        build_teach,
        inputs=teach_inputs,
        label=of_experiment,
    ),
    Stage(
        "nested",
        1,
        "what teachers predict for a fold's own training part",
        build_nested,
        reads=lesson_sections,
        inputs=lesson_inputs,
        label=of_experiment,
        refuse=refuse_nested,
    ),
    Stage(
        "train",
        2,
        "all folds, pooled out of fold",
        build_train,
        reads=("statistics", "competition.metric"),
        inputs=train_inputs,
        label=of_experiment,
        refuse=refuse_train,
        announce=announce_train,
        inside="fold",
        tracked=True,
    ),
    Stage(
        "whole",
        1,
        "one experiment on all data",
        build_whole,
        reads=lesson_sections,
        inputs=whole_inputs,
        identity=weights_identity,
        label=of_experiment,
        check=refuse_forbidden,
    ),
)
