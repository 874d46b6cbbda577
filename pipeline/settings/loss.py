"""The section `loss`: what training minimises.

Owns its fields, the table of what each loss uses and allows, and the rules. Does not own the formulas
(`train/losses.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import Suggestions, nearest
from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Kind
from pipeline.settings.competition import CompetitionSettings, weights_of
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule
from pipeline.settings.submission import columns_of

Weight = Annotated[float, Field(gt=0, le=1e6)]


@dataclass(frozen=True)
class Traits:
    """What a loss of the registry uses and allows.

    Args:
        reads: its parameters, by the names of `OneLossSettings`.
        weighs: whether class weights make sense: not for losses that correct for frequency themselves.
        of_batch: whether its value is of a whole batch, so that accumulation differs from a large batch.
        soft_targets: whether targets may be distributions (mixed images, soft labels).
        only_attributes: whether it is for one ordered attribute, in `loss.attributes`.
        kinds: of target that it is for.
    """

    reads: tuple[str, ...]
    weighs: bool = True
    of_batch: bool = False
    soft_targets: bool = True
    only_attributes: bool = False
    kinds: tuple[Kind, ...] = ("exclusive", "shares")


EVERY: tuple[Kind, ...] = ("exclusive", "labels", "values", "shares")
PROBABLE: tuple[Kind, ...] = ("exclusive", "labels", "shares")
LOSSES: dict[str, Traits] = {
    "cross_entropy": Traits(("label_smoothing",), kinds=EVERY),
    "focal": Traits(("label_smoothing", "gamma"), kinds=PROBABLE),
    "asymmetric": Traits(("label_smoothing", "gamma_pos", "gamma_neg", "clip"), kinds=PROBABLE),
    "soft_f1": Traits(("label_smoothing", "blend"), of_batch=True, kinds=PROBABLE),
    "ldam": Traits(("label_smoothing", "max_margin", "scale")),
    "logit_adjustment": Traits(("label_smoothing", "tau"), weighs=False),
    "balanced_softmax": Traits(("label_smoothing",), weighs=False),
    "arcface": Traits(("label_smoothing", "margin", "rare_margin"), kinds=("exclusive",)),
    "ordinal": Traits(("label_smoothing",), only_attributes=True, kinds=("exclusive",)),
    "mse": Traits((), weighs=False, kinds=("values",)),
    "mae": Traits((), weighs=False, kinds=("values",)),
    "huber": Traits(("delta",), weighs=False, kinds=("values",)),
    "quantile": Traits(("quantile",), weighs=False, kinds=("values",)),
    "kl": Traits(("label_smoothing",)),
}

# The largest margin, radians: beyond a right angle no class can be told from any other.
MOST_MARGIN = 1.5
# Of the user's own function, which gets the targets only.
OWN_LOSS = Traits((), kinds=EVERY)
PARAMETERS = tuple(dict.fromkeys(name for traits in LOSSES.values() for name in traits.reads))


def traits(name: str) -> Traits:
    """What the named loss uses and allows; an unknown one is taken for the user's own."""
    return LOSSES.get(name, OWN_LOSS)


def parameters_of(name: str, kind: Kind) -> tuple[str, ...]:
    """The parameters that a loss uses for this kind of target."""
    if kind == "values" and name == "cross_entropy":  # of a normal distribution: the squared error
        return ()
    return tuple(p for p in traits(name).reads if p != "clip" or kind == "labels")


def losses_for(kind: Kind) -> list[str]:
    """The losses of the registry for this kind of target, without those of one attribute."""
    return [name for name, t in LOSSES.items() if kind in t.kinds and not t.only_attributes]


class OneLossSettings(Section):
    """One loss and its parameters; docs/training.md explains each."""

    name: str = fact(
        "cross_entropy",
        "cross_entropy: the natural loss of the target (of labels: binary cross-entropy; of values: squared "
        "error; of shares: KL); focal, asymmetric, soft_f1; of classes or shares: ldam, logit_adjustment, "
        "balanced_softmax, kl; of classes with model.heads=cosine: arcface; of values: mse, mae, huber, "
        "quantile; for an ordered attribute: ordinal; or module:function of the current folder",
    )
    class_weights: Literal["none", "inverse", "effective", "hand"] = fact(
        "none",
        "weight of a row by its class, or of each label by whether it holds: inverse: 1/count; effective: "
        "1/effective number with `beta`; hand",
    )
    beta: float = fact(0.999, "β of the effective number; 0: equal weights; near 1: like inverse", ge=0, lt=1)
    hand: dict[str, Weight] | None = fact(None, "class name -> weight, for class_weights=hand", min_length=1)
    defer: float = fact(
        0.0, "class weights start after this share of the epochs (deferred re-weighting: 0.8)", ge=0, lt=1
    )
    label_smoothing: float = fact(0.0, "probability given to the other classes", ge=0, lt=1)
    gamma: float = fact(2.0, "focusing of focal loss; 0 is cross-entropy", ge=0, le=10)
    gamma_pos: float = fact(0.0, "asymmetric: focusing of the true class", ge=0, le=10)
    gamma_neg: float = fact(
        4.0, "asymmetric: focusing of the smoothed others, and of labels that do not hold", ge=0, le=10
    )
    clip: float = fact_if_chosen(
        0.05,
        "asymmetric, of labels: a label that does not hold and has a probability below this costs 0",
        ge=0,
        lt=1,
    )
    delta: float = fact_if_chosen(
        1.0, "huber: errors above this many standard deviations of the value count linearly", gt=0, le=100
    )
    quantile: float = fact_if_chosen(0.5, "quantile: the predicted quantile; 0.5 is the median", gt=0, lt=1)
    blend: float = fact(1.0, "soft_f1: its share in the sum; the rest is cross-entropy", gt=0, le=1)
    tau: float = fact(1.0, "logit_adjustment: strength; 0 is cross-entropy", ge=0, le=10)
    max_margin: float = fact(0.5, "ldam: margin of the rarest class", ge=0, le=10)
    scale: float = fact(30.0, "ldam: factor on logits and margins", gt=0, le=100)
    margin: float = fact_if_chosen(
        0.3, "arcface: added to the angle of the true class, radians; 0 is cross-entropy", ge=0, le=1.5
    )
    rare_margin: float = fact_if_chosen(
        0.0,
        "arcface: added to the margin of the rarest class, and less to more frequent ones, as n^(-1/4)",
        ge=0,
        le=1.5,
    )


class AttributeLossSettings(OneLossSettings):
    """The loss of one attribute, if the network has a head for each."""

    share: float = fact(1.0, "factor of this attribute's loss in the sum", gt=0, le=1000)


class LossSettings(OneLossSettings):
    """What training minimises."""

    label_weights: Literal["metric", "none"] | dict[str, Weight] = fact_if_chosen(
        "metric",
        "of labels: weight of each label, and of the rows of a level; metric: those of "
        "competition.label_weights, if there are any; none: all equal; or {label: 2, `label · level`: 4}",
    )
    attributes: dict[str, AttributeLossSettings] = fact(
        {},
        "attribute -> its own loss, for model.heads=attributes; the others use the main one, ordered ones "
        "(model.ordinal) the ordinal one",
    )


def losses_of(s: Sections) -> Iterator[tuple[str, OneLossSettings]]:
    """The main loss and those of attributes, with their paths."""
    yield "loss", s["loss"]
    for name, own in s["loss"].attributes.items():
        yield f"loss.attributes.{name}", own


@rule("loss")
def known_losses(s: Sections) -> Iterator[Broken]:
    """Every loss is one of the registry; the main loss may also be the user's own function."""
    for path, loss in losses_of(s):
        known = [n for n, t in LOSSES.items() if path != "loss" or not t.only_attributes]
        if is_plugin(loss.name):
            if path != "loss":
                yield f"{path}.name", _("must be a loss of the registry; module:function is for loss.name")
        elif loss.name in LOSSES and loss.name not in known:
            yield (
                f"{path}.name",
                _("{loss} is for an ordered attribute: model.ordinal=[ATTRIBUTE]").format(loss=loss.name),
            )
        elif loss.name not in LOSSES:
            hint = nearest(loss.name, known) or _("choose one of {known}, or module:function").format(
                known=", ".join(known)
            )
            yield f"{path}.name", _("`{loss}` is not a loss; {hint}").format(loss=loss.name, hint=hint)


@rule("loss", "competition")
def losses_of_the_target(s: Sections) -> Iterator[Broken]:
    """Every loss is for the kind of target, and classes are weighted only where there are classes."""
    kind = s["competition"].target
    for path, loss in losses_of(s):
        if loss.name in LOSSES and kind not in LOSSES[loss.name].kinds:
            fit = ", ".join(losses_for(kind))
            yield (
                f"{path}.name",
                _("{loss} is not for target={kind}; choose one of {fit}").format(
                    loss=loss.name, kind=kind, fit=fit
                ),
            )
        if kind == "values" and loss.class_weights != "none":
            message = _("{class_weights} is for classes and labels").format(class_weights=loss.class_weights)
            yield (
                f"{path}.class_weights",
                _("{message}; resample.method=over balances values").format(message=message),
            )


@rule("loss", "competition")
def weights_of_labels(s: Sections) -> Iterator[Broken]:
    """Weights by hand are of labels or levels that exist, for a loss that reads them."""
    given, path = s["loss"].label_weights, "loss.label_weights"
    if isinstance(given, str):
        return
    if s["competition"].target != "labels":
        yield (
            path,
            _("is for target=labels, and target={target}: remove it").format(target=s["competition"].target),
        )
    elif is_plugin(s["loss"].name):
        yield (
            path,
            _("is not read by {name}, which gets the targets only: remove it").format(name=s["loss"].name),
        )
    else:
        yield from weights_of(s["competition"], given, path)


@rule("loss", "competition")
def unread_parameters(s: Sections) -> Iterator[Broken]:
    """A parameter that the loss does not use would change the key but not the result."""
    kind = s["competition"].target
    for path, loss in losses_of(s):
        reads = parameters_of(loss.name, kind)
        for name in PARAMETERS:
            value = getattr(loss, name)
            if name not in reads and value != OneLossSettings.model_fields[name].default:
                readers = ", ".join(n for n in LOSSES if name in parameters_of(n, kind)) or _("no loss")
                where = "" if kind == "exclusive" else _(" with target={kind}").format(kind=kind)
                yield (
                    f"{path}.{name}",
                    _("{value} is not used by {loss}{where}, only by: {readers}").format(
                        value=value, loss=loss.name, where=where, readers=readers
                    ),
                )
        if loss.name == "asymmetric" and loss.label_smoothing == 0 and kind != "labels":
            message = _("is 0, but asymmetric applies gamma_neg to the smoothed probability; 0.1 is usual")
            yield f"{path}.label_smoothing", message


@rule("loss")
def class_weights(s: Sections) -> Iterator[Broken]:
    """Class weights make sense for the loss, and have the settings that they need."""
    for path, loss in losses_of(s):
        how, fields = loss.class_weights, OneLossSettings.model_fields
        if how != "none" and not traits(loss.name).weighs:
            message = _("{how}: {loss} corrects for class frequency itself; use only one of the two").format(
                how=how, loss=loss.name
            )
            yield f"{path}.class_weights", message
        if how != "none" and loss.name == "soft_f1" and loss.blend == 1:
            message = _(
                "{how} has no effect on soft_f1, a value of the whole batch; set {path}.blend below 1"
            ).format(how=how, path=path)
            yield f"{path}.class_weights", message
        if how == "hand" and loss.hand is None:
            yield f"{path}.hand", _("is missing: class_weights=hand needs class name -> weight")
        if how != "hand" and loss.hand is not None:
            yield f"{path}.hand", _("is used only with class_weights=hand, and it is {how}").format(how=how)
        if how != "effective" and loss.beta != fields["beta"].default:
            yield (
                f"{path}.beta",
                _("is used only with class_weights=effective, and it is {how}").format(how=how),
            )
        if how == "none" and loss.defer > 0:
            message = _("defers class weights, but class_weights is none; for LDAM-DRW use effective")
            yield f"{path}.defer", message


@rule("loss", "competition")
def weights_by_hand(s: Sections) -> Iterator[Broken]:
    """Weights by hand name every class, and nothing else."""
    competition: CompetitionSettings = s["competition"]
    attributes = competition.attributes
    names = {a.name: tuple(a.names or a.values) for a in attributes}
    if len(names) != len(attributes) or any(len(set(v)) != len(v) for v in names.values()) or not names:
        return  # other rules report this
    every = tuple(columns_of(competition))
    for path, loss in losses_of(s):
        own = path.removeprefix("loss.attributes.")
        classes = every if path == "loss" else names.get(own, ())
        if loss.class_weights == "hand" and loss.hand is not None and classes:
            for fault in hand_faults(loss.hand, classes):
                yield f"{path}.hand", fault


def hand_faults(given: Mapping[str, float] | None, classes: Iterable[str]) -> list[str]:
    """Faults of weights by hand: unknown names, then classes without a weight, one line each."""
    known, named = list(classes), given or {}
    see = _("see the classes in make eda")
    unknown = [name for name in named if name not in known]
    near = Suggestions(known)
    faults = [
        _("names `{name}`, which is not a class; {hint}").format(name=n, hint=near.of(n) or see)
        for n in unknown
    ]
    return faults + [_("has no weight for `{name}`").format(name=name) for name in known if name not in named]


@rule("loss", "model", "competition")
def losses_of_heads(s: Sections) -> Iterator[Broken]:
    """Losses of attributes and ordered attributes need a head for each attribute."""
    model, loss, kind = s["model"], s["loss"], s["competition"].target
    if model.heads == "attributes" and kind != "exclusive":
        message = _(
            "attributes is for exclusive classes; with target={kind} every column has its own output"
        ).format(kind=kind)
        yield "model.heads", message
        return
    if model.heads == "attributes":
        if loss.class_weights == "hand":
            message = _("hand is for classes, but model.heads=attributes: set weights in loss.attributes")
            yield "loss.class_weights", message
        return
    if loss.attributes:
        yield "loss.attributes", _("needs a head per attribute: model.heads=attributes")
    if model.ordinal:
        yield "model.ordinal", _("needs a head per attribute: model.heads=attributes")


@rule("loss", "model")
def losses_of_cosines(s: Sections) -> Iterator[Broken]:
    """Margins of angles need angles, and no second scale is laid over that of the cosines."""
    cosines = s["model"].heads == "cosine"
    for path, loss in losses_of(s):
        if loss.name == "arcface" and not cosines:
            yield f"{path}.name", _("arcface is a margin between angles: it needs model.heads=cosine")
        if loss.name == "ldam" and cosines:
            yield f"{path}.name", _("ldam has a scale of its own, and model.heads=cosine, too; use arcface")
        if loss.name == "arcface" and loss.margin + loss.rare_margin > MOST_MARGIN:
            message = _("and loss.margin are {margin:g} radians together").format(
                margin=loss.margin + loss.rare_margin
            )
            yield (
                f"{path}.rare_margin",
                _("{message}; at most {most} makes sense").format(message=message, most=MOST_MARGIN),
            )


@rule("loss", "model", "competition")
def losses_of_attributes(s: Sections) -> Iterator[Broken]:
    """Attributes are known, and every loss is used by one of them."""
    known = [a.name for a in s["competition"].attributes]
    for path, names in (("model.ordinal", s["model"].ordinal), ("loss.attributes", s["loss"].attributes)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) or _("attributes: {known}").format(known=", ".join(known))
                yield (
                    path,
                    _("names `{name}`, which is not an attribute; {hint}").format(name=name, hint=hint),
                )
    if len(set(s["model"].ordinal)) != len(s["model"].ordinal):
        yield "model.ordinal", _("names an attribute twice")
    if known and set(known) <= set(s["loss"].attributes):
        for name, field in OneLossSettings.model_fields.items():
            if getattr(s["loss"], name) != field.get_default(call_default_factory=True):
                yield f"loss.{name}", _("is used by no attribute: each has its own loss in loss.attributes")
    rest = set(known) - set(s["loss"].attributes)
    if rest and rest <= set(s["model"].ordinal):
        yield from _only_ordinal(s["loss"])
    for name, own in s["loss"].attributes.items():
        if own.name == "ordinal" and name in known and name not in s["model"].ordinal:
            yield (
                f"loss.attributes.{name}.name",
                _("ordinal needs model.ordinal=[{name}]: its values in order").format(name=name),
            )


def _only_ordinal(loss: OneLossSettings) -> Iterator[Broken]:
    """Ordered attributes use the ordinal loss, with the class weights of the main one."""
    usual, kept = OneLossSettings(), traits("ordinal").reads
    for name in ("name", *(parameter for parameter in PARAMETERS if parameter not in kept)):
        if getattr(loss, name) != getattr(usual, name):
            message = _("is used by no attribute: those of model.ordinal use the ordinal loss")
            yield (
                f"loss.{name}",
                _("{message}, unless loss.attributes gives them another one").format(message=message),
            )


def loss_notes(s: Sections) -> list[str]:
    """Notes about `loss` and `train` for the user before training, one line each; they are not faults."""
    train = s["train"]
    of_batch = sorted({loss.name for _, loss in losses_of(s) if traits(loss.name).of_batch})
    if not of_batch or train.accumulate == 1 or train.strategy == "linear_probe":
        return []
    return [
        _(
            "{losses} is computed on each micro-batch of {rows} rows: train.accumulate={times} differs from "
            "one batch of {all_rows}"
        ).format(
            losses=", ".join(of_batch),
            rows=train.batch_size,
            times=train.accumulate,
            all_rows=train.batch_size * train.accumulate,
        )
    ]
