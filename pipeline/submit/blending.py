"""`make infer`, `refit`, `ensemble` and `distill`: what is built for a submission, decided, and submitted.

Owns the order of those commands. Does not own the CSV (`submit/submission.py`), what a stage computes, or
the other commands (`commands.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble import voters
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.submit import submission, summary
from pipeline.train.stages import folds_of
from pipeline.train.teaching import teacher

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
    for line in summary.reports(session.need("cost")):
        session.say(line)
    return submit(session, final)


def submit(session: Session, artifact: Artifact) -> Path:
    """Write the CSV, and say where."""
    path = submission.publish(artifact, session.settings, session.store)
    session.say(f"submission: {summary.shown(path)}")
    return path
