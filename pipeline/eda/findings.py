"""The data report's findings in order of harm.

Owns the order only: each rule lives beside its kind (`judge_copies.py`, `judge_labels.py`,
`judge_pixels.py`), and a new rule is one line here.

Findings about copies: identical files and near-duplicates.

Owns what a copy harms. Does not own finding copies (`survey.py`, `twins.py`).

A set is told once, under the worst that it does: wrong labels, then test answers in training, then
folds that it crosses.

Findings about pixels: sizes, outliers, and a test set that looks different.

Owns what these harm. Does not own measuring them (`outliers.py`, `shift.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.eda.evidence import Evidence, Finding, severity_of
from pipeline.eda.label_findings import disagreements, groups, imbalance, straddling, thin_classes
from pipeline.eda.outliers import LOOKS, SHAPES
from pipeline.eda.shift import Shift
from pipeline.eda.survey import Duplicates, Survey
from pipeline.pages.report import Key, percent, plural
from pipeline.settings.eda import EdaSettings
from pipeline.settings.schema import Config

# A near-duplicate may be two things that look alike.
SURE, LIKELY = 1.0, 0.8
LEAST = 1e-4
ASPECT_SPREAD = 1.25
# Shares of the score at stake; see `eda/evidence.py`.
SQUASHED, VARIED = 0.003, 0.0005
STRANGE, MOST_STRANGE = 0.1, 0.009
SHIFTED = 0.05
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


def judge(evidence: Evidence, config: Config, asked: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """All findings, worst first; equal harm keeps the order of the rules.

    Args:
        evidence: what was counted and measured.
        config: the settings in force, so that nothing is advised that is already on.
        asked: the words that asked for these settings; advised commands start with them.
    """
    found = evidence.survey
    rules = [
        *copies(found, evidence.near),
        *disagreements(found),
        *thin_classes(found, config.folds),
        *straddling(found, evidence.parted),
        *shifted(evidence.shift, config.eda),
        *imbalance(found, config, asked),
        *odd_pixels(evidence.outliers, found, config.eda),
        *odd_shapes(evidence.outliers, found, config.eda),
        *sizes(found, config),
        groups(found),
    ]
    told = [replace(f, severity=severity_of(f.harm, config.eda)) for f in rules]
    return tuple(sorted(told, key=lambda finding: -finding.harm))


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


def sizes(found: Survey, config: Config) -> list[Finding]:
    """Whether images differ in size, and whether resizing distorts them."""
    images = found.images
    if len(found.sizes) == 1:
        return [
            Finding("sizes", 0.0, f"All images measure {found.sizes['size'][0]} px", "", "Nothing to do.")
        ]
    aspect = images["width"] / images["height"]
    low, high = aspect.quantile(0.02), aspect.quantile(0.98)
    squashed = high / low > ASPECT_SPREAD and config.images.resize == "squash"
    only_test = int(((found.sizes["train"] == 0) & (found.sizes["test"] > 0)).sum())
    top = found.sizes.iloc[0]
    share = (top["train"] + top["test"]) / len(images)
    meaning = f"{percent(share)} measure {top['size']} px; width : height runs from {low:.2f} to {high:.2f}."
    if only_test:
        meaning += f" {plural(only_test, 'size')} occur in the test set only."
    odd = images.loc[(aspect / aspect.median() - 1).abs().sort_values(ascending=False).index]
    return [
        Finding(
            "sizes",
            SQUASHED if squashed else VARIED,
            f"Images come in {plural(len(found.sizes), 'size')}",
            meaning + (" Squashing them to a square distorts shapes." if squashed else ""),
            "Try `images.resize=letterbox` or `images.resize=cover`." if squashed else "Nothing to do.",
            examples=found.keys(odd, 12) if squashed else (),
        )
    ]


def odd_pixels(table: pd.DataFrame, found: Survey, settings: EdaSettings) -> list[Finding]:
    """Images far too dark, bright, flat or blurred for this data set."""
    return _odd(
        table[table["measure"].isin(LOOKS)],
        found,
        "outlier_look",
        "far from all others in brightness, contrast or sharpness",
        f"More than {settings.outlier_z:g} robust standard deviations from the median: often blank, "
        "blurred, under-exposed or broken files.",
        "Look at them; drop from the training table what shows nothing. `suspects.csv` lists them.",
    )


def odd_shapes(table: pd.DataFrame, found: Survey, settings: EdaSettings) -> list[Finding]:
    """Images far too large, small, wide or tall for this data set."""
    return _odd(
        table[table["measure"].isin(SHAPES)],
        found,
        "outlier_shape",
        "of a size or an aspect ratio far from all others",
        f"More than {settings.outlier_z:g} robust standard deviations from the median: often thumbnails, "
        "banners, screenshots or scans among photographs.",
        "Look at them; `images.resize=letterbox` keeps shapes. `suspects.csv` lists them.",
    )


def _odd(
    table: pd.DataFrame, found: Survey, kind: str, where: str, meaning: str, answer: str
) -> list[Finding]:
    if table.empty:
        return []
    keys: list[Key] = list(
        dict.fromkeys(zip(table["split"].astype(str), table["id"].astype(str), strict=True))
    )
    told = []
    for name, z in table.groupby("measure")["z"]:
        sides = [
            f"{n:,} {side}" for n, side in ((int((z < 0).sum()), "low"), (int((z > 0).sum()), "high")) if n
        ]
        told.append(f"{name} {' and '.join(sides)}")
    harm = min(STRANGE * len(keys) / len(found.images), MOST_STRANGE)
    return [
        Finding(
            kind,
            harm,
            f"{plural(len(keys), 'image')} {where}",
            f"{meaning} Counted: {'; '.join(told)}.",
            answer,
            tuple((key,) for key in keys),
        )
    ]


def shifted(shift: Shift | None, settings: EdaSettings) -> list[Finding]:
    """Whether the test set looks different from training."""
    if shift is None:
        return []
    tells = shift.auc >= settings.shift_auc and shift.p <= settings.shift_p
    how = (
        f"A classifier on image {shift.on} tells test from training images with an AUC of {shift.auc:.2f} "
        f"(shuffled: below {shift.chance:.2f} in 95 %)."
    )
    if not tells:
        headline = f"Train and test look alike (AUC {shift.auc:.2f})"
        return [Finding("shift", 0.0, headline, how, "Nothing to do.")]
    top = shift.table.head(3).to_dict("records")
    facts = ", ".join(f"{r['fact']} ({r['train']:.4g} → {r['test']:.4g})" for r in top)
    return [
        Finding(
            "shift",
            SHIFTED * (2 * shift.auc - 1) ** 2,
            f"The test set looks different from training (AUC {shift.auc:.2f})",
            f"{how} Most telling, train → test: {facts}. Out-of-fold scores do not see this.",
            "Choose an `augment.policy` that covers the difference, or remove it by preprocessing. The "
            "pictures are the test images that give the set away; section Shift has training images beside.",
            examples=shift.test_like,
        )
    ]
