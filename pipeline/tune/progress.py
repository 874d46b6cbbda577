"""How far a search is: a live line at a terminal, a line now and then elsewhere, and each new best.

Owns these. Does not own when a search ends (`tune/search.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from pipeline.core.search_space import Point
from pipeline.record.store import this
from pipeline.record.study import Study
from pipeline.tune.space import Search

# What is no terminal gets a line for so many trials.
EVERY = 10
LIVE = "{desc}: {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Progress:
    """Trials done, best so far, time left.

    Args:
        study: that is searched.
        limit: trials in all.
        search: puts points into words.
        say: gets a line when something better turns up; None: nothing is told at all.
        end: by `time.monotonic`, when the time is up; None: never.
    """

    def __init__(
        self,
        study: Study,
        limit: int,
        search: Search,
        say: Callable[[str], None] | None,
        end: float | None,
    ) -> None:
        self._study, self._say, self._limit, self._search, self._end = study, say, limit, search, end
        self._best, self._first, self._began = study.best(), len(study.done()), time.monotonic()
        self._bar = tqdm(
            total=limit,
            initial=self._first,
            desc="trials",
            bar_format=LIVE,
            disable=say is None or not sys.stderr.isatty(),
            leave=False,
        )
        self._show(self._first)

    def tell(self) -> None:
        """After each trial."""
        done, best = len(self._study.done()), self._study.best()
        new = best is not None and (self._best is None or best.number != self._best.number)
        self._best = best
        self._show(done)
        if self._say is None or best is None:
            return
        if new and best.origin != "default":
            self._bar.clear()
            self._say(
                f"    trial {best.number:<4} {best.values[0]:.4f}  {words_of(self._search, best.point)}"
            )
            self._bar.refresh()
        elif self._bar.disable and done % EVERY == 0:
            self._say(f"    {done} of {self._limit} trials done, best {best.values[0]:.4f}{self.left(done)}")

    def left(self, done: int) -> str:
        """How long it still takes at the pace so far, or until the time is up, in words."""
        now = time.monotonic()
        pace = (now - self._began) / (done - self._first) if done > self._first else None
        seconds = [] if pace is None else [pace * max(self._limit - done, 0)]
        seconds += [] if self._end is None else [max(self._end - now, 0.0)]
        return f", about {_clock(min(seconds))} left" if seconds else ""

    def wait_for_others(self) -> bool:
        """Until the trials that other processes on this host run just now have ended.

        Returns:
            Whether one of them was killed, so that another trial may take its place.
        """
        self._study.forget_dead()
        here = this()["host"]
        running = {t.number for t in self._study.trials() if t.state == "running" and t.host == here}
        waited_for = set(running)
        while running:
            time.sleep(0.5)
            self._study.forget_dead()
            running &= {t.number for t in self._study.trials() if t.state == "running"}
            self._show(len(self._study.done()))
        return any(t.state == "killed" for t in self._study.trials() if t.number in waited_for)

    def close(self) -> None:
        """The live line goes."""
        self._bar.close()

    def _show(self, done: int) -> None:
        if self._bar.disable:
            return
        best = (
            f"best {self._best.values[0]:.4f} (trial {self._best.number})" if self._best else "no score yet"
        )
        self._bar.n = done
        self._bar.set_postfix_str(f"{best}{self.left(done)}")


def words_of(search: Search, point: Point) -> str:
    """A trial's settings as people read them."""
    return "  ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in search.values(point).items()
    )


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
