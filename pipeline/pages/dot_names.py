"""Names beside the dots of a drawing, so placed that no name lies over another name or over a dot.

Owns the places. Does not own the dots, the lines between them, nor how wide a text is (`pages/plots.py`).

A name stands beside, below or above its dot where there is room; else it moves a little away, and a thin line
leads from the dot to it. A place far away, on a line of the drawing, or behind such a line of another dot
costs more. Where a name would cost too much, as in a crowd, all dots have numbers instead, and the names are
listed below the drawing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.pages import plots

# Left, top, right and bottom, px.
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Segment = tuple[Point, Point]

# A browser's font may be wider than `plots.text_width` supposes.
WIDER = 1.15
# Of a line of text in units of its font's size: above the baseline, and below it.
ABOVE, BELOW = 0.93, 0.24
# From a dot to its name, the radius around a dot that stays free, and the space between two names.
GAP, DOT, SPACE = 7.0, 5.0, 1.5
# Names farther away than this from their dot have a line to it.
NEAR = 14.0
# Steps of the search, and what crossing something costs, in px of distance.
STEP_X, STEP_Y = 12.0, 4.0
ON_LINE, OVER_DOT, OVER_LEADER = 12.0, 20.0, 60.0
# A name that costs more makes a crowd.
CROWD = 48.0
# Of the list below a drawing of the usual width: its columns, the height of a line, and the space above it.
COLUMNS, LINE, ROOM = 2, 15.0, 10.0


@dataclass(frozen=True)
class Named:
    """A dot and its name; `x` and `y` are px from the left and the top of the drawing."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class _Style:
    """How names look: size of the font, px, classes of the text, and the widest name, px."""

    font: float
    classes: str
    widest: float


def names(
    dots: Sequence[Named],
    axes: plots.Axes,
    style: tuple[float, str, float],
    every: Sequence[Point] = (),
    lines: Sequence[Segment] = (),
) -> tuple[list[str], float]:
    """SVG elements, and the height of the drawing with them: names of dots, or numbers and a list below.

    Args:
        dots: with names, the most important first.
        axes: of the drawing; no name leaves its plotting area.
        style: size of the font, px, classes of the text, and the width from which a name is shortened, px.
        every: other dots that no name may cover.
        lines: of the drawing, which names avoid where they can.
    """
    look = _Style(*style)
    free = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in (*((d.x, d.y) for d in dots), *every)]
    body, worst = _beside(dots, axes.area, look, free, lines)
    if worst <= CROWD:
        return body, axes.height
    ordered = sorted(dots, key=lambda dot: (dot.x, dot.y))
    numbers = [Named(dot.x, dot.y, str(n)) for n, dot in enumerate(ordered, start=1)]
    body, _ = _beside(numbers, axes.area, look, free, lines)
    listed, height = _listed([dot.name for dot in ordered], axes, look)
    return body + listed, height


def _beside(
    dots: Sequence[Named], area: Box, look: _Style, free: Sequence[Box], lines: Sequence[Segment]
) -> tuple[list[str], float]:
    """Names with the lines that lead to them, and the cost of the worst one; without room it is left out."""
    taken: list[Box] = []
    leaders: list[Segment] = []
    body, worst = [], 0.0
    for dot in dots:
        text = plots.shorten(dot.name, look.widest, look.font)
        size = (plots.text_width(text, look.font) * WIDER, look.font)
        found, cost = _place(dot, size, area, free, (taken, leaders, lines))
        worst = max(worst, cost)
        if found is None:
            continue
        taken.append(found)
        leader = ((dot.x, dot.y), _nearest(found, (dot.x, dot.y)))
        if _length(leader) > NEAR:
            leaders.append(leader)
            (x1, y1), (x2, y2) = leader
            body.append(plots.svg_line(x1, y1, x2, y2, "leader"))
        body.append(_text(found, dot, text, look))
    return body, worst


def _listed(names: Sequence[str], axes: plots.Axes, look: _Style) -> tuple[list[str], float]:
    """The names with their numbers in columns below the drawing, and where the list ends, px."""
    columns = round(COLUMNS * axes.width / plots.WIDTH)
    rows, wide, top = -(-len(names) // columns), axes.width / columns, axes.height
    body = []
    for n, name in enumerate(names):
        column, row = divmod(n, rows)
        text = plots.shorten(f"{n + 1}  {name}", (wide - 2 * GAP) / WIDER, look.font)
        body.append(plots.svg_text(GAP + column * wide, top + ROOM + (row + 1) * LINE, text, look.classes))
    return body, top + ROOM + (rows + 1) * LINE


def _text(box: Box, dot: Named, text: str, look: _Style) -> str:
    """The text in its box: at the end that is nearer to its dot, because the box may be a little too wide."""
    left, top, right, _ = box
    y = top + ABOVE * look.font
    if right <= dot.x:
        return plots.svg_text(right, y, text, f"end {look.classes}")
    if left >= dot.x:
        return plots.svg_text(left, y, text, look.classes)
    return plots.svg_text((left + right) / 2, y, text, f"mid {look.classes}")


def _place(
    dot: Named,
    size: tuple[float, float],
    area: Box,
    free: Sequence[Box],
    there: tuple[Sequence[Box], Sequence[Segment], Sequence[Segment]],
) -> tuple[Box | None, float]:
    """The cheapest box for a name of this width and font, and its cost; None and infinity: no room."""
    taken, leaders, lines = there
    best, least = None, float("inf")
    for box in _boxes(dot, size, area):
        away = _length(((dot.x, dot.y), _nearest(box, (dot.x, dot.y))))
        if away >= least or any(_overlap(box, other) for other in taken):
            continue
        if any(_overlap(box, other) for other in free):
            continue
        leader = ((dot.x, dot.y), _nearest(box, (dot.x, dot.y)))
        cost = away + ON_LINE * sum(_crosses(line, box) for line in lines)
        cost += OVER_LEADER * sum(_crosses(line, box) for line in leaders)
        if away > NEAR:
            cost += OVER_LEADER * sum(_crosses(leader, other) for other in taken)
            cost += OVER_DOT * sum(_crosses(leader, other) for other in free if not _holds(other, dot))
        if cost < least:
            best, least = box, cost
    return best, least


def _boxes(dot: Named, size: tuple[float, float], area: Box) -> Iterator[Box]:
    """Boxes inside the area: right and left of the dot, and in its middle; beside it first, then anywhere."""
    width, font = size
    above, below = ABOVE * font, BELOW * font
    left, top, right, bottom = area
    lefts = [dot.x + GAP, dot.x - GAP - width, dot.x - width / 2]
    rows = int((bottom - top) / STEP_Y)
    offsets = sorted((n * STEP_Y for n in range(-rows, rows + 1)), key=abs)
    columns = int((right - left) / STEP_X)
    more = [left + n * STEP_X for n in range(columns + 1)]
    for at, off in itertools.product((*lefts, *more), offsets):
        x = min(max(at, left), right - width)
        box = (x, dot.y + off - above, x + width, dot.y + off + below)
        if x >= left and box[1] >= top and box[3] <= bottom:
            yield box


def _holds(box: Box, dot: Named) -> bool:
    return box[0] < dot.x < box[2] and box[1] < dot.y < box[3]


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[2] + SPACE
        and other[0] < one[2] + SPACE
        and one[1] < other[3] + SPACE
        and other[1] < one[3] + SPACE
    )


def _nearest(box: Box, point: Point) -> Point:
    """The point of a box that is nearest to a point."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _length(segment: Segment) -> float:
    (x1, y1), (x2, y2) = segment
    return float(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)


def _crosses(segment: Segment, box: Box) -> bool:
    """Whether a part of a segment lies inside a box (Liang and Barsky's clipping)."""
    (x1, y1), (x2, y2) = segment
    begin, end = 0.0, 1.0
    for start, along, low, high in ((x1, x2 - x1, box[0], box[2]), (y1, y2 - y1, box[1], box[3])):
        if along == 0.0:
            if not low < start < high:
                return False
            continue
        near, far = sorted(((low - start) / along, (high - start) / along))
        begin, end = max(begin, near), min(end, far)
    return begin < end
