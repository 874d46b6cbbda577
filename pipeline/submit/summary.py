"""What `make all` ends with: the score, whether it is better, where everything lies, and the seconds.

Owns the words. Does not own any figure.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from pipeline.core import metrics
from pipeline.pages.command_words import make_with
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.submit.ledger import Entry

SHOWN_SECONDS = 0.5


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


def reports(artifact: Artifact) -> list[str]:
    """One line for each page of a result."""
    return [f"report: {shown(path)}" for path in sorted(artifact.folder.glob("*.html"))]


def shown(path: Path) -> str:
    """A path as a person would type it here: relative below this folder, whole elsewhere."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def times(seconds: Mapping[str, float], total: float) -> str:
    """Seconds by stage; what is left went into start-up, checks and the record."""
    spent = {name: s for name, s in seconds.items() if s >= SHOWN_SECONDS}
    if not spent:
        return f"  seconds                 everything was reused; {total:.0f} in all"
    told = "  ".join(f"{name} {s:.0f}" for name, s in spent.items())
    rest = total - sum(seconds.values())
    return f"  seconds                 {told}  start-up and the rest {rest:.0f}; {total:.0f} in all"
