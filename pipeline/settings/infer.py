"""The section `infer`, and views as words: what groups of them stand for, and what each does to an image.

Owns its fields and rules, and all that has to be known of a view before torch is loaded. Does not own the
views themselves nor reading their arguments (`nets/views.py`); a test holds the two to each other.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import field_validator

from pipeline.settings.fields import Broken, Change, Section, Sections, fact, rule

# What each view does to an image, in the words of `competition.attributes[].forbids`.
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

# Where the five crops stand: share of the room that is left, from the left and from the top.
CORNERS_AND_CENTRE = ("0,0", "1,0", "0,1", "1,1", "0.5,0.5")
FIVE = re.compile(r"\s*fivecrop\s*(?:\(\s*([0-9.]+)\s*\))?\s*")
FIVE_SHARE = "0.875"


def expanded(words: list[str]) -> list[str]:
    """The same views with `fivecrop(f)` as the five that it stands for: `crop(f,x,y)`."""
    found = []
    for word in words:
        five = FIVE.fullmatch(word)
        share = five[1] or FIVE_SHARE if five else ""
        found += [f"crop({share},{place})" for place in CORNERS_AND_CENTRE] if five else [word]
    return found


def does(word: str) -> tuple[Change, ...]:
    """What a view does to an image, its arguments left out; nothing for one that nobody knows."""
    return DOES.get(word.partition("(")[0].strip(), ())


class InferSettings(Section):
    """Test-time augmentation."""

    views: list[str] = fact(
        ["identity", "hflip", "shift(2,2)"],
        "identity, hflip, vflip, shift(dx,dy) px, scale(factor), rotate(degrees), crop(share,x,y), "
        "brightness(factor), blur(sigma), noise(sd), jpeg(quality); fivecrop(share) stands for five crops",
        min_length=1,
    )
    merge: Literal["mean", "fitted"] = fact(
        "mean", "of views: equally, or by weights fitted on OOF, cross-fitted; no model runs again"
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = fact(
        "fp32", "of networks; auto: the one each fold was trained in. Features of a linear probe stay fp32"
    )

    @field_validator("views")
    @classmethod
    def _each(cls, views: list[str]) -> list[str]:
        """Every view by itself, as they are kept and keyed."""
        return expanded(views)


@rule("competition", "infer")
def forbidden_views(s: Sections) -> Iterator[Broken]:
    """No view does to an image what an attribute forbids."""
    for attribute in s["competition"].attributes:
        told = [view for view in s["infer"].views if set(does(view)) & set(attribute.forbids)]
        for view in told:
            kept = [v for v in s["infer"].views if v not in told]
            words = ", ".join(f'"{v}"' if "(" in v else v for v in kept)
            yield "infer.views", f"has {view}, which {attribute.name} forbids; use infer.views=[{words}]"
