"""The page of a search: what was found, whether it is believed, how the trials went.

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
from pipeline.tune import drawings, winners
from pipeline.tune.drawings import TrialMark, value_text
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.space_check import plain
from pipeline.tune.trials import Bench

# Slices of the most important dimensions.
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
    """What a search found.

    Args:
        stage, about, study, command: of the search, in words.
        metric: of the scores; more is better or not, see `higher_is_better`.
        default, default_retested: scores of the settings as they were.
        retested: best first; empty: nothing beat the default in the search.
        how: the re-test was done.
        states: how many trials of which state.
        marks: complete trials, in order.
        dimensions: what was varied.
        importances: share of each dimension; empty: unknown.
        second: name of the second objective; empty: there is none.
        written: the winner's experiment; empty: nothing was written.
        adopt: the command that makes use of it.
        told: further lines, e.g. the proxy's rank correlation.
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
    told: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())


def headline(page: TuningPage) -> str:
    """What is believed, in a sentence."""
    better = [r for r in page.retested if r.comparison.verdict == "better"]
    if better:
        c = better[0].comparison
        return f"Trial {better[0].trial} is better than the default: {_delta(c)} re-tested"
    if page.retested:
        return f"Nothing better was found: the best trial is {_delta(page.retested[0].comparison)} re-tested"
    return "Nothing better was found: no trial scored better than the default"


def lines(page: TuningPage) -> list[str]:
    """The outcome for a terminal: both figures, naive and re-tested, and the verdict."""
    told = [f"    default      {page.default:.4f} in the search, {page.default_retested:.4f} re-tested"]
    told += [
        f"    trial {r.trial:<6} {r.naive:.4f} in the search (optimistic), {r.score:.4f} re-tested: "
        f"{_delta(r.comparison)}: {r.comparison.verdict}; {r.changed}"
        for r in page.retested
    ]
    told += [f"    by {page.how}", *(f"    {text}" for text in page.told), headline(page)]
    if page.written:
        told.append(f"adopt it with: {page.adopt}")
    return told


def _render_html(page: TuningPage, title: str, thumbnail_px: int) -> str:
    """The self-contained page.

    Args:
        page: what was found.
        title: the competition's.
        thumbnail_px: of the shared style.
    """
    shown = sorted(page.dimensions, key=lambda d: -page.importances.get(d.name, 0.0))
    weighty = [plots.Bar(k, (v,), (f"{100 * v:.0f} %",)) for k, v in page.importances.items()]
    return render(
        "tuning.html",
        title=f"{title}: tuning of {page.stage}",
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
    return plots.whiskers(rows, f"{page.metric} minus that of the default, re-tested", zero=True)


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
    told: Sequence[str],
) -> TuningPage:
    """Everything that the page and the terminal say."""
    every = study.trials()
    # A point that was drawn again is no second point of the front.
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
        Retested(
            c.trial.number,
            _words(bench, c.trial),
            c.naive,
            c.retested,
            c.comparison,
        )
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


def write(session: Session, page: TuningPage, bench: Bench) -> str:
    """Write the page below `tuning/`; returns its path as people type it."""
    config = bench.settings.config
    path = session.home / "tuning" / f"{page.study}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = config.competition.title or config.competition.name
    write_atomic(path, _render_html(page, title, config.report.thumbnail_px).encode())
    return os.path.relpath(path)
