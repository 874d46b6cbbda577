"""What is told of a finished search, at the terminal and as a page.

Owns turning a study and its verdict into these. Does not own the page (`tune/page.py`) or the record of
runs (`tune/search_record.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.engine.session import Session
from pipeline.record.digests import write_atomic
from pipeline.record.study import Study, Trial
from pipeline.tune import adopt
from pipeline.tune import page as tuning
from pipeline.tune.page import Dot
from pipeline.tune.retest import Verdict
from pipeline.tune.space_check import plain
from pipeline.tune.trials import Bench


def page_of(
    bench: Bench, study: Study, verdict: Verdict, command: str, written: Path | None, told: Sequence[str]
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
        told=(*front_lines(bench, study), *told),
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


def report(session: Session, page: tuning.TuningPage, bench: Bench) -> str:
    """Write the page below `tuning/`; returns its path as people type it."""
    config = bench.settings.config
    path = session.home / "tuning" / f"{page.study}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = config.competition.title or config.competition.name
    write_atomic(path, tuning.render_html(page, title, config.report.thumbnail_px).encode())
    return os.path.relpath(path)
