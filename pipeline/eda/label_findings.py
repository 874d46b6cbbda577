"""Findings about labels and groups: disagreement, thin classes, imbalance, groups across splits.

Owns what these harm. Does not own counting them (`survey.py`).
"""

import numpy as np
import pandas as pd

from pipeline.eda.evidence import SHOWN, Finding, some
from pipeline.eda.survey import Survey, ratio
from pipeline.pages.command_words import train_with
from pipeline.pages.report import Key, count, percent, plural
from pipeline.settings.folds import FoldSettings
from pipeline.settings.schema import Config

NOTABLE = 2.0
# Shares of the score at stake, per unit of what is counted; see findings.py.
IMBALANCE, MOST_IMBALANCE = 0.001, 0.05
THIN, LONE = 0.1, 0.3
DISAGREEMENT, KNOWN_GROUP, PARTED = 0.5, 0.15, 0.5
# A gap between out-of-fold score and leaderboard misleads however small: at least medium by default.
LEAST_KNOWN_GROUP = 0.002


def disagreements(found: Survey) -> list[Finding]:
    """Groups whose images differ in an attribute that is declared the same for a whole group."""
    train = found.split("train")
    out = []
    for k, attribute in enumerate(found.space.attributes):
        if not attribute.constant_in_group:
            continue
        codes = pd.Series(found.space.codes_CA[train["label"], k], index=train.index)
        values = codes.groupby(train["group"]).nunique()
        names = [str(group) for group in values[values > 1].index]
        if names:
            rows = train[train["group"].isin(names)].assign(code=codes)
            out.append(
                Finding(
                    f"disagree_{attribute.name}",
                    DISAGREEMENT * len(rows) / len(train),
                    f"{plural(len(names), 'group')} {'disagrees' if len(names) == 1 else 'disagree'} "
                    f"on {attribute.name}: {some(names)}",
                    f"{attribute.name} is declared the same for a whole group, so some labels are wrong, "
                    "or two things share one group's name.",
                    "Correct the training table (`suspects.csv` lists the images, the odd ones first), or "
                    "set `constant_in_group: false` for this attribute.",
                    tuple(_odd_first(members) for _, members in rows.groupby("group")),
                )
            )
    return out


def _odd_first(members: pd.DataFrame) -> tuple[Key, ...]:
    """The images of one group, those with the rarest value first."""
    times = members.groupby("code")["code"].transform("size")
    order = members.assign(times=times).sort_values("times", kind="stable")
    return tuple(zip(order["split"].astype(str), order["id"].astype(str), strict=True))


def groups_wanted(folds: FoldSettings) -> int:
    """Groups a class needs so that it trains and validates wherever the plan lets it."""
    return 2 if folds.kind in ("holdout", "bootstrap") else folds.n


def thin_classes(found: Survey, folds: FoldSettings) -> list[Finding]:
    """Classes that some fold cannot validate, or that nothing can learn."""
    wanted = groups_wanted(folds)
    classes = found.classes
    empty = [str(name) for name in classes.loc[classes["images"] == 0, "class"]]
    thin = classes[(classes["images"] > 0) & (classes["groups"] < wanted)]
    out = []
    if empty:
        out.append(
            Finding(
                "empty_class",
                len(empty) / len(classes),
                f"{plural(len(empty), 'class', 'classes')} without a training image: {some(empty)}",
                "It can never be predicted, and a macro average counts it as zero where the test has it.",
                "Add images of it, or take the combination out of the competition's attributes.",
            )
        )
    if len(thin):
        named = [f"{c} ({g})" for c, g in zip(thin["class"], thin["groups"], strict=True)]
        lone = int((thin["groups"] < 2).sum())
        rows = found.split("train")
        few, answer = "of one group", "Find more of it, or read its F1 with care."
        if wanted == folds.n:
            few = f"with fewer groups than the {wanted} folds"
            if int(thin["groups"].max()) > 1:
                answer = f"Try `folds.n={max(2, int(thin['groups'].min()))}`, and read its F1 with care."
        out.append(
            Finding(
                "thin_class",
                (LONE * lone + THIN * (len(thin) - lone)) / len(classes),
                f"{plural(len(thin), 'class', 'classes')} {few}: {some(named)}",
                f"Each weighs {percent(1 / len(classes))} of a macro score. Some folds cannot validate it"
                + (", and a class of one group is never trained where it is validated." if lone else "."),
                answer,
                examples=found.keys(rows[rows["label"].isin(thin.index)], SHOWN),
            )
        )
    return out


def straddling(found: Survey, parted: tuple[str, ...]) -> list[Finding]:
    """Groups on both sides of a split: train and test as given, or folds.

    Args:
        found: the counted competition.
        parted: training groups that a fold trains and validates.
    """
    train, test = found.split("train"), found.split("test")
    out = []
    if parted:
        rows = train[train["group"].isin(parted)]
        out.append(
            Finding(
                "group_in_folds",
                PARTED * len(rows) / len(train),
                f"{plural(len(parted), 'group')} on both sides of a fold: {some(list(parted))}",
                "A model is validated on groups that it has trained on: the out-of-fold score is too high.",
                "Use folds that keep groups together, e.g. `folds.kind=stratified_group`.",
                _groups_of(rows),
            )
        )
    shared = np.intersect1d(train["group"].astype(str), test["group"].astype(str))
    if found.grouped and len(shared):
        share = float(test["group"].isin(shared).mean())
        rows = found.images[found.images["group"].isin(shared)]
        out.append(
            Finding(
                "group_in_test",
                max(KNOWN_GROUP * share, LEAST_KNOWN_GROUP),
                f"{plural(len(shared), 'group')} in both train and test: {some([str(g) for g in shared])}",
                f"{percent(share)} of the test images come from groups that training knows; folds keep "
                "groups apart, so the out-of-fold score will be below the leaderboard's.",
                "Compare experiments by their out-of-fold score, and expect a gap.",
                _groups_of(rows),
            )
        )
    return out


def _groups_of(rows: pd.DataFrame) -> tuple[tuple[Key, ...], ...]:
    return tuple(
        tuple(zip(members["split"].astype(str), members["id"].astype(str), strict=True))
        for _, members in rows.groupby("group")
    )


def imbalance(found: Survey, config: Config, asked: tuple[str, ...] = ()) -> list[Finding]:
    """How much larger the largest class is than the smallest.

    Args:
        found: the counted competition.
        config: the settings in force.
        asked: the words that asked for them; see `advice.train_with`.
    """
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
        return [Finding("imbalance", 0.0, headline, "Resampling has little to mend here.", "Nothing to do.")]
    meaning = (
        f"Its F1 weighs {percent(1 / len(filled))} of a macro score, "
        f"but rests on {percent(float(rare['share']))} of the images."
    )
    if len(by_attribute) > 1:
        listed = ", ".join(f"{name} {value:.1f}\u00a0:\u00a01" for name, value in by_attribute.items())
        meaning += f" By attribute: {listed}."
    now = config.resample.method
    over = train_with(asked, "resample.method=over", "resample.to=balanced")
    answer = (
        f"`resample.method={now}` is on: `make resample` shows the counts."
        if now != "none"
        else f"Try `{over}`, and `under` beside it."
    )
    rows = found.split("train")
    rarest = found.keys(rows[rows["label"] == label], SHOWN)
    harm = min(IMBALANCE * steep, MOST_IMBALANCE)
    return [Finding("imbalance", harm, headline, meaning, answer, examples=rarest)]


def groups(found: Survey) -> Finding:
    """What groups are here, for information."""
    of_group = found.group_sizes
    if not found.grouped:
        return Finding(
            "groups",
            0.0,
            "Every image is a group of its own",
            "Folds treat images as independent. If several show one person or thing, scores are too high.",
            "Set `competition.group_column` if the table has such a column.",
        )
    train = found.split("train")
    largest = train[train["group"] == of_group.index[0]]
    return Finding(
        "groups",
        0.0,
        f"{count(len(of_group))} groups hold {count(int(of_group.sum()))} training images, "
        f"up to {int(of_group.iloc[0])} each (median {of_group.median():.0f})",
        "Images of a group resemble each other: split at random, a model would recognise the group and the "
        "score would be too high. Folds and intervals here keep whole groups together.",
        "Nothing to do. The pictures below are the largest group.",
        examples=found.keys(largest, SHOWN),
    )
