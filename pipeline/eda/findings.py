"""The data report's findings in order of harm: rules for copies, labels, groups, pixels and shift.

Owns the order, and what copies, disagreement, thin classes, imbalance, groups across splits, sizes, outliers
and a different test set harm. Does not own counting and finding copies (`eda/survey.py`,
`eda/duplicates.py`), measuring (`eda/outliers.py`, `eda/shift.py`) nor the words (`eda/texts.py`). A new rule
is one line in `judge`.

A set of copies is reported once, under the worst harm that it does: wrong labels, then test answers in
training, then folds that it crosses.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.core.language import joined
from pipeline.eda import texts
from pipeline.eda.evidence import SHOWN, Evidence, Finding, severity_of, some
from pipeline.eda.outliers import LOOKS, SHAPES
from pipeline.eda.shift import Shift
from pipeline.eda.survey import Duplicates, Survey, keys_of, ratio
from pipeline.eda.truth_findings import codes_of, nouns, of_truth
from pipeline.pages.command_words import train_with
from pipeline.pages.report import Key, count, percent, plural
from pipeline.settings.eda import EdaSettings
from pipeline.settings.folds import FoldSettings
from pipeline.settings.schema import Config

# Beginnings of the kinds of findings about copies.
COPY, NEAR = "copy_", "near_"
# A near-duplicate may be two things that look alike.
SURE, LIKELY = 1.0, 0.8
LEAST = 1e-4
ASPECT_SPREAD = 1.25
# Shares of the score at stake; see `eda/evidence.py`.
SQUASHED, VARIED = 0.003, 0.0005
STRANGE, MOST_STRANGE = 0.1, 0.009
SHIFTED = 0.05
NOTABLE = 2.0
# Shares of the score at stake, per unit of what is counted; see `eda/evidence.py`.
IMBALANCE, MOST_IMBALANCE = 0.001, 0.05
THIN, LONE = 0.1, 0.3
DISAGREEMENT, KNOWN_GROUP, PARTED = 0.5, 0.15, 0.5
# A gap between out-of-fold score and leaderboard misleads however small it is: at least medium by default.
LEAST_KNOWN_GROUP = 0.002
# A standard deviation of the grey values (0 to 255) below which a picture shows nothing, and the share of
# such images from which on it is no longer about single files, which are outliers.
FLAT_CONTRAST, FLAT_SHARE, FLAT = 4.0, 0.05, 0.5


@dataclass(frozen=True)
class _Kind:
    """One way in which copies do harm: `weight` times the share of the split, at most `most`."""

    name: str
    applies: Callable[[Duplicates], bool]
    where: str
    meaning: str
    answer: str
    split: str = "train"
    weight: float = 1.0
    most: float = 1.0


KINDS = (
    _Kind("conflict", lambda d: d.conflict, *texts.CONFLICT),
    _Kind("train_test", lambda d: d.train_test, *texts.TRAIN_TEST, split="test"),
    _Kind("groups", lambda d: d.across_groups, *texts.ACROSS_GROUPS, weight=0.5),
    _Kind("inside", lambda d: True, *texts.INSIDE, weight=0.05, most=0.0015),
)


def judge(evidence: Evidence, config: Config, asked: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """All findings, worst first, what is certain before what may be; equal harm keeps the order of the rules.

    Nothing is advised that `config` has on already; where folders are the classes, advice is about the files
    and not about a table; a solved head is advised no other loss. Advised commands start with `asked`, the
    words of the command line that gave these settings.
    """
    survey = evidence.survey
    rules = [
        *copies(survey, evidence.near),
        *disagreements(survey),
        *thin_classes(survey, config.folds),
        *straddling(survey, evidence.parted),
        *shifted(evidence.shift, config.eda),
        *imbalance(survey, config, asked),
        *of_truth(survey, config.eda),
        *_odd(evidence.outliers, survey, config.eda, "outlier_look", LOOKS, texts.LOOK),
        *_odd(evidence.outliers, survey, config.eda, "outlier_shape", SHAPES, texts.SHAPE),
        *flat(survey),
        *sizes(survey, config),
        groups(survey),
    ]
    if config.competition.layout == "folders":
        rules = [replace(f, answer=texts.IN_FOLDERS.get(f.answer, f.answer)) for f in rules]
    if config.train.solved:
        rules = [replace(f, answer=texts.FOR_SOLVED.get(f.answer, f.answer)) for f in rules]
    harm = {finding.kind: finding.harm for finding in rules}

    def rank(finding: Finding) -> float:
        # Near-duplicates may be no copies at all: identical files that do the same harm come first and are at
        # least as severe, even if they are fewer.
        return max(finding.harm, harm.get(finding.kind.replace(COPY, NEAR, 1), 0.0))

    ranked = sorted(rules, key=lambda finding: -rank(finding))
    return tuple(replace(f, severity=severity_of(rank(f), config.eda)) for f in ranked)


def copies(survey: Survey, near: tuple[Duplicates, ...]) -> list[Finding]:
    """A finding for each kind of harm that identical files and near-duplicates do."""
    out = []
    for prefix, what, sets, sure in (
        (COPY, texts.IDENTICAL, survey.duplicates, SURE),
        (NEAR, texts.NEAR, near, LIKELY),
    ):
        left = list(sets)
        for kind in KINDS:
            own = [d for d in left if kind.applies(d)]
            left = [d for d in left if not kind.applies(d)]
            if own:
                out.append(_finding(survey, f"{prefix}{kind.name}", what, kind, own, sure))
    return out


def _finding(
    survey: Survey, name: str, what: str, kind: _Kind, sets: list[Duplicates], sure: float
) -> Finding:
    touched = sum(split == kind.split for d in sets for split, _ in d.members)
    share = touched / max(len(survey.split(kind.split)), 1)
    headline = texts.COPIES_HEADLINE.format(sets=plural(len(sets), "set"), what=what, where=kind.where)
    meaning = kind.meaning
    if sure < SURE:
        meaning = texts.NEAR_MEANING.format(meaning=meaning)
    return Finding(
        name,
        # Never for information only, even if all its images are in the test set.
        min(max(kind.weight * sure * share, LEAST), kind.most),
        headline,
        meaning,
        kind.answer,
        tuple(d.members for d in sets),
    )


def flat(survey: Survey) -> list[Finding]:
    """Whether many images are nearly one colour: most often their values were scaled wrongly."""
    contrast = survey.images["contrast"].to_numpy(np.float64)
    share = float((contrast < FLAT_CONTRAST).mean())
    if share < FLAT_SHARE:
        return []
    rows = survey.images[contrast < FLAT_CONTRAST]
    grey = float(rows["brightness"].median())
    return [
        Finding(
            "flat",
            FLAT * share,
            texts.FLAT.format(images=plural(len(rows), "image is", "images are"), share=percent(share)),
            texts.FLAT_MEANING.format(limit=FLAT_CONTRAST, grey=grey),
            texts.FLAT_ANSWER,
            examples=keys_of(rows.sort_values("contrast", kind="stable").head(SHOWN)),
        )
    ]


def sizes(survey: Survey, config: Config) -> list[Finding]:
    """Whether images differ in size, and whether resizing distorts them."""
    images = survey.images
    if len(survey.sizes) == 1:
        headline = texts.ONE_SIZE.format(size=survey.sizes["size"][0])
        return [Finding("sizes", 0.0, headline, "", texts.NOTHING_TO_DO)]
    aspect = images["width"] / images["height"]
    low, high = aspect.quantile(0.02), aspect.quantile(0.98)
    squashed = high / low > ASPECT_SPREAD and config.images.resize == "squash"
    only_test = int(((survey.sizes["train"] == 0) & (survey.sizes["test"] > 0)).sum())
    top = survey.sizes.iloc[0]
    share = (top["train"] + top["test"]) / len(images)
    told = [texts.SIZES_MEANING.format(share=percent(share), size=top["size"], low=low, high=high)]
    if only_test:
        told.append(texts.SIZES_TEST_ONLY.format(sizes=plural(only_test, "size")))
    told += [texts.SIZES_SQUASHED] if squashed else []
    odd = images.loc[(aspect / aspect.median() - 1).abs().sort_values(ascending=False).index]
    return [
        Finding(
            "sizes",
            SQUASHED if squashed else VARIED,
            texts.SIZES.format(sizes=plural(len(survey.sizes), "size")),
            joined(" ", told),
            texts.SIZES_ANSWER if squashed else texts.NOTHING_TO_DO,
            examples=keys_of(odd.head(12)) if squashed else (),
        )
    ]


def _odd(
    outliers: pd.DataFrame,
    survey: Survey,
    settings: EdaSettings,
    kind: str,
    measures: tuple[str, ...],
    words: tuple[str, str, str],
) -> list[Finding]:
    """Images that are far from all others by these measures; `words`: where, what it means, what to do."""
    table = outliers[outliers["measure"].isin(measures)]
    if table.empty:
        return []
    where, meaning, answer = words
    meaning = meaning.format(limit=settings.outlier_z)
    keys = list(dict.fromkeys(keys_of(table)))
    counts = []
    for name, z in table.groupby("measure")["z"]:
        low, high = int((z < 0).sum()), int((z > 0).sum())
        text = texts.ODD_BOTH if low and high else texts.ODD_LOW if low else texts.ODD_HIGH
        counts.append(text.format(measure=texts.MEASURES[str(name)], low=low, high=high))
    harm = min(STRANGE * len(keys) / len(survey.images), MOST_STRANGE)
    return [
        Finding(
            kind,
            harm,
            texts.OUTLIERS.format(images=plural(len(keys), "image"), where=where),
            texts.OUTLIERS_COUNTED.format(meaning=meaning, counts=joined("; ", counts)),
            answer,
            tuple((key,) for key in keys),
        )
    ]


def shifted(shift: Shift | None, settings: EdaSettings) -> list[Finding]:
    """Whether the test set looks different from training."""
    if shift is None:
        return []
    differ = shift.auc >= settings.shift_auc and shift.p <= settings.shift_p
    how = texts.SHIFT_HOW.format(on=texts.ON[shift.on], auc=shift.auc, chance=shift.chance)
    if not differ:
        return [Finding("shift", 0.0, texts.NO_SHIFT.format(auc=shift.auc), how, texts.NOTHING_TO_DO)]
    top = shift.table.head(3).to_dict("records")
    facts = joined(
        ", ",
        (texts.SHIFT_FACT.format(fact=texts.fact(r["fact"]), train=r["train"], test=r["test"]) for r in top),
    )
    return [
        Finding(
            "shift",
            SHIFTED * (2 * shift.auc - 1) ** 2,
            texts.SHIFT.format(auc=shift.auc),
            texts.SHIFT_MEANING.format(how=how, facts=facts),
            texts.SHIFT_ANSWER,
            examples=shift.test_like,
        )
    ]


def disagreements(survey: Survey) -> list[Finding]:
    """Groups whose images differ in an attribute that is declared the same for a whole group."""
    train = survey.split("train")
    out = []
    for k, attribute in enumerate(survey.space.attributes):
        if not attribute.constant_in_group:
            continue
        codes = pd.Series(codes_of(survey, k), index=train.index)
        known = codes[codes >= 0]
        values = known.groupby(train["group"].loc[known.index]).nunique()
        names = [str(group) for group in values[values > 1].index]
        if names:
            rows = train[train["group"].isin(names) & (codes >= 0)].assign(code=codes)
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
    if survey.space.kind == "values":
        return []
    wanted = groups_wanted(folds)
    classes = survey.classes
    noun = texts.NOUNS[nouns(survey.space.kind)]
    empty = [str(name) for name in classes.loc[classes["images"] == 0, "class"]]
    thin = classes[(classes["images"] > 0) & (classes["groups"] < wanted)]
    out = []
    if empty:
        out.append(
            Finding(
                "empty_class",
                len(empty) / len(classes),
                texts.EMPTY_CLASS.format(classes=noun.counted.format(n=len(empty)), names=some(empty)),
                texts.EMPTY_CLASS_MEANING,
                texts.EMPTY_CLASS_ANSWER,
            )
        )
    if len(thin):
        named = [f"{c} ({g})" for c, g in zip(thin["class"], thin["groups"], strict=True)]
        lone = int((thin["groups"] < 2).sum())
        rows = pd.concat([survey.rows_of(int(at)) for at in thin.index])
        few, answer = texts.THIN_ONE_GROUP, texts.THIN_ANSWER
        if wanted == folds.n:
            few = texts.THIN_FEW_GROUPS.format(folds=wanted)
            if int(thin["groups"].max()) > 1:
                answer = texts.THIN_ANSWER_FOLDS.format(folds=max(2, int(thin["groups"].min())))
        out.append(
            Finding(
                "thin_class",
                (LONE * lone + THIN * (len(thin) - lone)) / len(classes),
                texts.THIN_CLASS.format(classes=noun.counted.format(n=len(thin)), few=few, names=some(named)),
                (texts.THIN_LONE if lone else texts.THIN_MEANING).format(share=percent(1 / len(classes))),
                answer,
                examples=keys_of(rows[~rows.index.duplicated()].head(SHOWN)),
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
    if len(filled) < 2 or survey.space.kind == "values":
        return []
    noun = texts.NOUNS[nouns(survey.space.kind)]
    steep = ratio(filled["images"])
    at = int(filled["images"].argmin())
    rare, label = filled.iloc[at], filled.index[at]
    by_attribute = {name: ratio(table["images"]) for name, table in survey.attributes.items()}
    headline = (texts.IMBALANCE if steep >= NOTABLE else texts.BALANCE).format(
        what=noun.capital,
        ratio=steep,
        name=rare["class"],
        images=plural(int(rare["images"]), "image"),
        groups=plural(int(rare["groups"]), "group"),
    )
    if steep < NOTABLE:
        return [Finding("imbalance", 0.0, headline, texts.BALANCED_MEANING, texts.NOTHING_TO_DO)]
    weight, share = percent(1 / len(filled)), percent(float(rare["share"]))
    meaning = texts.IMBALANCE_MEANING.format(weight=weight, share=share)
    if len(by_attribute) > 1:
        one = texts.IMBALANCE_ATTRIBUTE
        ratios = (one.format(attribute=name, ratio=value) for name, value in by_attribute.items())
        attributes = texts.IMBALANCE_ATTRIBUTES.format(ratios=", ".join(ratios))
        meaning = joined(" ", (meaning, attributes))
    now = config.resample.method
    over = train_with(asked, "resample.method=over", "resample.to=balanced")
    answer = texts.IMBALANCE_ANSWER.format(command=over)
    if now != "none":
        answer = texts.RESAMPLED_ANSWER.format(method=now)
    rarest = keys_of(survey.rows_of(int(label)).head(SHOWN))
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
