"""Findings about copies: identical files and near-duplicates.

Owns what a copy harms. Does not own finding copies (`survey.py`, `twins.py`).

A set is told once, under the worst that it does: wrong labels, then test answers in training, then
folds that it crosses.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.eda.findings_2 import Finding
from pipeline.eda.survey import Duplicates, Survey
from pipeline.pages.report import plural

# A near-duplicate may be two things that look alike.
SURE, LIKELY = 1.0, 0.8
LEAST = 1e-4
MAYBE = (
    "Resized, recompressed or cropped copies, one thing photographed twice, or two things that look alike: "
    "look first. If they are copies:"
)


@dataclass(frozen=True)
class _Kind:
    """One way in which copies do harm: `weight` times the share of the split, at most `most`."""

    name: str
    applies: Callable[[Duplicates], bool]
    weight: float
    most: float
    split: str
    where: str
    meaning: str
    answer: str


KINDS = (
    _Kind(
        "conflict",
        lambda d: d.conflict,
        1.0,
        1.0,
        "train",
        "with different labels",
        "At least one label of each set is wrong, and no model can be right on all of its images.",
        "Look at the pictures, then correct the training table or drop the rows; `suspects.csv` lists them.",
    ),
    _Kind(
        "train_test",
        lambda d: d.train_test,
        1.0,
        1.0,
        "test",
        "in both train and test",
        "The model has seen these test images with their answers: the leaderboard flatters it there.",
        "Read the competition's rules before you use it; do not read the gain as skill.",
    ),
    _Kind(
        "groups",
        lambda d: d.across_groups,
        0.5,
        1.0,
        "train",
        "across groups",
        "A copy may train while its twin validates: the out-of-fold score is too high.",
        "Give them one value in the column named by `competition.group_column`; `suspects.csv` lists them.",
    ),
    _Kind(
        "inside",
        lambda d: True,
        0.05,
        0.0015,
        "train",
        "inside one group and class, or inside the test set",
        "They never sit on both sides of a split; the repeated images only count more.",
        "Nothing to do, or drop the copies from the training table.",
    ),
)


def copies(found: Survey, near: tuple[Duplicates, ...]) -> list[Finding]:
    """A finding for each kind of harm that some set of copies does.

    Args:
        found: the counted competition, with its identical files.
        near: sets of near-duplicates.
    """
    out = []
    for prefix, what, sets, sure in (
        ("copy", "identical images", found.duplicates, SURE),
        ("near", "near-duplicates", near, LIKELY),
    ):
        left = list(sets)
        for kind in KINDS:
            own = [d for d in left if kind.applies(d)]
            left = [d for d in left if not kind.applies(d)]
            if own:
                out.append(_finding(found, f"{prefix}_{kind.name}", what, kind, own, sure))
    return out


def _finding(
    found: Survey, name: str, what: str, kind: _Kind, sets: list[Duplicates], sure: float
) -> Finding:
    touched = sum(split == kind.split for d in sets for split, _ in d.members)
    share = touched / max(len(found.split(kind.split)), 1)
    headline = f"{plural(len(sets), 'set')} of {what} {kind.where}"
    meaning = kind.meaning
    if sure < SURE:
        meaning = f"{MAYBE} {meaning[0].lower()}{meaning[1:]}"
    return Finding(
        name,
        # A kind that is told is never for information only, even where it lies in the test set alone.
        min(max(kind.weight * sure * share, LEAST), kind.most),
        headline,
        meaning,
        kind.answer,
        tuple(d.members for d in sets),
    )
