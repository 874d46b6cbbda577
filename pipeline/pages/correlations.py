"""A correlation matrix as a drawing: colour for the sign, strength for the size.

Owns this one drawing. Does not own shapes and labels (`plots.py`) or the matrix (`embedding.py`).
Legend: K features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.pages import plots

SIDE = 300.0


def drawing(correlation_KK: npt.NDArray[np.float64], title: str) -> Markup:
    """Cells of one colour where two features rise together and of another where one falls.

    Args:
        correlation_KK: −1 to 1.
        title: for screen readers.
    """
    size = len(correlation_KK)
    if not size:
        return plots.EMPTY
    cell = SIDE / size
    body = [plots._rect(0, 20, SIDE, SIDE, "cell")]
    for i in range(size):
        for k in range(size):
            value = float(correlation_KK[i, k])
            if abs(value) >= 0.02:
                body.append(
                    f'<rect x="{k * cell:.1f}" y="{20 + i * cell:.1f}" width="{cell:.1f}" height="{cell:.1f}"'
                    f' class="s{int(value < 0)}" shape-rendering="crispEdges"'
                    f' style="fill-opacity:{abs(value):.2f}"/>'
                )
    left = SIDE + 16
    for row, (words, kind, opacity) in enumerate(
        (("+1: rise together", 0, 1.0), ("+0.5", 0, 0.5), ("−0.5", 1, 0.5), ("−1: one falls", 1, 1.0))
    ):
        y = 40 + 22 * row
        body.append(
            f'<rect x="{left}" y="{y - 11}" width="14" height="14" class="s{kind}"'
            f' style="fill-opacity:{opacity}"/>'
        )
        body.append(plots._text(left + 20, y, words, "small"))
    body.append(plots._text(0, 12, f"{size} features, alike ones side by side", "small"))
    return plots.svg(plots.WIDTH, SIDE + 24, title, body)
