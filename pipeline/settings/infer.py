"""The section `infer`, and views as words: groups of views, and the effect of each view on an image.

Owns its fields and rules, and everything about views that is needed before torch is loaded. Does not own the
views themselves nor reading their arguments (`nets/views.py`); a test checks that both agree.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import field_validator

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


class InferSettings(Section):
    """Test-time augmentation."""

    views: list[str] = fact(
        ["identity", "hflip", "shift(2,2)"],
        "identity, hflip, vflip, shift(dx,dy) px, scale(factor), rotate(degrees), crop(share,x,y), "
        "brightness(factor), blur(sigma), noise(sd), jpeg(quality); fivecrop(share) means five crops",
        min_length=1,
    )
    merge: Literal["mean", "fitted"] = fact(
        "mean", "weights of views: equal, or fitted on OOF and cross-fitted; no model runs again"
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = fact(
        "fp32", "dtype of networks; auto: as each fold trained. Features of a linear probe are always fp32"
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
            yield "infer.views", f"has {view}, which {attribute.name} forbids; use infer.views=[{words}]"
