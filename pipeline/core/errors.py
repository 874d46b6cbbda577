"""The exceptions of the project: errors that a user can correct, and a training that was stopped early.

Owns the exception tree and the way several faults of one kind are gathered into one message.
Does not own printing or exit codes: `pipeline/__main__.py` turns a `UserError` into exit code 2.

    PodiumError
    ├── StoppedError       a search ended a training early; this is not an error of the user
    └── UserError          the user can correct it: exit code 2, no traceback
        ├── ConfigError    a settings file or a key=value override
        ├── DataError      a table, an image, a submission or an outside file
        ├── ModelError     an unknown model, or weights that do not fit
        └── StorageError   a full or read-only disk, a damaged or locked artifact
"""

from collections.abc import Iterable, Sequence

from pipeline.core.language import ENGLISH, _, joined, say

FAULT, HIDDEN, REMEDY = "  - ", _("  … and {hidden} more"), _("  → {remedy}")
ERROR = _("error: {message}")
STOPPED = _("stopped; finished results are kept, and the next run continues here")
SIMILAR = _("did you mean {words}?")
SHOWN_FAULTS = 40
# Pairs of words that are compared for the suggestions of one column: a second.
MOST_COMPARED = 100_000


class PodiumError(Exception):
    """The base class of all exceptions that this project raises on purpose."""


class StoppedError(PodiumError):
    """A training was stopped early, e.g. by the pruner of a search; its result is not kept."""


class UserError(PodiumError):
    """An error that the user can correct.

    Args:
        headline: where the error is and which rule is broken, e.g. `train.csv: 3 duplicate ids`.
        faults: all errors of this kind, one line each.
        remedy: what the user should do, as an instruction.
        mend: words of settings with which the same command may succeed, such as `train.lr=0.001`.
    """

    def __init__(
        self, headline: str, faults: Sequence[str] = (), remedy: str = "", mend: Sequence[str] = ()
    ) -> None:
        super().__init__(headline)
        self.headline = headline
        self.faults = tuple(faults)
        self.remedy = remedy
        self.mend = tuple(mend)

    def __str__(self) -> str:
        return self.said(ENGLISH)

    def said(self, language: str) -> str:
        """The whole message in a language, as far as its texts are translated."""
        return say(joined("\n", self._lines()), language)

    def in_line(self) -> str:
        """The whole message as one text without new lines, for a list of several errors."""
        return joined(" ", self._lines())

    def _lines(self) -> list[str]:
        lines = [self.headline, *(FAULT + fault for fault in self.faults[:SHOWN_FAULTS])]
        hidden = len(self.faults) - SHOWN_FAULTS
        if hidden > 0:
            lines.append(HIDDEN.format(hidden=hidden))
        return [*lines, REMEDY.format(remedy=self.remedy)] if self.remedy else lines


def told(error: UserError, language: str) -> str:
    """The last lines of a command that ends with this error."""
    return say(ERROR.format(message=error.said(language)), language)


class ConfigError(UserError):
    """A settings file or a `key=value` override is wrong."""


class DataError(UserError):
    """A table, an image or another file of the user or the host is wrong."""


class ModelError(UserError):
    """The model is unknown, or its weights do not fit or cannot be loaded."""


class StorageError(UserError):
    """The disk is full or read-only, or stored results are damaged."""


class Suggestions:
    """`nearest` for the faults of a whole table: only as many words are compared as an error shows.

    Comparing is slow: 30,000 unknown labels against 1,000 known ones would take minutes.

    Args:
        known: the words that are right.
        count: how many of them a suggestion names.
    """

    def __init__(self, known: Iterable[str], count: int = 3) -> None:
        self._known, self._count = list(known), count
        self._made: dict[str, str] = {}

    def of(self, word: str) -> str:
        """The clause for a word; empty if nothing is similar, or if enough words were compared."""
        if word not in self._made:
            left = MOST_COMPARED - len(self._made) * len(self._known)
            if len(self._made) >= SHOWN_FAULTS or left < len(self._known):
                return ""
            self._made[word] = nearest(word, self._known, self._count)
        return self._made[word]


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """A `did you mean` clause for `word`, or an empty string if no known word is similar."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.5)
    return SIMILAR.format(words=", ".join(close)) if close else ""
