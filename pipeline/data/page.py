"""The page of a fold plan: the content of each fold, and the faults of the plan.

Owns the tables of a plan (sizes, groups, classes and attributes of every fold), the checks, and the page that
shows them. Does not own making folds (`data/folds.py`) nor the words (`data/texts.py`).

Shape legend: N samples, C classes, K values (in `_untrained` and `_uneven`: folds).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline.core.samples import FoldPlan, Ints, Samples, Strings, positions
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.folds import groups_per_class
from pipeline.data.strata import Strata, attribute_codes, class_of, one_each
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, count, plural, render
from pipeline.settings.schema import Config

# A fold is lopsided above this total variation between its shares and those of all images.
LOPSIDED = 0.10
# A fold that much smaller or larger than the mean one.
UNEVEN = 0.25
NAMED = 3
# Classes with a check of their own.
MOST_CHECKS = 20
SIZES = ("fold", "train_images", "valid_images", "train_groups", "valid_groups")


@dataclass(frozen=True)
class Check:
    """One fault of a plan.

    Args:
        severity: "fault": scores are wrong; "warning": scores need care.
        text: what is wrong, and in which fold.
        remedy: what to do, e.g. the setting to change.
    """

    severity: Literal["fault", "warning"]
    text: str
    remedy: str


def health(samples: Samples, plan: FoldPlan) -> pd.DataFrame:
    """One row per fold: images and groups of both parts, and validation images per class.

    Returns:
        Columns fold, train_images, valid_images, train_groups, valid_groups, then one column per class.
    """
    records = []
    for k, split in enumerate(plan.splits):
        record: dict[str, int] = {
            "fold": k,
            "train_images": len(split.train_ids),
            "valid_images": len(split.valid_ids),
            "train_groups": len(_groups(samples, split.train_ids)),
            "valid_groups": len(_groups(samples, split.valid_ids)),
        }
        per_class = _per_class(samples, split.valid_ids).tolist()
        records.append(record | dict(zip(Strata.of(samples).names, per_class, strict=True)))
    return pd.DataFrame.from_records(records)


def attributes(samples: Samples, plan: FoldPlan) -> pd.DataFrame:
    """One row per attribute and value: its images in total, and in the validation part of each fold.

    Returns:
        Columns attribute, value, images, then `fold 0`, `fold 1`, …
    """
    space, tables = samples.space, []
    for a, attribute in enumerate(space.attributes):
        codes_N, values = attribute_codes(samples, a)
        size = len(values)
        table = pd.DataFrame({"attribute": attribute.name, "value": list(values)})
        table["images"] = _counted(codes_N, size)
        for k, split in enumerate(plan.splits):
            at = positions(split.valid_ids, samples.ids_N, "fold plan")
            table[f"fold {k}"] = _counted(codes_N[at], size)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _counted(codes_N: Ints, size: int) -> Ints:
    """(V,) samples of each code; unknown ones (-1) are not counted."""
    return np.bincount(codes_N[codes_N >= 0], minlength=size).astype(np.int64)


def checks(samples: Samples, plan: FoldPlan) -> list[Check]:
    """All faults and warnings, faults first; empty for a sound plan."""
    kinds = (_straddling, _untrained, _unvalidated, _lopsided, _uneven)
    found = [check for kind in kinds for check in kind(samples, plan)]
    return sorted(found, key=lambda check: check.severity != "fault")


def _straddling(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    """Groups in both parts of a fold: a network would recognise the person instead of the class."""
    both: dict[str, int] = {}
    for k, split in enumerate(plan.splits):
        for group in np.intersect1d(_groups(samples, split.train_ids), _groups(samples, split.valid_ids)):
            both.setdefault(str(group), k)
    if both:
        named = list(both.items())[:NAMED]
        some = ", ".join(texts.STRADDLING_SOME.format(group=group, fold=k) for group, k in named)
        some += ", …" * (len(both) > NAMED)
        yield Check("fault", worded(texts.STRADDLING, groups=len(both), some=some), texts.STRADDLING_REMEDY)


def _untrained(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    valid_KC = np.stack([_per_class(samples, split.valid_ids) for split in plan.splits])
    train_KC = np.stack([_per_class(samples, split.train_ids) for split in plan.splits])
    for c, name in enumerate(Strata.of(samples).names):
        folds = [str(k) for k in np.flatnonzero((valid_KC[:, c] > 0) & (train_KC[:, c] == 0))]
        if folds:
            text = texts.UNTRAINED.format(name=name, folds=", ".join(folds))
            yield Check("warning", text, texts.UNTRAINED_REMEDY)


def _unvalidated(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    groups_C = groups_per_class(samples)
    ever_C = _per_class(samples, plan.covered)
    lost: list[tuple[str, int]] = []
    for c, name in enumerate(Strata.of(samples).names):
        if groups_C[c] and not ever_C[c]:
            lost.append((name, int(groups_C[c])))
    for name, groups in lost[:MOST_CHECKS]:
        text = worded(texts.UNVALIDATED, name=name, groups=groups)
        yield Check("warning", text, texts.UNVALIDATED_REMEDY)
    if len(lost) > MOST_CHECKS:
        text = worded(texts.UNVALIDATED_MORE, classes=len(lost) - MOST_CHECKS)
        yield Check("warning", text, texts.UNVALIDATED_REMEDY)


def _lopsided(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    """Folds whose classes or attribute values are distributed differently than in all images."""
    space = samples.space
    views: list[tuple[str, Ints, tuple[str, ...]]] = []
    if one_each(samples):
        views.append(("class", class_of(samples), space.classes))
    if not one_each(samples) or len(space.attributes) > 1:
        views += [(a.name, *attribute_codes(samples, number)) for number, a in enumerate(space.attributes)]
    for name, codes_N, values in views:
        if not (codes_N >= 0).any():
            continue
        all_K = _counted(codes_N, len(values)) / (codes_N >= 0).sum()
        lopsided: list[tuple[float, int, str]] = []
        for k, split in enumerate(plan.splits):
            own = codes_N[positions(split.valid_ids, samples.ids_N, "fold plan")]
            own = own[own >= 0]
            if not len(own):
                continue
            gap_K = _counted(own, len(values)) / len(own) - all_K
            worst = int(np.abs(gap_K).argmax())
            usual = all_K[worst]
            share = texts.LOPSIDED_SHARE.format(value=values[worst], here=usual + gap_K[worst], all=usual)
            if np.abs(gap_K).sum() / 2 > LOPSIDED:
                lopsided.append((float(np.abs(gap_K).sum() / 2), k, share))
        if lopsided:
            gap, k, share = max(lopsided)
            folds = ", ".join(str(fold) for _, fold, _ in lopsided)
            text = texts.LOPSIDED.format(folds=folds, name=name, fold=k, gap=gap, share=share)
            yield Check("warning", text, texts.LOPSIDED_REMEDY)


def _uneven(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    sizes_K = np.array([len(split.valid_ids) for split in plan.splits])
    for k in np.flatnonzero(np.abs(sizes_K / max(sizes_K.mean(), 1) - 1) > UNEVEN):
        text = worded(texts.UNEVEN, fold=k, images=sizes_K[k], mean=sizes_K.mean())
        yield Check("warning", text, texts.UNEVEN_REMEDY)


def _groups(samples: Samples, ids: Strings) -> Strings:
    return np.unique(samples.groups_N[positions(ids, samples.ids_N, "fold plan")])


def _per_class(samples: Samples, ids: Strings) -> Ints:
    part_N = np.full(len(samples), -1, np.int64)
    part_N[positions(ids, samples.ids_N, "fold plan")] = 0
    sizes_1S = Strata.of(samples).sizes_in(part_N, 1)
    return np.asarray(sizes_1S[0], dtype=np.int64)


@dataclass(frozen=True)
class FoldPage:
    """A plan in tables.

    Args:
        health: one row per fold: `SIZES`, then validation images of each class.
        attributes: one row per attribute and value: attribute, value, images, then one column per fold.
        checks: faults and warnings: severity, text, remedy.
        coverage: how often each image validates.
    """

    health: pd.DataFrame
    attributes: pd.DataFrame
    checks: Sequence[dict[str, Any]]
    notes: Sequence[str]
    coverage: Sequence[int]


def render_html(page: FoldPage, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    bars = []
    for row in page.health.to_dict("records"):
        train, valid = row["train_images"], row["valid_images"]
        bars.append(plots.Bar(f"fold {row['fold']}", (train, valid), (count(train), count(valid))))
    classes = page.health.set_index("fold").drop(columns=list(SIZES[1:])).T
    classes.columns = pd.Index([f"fold {k}" for k in classes.columns])
    classes.insert(0, "class", [str(name) for name in classes.index])
    times = sorted(Counter(page.coverage).items())
    return render(
        "folds.html",
        title=texts.PAGE_TITLE.format(title=title),
        headline=_headline(page),
        checks=page.checks,
        notes=page.notes,
        settings=config.folds,
        sizes=page.health[list(SIZES)].rename(columns=lambda name: name.replace("_", " ")),
        plot=plots.bars(bars, texts.PAGE_PLOT, texts.PAGE_SERIES),
        classes=classes,
        attributes=page.attributes if page.attributes["attribute"].nunique() > 1 else None,
        coverage=pd.DataFrame(times, columns=list(texts.PAGE_COVERAGE)),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )


def _headline(page: FoldPage) -> str:
    faults = sum(check["severity"] == "fault" for check in page.checks)
    folds = plural(len(page.health), "fold")
    if faults:
        return texts.PAGE_FAULTY.format(folds=folds, faults=plural(faults, "fault"))
    if page.checks:
        return texts.PAGE_WARNED.format(folds=folds, warnings=plural(len(page.checks), "warning"))
    return texts.PAGE_SOUND.format(folds=folds)
