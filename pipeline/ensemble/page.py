"""The report of an ensemble: what each member costs and adds, and which blends are on the Pareto front.

Owns the tables, the plot of score over time, and the terminal lines. Does not own any figure
(`ensemble/cost.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup, escape

from pipeline.core.samples import Kind
from pipeline.core.targets import EXCLUSIVE
from pipeline.ensemble import texts
from pipeline.ensemble.cost import Point
from pipeline.pages import plots, text_table
from pipeline.pages.dot_names import Named, names
from pipeline.pages.report import Thumbnails, render

# Names in the plot: their size, and the widest one.
NAME_FONT, NAME_PX = 11.0, 140.0


@dataclass(frozen=True)
class EnsemblePage:
    """The contents of the report.

    Args:
        title: of the competition.
        metric: the score's name.
        table: one row for each member, the blend last.
        points: of the plot.
        members: names, in the order of `disagreement`.
        disagreement: (M, M) how much two members differ.
        advice: what to submit, and why.
        answer: one sentence: the blend against its best member, and its cost.
        notes: how to read the figures.
        kind: of the target.
        importance: columns that the trees of the member gbdt read, and their share; None: no such member.
    """

    title: str
    metric: str
    table: pd.DataFrame
    points: tuple[Point, ...]
    members: tuple[str, ...]
    disagreement: npt.NDArray[np.float64]
    advice: str
    answer: str
    notes: tuple[str, ...]
    kind: Kind = EXCLUSIVE
    importance: pd.DataFrame | None = None


def recommended(
    facts: Mapping[str, Any], delta: float, times: float | None, command: Callable[[Sequence[str]], str]
) -> str:
    """What to submit: the blend or its best member, by their out-of-fold comparison; and what to leave out.

    Args:
        facts: the contents of blend.json.
        delta: score of the blend minus that of its best member; positive is better.
        times: time of the blend divided by that of its best member; None: not timed.
        command: the command that blends the members with these names.
    """
    best, alone = str(facts["best_member"]), str(facts.get("only_member", ""))
    if alone:
        return texts.RECOMMEND_SAME.format(member=alone)
    text = {"better": texts.RECOMMEND_BLEND, "worse": texts.RECOMMEND_MEMBER}.get(
        str(facts.get("verdict", "")), texts.RECOMMEND_EITHER if delta > 0 else texts.RECOMMEND_SIMPLER
    )
    takes = "" if times is None else texts.RECOMMEND_TIMES.format(times=times)
    advice = text.format(member=best, delta=delta, times=takes)
    gains = dict(facts["contributions"])
    idle = [name for name, gain in gains.items() if gain <= 0 and name != best]
    kept = [name for name in gains if name not in idle]
    if idle and len(kept) > 1:
        again = command([*kept, *facts.get("test_only", ())])
        advice += texts.RECOMMEND_WITHOUT.format(names=", ".join(idle), command=again)
    return advice


def page_lines(page: EnsemblePage) -> list[str]:
    """The cost table for a terminal."""
    shown = page.table.copy()
    for name in shown.columns:
        if shown[name].dtype.kind == "f":
            digits = 2 if name.startswith("ms") or name == "M parameters" else 4
            shown[name] = [f"{v:.{digits}f}" if np.isfinite(v) else "–" for v in shown[name]]
    return [
        *text_table.of_frame(shown, left=(0,), words=(texts.BLEND_ROW,)),
        page.answer,
        page.advice,
        *_pairs(page),
    ]


def render_html(page: EnsemblePage, thumbnail_px: int) -> str:
    """The self-contained HTML document."""
    table = pd.DataFrame(page.disagreement, columns=list(page.members))
    table.insert(0, "member", list(page.members))
    return render(
        "ensemble.html",
        title=f"{page.title}: ensemble",
        page=page,
        differ=texts.DISAGREEMENT_TITLE[page.kind],
        plot=pareto(page.points, texts.PLOT.format(metric=page.metric), page.metric),
        disagreement=table,
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def pareto(points: Sequence[Point], title: str, score: str) -> Markup:
    """Score over milliseconds; the points of the Pareto front are joined by a line.

    Members and the blend are named, and so are cheaper blends on the front.

    `title` is for screen readers, `score` the name of the metric.
    """
    ms, scores = [p.ms for p in points], [p.score for p in points]
    room = 0.1 * ((max(scores) - min(scores)) or 1.0)
    axes = plots.Axes((0.0, max(ms) * 1.05), (min(scores) - room, max(scores) + room))
    body = axes.frame(texts.PLOT_X, texts.PLOT_Y.format(metric=score), percent=False)
    front = sorted((p for p in points if p.best), key=lambda p: p.ms)
    joined = " ".join(f"{axes.x(p.ms):.1f},{axes.y(p.score):.1f}" for p in front)
    body.append(f'<polyline points="{joined}" class="curve c0"/>')
    line = [(axes.x(p.ms), axes.y(p.score)) for p in front]
    named = []
    for point in sorted(points, key=lambda p: (p.kind == "member", not p.best)):
        x, y = axes.x(point.ms), axes.y(point.score)
        tip = texts.TOOLTIP.format(
            point=point.name, ms=plots.number(point.ms), score=plots.number(point.score)
        )
        kind = {"member": "s0", "blend": "s1"}.get(point.kind, "s2")
        title_of = f"<title>{escape(tip)}</title>"
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}">{title_of}</circle>')
        if point.best or point.kind != "cheaper blend":
            named.append(Named(x, y, point.name))
    every = [(axes.x(p.ms), axes.y(p.score)) for p in points]
    style = (NAME_FONT, "small", NAME_PX)
    drawn, height = names(named, axes, style, every, list(itertools.pairwise(line)))
    return plots.svg(plots.WIDTH, height, title, body + drawn)


def _pairs(page: EnsemblePage) -> list[str]:
    """The pair that agrees most and the one that agrees least."""
    if len(page.members) < 2:
        return []
    said = texts.DISAGREE if page.kind == EXCLUSIVE else texts.DIFFER
    rows, columns = np.triu_indices(len(page.members), 1)
    apart = page.disagreement[rows, columns]
    if len(apart) == 1:
        return [said[0].format(one=page.members[0], other=page.members[1], share=apart[0])]
    ends = ((said[1], int(apart.argmin())), (said[2], int(apart.argmax())))
    return [
        text.format(one=page.members[rows[n]], other=page.members[columns[n]], share=apart[n])
        for text, n in ends
    ]
