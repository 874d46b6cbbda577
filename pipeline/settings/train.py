"""The section `train`: the training loop, mixing, early stopping, and heads on cached features.

Owns its fields and rules, also those between training and other sections. Does not own members of a fold
(`settings/members.py`) nor losses (`settings/loss.py`).
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, neutral, rule
from pipeline.settings.infer import expanded
from pipeline.settings.loss import LossSettings, losses_of, traits
from pipeline.settings.members import ChainSettings, DistillSettings, PseudoSettings, trainings
from pipeline.settings.model import PIXELS
from pipeline.settings.resample import SYNTHETIC_METHODS, ResampleSettings

# The setting that each strategy needs, with an example; no other strategy uses it.
_STRATEGY_NEEDS = {"freeze_until": ("freeze_until", "4"), "gradual": ("unfreeze_every", "1")}

# Settings that only some schedules, or some methods of mixing, use.
_SCHEDULES_OF = {"lr_decay": ("step", "plateau"), "lr_decay_epochs": ("step",), "lr_patience": ("plateau",)}
_MIXING = ("mixup", "cutmix", "cutmix_half")
_METHODS_OF = {"alpha": ("mixup", "cutmix"), "prob": _MIXING, "partner": _MIXING}

# Settings that a linear probe on cached features does not support, with their value for "off".
_PIXELS_ONLY = {
    "early_stopping": None,
    "swa_start": None,
    "input_noise": 0.0,
    "weight_noise": 0.0,
    "oom_halving": False,
    "grad_checkpointing": False,
    "first_px": None,
}

# The head that uses a setting.
_HEAD_OF = {
    "head_hidden": "mlp",
    "head_dropout": "mlp",
    "head_c": "logistic",
    "head_k": "knn",
    "head_temperature": "knn",
}
# The value of a setting that is chosen where it is used.
AUTO = "auto"
# Heads that are solved on the whole training part, instead of by steps.
SOLVED_HEADS = ("logistic", "knn")


class MixSettings(Section):
    """Images of two samples in one, with a target in between; see `pipeline/resample/mixing.py`."""

    method: Literal["none", "mixup", "cutmix", "cutmix_half"] = fact(
        "none", "mixup: a weighted mean; cutmix: a box of the partner; cutmix_half: half of each image"
    )
    alpha: float = fact(1.0, "α of Beta(α, α), the partner's share; not for cutmix_half", gt=0, le=100)
    prob: float = fact(1.0, "share of the samples that are mixed", ge=0, le=1)
    partner: Literal["any", "same_class", "minority"] = fact(
        "any",
        "any: from the same batch; same_class: of the same class; minority: from the whole training part,"
        " every class equally often",
    )


class EarlyStoppingSettings(Section):
    """Stopping a fold, and choosing its epoch, on an inner split of its training part."""

    patience: int = fact(3, "epochs without a better inner score before training ends", ge=1, le=1000)
    share: float = fact(
        0.2, "share of the training part, whole groups, in the inner split, not trained on", gt=0, le=0.5
    )


class TrainSettings(Section):
    """The training loop."""

    @property
    def epochs_in_all(self) -> int:
        """Epochs of all trainings of a fold: a bag and a chain have several."""
        return round(self.epochs * trainings(self.bag, self.chain))

    strategy: Literal["full", "scratch", "linear_probe", "freeze_until", "gradual"] = fact(
        "full",
        "full: all weights; scratch: all, from random ones; linear_probe: a head on cached features of the"
        " frozen backbone; freeze_until: all after `freeze_until`; gradual: from the head down, one"
        " more stage every `unfreeze_every` epochs",
    )
    freeze_until: Annotated[
        Annotated[int, Field(ge=0), Tag("stage")]
        | Annotated[str, Tag("module")]
        | Annotated[None, Tag("unset")],
        Discriminator(lambda value: {str: "module", type(None): "unset"}.get(type(value), "stage")),
    ] = fact(
        None, "strategy=freeze_until: the last frozen stage by number (0: the stem), or a module by name"
    )
    unfreeze_every: int | None = fact(None, "strategy=gradual: epochs until the next stage is trained", ge=1)
    layer_decay: float | None = fact(
        None, "learning rate of each layer relative to the layer above; the head has `lr`", gt=0, le=1
    )
    head_epochs: int | None = fact_if_chosen(
        None, "so many first epochs train the head alone, before all weights do; None: none", ge=1
    )
    freeze_bn: bool = fact(False, "batch normalisation keeps its statistics, scale and shift")
    # Neutral, because the initial fold is an input of the new one: two names of it give one key.
    init_from: str | None = neutral(
        None,
        "a finished train run, by experiment or start of its key (`make runs`): each fold starts from the"
        " weights of the same fold of that run; model.weights is not used then",
        min_length=1,
    )

    @property
    def solved(self) -> bool:
        """Whether the head of a linear probe is solved and not trained by steps."""
        return self.head in SOLVED_HEADS

    head: Literal["linear", "mlp", "logistic", "knn"] = fact(
        "linear",
        "head of a linear_probe; linear, mlp: gradient steps with any loss; logistic: the exact solution; "
        "knn: the vote of the nearest training samples",
    )
    head_hidden: int = fact(256, "hidden units of head=mlp", ge=1, le=8192)
    head_dropout: float = fact(0.5, "dropout of the hidden units of head=mlp", ge=0, lt=1)
    head_c: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] = fact(
        0.01,
        "C of head=logistic: the inverse of its L2 penalty; auto: 0.03, and for values, whose noise is not "
        "known before, the best within each training part",
    )
    head_k: int = fact_if_chosen(50, "head=knn: neighbours that vote", ge=1, le=10000)
    head_temperature: float = fact_if_chosen(
        0.05, "head=knn: a neighbour votes with exp(cosine / temperature)", gt=0, le=10
    )
    neighbours: float = fact_if_chosen(
        0.0,
        "share of a trained network's answer that its nearest training images give, by its own features, "
        "with head_k and head_temperature; the rest is its classifier's; a linear_probe has head=knn",
        ge=0,
        le=1,
    )
    head_seeds: int = fact(1, "heads per fold with different seeds, probabilities averaged", ge=1, le=50)
    probe_views: list[str] = fact_if_chosen(
        ["identity", "hflip", "shift(2,2)"],
        "views of each image that a linear_probe trains on, identity among them; those of infer.views, as a "
        "head knows only views that it trained on. Those that an attribute forbids are left out",
        min_length=1,
    )
    folds: list[Annotated[int, Field(ge=0)]] | None = neutral(None, "train only these folds; None: all")
    epochs: int = fact(
        6, "passes over the training rows; the weights of the last one are used", ge=1, le=1000
    )
    first_px: int | None = fact_if_chosen(
        None,
        "longest side of training images in the first epoch, px, which grows to `images.size` over two "
        "thirds of the epochs (progressive resizing); None: always `images.size`",
        ge=16,
    )
    batch_size: int = fact(32, "rows per optimizer step, times `accumulate`", ge=1, le=65536)
    accumulate: int = fact(1, "micro-batches per step; the loss is summed and divided once", ge=1, le=1024)
    optimizer: str = fact("adamw", "any optimizer of timm's factory")
    optimizer_args: dict[str, bool | float | list[float]] = fact(
        {}, "further arguments of the optimizer, e.g. {momentum: 0, nesterov: false} or {betas: [0.9, 0.99]}"
    )
    lr: float = fact(1e-3, "peak learning rate", gt=0, le=10)
    weight_decay: float = fact(0.05, "not applied to biases and norms", ge=0, le=10)
    warmup_epochs: float = fact(0.5, "linear warm-up; one_cycle has its own", ge=0)
    schedule: Literal["cosine", "constant", "step", "one_cycle", "plateau"] = fact(
        "cosine",
        "cosine: to 0 at the end of the last epoch; step: times lr_decay every lr_decay_epochs; plateau:"
        " times lr_decay when the loss of the inner split, or else of training, stops falling (lr_patience)",
    )
    lr_decay: float = fact(0.1, "factor by which step and plateau multiply the learning rate", gt=0, lt=1)
    lr_decay_epochs: int = fact(2, "epochs between two decays of step", ge=1, le=1000)
    lr_patience: int = fact(2, "epochs that plateau waits after the best one", ge=0, le=1000)
    clip_norm: float | None = fact(None, "clip the gradient's norm; None: off", gt=0)
    ema_decay: float | None = fact(
        None, "moving average of weights, used for prediction; None: off", gt=0, lt=1
    )
    swa_start: float | None = fact(
        None, "average the weights of all epochs after this share of the epochs; None: off", ge=0, lt=1
    )
    soup: Literal["uniform", "greedy"] = fact_if_chosen(
        "uniform",
        "epochs that swa_start averages; uniform: all; greedy: those that do not lower the score of the "
        "inner split, which early_stopping makes",
    )
    grad_checkpointing: bool = fact_if_chosen(
        False, "compute activations again in the backward pass: less memory, about a third more time"
    )
    mix: MixSettings = MixSettings()
    early_stopping: EarlyStoppingSettings | None = fact(None, "None: train to the last epoch")
    input_noise: float = fact(
        0.0, "standard deviation of noise on pixels in [0, 1], after augmentation", ge=0, le=1
    )
    weight_noise: float = fact(
        0.0, "noise on the weights of each step, as a share of each tensor's root mean square", ge=0, le=1
    )
    oom_halving: bool = fact(
        False, "if a GPU is out of memory, halve the batches and continue; batch norm uses the halves"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = fact(
        "auto", "autocast dtype; auto: the fastest, measured once per machine; fp16 needs a GPU"
    )
    seed: int = fact(0, "root of all draws of training", ge=0)
    group_share: float = fact(1.0, "train on this share of the training part's groups", gt=0, le=1)
    bag: int | None = fact(
        None, "average this many models, on bootstraps of the training part's groups", ge=2, le=50
    )
    chain: ChainSettings | None = fact(None, "boosting: members that learn from each other's errors")
    distill: DistillSettings | None = fact(None, "learn from the soft labels of nested teachers")
    pseudo: PseudoSettings | None = fact(
        None, "pseudo-labels: also train on unlabelled images that teachers label"
    )

    @field_validator("probe_views")
    @classmethod
    def _each(cls, views: list[str]) -> list[str]:
        """Every view separately, as in keys."""
        return expanded(views)


@rule("train", "folds")
def known_folds(s: Sections) -> Iterator[Broken]:
    """The named folds exist, and each is named once."""
    asked, n = s["train"].folds, s["folds"].splits
    if asked is not None:
        if not asked:
            yield "train.folds", _("is empty; remove it to train all folds")
        far = sorted({k for k in asked if k >= n})
        if far:
            why = f"folds.n={n}" if s["folds"].splits == s["folds"].n else f"folds.kind={s['folds'].kind}"
            yield (
                "train.folds",
                _("{far} is not among folds 0 to {n} ({why})").format(far=far, n=n - 1, why=why),
            )
        if len(set(asked)) != len(asked):
            yield "train.folds", _("names a fold twice")


@rule("train")
def schedule_settings(s: Sections) -> Iterator[Broken]:
    """Settings of the schedule are used by it, and the warm-up is not longer than training."""
    train, usual = s["train"], TrainSettings()
    if train.warmup_epochs > train.epochs:
        yield (
            "train.warmup_epochs",
            _("{warmup_epochs} is longer than train.epochs={epochs}").format(
                warmup_epochs=train.warmup_epochs, epochs=train.epochs
            ),
        )
    if train.schedule == "one_cycle" and train.warmup_epochs not in (0, usual.warmup_epochs):
        yield "train.warmup_epochs", _("is not used by one_cycle, which has its own warm-up; remove it")
    for name, readers in _SCHEDULES_OF.items():
        if getattr(train, name) != getattr(usual, name) and train.schedule not in readers:
            users = " or ".join(readers)
            yield (
                f"train.{name}",
                _("is used only with train.schedule={users}, and it is {schedule}").format(
                    users=users, schedule=train.schedule
                ),
            )


@rule("train")
def weight_averages(s: Sections) -> Iterator[Broken]:
    """At most one average of the weights is used, over two epochs or more."""
    train = s["train"]
    if train.swa_start is not None and train.ema_decay is not None:
        message = _("cannot be combined with train.ema_decay: only one average can be used for prediction")
        yield "train.swa_start", message
    greedy = train.soup == "greedy"
    if train.swa_start is not None and train.early_stopping is not None and not greedy:
        message = _(
            "averages epochs, but early_stopping chooses one: keep one of the two, or train.soup=greedy"
        )
        yield "train.swa_start", message
    if greedy and (train.swa_start is None or train.early_stopping is None):
        message = _(
            "greedy needs train.swa_start, the first epoch to average, and train.early_stopping, an inner"
        )
        yield (
            "train.soup",
            _("{message} split to choose on, e.g. train.early_stopping.patience=1000").format(
                message=message
            ),
        )
    if train.swa_start is not None and train.epochs - math.floor(train.swa_start * train.epochs) < 2:
        message = _("{swa_start}: with train.epochs={epochs} only one epoch remains to average").format(
            swa_start=train.swa_start, epochs=train.epochs
        )
        yield "train.swa_start", _("{message}; start earlier, or train longer").format(message=message)


@rule("train")
def mix_settings(s: Sections) -> Iterator[Broken]:
    """Settings of mixing are used by its method."""
    mix, usual = s["train"].mix, MixSettings()
    for name, readers in _METHODS_OF.items():
        if getattr(mix, name) != getattr(usual, name) and mix.method not in readers:
            users = " or ".join(readers)
            yield (
                f"train.mix.{name}",
                _("is used only with train.mix.method={users}, and it is {method}").format(
                    users=users, method=mix.method
                ),
            )


@rule("train", "loss")
def mixing_with_the_loss(s: Sections) -> Iterator[Broken]:
    """Mixed images have soft targets, which the loss must accept."""
    if s["train"].mix.method != "none" and not traits(s["loss"].name).soft_targets:
        yield (
            "train.mix.method",
            _("makes soft targets, which loss.name={name} does not accept").format(name=s["loss"].name),
        )


@rule("train", "competition")
def partners_of_the_target(s: Sections) -> Iterator[Broken]:
    """Partners of the same or of a rare class need one class for each image."""
    partner, kind = s["train"].mix.partner, s["competition"].target
    if partner != "any" and kind in ("labels", "values"):
        yield (
            "train.mix.partner",
            _("{partner} is for classes, and target={kind}; use any").format(partner=partner, kind=kind),
        )


@rule("train", "competition")
def forbidden_mixing(s: Sections) -> Iterator[Broken]:
    """No attribute forbids the method of mixing."""
    method = s["train"].mix.method
    for attribute in s["competition"].attributes:
        if method.removesuffix("_half") in attribute.forbids:
            yield (
                "train.mix.method",
                _("is {method}, which {attribute} forbids; use none").format(
                    method=method, attribute=attribute.name
                ),
            )


@rule("train")
def strategy_settings(s: Sections) -> Iterator[Broken]:
    """Each strategy has the settings that it needs, and none of another strategy."""
    train = s["train"]
    for strategy, (name, example) in _STRATEGY_NEEDS.items():
        given = getattr(train, name) is not None
        if train.strategy == strategy and not given:
            yield (
                "train.strategy",
                _("{strategy} needs train.{name}, e.g. train.{name}={example}").format(
                    strategy=strategy, name=name, example=example
                ),
            )
        if train.strategy != strategy and given:
            message = _("is used only with strategy={needed}, and train.strategy={strategy}").format(
                needed=strategy, strategy=train.strategy
            )
            yield f"train.{name}", message
    if train.strategy == "linear_probe":
        for name in ("layer_decay", "freeze_bn", "init_from"):
            if getattr(train, name):
                yield f"train.{name}", _("a linear probe trains no backbone; use strategy=freeze_until")
    if train.strategy == "scratch":
        for name in ("layer_decay", "init_from"):
            if getattr(train, name) is not None:
                yield (f"train.{name}", _("is for pretrained weights, and strategy=scratch has none"))


@rule("train", "images")
def epochs_of_other_kinds(s: Sections) -> Iterator[Broken]:
    """Epochs of the head alone, and of smaller images, are followed by others."""
    train, side = s["train"], max(s["images"].hw)
    if train.head_epochs is not None and train.strategy not in ("full", "freeze_until"):
        message = _("is for strategy=full or freeze_until, and train.strategy={strategy}").format(
            strategy=train.strategy
        )
        yield "train.head_epochs", _("{message}; remove it").format(message=message)
    elif train.head_epochs is not None and train.head_epochs >= train.epochs:
        message = _("{head_epochs} of train.epochs={epochs} leaves none for the other weights").format(
            head_epochs=train.head_epochs, epochs=train.epochs
        )
        yield (
            "train.head_epochs",
            _("{message}; or choose train.strategy=linear_probe").format(message=message),
        )
    if train.first_px is not None and train.first_px >= side:
        yield (
            "train.first_px",
            _("{first_px} is not smaller than images.size={side}: remove it").format(
                first_px=train.first_px, side=side
            ),
        )
    if train.first_px is not None and train.epochs < 3:
        yield (
            "train.first_px",
            _("needs at least 3 epochs to grow, and train.epochs={epochs}").format(epochs=train.epochs),
        )


@rule("train", "model")
def views_and_stages_of_a_probe(s: Sections) -> Iterator[Broken]:
    """Features are chosen for a linear probe, and identity, which validates, is there.

    Views of probes may be set anywhere: a competition's file sets them for all of its experiments.
    """
    train = s["train"]
    probe = train.strategy == "linear_probe"
    if "identity" not in train.probe_views:
        yield "train.probe_views", _("lacks identity, the view on which heads are validated: add it")
    for name in ("feature_stages", "feature_px"):
        if getattr(s["model"], name) is not None and not probe:
            message = _(
                "is for strategy=linear_probe, and train.strategy={strategy}: a network that trains"
            ).format(strategy=train.strategy)
            yield (
                f"model.{name}",
                _("{message} has one classifier on its last features").format(message=message),
            )


@rule("train", "model")
def weights_to_keep(s: Sections) -> Iterator[Broken]:
    """A strategy freezes only pretrained weights, and scratch has none."""
    train, weights = s["train"], s["model"].weights
    if train.freeze_bn and s["model"].norm == "group":
        yield "train.freeze_bn", _("has no effect: model.norm=group replaces all batch normalisation")
    if train.strategy == "scratch" and weights != "none":
        yield (
            "train.strategy",
            _("scratch starts from random weights: set model.weights=none, not {weights}").format(
                weights=weights
            ),
        )
    if weights == "none" and train.init_from is None:
        if train.strategy in _STRATEGY_NEEDS:
            message = _("none: {strategy} would freeze random weights; set them or train.init_from").format(
                strategy=train.strategy
            )
            yield "model.weights", message
        if train.freeze_bn:
            yield "train.freeze_bn", _("would keep initial statistics of no data, because model.weights=none")


@rule("train", "model")
def weights_of_a_probe(s: Sections) -> Iterator[Broken]:
    """A linear probe needs a pretrained backbone, or the pixels themselves."""
    learned = s["model"].weights != "none" or s["model"].name == PIXELS
    if s["train"].strategy == "linear_probe" and not learned:
        message = _("none: a linear probe on random weights learns nothing; set weights, or strategy=full")
        yield "model.weights", message


@rule("train")
def settings_of_networks(s: Sections) -> Iterator[Broken]:
    """A linear probe has none of the settings that are only for training on pixels."""
    train = s["train"]
    if train.strategy != "linear_probe":
        return
    message = _("is not for strategy=linear_probe, which trains on cached features")
    for name, off in _PIXELS_ONLY.items():
        if getattr(train, name) != off:
            yield f"train.{name}", message
    if train.mix.method != "none":
        yield "train.mix.method", message
    if train.schedule == "plateau":
        yield "train.schedule", _("plateau {message}; use cosine, step or one_cycle").format(message=message)


@rule("resample", "train")
def features_of_a_probe(s: Sections) -> Iterator[Broken]:
    """A linear probe has its own features, so those of resampling are not used."""
    if s["train"].strategy == "linear_probe" and s["resample"].features != ResampleSettings().features:
        yield "resample.features", _("is not used by train.strategy=linear_probe, which has its own features")


@rule("resample", "train")
def resampling_of_a_probe(s: Sections) -> Iterator[Broken]:
    """Synthetic rows are for a linear probe, and offline copies are for a network."""
    resample, probe = s["resample"], s["train"].strategy == "linear_probe"
    if resample.method in SYNTHETIC_METHODS and not probe:
        yield (
            "resample.method",
            _(
                "{method} makes feature rows, but strategy={strategy} trains on pixels; choose "
                "experiment=probe (train.strategy=linear_probe), or over, near_miss, tomek, centroids"
            ).format(method=resample.method, strategy=s["train"].strategy),
        )
    if resample.copies is not None and probe:
        yield "resample.copies", _("are augmented pixels, but a linear probe trains on cached features")


@rule("train")
def head_settings(s: Sections) -> Iterator[Broken]:
    """Settings of a head on cached features are used by a linear probe with that head."""
    train, usual = s["train"], TrainSettings()
    names = ("head", "head_seeds", *_HEAD_OF)
    changed = [name for name in names if getattr(train, name) != getattr(usual, name)]
    if train.strategy != "linear_probe":
        voting = [name for name in changed if _HEAD_OF.get(name) == "knn"] if train.neighbours else []
        for name in (name for name in changed if name not in voting):
            message = _("is for a head on cached features, but train.strategy={strategy}").format(
                strategy=train.strategy
            )
            yield (
                f"train.{name}",
                _("{message}; choose experiment=probe (train.strategy=linear_probe)").format(message=message),
            )
        return
    for name in changed:
        if name in _HEAD_OF and train.head != _HEAD_OF[name]:
            message = _("is used only with train.head={heads}, and train.head={head}").format(
                heads=_HEAD_OF[name], head=train.head
            )
            yield f"train.{name}", message
    if train.neighbours:
        yield (
            "train.neighbours",
            _("is for networks; a linear_probe answers by neighbours with train.head=knn"),
        )
    for name in ("ema_decay", "precision"):
        if getattr(train, name) != getattr(usual, name):
            message = _(
                "is for networks; heads on cached features train in fp32, without an average of weights"
            )
            yield f"train.{name}", message
    if train.solved and train.head_seeds > 1:
        message = _("has no effect: head={head} is the same for every seed; remove it").format(
            head=train.head
        )
        yield "train.head_seeds", message


@rule("train", "competition", "model")
def neighbours_of_a_network(s: Sections) -> Iterator[Broken]:
    """Neighbours answer beside one probability a class."""
    kind, heads = s["competition"].target, s["model"].heads
    if s["train"].neighbours and kind != "exclusive":
        yield (
            "train.neighbours",
            _("is for exclusive classes, and competition.target={kind}; remove it").format(kind=kind),
        )
    if s["train"].neighbours and heads == "attributes":
        yield "train.neighbours", _("is not for model.heads=attributes; use joint or cosine")


def _linear_instead(train: TrainSettings) -> str:
    """The words for a linear head in place of a solved one, whose own settings get their defaults back."""
    usual = TrainSettings()
    own = [name for name, head in _HEAD_OF.items() if head == train.head]
    changed = [name for name in own if getattr(train, name) != getattr(usual, name)]
    return " ".join(["train.head=linear", *(f"train.{name}={getattr(usual, name)}" for name in changed)])


@rule("train", "loss", "resample", "model")
def solved_head(s: Sections) -> Iterator[Broken]:
    """A solved head has no steps: one problem with one loss, or none, solved once."""
    head, usual = s["train"].head, LossSettings()
    if not s["train"].solved:
        return
    what = {"logistic": _("minimises cross-entropy"), "knn": _("minimises nothing")}[head]
    instead = _linear_instead(s["train"])
    for name in LossSettings.model_fields:
        if getattr(s["loss"], name) != getattr(usual, name):
            message = _("is not used by head={head}, which {what}; use {instead}").format(
                head=head, what=what, instead=instead
            )
            yield f"loss.{name}", message
    if s["model"].heads != "joint":
        message = _("{heads} is not for train.head={head}, which is over classes").format(
            heads=s["model"].heads, head=head
        )
        yield "model.heads", _("{message}; use {instead}").format(message=message, instead=instead)
    if s["resample"].redraw:
        message = _("is not for train.head={head}, which is solved once, on one draw; remove it").format(
            head=head
        )
        yield "resample.redraw", message


@rule("loss", "train")
def deferred_class_weights(s: Sections) -> Iterator[Broken]:
    """Class weights are deferred by at least one epoch."""
    epochs = s["train"].epochs
    for path, loss in losses_of(s):
        if 0 < loss.defer * epochs < 1 - 1e-9:
            message = _(
                "{defer} of train.epochs={epochs} is less than one epoch, so nothing is deferred"
            ).format(defer=loss.defer, epochs=epochs)
            yield f"{path}.defer", message
