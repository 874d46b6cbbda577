"""Rules between the settings of training, heads on features and inference.

Owns what no single field of `train` can say. Does not own the other rules (`settings/rules.py`).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from pipeline.settings.loss_rules import traits
from pipeline.settings.schema import FEATURE_METHODS, ChainSettings, LossSettings, MixSettings, TrainSettings

Sections = Mapping[str, Any]
Broken = tuple[str, str]


_STRATEGY_NEEDS = {"freeze_until": ("freeze_until", "4"), "gradual": ("unfreeze_every", "1")}


def _folds(s: Sections) -> Iterator[Broken]:
    asked, n = s["train"].folds, s["folds"].splits
    if asked is not None:
        if not asked:
            yield "train.folds", "is empty; leave it out to train all folds"
        far = sorted({k for k in asked if k >= n})
        if far:
            told = f"folds.n={n}" if s["folds"].splits == s["folds"].n else f"folds.kind={s['folds'].kind}"
            yield "train.folds", f"{far} is not among folds 0 to {n - 1} ({told})"
        if len(set(asked)) != len(asked):
            yield "train.folds", "names a fold twice"


# Settings that some schedules, or some ways of mixing, read and others do not.
_SCHEDULES_OF = {"lr_decay": ("step", "plateau"), "lr_decay_epochs": ("step",), "lr_patience": ("plateau",)}
_MIXING = ("mixup", "cutmix", "cutmix_half")
_METHODS_OF = {"alpha": ("mixup", "cutmix"), "prob": _MIXING, "partner": _MIXING}


def _schedule(s: Sections) -> Iterator[Broken]:
    train, usual = s["train"], TrainSettings()
    if train.warmup_epochs > train.epochs:
        yield "train.warmup_epochs", f"{train.warmup_epochs} is longer than train.epochs={train.epochs}"
    if train.schedule == "one_cycle" and train.warmup_epochs not in (0, usual.warmup_epochs):
        yield "train.warmup_epochs", "one_cycle has a warm-up of its own; leave it out"
    for name, readers in _SCHEDULES_OF.items():
        if getattr(train, name) != getattr(usual, name) and train.schedule not in readers:
            told = f"is read by train.schedule={' or '.join(readers)} only, and it is {train.schedule}"
            yield f"train.{name}", told


def _averages(s: Sections) -> Iterator[Broken]:
    train = s["train"]
    if train.swa_start is not None and train.ema_decay is not None:
        yield "train.swa_start", "stands beside train.ema_decay: one average predicts, so keep one of the two"
    if train.swa_start is not None and train.early_stopping is not None:
        yield "train.swa_start", "averages epochs, and early_stopping chooses one: keep one of the two"
    if train.swa_start is not None and train.epochs - math.floor(train.swa_start * train.epochs) < 2:
        told = f"{train.swa_start} leaves the last of train.epochs={train.epochs}, and one is no average"
        yield "train.swa_start", f"{told}; start earlier, or train longer"


def _mix_reads(s: Sections) -> Iterator[Broken]:
    mix, usual = s["train"].mix, MixSettings()
    for name, readers in _METHODS_OF.items():
        if getattr(mix, name) != getattr(usual, name) and mix.method not in readers:
            told = f"is read by train.mix.method={' or '.join(readers)} only, and it is {mix.method}"
            yield f"train.mix.{name}", told


def _mix(s: Sections) -> Iterator[Broken]:
    if s["train"].mix.method != "none" and not traits(s["loss"].name).soft_targets:
        yield "train.mix.method", f"makes soft targets, which loss.name={s['loss'].name} does not take"


def _forbidden_mix(s: Sections) -> Iterator[Broken]:
    method = s["train"].mix.method
    for attribute in s["competition"].attributes:
        if method.removesuffix("_half") in attribute.forbids:
            yield "train.mix.method", f"is {method}, which {attribute.name} forbids; use none"


# What a linear probe on cached features does not have, and the value that says so.
_PIXELS_ONLY = {
    "early_stopping": None,
    "swa_start": None,
    "input_noise": 0.0,
    "weight_noise": 0.0,
    "oom_halving": False,
}


def _probe_reads(s: Sections) -> Iterator[Broken]:
    train = s["train"]
    if train.strategy != "linear_probe":
        return
    told = "is not for strategy=linear_probe, which trains on cached features"
    for name, off in _PIXELS_ONLY.items():
        if getattr(train, name) != off:
            yield f"train.{name}", told
    if train.mix.method != "none":
        yield "train.mix.method", told
    if train.schedule == "plateau":
        yield "train.schedule", f"plateau {told}; use cosine, step or one_cycle"


def _members_of_a_fold(s: Sections) -> Iterator[Broken]:
    train = s["train"]
    asked = [name for name in ("bag", "chain", "pseudo", "distill") if getattr(train, name) is not None]
    if len(asked) > 1:
        yield f"train.{asked[-1]}", f"cannot be had with train.{asked[0]}: choose one"


def _pseudo_neighbours(s: Sections) -> Iterator[Broken]:
    pseudo, method = s["train"].pseudo, s["resample"].method
    if pseudo is not None and pseudo.test_images and method in FEATURE_METHODS:
        told = f"test images have no features that resample.method={method} could look at; use under or over"
        yield "train.pseudo.test_images", told


# Settings of a chain that one of its modes reads.
_MODE_OF = {"others": "failed", "rate": "weights"}


def _chain(s: Sections) -> Iterator[Broken]:
    train, chain, usual = s["train"], s["train"].chain, ChainSettings()
    if chain is None:
        return
    for name, mode in _MODE_OF.items():
        if getattr(chain, name) != getattr(usual, name) and chain.mode != mode:
            yield f"train.chain.{name}", f"is read by train.chain.mode={mode} only, and it is {chain.mode}"
    if chain.inner == 1:
        yield "train.chain.inner", "one inner fold leaves nothing to learn; give 2 or more, or 0"
    if chain.inner and train.init_from is not None:
        yield (
            "train.chain.inner",
            f"{chain.inner}: models that saw none of a group judge it, and the weights of train.init_from "
            "learned all of them; set train.chain.inner=0, or leave train.init_from out",
        )


def _weighed_chain(s: Sections) -> Iterator[Broken]:
    chain, loss = s["train"].chain, s["loss"]
    if chain is not None and chain.mode == "weights" and loss.name == "soft_f1" and loss.blend == 1:
        told = "weights has no effect on soft_f1, a figure of the whole batch; set loss.blend below 1"
        yield "train.chain.mode", told


def _pseudo(s: Sections) -> Iterator[Broken]:
    pseudo, competition = s["train"].pseudo, s["competition"]
    if pseudo is None:
        return
    if len(set(pseudo.teachers)) != len(pseudo.teachers):
        yield "train.pseudo.teachers", "names a teacher twice"
    if not pseudo.test_images and all(e.labelled for e in competition.extra):
        yield (
            "train.pseudo",
            "there are no unlabelled images: name a source, competition.extra='[{source: web, licence: CC0, "
            "images: more, labelled: false}]', or set train.pseudo.test_images=true where the rules allow it",
        )


def _distill(s: Sections) -> Iterator[Broken]:
    distill = s["train"].distill
    if distill is None:
        return
    if distill.inner == 1:
        yield "train.distill.inner", "one inner part leaves nothing to learn; give 2 or more, or 0"
    if len(set(distill.teachers)) != len(distill.teachers):
        yield "train.distill.teachers", "names a teacher twice"
    if s["train"].group_share < 1:
        told = "learns from teachers that learned every group; leave train.group_share out"
        yield "train.distill", told
    if ":" not in s["loss"].name and not traits(s["loss"].name).soft_targets:
        yield "train.distill", f"makes soft targets, which loss.name={s['loss'].name} does not take"


def _learning_curve(s: Sections) -> Iterator[Broken]:
    shares = s["learning_curve"].shares
    if any(low >= high for low, high in pairwise(shares)):
        yield "learning_curve.shares", f"{shares} is not ascending"


def _probe(s: Sections) -> Iterator[Broken]:
    if s["train"].strategy == "linear_probe" and s["model"].weights == "none":
        yield (
            "model.weights",
            "a linear probe of random weights learns nothing; give weights, or strategy=full",
        )


def _strategy(s: Sections) -> Iterator[Broken]:
    train = s["train"]
    for strategy, (name, example) in _STRATEGY_NEEDS.items():
        given = getattr(train, name) is not None
        if train.strategy == strategy and not given:
            yield "train.strategy", f"{strategy} needs train.{name}, e.g. train.{name}={example}"
        if train.strategy != strategy and given:
            yield f"train.{name}", f"is read by strategy={strategy} only, and train.strategy={train.strategy}"
    if train.strategy == "linear_probe":
        for name in ("layer_decay", "freeze_bn", "init_from"):
            if getattr(train, name):
                yield f"train.{name}", "a linear probe trains no backbone; use strategy=freeze_until"
    if train.strategy == "scratch":
        for name in ("layer_decay", "init_from"):
            if getattr(train, name) is not None:
                yield (
                    f"train.{name}",
                    "is for weights that were trained before, and strategy=scratch has none",
                )


def _weights_to_keep(s: Sections) -> Iterator[Broken]:
    train, weights = s["train"], s["model"].weights
    if train.freeze_bn and s["model"].norm == "group":
        yield "train.freeze_bn", "has no batch normalisation to keep: model.norm=group exchanges all of it"
    if train.strategy == "scratch" and weights != "none":
        yield "train.strategy", f"scratch starts from random weights: set model.weights=none, not {weights}"
    if weights == "none" and train.init_from is None:
        if train.strategy in _STRATEGY_NEEDS:
            what = f"strategy={train.strategy} would freeze random weights; give weights, or train.init_from"
            yield "model.weights", what
        if train.freeze_bn:
            yield "train.freeze_bn", "would keep the statistics of no data: model.weights=none"


_HEAD_OF = {"head_hidden": "mlp", "head_dropout": "mlp", "head_c": "logistic"}


def _head(s: Sections) -> Iterator[Broken]:
    train, usual = s["train"], TrainSettings()
    changed = [
        name for name in ("head", "head_seeds", *_HEAD_OF) if getattr(train, name) != getattr(usual, name)
    ]
    if train.strategy != "linear_probe":
        for name in changed:
            what = f"is for a head on cached features, and train.strategy={train.strategy}"
            yield f"train.{name}", f"{what}; choose experiment=probe (train.strategy=linear_probe)"
        return
    for name in changed:
        if name in _HEAD_OF and train.head != _HEAD_OF[name]:
            yield f"train.{name}", f"is read by train.head={_HEAD_OF[name]} only, and train.head={train.head}"
    for name in ("ema_decay", "precision"):
        if getattr(train, name) != getattr(usual, name):
            yield (
                f"train.{name}",
                "is for networks; heads on cached features train in fp32, without an average",
            )
    if train.head == "logistic" and train.head_seeds > 1:
        yield "train.head_seeds", "a solved logistic regression is the same for every seed; leave it out"


def _logistic(s: Sections) -> Iterator[Broken]:
    if s["train"].head != "logistic":
        return
    usual = LossSettings()
    for name in LossSettings.model_fields:
        if getattr(s["loss"], name) != getattr(usual, name):
            what = "head=logistic minimises plain cross-entropy; leave it out, or choose train.head=linear"
            yield f"loss.{name}", what
    if s["model"].heads == "attributes":
        yield "model.heads", "train.head=logistic is one problem over classes; choose train.head=linear"
    if s["resample"].redraw:
        yield "resample.redraw", "train.head=logistic is solved once, on one draw; leave it out"


def _precision(s: Sections) -> Iterator[Broken]:
    if s["train"].precision == "fp16" and s["runtime"].device == "cpu":
        yield "train.precision", "fp16 needs a GPU; use fp32 or bf16 on a CPU"


def _oom_halving(s: Sections) -> Iterator[Broken]:
    if s["train"].oom_halving and s["runtime"].device == "cpu":
        yield "train.oom_halving", "is for a GPU, and runtime.device=cpu; set train.accumulate instead"


def _infer_precision(s: Sections) -> Iterator[Broken]:
    if s["infer"].precision == "fp16" and s["runtime"].device == "cpu":
        yield "infer.precision", "fp16 needs a GPU; use fp32 or bf16 on a CPU"


TRAIN_RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("train", "folds"), _folds),
    (("train",), _schedule),
    (("train",), _members_of_a_fold),
    (("train",), _chain),
    (("train", "resample"), _pseudo_neighbours),
    (("train", "loss"), _weighed_chain),
    (("train", "competition"), _pseudo),
    (("train", "loss"), _distill),
    (("learning_curve",), _learning_curve),
    (("train", "model"), _probe),
    (("train",), _averages),
    (("train",), _probe_reads),
    (("train",), _mix_reads),
    (("train", "loss"), _mix),
    (("train", "competition"), _forbidden_mix),
    (("train",), _strategy),
    (("train", "model"), _weights_to_keep),
    (("train",), _head),
    (("train", "loss", "resample", "model"), _logistic),
    (("train", "runtime"), _precision),
    (("train", "runtime"), _oom_halving),
    (("infer", "runtime"), _infer_precision),
)
