"""Drawings of a search: history, slices, parallel coordinates, Pareto front.

Owns these four. Does not own axes and shapes (`pages/plots.py`) or the trials.

Legend: one mark per trial; the second colour marks the best trial, or the front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.core.search_space import Dimension, Scalar
from pipeline.pages import plots
from pipeline.tune import texts

HEIGHT = 230.0
PARALLEL_HEIGHT = 330.0
# Distance between two axes of parallel coordinates, px.
PITCH = 92.0


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
    for place, text in _marks(dimension):
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
        body += _axis(at[d.name], (top, floor), d.name, [(y(p), text) for p, text in _marks(d)])
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


def _dot(x: float, y: float, mark: TrialMark) -> str:
    look, radius = ("s1", 5.0) if mark.marked else ("s0", 3.5)
    tip = f"<title>{escape(mark.tip)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{look}">{tip}</circle>'
