"""The section `robustness`: the strengths of corruptions for the robustness curve.

Owns the strengths and the views that they mean. Does not own the views (`nets/views.py`).
"""

from typing import Annotated

from pydantic import Field

from pipeline.settings.fields import Section, fact

Sigma = Annotated[float, Field(gt=0, le=20)]
Deviation = Annotated[float, Field(gt=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]
Factor = Annotated[float, Field(ge=0, le=5)]


class RobustnessSettings(Section):
    """Strengths of corruptions of validation images; [] leaves a kind out."""

    blur: list[Sigma] = fact([0.5, 1.0, 1.5, 2.0], "standard deviation, px of `images.size`")
    noise: list[Deviation] = fact([0.02, 0.05, 0.1, 0.2], "standard deviation, as a share of white")
    jpeg: list[Quality] = fact([50, 30, 15, 5], "quality, best first")
    brightness: list[Factor] = fact(
        [0.8, 0.6, 0.4, 1.25, 1.5, 2.0], "factors; those below 1 and above 1 give two separate curves"
    )

    def views(self) -> dict[str, tuple[str, float]]:
        """The view of each strength -> its curve and its strength, in order of harm within a curve."""
        curves: list[tuple[str, str, list[float]]] = [
            ("blur", "blur", sorted(set(self.blur))),
            ("noise", "noise", sorted(set(self.noise))),
            ("jpeg", "JPEG", sorted(set(self.jpeg), reverse=True)),
            ("brightness", "darker", sorted({f for f in self.brightness if f < 1}, reverse=True)),
            ("brightness", "brighter", sorted({f for f in self.brightness if f > 1})),
        ]
        return {f"{view}({_text(x)})": (name, x) for view, name, strengths in curves for x in strengths}


def _text(value: float) -> str:
    """A number in the spelling of views: 2 for 2.0."""
    return str(int(value)) if value == int(value) else repr(value)
