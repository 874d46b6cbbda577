"""Small SVG drawings for reports: bars, histogram, curves, whiskers, band, public against OOF, correlations.

Owns shapes and labels. Does not own colours (`templates/style.css`: series are the classes s0, s1, …
so that light, dark and print follow the page) or what is drawn.

Every drawing has a title for screen readers, text in the page's own colour, and a tooltip for each mark.
Lengths are in SVG units, which are CSS pixels at full width. Legend: K features.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from pipeline.core.language import _
from pipeline.core.statistics import Band
from pipeline.pages.drawing import EMPTY as EMPTY
from pipeline.pages.drawing import drawn

FONT = 12.0
# Bold text is so many times as wide.
BOLD = 1.25
WIDTH = 440.0
# Of a heat map, px: the longest name, the largest cell, and the smallest one with its number.
HEAT_NAME, HEAT_CELL, HEAT_TEXT = 96.0, 40.0, 26.0
# Smaller shares have no number.
HEAT_LEAST = 0.005
# Left margin of a band, height of public against OOF, side of a correlation matrix.
BAND_LEFT, AGAINST_HEIGHT, MATRIX_SIDE = 52.0, 330.0, 300.0
# More points of a scatter plot than this hide each other, and make a page slow.
MOST_POINTS = 800
SHARE = _("share of images")


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart: one value per series, each with the text printed after its bar."""

    label: str
    values: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Whisker:
    """A value with its interval."""

    label: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Points joined in order, all finite."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def text_width(text: str, font: float = FONT) -> float:
    """Approximate width of `text`; Hangul and other wide characters count double."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return font * (0.56 * (len(text) - wide) + 1.0 * wide)


def _fits(text: str, width: float, font: float) -> bool:
    """Whether a text is no wider; a width that was made of its own, as w + 10 - 10, may be a little less."""
    return text_width(text, font) <= width + 1e-6


def shorten(text: str, width: float, font: float = FONT) -> str:
    """`text`, shortened with an ellipsis if it is wider than `width`."""
    if _fits(text, width, font):
        return text
    kept = text
    while kept and not _fits(kept + "…", width, font):
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrap(text: str, width: float, font: float = FONT) -> list[str]:
    """At most two lines of at most `width`, broken at a space if there is one."""
    if _fits(text, width, font):
        return [text]
    words = text.split(" ")
    first = words[0]
    used = 1
    while used < len(words) and _fits(f"{first} {words[used]}", width, font):
        first = f"{first} {words[used]}"
        used += 1
    rest = " ".join(words[used:])
    return [shorten(line, width, font) for line in (first, rest) if line]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) from `low` to `high`."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A short number: up to three significant decimals, no trailing zeros."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def svg_text(x: float, y: float, text: str, classes: str = "", transform: str = "") -> str:
    """A text that starts, ends or is centred at (x, y), depending on its classes."""
    extra = f' transform="{transform}"' if transform else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}"{extra}>{escape(text)}</text>'


def svg_rect(x: float, y: float, width: float, height: float, classes: str, tip: str = "") -> str:
    """A rectangle with rounded corners and, if given, a tooltip."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" rx="2"'
        f' class="{classes}">{title}</rect>'
    )


def svg_line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def svg(width: float, height: float, title: str, body: Sequence[str]) -> Markup:
    """A figure of these elements, px; the title is read by screen readers."""
    # A minimum width keeps the text legible on a phone; the figure scrolls sideways instead.
    floor = max(0.72 * width, min(width, 310.0))
    return Markup(
        f'<figure class="plot" tabindex="0" role="group" aria-label="{escape(title)}">'
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}"'
        f' style="max-width:{width:.0f}px;min-width:{floor:.0f}px">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg></figure>"
    )


# Colours and sizes of a drawing that stands alone; those of a page are in `templates/style.css`.
ALONE = (
    "text{font:12px sans-serif;fill:#1b2230}.small{font-size:11px}.tiny{font-size:9.5px;opacity:.75}"
    ".strong{font-weight:650}.mid{text-anchor:middle}.end{text-anchor:end}.axis{stroke:#576072}"
    ".grid{stroke:#dfe3ea}.guide{stroke:#576072;stroke-dasharray:4 4}.s0{fill:#4a72d8}.s1{fill:#e08a2e}"
    ".whisker{stroke:#4a72d8;stroke-width:2.4}.curve{fill:none;stroke:#4a72d8;stroke-width:2}"
)


def file_of(drawing: Markup) -> str:
    """A drawing as an SVG file of its own, on white, with the title as text above it."""
    inner = drawing[drawing.index("<svg") : drawing.index("</svg>")]
    width, height = (float(x) for x in re.findall(r'viewBox="0 0 (\d+) (\d+)"', inner)[0])
    title = re.findall(r"<title>(.*?)</title>", inner)[0]
    body = inner[inner.index(">") + 1 :]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height + 30:.0f}" '
        f'width="{1.6 * width:.0f}" height="{1.6 * (height + 30):.0f}"><style>{ALONE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="8" y="18" class="strong">{title}</text>'
        f'<g transform="translate(0 30)">{body}</g></svg>'
    )


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    body = []
    for index, name in enumerate(names):
        body += [svg_rect(x, y - 9, 10, 10, f"s{index}"), svg_text(x + 15, y, name, "small")]
        x += 15 + text_width(name) + 18
    return body


@drawn
def bars(rows: Sequence[Bar], title: str, series: Sequence[str] = ()) -> Markup:
    """Horizontal bars from zero, one group of bars per row, in the given order.

    Each row has one value (≥ 0) and text per series; `series` are their names, if there are several.
    """
    if not rows:
        return EMPTY
    gutter = min(max(text_width(row.label) for row in rows) + 10, 0.38 * WIDTH)
    behind = max(text_width(text, 11) for row in rows for text in row.texts) + 10
    scale = (WIDTH - gutter - behind) / (max(max(row.values) for row in rows) or 1)
    thick, gap = (15.0, 8.0) if len(rows[0].values) == 1 else (11.0, 9.0)
    y = 24.0 if len(series) > 1 else 4.0
    body = _legend(series, gutter, 12) if len(series) > 1 else []
    for row in rows:
        height = thick * len(row.values)
        lines = wrap(row.label, gutter - 10)
        top = y + height / 2 + 4 - 6.5 * (len(lines) - 1)
        body += [svg_text(gutter - 8, top + 13 * i, line, "end") for i, line in enumerate(lines)]
        pitch = max(height, 13.0 * len(lines))
        for index, (value, text) in enumerate(zip(row.values, row.texts, strict=True)):
            at = y + index * thick
            name = f" {series[index]}" if series else ""
            body.append(
                svg_rect(gutter, at, value * scale, thick - 2, f"s{index}", f"{row.label}{name}: {text}")
            )
            body.append(svg_text(gutter + value * scale + 6, at + thick - 5, text, "small"))
        y += pitch + gap
    body.append(svg_line(gutter, 20 if len(series) > 1 else 0, gutter, y - gap / 2, "axis"))
    return svg(WIDTH, y, title, body)


@dataclass(frozen=True)
class Axes:
    """A plotting area with linear axes; `x` and `y` turn data into SVG units."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    height: float = 210.0
    left: float = 46.0
    top: float = 24.0
    bottom: float = 38.0
    width: float = WIDTH

    def x(self, value: float) -> float:
        """Position of a value, px from the left."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.width - self.left - 14)

    def y(self, value: float) -> float:
        """Position of a value, px from the top."""
        low, high = self.y_range
        return self.top + (high - value) / ((high - low) or 1) * (self.height - self.top - self.bottom)

    @property
    def area(self) -> tuple[float, float, float, float]:
        """Where names may stand, px: left, top (below the title of the y axis), right and bottom."""
        return self.left + 2, self.top - 9, self.width - 2, self.height - self.bottom - 2

    def frame(
        self,
        x_label: str,
        y_label: str,
        percent: bool,
        x_names: Sequence[str] = (),
        x_at: Sequence[float] = (),
    ) -> list[str]:
        """Grid, tick labels and axis titles; `x_names` are shown at 0, 1, … instead of numbers.

        `x_at` are the numbers to show; empty: round ones.
        """
        floor = self.height - self.bottom
        body = []
        for tick in ticks(*self.y_range, 4):
            text = f"{100 * tick:.4g} %" if percent else number(tick)
            body.append(svg_line(self.left, self.y(tick), self.width - 14, self.y(tick), "grid"))
            body.append(svg_text(self.left - 6, self.y(tick) + 4, text, "end tiny"))
        places = range(len(x_names)) if x_names else x_at or ticks(*self.x_range, 6)
        for at, name in zip(places, x_names or map(number, places), strict=True):
            body.append(svg_text(self.x(at), floor + 14, name, "mid tiny"))
        body.append(svg_line(self.left, floor, self.width - 14, floor, "axis"))
        body.append(svg_text((self.width + self.left) / 2, self.height - 6, x_label, "mid small"))
        body.append(svg_text(4, 11, y_label, "small"))
        return body


@drawn
def histogram(
    series: Mapping[str, npt.NDArray[np.float64]],
    title: str,
    x_label: str,
    y_label: str = SHARE,
    bins: int = 32,
) -> Markup:
    """Shares of each series per bin, with shared edges, so that series of different size are comparable.

    Values are finite; empty series are left out. `y_label` says of what the shares are.
    """
    filled = {name: values for name, values in series.items() if len(values)}
    if not filled:
        return EMPTY
    every = np.concatenate(list(filled.values()))
    edges = np.histogram_bin_edges(every, bins=bins)
    shares = {name: np.histogram(v, edges)[0] / len(v) for name, v in filled.items()}
    high = max(float(s.max()) for s in shares.values())
    axes = Axes((float(edges[0]), float(edges[-1])), (0.0, high * 1.05))
    body = axes.frame(x_label, y_label, percent=True)
    body += _legend(list(filled), WIDTH - 40 - sum(text_width(n) + 33 for n in filled), 12)
    for index, (name, share) in enumerate(shares.items()):
        points = [f"{axes.x(edges[0]):.1f},{axes.y(0):.1f}"]
        for k, value in enumerate(share):
            points += [f"{axes.x(e):.1f},{axes.y(value):.1f}" for e in (edges[k], edges[k + 1])]
        points.append(f"{axes.x(edges[-1]):.1f},{axes.y(0):.1f}")
        tip = f"<title>{escape(name)}: {len(filled[name]):,}</title>"
        body.append(f'<polygon points="{" ".join(points)}" class="area s{index}">{tip}</polygon>')
    return svg(WIDTH, axes.height, title, body)


@drawn
def curves(lines: Sequence[Curve], title: str, x_label: str, y_label: str, identity: bool = False) -> Markup:
    """Lines with their points; with `identity` both axes go from 0 to 1 and the line y = x is drawn.

    Curves without points are left out.
    """
    drawn = [line for line in lines if len(line.x)]
    if not drawn:
        return EMPTY
    xs = [float(x) for line in drawn for x in line.x]
    ys = [float(y) for line in drawn for y in line.y]
    unit = (0.0, 1.0)
    axes = Axes(unit, unit) if identity else Axes((min(xs), max(xs)), (min(ys), max(ys)))
    # Between two epochs there is nothing.
    whole = [t for t in ticks(*axes.x_range, 6) if t == int(t)] if all(x == int(x) for x in xs) else []
    body = axes.frame(x_label, y_label, percent=identity, x_at=whole)
    if identity:
        body.append(svg_line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), "guide"))
    if len(drawn) > 1:
        first = text_width(y_label) + 24
        names = [shorten(line.name, (WIDTH - first) / len(drawn) - 33) for line in drawn]
        body += _legend(names, max(first, min(WIDTH / 2, WIDTH - sum(text_width(n) + 33 for n in names))), 12)
    for index, line in enumerate(drawn):
        points = [(axes.x(float(x)), axes.y(float(y))) for x, y in zip(line.x, line.y, strict=True)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline points="{joined}" class="curve c{index}"/>')
        for (x, y), vx, vy in zip(points, line.x, line.y, strict=True):
            tip = f"<title>{escape(line.name)}: {number(vx)}, {number(vy)}</title>"
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="s{index}">{tip}</circle>')
    return svg(WIDTH, axes.height, title, body)


@drawn
def scatter(
    x: Sequence[float], y: Sequence[float], names: Sequence[str], title: str, axes: tuple[str, str]
) -> Markup:
    """Points with the line on which both are equal; of many points every n-th by x is shown.

    `names` are of the points, for their tooltips; `axes` are the labels of x and y.
    """
    if not len(x):
        return EMPTY
    order = sorted(range(len(x)), key=lambda n: x[n])[:: -(-len(x) // MOST_POINTS)]
    low, high = min(*x, *y, math.inf), max(*x, *y, -math.inf)
    room = 0.03 * ((high - low) or 1.0)
    ends = (low - room, high + room)
    area = Axes(ends, ends)
    body = area.frame(axes[0], axes[1], percent=False)
    body.append(svg_line(area.x(low), area.y(low), area.x(high), area.y(high), "guide"))
    for n in order:
        tip = escape(f"{names[n]}: {number(x[n])} → {number(y[n])}")
        point = f'cx="{area.x(x[n]):.1f}" cy="{area.y(y[n]):.1f}" r="2.6" class="s0 faint"'
        body.append(f"<circle {point}><title>{tip}</title></circle>")
    return svg(WIDTH, area.height, title, body)


@drawn
def history(rows: Sequence[Whisker], title: str, labels: tuple[str, str], higher: bool = True) -> Markup:
    """Scores with their intervals in order of time, and a line at the best one so far.

    `labels` are those of the axes; `higher`: whether a higher score is better. All numbers are finite.
    """
    if not rows:
        return EMPTY
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    pad = 0.08 * (high - low) or 0.05
    axes = Axes((0.5, len(rows) + 0.5), (low - pad, high + pad))
    step = -(-len(rows) // 12)
    body = axes.frame(labels[0], labels[1], percent=False, x_at=range(1, len(rows) + 1, step))
    best, points = rows[0], []
    for at, row in enumerate(rows, start=1):
        before = best
        best = row if (row.value > best.value) == higher and row.value != best.value else best
        points += [(axes.x(at), axes.y(before.value)), (axes.x(at), axes.y(best.value))]
    points.append((axes.x(len(rows) + 0.5), axes.y(best.value)))
    body.append(f'<polyline points="{_joined(points)}" class="guide" style="fill:none"/>')
    for at, row in enumerate(rows, start=1):
        x, y, kind = axes.x(at), axes.y(row.value), 1 if row is best else 0
        tip = f"{row.label}: {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"
        body.append(svg_line(x, axes.y(row.low), x, axes.y(row.high), f"whisker c{kind}"))
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="s{kind}"><title>{escape(tip)}</title></circle>'
        )
        if row is best:
            side = "end" if at > len(rows) / 2 else ""
            body.append(
                svg_text(x - 8 if side else x + 8, y - 7, shorten(row.label, 200), f"small strong {side}")
            )
    return svg(WIDTH, axes.height, title, body)


@drawn
def whiskers(rows: Sequence[Whisker], title: str, zero: bool = False) -> Markup:
    """Values with their finite intervals, one per row; `zero`: they are differences, so zero is marked."""
    if not rows:
        return EMPTY
    low = min(row.low for row in rows)
    high = max(row.high for row in rows)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.06 * (high - low) or 0.05
    # Values in other units than scores may be large: then decimals say nothing, and take the room.
    size = max(abs(row.value) for row in rows)
    form = ".4f" if size < 10 else ".2f" if size < 1000 else ",.0f"
    texts = [format(row.value, f"+{form}" if zero else form) for row in rows]
    gutter = min(max(text_width(row.label) for row in rows) + 16, 0.34 * WIDTH)
    left, right = gutter, WIDTH - BOLD * max(text_width(t) for t in texts) - 12

    def at(value: float) -> float:
        return left + (value - low + pad) / (high - low + 2 * pad) * (right - left)

    floor = 12 + 28 * len(rows)
    body = [svg_line(left, floor, right, floor, "axis")]
    for tick in ticks(low - pad, high + pad, 5):
        body += [
            svg_line(at(tick), 4, at(tick), floor, "grid"),
            svg_text(at(tick), floor + 14, number(tick), "mid tiny"),
        ]
    if zero:
        body.append(svg_line(at(0.0), 2, at(0.0), floor, "guide"))
    for index, (row, text) in enumerate(zip(rows, texts, strict=True)):
        y = 20.0 + 28 * index
        ends = f"[{format(row.low, form)}, {format(row.high, form)}]"
        tip = f"<title>{escape(row.label)}: {text} {ends}</title>"
        body.append(svg_text(gutter - 8, y + 4, shorten(row.label, gutter - 16), "end"))
        body.append(svg_line(at(row.low), y, at(row.high), y, f"whisker c{index}"))
        body += [svg_line(at(end), y - 5, at(end), y + 5, f"whisker c{index}") for end in (row.low, row.high)]
        body.append(f'<circle cx="{at(row.value):.1f}" cy="{y:.1f}" r="5" class="s{index}">{tip}</circle>')
        body.append(svg_text(right + 8, y + 4, text, "strong"))
    return svg(WIDTH, floor + 20, title, body)


@dataclass(frozen=True)
class BandStep:
    """One step of the x axis: its name, the value there, and its interval."""

    name: str
    value: float
    low: float
    high: float


@drawn
def band(
    steps: Sequence[BandStep], title: str, x_label: str, y_label: str, y_range: tuple[float, float]
) -> Markup:
    """A line with its interval as a band over equidistant steps, at least one, all numbers finite.

    `y_range` is given, so that several drawings are comparable.
    """
    assert steps, "a band needs at least one step"
    axes = Axes((0.0, float(max(len(steps) - 1, 1))), y_range, left=BAND_LEFT)
    body = axes.frame(x_label, y_label, percent=False, x_names=[step.name for step in steps])
    there = [(axes.x(k), axes.y(step.high)) for k, step in enumerate(steps)]
    back = [(axes.x(k), axes.y(step.low)) for k, step in enumerate(steps)][::-1]
    body.append(f'<polygon points="{_joined([*there, *back])}" class="band s0"/>')
    points = [(axes.x(k), axes.y(step.value)) for k, step in enumerate(steps)]
    body.append(f'<polyline points="{_joined(points)}" class="curve c0"/>')
    for (x, y), step in zip(points, steps, strict=True):
        tip = f"{step.name}: {step.value:.4f} [{step.low:.4f}, {step.high:.4f}]"
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="s0"><title>{escape(tip)}</title></circle>'
        )
    return svg(WIDTH, axes.height, title, body)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


@dataclass(frozen=True)
class Dot:
    """One submission: its number in the table, its scores, and whether its gap is inside the band of luck."""

    label: str
    name: str
    oof: float
    low: float
    high: float
    public: float
    inside: bool


@drawn
def against(dots: Sequence[Dot], band: Band | None, metric: str) -> Markup:
    """Points with their OOF intervals, the line public = OOF, and the band of luck around it.

    Args:
        dots: if empty, nothing is drawn.
        band: of public − OOF; None: no band.
        metric: of both axes.
    """
    if not dots:
        return EMPTY
    low = min(min(d.low, d.public) for d in dots)
    high = max(max(d.high, d.public) for d in dots)
    pad = 0.05 * (high - low) or 0.02
    ends = (low - pad, high + pad)
    axes = Axes(ends, ends, height=AGAINST_HEIGHT)
    body = axes.frame(f"OOF {metric}, with its 95 % interval", f"public {metric}", percent=False)
    if band is not None:
        body.append(_band(axes, ends, band))
    body.append(svg_line(axes.x(ends[0]), axes.y(ends[0]), axes.x(ends[1]), axes.y(ends[1]), "guide"))
    for dot in dots:
        x, y, kind = axes.x(dot.oof), axes.y(dot.public), 0 if dot.inside else 1
        tip = f"<title>{escape(dot.name)}: OOF {dot.oof:.4f}, public {dot.public:.4f}</title>"
        body.append(svg_line(axes.x(dot.low), y, axes.x(dot.high), y, f"whisker c{kind}"))
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="s{kind}">{tip}</circle>')
        body.append(svg_text(x + 7, y - 6, dot.label, "small strong"))
    return svg(WIDTH, axes.height, f"public against OOF {metric}", body)


def _band(axes: Axes, ends: tuple[float, float], band: Band) -> str:
    """A strip along the diagonal, clipped to the frame."""
    steps = [ends[0] + (ends[1] - ends[0]) * k / 60 for k in range(61)]

    def edge(off: float) -> list[str]:
        points = ((at, min(max(at + off, ends[0]), ends[1])) for at in steps)
        return [f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points]

    corners = " ".join([*edge(band.low), *reversed(edge(band.high))])
    tip = f"<title>luck: public − OOF from {band.low:+.4f} to {band.high:+.4f}</title>"
    return f'<polygon points="{corners}" class="area s0" style="stroke:none;fill-opacity:.14">{tip}</polygon>'


@drawn
def heat_map(share_KK: npt.NDArray[np.float64], names: Sequence[str], title: str) -> Markup:
    """Shares from 0 to 1 of rows and columns with the same names: the stronger the colour, the larger."""
    size = len(share_KK)
    if not size:
        return EMPTY
    left = min(max(text_width(shorten(name, HEAT_NAME)) for name in names) + 8, HEAT_NAME + 8)
    cell = min((WIDTH - left - 8) / size, HEAT_CELL)
    top = 8
    body = []
    for i, row in enumerate(names):
        y = top + i * cell
        body.append(svg_text(left - 6, y + cell / 2 + 4, shorten(row, HEAT_NAME), "end tiny"))
        for k, column in enumerate(names):
            value = float(share_KK[i, k])
            tip = f"<title>{escape(row)} → {escape(column)}: {value:.0%}</title>"
            body.append(
                f'<rect x="{left + k * cell:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"'
                f' class="s0" style="fill-opacity:{0.04 + 0.96 * value:.2f}">{tip}</rect>'
            )
            if cell >= HEAT_TEXT and value >= HEAT_LEAST:
                body.append(svg_text(left + (k + 0.5) * cell, y + cell / 2 + 4, f"{value:.0%}", "mid tiny"))
    floor = top + size * cell
    for k, column in enumerate(names):
        x, turned = left + (k + 0.5) * cell, f"rotate(-60 {left + (k + 0.5) * cell:.1f} {floor + 12:.1f})"
        body.append(svg_text(x, floor + 12, shorten(column, HEAT_NAME), "end tiny", turned))
    return svg(WIDTH, floor + HEAT_NAME, title, body)


@drawn
def correlation_matrix(correlation_KK: npt.NDArray[np.float64], title: str) -> Markup:
    """A correlation matrix, −1 to 1: colour for the sign, strength for the size."""
    size = len(correlation_KK)
    if not size:
        return EMPTY
    cell = MATRIX_SIDE / size
    body = [svg_rect(0, 20, MATRIX_SIDE, MATRIX_SIDE, "cell")]
    for i in range(size):
        for k in range(size):
            value = float(correlation_KK[i, k])
            if abs(value) >= 0.02:
                body.append(
                    f'<rect x="{k * cell:.1f}" y="{20 + i * cell:.1f}" width="{cell:.1f}" height="{cell:.1f}"'
                    f' class="s{int(value < 0)}" shape-rendering="crispEdges"'
                    f' style="fill-opacity:{abs(value):.2f}"/>'
                )
    left = MATRIX_SIDE + 16
    for row, (words, kind, opacity) in enumerate(
        (("+1: rise together", 0, 1.0), ("+0.5", 0, 0.5), ("−0.5", 1, 0.5), ("−1: opposite", 1, 1.0))
    ):
        y = 40 + 22 * row
        body.append(
            f'<rect x="{left}" y="{y - 11}" width="14" height="14" class="s{kind}"'
            f' style="fill-opacity:{opacity}"/>'
        )
        body.append(svg_text(left + 20, y, words, "small"))
    body.append(svg_text(0, 12, f"{size} features, similar ones next to each other", "small"))
    return svg(WIDTH, MATRIX_SIDE + 24, title, body)
