"""`make tune STAGE=all BUDGET=30m`: one budget of time for every stage.

    make tune STAGE=all BUDGET=30m
    make tune STAGE=all BUDGET=2h ARGS="experiment=probe"

Owns sharing the time. Each stage is searched from the same settings, so that what each gave can be told
apart. 40 % of the search goes to the stages in order, by what tuning them gave before; the rest goes,
slice by slice, to the stage whose own trials promise most a second. 35 % is kept for re-tests, and more
where what was searched needs more: without a re-test nothing is believed. Does not own a search
(`tune/search.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import math
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline.core.errors import ConfigError, UserError
from pipeline.engine.session import Session
from pipeline.nets.stages import is_probe
from pipeline.record.study import Studies, Study, storage_of
from pipeline.settings.load import Settings
from pipeline.tune import retest, search, winners
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.search import Prepared, limits_of, seconds_of
from pipeline.tune.search_record import SearchRecord
from pipeline.tune.winners import StageWinner

Options = argparse.Namespace
ORDER = ("eda", "resample", "train", "tta", "ensemble", "decision")
# How much of the first round each stage gets: what changes pixels or training moves scores most
# (docs/log.md: 96 px +.046, logit adjustment +.025, fitted views and weights about +.01).
WEIGHTS = {"eda": 3.0, "resample": 1.0, "train": 3.0, "tta": 1.0, "ensemble": 2.0, "decision": 1.0}
FOR_RETESTS = 0.35
FIRST_ROUND = 0.4
# A search of fewer trials is none; slices of the second round hold about so many.
FEWEST = 5
SLICE = 5


@dataclass
class Turn:
    """One stage in the budget.

    Args:
        name: of the stage.
        prepared: its search; None: it cannot be tuned here, see `why`.
        study: once it was begun.
        verdict: once it was re-tested.
        written: the winner's file.
        record: of its run in MLflow, open as long as the command lasts.
        why: it was not tuned.
        spent: seconds of searching.
        asked: after how many trials the re-test's seconds were asked, and what they were.
    """

    name: str
    prepared: Prepared | None = None
    study: Study | None = None
    verdict: RetestVerdict | None = None
    written: Path | None = None
    record: SearchRecord | None = None
    why: str = ""
    spent: float = 0.0
    asked: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        """Of one trial, mean over those that are done."""
        done = [t.seconds for t in self.study.done()] if self.study else []
        return float(np.mean(done)) if done else 0.0

    @property
    def retest_seconds(self) -> float:
        """Of the re-test of what was searched so far; asked anew once there are more trials."""
        if self.prepared is None or self.study is None:
            return 0.0
        done = len(self.study.done())
        if self.asked is None or self.asked[0] != done:
            self.asked = done, retest.seconds(self.prepared.bench, self.study)
        return self.asked[1]

    @property
    def growth(self) -> float:
        """What a second of searching takes in all: cross-fitting takes the longer the more was searched."""
        is_random = self.prepared is None or self.prepared.bench.kind.is_random
        return 1.0 if is_random else 1.0 + retest.CROSSFITS


@dataclass
class Clock:
    """What is left of the budget."""

    budget: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(self.budget - (time.monotonic() - self.began), 0.0)

    def left_to_search(self, turns: list[Turn]) -> float:
        """The same without what re-tests are to have, and what those of the searches so far will take."""
        needed = sum(t.retest_seconds for t in turns if t.study and not t.why)
        return max(self.left - max(FOR_RETESTS * self.budget, needed), 0.0)


def tune_all(session: Session, options: Options) -> None:
    """Tune every stage in one budget, and tell what each gave."""
    if not options.budget:
        raise ConfigError("STAGE=all needs a BUDGET", remedy="make tune STAGE=all BUDGET=30m")
    own = [name for name in ("space", "study", "timeout") if getattr(options, name)]
    if own or options.jobs > 1:
        told = [f"{name.upper()}= is for one stage" for name in (*own, *["jobs"] * (options.jobs > 1))]
        raise ConfigError("tune: STAGE=all shares a BUDGET only", told, "leave it out, or name a STAGE")
    clock = Clock(seconds_of(options.budget, "BUDGET"))
    limits_of(options, FEWEST)
    turns = [_prepared(session, options, name) for name in ORDER]
    if not any(turn.prepared for turn in turns):
        raise ConfigError("tune: no stage can be tuned", [f"{turn.name}: {turn.why}" for turn in turns])
    Studies(storage_of(session.home), session.home)  # out of reach it is one error, not one a stage
    _refuse_short(session, turns, clock)
    with contextlib.ExitStack() as records:
        _first_round(session, turns, clock, records)
        _second_round(session, turns, clock)
        _retests(session, turns, clock)
    for line in [*lines(turns, clock), *winners.next_steps(session, _winners(turns), date.today())]:
        session.say(line)


def _refuse_short(session: Session, turns: list[Turn], clock: Clock) -> None:
    """Raise ConfigError for a budget into which no stage fits, as far as that is known.

    Makes the data and the folds, without which nothing is known.
    """
    for name in ("data", "folds"):
        session.need(name)
    needed = {turn.name: _needed(session, turn) for turn in turns if turn.prepared}
    known = {name: seconds for name, seconds in needed.items() if seconds is not None}
    if len(known) == len(needed) and min(known.values()) > clock.left:
        told = [f"{name}: needs about {math.ceil(seconds / 60)} min" for name, seconds in known.items()]
        raise ConfigError(f"BUDGET={clock.budget:g}s is too short for any stage", told, "give it more")


def _prepared(session: Session, options: Options, name: str) -> Turn:
    """What can be refused is refused for this stage only: others may still be tuned."""
    own = argparse.Namespace(**vars(options))
    try:
        asked = any(word.startswith("train.folds=") for word in options.settings)
        whole = not asked and session.settings.config.folds.splits > 1
        if name == "train" and whole and not is_probe(session.settings):
            own.settings = [*options.settings, "train.folds=[0]"]
            session = _beside(session, session.settings.with_values({"train.folds": [0]}))
        prepared = search.prepare(session, own, name)
    except ConfigError as error:
        return Turn(name, why=f"{error.headline}: {'; '.join(error.faults[:2])}".rstrip(": "))
    return Turn(name, prepared)


def _beside(session: Session, settings: Settings) -> Session:
    """The same command with other settings."""
    other = copy.copy(session)
    other.settings = settings
    return other


def _first_round(session: Session, turns: list[Turn], clock: Clock, records: contextlib.ExitStack) -> None:
    """In order, each stage its share, so long as a few trials and their re-test fit."""
    whole, left = FIRST_ROUND * clock.left_to_search(turns), sum(WEIGHTS[t.name] for t in turns if t.prepared)
    for turn in turns:
        if turn.prepared is None:
            continue
        share, left = whole * WEIGHTS[turn.name] / left, left - WEIGHTS[turn.name]
        needed = _needed(session, turn)
        # A stage may borrow from the second round, as far as that goes.
        if needed is not None and needed > max(share, clock.left_to_search(turns) / max(left, 1.0)):
            turn.why = f"needs {math.ceil(needed / 60)} min, more than its share"
            continue
        began = time.monotonic()
        try:
            turn.study = search.begin(session, turn.prepared)
        except UserError as error:
            turn.why = error.headline
            continue
        there_is_time = clock.left_to_search(turns) > 0
        # A study that goes on may be re-tested as it stands.
        if not there_is_time and len(turn.study.done()) < 2:
            turn.why = f"needs {math.ceil((time.monotonic() - began) / 60) + 1} min more"
            continue
        record = SearchRecord(session, turn.prepared.bench, turn.study, turn.prepared.command)
        turn.record = records.enter_context(record)
        if there_is_time:
            _search(session, turn, share)
        whole -= min(time.monotonic() - began, share)
        if len(turn.study.done()) < 2:
            turn.why = f"needs {math.ceil(max(_needed(session, turn) or 60.0, 60.0) / 60)} min"


def _needed(session: Session, turn: Turn) -> float | None:
    """Seconds of the shortest search that is one, with its re-test; None: unknown."""
    assert turn.prepared is not None
    bench = turn.prepared.bench
    one, first = search.trial_seconds(session, bench), search.default_seconds(session, bench)
    if one is None:
        return first or None
    return first + one * (FEWEST + (retest.runs(bench) if bench.kind.is_random else 5 * FEWEST))


def _search(session: Session, turn: Turn, seconds: float) -> None:
    assert turn.prepared is not None and turn.study is not None
    began = time.monotonic()
    try:
        search.run_trials(turn.prepared, turn.study, session.say, began + seconds, turn.record)
    except ConfigError as error:
        turn.why = error.headline
    turn.spent += time.monotonic() - began


def _second_round(session: Session, turns: list[Turn], clock: Clock) -> None:
    """Slice by slice to the stage that promises most a second, so long as all re-tests fit behind it."""
    over: set[str] = set()
    while (left := clock.left_to_search(turns)) > 0:
        open_ = [t for t in turns if t.study and not t.why and _room(t) and t.name not in over]
        promised = [(promise(t.study, t.growth * t.seconds), t) for t in open_ if t.study]
        fitting = [(gain, t) for gain, t in promised if gain > 0 and t.growth * t.seconds < left]
        if not fitting:
            return
        _, turn = max(fitting, key=lambda pair: pair[0])
        done = len(turn.study.done()) if turn.study else 0
        _search(session, turn, min(SLICE * turn.seconds, left / turn.growth))
        if turn.study and len(turn.study.done()) == done:
            over.add(turn.name)  # e.g. every point was tried


def _room(turn: Turn) -> bool:
    assert turn.prepared is not None and turn.study is not None
    return len(turn.study.done()) < turn.prepared.limits.trials


def promise(study: Study, seconds: float) -> float:
    """Expected improvement of one more trial a second, if it is drawn like the better half of those before.

    Source: Mockus, On Bayesian Methods for Seeking the Extremum (1975), for a normal distribution.
    """
    sign = 1 if study.plan.maximise[0] else -1
    scores = sorted((sign * t.values[0] for t in study.trials() if t.state == "complete"), reverse=True)
    if len(scores) < 2:
        return math.inf
    half = scores[: max(2, (len(scores) + 1) // 2)]
    mean, spread = float(np.mean(half)), float(np.std(half, ddof=1))
    if spread == 0:
        return 0.0
    z = (mean - scores[0]) / spread
    return float(spread * (stats.norm.pdf(z) + z * stats.norm.cdf(z))) / max(seconds, 1e-3)


def _retests(session: Session, turns: list[Turn], clock: Clock) -> None:
    """The quickest first, as long as there is time: what is not tested again is not adopted."""
    searched = [t for t in turns if t.study and not t.why]
    for turn in sorted(searched, key=lambda t: t.retest_seconds):
        assert turn.prepared is not None and turn.study is not None and turn.record is not None
        needed = turn.retest_seconds
        if needed > clock.left:
            turn.why = f"searched, but not re-tested, so not adopted: needs {math.ceil(needed / 60)} min"
            continue
        try:
            turn.verdict, turn.written = search.finish(
                session, turn.prepared, turn.study, turn.record, in_full=False
            )
        except UserError as error:
            turn.why = error.headline


def _winners(turns: list[Turn]) -> list[StageWinner]:
    found = []
    for turn in turns:
        winner = turn.verdict.winner if turn.verdict else None
        if winner and turn.prepared and turn.written:
            bench = turn.prepared.bench
            values = bench.search.values(winner.trial.point)
            found.append(StageWinner(turn.name, bench.settings.experiment, values, turn.written.stem))
    return found


def lines(turns: list[Turn], clock: Clock) -> list[str]:
    """What each stage gave, re-tested, with its interval."""
    spent = clock.budget - clock.left
    of = f"{spent / 60:.1f} of {clock.budget / 60:g} min"
    told = ["", f"tune all        {of}, {FOR_RETESTS:.0%} kept for re-tests"]
    for turn in turns:
        trials = len(turn.study.done()) if turn.study else 0
        head = f"    {turn.name:<10} {trials:>3} trials  {turn.spent:6.0f} s  "
        if turn.verdict is None or turn.why:
            told.append(f"{head}not tuned: {turn.why or 'no time was left'}")
        elif not turn.verdict.candidates:
            told.append(f"{head}nothing better: {turn.verdict.how}")
        else:
            best = turn.verdict.winner or turn.verdict.candidates[0]
            adopt = f"; adopt: experiment={turn.written.stem}" if turn.written else "; nothing to adopt"
            told.append(f"{head}re-tested {best.comparison}{adopt}")
    return told
