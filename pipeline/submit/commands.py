"""Commands that end in a submission, and commands about submissions and their scores.

Owns their order: what is built, decided, written and handed in. Does not own what a stage computes, the CSV
(`submit/submission.py`) nor the ledger (`submit/ledger.py`).

`make infer`, `refit`, `ensemble` and `distill` stand here and not in the rooms of their stages, because each
writes a submission at the end, and a room imports only rooms before it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.metrics import get as metric_of
from pipeline.data import load
from pipeline.engine.commands import say_reports, shown
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble import voters
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.submit import final as finals
from pipeline.submit import hostscore, ledger, submission
from pipeline.submit import runs as run_table
from pipeline.train.stages import folds_of
from pipeline.train.teachers import teacher

Options = argparse.Namespace
PARTIAL = "no submission: only folds {folds} are trained; leave out train.folds for all"


def decisions(settings: Settings, of: str) -> list[Need]:
    """The decision of a result, if one is asked for."""
    decision = settings.config.decision
    wanted = bool(decision.steps) and (of == "ensemble" or decision.members)
    return [Need("decide", settings, {"of": of})] if wanted else []


def decided(session: Session, need: Need) -> Artifact:
    """What is submitted: the result itself, or the result after the steps of its decision that were kept."""
    # First, as it refuses what is wrong with it before anything is trained. A pinned result has no settings.
    made = [] if need.key else [session.get(n) for n in decisions(need.settings, need.stage)]
    kept = [artifact for artifact in made if artifact.metrics["adopted"]]
    return kept[0] if kept else session.get(need)


def infer(session: Session, options: Options) -> None:
    """One experiment's views, submitted once all folds are there."""
    session.check(
        Need("infer", session.settings), *decisions(session.settings, "infer"), also=submission.READS
    )
    submission.refuse(session.settings, session.need("data"), session.home)
    artifact = decided(session, Need("infer", session.settings))
    if artifact.metrics.get("complete") == 1.0:
        submit(session, artifact)
    else:
        session.say(PARTIAL.format(folds=folds_of(session.settings)))


def refit(session: Session, options: Options) -> None:
    """One model of all data, submitted; its score is its twin's, never its own."""
    session.check(
        Need("refit", session.settings), *decisions(session.settings, "refit"), also=submission.READS
    )
    submission.refuse(session.settings, session.need("data"), session.home)
    submit(session, decided(session, Need("refit", session.settings)))


def measured(session: Session, settings: Settings) -> None:
    """With a budget, members first: what they were measured to cost is part of the ensemble's key."""
    if settings.config.ensemble.max_ms is None:
        return
    inputs = session.graph.inputs(Need("ensemble", settings))
    members = [n for n in inputs.values() if n.stage == "infer"]
    later = ("ensemble", "cost", "whole", "decide", "error_analysis", "eda", "resample")
    read = {path for name in later for path in session.catalogue.get(name).sections(settings)}
    session.check(*members, also=(*read, *submission.READS))
    for member in members:
        session.get(member)


def ensemble(session: Session, options: Options) -> None:
    """The blend, submitted beside its members."""
    measured(session, session.settings)
    session.check(
        Need("ensemble", session.settings), *decisions(session.settings, "ensemble"), also=submission.READS
    )
    blend(session)


def distill(session: Session, options: Options) -> None:
    """One student taught by the ensemble's members, beside the blend; the student is submitted."""
    student, members = session.settings, session.settings.config.ensemble.members
    asked = student.config.train.distill
    if asked is None or not asked.teachers:
        odd = [text for text in members if word_of(text).kind != "experiment"]
        if odd:
            raise ConfigError(
                f"distill: teachers are trained anew, and {', '.join(odd)} is no experiment",
                remedy="name experiments, e.g. ensemble.members=[probe,probe_mlp]",
            )
        student = student.with_values({"train.distill.teachers": members})
    need = Need("distill", student)
    measured(session, teacher(session.graph, student, student.experiment))
    session.check(need, also=submission.READS)
    submission.refuse(student, session.need("data", student), session.home)
    session.get(need)
    inferred = session.get(Need("infer", student))
    if inferred.metrics.get("complete") == 1.0:
        submit(session, inferred)


def blend(session: Session) -> Path | None:
    """The blend and each of its members, submitted; nothing is while folds are missing."""
    submission.refuse(session.settings, session.need("data"), session.home)
    voters.refuse(session.settings, load.samples(session.need("data"), "test", session.home))
    final = decided(session, Need("ensemble", session.settings))
    whole = session.need("ensemble")
    if whole.metrics.get("complete") != 1.0:
        session.say(PARTIAL.format(folds=folds_of(session.settings)))
        return None
    for name, need in session.graph.inputs(Need("ensemble", session.settings)).items():
        if name.startswith("member:"):
            member = session.store.find(need.stage, session.graph.key(need))
            assert member is not None, f"member {name} is gone"
            if need.key is None and decisions(need.settings, "infer"):
                member = decided(session, need)
            submission.publish(member, session.settings, session.store)
    say_reports(session, session.need("cost"))
    return submit(session, final)


def submit(session: Session, artifact: Artifact) -> Path:
    """Write the CSV, and say where."""
    path = submission.publish(artifact, session.settings, session.store)
    session.say(f"submission: {shown(path)}")
    return path


def score(session: Session, options: Options) -> None:
    """Score submissions on the answers that are here, or note what the host said."""
    config = session.settings.config.competition
    said = options.public is not None or options.private is not None
    if said and not options.file:
        raise DataError(
            "a score needs the submission that it belongs to", remedy="make score FILE=… PUBLIC=0.71"
        )
    data = session.need("data")
    paths = [Path(options.file)] if options.file else unscored(session, options.reveal)
    for path in paths:
        name = hostscore.take_in(session.home, session.settings, data, path)
        scored = hostscore.HostScore(name, options.public, options.private)
        if not said:
            path = session.home / "submissions" / f"{name}.csv"
            scored = hostscore.of_answers(session.settings, data, session.home, path, options.reveal)
        entry = hostscore.record(session.home, session.tracker, config, scored)
        session.say(hostscore.described(entry, options.reveal or options.private is not None))
    if not paths:
        for entry in entries_of(session):
            session.say(hostscore.described(entry, reveal=False))


def entries_of(session: Session) -> list[ledger.Entry]:
    """The ledger's lines of this competition."""
    name = session.settings.config.competition.name
    return [e for e in ledger.read(submission.ledger_of(session.home)) if e.competition == name]


def csv_of(session: Session, entry: ledger.Entry) -> Path:
    """Where the CSV of a line of the ledger lies."""
    return session.home / "submissions" / f"{entry.name}.csv"


def unscored(session: Session, again: bool) -> list[Path]:
    """Submissions without a public score; all of them with `again`."""
    metric = metric_of(session.settings.config.competition.metric).name
    entries = [e for e in entries_of(session) if e.metric == metric and (again or e.public is None)]
    return [csv_of(session, e) for e in entries if csv_of(session, e).is_file()]


def leaderboard(session: Session, options: Options) -> None:
    """The ledger against the host, and why the two differ."""
    entries = _of_metric(session)
    if not entries:
        raise DataError("the ledger holds no submission of this competition", remedy="make infer first")
    need = finals.leaderboard_need(
        session.settings, entries, session.store, session.need("data"), options.name
    )
    session.check(need)
    say_reports(session, session.get(need))


def final(session: Session, options: Options) -> None:
    """Which submissions to select in the end."""
    if options.n < 1:
        raise DataError(f"N={options.n}: at least one submission must be selected", remedy="make final N=2")
    for line in finals.proposal(
        session.settings, _of_metric(session), session.store, session.need("data"), options.n
    ):
        session.say(line)


def pin_best(session: Session, options: Options) -> None:
    """Mark the best submission by hand, or take the mark away."""
    if not options.name.strip():
        raise DataError("NAME is missing", remedy="make pin-best NAME=…, or NAME=none to take the mark away")
    name = None if options.name == "none" else options.name
    ledger.pin(submission.ledger_of(session.home), name, session.settings.config.competition.name)
    session.say(f"pinned {name} as the best" if name else "no submission is pinned any more")


def _of_metric(session: Session) -> list[ledger.Entry]:
    """The ledger's lines of this competition and metric."""
    metric = metric_of(session.settings.config.competition.metric).name
    return [e for e in entries_of(session) if e.metric == metric]


def runs(session: Session, options: Options) -> None:
    """Print finished experiments, their scores, and what differs in their settings."""
    for line in run_table.table(session.store, session.settings.config.competition.name):
        session.say(line)
