"""`make all`: EDA, resampling, training, inference, the ensemble and the error report, then a summary.

Owns the order of the command and its summary: the score, whether it is better, the paths, and the seconds.
Does not own any figure.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core import metrics
from pipeline.core.columns import padded
from pipeline.core.language import ENGLISH, _, say
from pipeline.core.predictions import cautioned, compared
from pipeline.data import host
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble.stages import BLEND
from pipeline.errors.commands import compare, say_next
from pipeline.pages.command_words import make_with, shown, spoken, ui_command
from pipeline.record.board import HERE
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.submit import commands, host_scores
from pipeline.submit.ledger import Entry

Options = argparse.Namespace
SHOWN_SECONDS = 0.5
NAME_WIDTH = 23

# Texts of the summary.
SCORE = _("{score:.4f}  95 % interval [{low:.4f}, {high:.4f}]")
SCORE_WITH_CAUTION = _("{score}  ({caution})")
TITLE_OF_SCORE = _("pooled OOF {metric}")
AGAINST_BEST = _("{comparison} ({member})")
NOT_SUBMITTED = _("submit the CSV, then {command}")
OPEN_MLFLOW, OPEN_AT_SERVER = _("{command}, then open {link}"), _("open {link}")
ALL_REUSED = _("everything was reused; {total:.0f} in all")
SECONDS = _("{stages}  start-up and the rest {rest:.0f}; {total:.0f} in all")
SUBMISSION, PUBLIC, REPORT = _("submission"), _("public score"), _("error report")
AGAINST, SECONDS_ROW, RECORD = _("against best member"), _("seconds"), "MLflow"


def run(session: Session, options: Options) -> None:
    """Run everything, and print a summary with the next step."""
    if options.time or options.portfolio:
        _in_time(session, options)
        return
    started = time.monotonic()
    commands.infer_for_budget(session, session.settings)
    ensemble = Need("ensemble", session.settings)
    members = [n for n in session.graph.inputs(ensemble, "infer").values() if n.key is None]
    before = [Need("eda", session.settings), *(Need("resample", m.settings) for m in members)]
    after = (*commands.decisions(session.settings, "ensemble"), Need("error_analysis", session.settings))
    session.check(*before, ensemble, *after)
    session.get_all(before)
    path = commands.blend(session, compared=False)
    if path is None:
        return
    _score_here(session)
    report = compare(session, path, None)
    _sum_up(session, commands.decided(session, ensemble), path, path, report)
    session.say(times(session.seconds, time.monotonic() - started, session.language))
    say_next(session, report)


def _score_here(session: Session) -> None:
    """The public scores of submissions without one, where the answers are kept here, as for the demos."""
    config = session.settings.config.competition
    if host.knows_answers(config):
        for csv in commands.unscored(session, again=False):
            score = host_scores.of_answers(
                session.settings, session.need("data"), session.home, csv, reveal=False
            )
            host_scores.record(session.home, session.tracker, config, score)


def _in_time(session: Session, options: Options) -> None:
    """The same for as long as there is time, by the plan; see `plan/commands.py`."""
    from pipeline.plan.commands import all_in_time

    spent = all_in_time(session, options)
    assert spent.report is not None, "make all ends with the error report"
    _score_here(spent.session)
    _sum_up(spent.session, spent.best.artifact, spent.best.path, spent.best.stable, spent.report)
    say_next(spent.session, spent.report)


def _sum_up(session: Session, result: Artifact, path: Path, named: Path, report: Artifact) -> None:
    """Print the summary of a result; `path`: its CSV, `named`: how the summary names it."""
    config = session.settings.config.competition
    entry = next(e for e in commands.entries_of(session) if e.name == path.stem)
    link = session.tracker.link(config.name) if session.settings.config.runtime.mlflow else ""
    for line in lines(session.settings, result, entry, named, report, link):
        session.say(line)


def lines(
    settings: Settings, blend: Artifact, entry: Entry, path: Path, report: Artifact, link: str
) -> list[str]:
    """The summary of a finished ensemble or its decision, in the language of the settings.

    `path` is the CSV, `report` the error analysis, `link` the address of the competition's table in MLflow;
    empty: there is none.
    """
    config, m = settings.config, blend.metrics
    competition = config.competition
    metric = metrics.get(competition.metric).name
    score = SCORE.format(score=m[f"oof_{metric}"], low=m["ci_low"], high=m["ci_high"])
    caution = blend.manifest.get("tags", {}).get("caution")
    if caution:
        score = SCORE_WITH_CAUTION.format(score=score, caution=cautioned(caution))
    facts = blend.json(BLEND) if blend.has(BLEND) else None
    page = min(report.folder.glob("*.html"))
    command = make_with(
        spoken(f"make score FILE={shlex.quote(shown(path))} PUBLIC=…"),
        settings.located(settings.competition_words),
    )
    public = NOT_SUBMITTED.format(command=command) if entry.public is None else f"{entry.public:.4f}"
    rows = {
        TITLE_OF_SCORE.format(metric=metric): score,
        **({} if facts is None else _against_best_member(facts)),
        SUBMISSION: shown(path),
        PUBLIC: public,
        REPORT: shown(page),
    }
    if link.startswith(HERE):
        command = ui_command(config.runtime.folder.resolve())
        rows[RECORD] = OPEN_MLFLOW.format(command=command, link=link)
    elif link:
        rows[RECORD] = OPEN_AT_SERVER.format(link=link)
    title = competition.title or competition.name
    return ["", title, *(row(name, value, config.report.language) for name, value in rows.items())]


def row(name: str, value: str, language: str) -> str:
    """A line of the summary, its values below each other."""
    return f"  {padded(say(name, language), NAME_WIDTH)} {say(value, language)}"


def _against_best_member(facts: Mapping[str, Any]) -> dict[str, str]:
    told = AGAINST_BEST.format(comparison=compared(facts["against_best_member"]), member=facts["best_member"])
    return {AGAINST: told}


def times(seconds: Mapping[str, float], total: float, language: str = ENGLISH) -> str:
    """Seconds per stage; the rest is start-up, checks and the record."""
    long = {name: s for name, s in seconds.items() if s >= SHOWN_SECONDS}
    text = ALL_REUSED.format(total=total)
    if long:
        stages = "  ".join(f"{name} {s:.0f}" for name, s in long.items())
        text = SECONDS.format(stages=stages, rest=total - sum(seconds.values()), total=total)
    return row(SECONDS_ROW, text, language)
