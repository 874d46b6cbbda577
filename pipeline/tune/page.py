"""The page of a search: what was found, whether it is believed, how the trials went.

Owns the words, the tables and which drawings there are. Does not own the figures: they arrive.

Drawings of a search: history, slices, parallel coordinates, Pareto front.

Owns these four. Does not own axes and shapes (`plots.py`) nor what was tried.

Legend: one mark a trial; the second colour marks the best, or the front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup, escape

from pipeline.core.predictions import Comparison
from pipeline.core.search_space import Dimension, Scalar
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed

HEIGHT = 230.0
PARALLEL_HEIGHT = 330.0
# Between two axes of parallel coordinates, px.
PITCH = 92.0


@dataclass(frozen=True)
class Dot:
    """One trial that has a score.

    Args:
        number: in its study.
        point: what was tried, by dimension.
        score: of the first objective.
        second: of the second one, if there is one.
        marked: the best, or on the front.
        words: its settings, as people read them; empty: the point says it.
    """

    number: int
    point: dict[str, Scalar]
    score: float
    second: float | None = None
    marked: bool = False
    words: str = ""

    @property
    def tip(self) -> str:
        """What a tooltip says."""
        told = self.words or ", ".join(f"{k}={value_text(v)}" for k, v in self.point.items())
        more = f", {self.second:.3g}" if self.second is not None else ""
        return f"trial {self.number}: {self.score:.4f}{more}; {told}"


def value_text(value: Scalar) -> str:
    """A value in a drawing."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def history(dots: Sequence[Dot], default: float | None, higher: bool, metric: str) -> Markup:
    """Scores in the order of trials, the best so far as a line, the default as a dashed one."""
    if not dots:
        return plots.EMPTY
    scores = [d.score for d in dots] + ([default] if default is not None else [])
    axes = plots.Axes(
        (min(d.number for d in dots), max(max(d.number for d in dots), 1)), _wide(scores), HEIGHT
    )
    body = axes.frame("trial", metric, percent=False)
    if default is not None:
        body.append(plots._line(axes.left, axes.y(default), plots.WIDTH - 14, axes.y(default), "guide"))
    best, line = None, []
    for dot in dots:
        better = best is None or (dot.score > best if higher else dot.score < best)
        if better and best is not None:
            line.append(f"{axes.x(dot.number):.1f},{axes.y(best):.1f}")
        best = dot.score if better else best
        line.append(f"{axes.x(dot.number):.1f},{axes.y(best or 0.0):.1f}")
    body.append(f'<polyline points="{" ".join(line)}" class="curve c1"/>')
    body += [_dot(axes.x(d.number), axes.y(d.score), d) for d in dots]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} by trial", body)


def slice_of(dimension: Dimension, dots: Sequence[Dot], metric: str) -> Markup:
    """Score over one dimension, of the trials that had it."""
    having = [d for d in dots if dimension.name in d.point]
    if not having:
        return plots.EMPTY
    places = [_place(dimension, d.point[dimension.name]) for d in having]
    axes = plots.Axes((-0.04, 1.04), _wide([d.score for d in having]), HEIGHT)
    body = [part for part in axes.frame("", metric, percent=False) if 'class="mid tiny"' not in part]
    floor = axes.height - axes.bottom
    for place, text in _marks(dimension):
        body.append(plots._text(axes.x(place), floor + 14, plots.shorten(text, 90, 11), "mid tiny"))
    body.append(plots._text((plots.WIDTH + axes.left) / 2, axes.height - 6, dimension.name, "mid small"))
    body += [_dot(axes.x(x), axes.y(d.score), d) for x, d in zip(places, having, strict=True)]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} over {dimension.name}", body)


def pareto(dots: Sequence[Dot], metric: str, second: str) -> Markup:
    """First over second objective, the front marked."""
    having = [d for d in dots if d.second is not None]
    if not having:
        return plots.EMPTY
    axes = plots.Axes(_wide([d.second or 0.0 for d in having]), _wide([d.score for d in having]), 260.0)
    body = axes.frame(second, metric, percent=False)
    front = sorted((d for d in having if d.marked), key=lambda d: d.second or 0.0)
    line = " ".join(f"{axes.x(d.second or 0.0):.1f},{axes.y(d.score):.1f}" for d in front)
    body.append(f'<polyline points="{line}" class="curve c1"/>')
    body += [_dot(axes.x(d.second or 0.0), axes.y(d.score), d) for d in having]
    return plots.svg(plots.WIDTH, axes.height, f"{metric} against {second}", body)


def parallel(dimensions: Sequence[Dimension], dots: Sequence[Dot], metric: str) -> Markup:
    """A line a trial through its value on every axis; the last axis is the score; better ones are darker."""
    if not dots or not dimensions:
        return plots.EMPTY
    low, high = _wide([d.score for d in dots])
    names = [d.name for d in dimensions]
    left, top, floor = 70.0, 22.0, PARALLEL_HEIGHT - 92
    at = {name: left + PITCH * k for k, name in enumerate([*names, metric])}

    def y(share: float) -> float:
        return floor - share * (floor - top)

    body = []
    for dot in sorted(dots, key=lambda d: (d.marked, d.score)):
        steps = [(at[d.name], y(_place(d, dot.point[d.name]))) for d in dimensions if d.name in dot.point]
        share = (dot.score - low) / ((high - low) or 1)
        line = " ".join(f"{x:.1f},{v:.1f}" for x, v in [*steps, (at[metric], y(share))])
        look = "curve c1" if dot.marked else "curve c0"
        strong = 1.0 if dot.marked else 0.12 + 0.5 * share
        body.append(
            f'<polyline points="{line}" class="{look}" style="stroke-opacity:{strong:.2f}">'
            f"<title>{escape(dot.tip)}</title></polyline>"
        )
    for d in dimensions:
        body += _axis(at[d.name], (top, floor), d.name, [(y(p), text) for p, text in _marks(d)])
    ends = [(y(0.0), f"{low:.3f}"), (y(1.0), f"{high:.3f}")]
    body += _axis(at[metric], (top, floor), metric, ends)
    return plots.svg(at[metric] + 80, PARALLEL_HEIGHT, "every trial through all dimensions", body)


def _axis(x: float, ends: tuple[float, float], name: str, marks: Sequence[tuple[float, str]]) -> list[str]:
    top, floor = ends
    body = [plots._line(x, top, x, floor, "axis")]
    body += [plots._text(x + 4, y + 4, plots.shorten(text, PITCH - 12, 10), "tiny") for y, text in marks]
    turn = f"rotate(24 {x:.1f} {floor + 16:.1f})"
    return [*body, plots._text(x, floor + 16, plots.shorten(name, 180), "small", turn)]


def _place(dimension: Dimension, value: Scalar) -> float:
    """Where a value lies on its axis, 0 to 1."""
    if dimension.kind == "categorical":
        labels = [(type(v), v) for v in dimension.labels]
        return (
            (labels.index((type(value), value)) + 0.5) / len(labels)
            if (type(value), value) in labels
            else 0.0
        )
    assert isinstance(value, int | float), f"{dimension.name} is {value!r}"
    if dimension.log:
        low, high = math.log(dimension.low), math.log(dimension.high)
        return (math.log(value) - low) / (high - low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def _marks(dimension: Dimension) -> list[tuple[float, str]]:
    if dimension.kind == "categorical":
        return [(_place(dimension, label), value_text(label)) for label in dimension.labels]
    low, high = dimension.low, dimension.high
    middle = math.sqrt(low * high) if dimension.log else (low + high) / 2
    return [(0.0, value_text(low)), (0.5, value_text(float(middle))), (1.0, value_text(high))]


def _wide(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.01
    return low - pad, high + pad


def _dot(x: float, y: float, dot: Dot) -> str:
    look, radius = ("s1", 5.0) if dot.marked else ("s0", 3.5)
    tip = f"<title>{escape(dot.tip)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{look}">{tip}</circle>'


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
        dots: complete trials, in order.
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
    dots: Sequence[Dot]
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


def render_html(page: TuningPage, title: str, thumbnail_px: int) -> str:
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
        history=history(page.dots, page.default, page.higher_is_better, page.metric),
        importance=plots.bars(weighty, "importance of each dimension"),
        slices=[(d.name, slice_of(d, page.dots, page.metric)) for d in shown[:SLICES]],
        parallel=parallel(page.dimensions, page.dots, page.metric),
        pareto=pareto(page.dots, page.metric, page.second) if page.second else None,
        front=_front(page) if page.second else None,
        every=_every(page),
        trials=plural(len(page.dots), "trial"),
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
        for d in sorted(page.dots, key=lambda d: (sign * d.score, d.number))
    ]
    return pd.DataFrame(rows)


def _front(page: TuningPage) -> pd.DataFrame:
    marked = sorted((d for d in page.dots if d.marked), key=lambda d: d.second or 0.0)
    rows = [
        (d.number, d.score, d.second, d.words or ", ".join(f"{k}={v}" for k, v in d.point.items()))
        for d in marked
    ]
    return pd.DataFrame(rows, columns=["trial", page.metric, page.second, "settings"])
