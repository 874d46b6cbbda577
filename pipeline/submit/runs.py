"""`make runs`: finished experiments, their scores, and the settings in which they differ.

Owns the table; it reads manifests only, so it works without the MLflow database.
"""

from __future__ import annotations

from pipeline.core import metrics
from pipeline.engine.slices import flat
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.submit import texts
from pipeline.train.scoring import SCORED


def differing(runs: list[Artifact]) -> list[dict[str, str]]:
    """For each run, those of its settings in which the runs differ."""
    settings = [flat(a.manifest.get("settings", {})) for a in runs]
    names = sorted({name for s in settings for name in s})
    unequal = [n for n in names if len({s[n] for s in settings if n in s}) > 1]
    return [{n: s[n] for n in unequal if n in s} for s in settings]


def table(store: Store, competition: str) -> list[str]:
    """The lines of the table, best score first within each kind of run."""
    runs = _runs(store, competition)
    if not runs:
        return [texts.NO_RUNS.format(competition=competition)]
    lines = [f"{'stage':<9} {'experiment':<26} {'key':<9} {'score':<26} {'folds':<6} {'min':>6}  made"]
    for artifact, unequal in zip(runs, differing(runs), strict=True):
        lines.append(_row(artifact))
        if unequal:
            settings = "  ".join(f"{name}={value}" for name, value in unequal.items())
            lines.append(texts.RUNS_DIFFER.format(settings=settings))
    return lines


def _runs(store: Store, competition: str) -> list[Artifact]:
    runs = [a for a in store.chosen() if a.stage in SCORED and a.manifest.get("competition") == competition]
    return sorted(runs, key=_rank)


def _metric(artifact: Artifact) -> tuple[str, float]:
    return next((n.removeprefix("oof_"), v) for n, v in artifact.metrics.items() if n.startswith("oof_"))


def _rank(artifact: Artifact) -> tuple[int, float]:
    name, value = _metric(artifact)
    known = metrics.METRICS.get(name)
    return SCORED.index(artifact.stage), -value * (known.sign if known else 1)


def _row(artifact: Artifact) -> str:
    name, value = _metric(artifact)
    m = artifact.metrics
    score = f"{value:.4f} [{m['ci_low']:.4f}, {m['ci_high']:.4f}]"
    folds = sum(n.startswith("fold") and n != "folds" for n in artifact.inputs)
    part = "" if m.get("complete") == 1.0 else texts.RUNS_PARTIAL
    made = str(artifact.manifest["created"])[:16].replace("T", " ")
    count = str(folds) if folds else "–"
    return (
        f"{artifact.stage:<9} {artifact.manifest['experiment']:<26} {artifact.key[:SHORT]:<9} {score:<26} "
        f"{count:<6} {artifact.seconds / 60:>6.1f}  {made}  {name}{part}"
    )


def markdown(store: Store, competition: str) -> str:
    """The finished runs as a markdown table, for the MLflow UI."""
    rows = ["| stage | experiment | score | 95 % interval | key |", "|---|---|---|---|---|"]
    for artifact in _runs(store, competition):
        m = artifact.metrics
        rows.append(
            f"| {artifact.stage} | {artifact.manifest['experiment']} | {_metric(artifact)[1]:.4f} "
            f"| {m['ci_low']:.4f} to {m['ci_high']:.4f} | {artifact.key[:SHORT]} |"
        )
    return "\n".join(rows)
