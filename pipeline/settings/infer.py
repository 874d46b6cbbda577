"""The sections `infer` and `robustness`: views for test-time augmentation, and strengths of corruptions.

Owns their fields and rules, and what is known about views before torch is loaded: groups of views, the
changes that a view makes, and the view of each corruption. Does not own the views themselves nor reading
their arguments (`nets/views.py`); a test checks that both agree.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Change, Section, Sections, fact, rule

# The changes that each view makes, in the words of `competition.attributes[].forbids`.
DOES: dict[str, tuple[Change, ...]] = {
    "identity": (),
    "hflip": ("hflip",),
    "vflip": ("vflip",),
    "shift": ("geometry",),
    "scale": ("geometry",),
    "rotate": ("rotation",),
    "crop": ("crop",),
    "brightness": ("brightness",),
    "blur": ("blur",),
    "noise": (),
    "jpeg": (),
}

# Positions of the five crops: shares of the remaining space, from the left and from the top.
CORNERS_AND_CENTRE = ("0,0", "1,0", "0,1", "1,1", "0.5,0.5")
FIVE = re.compile(r"\s*fivecrop\s*(?:\(\s*([0-9.]+)\s*\))?\s*")
FIVE_SHARE = "0.875"
Sigma = Annotated[float, Field(gt=0, le=20)]
Deviation = Annotated[float, Field(gt=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]
Factor = Annotated[float, Field(ge=0, le=5)]


class InferSettings(Section):
    """Test-time augmentation."""

    views: list[str] = fact(
        ["identity", "hflip", "shift(2,2)"],
        "identity, hflip, vflip, shift(dx,dy) px, scale(factor) 0.5 to 2, rotate(degrees) clockwise, "
        "crop(share,x,y) of both sides at 0,0 (upper left) to 1,1, brightness(factor), blur(sigma), "
        "noise(sd), jpeg(quality); fivecrop(share) means five crops",
        min_length=1,
    )
    merge: Literal["mean", "fitted"] = fact(
        "mean", "weights of views: equal, or fitted on OOF and cross-fitted; no model runs again"
    )
    precision: Literal["device", "fp32", "bf16", "fp16", "auto"] = fact(
        "device",
        "dtype of networks; auto: as each fold trained; device: fp32 on a CPU, auto on a GPU. Features of a "
        "linear probe are always fp32",
    )

    @field_validator("views")
    @classmethod
    def _each(cls, views: list[str]) -> list[str]:
        """Every view separately, as in keys."""
        return expanded(views)


@rule("competition", "infer")
def forbidden_views(s: Sections) -> Iterator[Broken]:
    """No view makes a change that an attribute forbids."""
    for attribute in s["competition"].attributes:
        forbidden = [view for view in s["infer"].views if set(does(view)) & set(attribute.forbids)]
        for view in forbidden:
            kept = [v for v in s["infer"].views if v not in forbidden]
            words = ", ".join(f'"{v}"' if "(" in v else v for v in kept)
            yield (
                "infer.views",
                _("has {view}, which {attribute} forbids; use infer.views=[{words}]").format(
                    view=view, attribute=attribute.name, words=words
                ),
            )


class RobustnessSettings(Section):
    """Strengths of corruptions of validation images; [] leaves a kind out."""

    blur: list[Sigma] = fact([0.5, 1.0, 1.5, 2.0], "standard deviation, px of `images.size`")
    noise: list[Deviation] = fact([0.02, 0.05, 0.1, 0.2], "standard deviation, as a share of white")
    jpeg: list[Quality] = fact([50, 30, 15, 5], "quality, best first")
    brightness: list[Factor] = fact(
        [0.8, 0.6, 0.4, 1.25, 1.5, 2.0], "factors; those below 1 and above 1 give two separate curves"
    )

    def views(self) -> dict[str, tuple[str, float]]:
        """The view of each strength -> its curve and its strength, in order of harm within a curve."""
        curves: list[tuple[str, str, list[float]]] = [
            ("blur", "blur", sorted(set(self.blur))),
            ("noise", "noise", sorted(set(self.noise))),
            ("jpeg", "JPEG", sorted(set(self.jpeg), reverse=True)),
            ("brightness", "darker", sorted({f for f in self.brightness if f < 1}, reverse=True)),
            ("brightness", "brighter", sorted({f for f in self.brightness if f > 1})),
        ]
        return {f"{view}({_text(x)})": (name, x) for view, name, strengths in curves for x in strengths}


def expanded(words: list[str]) -> list[str]:
    """The same views with `fivecrop(f)` replaced by its five crops: `crop(f,x,y)`."""
    views = []
    for word in words:
        five = FIVE.fullmatch(word)
        share = five[1] or FIVE_SHARE if five else ""
        views += [f"crop({share},{place})" for place in CORNERS_AND_CENTRE] if five else [word]
    return views


def does(word: str) -> tuple[Change, ...]:
    """The changes that a view makes, whatever its arguments; none for an unknown view."""
    return DOES.get(word.partition("(")[0].strip(), ())


def _text(value: float) -> str:
    """A number in the spelling of views: 2 for 2.0."""
    return str(int(value)) if value == int(value) else repr(value)
