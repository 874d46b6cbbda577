"""`make tune STAGE=all TIME=30m`: one budget of time for every stage.

Owns sharing the time. Each stage is searched from the same settings, so that their effects are separate.
40 % of the search time goes to the stages in order, weighted by the gains that tuning them had before; the
rest goes, slice by slice, to the stage whose own trials promise the largest gain per second. 35 % is reserved
for re-tests, and more if the searched stages need more, because only re-tested trials are adopted. Does not
own a search (`tune/search.py`).
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
from pipeline.core.language import _, joined
from pipeline.core.wording import seconds_of
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.nets.stages import is_probe
from pipeline.record.study import Studies, Study, storage_of
from pipeline.tune import retest, running, search, texts, winners
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.search import Prepared, limits_of
from pipeline.tune.search_record import SearchRecord
from pipeline.tune.winners import StageWinner

Options = argparse.Namespace
ORDER = ("eda", "resample", "train", "tta", "ensemble", "decision")
# Share of the first round for each stage: changes of pixels and training have the largest effects
# (docs/log.md: 96 px +.046, logit adjustment +.025, fitted views and weights about +.01).
WEIGHTS = {"eda": 3.0, "resample": 1.0, "train": 3.0, "tta": 1.0, "ensemble": 2.0, "decision": 1.0}
FOR_RETESTS = 0.35
FIRST_ROUND = 0.4
# Fewest trials of a search; and about how many trials a slice of the second round has.
FEWEST = 5
SLICE = 5


@dataclass
class Turn:
    """One stage in the budget.

    Args:
        name: of the stage.
        prepared: its search; None: it cannot be tuned here, see `why`.
        study: after its search has begun.
        verdict, written: after the re-test: its outcome, and the winner's file.
        record: its run in MLflow, open until the command ends.
        why: why it was not tuned.
        spent: seconds of searching.
        estimated: number of trials at the last estimate of the re-test, and its seconds.
    """

    name: str
    prepared: Prepared | None = None
    study: Study | None = None
    verdict: RetestVerdict | None = None
    written: Path | None = None
    record: SearchRecord | None = None
    why: str = ""
    spent: float = 0.0
    estimated: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        """Seconds of one trial, averaged over those that are done."""
        done = [t.seconds for t in self.study.done()] if self.study else []
        return float(np.mean(done)) if done else 0.0

    @property
    def retest_seconds(self) -> float:
        """Seconds of the re-test of the search so far; estimated again after more trials."""
        if self.prepared is None or self.study is None:
            return 0.0
        done = len(self.study.done())
        if self.estimated is None or self.estimated[0] != done:
            self.estimated = done, retest.seconds(self.prepared.bench, self.study)
        return self.estimated[1]

    @property
    def growth(self) -> float:
        """Seconds that one second of searching costs in total: cross-fitting repeats the search."""
        is_random = self.prepared is None or self.prepared.bench.kind.is_random
        return 1.0 if is_random else 1.0 + retest.CROSSFITS


@dataclass
class Clock:
    """The rest of the budget."""

    budget: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(self.budget - (time.monotonic() - self.began), 0.0)

    def left_to_search(self, turns: list[Turn]) -> float:
        """The same without the time reserved for re-tests, or needed by those of the searches so far."""
        needed = sum(t.retest_seconds for t in turns if t.study and not t.why)
        return max(self.left - max(FOR_RETESTS * self.budget, needed), 0.0)


def tune_all(session: Session, options: Options) -> None:
    """Tune every stage within one budget, and print the result of each."""
    search.refuse_former(options)
    if not options.time:
        raise ConfigError(texts.BUDGET_MISSING, remedy=_("make tune STAGE=all TIME=30m"))
    own = [name for name in ("space", "study") if getattr(options, name)]
    if own or options.jobs > 1:
        names = (*own, *["jobs"] * (options.jobs > 1))
        faults = [texts.FOR_ONE_STAGE.format(name=name.upper()) for name in names]
        raise ConfigError(texts.BUDGET_ONLY, faults, _("leave it out, or name a STAGE"))
    clock = Clock(seconds_of(options.time))
    limits_of(options, FEWEST)
    turns = [_prepared(session, options, name) for name in ORDER]
    if not any(turn.prepared for turn in turns):
        raise ConfigError(
            texts.NO_STAGE, [_("{turn}: {why}").format(turn=turn.name, why=turn.why) for turn in turns]
        )
    # One error if it cannot be reached, not one for each stage.
    Studies(storage_of(session.home), session.home)
    _refuse_short(session, turns, clock)
    with contextlib.ExitStack() as records:
        _first_round(session, turns, clock, records)
        _second_round(session, turns, clock)
        _retests(session, turns, clock)
    won = _winners(turns)
    steps = winners.next_steps(session, won, date.today())
    for line in [*lines(turns, clock), *steps]:
        session.say(line)
    session.end_with(next_step.NEXT.format(command=winners.next_command(session, won, steps)))


def _refuse_short(session: Session, turns: list[Turn], clock: Clock) -> None:
    """Raise ConfigError for a budget that is known to be too short for every stage; builds data and folds."""
    for name in ("data", "folds"):
        session.need(name)
    needed = {turn.name: _needed(session, turn) for turn in turns if turn.prepared}
    known = {name: seconds for name, seconds in needed.items() if seconds is not None}
    if len(known) == len(needed) and min(known.values()) > clock.left:
        minutes = {name: math.ceil(seconds / 60) for name, seconds in known.items()}
        faults = [texts.BUDGET_NEEDS.format(name=name, minutes=n) for name, n in minutes.items()]
        raise ConfigError(texts.BUDGET_SHORT.format(budget=clock.budget), faults, _("raise TIME"))


def _prepared(session: Session, options: Options, name: str) -> Turn:
    """The search of a stage; a fault of this stage does not stop the others."""
    own = argparse.Namespace(**vars(options))
    try:
        has_folds = any(word.startswith("train.folds=") for word in options.settings)
        all_folds = not has_folds and session.settings.config.folds.splits > 1
        if name == "train" and all_folds and not is_probe(session.settings):
            own.settings = [*options.settings, "train.folds=[0]"]
            session = copy.copy(session)
            session.settings = session.settings.with_values({"train.folds": [0]})
        prepared = search.prepare(session, own, name)
    except ConfigError as error:
        return Turn(
            name,
            why=joined(": ", [error.headline, *([joined("; ", error.faults[:2])] if error.faults else [])]),
        )
    return Turn(name, prepared)


def _first_round(session: Session, turns: list[Turn], clock: Clock, records: contextlib.ExitStack) -> None:
    """Search the stages in order, each for its share of the time, if a few trials and their re-test fit."""
    round_seconds = FIRST_ROUND * clock.left_to_search(turns)
    left = sum(WEIGHTS[t.name] for t in turns if t.prepared)
    for turn in turns:
        if turn.prepared is None:
            continue
        share, left = round_seconds * WEIGHTS[turn.name] / left, left - WEIGHTS[turn.name]
        needed = _needed(session, turn)
        # A stage may borrow time from the second round.
        if needed is not None and needed > max(share, clock.left_to_search(turns) / max(left, 1.0)):
            turn.why = texts.SHARE_SHORT.format(minutes=math.ceil(needed / 60))
            continue
        began = time.monotonic()
        try:
            turn.study = search.begin(session, turn.prepared)
        except UserError as error:
            turn.why = error.headline
            continue
        has_time = clock.left_to_search(turns) > 0
        # A study that is continued may be re-tested without further trials.
        if not has_time and len(turn.study.done()) < 2:
            turn.why = texts.NEEDS_MORE.format(minutes=math.ceil((time.monotonic() - began) / 60) + 1)
            continue
        record = SearchRecord(session, turn.prepared.bench, turn.study, turn.prepared.command)
        turn.record = records.enter_context(record)
        if has_time:
            _search(session, turn, share)
        round_seconds -= min(time.monotonic() - began, share)
        if len(turn.study.done()) < 2:
            seconds = max(_needed(session, turn) or 60.0, 60.0)
            turn.why = texts.NEEDS.format(minutes=math.ceil(seconds / 60))


def _needed(session: Session, turn: Turn) -> float | None:
    """Seconds of the shortest search with its re-test; None: unknown."""
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
        running.run_trials(turn.prepared, turn.study, session.say, began + seconds, turn.record)
    except ConfigError as error:
        turn.why = error.headline
    turn.spent += time.monotonic() - began


def _second_round(session: Session, turns: list[Turn], clock: Clock) -> None:
    """Search in slices the stage with the largest expected gain per second, while all re-tests still fit."""
    over: set[str] = set()
    while (left := clock.left_to_search(turns)) > 0:
        open_ = [t for t in turns if t.study and not t.why and _has_trials_left(t) and t.name not in over]
        promised = [(promise(t.study, t.growth * t.seconds), t) for t in open_ if t.study]
        fitting = [(gain, t) for gain, t in promised if gain > 0 and t.growth * t.seconds < left]
        if not fitting:
            return
        _, turn = max(fitting, key=lambda pair: pair[0])
        done = len(turn.study.done()) if turn.study else 0
        _search(session, turn, min(SLICE * turn.seconds, left / turn.growth))
        if turn.study and len(turn.study.done()) == done:
            over.add(turn.name)  # e.g. every point was tried


def _has_trials_left(turn: Turn) -> bool:
    assert turn.prepared is not None and turn.study is not None
    return len(turn.study.done()) < turn.prepared.limits.trials


def promise(study: Study, seconds: float) -> float:
    """Expected improvement per second of one more trial, if it is drawn like the better half of the others.

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
    """Re-test the quickest first, while there is time: only re-tested trials are adopted."""
    searched = [t for t in turns if t.study and not t.why]
    for turn in sorted(searched, key=lambda t: t.retest_seconds):
        assert turn.prepared is not None and turn.study is not None and turn.record is not None
        needed = turn.retest_seconds
        if needed > clock.left:
            turn.why = texts.RETEST_SHORT.format(minutes=math.ceil(needed / 60))
            continue
        try:
            outcome = search.finish(session, turn.prepared, turn.study, turn.record, in_full=False)
            turn.verdict, turn.written = outcome
        except UserError as error:
            turn.why = error.headline


def _winners(turns: list[Turn]) -> list[StageWinner]:
    won = []
    for turn in turns:
        winner = turn.verdict.winner if turn.verdict else None
        if winner and turn.prepared and turn.written:
            bench = turn.prepared.bench
            values = bench.search.values(winner.trial.point)
            won.append(StageWinner(turn.name, bench.settings.experiment, values, turn.written.stem))
    return won


def lines(turns: list[Turn], clock: Clock) -> list[str]:
    """The re-tested result of each stage, with its interval."""
    spent, minutes = clock.budget - clock.left, clock.budget / 60
    head = texts.BUDGET_LINE.format(spent=spent / 60, budget=minutes, share=FOR_RETESTS)
    return ["", head, *(_line(turn) for turn in turns)]


def _line(turn: Turn) -> str:
    if turn.verdict is None or turn.why:
        outcome = texts.NOT_TUNED.format(why=turn.why or texts.NO_TIME)
    elif not turn.verdict.candidates:
        outcome = texts.NOTHING_BETTER.format(how=turn.verdict.how)
    else:
        best = turn.verdict.winner or turn.verdict.candidates[0]
        adopt = texts.ADOPT_ONE.format(name=turn.written.stem) if turn.written else texts.ADOPT_NONE
        outcome = texts.RETESTED.format(comparison=best.comparison, adopt=adopt)
    trials = len(turn.study.done()) if turn.study else 0
    return texts.STAGE_LINE.format(name=turn.name, trials=trials, seconds=turn.spent, outcome=outcome)
