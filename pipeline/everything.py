"""`make all`: EDA, resampling, training, inference, the ensemble and the error report, then a summary.

Owns the order of the command and its summary: the score, whether it is better, where everything lies, and the
seconds. Does not own any figure.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.core import metrics
from pipeline.data import host
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.errors.commands import compare
from pipeline.pages.command_words import make_with, shown
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.submit import commands as submitting
from pipeline.submit import host_scores
from pipeline.submit.ledger import Entry

Options = argparse.Namespace
SHOWN_SECONDS = 0.5


def run(session: Session, options: Options) -> None:
    """Everything, and a summary that a person can act on."""
    started = time.monotonic()
    submitting.infer_for_budget(session, session.settings)
    ensemble = Need("ensemble", session.settings)
    members = [n for n in session.graph.inputs(ensemble).values() if n.stage == "infer" and n.key is None]
    before = [Need("eda", session.settings), *(Need("resample", m.settings) for m in members)]
    after = (*submitting.decisions(session.settings, "ensemble"), Need("error_analysis", session.settings))
    session.check(*before, ensemble, *after)
    for need in before:
        session.get(need)
    path = submitting.blend(session)
    if path is None:
        return
    config = session.settings.config.competition
    if host.knows_answers(config):
        for csv in submitting.unscored(session, again=False):
            score = host_scores.of_answers(
                session.settings, session.need("data"), session.home, csv, reveal=False
            )
            host_scores.record(session.home, session.tracker, config, score)
    report = compare(session, path, None)
    entry = next(e for e in submitting.entries_of(session) if e.name == path.stem)
    for line in lines(
        session.settings, submitting.decided(session, Need("ensemble", session.settings)), entry, path, report
    ):
        session.say(line)
    session.say(times(session.seconds, time.monotonic() - started))


def lines(settings: Settings, blend: Artifact, entry: Entry, path: Path, report: Artifact) -> list[str]:
    """The summary of a finished ensemble.

    Args:
        settings: those in force.
        blend: the ensemble.
        entry: its line in the ledger.
        path: its CSV.
        report: the error analysis.
    """
    config, m = settings.config, blend.metrics
    competition = config.competition
    metric = metrics.get(competition.metric).name
    caution = blend.manifest.get("tags", {}).get("caution")
    score = f"{m[f'oof_{metric}']:.4f}  95 % interval [{m['ci_low']:.4f}, {m['ci_high']:.4f}]"
    against = blend.json("blend.json")
    page = min(report.folder.glob("*.html"))
    score_it = make_with(f"make score FILE={shlex.quote(shown(path))} PUBLIC=…", settings.competition_words)
    public = f"submit the CSV, then {score_it}"
    if entry.public is not None:
        public = f"{entry.public:.4f}"
    rows = {
        f"pooled OOF {metric}": f"{score}  ({caution})" if caution else score,
        "against best member": f"{against['against_best_member']} ({against['best_member']})",
        "submission": shown(path),
        "public score": public,
        "error report": shown(page),
    }
    if config.runtime.mlflow:
        database = shown(Path(config.runtime.home).resolve() / "mlflow.db")
        command = "make ui" if database == "mlflow.db" else f"make ui DB={database}"
        rows["MLflow"] = f"{command}, then open http://127.0.0.1:5000"
    return ["", competition.title or competition.name, *(f"  {k:<23} {v}" for k, v in rows.items())]


def times(seconds: Mapping[str, float], total: float) -> str:
    """Seconds by stage; what is left went into start-up, checks and the record."""
    spent = {name: s for name, s in seconds.items() if s >= SHOWN_SECONDS}
    if not spent:
        return f"  seconds                 everything was reused; {total:.0f} in all"
    told = "  ".join(f"{name} {s:.0f}" for name, s in spent.items())
    rest = total - sum(seconds.values())
    return f"  seconds                 {told}  start-up and the rest {rest:.0f}; {total:.0f} in all"
