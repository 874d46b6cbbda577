"""Rules between the settings of losses, and what is told where a loss meets a setting it bends.

Owns what no single field of `loss` can say. Does not own the other rules (`settings/rules.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.core.errors import nearest
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.settings.losses import LOSSES, OWN_LOSS, PARAMETERS, OneLossSettings, Traits, hand_faults

Sections = Mapping[str, Any]
Broken = tuple[str, str]


def traits(name: str) -> Traits:
    """What the named loss reads and allows; an unknown one is held to be the user's own."""
    return LOSSES.get(name, OWN_LOSS)


def _losses(s: Sections) -> Iterator[tuple[str, OneLossSettings]]:
    """The main loss and those of attributes, with their paths."""
    yield "loss", s["loss"]
    for name, own in s["loss"].attributes.items():
        yield f"loss.attributes.{name}", own


def _loss_names(s: Sections) -> Iterator[Broken]:
    for path, loss in _losses(s):
        known = [n for n, t in LOSSES.items() if path != "loss" or not t.only_attributes]
        if is_plugin(loss.name):
            if path != "loss":
                yield f"{path}.name", "takes a loss of the registry; module:function is for loss.name"
        elif loss.name in LOSSES and loss.name not in known:
            yield f"{path}.name", f"{loss.name} is for an ordered attribute: model.ordinal=[ATTRIBUTE]"
        elif loss.name not in LOSSES:
            hint = nearest(loss.name, known) or f"choose one of {', '.join(known)}, or module:function"
            yield f"{path}.name", f"`{loss.name}` is no loss; {hint}"


def _loss_parameters(s: Sections) -> Iterator[Broken]:
    """A parameter that the named loss does not read would change the key and nothing else."""
    for path, loss in _losses(s):
        reads = traits(loss.name).reads
        for name in PARAMETERS:
            value = getattr(loss, name)
            if name not in reads and value != OneLossSettings.model_fields[name].default:
                readers = ", ".join(n for n, t in LOSSES.items() if name in t.reads)
                yield f"{path}.{name}", f"={value} is not read by {loss.name}, only by: {readers}"
        if loss.name == "asymmetric" and loss.label_smoothing == 0:
            what = "is 0, and asymmetric weighs the smoothed mass by gamma_neg; 0.1 is usual"
            yield f"{path}.label_smoothing", what


def _class_weights(s: Sections) -> Iterator[Broken]:
    for path, loss in _losses(s):
        how, fields = loss.class_weights, OneLossSettings.model_fields
        if how != "none" and not traits(loss.name).weighs:
            what = f"{how}: {loss.name} corrects for class frequency itself; leave one of the two out"
            yield f"{path}.class_weights", what
        if how != "none" and loss.name == "soft_f1" and loss.blend == 1:
            what = f"{how} has no effect on soft_f1, a figure of the whole batch; set {path}.blend below 1"
            yield f"{path}.class_weights", what
        if how == "hand" and loss.hand is None:
            yield f"{path}.hand", "is missing: class_weights=hand needs class name -> weight"
        if how != "hand" and loss.hand is not None:
            yield f"{path}.hand", f"is read by class_weights=hand only, and it is {how}"
        if how != "effective" and loss.beta != fields["beta"].default:
            yield f"{path}.beta", f"is read by class_weights=effective only, and it is {how}"
        if how == "none" and loss.defer > 0:
            yield f"{path}.defer", "defers class weights, and class_weights is none; ldam-drw: effective"


def _deferred(s: Sections) -> Iterator[Broken]:
    epochs = s["train"].epochs
    for path, loss in _losses(s):
        if 0 < loss.defer * epochs < 1 - 1e-9:
            told = f"{loss.defer} of train.epochs={epochs} is less than one epoch, so nothing is deferred"
            yield f"{path}.defer", told


def _hand_weights(s: Sections) -> Iterator[Broken]:
    attributes = s["competition"].attributes
    names = {a.name: tuple(a.names or a.values) for a in attributes}
    if len(names) != len(attributes) or any(len(set(v)) != len(v) for v in names.values()) or not names:
        return  # other rules say so
    space = LabelSpace.product([Attribute(name, values) for name, values in names.items()])
    for path, loss in _losses(s):
        own = path.removeprefix("loss.attributes.")
        classes = space.classes if path == "loss" else names.get(own, ())
        if loss.class_weights == "hand" and loss.hand is not None and classes:
            for fault in hand_faults(loss.hand, classes):
                yield f"{path}.hand", fault


def _heads(s: Sections) -> Iterator[Broken]:
    model, loss = s["model"], s["loss"]
    if model.heads == "attributes":
        if loss.class_weights == "hand":
            what = "hand names classes, and model.heads=attributes has none: weigh values in loss.attributes"
            yield "loss.class_weights", what
        return
    if loss.attributes:
        yield "loss.attributes", "needs a head per attribute: model.heads=attributes"
    if model.ordinal:
        yield "model.ordinal", "needs a head per attribute: model.heads=attributes"


def _attribute_names(s: Sections) -> Iterator[Broken]:
    known = [a.name for a in s["competition"].attributes]
    for path, names in (("model.ordinal", s["model"].ordinal), ("loss.attributes", s["loss"].attributes)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) or f"there are: {', '.join(known)}"
                yield path, f"knows no attribute `{name}`; {hint}"
    if len(set(s["model"].ordinal)) != len(s["model"].ordinal):
        yield "model.ordinal", "names an attribute twice"
    if known and set(known) <= set(s["loss"].attributes):
        for name, field in OneLossSettings.model_fields.items():
            if getattr(s["loss"], name) != field.get_default(call_default_factory=True):
                yield f"loss.{name}", "is read by no attribute: each has its own in loss.attributes"
    rest = set(known) - set(s["loss"].attributes)
    if rest and rest <= set(s["model"].ordinal):
        yield from _only_ordinal(s["loss"])
    for name, own in s["loss"].attributes.items():
        if own.name == "ordinal" and name in known and name not in s["model"].ordinal:
            yield f"loss.attributes.{name}.name", f"ordinal needs model.ordinal=[{name}]: its values in order"


def _only_ordinal(loss: OneLossSettings) -> Iterator[Broken]:
    """Ordered attributes take the ordinal loss, with the class weights of the main one."""
    usual, kept = OneLossSettings(), traits("ordinal").reads
    for name in ("name", *(parameter for parameter in PARAMETERS if parameter not in kept)):
        if getattr(loss, name) != getattr(usual, name):
            told = "is read by no attribute: those of model.ordinal take the ordinal loss"
            yield f"loss.{name}", f"{told}, unless loss.attributes gives them another"


LOSS_RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("loss",), _loss_names),
    (("loss",), _loss_parameters),
    (("loss",), _class_weights),
    (("loss", "train"), _deferred),
    (("loss", "competition"), _hand_weights),
    (("loss", "model"), _heads),
    (("loss", "model", "competition"), _attribute_names),
)


def loss_notes(s: Sections) -> list[str]:
    """What a person should know of the loss before training, one line each; nothing is wrong.

    Args:
        s: the sections `loss` and `train`.
    """
    train = s["train"]
    of_batch = sorted({loss.name for _, loss in _losses(s) if traits(loss.name).of_batch})
    if not of_batch or train.accumulate == 1 or train.strategy == "linear_probe":
        return []
    return [
        f"{', '.join(of_batch)} is a figure of each micro-batch of {train.batch_size} rows: "
        f"train.accumulate={train.accumulate} is not one batch of {train.batch_size * train.accumulate}"
    ]
