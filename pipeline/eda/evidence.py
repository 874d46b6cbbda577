"""Everything that the data report's judgements rest on, gathered once.

Owns the list of what is measured and in which order. Does not own measuring (`survey.py`,
`glance.py`, `twins.py`, `outliers.py`, `shift.py`) nor judging (`judge.py`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.predictions import Features
from pipeline.core.samples import FoldPlan, positions
from pipeline.eda import duplicates, outliers, shift
from pipeline.eda.glance import Glance, glance
from pipeline.eda.survey import Duplicates, Survey
from pipeline.pages.report import ImageOf
from pipeline.settings.schema import EdaSettings


@dataclass(frozen=True)
class Evidence:
    """What is known of the data before it is judged.

    Args:
        survey: the counts.
        seen: thumbnails and mean pictures.
        near: sets of near-duplicates.
        outliers: a row an outlying measure: split, id, measure, value, z.
        shift: how well train and test can be told apart; None where that cannot be asked.
        parted: training groups that a fold has on both sides, by name.
    """

    survey: Survey
    seen: Glance
    near: tuple[Duplicates, ...]
    outliers: pd.DataFrame
    shift: shift.Shift | None
    parted: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeaturePair:
    """Features of both splits, for the shift test; the test set's may be missing."""

    train: Features
    test: Features | None


def gather(
    found: Survey, settings: EdaSettings, image: ImageOf, plan: FoldPlan | None, features: FeaturePair | None
) -> Evidence:
    """Look at every picture once, then at what they have in common.

    Args:
        found: the counted competition.
        settings: thresholds.
        image: gives the pixels of an image by split and id.
        plan: the fold plan, to see whether it keeps groups together; None: not asked.
        features: for the shift test; None: it uses image facts.

    Raises:
        DataError: an image has no features.
    """
    images = found.images
    seen = glance(images, found.space.n_classes, image)
    facts = pd.DataFrame(
        {
            "width": images["width"],
            "height": images["height"],
            "aspect": images["width"] / images["height"],
            "brightness": images["brightness"],
            "contrast": images["contrast"],
            "blur": images["blur"],
            **seen.looks,
        }
    ).astype(float)
    rows = None if features is None else _joined(found, features)
    return Evidence(
        survey=found,
        seen=seen,
        near=duplicates.near_duplicates(images, seen, settings),
        outliers=outliers.outliers(images, settings.outlier_z),
        shift=shift.measure(images, facts, rows, settings),
        parted=() if plan is None else _parted(found, plan),
    )


def _joined(found: Survey, features: FeaturePair) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """(N, D) first view of every image in the survey's order, joined by split and id."""
    parts = []
    for split, of in (("train", features.train), ("test", features.test)):
        ids = found.split(split)["id"].to_numpy(str)
        if of is not None and len(ids):
            parts.append(of.x_NVD[positions(ids, of.ids_N, f"{split} features"), 0])
    return np.concatenate(parts).astype(np.float64)


def _parted(found: Survey, plan: FoldPlan) -> tuple[str, ...]:
    """Groups with images on both sides of some fold."""
    train = found.split("train").set_index("id")["group"].astype(str)
    parted: set[str] = set()
    for split in plan.splits:
        parted |= set(train.loc[list(split.train_ids)]) & set(train.loc[list(split.valid_ids)])
    return tuple(sorted(parted))
