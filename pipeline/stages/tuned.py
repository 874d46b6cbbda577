"""What is told of a finished search: at the terminal, as a page, and in the record of runs.

Owns turning a study and its verdict into these. Does not own the page (`analyze/tuning.py`) or MLflow
(`record/tracking.py`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.analyze import tuning
from pipeline.analyze.search_plots import Dot
from pipeline.record.digests import write_atomic
from pipeline.record.runinfo import RunInfo, git_commit, note
from pipeline.record.study import Study
from pipeline.settings.space_check import plain
from pipeline.stages.context import Context, flat
from pipeline.stages.retest import Verdict
from pipeline.stages.trials import AFTER_EPOCHS, Bench


def page_of(
    bench: Bench, study: Study, verdict: Verdict, command: str, written: Path | None, told: Sequence[str]
) -> tuning.TuningPage:
    """Everything that the page and the terminal say."""
    every = study.trials()
    front = {t.number for t in study.front()}
    second = bench.search.form.second or ""
    dots = [
        Dot(t.number, t.point, t.values[0], t.values[1] if second else None, t.number in front)
        for t in every
        if t.state == "complete"
    ]
    retested = [
        tuning.Retested(
            c.trial.number,
            ", ".join(f"{k}={plain(v)}" for k, v in bench.search.values(c.trial.point).items()),
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
        told=tuple(told),
        failed=tuple(dict.fromkeys(t.reason for t in every if t.state == "failed")),
    )


def report(ctx: Context, page: tuning.TuningPage, bench: Bench) -> str:
    """Write the page below `tuning/`; returns its path as people type it."""
    config = bench.settings.config
    path = ctx.home / "tuning" / f"{page.study}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = config.competition.title or config.competition.name
    write_atomic(path, tuning.render_html(page, title, config.report.thumbnail_px).encode())
    return os.path.relpath(path)


def record(ctx: Context, page: tuning.TuningPage, bench: Bench, study: Study) -> None:
    """A run of the study in MLflow with a child a trial, in place of what an earlier command recorded."""
    config, metric = bench.settings.config, bench.metric
    info = RunInfo(
        stage="tune",
        competition=config.competition.name,
        name=f"tune {bench.kind.name}",
        key=study.name,
        experiment=bench.settings.experiment,
        tags={"study": study.name, "tuned": bench.kind.name},
        params={
            path: json.dumps(e.model_dump(exclude_none=True)) for path, e in bench.search.form.space.items()
        },
        git=git_commit(),
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
    )
    score = f"oof_{metric.name}"
    ctx.tracker.forget(study.name, "tune")
    with ctx.tracker.run(info) as run:
        for trial in study.done():
            params = flat(bench.search.values(trial.point))
            with run.child(f"trial {trial.number}", {"trial": str(trial.number)}, params) as child:
                folds = {_named(k): v for k, v in trial.curve.items()}
                named = dict(zip((score, page.second), trial.values, strict=False))
                child.metrics({**named, "minutes": trial.seconds / 60, **folds})
                child.tag({"state": trial.state, **({"error": trial.reason} if trial.reason else {})})
        best = study.best()
        figures = {"trials": float(len(study.done())), "default": page.default}
        figures |= {f"naive_{metric.name}": best.values[0]} if best else {}
        if page.retested:
            c = page.retested[0]
            figures |= {f"retested_{metric.name}": c.score, "delta": c.comparison.delta}
            figures |= {"delta_low": c.comparison.low, "delta_high": c.comparison.high}
        run.metrics(figures)
        run.artifact(ctx.home / "tuning" / f"{study.name}.html")
        after = (
            f"make … ARGS=experiment={page.written}" if page.written else "another stage, or a wider space"
        )
        what = f"search of {bench.kind.title}: {len(study.done())} trials"
        run.describe(note(what, page.how, after, f"{study.name}.html", tuning.headline(page)))
        run.tag({"verdict": "better" if page.written else "nothing better"})


def _named(step: int) -> str:
    """What a figure on the way is called: an epoch of the first fold, or the mean of some folds."""
    return f"mean_of_{step - AFTER_EPOCHS}_folds" if step > AFTER_EPOCHS else f"epoch_{step}"
