"""The report of a search: its winner, the re-test, and all trials.

Owns turning a study and its verdict into the page and the lines for the terminal. Does not own the drawings
(`tune/drawings.py`), the verdict (`tune/retest.py`) or the record of runs (`tune/search_record.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.record.digests import write_atomic
from pipeline.record.study import Study
from pipeline.tune import drawings, texts, winners
from pipeline.tune.drawings import TrialMark, value_text
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.trials import Bench

# Number of slices: those of the most important dimensions.
SLICES = 8


@dataclass(frozen=True)
class TuningPage:
    """A finished search, as the report and the record of runs show it.

    Args:
        bench: of the trials.
        study: after the search.
        verdict: of the re-test.
        command: that repeats the search.
        written: the winner's experiment file; None: nothing was written.
        notes: further lines, e.g. the proxy's rank correlation.
    """

    bench: Bench
    study: Study
    verdict: RetestVerdict
    command: str
    written: Path | None
    notes: tuple[str, ...]

    @property
    def adopt(self) -> str:
        """The command that uses the winner; empty: nothing was written."""
        return winners.adopt_command(self.bench, self.written.stem) if self.written else ""


def headline(page: TuningPage) -> str:
    """The outcome in one sentence."""
    winner, candidates = page.verdict.winner, page.verdict.candidates
    if winner:
        return texts.HEADLINE_BETTER.format(trial=winner.trial.number, delta=_delta(winner.comparison))
    if candidates:
        return texts.HEADLINE_NOT_BETTER.format(delta=_delta(candidates[0].comparison))
    return texts.HEADLINE_NONE


def lines(page: TuningPage) -> list[str]:
    """The outcome for a terminal: scores in the search and in the re-test, and the verdict."""
    verdict = page.verdict
    printed = [texts.LINE_DEFAULT.format(default=verdict.default, retested=verdict.default_retested)]
    for c in verdict.candidates:
        line = texts.LINE_TRIAL.format(
            trial=c.trial.number,
            naive=c.naive,
            score=c.retested,
            delta=_delta(c.comparison),
            verdict=c.comparison.verdict,
            settings=page.bench.words(c.trial.point),
        )
        printed.append(line)
    printed += [texts.LINE_HOW.format(how=verdict.how), *(f"    {text}" for text in page.notes)]
    adopt = [texts.LINE_ADOPT.format(command=page.adopt)] if page.written else []
    return [*printed, headline(page), *adopt]


def _render_html(page: TuningPage) -> str:
    """The self-contained page."""
    bench, verdict, marks = page.bench, page.verdict, _marks(page)
    config, name, second = bench.settings.config, bench.metric.name, bench.search.form.second
    dimensions, importances, every = bench.search.dimensions, page.study.importances(), page.study.trials()
    shown = sorted(dimensions, key=lambda d: -importances.get(d.name, 0.0))
    weighty = [plots.Bar(k, (v,), (f"{100 * v:.0f} %",)) for k, v in importances.items()]
    states = Counter(t.state for t in every)
    return render(
        "tuning.html",
        title=texts.TITLE.format(
            competition=config.competition.title or config.competition.name, stage=bench.kind.name
        ),
        page=page,
        about=bench.search.form.about or bench.kind.name,
        second=second,
        failed=tuple(dict.fromkeys(t.reason for t in every if t.state == "failed")),
        headline=headline(page),
        counts=", ".join(f"{n} {state}" for state, n in states.items()),
        whiskers=_whiskers(page),
        retested=_table(page),
        history=drawings.history(marks, verdict.default, bench.metric.higher_is_better, name),
        importance=plots.bars(weighty, "importance of each dimension"),
        slices=[(d.name, drawings.slice_of(d, marks, name)) for d in shown[:SLICES]],
        parallel=drawings.parallel(dimensions, marks, name),
        pareto=drawings.pareto(marks, name, second) if second else None,
        front=_front(page, marks) if second else None,
        every=_every(page, marks),
        trials=plural(len(marks), "trial"),
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def _delta(comparison: Comparison) -> str:
    return f"{signed(comparison.delta)} [{signed(comparison.low)}, {signed(comparison.high)}]"


def _whiskers(page: TuningPage) -> Markup:
    rows = [
        plots.Whisker(f"trial {c.trial.number}", c.comparison.delta, c.comparison.low, c.comparison.high)
        for c in page.verdict.candidates
    ]
    return plots.whiskers(rows, texts.WHISKERS.format(metric=page.bench.metric.name), zero=True)


def _table(page: TuningPage) -> pd.DataFrame:
    verdict = page.verdict
    rows: list[tuple[Any, ...]] = [
        ("default", verdict.default, verdict.default_retested, None, None, None, "", "")
    ]
    for c in verdict.candidates:
        difference = (c.comparison.delta, c.comparison.low, c.comparison.high, c.comparison.verdict)
        words = page.bench.words(c.trial.point)
        rows.append((f"trial {c.trial.number}", c.naive, c.retested, *difference, words))
    names = ["", "in the search", "re-tested", "difference", "low", "high", "verdict", "settings"]
    return pd.DataFrame(rows, columns=names)


def _every(page: TuningPage, marks: Sequence[TrialMark]) -> pd.DataFrame:
    """All complete trials, best first."""
    metric, search = page.bench.metric, page.bench.search
    second = search.form.second
    rows = [
        {
            "trial": d.number,
            metric.name: d.score,
            **({second: d.second} if second else {}),
            **{x.name: value_text(d.point[x.name]) if x.name in d.point else "" for x in search.dimensions},
        }
        for d in sorted(marks, key=lambda d: (-metric.sign * d.score, d.number))
    ]
    return pd.DataFrame(rows)


def _front(page: TuningPage, marks: Sequence[TrialMark]) -> pd.DataFrame:
    marked = sorted((d for d in marks if d.marked), key=lambda d: d.second or 0.0)
    rows = [(d.number, d.score, d.second, d.words) for d in marked]
    names = ["trial", page.bench.metric.name, page.bench.search.form.second, "settings"]
    return pd.DataFrame(rows, columns=names)


def _marks(page: TuningPage) -> list[TrialMark]:
    """The complete trials, in order."""
    bench, front = page.bench, page.study.front()
    # A point that was tried again does not count twice on the front.
    first = {t.number for t in {repr(sorted(t.point.items())): t for t in front[::-1]}.values()}
    second = bench.search.form.second is not None
    return [
        TrialMark(
            t.number, t.point, t.values[0], t.values[1] if second else None, t.number in first,
            bench.words(t.point),
        )
        for t in page.study.trials()
        if t.state == "complete"
    ]  # fmt: skip


def front_lines(bench: Bench, study: Study) -> list[str]:
    """For two objectives: the size of the Pareto front, and which objective chooses the winner."""
    if bench.search.form.second is None:
        return []
    count, metric = len({repr(sorted(t.point.items())) for t in study.front()}), bench.metric.name
    return [texts.FRONT.format(n=count, metric=metric, second=bench.search.form.second)]


def write(page: TuningPage, home: Path) -> str:
    """Write the page below `tuning/`; returns its relative path."""
    path = home / "tuning" / f"{page.study.name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _render_html(page).encode())
    return os.path.relpath(path)
