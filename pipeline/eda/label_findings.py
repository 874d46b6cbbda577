"""Findings about labels and groups: disagreement, thin classes, imbalance, groups across splits.

Owns the rules and their harm. Does not own counting them (`eda/survey.py`) nor the words (`eda/texts.py`).
"""

import numpy as np
import pandas as pd

from pipeline.eda import texts
from pipeline.eda.evidence import SHOWN, Finding, some
from pipeline.eda.survey import Survey, keys_of, ratio
from pipeline.pages.command_words import train_with
from pipeline.pages.report import Key, count, percent, plural
from pipeline.settings.folds import FoldSettings
from pipeline.settings.schema import Config

NOTABLE = 2.0
# Shares of the score at stake, per unit of what is counted; see `eda/evidence.py`.
IMBALANCE, MOST_IMBALANCE = 0.001, 0.05
THIN, LONE = 0.1, 0.3
DISAGREEMENT, KNOWN_GROUP, PARTED = 0.5, 0.15, 0.5
# A gap between out-of-fold score and leaderboard misleads however small it is: at least medium by default.
LEAST_KNOWN_GROUP = 0.002


def disagreements(survey: Survey) -> list[Finding]:
    """Groups whose images differ in an attribute that is declared the same for a whole group."""
    train = survey.split("train")
    out = []
    for k, attribute in enumerate(survey.space.attributes):
        if not attribute.constant_in_group:
            continue
        codes = pd.Series(survey.space.codes_CA[train["label"], k], index=train.index)
        values = codes.groupby(train["group"]).nunique()
        names = [str(group) for group in values[values > 1].index]
        if names:
            rows = train[train["group"].isin(names)].assign(code=codes)
            out.append(
                Finding(
                    f"disagree_{attribute.name}",
                    DISAGREEMENT * len(rows) / len(train),
                    texts.DISAGREE.format(
                        groups=plural(len(names), "group"), attribute=attribute.name, names=some(names)
                    ),
                    texts.DISAGREE_MEANING.format(attribute=attribute.name),
                    texts.DISAGREE_ANSWER,
                    tuple(_odd_first(members) for _, members in rows.groupby("group")),
                )
            )
    return out


def _odd_first(members: pd.DataFrame) -> tuple[Key, ...]:
    """The images of one group, those with the rarest value first."""
    times = members.groupby("code")["code"].transform("size")
    order = members.assign(times=times).sort_values("times", kind="stable")
    return keys_of(order)


def groups_wanted(folds: FoldSettings) -> int:
    """How many groups a class needs to be trained and validated wherever the plan allows it."""
    return 2 if folds.kind in ("holdout", "bootstrap") else folds.n


def thin_classes(survey: Survey, folds: FoldSettings) -> list[Finding]:
    """Classes that some fold cannot validate, or that no model can learn."""
    wanted = groups_wanted(folds)
    classes = survey.classes
    empty = [str(name) for name in classes.loc[classes["images"] == 0, "class"]]
    thin = classes[(classes["images"] > 0) & (classes["groups"] < wanted)]
    out = []
    if empty:
        out.append(
            Finding(
                "empty_class",
                len(empty) / len(classes),
                texts.EMPTY_CLASS.format(classes=plural(len(empty), "class", "classes"), names=some(empty)),
                texts.EMPTY_CLASS_MEANING,
                texts.EMPTY_CLASS_ANSWER,
            )
        )
    if len(thin):
        named = [f"{c} ({g})" for c, g in zip(thin["class"], thin["groups"], strict=True)]
        lone = int((thin["groups"] < 2).sum())
        rows = survey.split("train")
        few, answer = texts.THIN_ONE_GROUP, texts.THIN_ANSWER
        if wanted == folds.n:
            few = texts.THIN_FEW_GROUPS.format(folds=wanted)
            if int(thin["groups"].max()) > 1:
                answer = texts.THIN_ANSWER_FOLDS.format(folds=max(2, int(thin["groups"].min())))
        out.append(
            Finding(
                "thin_class",
                (LONE * lone + THIN * (len(thin) - lone)) / len(classes),
                texts.THIN_CLASS.format(
                    classes=plural(len(thin), "class", "classes"), few=few, names=some(named)
                ),
                texts.THIN_MEANING.format(share=percent(1 / len(classes)))
                + (texts.THIN_LONE if lone else "."),
                answer,
                examples=keys_of(rows[rows["label"].isin(thin.index)].head(SHOWN)),
            )
        )
    return out


def straddling(survey: Survey, parted: tuple[str, ...]) -> list[Finding]:
    """Groups on both sides of a split: train and test as given, or folds (`parted` groups)."""
    train, test = survey.split("train"), survey.split("test")
    out = []
    if parted:
        rows = train[train["group"].isin(parted)]
        out.append(
            Finding(
                "group_in_folds",
                PARTED * len(rows) / len(train),
                texts.GROUP_IN_FOLDS.format(groups=plural(len(parted), "group"), names=some(list(parted))),
                texts.GROUP_IN_FOLDS_MEANING,
                texts.GROUP_IN_FOLDS_ANSWER,
                _groups_of(rows),
            )
        )
    shared = np.intersect1d(train["group"].astype(str), test["group"].astype(str))
    if survey.grouped and len(shared):
        share = float(test["group"].isin(shared).mean())
        rows = survey.images[survey.images["group"].isin(shared)]
        out.append(
            Finding(
                "group_in_test",
                max(KNOWN_GROUP * share, LEAST_KNOWN_GROUP),
                texts.GROUP_IN_TEST.format(
                    groups=plural(len(shared), "group"), names=some([str(g) for g in shared])
                ),
                texts.GROUP_IN_TEST_MEANING.format(share=percent(share)),
                texts.GROUP_IN_TEST_ANSWER,
                _groups_of(rows),
            )
        )
    return out


def _groups_of(rows: pd.DataFrame) -> tuple[tuple[Key, ...], ...]:
    return tuple(keys_of(members) for _, members in rows.groupby("group"))


def imbalance(survey: Survey, config: Config, asked: tuple[str, ...] = ()) -> list[Finding]:
    """How much larger the largest class is than the smallest; the advised command starts with `asked`."""
    filled = survey.classes[survey.classes["images"] > 0]
    if len(filled) < 2:
        return []
    steep = ratio(filled["images"])
    at = int(filled["images"].argmin())
    rare, label = filled.iloc[at], filled.index[at]
    by_attribute = {name: ratio(table["images"]) for name, table in survey.attributes.items()}
    headline = texts.IMBALANCE.format(
        balance=texts.IMBALANCED if steep >= NOTABLE else texts.BALANCED,
        ratio=steep,
        name=rare["class"],
        images=plural(int(rare["images"]), "image"),
        groups=plural(int(rare["groups"]), "group"),
    )
    if steep < NOTABLE:
        return [Finding("imbalance", 0.0, headline, texts.BALANCED_MEANING, texts.NOTHING_TO_DO)]
    meaning = texts.IMBALANCE_MEANING.format(
        weight=percent(1 / len(filled)), share=percent(float(rare["share"]))
    )
    if len(by_attribute) > 1:
        one = texts.IMBALANCE_ATTRIBUTE
        ratios = (one.format(attribute=name, ratio=value) for name, value in by_attribute.items())
        meaning += texts.IMBALANCE_ATTRIBUTES.format(ratios=", ".join(ratios))
    now = config.resample.method
    over = train_with(asked, "resample.method=over", "resample.to=balanced")
    answer = texts.IMBALANCE_ANSWER.format(command=over)
    if now != "none":
        answer = texts.RESAMPLED_ANSWER.format(method=now)
    rows = survey.split("train")
    rarest = keys_of(rows[rows["label"] == label].head(SHOWN))
    harm = min(IMBALANCE * steep, MOST_IMBALANCE)
    return [Finding("imbalance", harm, headline, meaning, answer, examples=rarest)]


def groups(survey: Survey) -> Finding:
    """How many groups there are and how large they are, for information."""
    of_group = survey.group_sizes
    if not survey.grouped:
        return Finding("groups", 0.0, texts.NO_GROUPS, texts.NO_GROUPS_MEANING, texts.NO_GROUPS_ANSWER)
    train = survey.split("train")
    largest = train[train["group"] == of_group.index[0]]
    return Finding(
        "groups",
        0.0,
        texts.GROUPS.format(
            groups=count(len(of_group)),
            images=count(int(of_group.sum())),
            largest=int(of_group.iloc[0]),
            median=of_group.median(),
        ),
        texts.GROUPS_INFO_MEANING,
        texts.GROUPS_INFO_ANSWER,
        examples=keys_of(largest.head(SHOWN)),
    )
