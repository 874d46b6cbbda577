"""The section `resample`: the rows of a fold's training part in an epoch.

Owns its fields, the names of the methods, and the rules. Does not own the samplers (`resample/`), nor the
rules about a linear probe (`settings/train.py`).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import nearest
from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule
from pipeline.settings.model import ModelSettings

# Methods that use features, and those of them that make synthetic rows.
SYNTHETIC_METHODS = ("smote", "adasyn", "borderline_smote")
FEATURE_METHODS = ("near_miss", "tomek", "centroids", *SYNTHETIC_METHODS)
RESAMPLE_METHODS = ("none", "under", "over", *FEATURE_METHODS)

# The setting that each value of `to` needs, with an example; no other value uses it.
_TO_NEEDS = {"cap": "200", "ratio": "3", "counts": "'{cat: 200, dog: 100}'"}

# The methods that use a setting of resampling; the user's own sampler gets only its arguments.
_BOUNDED = tuple(method for method in RESAMPLE_METHODS if method not in ("none", "tomek"))
_RESAMPLE_READS = {
    "to": _BOUNDED,
    "on": (*RESAMPLE_METHODS[1:], "module:function"),
    "neighbours": ("near_miss", *SYNTHETIC_METHODS),
    "features": FEATURE_METHODS,
}


class CopySettings(Section):
    """Offline copies: augmented once, the same pixels in every epoch, as if they were files."""

    classes: list[str] | None = fact(
        None, "classes (values of `resample.on`) whose images are copied; None: all", min_length=1
    )
    times: int = fact(1, "copies of each image that resampling kept", ge=1, le=20)
    policy: str = fact("rotate30", "their augmentation: a policy, as in `augment.policy`")


class ResampleSettings(Section):
    """The rows of a fold's training part per epoch; validation is never changed."""

    method: str = fact(
        "none",
        "under: drop from large classes; over: repeat small ones; near_miss, tomek, centroids: drop by"
        " features; smote, adasyn, borderline_smote: make feature rows, for train.strategy=linear_probe;"
        " module:function: a sampler of your own",
    )
    to: Literal["balanced", "cap", "ratio", "counts"] = fact(
        "balanced",
        "balanced: the smallest (dropping) or largest (adding) class; cap: `cap`; ratio: `ratio`; counts:"
        " `counts`",
    )
    cap: int | None = fact(None, "images per class, for to=cap: an upper (under) or lower (over) bound", ge=1)
    ratio: float | None = fact(None, "largest : smallest class afterwards, for to=ratio", ge=1)
    counts: dict[str, Annotated[int, Field(ge=1)]] | None = fact(
        None, "images by class name, for to=counts: bounds as `cap`; others are unchanged", min_length=1
    )
    unit: Literal["image", "group"] = fact(
        "image", "the unit that is dropped, repeated and counted: images or whole groups"
    )
    on: str = fact(
        "class",
        "balance the class, or one attribute by its name; of labels, class is the rarest label of an image",
    )
    bins: int = fact_if_chosen(5, "where values are balanced: ranges of equal width", ge=2, le=100)
    redraw: bool = fact(False, "draw again in each epoch, for under and over")
    neighbours: int = fact(5, "k of near_miss and the smote family; never in the same group", ge=1, le=50)
    features: ModelSettings = fact(
        ModelSettings(), "frozen backbone whose features define neighbours; a linear probe uses its own"
    )
    copies: CopySettings | None = fact(None, "offline copies, made after resampling")
    seed: int = fact(0, "seed of the choice of images that are dropped or repeated", ge=0)


@rule("resample")
def settings_of_the_method(s: Sections) -> Iterator[Broken]:
    """Each method has the settings that it needs, and none that it cannot use."""
    resample = s["resample"]
    for name, example in _TO_NEEDS.items():
        if resample.method != "none" and resample.to == name and getattr(resample, name) is None:
            yield (
                f"resample.{name}",
                _("to={name} needs a {name}, e.g. resample.{name}={example}").format(
                    name=name, example=example
                ),
            )
    if resample.to == "counts" and resample.method == "tomek":
        yield "resample.to", _("tomek drops every row on a border and has no target; remove `to`")
    drawn = resample.method in ("under", "over")
    redrawn = drawn or is_plugin(resample.method)
    if resample.unit == "group" and not drawn:
        yield (
            "resample.unit",
            _("group is for methods under and over; {method} uses images").format(method=resample.method),
        )
    if resample.redraw and not redrawn:
        yield (
            "resample.redraw",
            _("is for methods under and over; {method} draws only once").format(method=resample.method),
        )
    if resample.method in SYNTHETIC_METHODS and resample.on != "class":
        message = _("{method} mixes images of one class and cannot balance an attribute; use class").format(
            method=resample.method
        )
        yield "resample.on", message


@rule("resample")
def known_method(s: Sections) -> Iterator[Broken]:
    """The method is one of the registry, or the user's own sampler."""
    method = s["resample"].method
    if method not in RESAMPLE_METHODS and not is_plugin(method):
        hint = nearest(method, RESAMPLE_METHODS) or _("choose one of {resample}").format(
            resample=", ".join(RESAMPLE_METHODS)
        )
        yield (
            "resample.method",
            _("`{method}` is not a method; {hint}, or module:function").format(method=method, hint=hint),
        )


@rule("resample")
def unread_settings(s: Sections) -> Iterator[Broken]:
    """A setting that the method does not use would change the key but not the result."""
    resample, usual = s["resample"], ResampleSettings()
    method = "module:function" if is_plugin(resample.method) else resample.method
    for name, readers in _RESAMPLE_READS.items():
        # Offline copies are also chosen by the values of `on`.
        named = name == "on" and resample.copies is not None and resample.copies.classes is not None
        if getattr(resample, name) != getattr(usual, name) and method not in readers and not named:
            users = " or ".join(readers)
            message = _("is used only with resample.method={users}, and it is {method}").format(
                users=users, method=resample.method
            )
            yield f"resample.{name}", message
    for name in _TO_NEEDS:
        if getattr(resample, name) is not None and resample.to != name:
            yield (
                f"resample.{name}",
                _("is used only with resample.to={name}, and it is {to}").format(name=name, to=resample.to),
            )


@rule("resample", "competition")
def methods_of_the_target(s: Sections) -> Iterator[Broken]:
    """Methods that use features are for exclusive classes, and ranges for values."""
    resample, kind = s["resample"], s["competition"].target
    if resample.method in FEATURE_METHODS and kind != "exclusive":
        message = _("{method} is for exclusive classes, and target={kind}; use under or over").format(
            method=resample.method, kind=kind
        )
        yield "resample.method", message
    if resample.bins != ResampleSettings().bins and kind != "values":
        yield "resample.bins", _("is for values, and target={kind}").format(kind=kind)
    several = kind == "values" and len(s["competition"].attributes) > 1
    if several and resample.on == "class" and resample.method in ("under", "over"):
        names = ", ".join(a.name for a in s["competition"].attributes)
        yield "resample.on", _("must name the value that is balanced: one of {names}").format(names=names)


@rule("resample", "competition")
def known_attribute(s: Sections) -> Iterator[Broken]:
    """Resampling balances the class, or an attribute of the competition."""
    names = [a.name for a in s["competition"].attributes]
    if s["resample"].on not in ("class", *names):
        hint = nearest(s["resample"].on, ["class", *names]) or _("known: {known}").format(
            known=", ".join(["class", *names])
        )
        yield (
            "resample.on",
            _("`{on}` is neither class nor an attribute; {hint}").format(on=s["resample"].on, hint=hint),
        )
