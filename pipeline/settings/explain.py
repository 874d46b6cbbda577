"""The section `explain`: what `make explain` shows of a network, with a group of fields for each part.

Owns what defines its pictures. Does not own which images and which experiment are explained: those are words
of the command (ID, RUN). Does not own the parts themselves (`explain/`).
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.settings.fields import Section, fact

Channel = Annotated[int, Field(ge=0)]


def _as_text(value: object) -> object:
    """Classes may be called 3: a number that is meant as a name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = Annotated[str, BeforeValidator(_as_text)]


class UnitSettings(Section):
    """Activations, the patches that excite channels most, and the first filters."""

    layers: list[str] = fact([], "parts of the network by name, e.g. layer2; empty: some over its depth")
    channels: list[Channel] = fact([], "channels of each of these layers; empty: those that stand out most")
    shown: int = fact(7, "channels of a layer, where none are named", ge=1, le=256)
    patches: int = fact(7, "patches of a channel, each of another image", ge=1, le=64)
    images: int = fact(3, "images whose activations are shown", ge=1, le=32)
    every_fold: bool = fact(False, "patches of every explained fold, not of the first one alone")


class SynthesisSettings(Section):
    """Gradient ascent on pixels, I* = argmax f(I) − λ‖I‖²."""

    classes: list[ClassName] = fact([], "classes by name; empty: those that the images' errors are about")
    layer: str | None = fact(None, "instead of classes, channels of this part of the network, e.g. layer2")
    channels: list[Channel] = fact([], "channels of that layer; empty: those that stand out most")
    shown: int = fact(6, "images that are made, where neither classes nor channels are named", ge=1, le=64)
    start: Literal["blank", "noise", "both"] = fact("both", "the image that is started from")
    steps: int = fact(120, "steps of Adam", ge=1, le=5000)
    rate: float = fact(0.02, "size of a step, in brightness from 0 to 1", gt=0, le=1)
    penalty: float = fact(3.0, "λ, on the mean square of a pixel's distance from the mean colour", ge=0)
    jitter_px: int = fact(4, "the image is shifted by up to so many pixels before each step", ge=0, le=64)
    blur_px: float = fact(0.5, "standard deviation of the blur between steps; 0: none", ge=0, le=16)
    blur_every: int = fact(4, "steps from one blur to the next", ge=1)


class NeighbourSettings(Section):
    """The nearest training images."""

    k: int = fact(6, "neighbours of an image, by features and by pixels", ge=1, le=50)
    pixels_px: int = fact(32, "longest side at which pixels are compared", ge=4, le=256)


class EmbeddingSettings(Section):
    """Features on a map."""

    images: int = fact(1200, "images on the map, drawn at random where there are more", ge=20, le=20000)
    seeds: int = fact(3, "maps, each from another random start", ge=2, le=10)
    perplexity: float = fact(30.0, "about how many neighbours count for t-SNE", ge=2, le=500)
    variance: float = fact(0.95, "share of the variance kept before whitening", gt=0, le=1)


class OcclusionSettings(Section):
    """What hides a part of the image, for the occlusion map."""

    window: float = fact(0.2, "side of the hidden square, as a share of the shorter side", gt=0, le=0.9)
    stride: float = fact(0.25, "step from one square to the next, as a share of the square", gt=0, le=1)
    baseline: Literal["blur", "mean"] = fact(
        "blur", "what is shown instead: the image blurred until the square is one colour, or its mean colour"
    )


class ExplainSettings(Section):
    """What `make explain` shows; see docs/explain.md."""

    parts: list[str] | None = fact(None, "parts of the gallery, as WHAT names them; None: all", min_length=1)
    images: int = fact(8, "worst out-of-fold errors that are explained where no ID is given", ge=1, le=100)
    min_grid: int = fact(
        4, "Grad-CAM reads the deepest layer whose maps have so many cells on their shorter side", ge=1, le=64
    )
    sanity: bool = fact(True, "show each method on a network of random weights beside it")
    occlusion: OcclusionSettings = fact(OcclusionSettings(), "of the occlusion map")
    attention_images: int = fact(
        300, "unseen images on which attention on object and background is measured", ge=0, le=100_000
    )
    seed: int = fact(0, "of random weights and of every other draw", ge=0)
    units: UnitSettings = fact(UnitSettings(), "of activations, patches and filters")
    synthesis: SynthesisSettings = fact(SynthesisSettings(), "of gradient ascent")
    neighbours: NeighbourSettings = fact(NeighbourSettings(), "of the nearest training images")
    embedding: EmbeddingSettings = fact(EmbeddingSettings(), "of the map of features")
