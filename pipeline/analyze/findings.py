"""What in the data will harm a score, and the setting or command that answers it.

Owns the judgements of the data report: one small rule a harm, each from the survey's counts. Does
not count (`survey.py`) nor draw (`explore.py`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.analyze.report import Key, count, percent, plural
from pipeline.analyze.survey import Duplicates, Survey
from pipeline.settings.schema import Config

Severity = Literal["high", "medium", "low", "info"]
ORDER: tuple[Severity, ...] = ("high", "medium", "low", "info")
SHOWN = 12
NAMED = 4
STEEP, NOTABLE = 10.0, 2.0
ROBUST_LIMIT = 6.0
ASPECT_SPREAD = 1.25


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data.

    Args:
        severity: how much it harms a score or its estimate.
        headline: the fact, with its number.
        meaning: what follows from it.
        answer: the setting or command that answers it, or what to check by eye.
        examples: (split, id) of images that show it.
    """

    severity: Severity
    headline: str
    meaning: str
    answer: str
    examples: tuple[Key, ...] = ()


def judge(found: Survey, config: Config) -> tuple[Finding, ...]:
    """All findings, worst first.

    Args:
        found: the counted competition.
        config: the settings in force, so that nothing is advised that is already on.
    """
    rules = [
        *_duplicates(found),
        *_disagreements(found),
        *_thin_classes(found, config.folds.n),
        *_straddling(found),
        *_imbalance(found, config),
        *_sizes(found, config),
        *_odd_pixels(found),
        _groups(found),
    ]
    return tuple(sorted(rules, key=lambda finding: ORDER.index(finding.severity)))


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _members(sets: list[Duplicates]) -> tuple[Key, ...]:
    return tuple(key for found in sets for key in found.members)[:SHOWN]


def _duplicates(found: Survey) -> list[Finding]:
    kinds: list[tuple[list[Duplicates], Severity, str, str, str]] = [
        (
            [d for d in found.duplicates if d.conflict],
            "high",
            "with different labels",
            "At least one label of each set is wrong, and no model can be right on all of its images.",
            "Look at the pictures below, then correct the training table or drop the rows.",
        ),
        (
            [d for d in found.duplicates if d.train_test],
            "high",
            "in both train and test",
            "The model has seen these test images with their answers: the leaderboard flatters it there.",
            "Read the competition's rules before you use it; do not read the gain as skill.",
        ),
        (
            [d for d in found.duplicates if d.across_groups],
            "high",
            "across groups",
            "A copy may train while its twin validates: the out-of-fold score is too high.",
            "Give them one value in the column named by `competition.group_column`.",
        ),
        (
            [d for d in found.duplicates if not (d.conflict or d.train_test or d.across_groups)],
            "low",
            "inside one group and class, or inside the test set",
            "They never sit on both sides of a split; the repeated images only count more.",
            "Nothing to do, or drop the copies from the training table.",
        ),
    ]
    return [
        Finding(
            severity,
            f"{plural(len(sets), 'set')} of identical images {where}",
            meaning,
            answer,
            _members(sets),
        )
        for sets, severity, where, meaning, answer in kinds
        if sets
    ]


def _disagreements(found: Survey) -> list[Finding]:
    train = found.split("train")
    out = []
    for k, attribute in enumerate(found.space.attributes):
        if not attribute.constant_in_group:
            continue
        codes = pd.Series(found.space.codes_CA[train["label"], k], index=train.index)
        values = codes.groupby(train["group"]).nunique()
        names = [str(group) for group in values[values > 1].index]
        if names:
            rows = train[train["group"].isin(names)].sort_values("group", kind="stable")
            out.append(
                Finding(
                    "high",
                    f"{plural(len(names), 'group')} disagree on {attribute.name}: {_some(names)}",
                    f"{attribute.name} is declared the same for a whole group, so some labels are wrong.",
                    "Correct the training table, or set `constant_in_group: false` for this attribute.",
                    found.keys(rows, SHOWN),
                )
            )
    return out


def _thin_classes(found: Survey, n_folds: int) -> list[Finding]:
    classes = found.classes
    empty = [str(name) for name in classes.loc[classes["images"] == 0, "class"]]
    thin = classes[(classes["images"] > 0) & (classes["groups"] < n_folds)]
    out = []
    if empty:
        out.append(
            Finding(
                "high",
                f"{plural(len(empty), 'class', 'classes')} without a training image: {_some(empty)}",
                "It can never be predicted, and a macro average counts it as zero where the test has it.",
                "Add images of it, or take the combination out of the competition's attributes.",
            )
        )
    if len(thin):
        named = [f"{c} ({g})" for c, g in zip(thin["class"], thin["groups"], strict=True)]
        lone = thin["groups"].min() < 2
        rows = found.split("train")
        out.append(
            Finding(
                "high" if lone else "medium",
                f"{plural(len(thin), 'class', 'classes')} with fewer groups than the {n_folds} folds: "
                f"{_some(named)}",
                "Some folds cannot validate it"
                + (", and a class of one group is never trained where it is validated." if lone else "."),
                f"Try `folds.n={max(2, int(thin['groups'].min()))}`, and read its F1 with care.",
                found.keys(rows[rows["label"].isin(thin.index)], SHOWN),
            )
        )
    return out


def _straddling(found: Survey) -> list[Finding]:
    train, test = found.split("train"), found.split("test")
    shared = np.intersect1d(train["group"].astype(str), test["group"].astype(str))
    if not found.grouped or not len(shared):
        return []
    share = float(test["group"].isin(shared).mean())
    rows = found.images[found.images["group"].isin(shared)].sort_values("group", kind="stable")
    return [
        Finding(
            "medium",
            f"{plural(len(shared), 'group')} in both train and test: {_some([str(g) for g in shared])}",
            f"{percent(share)} of the test images come from groups that training knows; folds keep groups "
            "apart, so the out-of-fold score will be below the leaderboard's.",
            "Compare experiments by their out-of-fold score, and expect a gap.",
            found.keys(rows, SHOWN),
        )
    ]


def ratio(counts: "pd.Series[int]") -> float:
    """Largest over smallest of the counts above zero; 1 for an empty table."""
    filled = counts[counts > 0]
    return float(filled.max() / filled.min()) if len(filled) else 1.0


def _imbalance(found: Survey, config: Config) -> list[Finding]:
    filled = found.classes[found.classes["images"] > 0]
    if len(filled) < 2:
        return []
    steep = ratio(filled["images"])
    at = int(filled["images"].argmin())
    rare, label = filled.iloc[at], filled.index[at]
    by_attribute = {name: ratio(table["images"]) for name, table in found.attributes.items()}
    headline = (
        f"Classes are {'imbalanced' if steep >= NOTABLE else 'balanced'}, {steep:.1f} : 1; the rarest, "
        f"{rare['class']}, has {plural(int(rare['images']), 'image')} "
        f"in {plural(int(rare['groups']), 'group')}"
    )
    if steep < NOTABLE:
        return [Finding("info", headline, "Resampling has little to mend here.", "Nothing to do.")]
    meaning = (
        f"Its F1 weighs {percent(1 / len(filled))} of a macro score, "
        f"but rests on {percent(float(rare['share']))} of the images."
    )
    if len(by_attribute) > 1:
        listed = ", ".join(f"{name} {value:.1f} : 1" for name, value in by_attribute.items())
        meaning += f" By attribute: {listed}."
    now = config.resample.method
    answer = (
        f"`resample.method={now}` is on: `make resample` shows the counts."
        if now != "none"
        else 'Try `make train ARGS="resample.method=over resample.to=balanced"`, and `under` beside it.'
    )
    rows = found.split("train")
    return [
        Finding(
            "high" if steep >= STEEP else "medium",
            headline,
            meaning,
            answer,
            found.keys(rows[rows["label"] == label], SHOWN),
        )
    ]


def _sizes(found: Survey, config: Config) -> list[Finding]:
    images = found.images
    if len(found.sizes) == 1:
        return [Finding("info", f"All images measure {found.sizes['size'][0]} px", "", "Nothing to do.")]
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
            "medium" if squashed else "low",
            f"Images come in {plural(len(found.sizes), 'size')}",
            meaning + (" Squashing them to a square distorts shapes." if squashed else ""),
            "Try `images.resize=letterbox` or `images.resize=cover`." if squashed else "Nothing to do.",
            found.keys(odd, SHOWN) if squashed else (),
        )
    ]


def _odd_pixels(found: Survey) -> list[Finding]:
    odd = pd.Series(0.0, index=found.images.index)
    for column in ("brightness", "contrast"):
        values = found.images[column].astype(float)
        spread = 1.4826 * (values - values.median()).abs().median()
        if spread > 0:
            odd = odd.combine((values - values.median()).abs() / spread, max)
    rows = found.images.loc[odd[odd > ROBUST_LIMIT].sort_values(ascending=False).index]
    if rows.empty:
        return []
    return [
        Finding(
            "low",
            f"{plural(len(rows), 'image')} with a brightness or contrast far from all others",
            f"More than {ROBUST_LIMIT:.0f} robust standard deviations from the median: often blank, "
            "under-exposed or broken files.",
            "Look at them; drop from the training table what shows nothing.",
            found.keys(rows, SHOWN),
        )
    ]


def _groups(found: Survey) -> Finding:
    sizes = found.group_sizes
    if not found.grouped:
        return Finding(
            "info",
            "Every image is a group of its own",
            "Folds treat images as independent. If several show one person or thing, scores are too high.",
            "Set `competition.group_column` if the table has such a column.",
        )
    train = found.split("train")
    largest = train[train["group"] == sizes.index[0]]
    return Finding(
        "info",
        f"{count(len(sizes))} groups hold {count(int(sizes.sum()))} training images, "
        f"up to {int(sizes.iloc[0])} each (median {sizes.median():.0f})",
        "Images of a group resemble each other: split at random, a model would recognise the group and the "
        "score would be too high. Folds and intervals here keep whole groups together.",
        "Nothing to do. The pictures below are the largest group.",
        found.keys(largest, SHOWN),
    )
