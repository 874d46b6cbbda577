"""Is a fold plan sound? Sizes, groups, classes and attributes of every fold, and what is wrong with them.

Owns the tables and the checks. Does not own making folds (`data/folds.py`) or the page (`data/page.py`).

Shape legend: N samples, C classes, K values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.core.samples import FoldPlan, Ints, Samples, Strings, positions
from pipeline.data.folds import groups_per_class

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
