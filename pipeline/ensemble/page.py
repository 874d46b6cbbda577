"""The report of an ensemble: what each member costs and adds, and which blends are on the Pareto front.

Owns the tables, the plot of score over time, and the terminal lines. Does not own any figure
(`ensemble/cost.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup, escape

from pipeline.ensemble import texts
from pipeline.ensemble.cost import Point
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, render


@dataclass(frozen=True)
class EnsemblePage:
    """The contents of the report.

    Args:
        title: of the competition.
        metric: the score's name.
        table: one row for each member, the blend last.
        points: of the plot.
        members: names, in the order of `disagreement`.
        disagreement: (M, M) share of images on which two members' labels differ.
        answer: one sentence: the blend against its best member, and its cost.
        notes: how to read the figures.
    """

    title: str
    metric: str
    table: pd.DataFrame
    points: tuple[Point, ...]
    members: tuple[str, ...]
    disagreement: npt.NDArray[np.float64]
    answer: str
    notes: tuple[str, ...]


def page_lines(page: EnsemblePage) -> list[str]:
    """The cost table for a terminal."""
    shown = page.table.copy()
    for name in shown.columns:
        if shown[name].dtype.kind == "f":
            digits = 2 if name.startswith("ms") or name == "M parameters" else 4
            shown[name] = [f"{v:.{digits}f}" if np.isfinite(v) else "–" for v in shown[name]]
    return [*shown.to_string(index=False).splitlines(), page.answer, *_pairs(page)]


def render_html(page: EnsemblePage, thumbnail_px: int) -> str:
    """The self-contained HTML document."""
    table = pd.DataFrame(page.disagreement, columns=list(page.members))
    table.insert(0, "member", list(page.members))
    return render(
        "ensemble.html",
        title=f"{page.title}: ensemble",
        page=page,
        plot=pareto(page.points, texts.PLOT.format(metric=page.metric), page.metric),
        disagreement=table,
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def pareto(points: Sequence[Point], title: str, score: str) -> Markup:
    """Score over milliseconds; the points of the Pareto front are joined by a line and named.

    `title` is for screen readers, `score` the name of the metric.
    """
    ms, scores = [p.ms for p in points], [p.score for p in points]
    room = 0.1 * ((max(scores) - min(scores)) or 1.0)
    axes = plots.Axes((0.0, max(ms) * 1.05), (min(scores) - room, max(scores) + room))
    body = axes.frame(texts.PLOT_X, texts.PLOT_Y.format(metric=score), percent=False)
    front = sorted((p for p in points if p.best), key=lambda p: p.ms)
    joined = " ".join(f"{axes.x(p.ms):.1f},{axes.y(p.score):.1f}" for p in front)
    body.append(f'<polyline points="{joined}" class="curve c0"/>')
    for point in points:
        x, y = axes.x(point.ms), axes.y(point.score)
        tip = texts.TOOLTIP.format(
            point=point.name, ms=plots.number(point.ms), score=plots.number(point.score)
        )
        kind = {"member": "s0", "blend": "s1"}.get(point.kind, "s2")
        title_of = f"<title>{escape(tip)}</title>"
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}">{title_of}</circle>')
        if point.best:
            name = escape(plots.shorten(point.name, 110))
            anchor, at = ("end", x - 7) if x > plots.WIDTH * 0.7 else ("start", x + 7)
            where = f'x="{at:.1f}" y="{y + 13:.1f}" text-anchor="{anchor}"'
            body.append(f'<text {where} class="small">{name}</text>')
    return plots.svg(plots.WIDTH, axes.height, title, body)


def _pairs(page: EnsemblePage) -> list[str]:
    """The pair that agrees most and the one that agrees least."""
    if len(page.members) < 2:
        return []
    rows, columns = np.triu_indices(len(page.members), 1)
    apart = page.disagreement[rows, columns]
    ends = ((texts.DISAGREE_LEAST, int(apart.argmin())), (texts.DISAGREE_MOST, int(apart.argmax())))
    pairs = [
        text.format(one=page.members[rows[n]], other=page.members[columns[n]], share=apart[n])
        for text, n in ends
    ]
    return pairs[:1] if len(apart) == 1 else pairs
