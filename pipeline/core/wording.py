"""Numbers with their nouns and verbs: `1 image does not decode`, `3 images do not decode`.

Owns choosing the form that fits a number, times to wait in words, and budgets of time as a user types them.
Does not own the texts, which stand in `texts.py` of each room.

    worded("{images:image} {images:does|do} not decode", images=1)     1 image does not decode
    worded("{rows:,row}", rows=1234)                                   1,234 rows
"""

from __future__ import annotations

import re
import string
from typing import Any

from pipeline.core.errors import ConfigError

# A noun, and a comma in front of it for digits in groups of three.
NOUN = re.compile(r"(,?)([a-z][a-z -]+)")
# A budget of time, and the seconds of its units.
TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
NO_DURATION = "{name}={text} is not a duration"
DURATION_EXAMPLES = "e.g. {name}=90s, {name}=30m or {name}=2h"


class _Wording(string.Formatter):
    """`str.format` in which a number may be followed by a noun, or choose between two forms."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """A number with `noun`, one of `singular|plural`, or a value with any other specification."""
        one, either, many = format_spec.partition("|")
        if either:
            return one if value == 1 else many
        found = NOUN.fullmatch(format_spec)
        if found is None:
            return str(super().format_field(value, format_spec))
        return f"{format(value, found[1])} {found[2] if value == 1 else plural_of(found[2])}"


def worded(template: str, **values: object) -> str:
    """A text with its placeholders filled in; `{images:image}` gives `1 image` or `2 images`."""
    return _Wording().format(template, **values)


def duration(seconds: float) -> str:
    """A time to wait, in the unit in which it has few digits: `42 s`, `7 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def seconds_of(text: str, name: str = "TIME") -> float:
    """`90`, `90s`, `30m` or `2h` in seconds; `name` is the variable of the command.

    Raises:
        ConfigError: it has another form, or is 0.
    """
    match = TIME.fullmatch(text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(
            NO_DURATION.format(name=name, text=text), remedy=DURATION_EXAMPLES.format(name=name)
        )
    return float(match[1]) * UNITS[match[2] or "s"]


def plural_of(noun: str) -> str:
    """The regular plural of a noun: `images`, `copies`, `classes`."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def singular_kind(kind: str) -> str:
    """One of a kind of fault: `missing image` of `missing images`, `path without a group` of `paths …`.

    Kinds are written in the plural; the first word with a plural s is the noun.
    """
    words = kind.split(" ")
    for at, word in enumerate(words):
        if word.endswith("ies") or (word.endswith("s") and not word.endswith(("ss", "us"))):
            words[at] = f"{word[:-3]}y" if word.endswith("ies") else re.sub(r"(?<=ss|ch|sh)es$|s$", "", word)
            if words[at + 1 : at + 2] == ["are"]:
                words[at + 1] = "is"
            if words[at + 1 : at + 3] == ["that", "are"]:
                words[at + 2] = "is"
            break
    return " ".join(words)
