"""Commands that end in a submission, and commands about submissions and their scores.

Owns their order: what is built, decided, written and submitted. Does not own what a stage computes, the CSV
(`submit/submission.py`) nor the ledger (`submit/ledger.py`). Longer commands have a file of their own:
`submit/validate.py`, `submit/hand_in.py`, `submit/reproduce.py`, `submit/final.py`.

`make infer`, `refit`, `ensemble` and `distill` are here and not in the rooms of their stages, because each of
them writes a submission at the end, and a room imports only rooms before it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import _
from pipeline.core.metrics import get as metric_of
from pipeline.data import load
from pipeline.engine import next_step
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble import members
from pipeline.pages.command_words import fold_words, shown
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.submit import against, host_scores, ledger, ranking, submission, texts
from pipeline.submit.host_scores import HostScore
from pipeline.submit.stages import leaderboard_need
from pipeline.train.stages import folds_of
from pipeline.train.teachers import teacher

Options = argparse.Namespace


def infer(session: Session, options: Options) -> None:
    """One experiment's views, submitted once all folds are trained."""
    need = Need("infer", session.settings)
    session.check(need, *decisions(session.settings, "infer"), also=submission.READS)
    submission.refuse(session.settings, session.need("data"), session.home)
    artifact = decided(session, need)
    if artifact.metrics.get("complete") != 1.0:
        _say_partial(session, "infer")
        return
    path = write_submission(session, artifact)
    next_step.offer_name(session, session.get(need))
    next_step.say_with_file(session, "error-analysis", "A", path)


def refit(session: Session, options: Options) -> None:
    """One model of all data, submitted; its score is that of its cross-validation."""
    need = Need("refit", session.settings)
    session.check(need, *decisions(session.settings, "refit"), also=submission.READS)
    submission.refuse(session.settings, session.need("data"), session.home)
    path = write_submission(session, decided(session, need))
    next_step.say_with_file(session, "submit", "FILE", path, " DRY=1")


def ensemble(session: Session, options: Options) -> None:
    """The blend, submitted like each of its members."""
    infer_for_budget(session, session.settings)
    need = Need("ensemble", session.settings)
    session.check(need, *decisions(session.settings, "ensemble"), also=submission.READS)
    path = blend(session)
    if path is not None:
        next_step.say_with_file(session, "error-analysis", "A", path)


def distill(session: Session, options: Options) -> None:
    """One student trained on predictions of the ensemble's members, compared with the blend and submitted."""
    student, names = session.settings, session.settings.config.ensemble.members
    asked = student.config.train.distill
    if asked is None or not asked.teachers:
        others = [text for text in names if word_of(text).kind != "experiment"]
        if others:
            raise ConfigError(
                texts.TEACHERS_BY_NAME.format(members=", ".join(others)), remedy=texts.TEACHERS_BY_NAME_REMEDY
            )
        student = student.with_values({"train.distill.teachers": names})
    need = Need("distill", student)
    infer_for_budget(session, teacher(session.graph, student, student.experiment))
    session.check(need, also=submission.READS)
    submission.refuse(student, session.need("data", student), session.home)
    session.get(need)
    inferred = session.get(Need("infer", student))
    if inferred.metrics.get("complete") == 1.0:
        path = write_submission(session, inferred)
        next_step.say_with_file(session, "error-analysis", "A", path)
    else:
        _say_partial(session, "distill")


def _say_partial(session: Session, target: str) -> None:
    """Why nothing is submitted, and the same command with all folds."""
    session.say(texts.PARTIAL.format(folds=folds_of(session.settings)))
    words = [word for word in session.settings.words if not word.startswith("train.folds=")]
    next_step.say(session, target, words=words)


def decisions(settings: Settings, of: str) -> list[Need]:
    """The decision of a result, if one is asked for."""
    decision = settings.config.decision
    wanted = bool(decision.steps) and (of == "ensemble" or decision.members)
    return [Need("decide", settings, {"of": of})] if wanted else []


def decided(session: Session, need: Need) -> Artifact:
    """The result to submit: after the decision steps that were kept, or as it is where none was."""
    # The decision comes first: it rejects wrong settings before training. A pinned result has no settings.
    made = [] if need.key else [session.get(n) for n in decisions(need.settings, need.stage)]
    kept = [artifact for artifact in made if artifact.metrics["adopted"]]
    return kept[0] if kept else session.get(need)


def infer_for_budget(session: Session, settings: Settings) -> None:
    """With a time budget, infer the members first: their measured costs are part of the ensemble's key."""
    if settings.config.ensemble.max_ms is None:
        return
    needs = list(session.graph.inputs(Need("ensemble", settings), "infer").values())
    later = ("ensemble", "cost", "whole", "decide", "error_analysis", "eda", "resample")
    read = {path for name in later for path in session.catalogue.get(name).sections(settings)}
    session.check(*needs, also=(*read, *submission.READS))
    session.get_all(needs)


def blend(session: Session, compared: bool = True) -> Path | None:
    """Submit the blend and each of its members; nothing is submitted while folds are missing.

    `compared`: False for a command that compares it afterwards, with more scores or in a report.

    Returns:
        The CSV of the blend, or None.
    """
    need = Need("ensemble", session.settings)
    submission.refuse(session.settings, session.need("data"), session.home)
    members.refuse(session.settings, load.samples(session.need("data"), "test", session.home))
    final_artifact = decided(session, need)
    if session.get(need).metrics.get("complete") != 1.0:
        _say_partial(session, "ensemble")
        return None
    for name, member in session.graph.inputs(need).items():
        if name.startswith(members.MEMBER):
            artifact = session.store.find(member.stage, session.graph.key(member))
            assert artifact is not None, f"{name} is an input of the blend, and it is gone"
            if member.key is None and decisions(member.settings, "infer"):
                artifact = decided(session, member)
            submission.publish(artifact, session.settings, session.store)
    session.show(session.need("cost"))
    return write_submission(session, final_artifact, compared)


def write_submission(session: Session, artifact: Artifact, compared: bool = True) -> Path:
    """Write the CSV of a result, print its path and, if `compared`, how it is against the best other one."""
    path = submission.publish(artifact, session.settings, session.store)
    session.say(texts.SUBMISSION.format(path=shown(path)))
    if not compared:
        return path
    entry = next(e for e in entries_of_metric(session) if e.name == path.stem)
    samples = load.samples(session.need("data"), "train", session.home)
    best = best_other(session, entry.name, ranking.scored_on(entry, session.store))
    session.say(against.line(session.settings.config, samples, session.store, entry, best))
    return path


def best_other(
    session: Session, name: str, scored_on: str = "", with_csv: bool = False
) -> ledger.Choice | None:
    """The best submission of the ledger but the named one, which every command compares with.

    `scored_on`: the data and folds of the named one, if they are known; otherwise those of the settings.
    `with_csv`: only submissions whose CSV is here.
    """
    entries = [e for e in entries_of_metric(session) if not with_csv or csv_of(session, e).is_file()]
    data, folds = session.need("data"), session.need("folds").address
    asked = scored_on or ranking.on(data.address, folds)
    return ranking.best(session.settings, entries, session.store, data, asked, name)


def score(session: Session, options: Options) -> None:
    """Score submissions on local answers, or record the scores that the host showed."""
    config = session.settings.config.competition
    given = options.public is not None or options.private is not None
    if given and not options.file:
        raise DataError(texts.SCORE_WITHOUT_FILE, remedy=_("make score FILE=… PUBLIC=0.71"))
    data = session.need("data")
    paths = [Path(options.file)] if options.file else unscored(session, options.reveal)
    for path in paths:
        name = host_scores.take_in(session.home, session.settings, data, path)
        scored = HostScore(name, options.public, options.private)
        if not given:
            path = session.home / "submissions" / f"{name}.csv"
            scored = host_scores.of_answers(session.settings, data, session.home, path, options.reveal)
        entry = host_scores.record(session.home, session.tracker, config, scored)
        session.say(host_scores.described(entry, options.reveal or options.private is not None))
    if not paths:
        for entry in entries_of(session):
            session.say(host_scores.described(entry, reveal=False))


def entries_of(session: Session) -> list[ledger.Entry]:
    """The ledger's entries of this competition."""
    name = session.settings.config.competition.name
    return [e for e in ledger.read(submission.ledger_of(session.home)) if e.competition == name]


def entries_of_metric(session: Session) -> list[ledger.Entry]:
    """The ledger's entries of this competition and metric."""
    metric = metric_of(session.settings.config.competition.metric).name
    return [e for e in entries_of(session) if e.metric == metric]


def csv_of(session: Session, entry: ledger.Entry) -> Path:
    """The path of an entry's CSV."""
    return session.home / "submissions" / f"{entry.name}.csv"


def unscored(session: Session, again: bool) -> list[Path]:
    """CSVs without a public score; all CSVs with `again`."""
    entries = [e for e in entries_of_metric(session) if again or e.public is None]
    return [csv_of(session, e) for e in entries if csv_of(session, e).is_file()]


def leaderboard(session: Session, options: Options) -> None:
    """The ledger against the host, and why the two differ."""
    entries = entries_of_metric(session)
    if not entries:
        raise DataError(texts.EMPTY_LEDGER, remedy=_("make infer first"))
    data = session.need("data")
    asked = ranking.on(data.address, session.need("folds").address)
    need = leaderboard_need(session.settings, entries, session.store, data, asked, options.name)
    session.check(need)
    session.show(session.get(need))


def final(session: Session, options: Options) -> None:
    """Which submissions to select at the end."""
    from pipeline.submit.final import proposal

    if options.n < 1:
        raise DataError(texts.NO_PICKS.format(n=options.n), remedy=_("make final N=2"))
    entries, data = entries_of_metric(session), session.need("data")
    _say_best(session)
    asked = ranking.on(data.address, session.need("folds").address)
    picks = proposal(session.settings, entries, session.store, data, asked, options.n)
    for line in picks.lines:
        session.say(line)
    next_step.say_with_file(session, "submit", "FILE", csv_of(session, picks.first), " DRY=1")


def _say_best(session: Session) -> None:
    """The best submission so far, by the rule of all commands."""
    best = best_other(session, "")
    if best is not None:
        session.say(texts.BEST.format(name=best.entry.name, why=best.why))


def pin_best(session: Session, options: Options) -> None:
    """Mark the best submission by hand, or remove the mark."""
    if not options.name.strip():
        raise DataError(texts.PIN_WITHOUT_NAME, remedy=texts.PIN_WITHOUT_NAME_REMEDY)
    name = None if options.name == "none" else options.name
    ledger.pin(submission.ledger_of(session.home), name, session.settings.config.competition.name)
    session.say(texts.PINNED.format(name=name) if name else texts.UNPINNED)
    if name is None:
        _say_best(session)


def validate(session: Session, options: Options) -> None:
    """Check a CSV against the host's sample, and repair its form."""
    from pipeline.submit.validate import run

    run(session, options)


def reproduce(session: Session, options: Options) -> None:
    """Rebuild a submission from its provenance, and compare."""
    from pipeline.submit.reproduce import run

    run(session, options)


def runs(session: Session, options: Options) -> None:
    """Print finished experiments, their scores, and the settings in which they differ."""
    name = session.settings.config.competition.name
    for line in ranking.table(session.store, name, session.language):
        session.say(line)
    made, trained = (
        [a for a in session.store.chosen(stage) if a.manifest.get("competition") == name]
        for stage in ("infer", "train")
    )
    newest = max(made, key=lambda a: str(a.manifest.get("created", "")), default=None)
    folds = fold_words(newest.manifest) if newest is not None else ()
    made = [a for a in made if fold_words(a.manifest) == folds]
    words = [*session.settings.competition_words, *folds, "ensemble.members=[auto]"]
    if len(made) > 1:
        next_step.say(session, "ensemble", words=words)
    else:
        next_step.say(session, "error-analysis" if made else "infer" if trained else "train")
