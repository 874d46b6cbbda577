"""The measurements behind the findings of the data report, and the type of a finding.

Owns the list of what is measured and in which order, the type of a finding, and the scale of harm. Does not
own measuring (`eda/survey.py`, `eda/duplicates.py`, `eda/outliers.py`, `eda/shift.py`) nor the rules
(`eda/findings.py`).

Harm is one number for all kinds, so that findings can be ordered: roughly the share of the score, or of its
estimate, that is at stake. A label that is certainly wrong counts fully; a copy across groups counts half,
because it biases the estimate on one image and harms no model; a strange picture counts a tenth.
The weights are a judgement, the shares are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.core.language import joined
from pipeline.core.predictions import Features
from pipeline.core.samples import FoldPlan, positions
from pipeline.eda import duplicates, outliers, shift, texts
from pipeline.eda.survey import Duplicates, Glance, Survey, glance
from pipeline.pages.report import ImageOf, Key
from pipeline.settings.eda import EdaSettings

Severity = Literal["high", "medium", "low", "info"]
# Features of train and test for the shift test; the test set's may be missing.
FeaturePair = tuple[Features, Features | None]
ORDER: tuple[Severity, ...] = ("high", "medium", "low", "info")
SHOWN = 12
NAMED = 4


@dataclass(frozen=True)
class Evidence:
    """The measurements of the data to which the rules are applied.

    Args:
        seen: thumbnails and mean pictures.
        near: sets of near-duplicates.
        outliers: a row an outlying measure: split, id, measure, value, z.
        shift: how well train and test can be separated; None if that cannot be measured.
        parted: names of training groups that are in both parts of some fold.
    """

    survey: Survey
    seen: Glance
    near: tuple[Duplicates, ...]
    outliers: pd.DataFrame
    shift: shift.Shift | None
    parted: tuple[str, ...] = ()


def gather(
    survey: Survey, settings: EdaSettings, image: ImageOf, plan: FoldPlan | None, features: FeaturePair | None
) -> Evidence:
    """Look at every picture once, then at what they have in common.

    Without a plan, nothing is parted; without features, the shift test uses image facts.

    Raises:
        DataError: an image has no features.
    """
    images = survey.images
    seen = glance(images, len(survey.strata.names), image, survey.strata)
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
    rows = None if features is None else _joined(survey, features)
    return Evidence(
        survey=survey,
        seen=seen,
        near=duplicates.near_duplicates(images, seen, settings),
        outliers=outliers.outliers(images, settings.outlier_z),
        shift=shift.measure(images, facts, rows, settings),
        parted=() if plan is None else _parted(survey, plan),
    )


def _joined(survey: Survey, features: FeaturePair) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """(N, D) first view of every image in the survey's order, joined by split and id."""
    parts = []
    for split, of in zip(("train", "test"), features, strict=True):
        ids = survey.split(split)["id"].to_numpy(str)
        if of is not None and len(ids):
            parts.append(of.x_NVD[positions(ids, of.ids_N, f"{split} features"), 0])
    return np.concatenate(parts).astype(np.float64)


def _parted(survey: Survey, plan: FoldPlan) -> tuple[str, ...]:
    """Groups with images on both sides of some fold."""
    train = survey.split("train").set_index("id")["group"].astype(str)
    parted: set[str] = set()
    for split in plan.splits:
        parted |= set(train.loc[list(split.train_ids)]) & set(train.loc[list(split.valid_ids)])
    return tuple(sorted(parted))


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data.

    Args:
        kind: a short, stable name for tables and metrics.
        harm: about what share of the score or of its estimate is at stake, 0 to 1; 0: for information.
        headline: the observation, with its number.
        meaning: what follows from it.
        answer: what to do: a setting, a command, or images to check by eye.
        sets: every image that is concerned, in sets that belong together (copies, a group, one image).
        examples: (split, id) of images that illustrate it, if it concerns no particular images.
        severity: the class of its harm; `judge` sets it.
    """

    kind: str
    harm: float
    headline: str
    meaning: str
    answer: str
    sets: tuple[tuple[Key, ...], ...] = ()
    examples: tuple[Key, ...] = ()
    severity: Severity = "info"

    @property
    def shown(self) -> tuple[tuple[Key, ...], ...]:
        """Sets to draw, at most `SHOWN` pictures in all; single pictures are one set."""
        if not self.sets or all(len(members) == 1 for members in self.sets):
            flat = tuple(key for members in self.sets for key in members) or self.examples
            return (flat[:SHOWN],) if flat else ()
        drawn: list[tuple[Key, ...]] = []
        left = SHOWN
        for members in self.sets:
            take = members[: min(left, SHOWN // 2)]
            if len(take) < 2:
                break
            drawn.append(take)
            left -= len(take)
        return tuple(drawn)


def severity_of(harm: float, settings: EdaSettings) -> Severity:
    """The severity of a finding, from the share of the score at stake."""
    if harm >= settings.high:
        return "high"
    if harm >= settings.medium:
        return "medium"
    return "low" if harm > 0 else "info"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - NAMED
    first = joined(", ", names[:NAMED])
    return texts.NAMES_AND_MORE.format(names=first, rest=rest) if rest > 0 else first
