"""The report of a search: its winner, the re-test, and all trials.

Owns turning a study and its verdict into the page and the lines for the terminal. Does not own the drawings
(`tune/drawings.py`), the verdict (`tune/retest.py`) or the record of runs (`tune/search_record.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison
from pipeline.core.search_space import Dimension
from pipeline.engine.session import Session
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.record.digests import write_atomic
from pipeline.record.study import Study, Trial
from pipeline.tune import drawings, texts, winners
from pipeline.tune.drawings import TrialMark, value_text
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.space_check import plain
from pipeline.tune.trials import Bench

# Number of slices: those of the most important dimensions.
SLICES = 8


@dataclass(frozen=True)
class Retested:
    """One trial after the re-test.

    Args:
        trial: its number.
        changed: its settings in words.
        naive: its score in the search.
        score: in the re-test.
        comparison: with the default, in the re-test.
    """

    trial: int
    changed: str
    naive: float
    score: float
    comparison: Comparison


@dataclass(frozen=True)
class TuningPage:
    """The content of the report.

    Args:
        stage, about, study, command: of the search, in words.
        metric: of the scores; see `higher_is_better`.
        default, default_retested: scores of the unchanged settings.
        retested: best first; empty: no trial beat the default in the search.
        how: how the re-test was done.
        states: number of trials of each state.
        marks: complete trials, in order.
        dimensions: that were varied.
        importances: share of each dimension; empty: unknown.
        second: name of the second objective; empty: none.
        written: the winner's experiment; empty: nothing was written.
        adopt: the command that uses it.
        notes: further lines, e.g. the proxy's rank correlation.
        failed: why trials failed, each reason once.
    """

    stage: str
    about: str
    study: str
    command: str
    metric: str
    higher_is_better: bool
    default: float
    default_retested: float
    retested: Sequence[Retested]
    how: str
    states: Mapping[str, int]
    marks: Sequence[TrialMark]
    dimensions: Sequence[Dimension]
    importances: Mapping[str, float]
    second: str = ""
    written: str = ""
    adopt: str = ""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())


def headline(page: TuningPage) -> str:
    """The outcome in one sentence."""
    better = [r for r in page.retested if r.comparison.verdict == "better"]
    if better:
        c = better[0].comparison
        return texts.HEADLINE_BETTER.format(trial=better[0].trial, delta=_delta(c))
    if page.retested:
        return texts.HEADLINE_NOT_BETTER.format(delta=_delta(page.retested[0].comparison))
    return texts.HEADLINE_NONE


def lines(page: TuningPage) -> list[str]:
    """The outcome for a terminal: scores in the search and in the re-test, and the verdict."""
    printed = [texts.LINE_DEFAULT.format(default=page.default, retested=page.default_retested)]
    printed += [
        texts.LINE_TRIAL.format(
            trial=r.trial,
            naive=r.naive,
            score=r.score,
            delta=_delta(r.comparison),
            verdict=r.comparison.verdict,
            settings=r.changed,
        )
        for r in page.retested
    ]
    printed += [texts.LINE_HOW.format(how=page.how), *(f"    {text}" for text in page.notes), headline(page)]
    if page.written:
        printed.append(texts.LINE_ADOPT.format(command=page.adopt))
    return printed


def _render_html(page: TuningPage, title: str, thumbnail_px: int) -> str:
    """The self-contained page.

    Args:
        page: its content.
        title: the competition's.
        thumbnail_px: of the shared style.
    """
    shown = sorted(page.dimensions, key=lambda d: -page.importances.get(d.name, 0.0))
    weighty = [plots.Bar(k, (v,), (f"{100 * v:.0f} %",)) for k, v in page.importances.items()]
    return render(
        "tuning.html",
        title=texts.TITLE.format(competition=title, stage=page.stage),
        page=page,
        headline=headline(page),
        counts=", ".join(f"{n} {state}" for state, n in page.states.items() if n),
        whiskers=_whiskers(page),
        retested=_table(page),
        history=drawings.history(page.marks, page.default, page.higher_is_better, page.metric),
        importance=plots.bars(weighty, "importance of each dimension"),
        slices=[(d.name, drawings.slice_of(d, page.marks, page.metric)) for d in shown[:SLICES]],
        parallel=drawings.parallel(page.dimensions, page.marks, page.metric),
        pareto=drawings.pareto(page.marks, page.metric, page.second) if page.second else None,
        front=_front(page) if page.second else None,
        every=_every(page),
        trials=plural(len(page.marks), "trial"),
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def _delta(comparison: Comparison) -> str:
    return f"{signed(comparison.delta)} [{signed(comparison.low)}, {signed(comparison.high)}]"


def _whiskers(page: TuningPage) -> Markup:
    rows = [
        plots.Whisker(f"trial {r.trial}", r.comparison.delta, r.comparison.low, r.comparison.high)
        for r in page.retested
    ]
    return plots.whiskers(rows, texts.WHISKERS.format(metric=page.metric), zero=True)


def _table(page: TuningPage) -> pd.DataFrame:
    rows = [
        ("default", page.default, page.default_retested, None, None, None, "", ""),
        *(
            (
                f"trial {r.trial}", r.naive, r.score, r.comparison.delta, r.comparison.low, r.comparison.high,
                r.comparison.verdict, r.changed,
            )
            for r in page.retested
        ),
    ]  # fmt: skip
    names = ["", "in the search", "re-tested", "difference", "low", "high", "verdict", "settings"]
    return pd.DataFrame(rows, columns=names)


def _every(page: TuningPage) -> pd.DataFrame:
    """All complete trials, best first."""
    sign = -1 if page.higher_is_better else 1
    rows = [
        {
            "trial": d.number,
            page.metric: d.score,
            **({page.second: d.second} if page.second else {}),
            **{x.name: value_text(d.point[x.name]) if x.name in d.point else "" for x in page.dimensions},
        }
        for d in sorted(page.marks, key=lambda d: (sign * d.score, d.number))
    ]
    return pd.DataFrame(rows)


def _front(page: TuningPage) -> pd.DataFrame:
    marked = sorted((d for d in page.marks if d.marked), key=lambda d: d.second or 0.0)
    rows = [
        (d.number, d.score, d.second, d.words or ", ".join(f"{k}={v}" for k, v in d.point.items()))
        for d in marked
    ]
    return pd.DataFrame(rows, columns=["trial", page.metric, page.second, "settings"])


def page_of(
    bench: Bench,
    study: Study,
    verdict: RetestVerdict,
    command: str,
    written: Path | None,
    notes: Sequence[str],
) -> TuningPage:
    """The content of the report, from a study and its re-test."""
    every = study.trials()
    # A point that was tried again does not count twice on the front.
    front = {t.number for t in {repr(sorted(t.point.items())): t for t in study.front()[::-1]}.values()}
    second = bench.search.form.second or ""
    marks = [
        TrialMark(
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
        Retested(c.trial.number, _words(bench, c.trial), c.naive, c.retested, c.comparison)
        for c in verdict.candidates
    ]
    return TuningPage(
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
        marks=marks,
        dimensions=bench.search.dimensions,
        importances=study.importances(),
        second=second,
        written=written.stem if written else "",
        adopt=winners.adopt_command(bench, written.stem) if written else "",
        notes=(*front_lines(bench, study), *notes),
        failed=tuple(dict.fromkeys(t.reason for t in every if t.state == "failed")),
    )


def _words(bench: Bench, trial: Trial) -> str:
    return ", ".join(f"{k}={plain(v)}" for k, v in bench.search.values(trial.point).items())


def front_lines(bench: Bench, study: Study) -> list[str]:
    """For two objectives: the size of the Pareto front, and which objective chooses the winner."""
    if bench.search.form.second is None:
        return []
    count, metric = len({repr(sorted(t.point.items())) for t in study.front()}), bench.metric.name
    return [texts.FRONT.format(n=count, metric=metric, second=bench.search.form.second)]


def write(session: Session, page: TuningPage, bench: Bench) -> str:
    """Write the page below `tuning/`; returns its relative path."""
    config = bench.settings.config
    path = session.home / "tuning" / f"{page.study}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = config.competition.title or config.competition.name
    write_atomic(path, _render_html(page, title, config.report.thumbnail_px).encode())
    return os.path.relpath(path)
