"""Numbers with their nouns and verbs: `1 image does not decode`, `3 images do not decode`.

Owns times to wait in words, budgets of time as a user types them, and the singular of kinds of faults.
Does not own the texts, which stand in `texts.py` of each room, nor filling them in (`core/language.py`).

    worded("{images:image} {images:does|do} not decode", images=1)     1 image does not decode
    worded("{rows:,row}", rows=1234)                                   1,234 rows
"""

from __future__ import annotations

import re

from pipeline.core.errors import ConfigError
from pipeline.core.language import Text, _, filled

# A budget of time, and the seconds of its units.
TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SECONDS, MINUTES, HOURS = _("{n:.0f} s"), _("{n:.0f} min"), _("{n:.1f} h")
NO_DURATION = _("{name}={text} is not a duration")
DURATION_EXAMPLES = _("e.g. {name}=90s, {name}=30m or {name}=2h")


def worded(template: str, **values: object) -> str:
    """A text with its placeholders filled in; `{images:image}` gives `1 image` or `2 images`."""
    return template.format(**values) if isinstance(template, Text) else filled(template, values)


def duration(seconds: float) -> str:
    """A time to wait, in the unit in which it has few digits: `42 s`, `7 min`, `2.5 h`."""
    if seconds < 100:
        return SECONDS.format(n=seconds)
    return MINUTES.format(n=seconds / 60) if seconds < 6000 else HOURS.format(n=seconds / 3600)


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
