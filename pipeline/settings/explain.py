"""Settings of `make explain`.

Owns what defines its pictures. Does not own which images and which experiment: those are words of the
command (ID, RUN), nor the parts themselves (`pipeline/explain/`).
"""

from typing import Literal

from pipeline.settings.fields import Section, fact
from pipeline.settings.seeing import EmbeddingSettings, NeighbourSettings, SynthesisSettings, UnitSettings


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
