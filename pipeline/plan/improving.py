"""`make improve TIME=1h`: what the error report advises, carried out piece by piece.

Owns the order of the advice, carrying out one piece, what is kept, and the ledger's lines about it. Does not
own the advice (`errors/advice/`), running a member (`plan/running.py`), the same pieces as further recipes of
`make all TIME=` (`plan/further.py`) nor the score of the choice (`plan/selection.py`).

The order: expected gain a minute; where there is time for all pieces, expected gain, because the interval of
an early one is corrected for fewer attempts. The gain is the rule's own estimate, its bound, or its hope
where there is none, times its chance; corrected by what its remedy gained before, in this project
(`submissions/advice.jsonl`) and on open sets (`configs/advice/`), as a share of the way to a perfect score.

Every piece is a run of its own, `<run> <settings>`, which is compared with the run that it starts from on the
same images; the interval is corrected for all pieces that were carried out on these data and folds, earlier
ones included. It is kept if it is better, or if the blend with it is. After a piece that was kept, the new
report is read; when nothing that fits is left of one, the report on the next member of the blend, the best
first.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError, StoppedError, StorageError, UserError
from pipeline.core.predictions import Comparison
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine import naming, next_step
from pipeline.engine.graph import check
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble.stages import BLEND
from pipeline.errors import case
from pipeline.errors.advice import ledger
from pipeline.errors.advice.changes import FinishedRuns, inferences
from pipeline.pages.command_words import shown
from pipeline.plan import page, steps, table, texts
from pipeline.plan.clock import Reserve, Watch, clock_of, minutes
from pipeline.plan.costs import Scene, fault_of
from pipeline.plan.running import Runner
from pipeline.plan.selection import Attempt, crossfitted
from pipeline.plan.steps import Best
from pipeline.record.store import Artifact
from pipeline.settings import advice_table
from pipeline.settings.load import Settings
from pipeline.settings.read import read_words
from pipeline.submit import commands as submitting

Options = argparse.Namespace
# How many outcomes of a remedy weigh as much as the rule's own estimate, which stems from one set.
PRIOR = 1.0


@dataclass(frozen=True)
class Move:
    """One piece of advice that can be carried out.

    Args:
        name: of the run that it makes.
        kind: of the advice.
        words: the settings that it changes.
        settings: of the run.
        bound: the most that it can gain; None: not known.
        gain: expected, for the order only.
        seconds: expected.
        after: seconds that any piece takes to be blended and judged, for the order only.
        paid, tried: how often this remedy was kept here before, of how often it was carried out.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    settings: Settings
    bound: float | None
    gain: float
    seconds: float
    after: float = 0.0
    paid: int = 0
    tried: int = 0

    @property
    def worth(self) -> float:
        """Expected gain a minute."""
        return 60 * self.gain / max(self.seconds + self.after, 1.0)


def expected(
    remedy: str,
    own: float,
    headroom: float,
    outcomes: Sequence[ledger.CarriedOut],
    elsewhere: tuple[float, float] = (0.0, 0.0),
) -> float:
    """The gain that is expected of a remedy, in units of the metric.

    Args:
        remedy: as `ledger.remedy_of`.
        own: the rule's estimate, which counts as `PRIOR` outcomes.
        headroom: of the run that the advice is about, as `Metric.headroom`; where a perfect score is
            infinitely far, outcomes say nothing.
        outcomes: of this project, of all remedies.
        elsewhere: sum of the gains on open sets and number of outcomes there, weighted by how similar they
            are; as all outcomes, shares of the way to a perfect score.
    """
    if not math.isfinite(headroom):
        return own
    known = [one.outcome.share for one in outcomes if one.remedy == remedy and one.outcome.share is not None]
    gained, tried = sum(known) + elsewhere[0], len(known) + elsewhere[1]
    return (PRIOR * own + headroom * gained) / (PRIOR + tried)


def moves_of(
    report: Artifact, about: Settings, headroom: float, scene: Scene, factor: float, after: float
) -> tuple[list[Move], list[str]]:
    """What a report advises that a run can carry out, and lines about what cannot.

    `about`, `headroom`: the settings of the run that the advice is about, and how far its score is from a
    perfect one; `factor`: of this machine's pace; `after`: see `Move`.
    """
    session, found, lines = scene.session, list[Move](), list[str]()
    outcomes = ledger.carried_out(session.home)
    table = advice_table.lines(about.folder)
    target, images = about.config.competition.target, len(scene.samples)
    for one in report.json(ledger.REPORTED)["advice"]:
        words = tuple(str(word) for word in one["settings"])
        if not words:
            continue
        name = " ".join([about.experiment, *words])
        try:
            settings = about.with_values(dict(read_words(words)))
            if session.graph.key(Need("infer", settings)) == session.graph.key(Need("infer", about)):
                # E.g. steps of a decision, which come after a run: a new one would be the same.
                lines.append(texts.MOVE_LEFT_OUT.format(name=name, why=texts.SAME_RUN))
                continue
            check([Need("infer", settings)], session.graph)
            session.refuse(Need("infer", settings))
            cost = scene.cost(settings)
        except StorageError:
            raise
        except UserError as error:
            lines.append(texts.MOVE_LEFT_OUT.format(name=name, why=fault_of(error)))
            continue
        config = settings.config
        seconds = factor * cost.seconds(config.train.epochs, len(config.infer.views))
        remedy = ledger.remedy_of(words, str(one["kind"]))
        elsewhere = advice_table.counted(table, remedy, target, images)
        own = float(one["chance"]) * float(one["hope"] if one["bound"] is None else one["bound"])
        gain = expected(remedy, own, headroom, outcomes, elsewhere)
        here = [past.outcome.kept for past in outcomes if past.remedy == remedy]
        paid, tried = sum(here), len(here)
        found.append(
            Move(name, str(one["kind"]), words, settings, one["bound"], gain, seconds, after, paid, tried)
        )
    return found, lines


def best_first(moves: Sequence[Move], left: float) -> list[Move]:
    """The moves in their order, with so many seconds left for them."""
    all_fit = sum(move.seconds + move.after for move in moves) <= left
    return sorted(moves, key=lambda move: -(move.gain if all_fit else move.worth))


def subject(session: Session, settings: Settings, artifact: Artifact) -> Artifact | None:
    """The training that the report on a result is about."""
    from pipeline.errors.advice import advisor

    data, folds = session.need("data", settings), session.need("folds", settings)
    samples = load.samples(data, "train", session.home)
    runs = FinishedRuns(session.store, settings.config, samples, data.address, folds.address, settings)
    return advisor.subject(artifact, runs)


def headroom(result: Artifact, metric: metrics.Metric) -> float:
    """How far the out-of-fold score of a result is from a perfect one; ∞: this metric did not score it."""
    score = result.metrics.get(f"oof_{metric.name}")
    return math.inf if score is None else metric.headroom(score)


def share_of(gained: Comparison, left: float) -> float:
    """A gain as a share of the way to a perfect score, 0 to 1."""
    return min(max(gained.delta / left, 0.0), 1.0) if 0 < left < math.inf else 0.0


@dataclass(frozen=True)
class Reading:
    """What a report advises.

    Args:
        about: the training that it is about.
        settings: that asked for it, with the views of its member.
        moves: that a run can carry out, the best first; `lines` say what cannot.
        seconds: that the report took now.
    """

    about: Artifact
    settings: Settings
    moves: list[Move]
    lines: list[str]
    seconds: float


def read_report(runner: Runner, member: Artifact | None) -> Reading | None:
    """The advice of the report on a member, or on the best result; None: it cannot be asked for again."""
    assert runner.best is not None, "there is a result to improve"
    session, began = runner.session, runner.clock.now()
    if member is None:
        about = subject(session, runner.settings, runner.best.artifact)
    else:
        about = session.store.at(member.inputs["train"])
    settings = asked(runner, about) if member is None else case.again(member, runner.settings)
    if about is None or settings is None:
        return None
    runner.read.add(about.address)
    report = runner.report() if member is None else runner.report_of(member, settings)
    seconds = max(runner.clock.now() - began, 1.0)
    after = runner.reserve.blend + max(seconds, runner.reserve.report)
    left = headroom(about, runner.metric)
    moves, lines = moves_of(report, settings, left, runner.scene, runner.pace.of("network"), after)
    return Reading(about, settings, best_first(moves, runner.left), lines, seconds)


def asked(runner: Runner, training: Artifact | None) -> Settings | None:
    """The settings that asked for a training, with the views of its member; None: they cannot be read."""
    members = (a for a in runner.done.values() if a is not None)
    of_it = (a for a in members if training is not None and a.inputs.get("train") == training.address)
    return case.again(next(of_it, training), runner.settings)


def unread(runner: Runner) -> Artifact | None:
    """The best member whose advice was not read yet, and that can be asked for again."""
    left = []
    for member in runner.done.values():
        reference = "" if member is None else member.inputs.get("train", "")
        if member is None or not reference or reference in runner.read:
            continue
        if case.again(member, runner.settings) is not None:
            left.append(member)
    return min(left, key=lambda member: headroom(member, runner.metric), default=None)


@dataclass
class Improver:
    """The pieces of advice of one command, one after another.

    Args:
        runner: with the members of the best result in `done`, and it alone in its blend.
        about, settings: of the report that was read last, as in `Reading`.
        tried: every piece of advice that was carried out by this command, with its run.
        kept: names of those that became members.
    """

    runner: Runner
    about: Artifact
    settings: Settings | None = None
    tried: dict[str, tuple[Attempt, Artifact]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    earlier: int = 0
    report_seconds: float = 10.0
    is_full: bool = False

    def run(self) -> None:
        """Carry out advice until nothing fits or is left."""
        moves: list[Move] | None = None
        while True:
            member = None
            if moves is not None:
                moves = best_first(moves, self.runner.left)
                fitting = [m for m in moves if self._after(m) <= self.runner.clock.left]
                if fitting:
                    moves = [m for m in moves if m is not fitting[0]]
                    if self._carry_out(fitting[0]):
                        moves = None
                    continue
                self.is_full = self.is_full or bool(moves)
                member = unread(self.runner)
                if member is None:
                    return
            if self.report_seconds > self.runner.clock.left:
                self.is_full = True
                return
            moves = self._read_report(member)

    def _after(self, move: Move) -> float:
        """Seconds of a move with the blend, and the end of the command."""
        return move.seconds + 2 * self.runner.reserve.blend + self.runner.reserve.end

    def _read_report(self, member: Artifact | None) -> list[Move]:
        """The advice of a report on a member; None: on the best result so far."""
        runner = self.runner
        found = read_report(runner, member)
        if found is None:
            raise ConfigError(
                texts.NOT_READ_AGAIN.format(name=naming.label_of(self.about)),
                remedy=texts.NOT_READ_AGAIN_REMEDY,
            )
        self.about, self.settings, self.report_seconds = found.about, found.settings, found.seconds
        moves = [move for move in found.moves if move.name not in self.tried]
        say = runner.session.say
        if moves:
            say(texts.MOVES.format(name=naming.label_of(found.about)))
        for move in moves:
            gain = texts.MOVE_HOPE if move.bound is None else texts.MOVE_BOUND.format(bound=move.bound)
            paid = texts.MOVE_PAID.format(paid=move.paid, tried=move.tried) if move.tried else ""
            say(texts.MOVE.format(name=move.name, gain=gain, seconds=minutes(move.seconds), paid=paid))
        for line in found.lines:
            say(line)
        return moves

    def _carry_out(self, move: Move) -> bool:
        """Run a piece of advice; whether it is kept."""
        runner, session = self.runner, self.runner.session
        missing = runner.scene.missing(move.settings)
        epochs = missing * move.settings.config.train.epochs
        assert self.settings is not None, "a report was read, which has this advice"
        # All views are predicted, however long the training took: it is compared with a run that has them.
        views = len(move.settings.config.infer.views) * runner.scene.cost(move.settings).view
        after = runner.pace.of("network") * views + 2 * runner.reserve.blend + runner.reserve.end
        watch = Watch(runner.clock, epochs, after)
        session.say(texts.BEGINS.format(
            name=move.name, seconds=minutes(move.seconds), left=minutes(runner.clock.left)
        ))  # fmt: skip
        began = runner.clock.now()
        try:
            made = runner.build(Need("infer", move.settings), watch)
            old = runner.build(Need("infer", self.settings), None)
        except StoppedError:
            session.say(texts.PAUSED.format(name=move.name, done=watch.done, epochs=watch.epochs))
            runner.note(move.name, runner.clock.now() - began, texts.PAUSED_NOTE)
            runner.pace.observe("network", move.seconds, move.seconds * runner.pace.of("network") * 1.5)
            return False
        except StorageError:
            raise
        except UserError as error:
            session.say(texts.FAILED.format(name=move.name, why=error))
            runner.note(move.name, runner.clock.now() - began, error.headline)
            return False
        seconds = runner.clock.now() - began
        runner.pace.observe("network", move.seconds / runner.pace.of("network"), seconds)
        return self._judge(move, made, old, seconds)

    def _judge(self, move: Move, made: Artifact, old: Artifact, seconds: float) -> bool:
        """Compare a run with the one that it starts from, its blend with the best one; note the outcome."""
        runner, session = self.runner, self.runner.session
        name_of_old = next((n for n, a in self._runs().items() if a.key == old.key), "")
        self.tried[move.name] = Attempt(move.name, name_of_old), made
        tries = self.earlier + len(self.tried)
        config, samples = runner.settings.config, runner.labelled
        compared = steps.compared(config, samples, made, old, tries)
        kept, told = compared.verdict == "better", texts.KEPT_RUN
        share = share_of(compared, headroom(old, runner.metric)) if kept else 0.0
        if kept:
            runner.done[move.name] = made
            runner.submit(move.name, seconds, made)
        else:
            assert runner.best is not None, "there is a submission to improve"
            before = runner.best.artifact
            blend = runner.try_with(move.name, seconds, made, lambda new: self._helps(new, before, tries))
            kept = blend is not None
            if blend is not None:
                share = share_of(blend, headroom(before, runner.metric))
            told = texts.NOT_KEPT if blend is None else texts.KEPT_BLEND.format(comparison=blend)
        if kept:
            self.kept.append(move.name)
        session.say(texts.CARRIED_OUT.format(name=move.name, comparison=compared, kept=told))
        outcome = ledger.AdviceOutcome(
            verdict=compared.verdict,
            delta=float(compared.delta),
            low=float(compared.low),
            high=float(compared.high),
            seconds=round(seconds, 1),
            tries=tries,
            run=made.address,
            kept=kept,
            share=share,
        )
        ledger.note(session.home, self._line(move, outcome))
        return kept

    def _helps(self, blend: Artifact, before: Artifact, tries: int) -> Comparison | None:
        """The comparison of two blends if the new one is better, else None."""
        compared = steps.compared(self.runner.settings.config, self.runner.labelled, blend, before, tries)
        return compared if compared.verdict == "better" else None

    def _runs(self) -> dict[str, Artifact]:
        """Every member, and every run that was tried, by name."""
        members = {name: a for name, a in self.runner.done.items() if a is not None}
        return members | {name: made for name, (_, made) in self.tried.items()}

    def _line(self, move: Move, outcome: ledger.AdviceOutcome) -> Mapping[str, Any]:
        config, samples = self.runner.settings.config, self.runner.labelled
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "competition": config.competition.name,
            "about": self.about.address,
            "experiment": naming.label_of(self.about),
            "kind": move.kind,
            "settings": list(move.words),
            "bound": move.bound,
            "outcome": outcome.model_dump(),
            "on": {
                "images": len(samples),
                "classes": samples.space.n_classes,
                "groups": len(set(samples.groups_N.tolist())),
                "target": config.competition.target,
                "metric": config.competition.metric,
            },
        }

    def honest(self) -> str:
        """The score that is cross-fitted over the whole choice, in words; empty: there was no choice."""
        pool = self._runs()
        attempts = [attempt for attempt, _ in self.tried.values() if attempt.of in pool]
        if not attempts:
            return ""
        folds = self.runner.session.need("folds", self.runner.settings)
        config, samples = self.runner.settings.config, self.runner.labelled
        left = {n: a for n, a in pool.items() if n not in self.tried or any(t.name == n for t in attempts)}
        score = crossfitted(config, samples, folds, left, attempts)
        if score is None:
            return ""
        metric = metrics.get(config.competition.metric).name
        return texts.HONEST.format(metric=metric, score=score.value, low=score.low, high=score.high)


def improve(session: Session, options: Options) -> None:
    """Carry out the advice of the error report on the best submission, until the time is up."""
    clock = clock_of(options)
    session.progress.until = clock.now() + clock.left
    advice_table.lines(session.settings.folder)  # its faults now, not after the error report
    nothing = DataError(texts.NOTHING_TO_IMPROVE, remedy=texts.NOTHING_TO_IMPROVE_REMEDY)
    if not submitting.entries_of_metric(session):
        raise nothing
    best = submitting.best_other(session, "", with_csv=True)
    path = None if best is None else submitting.csv_of(session, best.entry)
    made = None if path is None else case.recorded(session.store, path)
    if best is None or path is None or made is None:
        raise nothing
    settings, _ = naming.shared(made, session.settings)
    session.settings = settings
    scene = Scene.of(session, settings)
    about = subject(session, settings, made)
    if about is None:
        raise nothing
    metric = metrics.get(settings.config.competition.metric).name
    score = made.metrics[f"oof_{metric}"]
    session.say(
        texts.IMPROVING.format(path=shown(path), metric=metric, score=score, name=naming.label_of(about))
    )
    images = len(scene.samples) + scene.n_test
    reserve = Reserve.expected(clock, images, 0.0)
    session.brief = True  # the steps say what each piece of advice brought
    runner = Runner(session, settings, scene, clock, [], reserve, is_open=False)
    asked = case.again(made, settings) if made.has(BLEND) else case.again(about, settings)
    runner.done = {naming.label_of(a): a for a in inferences(made, session.store)}
    runner.best = Best(made, asked or settings, path, path, score, len(runner.done))
    runner.note("", 0.0, "", made)
    improver = Improver(runner, about)
    competition = settings.config.competition.name
    improver.earlier = sum(one.competition == competition for one in ledger.carried_out(session.home))
    try:
        improver.run()
    except KeyboardInterrupt:
        session.say(runner.stopped())
        raise
    _finish(improver, options, score)


def _finish(improver: Improver, options: Options, before: float) -> None:
    """What the advice brought, the page, and the next command."""
    runner, session = improver.runner, improver.runner.session
    best = runner.submitted()
    config = runner.settings.config
    metric = metrics.get(config.competition.metric).name
    gains = steps.gains(config, runner.labelled, runner.steps)
    for line in table.bought(runner.steps, gains, metric):
        session.say(line)
    honest = improver.honest()
    if honest:
        session.say(honest)
    session.say(
        worded(
            texts.IMPROVED,
            kept=len(improver.kept),
            tried=len(improver.tried),
            metric=metric,
            before=before,
            after=best.score,
        )
    )
    story = page.Story(config, options.time, "make improve", tuple(runner.steps), tuple(gains), best, honest)
    session.say(texts.PAGE.format(path=page.write(story, session.home)))
    session.say(table.ended(runner.clock, texts.ENDED_FULL if improver.is_full else texts.NO_ADVICE_LEFT))
    next_step.say_with_file(session, "submit", "FILE", best.path, " DRY=1")
