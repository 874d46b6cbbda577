"""What a command computes at this moment: a file that other programs read, and one live line in the terminal.

Owns the state of a command's results, its file, the estimate of the time left, and what the line says. Does
not own drawing the line (`engine/live.py`), nor the bars of single steps in the process of the command.

    artifacts/.state/<host>-<pid>.json      one file for each command, rewritten at most once a second

    {"version": 1,
     "host": "a", "pid": 17, "command": "train", "executor": "local",
     "competition": "pets", "typed": "make train",
     "state": "running",            running, done, failed, or stopped (Ctrl-C)
     "began": "2026-01-31T09:00:00+00:00", "updated": "…",
     "counts": {"waiting": 3, "running": 2, "done": 5, "failed": 0, "given up": 0},
     "eta_seconds": 312.0,          null: nothing is known yet
     "needs": [{"name": "fold/0123456789abcdef", "stage": "fold", "title": "fold lite0 fold 1",
                "state": "running", "where": "gpu 0", "pid": 18, "since": "…", "seconds": 31.2,
                "epoch": 3, "epochs": 10, "message": "", "mend": [], "inside": ""}, …]}

Of the needs that are done, the last 500 are listed; `counts` has all: a search may have many thousands.
It is also rewritten when a need begins that may take long, so that it never lacks what runs for long.
`since` and `seconds` are null before a need starts; `epoch` and `epochs` are null for needs without epochs;
`message` is the error of a need that failed, `mend` the words of settings that may mend it; `typed` repeats
the command with its settings, without its passwords. A file whose process has ended while its state is
`running` was left by a killed command.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.core.errors import StoppedError, UserError
from pipeline.core.language import ENGLISH, joined, say
from pipeline.core.secrets import hidden
from pipeline.core.terminal import can_redraw
from pipeline.core.wording import duration, worded
from pipeline.engine import texts
from pipeline.engine.live import Live
from pipeline.engine.schedule import DONE, FAILED, GIVEN_UP, RUNNING, WAITING
from pipeline.record.files import write_atomic

VERSION = 1
FOLDER = ".state"
KEPT_FILES = 20
LISTED_DONE = 500
EVERY_SECONDS = 1.0
# Without a terminal: a line at most so often.
LINE_SECONDS = 60.0
# What runs now is named in the live line, but not more than this.
NAMED = 4
HERE = "this process"
STATES = (WAITING, RUNNING, DONE, FAILED, GIVEN_UP)


@dataclass
class Item:
    """The state of one need, as in the file; times by `time.time`."""

    name: str
    stage: str
    title: str
    state: str = WAITING
    where: str = ""
    pid: int | None = None
    since: float | None = None
    until: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    message: str = ""
    mend: tuple[str, ...] = ()
    usual: float | None = None
    inside: str = ""  # the need that the same process builds around it
    holds: bool = False  # its time is that of others, which are built inside it

    def seconds(self, now: float) -> float | None:
        """Run time so far, or in all."""
        return None if self.since is None else (self.until or now) - self.since

    def expected(self, now: float) -> float | None:
        """The run time in all, as far as finished epochs tell; None: unknown."""
        seconds = self.seconds(now)
        if seconds is None or self.state == DONE:
            return seconds
        return seconds * self.epochs / self.epoch if self.epoch and self.epochs else None

    def as_json(self, now: float) -> dict[str, Any]:
        """The entry of the file."""
        seconds = self.seconds(now)
        return {
            **{name: getattr(self, name) for name in ("name", "stage", "title", "state", "where", "pid")},
            "since": None if self.since is None else _clock(self.since),
            "seconds": None if seconds is None else round(seconds, 1),
            **{name: getattr(self, name) for name in ("epoch", "epochs")},
            "message": hidden(self.message),
            "mend": list(self.mend),
            "inside": self.inside,
        }


class Progress:
    """The state of one command's results.

    Args:
        folder: of the state files.
        say: prints a line for a command without a terminal.
        language: of the reader.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], language: str = ENGLISH) -> None:
        self._folder, self._say, self._language = folder, say, language
        self.command, self.executor, self.parallel = "", "here", 1
        self.competition, self.typed = "", ""
        self._items: dict[str, Item] = {}
        self._open: list[str] = []
        self._began, self._written, self._said_at = time.time(), 0.0, time.monotonic()
        self._live = Live(self.live_line)
        # Known to be missing, and not begun yet: of a command that builds one need after another.
        self._planned: dict[str, Item] = {}
        # What a search says of itself instead of the counts and the time left; and the end of a command that
        # was given a time, by `time.monotonic`.
        self.headline = ""
        self.until: float | None = None
        # The best run so far and the scores of its folds, higher is better first: (score, title).
        self._best: tuple[float, str] | None = None
        self._parts: list[float] = []

    @property
    def path(self) -> Path:
        """The file of this process."""
        return self._folder / f"{socket.gethostname()}-{os.getpid()}.json"

    def expect(self, name: str, stage: str, title: str) -> None:
        """A need that is missing."""
        planned = self._planned.pop(name, None)
        self._items.setdefault(name, planned or Item(name, stage, title))

    def plan(self, item: Item) -> None:
        """A need that the command will come to: it counts in the live line, and not in the file."""
        if item.name not in self._items:
            self._planned.setdefault(item.name, item)

    def scored(self, title: str, score: float, is_better: Callable[[float, float], bool]) -> None:
        """A run has this score; `is_better` compares two."""
        self._parts.clear()
        if self._best is None or is_better(score, self._best[0]):
            self._best = score, title

    def scored_part(self, score: float) -> None:
        """A fold of the run that is built now has this score."""
        self._parts.append(score)

    def started(self, name: str, where: str, pid: int | None) -> None:
        """A need runs now."""
        item = self._items[name]
        item.state, item.where, item.pid, item.since, item.until = RUNNING, where, pid, time.time(), None
        item.epoch = item.epochs = None  # those of a process that is lost say nothing about this one
        self.update(at_once=self._may_be_long(item))
        if can_redraw():
            self._live.show()

    def _may_be_long(self, item: Item) -> bool:
        """Whether nothing else may be written for long: unless the last need of its stage was quick."""
        ended = (i for i in reversed(self._items.values()) if i.stage == item.stage and i.state == DONE)
        last = next(ended, None)
        return last is None or (last.seconds(time.time()) or 0.0) >= EVERY_SECONDS

    def epoch(self, name: str, epoch: int, epochs: int) -> None:
        """A training has finished this many epochs of all."""
        item = self._items[name]
        item.epoch, item.epochs = epoch, max(epochs, epoch)
        self.update()

    def again(self, name: str) -> None:
        """A need that ran waits again."""
        item = self._items[name]
        item.state, item.since, item.where, item.pid = WAITING, None, "", None

    def ended(self, name: str, error: BaseException | None = None) -> None:
        """A need is done, or failed; one that was stopped on purpose is none of this command any more."""
        if isinstance(error, StoppedError):
            del self._items[name]
            self.update()
            return
        item = self._items[name]
        item.state, item.until = (DONE if error is None else FAILED), time.time()
        item.message = "" if error is None else str(error) or type(error).__name__
        item.mend = error.mend if isinstance(error, UserError) else ()
        self.update()

    def gave_up(self, name: str) -> None:
        """A need that waited for one that failed."""
        self._items[name].state = GIVEN_UP

    @contextlib.contextmanager
    def building(self, name: str, stage: str, title: str) -> Iterator[None]:
        """In this context the process of the command builds a need."""
        self.expect(name, stage, title)
        self._items[name].inside = self._open[-1] if self._open else ""
        self.started(name, HERE, os.getpid())
        self._open.append(name)
        try:
            yield
        except KeyboardInterrupt:
            self.hide()  # it stays unfinished: what a person stops has not failed
            raise
        except BaseException as error:
            self.ended(name, error)
            self.hide()
            raise
        finally:
            self._open.pop()
        self.ended(name)
        if not self.count(RUNNING):
            self.hide()  # the command may print or ask something now

    def count(self, *states: str) -> int:
        """How many needs are in one of these states; without states: in any."""
        return sum(not states or item.state in states for item in list(self._items.values()))

    def eta(self) -> float | None:
        """Expected seconds until everything is done; None: not known for any long one that is left.

        A need that waits takes as long as others of its stage. What runs side by side counts once.
        """
        now, left, known = time.time(), 0.0, False
        by_stage: dict[str, list[float]] = {}
        for item in list(self._items.values()):
            expected = item.expected(now)
            if expected is not None and not item.holds:
                by_stage.setdefault(item.stage, []).append(expected)
        for item in self._left():
            if item.holds:
                continue
            own, others = item.expected(now), by_stage.get(item.stage, [])
            expected = own if own is not None else sum(others) / len(others) if others else item.usual
            if expected is not None:
                known = True
                left += max(expected - (item.seconds(now) or 0.0), 0.0)
        at_once = min(self.parallel, max(self.count(WAITING, RUNNING), 1))
        return left / at_once if known else None

    def _left(self) -> list[Item]:
        """What waits or runs."""
        every = [*list(self._items.values()), *list(self._planned.values())]
        return [item for item in every if item.state in (WAITING, RUNNING)]

    def _is_guess(self) -> bool:
        """Whether something is left of which nothing is known, so that the time left is a lower end."""
        now = time.time()
        known = {item.stage for item in list(self._items.values()) if item.expected(now) is not None}
        left = [item for item in self._left() if not item.holds]
        return any(item.stage not in known and item.usual is None for item in left)

    def line(self) -> str:
        """The state in one line."""
        eta = self.eta()
        return texts.PROGRESS.format(
            done=self.count(DONE),
            all=len(self._items),
            running=self.count(RUNNING),
            eta="" if eta is None else texts.ETA.format(time=duration(eta)),
        )

    def live_line(self) -> str:
        """The state of the whole command in the line of a terminal, the most important first."""
        return say(joined(" · ", [*self._told(), *self._running()]), self._language)

    def _told(self) -> list[str]:
        """How far it is, the time left, and the score so far."""
        command = self.command or "make"
        if self.headline:
            return [texts.LIVE_SEARCH.format(command=command, text=self.headline)]
        every = len(self._items) + len(self._planned)
        parts = [texts.LIVE_DONE.format(command=command, done=self.count(DONE), all=every)]
        eta, is_guess = self.eta(), self._is_guess()
        if self.until is not None:
            parts.append(texts.LIVE_UNTIL.format(time=duration(max(self.until - time.monotonic(), 0.0))))
        elif eta is not None and (eta >= 1.0 or not is_guess):
            left = texts.LIVE_AT_LEAST if is_guess else texts.LIVE_ETA
            parts.append(left.format(time=duration(eta)))
        if self._best is not None:
            parts.append(texts.LIVE_BEST.format(score=self._best[0], title=self._best[1]))
        if self._parts:
            mean = sum(self._parts) / len(self._parts)
            parts.append(worded(texts.LIVE_PARTS, score=mean, n=len(self._parts)))
        return parts

    def _running(self) -> list[str]:
        """What runs now: of needs inside each other the innermost one, of several processes some."""
        running = [item for item in list(self._items.values()) if item.state == RUNNING]
        elsewhere = [item for item in running if item.where != HERE]
        return [
            item.title
            if item.epoch is None
            else texts.RUNNING.format(title=item.title, epoch=item.epoch, epochs=item.epochs)
            for item in elsewhere[:NAMED] or running[-1:]
        ]

    def show(self) -> None:
        """Show the state of several processes: live in a terminal, otherwise a line now and then."""
        if can_redraw():
            self._live.show()
        elif time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self._say("    " + self.line())

    def hide(self) -> None:
        """Remove the live line, so that others can be printed."""
        self._live.hide()

    def update(self, at_once: bool = False) -> None:
        """Write the file, unless it was written a moment ago; a disk that is full is no error here."""
        if at_once or time.monotonic() - self._written >= EVERY_SECONDS:
            self._write(RUNNING)

    def close(self) -> None:
        """Write the last state of a command that ends now."""
        self.hide()
        if not self._items:
            return
        error = sys.exc_info()[0]
        stopped = error is not None and issubclass(error, KeyboardInterrupt)
        self._write("stopped" if stopped else FAILED if error is not None else DONE)

    def _write(self, state: str) -> None:
        first, self._written = not self._written, time.monotonic()
        now, eta = time.time(), self.eta()
        content = {
            "version": VERSION,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "command": self.command,
            "executor": self.executor,
            "competition": self.competition,
            "typed": hidden(self.typed),
            "state": state,
            "began": _clock(self._began),
            "updated": _clock(now),
            "counts": {name: self.count(name) for name in STATES},
            "eta_seconds": None if eta is None else round(eta, 1),
            "needs": [item.as_json(now) for item in self._listed()],
        }
        with contextlib.suppress(OSError):
            if first:
                self._forget_old()
            write_atomic(self.path, json.dumps(content, indent=1, ensure_ascii=False).encode())

    def _listed(self) -> list[Item]:
        """Every need, but of those that are done only the last ones."""
        done = [item for item in self._items.values() if item.state == DONE]
        old = {id(item) for item in done[:-LISTED_DONE]}
        return [item for item in self._items.values() if id(item) not in old]

    def _forget_old(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in files[:-KEPT_FILES]:
            path.unlink(missing_ok=True)


class Silent(Progress):
    """Keeps the state and shows it to nobody: of a process that builds for another one."""

    def __init__(self) -> None:
        super().__init__(Path(), lambda line: None)

    def _write(self, state: str) -> None:
        pass


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
