"""Out-of-fold against public score, with the band of luck about their diagonal.

Owns this one drawing. Does not own axes and shapes (`plots.py`, of which this is the second half) nor the
figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.core.noise import Band
from pipeline.pages import plots

HEIGHT = 330.0


@dataclass(frozen=True)
class Dot:
    """One submission: its number in the table, its scores, and whether its gap is luck."""

    label: str
    name: str
    oof: float
    low: float
    high: float
    public: float
    inside: bool


def against(dots: Sequence[Dot], band: Band | None, metric: str) -> Markup:
    """Points with their OOF intervals, the line public = OOF, and the band of luck about it.

    Args:
        dots: at least one, or nothing is drawn.
        band: of public − OOF; None: no band.
        metric: of both axes.
    """
    if not dots:
        return plots.EMPTY
    low = min(min(d.low, d.public) for d in dots)
    high = max(max(d.high, d.public) for d in dots)
    pad = 0.05 * (high - low) or 0.02
    ends = (low - pad, high + pad)
    axes = plots.Axes(ends, ends, height=HEIGHT)
    body = axes.frame(f"OOF {metric}, with its 95 % interval", f"public {metric}", percent=False)
    if band is not None:
        body.append(_band(axes, ends, band))
    body.append(plots._line(axes.x(ends[0]), axes.y(ends[0]), axes.x(ends[1]), axes.y(ends[1]), "guide"))
    for dot in dots:
        x, y, kind = axes.x(dot.oof), axes.y(dot.public), 0 if dot.inside else 1
        tip = f"<title>{escape(dot.name)}: OOF {dot.oof:.4f}, public {dot.public:.4f}</title>"
        body.append(plots._line(axes.x(dot.low), y, axes.x(dot.high), y, f"whisker c{kind}"))
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="s{kind}">{tip}</circle>')
        body.append(plots._text(x + 7, y - 6, dot.label, "small strong"))
    return plots.svg(plots.WIDTH, axes.height, f"public against OOF {metric}", body)


def _band(axes: plots.Axes, ends: tuple[float, float], band: Band) -> str:
    """A strip along the diagonal, cut off at the frame."""
    steps = [ends[0] + (ends[1] - ends[0]) * k / 60 for k in range(61)]

    def edge(off: float) -> list[str]:
        points = ((at, min(max(at + off, ends[0]), ends[1])) for at in steps)
        return [f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points]

    corners = " ".join([*edge(band.low), *reversed(edge(band.high))])
    tip = f"<title>luck: public − OOF from {band.low:+.4f} to {band.high:+.4f}</title>"
    return f'<polygon points="{corners}" class="area s0" style="stroke:none;fill-opacity:.14">{tip}</polygon>'
