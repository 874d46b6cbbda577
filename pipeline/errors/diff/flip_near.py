"""The training images nearest to the flips that are hardest to decide, with their labels.

Owns choosing those flips and finding their neighbours. Does not own the search (`nearest.py`), features, nor
the card that shows them (`flip_cards.py`).

Legend: N images, V views, D features, Q flips, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline.core.neighbours import across
from pipeline.core.predictions import Features
from pipeline.core.samples import Samples, strings

MOST = 500
NEAREST = 4


@dataclass(frozen=True)
class Space:
    """Where neighbours are looked for.

    Args:
        train: the labelled samples.
        of_train, of_test: features of both splits by one network, first view.
    """

    train: Samples
    of_train: Features
    of_test: Features


@dataclass(frozen=True)
class Near:
    """Neighbours of some flips.

    Args:
        of: test id -> the nearest training images, nearest first: (id, class index).
    """

    of: dict[str, tuple[tuple[str, int], ...]]


def near(images: pd.DataFrame, space: Space) -> Near:
    """Neighbours of the `MOST` flips with the smallest confidence gap.

    Args:
        images: the flips as `Flips.images` has them; without probabilities the first ones are taken.
        space: every flip and every training image has features there.
    """
    doubtful = images.sort_values("gap", kind="stable", na_position="last").head(MOST)
    names = doubtful["id"].astype(str).tolist()
    if not names:
        return Near({})
    train = space.train
    x_QD = space.of_test.take(strings(names)).x_NVD[:, 0]
    x_ND = space.of_train.take(train.ids_N).x_NVD[:, 0]
    found_QK = across(x_QD, x_ND, NEAREST)
    return Near(
        {
            name: tuple((str(train.ids_N[row]), int(train.labels[row])) for row in rows)
            for name, rows in zip(names, found_QK.tolist(), strict=True)
        }
    )
