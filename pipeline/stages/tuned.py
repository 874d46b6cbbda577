"""What is told of a finished search, at the terminal and as a page.

Owns turning a study and its verdict into these. Does not own the page (`analyze/tuning.py`) or the record of
runs (`stages/search_record.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analyze import tuning
from pipeline.analyze.search_plots import Dot
from pipeline.record.digests import write_atomic
from pipeline.record.study import Study, Trial
from pipeline.settings.space_check import plain
from pipeline.stages import adopt
from pipeline.stages.context import Context
from pipeline.stages.registry import Need, is_probe
from pipeline.stages.retest import Verdict
from pipeline.stages.trials import Bench

FEWEST_PAIRS = 4


def page_of(
    bench: Bench, study: Study, verdict: Verdict, command: str, written: Path | None
) -> tuning.TuningPage:
    """Everything that the page and the terminal say."""
    every = study.trials()
    # A point that was drawn again is no second point of the front.
    front = {t.number for t in {repr(sorted(t.point.items())): t for t in study.front()[::-1]}.values()}
    second = bench.search.form.second or ""
    dots = [
        Dot(
            t.number,
            t.point,
            t.values[0],
            t.values[1] if second else None,
            t.number in front,
            _words(bench, t),
        )
        for t in every
        if t.state == "complete"
    ]
    retested = [
        tuning.Retested(
            c.trial.number,
            _words(bench, c.trial),
            c.naive,
            c.retested,
            c.comparison,
        )
        for c in verdict.candidates
    ]
    return tuning.TuningPage(
        stage=bench.kind.name,
        about=bench.search.form.about,
        study=study.name,
        command=command,
        metric=bench.metric.name,
        higher_is_better=bench.metric.higher_is_better,
        default=verdict.default,
        default_retested=verdict.default_retested,
        retested=retested,
        how=verdict.how,
        states=Counter(t.state for t in every),
        dots=dots,
        dimensions=bench.search.dimensions,
        importances=study.importances(),
        second=second,
        written=written.stem if written else "",
        adopt=adopt.command(bench, written.stem) if written else "",
        told=(*front_lines(bench, study), *proxy_lines(bench, study)),
        failed=tuple(dict.fromkeys(t.reason for t in every if t.state == "failed")),
    )


def _words(bench: Bench, trial: Trial) -> str:
    return ", ".join(f"{k}={plain(v)}" for k, v in bench.search.values(trial.point).items())


def front_lines(bench: Bench, study: Study) -> list[str]:
    """For two objectives: how many trials no other one beats in both, and which of them is judged."""
    if bench.search.form.second is None:
        return []
    count, metric = len({repr(sorted(t.point.items())) for t in study.front()}), bench.metric.name
    return [
        f"{count} settings on the Pareto front of {metric} and {bench.search.form.second}: see the report; "
        f"the re-test and the winner are by {metric} alone"
    ]


def report(ctx: Context, page: tuning.TuningPage, bench: Bench) -> str:
    """Write the page below `tuning/`; returns its path as people type it."""
    config = bench.settings.config
    path = ctx.home / "tuning" / f"{page.study}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = config.competition.title or config.competition.name
    write_atomic(path, tuning.render_html(page, title, config.report.thumbnail_px).encode())
    return os.path.relpath(path)


def proxy_lines(bench: Bench, study: Study) -> list[str]:
    """For `eda`: does the cheap proxy rank settings as full trainings do? Only where there are some."""
    if bench.kind.name != "eda":
        return []
    pairs = _pairs(bench, study)
    if len(pairs) < FEWEST_PAIRS:
        return [
            f"the proxy's rank correlation with full training is not known: {len(pairs)} of these settings "
            f"were trained in full, {FEWEST_PAIRS} are needed"
        ]
    ranks = pd.DataFrame(pairs, columns=["proxy", "full"]).rank()
    rho = float(np.corrcoef(ranks["proxy"], ranks["full"])[0, 1])
    return [
        f"the proxy's rank correlation with full training: {rho:+.2f} over {len(pairs)} settings (Spearman)"
    ]


def _pairs(bench: Bench, study: Study) -> list[tuple[float, float]]:
    """(proxy's score, mean score of full trainings) of settings that both had."""
    name = f"oof_{bench.metric.name}"
    ctx, full = bench.ctx, dict[str, list[float]]()
    folds = f"folds/{ctx.graph.key(Need('folds', bench.settings))}"
    for artifact in ctx.store.all("train"):
        probe = artifact.setting("train.strategy") == "linear_probe"
        whole = artifact.metrics.get("complete") == 1.0 and name in artifact.metrics
        if whole and not probe and artifact.inputs.get("folds") == folds:
            look = _look(artifact.manifest.get("settings", {}))
            full.setdefault(look, []).append(artifact.metrics[name])
    found = []
    for trial in study.trials():
        if trial.state == "complete" and is_probe(bench.settings):
            proxy = ctx.store.find(*trial.notes.get("result", "/").split("/", 1))
            scores = full.get(_look(proxy.manifest.get("settings", {}))) if proxy else None
            if scores:
                found.append((trial.values[0], float(np.mean(scores))))
    return found


def _look(settings: dict[str, object]) -> str:
    """What of a training's settings makes the pixels."""
    return repr([settings.get(name) for name in ("images", "crop", "preprocess")])
