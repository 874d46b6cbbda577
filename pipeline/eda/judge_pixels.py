"""Findings about pixels: sizes, outliers, and a test set that looks different.

Owns what these harm. Does not own measuring them (`outliers.py`, `shift.py`).
"""

import pandas as pd

from pipeline.eda.findings_2 import Finding
from pipeline.eda.outliers import LOOKS, SHAPES
from pipeline.eda.shift import Shift
from pipeline.eda.survey import Survey
from pipeline.pages.report import Key, percent, plural
from pipeline.settings.schema import Config, EdaSettings

ASPECT_SPREAD = 1.25
# Shares of the score at stake; see findings.py.
SQUASHED, VARIED = 0.003, 0.0005
STRANGE, MOST_STRANGE = 0.1, 0.009
SHIFTED = 0.05


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
