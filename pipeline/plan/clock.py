"""The time of a command, what is left of it, and the watch over a training.

Owns TIME as a number of seconds, its least value, the end of the command, what is kept for the end, and
whether a training that runs may still end in time. Does not own what is done with the time
(`plan/running.py`).

A training that cannot end in time is paused between two epochs, as early as this is clear, and never cut: its
schedule stays as it was planned, its finished folds and its last epoch are kept, and a later command goes on
from there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.wording import SECONDS, seconds_of
from pipeline.engine.hardware import process_age
from pipeline.plan import texts

# The least TIME: starting, reading the data and writing one submission take about half of it.
LEAST = 60.0
# Seconds that a blend and its submission take before one was made, with this many images.
FIRST_BLEND, FIRST_BLEND_IMAGE = 4.0, 2e-3
# What follows everything: the page about the time, the last lines; seconds, and a share of TIME.
END, END_SHARE = 2.0, 0.003
# How far beyond its end a command may be expected to run, as a share of TIME.
SLACK = 0.03
# The same of a training that is all that the command does: paused a moment before its end, it yields nothing.
SLACK_OF_ALL = 0.05
# Of an unfinished training: its first epochs say little about the others. Before this share of them only a
# clear delay counts, by this factor.
EARLY, CLEARLY = 0.2, 1.25
# And a pace of so few seconds is chance: short epochs differ several times from each other.
CHANCE = 2.0


def time_of(text: str) -> float:
    """TIME in seconds.

    Raises:
        ConfigError: it is missing, no duration, or too short.
    """
    if not text:
        raise ConfigError(texts.TIME_MISSING, remedy=texts.TIME_MISSING_REMEDY)
    seconds = seconds_of(text, "TIME")
    if seconds < LEAST:
        raise ConfigError(
            texts.TIME_SHORT.format(time=text, least=f"{LEAST / 60:g}m"), remedy=_("make all TIME=30m")
        )
    return seconds


def minutes(seconds: float) -> str:
    """A time in minutes with one digit after the point; in seconds or hours where it is short or long."""
    if abs(seconds) < 90:
        return SECONDS.format(n=seconds)
    return (
        texts.MINUTES.format(n=seconds / 60) if abs(seconds) < 5400 else texts.HOURS.format(n=seconds / 3600)
    )


def needs(seconds: float) -> str:
    """Why a recipe that needs so many seconds is left out."""
    return texts.NEEDS.format(time=minutes(seconds))


@dataclass
class Clock:
    """The time of a command.

    Args:
        seconds: of TIME.
        now: a clock that only goes forward, in seconds.
        before: seconds that the command has run already.
    """

    seconds: float
    now: Callable[[], float] = time.monotonic
    before: float = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now() - self.before

    @property
    def spent(self) -> float:
        """Seconds since the command began."""
        return self.now() - self.began

    @property
    def left(self) -> float:
        """Seconds until its end; below 0 after it."""
        return self.seconds - self.spent


def clock_of(options: argparse.Namespace) -> Clock:
    """The clock of a command; as a process of its own, its start counts.

    Raises:
        ConfigError: as `time_of`.
    """
    return Clock(time_of(options.time), before=process_age() if options.is_process else 0.0)


@dataclass
class Reserve:
    """Seconds that are kept for what follows members.

    Args:
        blend: of a blend with its submission, as the last one took, or as it is expected.
        report: of the error report at the end; 0: the command makes none.
        last: of everything after that.
    """

    blend: float
    report: float = 0.0
    last: float = END

    @staticmethod
    def expected(clock: Clock, images: int, report: float) -> Reserve:
        """Before a blend was made, with so many images; `report`: seconds of the report."""
        return Reserve(FIRST_BLEND + FIRST_BLEND_IMAGE * images, report, END + END_SHARE * clock.seconds)

    @property
    def end(self) -> float:
        """Of everything after the last member's own blend."""
        return self.report + self.last


@dataclass
class Watch:
    """Whether a training may go on: called after each of its epochs, as `OnEpoch`.

    Args:
        clock: of the command.
        epochs: that are left to train, over all folds, from their first epochs on.
        after: seconds that follow the training.
        is_all: nothing else could use the time, so it is paused at the end only.
    """

    clock: Clock
    epochs: int
    after: float
    is_all: bool = False
    done: int = 0
    paused: bool = False
    first: float = 0.0
    folds: set[int] = field(default_factory=set)

    def __call__(self, fold: int, epoch: int, figures: dict[str, float]) -> bool:
        """False: it cannot end in time, as far as its epochs so far tell."""
        if fold not in self.folds:  # it goes on from a checkpoint: those before are not trained again
            self.folds.add(fold)
            self.epochs -= epoch
        self.done += 1
        if self.done == 1:
            self.first = self.clock.now()
        left = self.epochs - self.done
        if left > 0 and not self.may_go_on(left):
            self.paused = True
        return not self.paused

    def may_go_on(self, left: int) -> bool:
        """Whether so many further epochs, at the pace of those before, end in time.

        The first one does not count: before it, workers start, files are read and libraries are loaded.
        """
        taken = self.clock.now() - self.first
        each = taken / max(self.done - 1, 1)
        if self.is_all:
            ends = left * each + self.after <= self.clock.left + SLACK_OF_ALL * self.clock.seconds
            return ends or each + self.after <= self.clock.left
        if taken < CHANCE:
            return True
        needed = left * each
        if self.done < EARLY * self.epochs:
            needed /= CLEARLY
        return needed + self.after <= self.clock.left + SLACK * self.clock.seconds
