"""Errors a user can mend, and nothing else.

Owns the exception tree and the way several faults of one kind are gathered into one message.
Does not own printing or exit codes: `pipeline/__main__.py` turns a `UserError` into exit code 2.

    PodiumError
    ├── StoppedError       a search ended a training early; no fault
    └── UserError          the user can mend it: exit 2, no traceback
        ├── ConfigError    a settings file or a key=value override
        ├── DataError      a table, an image, a submission or an outside file
        ├── ModelError     an unknown model, or weights that do not fit
        └── StorageError   a full or read-only disk, a damaged or locked artifact
"""

from collections.abc import Iterable, Sequence

SHOWN_FAULTS = 40


class PodiumError(Exception):
    """Base of every error that this project raises on purpose."""


class StoppedError(PodiumError):
    """A training was ended early by whoever watched it; what it made is not kept."""


class UserError(PodiumError):
    """Something the user can mend.

    Args:
        headline: where it is wrong and which rule it breaks, e.g. `train.csv: 3 duplicate ids`.
        faults: every single fault of this kind, one line each.
        remedy: what to do now, as an instruction.
    """

    def __init__(self, headline: str, faults: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(headline)
        self.headline = headline
        self.faults = tuple(faults)
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.headline]
        lines += [f"  - {fault}" for fault in self.faults[:SHOWN_FAULTS]]
        hidden = len(self.faults) - SHOWN_FAULTS
        if hidden > 0:
            lines.append(f"  … and {hidden} more")
        if self.remedy:
            lines.append(f"  → {self.remedy}")
        return "\n".join(lines)


class ConfigError(UserError):
    """A settings file or a `key=value` override is wrong."""


class DataError(UserError):
    """A table, an image or a file from outside is wrong."""


class ModelError(UserError):
    """The model is unknown, or its weights do not fit or cannot be had."""


class StorageError(UserError):
    """The disk is full or read-only, or stored results are damaged."""


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """A `did you mean` clause for `word`, or an empty string when nothing is close."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else ""
