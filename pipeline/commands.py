"""What each command does with the stages: build, publish, tell.

Owns the story of a command. Does not own parsing words (`pipeline/__main__.py`) or building
(`engine/context.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.metrics import get as metric_of
from pipeline.data import host, load
from pipeline.engine.graph import check, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import flat
from pipeline.errors import beside
from pipeline.errors.advice import kept
from pipeline.errors.advice.tested import Runs
from pipeline.errors.judging import kept as judging
from pipeline.explain import explaining
from pipeline.pages.command_words import make_with
from pipeline.record import housekeeping
from pipeline.record.store import Artifact, told_as_storage_error
from pipeline.settings.load import Settings
from pipeline.stages import open_session
from pipeline.submit import (
    blending,
    final,
    hand_in,
    hostscore,
    ledger,
    reproduce,
    runs,
    standing,
    submission,
    summary,
    validate,
)
from pipeline.train.scoring import SCORED
from pipeline.train.studies import arms
from pipeline.train.studies import grid as ablate
from pipeline.tune import tune

Options = argparse.Namespace
# Commands that need no result to stay where it is; `make gc` waits for all others.
LOOKS = ("new", "pin-best", "runs", "config", "du", "gc", "pin")


def run(options: Options, settings: Settings) -> None:
    """Run the command that `options` names."""
    context = open_session(settings, options.rehash)
    with told_as_storage_error(context.home):
        try:
            with contextlib.nullcontext() if options.command in LOOKS else context.using():
                COMMANDS[options.command](context, options)
            if context.seconds.keys() & set(SCORED):
                name = settings.config.competition.name
                context.tracker.standings(name, runs.markdown(context.store, name))
        finally:
            context.close()


def _stage(name: str) -> Callable[[Session, Options], None]:
    def command(session: Session, options: Options) -> None:
        session.check(Need(name, session.settings))
        _report(session, session.need(name))

    return command


def _report(session: Session, artifact: Artifact) -> None:
    for line in summary.reports(artifact):
        session.say(line)


def _folds(session: Session, options: Options) -> None:
    """The fold plan and its checks; a plan with faults is an error."""
    session.check(Need("folds", session.settings))
    artifact = session.need("folds")
    health = load.health(artifact)
    session.say(health[health.columns[:5]].to_string(index=False))
    _report(session, artifact)
    checks = load.fold_checks(artifact)
    faults = [text for text in checks if text.startswith("fault")]
    if faults:
        raise DataError(f"folds: {len(faults)} faults make scores on this plan untrue", checks)
    for text in checks or ("check: sound",):
        session.say(text)


def _ablate(session: Session, options: Options) -> None:
    """Train every arm of a grid with every seed, and compare them."""
    grid = ablate.read(Path(options.grid))
    settings = session.settings
    if grid.experiment and not any(word.startswith("experiment=") for word in options.settings):
        settings = settings.member(grid.experiment)
    settings = arms.started(settings, grid)
    for need in arms.needed(settings, grid):
        session.get(need)
    need = Need(
        "ablate", settings, {"grid": options.grid, "digest": session.index.digest(Path(options.grid))}
    )
    trainings = [n for n in session.graph.inputs(need).values() if n.stage == "train"]
    for training in trainings[:: len(grid.seeds)]:
        refuse_unread(training.settings, [training], session.graph)
    check(trainings, session.graph)
    session.say(
        f"ablate          {len(trainings)} trainings: {len(trainings) // len(grid.seeds)} arms × "
        f"{len(grid.seeds)} seeds; what is finished is reused"
    )
    for line in arms.budget_lines(arms.runs(session.get, settings, grid, session.home), grid):
        session.say(line)
    _report(session, session.get(need))


def _error_analysis(session: Session, options: Options) -> None:
    if options.a:
        session.check(Need("error_analysis", session.settings, {"a": options.a}))
        new = Path(options.a).resolve()
    else:
        blending.measured(session, session.settings)
        blend_of = (Need("ensemble", session.settings), *blending.decisions(session.settings, "ensemble"))
        session.check(*blend_of, Need("error_analysis", session.settings))
        blend = blending.blend(session)
        if blend is None:
            return
        new = blend
    given = Path(options.verdicts) if options.verdicts else None
    _compare(session, new, Path(options.b).resolve() if options.b else None, given)


def _compare(session: Session, new: Path, old: Path | None, verdicts: Path | None = None) -> Artifact:
    metric = metric_of(session.settings.config.competition.metric)
    entries = [e for e in _entries(session) if e.metric == metric.name]
    if old is None:
        here = [e for e in entries if _csv(session, e).is_file()]
        itself = next((e.name for e in here if _csv(session, e).samefile(new)), "") if new.is_file() else ""
        best = standing.best(session.settings, here, session.store, session.need("data"), excluding=itself)
        if best is not None:
            session.say(f"compared with {best.entry.name}: {best.why}")
            old = _csv(session, best.entry)
    for path in (new, old):
        if path is not None and not path.is_file():
            raise DataError(f"{path}: no such file", remedy="give a host-format CSV")
    if old is None and (
        verdicts is not None or beside.made_of(session.store, session.need("data"), new) is None
    ):
        raise DataError(
            f"{new.name}: the ledger holds no other submission to compare it with",
            remedy="make infer another experiment, or name one: "
            + make_with("make error-analysis B=best.csv", session.settings.competition_words),
        )
    if old is None:
        session.say("the first submission: where it errs, with nothing to compare it with yet")
    if old is not None and verdicts is not None:
        session.say(
            judging.take_in(
                session.settings,
                session.graph.words_of("error-analysis", session.settings),
                session.need("data"),
                session.home,
                verdicts,
                (new, old),
            )
        )
    # By file and not by name: a teammate's CSV may be called as one of ours.
    scores = {_csv(session, e).resolve(): "" if e.public is None else repr(e.public) for e in entries}
    params: dict[str, str | int] = {
        "a": os.path.relpath(new, session.home),
        "b": "" if old is None else os.path.relpath(old, session.home),
        "a_public": scores.get(new.resolve(), ""),
        "b_public": "" if old is None else scores.get(old.resolve(), ""),
        "known": _known(session),
        **beside.found(session, session.need("data"), new),
    }
    answers = judging.kept_path(session.home, session.settings)
    if answers.is_file():
        params[judging.PARAM] = os.path.relpath(answers, session.home)
    artifact = session.get(Need("error_analysis", session.settings, params))
    kept.keep(session.home, artifact)
    _report(session, artifact)
    return artifact


def _known(session: Session) -> str:
    """Digest of the finished runs that a report may speak of, so that a new run makes a new report."""
    data, folds = session.need("data"), session.need("folds")
    train = load.samples(data, "train", session.home)
    names = (f"{a.stage}/{a.key}" for a in (data, folds))
    return kept.digest(session.home, Runs(session.store, session.settings.config, train, *names))


def _score(session: Session, options: Options) -> None:
    config = session.settings.config.competition
    said = options.public is not None or options.private is not None
    if said and not options.file:
        raise DataError(
            "a score needs the submission that it belongs to", remedy="make score FILE=… PUBLIC=0.71"
        )
    data = session.need("data")
    paths = [Path(options.file)] if options.file else _unscored(session, options.reveal)
    for path in paths:
        name = hostscore.take_in(session.home, session.settings, data, path)
        score = hostscore.HostScore(name, options.public, options.private)
        if not said:
            path = session.home / "submissions" / f"{name}.csv"
            score = hostscore.of_answers(session.settings, data, session.home, path, options.reveal)
        entry = hostscore.record(session.home, session.tracker, config, score)
        session.say(hostscore.described(entry, options.reveal or options.private is not None))
    if not paths:
        for entry in _entries(session):
            session.say(hostscore.described(entry, reveal=False))


def _entries(session: Session) -> list[ledger.Entry]:
    """The ledger's lines of this competition."""
    name = session.settings.config.competition.name
    return [e for e in ledger.read(submission.ledger_of(session.home)) if e.competition == name]


def _csv(session: Session, entry: ledger.Entry) -> Path:
    return session.home / "submissions" / f"{entry.name}.csv"


def _unscored(session: Session, again: bool) -> list[Path]:
    metric = metric_of(session.settings.config.competition.metric).name
    entries = [e for e in _entries(session) if e.metric == metric and (again or e.public is None)]
    return [_csv(session, e) for e in entries if _csv(session, e).is_file()]


def _leaderboard(session: Session, options: Options) -> None:
    """The ledger against the host, and why the two differ."""
    entries = _of_metric(session)
    if not entries:
        raise DataError("the ledger holds no submission of this competition", remedy="make infer first")
    need = final.leaderboard_need(
        session.settings, entries, session.store, session.need("data"), options.name
    )
    session.check(need)
    _report(session, session.get(need))


def _final(session: Session, options: Options) -> None:
    """Which submissions to select in the end."""
    if options.n < 1:
        raise DataError(f"N={options.n}: at least one submission must be selected", remedy="make final N=2")
    for line in final.proposal(
        session.settings, _of_metric(session), session.store, session.need("data"), options.n
    ):
        session.say(line)


def _pin_best(session: Session, options: Options) -> None:
    """Mark the best submission by hand, or take the mark away."""
    if not options.name.strip():
        raise DataError("NAME is missing", remedy="make pin-best NAME=…, or NAME=none to take the mark away")
    name = None if options.name == "none" else options.name
    ledger.pin(submission.ledger_of(session.home), name, session.settings.config.competition.name)
    session.say(f"pinned {name} as the best" if name else "no submission is pinned any more")


def _of_metric(session: Session) -> list[ledger.Entry]:
    """The ledger's lines of this competition and metric."""
    metric = metric_of(session.settings.config.competition.metric).name
    return [e for e in _entries(session) if e.metric == metric]


def _models(session: Session, options: Options) -> None:
    """What networks cost on this machine, one line each."""
    # Imported here: no other command measures networks.
    from pipeline.engine.hardware import set_up
    from pipeline.train import network_cost

    refuse_unread(session.settings, (), session.graph, network_cost.READS)
    for line in network_cost.table(
        session.settings, options.names.split(), set_up(session.settings.config.runtime)
    ):
        session.say(line)


def _new(session: Session, options: Options) -> None:
    # Imported here: no other command looks at files that nobody has described.
    from pipeline.data.new import create
    from pipeline.data.new.request import Request

    if not options.images.strip():
        raise DataError(
            "IMAGES is missing", remedy="make new NAME=pets IMAGES=folder, or with TRAIN=train.csv"
        )
    train, test, sample = (Path(p) if p else None for p in (options.train, options.test, options.sample))
    request = Request(options.name, Path(options.images), train, test, sample, session.home)
    written = create.create(request, session.settings)
    session.say(f"wrote {os.path.relpath(written.path)}")
    for line in written.lines:
        session.say(line)
    session.say(f'next: make eda ARGS="competition={options.name}", or make all with the same ARGS')


def _tune(session: Session, options: Options) -> None:
    """Search the settings of one stage, or of all in a budget."""
    if options.stage != "all":
        return tune.command(session, options)
    # Imported here: no other command shares a budget.
    from pipeline.tune import tune_all

    return tune_all.command(session, options)


def _runs(session: Session, options: Options) -> None:
    for line in runs.table(session.store, session.settings.config.competition.name):
        session.say(line)


def _config(session: Session, options: Options) -> None:
    config = session.settings.config
    rows = flat(config.model_dump(mode="json"))
    wide = max(len(path) for path in rows)
    for path, value in rows.items():
        source = session.settings.sources.get(path) or "default"
        session.say(f"{path:<{wide}} = {value:<40} {source}")


def _du(session: Session, options: Options) -> None:
    for line in housekeeping.usage(session.home, session.store):
        session.say(line)


def _gc(session: Session, options: Options) -> None:
    with session.store.freeing():
        for line in housekeeping.collect(session.store, session.home, options.dry):
            session.say(line)


def _pin(session: Session, options: Options) -> None:
    session.say(housekeeping.pin(session.store, session.home, options.key))


def _all(session: Session, options: Options) -> None:
    """Everything, and a summary that a person can act on."""
    started = time.monotonic()
    blending.measured(session, session.settings)
    ensemble = Need("ensemble", session.settings)
    members = [n for n in session.graph.inputs(ensemble).values() if n.stage == "infer" and n.key is None]
    shown = [Need("eda", session.settings), *(Need("resample", m.settings) for m in members)]
    after = (*blending.decisions(session.settings, "ensemble"), Need("error_analysis", session.settings))
    session.check(*shown, ensemble, *after)
    for need in shown:
        session.get(need)
    path = blending.blend(session)
    if path is None:
        return
    config = session.settings.config.competition
    if host.knows_answers(config):
        for csv in _unscored(session, again=False):
            score = hostscore.of_answers(
                session.settings, session.need("data"), session.home, csv, reveal=False
            )
            hostscore.record(session.home, session.tracker, config, score)
    report = _compare(session, path, None)
    entry = next(e for e in _entries(session) if e.name == path.stem)
    for line in summary.lines(
        session.settings, blending.decided(session, Need("ensemble", session.settings)), entry, path, report
    ):
        session.say(line)
    session.say(summary.times(session.seconds, time.monotonic() - started))


COMMANDS: dict[str, Callable[[Session, Options], None]] = {
    "new": _new,
    "models": _models,
    "all": _all,
    "eda": _stage("eda"),
    "folds": _folds,
    "ablate": _ablate,
    "resample": _stage("resample"),
    "preview": _stage("preview"),
    "train": _stage("train"),
    "infer": blending.infer,
    "refit": blending.refit,
    "distill": blending.distill,
    "learning-curve": _stage("learning_curve"),
    "robustness": _stage("robustness"),
    "tune": _tune,
    "ensemble": blending.ensemble,
    "error-analysis": _error_analysis,
    "explain": explaining.command,
    "score": _score,
    "validate": validate.command,
    "submit": hand_in.command,
    "reproduce": reproduce.command,
    "leaderboard": _leaderboard,
    "pin-best": _pin_best,
    "final": _final,
    "runs": _runs,
    "config": _config,
    "du": _du,
    "gc": _gc,
    "pin": _pin,
}
