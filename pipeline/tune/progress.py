"""Progress of a search: a live line in a terminal, otherwise a line now and then, and each new best trial.

Owns these lines. Does not own when a search ends (`tune/search.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.core.search_space import Point
from pipeline.core.terminal import can_redraw
from pipeline.core.wording import duration
from pipeline.engine.progress import Progress as Command
from pipeline.record.study import Study
from pipeline.tune import texts
from pipeline.tune.space import Search

# Without a terminal: one line for this many trials.
EVERY = 10


class Progress:
    """Trials done, best so far, time left.

    Args:
        study: that is searched.
        limit: trials in total.
        search: turns points into settings.
        say: gets a line when a better trial is found.
        end: end of the time by `time.monotonic`; None: no limit.
        command: the progress of the command, whose live line says it.
    """

    def __init__(
        self,
        study: Study,
        limit: int,
        search: Search,
        say: Callable[[str], None],
        end: float | None,
        command: Command,
    ) -> None:
        self._study, self._say, self._limit, self._search, self._end = study, say, limit, search, end
        self._best, self._first, self._began = study.best(), len(study.done()), time.monotonic()
        self._command = command
        self._show(self._first)

    def update(self) -> None:
        """Call after each trial."""
        done, best = len(self._study.done()), self._study.best()
        new = best is not None and (self._best is None or best.number != self._best.number)
        self._best = best
        self._show(done)
        if best is None:
            return
        if new and best.origin != "default":
            settings = words_of(self._search, best.point)
            self._say(texts.BETTER.format(number=best.number, score=best.values[0], settings=settings))
        elif not can_redraw() and done % EVERY == 0:
            self._say(
                texts.SO_FAR.format(done=done, limit=self._limit, score=best.values[0], left=self.left(done))
            )

    def left(self, done: int) -> str:
        """Remaining time at the pace so far, at most until the time is up, in words."""
        now = time.monotonic()
        pace = (now - self._began) / (done - self._first) if done > self._first else None
        seconds = [] if pace is None else [pace * max(self._limit - done, 0)]
        seconds += [] if self._end is None else [max(self._end - now, 0.0)]
        return texts.TIME_LEFT.format(time=duration(min(seconds))) if seconds else ""

    def wait_for_others(self) -> bool:
        """Wait for the trials of other processes on this host; True: one was killed and can be replaced."""
        self._study.forget_dead()
        running = {t.number for t in self._study.trials() if t.state == "running" and t.is_here}
        waited_for = set(running)
        while running:
            time.sleep(0.5)
            self._study.forget_dead()
            running &= {t.number for t in self._study.trials() if t.state == "running"}
            self._show(len(self._study.done()))
        return any(t.state == "killed" for t in self._study.trials() if t.number in waited_for)

    def close(self) -> None:
        """The command goes on to something else."""
        self._command.headline = ""
        self._command.hide()

    def _show(self, done: int) -> None:
        if not can_redraw():
            return
        best = texts.LIVE_NONE
        if self._best:
            best = texts.LIVE_BEST.format(score=self._best.values[0], number=self._best.number)
        self._command.headline = texts.LIVE.format(
            done=done, limit=self._limit, best=best, left=self.left(done)
        )
        self._command.show()


def words_of(search: Search, point: Point) -> str:
    """The settings of a trial, for reading."""
    return "  ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in search.values(point).items()
    )
