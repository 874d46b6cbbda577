"""The page about a budget of time: the score over time, each step named, and what lay inside the noise.

Owns the drawing and the page, `plans/<competition>-<time>.html` of the home. Does not own axes and shapes
(`pages/plots.py`) nor the comparisons (`plan/steps.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from pipeline.core import metrics
from pipeline.core.language import ENGLISH, say
from pipeline.core.predictions import COMPARISONS, Comparison
from pipeline.core.wording import worded
from pipeline.pages import plots
from pipeline.pages.command_words import shown
from pipeline.pages.dot_names import Named, names
from pipeline.pages.report import Thumbnails, render, signed
from pipeline.plan import texts
from pipeline.plan.clock import minutes
from pipeline.plan.steps import Best, Step
from pipeline.plan.table import per_minute
from pipeline.record import paths
from pipeline.record.files import write_atomic
from pipeline.settings.schema import Config

FOLDER = "plans"
HEIGHT, NAME_PX, NAME_FONT = 300.0, 110.0, 9.5
# As wide as its page: the first steps and the cheap ones at the end stand close together.
WIDE = 880.0


@dataclass(frozen=True)
class Story:
    """What a command spent its time on.

    Args:
        time: TIME, as it was typed.
        steps, gains: in the order of time; a gain is None where there is nothing to compare.
        honest: the score that is cross-fitted over the whole choice, in words; empty: that of the blend is.
    """

    config: Config
    time: str
    command: str
    steps: tuple[Step, ...]
    gains: tuple[Comparison | None, ...]
    best: Best
    honest: str = ""


def write(story: Story, home: Path) -> str:
    """Write the page; returns its path for the terminal."""
    name = f"{story.config.competition.name}-{datetime.now():%Y-%m-%d-%H%M%S}"
    path = paths.below(home / FOLDER, f"{name}.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_html(story).encode())
    return shown(path)


def render_html(story: Story) -> str:
    """The self-contained page."""
    config, metric = story.config, metrics.get(story.config.competition.metric)
    last, language = story.steps[-1].at if story.steps else 0.0, config.report.language
    return render(
        "plan.html",
        language=language,
        title=say(
            texts.TITLE.format(
                competition=config.competition.title or config.competition.name, time=story.time
            ),
            language,
        ),
        headline=worded(
            texts.HEADLINE,
            metric=metric.name,
            score=story.best.score,
            spent=minutes(last),
            members=story.best.members,
        ),
        lead=texts.LEAD.format(time=story.time),
        honest=story.honest,
        picture=picture(story.steps, story.gains, metric.name, metric.higher_is_better, language),
        table=table_of(story.steps, story.gains, metric.name, language),
        path=shown(story.best.stable),
        command=story.command,
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def picture(
    steps: Sequence[Step],
    gains: Sequence[Comparison | None],
    metric: str,
    higher: bool,
    language: str = ENGLISH,
) -> Markup:
    """The blend's score with its interval at the end of each step; the best so far as a line.

    Steps whose interval excludes no change have the first colour, the others the second one; what was tried
    and not kept has a smaller dot, and no part in the line.
    """
    made = [(s, g) for s, g in zip(steps, gains, strict=True) if s.blend is not None]
    if not made:
        return plots.EMPTY
    points = [
        (s.at / 60, _figures(s, metric), say(s.name or texts.BEFORE, language), g, s.kept) for s, g in made
    ]
    low, high = min(f[1] for _, f, *_ in points), max(f[2] for _, f, *_ in points)
    pad = 0.06 * (high - low) or 0.01
    axes = plots.Axes((0.0, max(points[-1][0], 1e-3) * 1.05), (low - pad, high + pad), HEIGHT, width=WIDE)
    body = axes.frame(say(texts.PICTURE_X, language), metric, percent=False)
    best: float | None = None
    line = []
    for at, (score, _, _), _, _, kept in points:
        if best is not None:
            line.append((axes.x(at), axes.y(best)))
        if kept and (best is None or (score > best if higher else score < best)):
            best = score
        if best is not None:
            line.append((axes.x(at), axes.y(best)))
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    body.append(f'<polyline points="{joined}" class="curve c1"/>')
    lines, dots = list(itertools.pairwise(line)), []
    for at, (score, under, over), name, gain, kept in points:
        tells = gain is not None and gain.verdict != texts.NOISE
        tip = texts.DOT.format(name=name, score=score)
        if gain is not None:
            tip = texts.DOT_GAIN.format(name=name, score=score, gain=gain)
        x, y = axes.x(at), axes.y(score)
        lines.append(((x, axes.y(over)), (x, axes.y(under))))
        dots.append(Named(x, y, name))
        body.append(plots.svg_line(x, axes.y(over), x, axes.y(under), "axis"))
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4.5 if kept else 2.5}" class="{"s1" if tells else "s0"}">'
            f"<title>{escape(say(tip, language))}</title></circle>"
        )
    named, height = names(dots, axes, (NAME_FONT, "tiny", NAME_PX), lines=lines)
    return plots.svg(WIDE, height, say(texts.PICTURE, language), body + named)


def table_of(
    steps: Sequence[Step], gains: Sequence[Comparison | None], metric: str, language: str = ENGLISH
) -> pd.DataFrame:
    """A row for each step: its time, scores, gain, and whether the gain is more than noise."""
    rows: list[tuple[Any, ...]] = []
    for step, gain in zip(steps, gains, strict=True):
        name, took = say(step.name or texts.BEFORE, language), say(minutes(step.seconds), language)
        at = say(minutes(step.at), language)
        alone = None if step.made is None else step.made.metrics[f"oof_{metric}"]
        if step.blend is None:
            rows.append((at, name, took, alone, None, "", "", say(step.note, language)))
            continue
        score, low, high = _figures(step, metric)
        told, verdict = "", texts.FIRST
        if gain is not None:
            told = f"{signed(gain.delta)} [{signed(gain.low)}, {signed(gain.high)}]"
            verdict = (
                texts.INSIDE if gain.verdict == texts.NOISE else COMPARISONS.get(gain.verdict, gain.verdict)
            )
        interval = f"[{low:.4f}, {high:.4f}]"
        minute = "" if gain is None else signed(per_minute(gain, step))
        verdict = say(verdict, language)
        note = say(step.note, language)
        rows.append(
            (at, name, took, alone, score, interval, told, "; ".join(filter(None, [verdict, minute, note])))
        )
    names = [
        "at",
        "step",
        "took",
        "alone",
        "together",
        "95 % interval",
        "gain, corrected",
        "verdict; gain a minute",
    ]
    return pd.DataFrame(rows, columns=names)


def _figures(step: Step, metric: str) -> tuple[float, float, float]:
    assert step.blend is not None, "a step without a result has no score"
    m = step.blend.metrics
    return m[f"oof_{metric}"], m["ci_low"], m["ci_high"]
