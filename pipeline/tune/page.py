"""The report of a search: its winner, the re-test, and all trials, with their drawings.

Owns turning a study and its verdict into the page and the lines for the terminal, and four drawings: history,
slices, parallel coordinates, Pareto front. Does not own axes and shapes (`pages/plots.py`), the verdict
(`tune/retest.py`) or the record of runs (`tune/search_record.py`).

Legend of the drawings: one mark per trial; the second colour marks the best trial, or the front.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from pipeline.core.predictions import COMPARISONS, Comparison
from pipeline.core.search_space import Dimension, Scalar
from pipeline.core.wording import worded
from pipeline.pages import plots
from pipeline.pages.command_words import shown
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.record import paths
from pipeline.record.files import write_atomic
from pipeline.record.study import Study
from pipeline.tune import texts, winners
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.trials import Bench

# Number of slices: those of the most important dimensions.
SLICES = 8
# From tuning/, where the page lies.
HOME = "../reports/index.html"
HEIGHT = 230.0
PARALLEL_HEIGHT = 330.0
# Distance between two axes of parallel coordinates, px.
PITCH = 92.0


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
            verdict=COMPARISONS[c.comparison.verdict],
            settings=page.bench.words(c.trial.point),
        )
        printed.append(line)
    printed += [texts.LINE_HOW.format(how=verdict.how), *("    " + text for text in page.notes)]
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
        home=HOME,
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
        history=history(marks, verdict.default, bench.metric.higher_is_better, name),
        importance=plots.bars(weighty, "importance of each dimension"),
        slices=[(d.name, slice_of(d, marks, name)) for d in shown[:SLICES]],
        parallel=parallel(dimensions, marks, name),
        pareto=pareto(marks, name, second) if second else None,
        front=_front(page, marks) if second else None,
        every=_every(page, marks),
        trials=plural(len(marks), "trial"),
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def front_lines(bench: Bench, study: Study) -> list[str]:
    """For two objectives: the size of the Pareto front, and which objective chooses the winner."""
    if bench.search.form.second is None:
        return []
    count, metric = len({repr(sorted(t.point.items())) for t in study.front()}), bench.metric.name
    return [worded(texts.FRONT, n=count, metric=metric, second=bench.search.form.second)]


def write(page: TuningPage, home: Path) -> str:
    """Write the page below `tuning/`; returns its path for the terminal."""
    path = paths.below(home / "tuning", f"{page.study.name}.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _render_html(page).encode())
    return shown(path)


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


@dataclass(frozen=True)
class TrialMark:
    """One trial that has a score.

    Args:
        number, point: of the trial.
        score, second: of the objectives.
        marked: whether it is the best, or on the front.
        words: its settings, for reading; empty: use the point.
    """

    number: int
    point: dict[str, Scalar]
    score: float
    second: float | None = None
    marked: bool = False
    words: str = ""

    @property
    def tip(self) -> str:
        """The text of the tooltip."""
        settings = self.words or ", ".join(f"{k}={value_text(v)}" for k, v in self.point.items())
        second = f", {self.second:.3g}" if self.second is not None else ""
        return texts.TRIAL_TIP.format(number=self.number, score=self.score, second=second, settings=settings)


def value_text(value: Scalar) -> str:
    """A value in a drawing."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def history(marks: Sequence[TrialMark], default: float | None, higher: bool, metric: str) -> Markup:
    """Scores in the order of trials, the best so far as a line, the default as a dashed line."""
    if not marks:
        return plots.EMPTY
    scores = [d.score for d in marks] + ([default] if default is not None else [])
    numbers = [d.number for d in marks]
    axes = plots.Axes((min(numbers), max(*numbers, 1)), _wide(scores), HEIGHT)
    body = axes.frame("trial", metric, percent=False)
    if default is not None:
        body.append(plots.svg_line(axes.left, axes.y(default), plots.WIDTH - 14, axes.y(default), "guide"))
    best, line = None, []
    for mark in marks:
        better = best is None or (mark.score > best if higher else mark.score < best)
        if better and best is not None:
            line.append(f"{axes.x(mark.number):.1f},{axes.y(best):.1f}")
        best = mark.score if better else best
        line.append(f"{axes.x(mark.number):.1f},{axes.y(best or 0.0):.1f}")
    body.append(f'<polyline points="{" ".join(line)}" class="curve c1"/>')
    body += [_dot(axes.x(d.number), axes.y(d.score), d) for d in marks]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} by trial", body)


def slice_of(dimension: Dimension, marks: Sequence[TrialMark], metric: str) -> Markup:
    """Score over one dimension, of the trials that have it."""
    having = [d for d in marks if dimension.name in d.point]
    if not having:
        return plots.EMPTY
    places = [_place(dimension, d.point[dimension.name]) for d in having]
    axes = plots.Axes((-0.04, 1.04), _wide([d.score for d in having]), HEIGHT)
    body = [part for part in axes.frame("", metric, percent=False) if 'class="mid tiny"' not in part]
    floor = axes.height - axes.bottom
    for place, text in _axis_labels(dimension):
        body.append(plots.svg_text(axes.x(place), floor + 14, plots.shorten(text, 90, 11), "mid tiny"))
    body.append(plots.svg_text((plots.WIDTH + axes.left) / 2, axes.height - 6, dimension.name, "mid small"))
    body += [_dot(axes.x(x), axes.y(d.score), d) for x, d in zip(places, having, strict=True)]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} over {dimension.name}", body)


def pareto(marks: Sequence[TrialMark], metric: str, second: str) -> Markup:
    """First against second objective, with the front marked."""
    having = [d for d in marks if d.second is not None]
    if not having:
        return plots.EMPTY
    axes = plots.Axes(_wide([d.second or 0.0 for d in having]), _wide([d.score for d in having]), 260.0)
    body = axes.frame(second, metric, percent=False)
    front = sorted((d for d in having if d.marked), key=lambda d: d.second or 0.0)
    line = " ".join(f"{axes.x(d.second or 0.0):.1f},{axes.y(d.score):.1f}" for d in front)
    body.append(f'<polyline points="{line}" class="curve c1"/>')
    body += [_dot(axes.x(d.second or 0.0), axes.y(d.score), d) for d in having]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} against {second}", body)


def parallel(dimensions: Sequence[Dimension], marks: Sequence[TrialMark], metric: str) -> Markup:
    """One line per trial through its values; the last axis is the score; better ones are darker."""
    if not marks or not dimensions:
        return plots.EMPTY
    low, high = _wide([d.score for d in marks])
    names = [d.name for d in dimensions]
    left, top, floor = 70.0, 22.0, PARALLEL_HEIGHT - 92
    at = {name: left + PITCH * k for k, name in enumerate([*names, metric])}

    def y(share: float) -> float:
        return floor - share * (floor - top)

    body = []
    for mark in sorted(marks, key=lambda d: (d.marked, d.score)):
        steps = [(at[d.name], y(_place(d, mark.point[d.name]))) for d in dimensions if d.name in mark.point]
        share = (mark.score - low) / ((high - low) or 1)
        line = " ".join(f"{x:.1f},{v:.1f}" for x, v in [*steps, (at[metric], y(share))])
        look = "curve c1" if mark.marked else "curve c0"
        strong = 1.0 if mark.marked else 0.12 + 0.5 * share
        body.append(
            f'<polyline points="{line}" class="{look}" style="stroke-opacity:{strong:.2f}">'
            f"<title>{escape(mark.tip)}</title></polyline>"
        )
    for d in dimensions:
        body += _axis(at[d.name], (top, floor), d.name, [(y(p), text) for p, text in _axis_labels(d)])
    ends = [(y(0.0), f"{low:.3f}"), (y(1.0), f"{high:.3f}")]
    body += _axis(at[metric], (top, floor), metric, ends)
    return plots.svg(at[metric] + 80, PARALLEL_HEIGHT, "every trial through all dimensions", body)


def _axis(x: float, ends: tuple[float, float], name: str, marks: Sequence[tuple[float, str]]) -> list[str]:
    top, floor = ends
    body = [plots.svg_line(x, top, x, floor, "axis")]
    body += [plots.svg_text(x + 4, y + 4, plots.shorten(text, PITCH - 12, 10), "tiny") for y, text in marks]
    turn = f"rotate(24 {x:.1f} {floor + 16:.1f})"
    return [*body, plots.svg_text(x, floor + 16, plots.shorten(name, 180), "small", turn)]


def _place(dimension: Dimension, value: Scalar) -> float:
    """Position of a value on its axis, 0 to 1."""
    if dimension.kind == "categorical":
        labels = [(type(v), v) for v in dimension.labels]
        own = (type(value), value)
        return (labels.index(own) + 0.5) / len(labels) if own in labels else 0.0
    assert isinstance(value, int | float), f"{dimension.name} is {value!r}"
    if dimension.log:
        low, high = math.log(dimension.low), math.log(dimension.high)
        return (math.log(value) - low) / (high - low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def _axis_labels(dimension: Dimension) -> list[tuple[float, str]]:
    if dimension.kind == "categorical":
        return [(_place(dimension, label), value_text(label)) for label in dimension.labels]
    low, high = dimension.low, dimension.high
    middle = math.sqrt(low * high) if dimension.log else (low + high) / 2
    return [(0.0, value_text(low)), (0.5, value_text(float(middle))), (1.0, value_text(high))]


def _wide(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.01
    return low - pad, high + pad


def _dot(x: float, y: float, mark: TrialMark) -> str:
    look, radius = ("s1", 5.0) if mark.marked else ("s0", 3.5)
    tip = f"<title>{escape(mark.tip)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{look}">{tip}</circle>'
