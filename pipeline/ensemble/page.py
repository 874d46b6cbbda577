"""The page of an ensemble: what each member costs and adds, and which blends nothing beats.

Owns the tables, the plot of score over time, and their words. Does not own any figure: they arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup, escape

from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, render
from pipeline.settings.schema import Config


@dataclass(frozen=True)
class Point:
    """A member or a blend in the plot of score over time.

    Args:
        name: what it is.
        ms: an image in batches of 64.
        score: out of fold.
        kind: "member", "blend" or "cheaper blend".
        best: whether nothing in the plot is both as fast and better.
    """

    name: str
    ms: float
    score: float
    kind: str
    best: bool


@dataclass(frozen=True)
class EnsemblePage:
    """What an ensemble is made of.

    Args:
        metric: the score's name.
        table: a row a member, the blend last.
        points: of the plot.
        members: names, in the order of `disagreement`.
        disagreement: (M, M) share of images on which two members' labels differ.
        answer: one sentence: the blend against its best member, and its price.
        notes: how to read the figures.
    """

    metric: str
    table: pd.DataFrame
    points: tuple[Point, ...]
    members: tuple[str, ...]
    disagreement: npt.NDArray[np.float64]
    answer: str
    notes: tuple[str, ...]


def lines(page: EnsemblePage) -> list[str]:
    """The cost table for a terminal."""
    shown = page.table.copy()
    for name in shown.columns:
        if shown[name].dtype.kind == "f":
            digits = 2 if name.startswith("ms") or name == "M parameters" else 4
            shown[name] = [f"{v:.{digits}f}" if np.isfinite(v) else "–" for v in shown[name]]
    return [*shown.to_string(index=False).splitlines(), page.answer, *_pairs(page)]


def render_html(page: EnsemblePage, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        page: what was found.
        title: the competition's.
        config: the settings in force.
    """
    table = pd.DataFrame(page.disagreement, columns=list(page.members))
    table.insert(0, "member", list(page.members))
    return render(
        "ensemble.html",
        title=f"{title}: ensemble",
        page=page,
        plot=pareto(page.points, f"OOF {page.metric} over ms an image", page.metric),
        disagreement=table,
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def pareto(points: Sequence[Point], title: str, score: str) -> Markup:
    """Score over milliseconds; those that nothing beats are joined by a line and named.

    Args:
        points: at least one.
        title: read by screen readers.
        score: what runs upwards.
    """
    ms, scores = [p.ms for p in points], [p.score for p in points]
    room = 0.1 * ((max(scores) - min(scores)) or 1.0)
    axes = plots.Axes((0.0, max(ms) * 1.05), (min(scores) - room, max(scores) + room))
    body = axes.frame("ms an image, batches of 64", f"OOF {score}", percent=False)
    front = sorted((p for p in points if p.best), key=lambda p: p.ms)
    joined = " ".join(f"{axes.x(p.ms):.1f},{axes.y(p.score):.1f}" for p in front)
    body.append(f'<polyline points="{joined}" class="curve c0"/>')
    for point in points:
        x, y = axes.x(point.ms), axes.y(point.score)
        tip = f"{point.name}: {plots.number(point.ms)} ms, {plots.number(point.score)}"
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
    told = []
    for word, n in (("least", int(apart.argmin())), ("most", int(apart.argmax()))):
        pair = f"{page.members[rows[n]]} and {page.members[columns[n]]}"
        told.append(f"{pair} disagree {word}: on {apart[n]:.1%} of images")
    return told[:1] if len(apart) == 1 else told
