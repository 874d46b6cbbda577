"""`make error-analysis`: a new submission against the best other one.

Owns which two are compared, and what of them enters the report's key. Does not own the report
(`errors/page.py`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.metrics import get as metric_of
from pipeline.data import load
from pipeline.engine.commands import say_reports
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.errors import beside
from pipeline.errors.advice import kept
from pipeline.errors.advice.tested import Runs
from pipeline.errors.judging import kept as judging
from pipeline.pages.command_words import make_with
from pipeline.record.store import Artifact
from pipeline.submit import commands as submitting
from pipeline.submit import ranking

Options = argparse.Namespace


def error_analysis(session: Session, options: Options) -> None:
    """Compare A with B, or the blend with the best other submission."""
    if options.a:
        session.check(Need("error_analysis", session.settings, {"a": options.a}))
        new = Path(options.a).resolve()
    else:
        submitting.infer_for_budget(session, session.settings)
        blend_of = (Need("ensemble", session.settings), *submitting.decisions(session.settings, "ensemble"))
        session.check(*blend_of, Need("error_analysis", session.settings))
        blend = submitting.blend(session)
        if blend is None:
            return
        new = blend
    given = Path(options.verdicts) if options.verdicts else None
    compare(session, new, Path(options.b).resolve() if options.b else None, given)


def compare(session: Session, new: Path, old: Path | None, verdicts: Path | None = None) -> Artifact:
    """The report on a new submission against an old one, or against the best other one.

    Raises:
        DataError: a file is missing, or there is nothing to compare with.
    """
    metric = metric_of(session.settings.config.competition.metric)
    entries = [e for e in submitting.entries_of(session) if e.metric == metric.name]
    if old is None:
        here = [e for e in entries if submitting.csv_of(session, e).is_file()]
        itself = (
            next((e.name for e in here if submitting.csv_of(session, e).samefile(new)), "")
            if new.is_file()
            else ""
        )
        best = ranking.best(session.settings, here, session.store, session.need("data"), excluding=itself)
        if best is not None:
            session.say(f"compared with {best.entry.name}: {best.why}")
            old = submitting.csv_of(session, best.entry)
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
    scores = {
        submitting.csv_of(session, e).resolve(): "" if e.public is None else repr(e.public) for e in entries
    }
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
    say_reports(session, artifact)
    return artifact


def _known(session: Session) -> str:
    """Digest of the finished runs that a report may speak of, so that a new run makes a new report."""
    data, folds = session.need("data"), session.need("folds")
    train = load.samples(data, "train", session.home)
    names = (f"{a.stage}/{a.key}" for a in (data, folds))
    return kept.digest(session.home, Runs(session.store, session.settings.config, train, *names))
