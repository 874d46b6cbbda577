"""The data report's findings in order of harm: the rules for copies, pixels and shift.

Owns the order, and what copies, sizes, outliers and a different test set harm. Does not own rules about
labels and groups (`eda/label_findings.py`), finding copies (`eda/survey.py`, `eda/duplicates.py`), measuring
(`eda/outliers.py`, `eda/shift.py`) nor the words (`eda/texts.py`). A new rule is one line in `judge`.

A set of copies is reported once, under the worst harm that it does: wrong labels, then test answers in
training, then folds that it crosses.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.eda import texts
from pipeline.eda.evidence import Evidence, Finding, severity_of
from pipeline.eda.label_findings import disagreements, groups, imbalance, straddling, thin_classes
from pipeline.eda.outliers import LOOKS, SHAPES
from pipeline.eda.shift import Shift
from pipeline.eda.survey import Duplicates, Survey, keys_of
from pipeline.pages.report import percent, plural
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
    """All findings, worst first; equal harm keeps the order of the rules.

    Nothing is advised that `config` has on already. Advised commands start with `asked`, the words of the
    command line that gave these settings.
    """
    survey = evidence.survey
    rules = [
        *copies(survey, evidence.near),
        *disagreements(survey),
        *thin_classes(survey, config.folds),
        *straddling(survey, evidence.parted),
        *shifted(evidence.shift, config.eda),
        *imbalance(survey, config, asked),
        *_odd(evidence.outliers, survey, config.eda, "outlier_look", LOOKS, texts.LOOK),
        *_odd(evidence.outliers, survey, config.eda, "outlier_shape", SHAPES, texts.SHAPE),
        *sizes(survey, config),
        groups(survey),
    ]
    findings = [replace(f, severity=severity_of(f.harm, config.eda)) for f in rules]
    return tuple(sorted(findings, key=lambda finding: -finding.harm))


def copies(survey: Survey, near: tuple[Duplicates, ...]) -> list[Finding]:
    """A finding for each kind of harm that identical files and near-duplicates do."""
    out = []
    for prefix, what, sets, sure in (
        ("copy", texts.IDENTICAL, survey.duplicates, SURE),
        ("near", texts.NEAR, near, LIKELY),
    ):
        left = list(sets)
        for kind in KINDS:
            own = [d for d in left if kind.applies(d)]
            left = [d for d in left if not kind.applies(d)]
            if own:
                out.append(_finding(survey, f"{prefix}_{kind.name}", what, kind, own, sure))
    return out


def _finding(
    survey: Survey, name: str, what: str, kind: _Kind, sets: list[Duplicates], sure: float
) -> Finding:
    touched = sum(split == kind.split for d in sets for split, _ in d.members)
    share = touched / max(len(survey.split(kind.split)), 1)
    headline = texts.COPIES_HEADLINE.format(sets=plural(len(sets), "set"), what=what, where=kind.where)
    meaning = kind.meaning
    if sure < SURE:
        meaning = texts.NEAR_MEANING.format(meaning=meaning[0].lower() + meaning[1:])
    return Finding(
        name,
        # Never for information only, even if all its images are in the test set.
        min(max(kind.weight * sure * share, LEAST), kind.most),
        headline,
        meaning,
        kind.answer,
        tuple(d.members for d in sets),
    )


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
    meaning = texts.SIZES_MEANING.format(share=percent(share), size=top["size"], low=low, high=high)
    if only_test:
        meaning += texts.SIZES_TEST_ONLY.format(sizes=plural(only_test, "size"))
    odd = images.loc[(aspect / aspect.median() - 1).abs().sort_values(ascending=False).index]
    return [
        Finding(
            "sizes",
            SQUASHED if squashed else VARIED,
            texts.SIZES.format(sizes=plural(len(survey.sizes), "size")),
            meaning + (texts.SIZES_SQUASHED if squashed else ""),
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
        both = ((int((z < 0).sum()), "low"), (int((z > 0).sum()), "high"))
        sides = [f"{n:,} {side}" for n, side in both if n]
        counts.append(f"{name} {' and '.join(sides)}")
    harm = min(STRANGE * len(keys) / len(survey.images), MOST_STRANGE)
    return [
        Finding(
            kind,
            harm,
            texts.OUTLIERS.format(images=plural(len(keys), "image"), where=where),
            texts.OUTLIERS_COUNTED.format(meaning=meaning, counts="; ".join(counts)),
            answer,
            tuple((key,) for key in keys),
        )
    ]


def shifted(shift: Shift | None, settings: EdaSettings) -> list[Finding]:
    """Whether the test set looks different from training."""
    if shift is None:
        return []
    differ = shift.auc >= settings.shift_auc and shift.p <= settings.shift_p
    how = texts.SHIFT_HOW.format(on=shift.on, auc=shift.auc, chance=shift.chance)
    if not differ:
        return [Finding("shift", 0.0, texts.NO_SHIFT.format(auc=shift.auc), how, texts.NOTHING_TO_DO)]
    top = shift.table.head(3).to_dict("records")
    facts = ", ".join(texts.SHIFT_FACT.format(fact=r["fact"], train=r["train"], test=r["test"]) for r in top)
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
