"""The section `explain`: the pictures of `make explain`, with a group of fields for each part.

Owns the settings of the pictures. Does not own which images and which experiment are explained: those are
options of the command (ID, RUN). Does not own the parts themselves (`explain/`).
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.settings.fields import Section, fact, fact_if_chosen

Channel = Annotated[int, Field(ge=0)]


def _as_text(value: object) -> object:
    """The name of a class as text: a class may be called 3."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = Annotated[str, BeforeValidator(_as_text)]


class UnitSettings(Section):
    """Activations, the patches with the highest activation of channels, and the first filters."""

    layers: list[str] = fact(
        [], "parts of the network by name, e.g. layer2; empty: a few at different depths"
    )
    channels: list[Channel] = fact([], "channels of each of these layers; empty: the most active ones")
    shown: int = fact(7, "channels per layer, if none are named", ge=1, le=256)
    patches: int = fact(7, "patches per channel, each from another image", ge=1, le=64)
    images: int = fact(3, "images whose activations are shown", ge=1, le=32)
    every_fold: bool = fact(False, "patches of every explained fold, not only of the first one")


class SynthesisSettings(Section):
    """Gradient ascent on pixels, I* = argmax f(I) − λ‖I‖²."""

    classes: list[ClassName] = fact([], "classes by name; empty: those of the images' errors")
    layer: str | None = fact(None, "instead of classes, channels of this part of the network, e.g. layer2")
    channels: list[Channel] = fact([], "channels of that layer; empty: the most active ones")
    shown: int = fact(6, "images that are made, if neither classes nor channels are named", ge=1, le=64)
    start: Literal["blank", "noise", "both"] = fact("both", "the image to start from")
    steps: int = fact(120, "steps of Adam", ge=1, le=5000)
    rate: float = fact(0.02, "size of a step, in brightness from 0 to 1", gt=0, le=1)
    penalty: float = fact(3.0, "λ, on the mean square of a pixel's distance from the mean colour", ge=0)
    jitter_px: int = fact(4, "the image is shifted by up to this many pixels before each step", ge=0, le=64)
    blur_px: float = fact(0.5, "standard deviation of the blur between steps; 0: none", ge=0, le=16)
    blur_every: int = fact(4, "steps between blurs", ge=1)


class NeighbourSettings(Section):
    """The nearest training images."""

    k: int = fact(6, "neighbours per image, by features and by pixels", ge=1, le=50)
    pixels_px: int = fact(32, "longest side at which pixels are compared", ge=4, le=256)


class EmbeddingSettings(Section):
    """Features on a map."""

    images: int = fact(1200, "images on the map, drawn at random if there are more", ge=20, le=20000)
    seeds: int = fact(3, "maps, each with another random start", ge=2, le=10)
    perplexity: float = fact(30.0, "effective number of neighbours for t-SNE", ge=2, le=500)
    variance: float = fact(0.95, "share of the variance kept before whitening", gt=0, le=1)


class OcclusionSettings(Section):
    """How a part of the image is hidden, for the occlusion map."""

    window: float = fact(0.2, "side of the hidden square, as a share of the shorter side", gt=0, le=0.9)
    stride: float = fact(0.25, "step from one square to the next, as a share of the square", gt=0, le=1)
    baseline: Literal["blur", "mean"] = fact(
        "blur", "the replacement: the image, blurred until the square has one colour, or its mean colour"
    )


class ExplainSettings(Section):
    """The pictures of `make explain`; see docs/explain.md."""

    parts: list[str] | None = fact(None, "parts of the gallery, as in WHAT; None: all", min_length=1)
    images: int = fact(8, "worst out-of-fold errors that are explained if no ID is given", ge=1, le=100)
    sample_images: int = fact_if_chosen(
        8,
        "where samples have several images: of each at most so many are explained, those without which its "
        "answer would change most",
        ge=1,
        le=64,
    )
    min_grid: int = fact(
        4, "Grad-CAM: the deepest layer whose maps have this many cells on their shorter side", ge=1, le=64
    )
    sanity: bool = fact(True, "also show each method on a network with random weights")
    occlusion: OcclusionSettings = fact(OcclusionSettings(), "settings of the occlusion map")
    attention_images: int = fact(
        300, "validation images on which attention to object and background is measured", ge=0, le=100_000
    )
    seed: int = fact(0, "seed of the random weights and of all other random draws", ge=0)
    units: UnitSettings = fact(UnitSettings(), "settings of activations, patches and filters")
    synthesis: SynthesisSettings = fact(SynthesisSettings(), "settings of gradient ascent")
    neighbours: NeighbourSettings = fact(NeighbourSettings(), "settings of the nearest training images")
    embedding: EmbeddingSettings = fact(EmbeddingSettings(), "settings of the map of features")
