r"""What a terminal gets to see: text without control codes, and without passwords.

Owns the one function through which everything passes that is printed, logged or shown in a progress bar, and
preparing the streams. Does not own what is printed.

Names of files, labels and cells of a table come from other people. A terminal obeys escape codes inside them:
it changes its title, clears its screen or hides a line. So every control character is shown by its code, as
Python writes it: `\x1b`. A byte of a file name that is no UTF-8 is shown in the same way: `\xff`.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import sys
import traceback
import unicodedata
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

from pipeline.core.language import ENGLISH, Text, say
from pipeline.core.secrets import hidden

# These change the direction of the text around them, so a name could show itself as another one.
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Cc: control codes; Cs: halves of a pair, with which Python keeps a byte that is no UTF-8; Zl, Zp: line ends.
UNSAFE = ("Cc", "Cs", "Zl", "Zp")
KEPT = "\n\t"
# Labels of the lines that people look for → their style (ECMA-48, SGR); WHOLE: it is that of the whole line.
BOLD, RED, DIM = "1", "1;31", "2"
LABELS = {"next": BOLD, "error": RED, "report": DIM, "home page": DIM, "MLflow": DIM}
WHOLE = ("next",)
UTF8_MODE = "PYTHONUTF8"


def printable(text: str) -> str:
    """The text with every control character as its code, and without passwords of addresses; see `hidden`.

    Line ends and tabs stay, because our own texts have several lines.
    """
    text = text.replace("\r\n", "\n")
    if not text.isascii() or not text.replace("\n", "").replace("\t", "").isprintable():
        text = "".join(_shown(character) for character in text)
    return hidden(text)


def _shown(character: str) -> str:
    unsafe = unicodedata.category(character) in UNSAFE and character not in KEPT
    if not unsafe and character not in DIRECTIONS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # the byte that `surrogateescape` hides in it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def can_redraw() -> bool:
    """Whether stderr is a terminal whose last lines can be drawn again."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal with colours, and the user has not asked for none (https://no-color.org)."""
    if stream is None or not stream.isatty():
        return False
    return os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def bar_of(
    what: str, unit: str, steps: Iterable[Any] | None = None, total: int | None = None, done: int = 0
) -> Any:
    """Tqdm's bar of a single step: it goes away at its end, and shows only where it can be drawn again.

    Args:
        what: its label, which may come from data.
        unit: of what it counts.
        steps: is iterated over; None: the caller calls `update`.
        total: how many there are, where `steps` does not know.
        done: of them, before it begins.
    """
    how = {"unit": unit, "initial": done, "leave": False, "disable": not can_redraw()}
    return tqdm(steps, printable(what), total, **how)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """In this context bars and the live line are away, so that a whole line can be printed above them."""
    with tqdm.external_write_mode(file=sys.stdout):
        yield


def painted(shown: str, text: str, stream: TextIO | None) -> str:
    """A line with its label in colour where the stream has colours: what one looks for stands out.

    Args:
        shown: the line as its reader gets it, `printable` already: no code of another origin is in it.
        text: the same in English.
        stream: where it will be printed.
    """
    named, colon, _ = text.partition(": ")
    style = LABELS.get(named)
    label, there, rest = shown.partition(": ")
    if not colon or not there or style is None or not has_colours(stream):
        return shown
    return f"\x1b[{style}m{shown}\x1b[0m" if named in WHOLE else f"\x1b[{style}m{label}:\x1b[0m {rest}"


class Handler(logging.StreamHandler[TextIO]):
    """Log lines above bars and the live line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        with aside():
            super().emit(record)


class Formatter(logging.Formatter):
    """A log line in the reader's language as `printable` text, its traceback included."""

    language = ENGLISH

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        if isinstance(record.msg, Text):
            record = copy.copy(record)
            record.msg = say(record.msg, self.language)
        return printable(super().format(record))


# Libraries that tell at level INFO where they found credentials and addresses, in every process.
TALKATIVE = ("botocore", "aiobotocore")


def prepare() -> None:
    """Let no character of a name end a command: what the terminal's encoding lacks becomes `?` there.

    Log lines pass `printable` from now on.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    handler = Handler(sys.stderr)
    handler.setFormatter(Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def listen(level: str, language: str) -> None:
    """Log lines of this level and above, in this language, once the settings name both."""
    root = logging.getLogger()
    root.setLevel(level)
    for handler in root.handlers:
        if isinstance(handler.formatter, Formatter):
            handler.formatter.language = language


def take_over() -> None:
    """For a command of its own: file names are UTF-8, and what libraries and bugs say is printable."""
    speak_utf8()
    logging.captureWarnings(True)
    sys.excepthook = _told


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug, with `printable` texts."""
    lines = traceback.format_exception(kind, error, trace)
    with contextlib.suppress(BrokenPipeError):
        print(printable("".join(lines)), end="", file=sys.stderr)


def speak_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale has another encoding for file names.

    With `LC_ALL=POSIX` Python would otherwise open no file whose name is not ASCII. The terminal keeps its
    own encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.orig_argv:
        return
    terminal = getattr(sys.stdout, "encoding", None) or "utf-8"
    env = {"PYTHONIOENCODING": f"{terminal}:replace", **os.environ, UTF8_MODE: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)
