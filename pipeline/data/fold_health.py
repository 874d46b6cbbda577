"""Is a fold plan sound? Sizes, groups, classes and attributes of every fold, and what is wrong with them.

Owns the tables and the checks. Does not own making folds (`folds.py`) or drawing (`analyze/`).

Shape legend: N samples, C classes, K values.

The page of a fold plan: what each fold holds, and what is wrong with it.

Owns the page. Does not own the plan or its checks (`data/folds.py`, `data/fold_health.py`): the tables
arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline.core.samples import FoldPlan, Ints, Samples, Strings, positions
from pipeline.data.folds import groups_per_class
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, count, plural, render
from pipeline.settings.schema import Config

# Total variation between a fold's shares and those of all images above which a fold is called lopsided.
LOPSIDED = 0.10
# A fold that much smaller or larger than the mean one.
UNEVEN = 0.25
NAMED = 3


@dataclass(frozen=True)
class Check:
    """One thing that is wrong with a plan.

    Args:
        severity: "fault": scores are not to be believed; "warning": read them with care.
        text: what, in which fold.
        remedy: the setting that answers it.
    """

    severity: Literal["fault", "warning"]
    text: str
    remedy: str


def health(samples: Samples, plan: FoldPlan) -> pd.DataFrame:
    """One row a fold: sizes of both parts, groups of both, and validation images per class.

    Returns:
        Columns fold, train_images, valid_images, train_groups, valid_groups, then a column a class.
    """
    records = []
    for k, split in enumerate(plan.splits):
        train = positions(split.train_ids, samples.ids_N, "fold plan")
        valid = positions(split.valid_ids, samples.ids_N, "fold plan")
        per_class = np.bincount(samples.labels[valid], minlength=samples.space.n_classes)
        records.append(
            {
                "fold": k,
                "train_images": len(train),
                "valid_images": len(valid),
                "train_groups": len(np.unique(samples.groups_N[train])),
                "valid_groups": len(np.unique(samples.groups_N[valid])),
                **dict(zip(samples.space.classes, per_class.tolist(), strict=True)),
            }
        )
    return pd.DataFrame.from_records(records)


def attributes(samples: Samples, plan: FoldPlan) -> pd.DataFrame:
    """One row an attribute and value: its images in all, and in the validation part of each fold.

    Returns:
        Columns attribute, value, images, then `fold 0`, `fold 1`, …
    """
    space, tables = samples.space, []
    for a, attribute in enumerate(space.attributes):
        codes_N = space.codes_CA[samples.labels, a]
        size = len(attribute.values)
        table = pd.DataFrame({"attribute": attribute.name, "value": list(attribute.values)})
        table["images"] = np.bincount(codes_N, minlength=size)
        for k, split in enumerate(plan.splits):
            at = positions(split.valid_ids, samples.ids_N, "fold plan")
            table[f"fold {k}"] = np.bincount(codes_N[at], minlength=size)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def checks(samples: Samples, plan: FoldPlan) -> list[Check]:
    """Everything that is wrong, faults first; empty for a sound plan."""
    found = [
        *_straddling(samples, plan),
        *_untrained(samples, plan),
        *_unvalidated(samples, plan),
        *_lopsided(samples, plan),
        *_uneven(plan),
    ]
    return sorted(found, key=lambda check: check.severity != "fault")


def _straddling(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    """Groups on both sides of a split: the network recognises the person instead of the class."""
    both: dict[str, int] = {}
    for k, split in enumerate(plan.splits):
        for group in np.intersect1d(_groups(samples, split.train_ids), _groups(samples, split.valid_ids)):
            both.setdefault(str(group), k)
    if both:
        some = ", ".join(f"{group} in fold {k}" for group, k in list(both.items())[:NAMED])
        yield Check(
            "fault",
            f"{len(both)} groups train and validate in one fold ({some}{', …' * (len(both) > NAMED)})",
            "scores are too good: choose folds.kind=stratified_group, or mend the column",
        )


def _untrained(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    valid_KC = np.stack([_per_class(samples, split.valid_ids) for split in plan.splits])
    train_KC = np.stack([_per_class(samples, split.train_ids) for split in plan.splits])
    for c, name in enumerate(samples.space.classes):
        folds = [str(k) for k in np.flatnonzero((valid_KC[:, c] > 0) & (train_KC[:, c] == 0))]
        if folds:
            yield Check(
                "warning",
                f"class {name}: fold {', '.join(folds)} validates it without having trained it",
                "it needs images of more groups, or a lower folds.n",
            )


def _unvalidated(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    groups_C = groups_per_class(samples)
    ever_C = _per_class(samples, plan.covered)
    for c, name in enumerate(samples.space.classes):
        if groups_C[c] and not ever_C[c]:
            text = f"class {name}: no fold validates it, of {groups_C[c]} groups"
            yield Check(
                "warning", text, "its F1 is unknown: choose folds.kind=stratified_group, or another seed"
            )


def _lopsided(samples: Samples, plan: FoldPlan) -> Iterator[Check]:
    """Folds whose classes or attribute values are shared out otherwise than in all images."""
    space = samples.space
    views: list[tuple[str, Ints, tuple[str, ...]]] = [("class", samples.labels, space.classes)]
    if len(space.attributes) > 1:
        views += [
            (a.name, space.codes_CA[samples.labels, i], a.values) for i, a in enumerate(space.attributes)
        ]
    for name, codes_N, values in views:
        all_K = np.bincount(codes_N, minlength=len(values)) / len(samples)
        found: list[tuple[float, int, str]] = []
        for k, split in enumerate(plan.splits):
            at = positions(split.valid_ids, samples.ids_N, "fold plan")
            if not len(at):
                continue
            gap_K = np.bincount(codes_N[at], minlength=len(values)) / len(at) - all_K
            worst = int(np.abs(gap_K).argmax())
            share = f"{values[worst]} {all_K[worst] + gap_K[worst]:.0%} instead of {all_K[worst]:.0%}"
            if np.abs(gap_K).sum() / 2 > LOPSIDED:
                found.append((float(np.abs(gap_K).sum() / 2), k, share))
        if found:
            gap, k, share = max(found)
            folds = ", ".join(str(fold) for _, fold, _ in found)
            yield Check(
                "warning",
                f"fold {folds}: {name} is shared out otherwise than in all images, most in fold {k}"
                f" ({gap:.0%} of it elsewhere; {share})",
                "judge by the pooled score; another folds.seed or fewer folds may deal more evenly",
            )


def _uneven(plan: FoldPlan) -> Iterator[Check]:
    sizes_K = np.array([len(split.valid_ids) for split in plan.splits])
    for k in np.flatnonzero(np.abs(sizes_K / max(sizes_K.mean(), 1) - 1) > UNEVEN):
        text = f"fold {k} validates {sizes_K[k]} images; the mean is {sizes_K.mean():.0f}"
        yield Check("warning", text, "its score weighs as much as a larger one's: trust the pooled score")


def _groups(samples: Samples, ids: Strings) -> Strings:
    return np.unique(samples.groups_N[positions(ids, samples.ids_N, "fold plan")])


def _per_class(samples: Samples, ids: Strings) -> Ints:
    labels = samples.labels[positions(ids, samples.ids_N, "fold plan")]
    return np.bincount(labels, minlength=samples.space.n_classes).astype(np.int64)


SIZES = ("fold", "train_images", "valid_images", "train_groups", "valid_groups")


@dataclass(frozen=True)
class FoldPage:
    """A plan in tables.

    Args:
        health: a row a fold: `SIZES`, then validation images of each class.
        attributes: a row an attribute and value: attribute, value, images, then a column a fold.
        checks: what is wrong: severity, text, remedy.
        notes: the plan's own remarks.
        coverage: how often each image validates.
    """

    health: pd.DataFrame
    attributes: pd.DataFrame
    checks: Sequence[dict[str, Any]]
    notes: Sequence[str]
    coverage: Sequence[int]


def render_html(page: FoldPage, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        page: the tables.
        title: the competition's.
        config: the settings in force.
    """
    rows = page.health.to_dict("records")
    bars = [
        plots.Bar(
            f"fold {r['fold']}",
            (r["train_images"], r["valid_images"]),
            (count(r["train_images"]), count(r["valid_images"])),
        )
        for r in rows
    ]
    classes = page.health.set_index("fold").drop(columns=list(SIZES[1:])).T
    classes.columns = pd.Index([f"fold {k}" for k in classes.columns])
    classes.insert(0, "class", [str(name) for name in classes.index])
    times = sorted(Counter(page.coverage).items())
    return render(
        "folds.html",
        title=f"{title}: folds",
        headline=_headline(page),
        checks=page.checks,
        notes=page.notes,
        settings=config.folds,
        sizes=page.health[list(SIZES)].rename(columns=lambda name: name.replace("_", " ")),
        plot=plots.bars(bars, "Images of each fold", ("train", "validate")),
        classes=classes,
        attributes=page.attributes if page.attributes["attribute"].nunique() > 1 else None,
        coverage=pd.DataFrame(times, columns=["times validated", "images"]),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )


def _headline(page: FoldPage) -> str:
    faults = sum(check["severity"] == "fault" for check in page.checks)
    folds = plural(len(page.health), "fold")
    if faults:
        return f"{folds}, {plural(faults, 'fault')}: scores on this plan are not to be believed"
    if page.checks:
        return f"{folds}, usable, with {plural(len(page.checks), 'warning')}"
    return f"{folds}, sound: groups whole, classes and attributes shared out alike"
