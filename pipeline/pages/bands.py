"""One drawing: values with their intervals over named steps, as a line in a band.

Owns that drawing. Does not own the axes (`plots.py`) nor colours (`templates/style.css`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.pages.plots import WIDTH, Axes, svg

LEFT = 52.0


@dataclass(frozen=True)
class Step:
    """One step to the right: its name, the value there, and its interval."""

    name: str
    value: float
    low: float
    high: float


def band(
    steps: Sequence[Step], title: str, x_label: str, y_label: str, y_range: tuple[float, float]
) -> Markup:
    """The steps from left to right, equally far apart.

    Args:
        steps: at least one, all numbers finite.
        title: read by screen readers.
        x_label: what a step is.
        y_label: what runs upwards.
        y_range: of the upward axis, so that several drawings compare.
    """
    assert steps, "nothing to draw"
    axes = Axes((0.0, float(max(len(steps) - 1, 1))), y_range, left=LEFT)
    body = axes.frame(x_label, y_label, percent=False, x_names=[step.name for step in steps])
    there = [(axes.x(k), axes.y(step.high)) for k, step in enumerate(steps)]
    back = [(axes.x(k), axes.y(step.low)) for k, step in enumerate(steps)][::-1]
    body.append(f'<polygon points="{_joined([*there, *back])}" class="band s0"/>')
    points = [(axes.x(k), axes.y(step.value)) for k, step in enumerate(steps)]
    body.append(f'<polyline points="{_joined(points)}" class="curve c0"/>')
    for (x, y), step in zip(points, steps, strict=True):
        tip = f"{step.name}: {step.value:.4f}, {step.low:.4f} to {step.high:.4f}"
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="s0"><title>{escape(tip)}</title></circle>'
        )
    return svg(WIDTH, axes.height, title, body)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
