"""What a finding of the data report is, and how bad.

Owns the type and the scale of harm. Does not own the judgements (`judge.py` and its rules).

Harm is one number for all kinds, so that they can be put in order: about what share of the score, or
of its estimate, is at stake. A label that is surely wrong counts whole; a copy across groups counts
half, for it flatters the estimate on one image and harms no model; a strange picture counts a tenth.
The weights are judgement, the shares are counted.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.pages.report import Key
from pipeline.settings.schema import EdaSettings

Severity = Literal["high", "medium", "low", "info"]
ORDER: tuple[Severity, ...] = ("high", "medium", "low", "info")
SHOWN = 12
NAMED = 4


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data.

    Args:
        kind: a short name that stays, for tables and metrics.
        harm: about what share of the score or of its estimate is at stake, 0 to 1; 0: for information.
        headline: the fact, with its number.
        meaning: what follows from it.
        answer: the setting or command that answers it, or what to check by eye.
        sets: every image that it is about, in sets that belong together (copies, a group, one image).
        examples: (split, id) of images that show it, where it is about no images in particular.
        severity: the word for its harm; `judge` sets it.
    """

    kind: str
    harm: float
    headline: str
    meaning: str
    answer: str
    sets: tuple[tuple[Key, ...], ...] = ()
    examples: tuple[Key, ...] = ()
    severity: Severity = "info"

    @property
    def shown(self) -> tuple[tuple[Key, ...], ...]:
        """Sets to draw, at most `SHOWN` pictures in all; single pictures are one set."""
        if not self.sets or all(len(members) == 1 for members in self.sets):
            flat = tuple(key for members in self.sets for key in members) or self.examples
            return (flat[:SHOWN],) if flat else ()
        drawn: list[tuple[Key, ...]] = []
        left = SHOWN
        for members in self.sets:
            take = members[: min(left, SHOWN // 2)]
            if len(take) < 2:
                break
            drawn.append(take)
            left -= len(take)
        return tuple(drawn)


def severity_of(harm: float, settings: EdaSettings) -> Severity:
    """The word for a share of the score at stake."""
    if harm >= settings.high:
        return "high"
    if harm >= settings.medium:
        return "medium"
    return "low" if harm > 0 else "info"


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
