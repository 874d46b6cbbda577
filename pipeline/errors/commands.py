"""`make error-analysis`: a new submission against the best other one.

Owns which two submissions are compared, and which of their files and results enter the key of the report.
Does not own the report (`errors/page.py`) nor its stage (`errors/stages.py`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.one_label import one_label
from pipeline.core.targets import EXCLUSIVE, VALUES
from pipeline.data import load
from pipeline.data.labels import label_space
from pipeline.engine import naming, next_step
from pipeline.engine.need import Need, Params
from pipeline.engine.session import Session
from pipeline.errors import case, texts
from pipeline.errors.advice import ledger
from pipeline.errors.advice.changes import FinishedRuns
from pipeline.errors.judging import answers_file, value_verdicts
from pipeline.pages.command_words import shown, spoken
from pipeline.record.files import sha256_text
from pipeline.record.store import Artifact
from pipeline.settings import read
from pipeline.submit import commands as submitting
from pipeline.submit import ranking
from pipeline.submit.ledger import Entry

Options = argparse.Namespace
# The ledger's kind of a blend.
BLEND = "blend"


def error_analysis(session: Session, options: Options) -> None:
    """Compare A with B; without A the blend of ARGS, or the newest submission if ARGS changes nothing."""
    _refuse_label(session, options)
    if options.a:
        session.check(Need("error_analysis", session.settings, {"a": options.a}))
        new = Path(options.a).resolve()
    elif not _changes_anything(options.settings) and (newest := _newest(session)) is not None:
        _of_newest(session, options, newest)
        return
    else:
        submitting.infer_for_budget(session, session.settings)
        blend_of = (Need("ensemble", session.settings), *submitting.decisions(session.settings, "ensemble"))
        session.check(*blend_of, Need("error_analysis", session.settings))
        blend = submitting.blend(session, compared=False)
        if blend is None:
            return
        new = blend
    say_next(session, _compared(session, options, new))


def _refuse_label(session: Session, options: Options) -> None:
    """Raise ConfigError, before anything is built, for answers or a label that this target does not have."""
    target = session.settings.config.competition.target
    if options.label:
        one_label(label_space(session.settings.config.competition), str(options.label), "LABEL")
    elif options.verdicts and target not in (EXCLUSIVE, VALUES):
        raise ConfigError(texts.JUDGED_ONE_LABEL.format(target=target), remedy=texts.NAME_A_LABEL)


def _changes_anything(words: Sequence[str]) -> bool:
    """Whether the words say more than which competition and folds, and on which machine."""
    return any(not word.startswith(("competition=", "competition.", "folds.", "runtime.")) for word in words)


def _newest(session: Session) -> Entry | None:
    """The newest submission of the competition whose CSV is here; of those of one second, the blend."""
    here = [
        e
        for e in submitting.entries_of_metric(session)
        if not e.former and submitting.csv_of(session, e).is_file()
    ]
    return max(here, key=lambda e: (e.created, e.kind == BLEND), default=None)


def _of_newest(session: Session, options: Options, entry: Entry) -> None:
    """The report on the newest submission, with the competition's and the folds' settings of its own."""
    path = submitting.csv_of(session, entry)
    made = case.recorded(session.store, path)
    settings = session.settings if made is None else naming.shared(made, session.settings)[0]
    session.say(texts.NEWEST.format(name=entry.name))
    own = session.beside(settings)
    try:
        own.check(Need("error_analysis", settings, {"a": str(path)}))
        say_next(own, _compared(own, options, path))
    finally:
        own.close()


def _compared(session: Session, options: Options, new: Path) -> Artifact:
    given = Path(options.verdicts) if options.verdicts else None
    old = Path(options.b).resolve() if options.b else None
    return compare(session, new, old, given, str(options.label or ""))


def compare(
    session: Session, new: Path, old: Path | None, file: Path | None = None, label: str = ""
) -> Artifact:
    """The report on a new submission against `old`; None: against the best other one of the ledger.

    `label`: of labels that hold together, the one that the report is about; empty: all. A `file` with a
    person's answers, as the page exported them, is checked and stored first.

    Raises:
        DataError: a file is missing, or there is nothing to compare with.
    """
    why = ""
    if file is not None and session.settings.config.competition.target == VALUES:
        session.say(_values_judged(session, file))
        file = None
    if old is None:
        old, why = _best_other(session, new)
    for path in (new, old):
        if path is not None and not path.is_file():
            raise DataError(texts.NO_SUCH_FILE.format(path=path), remedy=texts.GIVE_CSV)
    if old is None:
        if file is not None or case.made_of(session.store, session.need("data"), new) is None:
            command = next_step.command(
                session, "error-analysis B=best.csv", words=session.settings.competition_words
            )
            raise DataError(
                texts.NOTHING_TO_COMPARE.format(name=new.name),
                remedy=texts.NAME_ANOTHER.format(command=command),
            )
        session.say(texts.FIRST)
    elif file is not None:
        words = session.graph.words_of("error-analysis", session.settings)
        words = session.settings.located(words)
        data = session.need("data")
        paths = (new, old)
        session.say(answers_file.take_in(session.settings, words, data, session.home, file, paths, label))
    params = _params(session, new, old, why, label)
    artifact = session.get(Need("error_analysis", session.settings, params))
    ledger.keep(session.home, artifact)
    _attach(session, new, artifact)
    session.show(artifact)
    return artifact


def _values_judged(session: Session, file: Path) -> str:
    """Check and store a person's verdicts about values of training images."""
    train = load.samples(session.need("data"), "train", session.home)
    names = train.space.classes
    truth_of = {
        (str(i), name): float(value)
        for i, row in zip(train.ids_N, np.asarray(train.truth), strict=True)
        for name, value in zip(names, row, strict=True)
        if not np.isnan(value)
    }
    path = answers_file.path_of(session.home, session.settings)
    return value_verdicts.take_in(file, path, truth_of, names, session.settings.config.competition.encoding)


def _attach(session: Session, new: Path, report: Artifact) -> None:
    """In the record the run of the submission has the new report about it, too."""
    about = case.recorded(session.store, new)
    if about is not None and report.stage in session.seconds:
        session.tracker.attach(about.key, about.stage, min(report.folder.glob("*.html")))


def say_next(session: Session, report: Artifact) -> None:
    """The last line: the first command that the report advises."""
    session.end_with(next_step.NEXT.format(command=spoken(report.json(ledger.REPORTED)["next"])))


def _best_other(session: Session, new: Path) -> tuple[Path | None, str]:
    """The CSV of the best submission other than `new`, and why it is the best; None: there is none."""
    itself = _entry_of(session, new)
    name, own = (itself.name, ranking.scored_on(itself, session.store)) if itself else ("", "")
    best = submitting.best_other(session, name, own)
    if best is None:
        return None, ""
    path = submitting.csv_of(session, best.entry)
    if not path.is_file():
        session.say(texts.BEST_WITHOUT_FILE.format(name=best.entry.name, why=best.why, path=shown(path)))
        best = submitting.best_other(session, name, own, with_csv=True)
        if best is None:
            return None, ""
    session.say(texts.COMPARED_WITH.format(name=best.entry.name, why=best.why))
    return submitting.csv_of(session, best.entry), best.why


def _entries(session: Session, *paths: Path | None) -> list[Entry | None]:
    return [None if path is None else _entry_of(session, path) for path in paths]


def _entry_of(session: Session, path: Path) -> Entry | None:
    """The line of the ledger whose CSV this file is."""
    # By file and not by name: a teammate's CSV may have the name of one of ours.
    entries = submitting.entries_of_metric(session)
    return next((e for e in entries if submitting.csv_of(session, e).resolve() == path.resolve()), None)


def _params(session: Session, new: Path, old: Path | None, why: str, label: str) -> Params:
    """Everything that singles out a report: both CSVs, their public scores, and results known so far."""
    public = ["" if e is None or e.public is None else repr(e.public) for e in _entries(session, new, old)]
    params: dict[str, str | int] = {
        "a": os.path.relpath(new, session.home),
        "b": "" if old is None else os.path.relpath(old, session.home),
        "a_public": public[0],
        "b_public": public[1],
        "b_why": why,
        "known": _known(session),
        **case.optional(session, session.need("data"), new),
    }
    if label:
        params["label"] = label
    answers = answers_file.path_of(session.home, session.settings, label)
    if answers.is_file():
        params[answers_file.PARAM] = os.path.relpath(answers, session.home)
    return params


def _known(session: Session) -> str:
    """Digest of the finished runs that a report may mention, so that a new run gives a new report."""
    data, folds = session.need("data"), session.need("folds")
    train = load.samples(data, "train", session.home)
    settings = session.settings
    runs = FinishedRuns(session.store, settings.config, train, data.address, folds.address, settings)
    # A report names runs by their experiment files, so a new or a changed file gives a new report.
    files = sorted(
        f"{path.name} {session.index.digest(path)}"
        for layer in read.layers(session.settings.folder)
        for path in (layer / "experiment").glob("*.yaml")
    )
    return sha256_text("\n".join([ledger.digest(session.home, runs), *files]))[:16]
