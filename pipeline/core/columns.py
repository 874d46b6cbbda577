"""How many columns of a terminal a text takes: letters of some scripts, such as Hangul, take two.

Owns counting and padding. Does not own what is printed. It imports nothing but the standard library, because
`core/language.py` needs it.
"""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """The number of columns of a text, as its reader gets it."""
    return len(text) + sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)


def padded(text: str, columns: int) -> str:
    """A text with spaces up to this number of columns; negative ones put the spaces in front."""
    space = " " * (abs(columns) - width(text))
    return space + text if columns < 0 else text + space
