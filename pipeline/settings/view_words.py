"""Views as words: what groups of them stand for, and what each does to an image.

Owns what is to be known of a view before torch is loaded. Does not own the views themselves, nor reading
their arguments (`nets/views.py`); a test holds the two to each other.
"""

import re

from pipeline.settings.fields import Change

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
