"""How the training samples are split: stratified by class, whole groups.

Owns: making a fold plan, checking every fold, and the fold health table. Does not own what is done
with a fold (`resample.py`, `learn/fit.py`).

Splitting is scikit-learn's StratifiedGroupKFold,
https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.StratifiedGroupKFold.html.
It is greedy and promises nothing: a fold may come out empty or without a class that has groups enough.
So a few shuffles are tried, the first without such a gap is taken, and what remains is told.
Where every image is its own group, StratifiedKFold does the same in a moment (12 s against 0.3 s for
31,500 images).

Shape legend: N samples, C classes, K folds.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.seeds import seed
from pipeline.core.types import FoldPlan, Ints, Samples, Split, positions
from pipeline.settings.schema import FoldSettings

SEED_LIMIT = 2**32
SHUFFLES = 10


def plan(samples: Samples, settings: FoldSettings) -> FoldPlan:
    """Splits whose validation parts cover every sample exactly once.

    The same samples give the same plan in whatever order their table lists them. A class with fewer
    groups than folds is no error: it falls back to `spread`, its groups go to as many folds as there
    are groups, those folds validate it and the others never see it in validation; a note says so.

    Raises:
        DataError: fewer groups than folds, every class smaller than the number of folds, or a fold
            that stays empty.
    """
    # By id, or the plan would follow the order of the table's rows.
    ordered = samples.take(np.sort(samples.ids_N))
    _check_sizes(ordered, settings)
    spread_C = np.minimum(_groups_per_class(ordered), settings.n)
    best_N, best_gap = None, np.inf
    for attempt in tqdm(range(SHUFFLES), desc="folds", leave=False, disable=not sys.stderr.isatty()):
        fold_N = _deal(ordered, settings, attempt)
        if len(np.unique(fold_N)) < settings.n:
            continue
        gap = int((spread_C - (_valid_KC(ordered, fold_N, settings.n) > 0).sum(axis=0)).clip(0).sum())
        if gap < best_gap:
            best_N, best_gap = fold_N, gap
        if gap == 0:
            break
    if best_N is None:
        raise DataError(
            f"folds: {settings.n} folds cannot all be filled with {len(set(ordered.groups_N))} groups",
            remedy=f"set folds.n lower than {settings.n}",
        )
    ids_N = ordered.ids_N
    splits = tuple(Split(ids_N[best_N != k], ids_N[best_N == k]) for k in range(settings.n))
    return FoldPlan(splits, tuple(_notes(ordered, best_N, settings.n)))


def health(samples: Samples, plan: FoldPlan) -> pd.DataFrame:
    """One row a fold: sizes of both parts, groups that validate, and validation images per class.

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


def _check_sizes(samples: Samples, settings: FoldSettings) -> None:
    groups = len(np.unique(samples.groups_N))
    if groups < settings.n:
        raise DataError(
            f"folds: {groups} groups cannot fill folds.n={settings.n} folds",
            remedy=f"set folds.n to at most {groups}, or check competition.group_column",
        )
    largest = int(np.bincount(samples.labels).max())
    if largest < settings.n:
        raise DataError(
            f"folds: no class has as many images as folds.n={settings.n} (the largest has {largest})",
            remedy=f"set folds.n to at most {largest}",
        )


def _deal(samples: Samples, settings: FoldSettings, attempt: int) -> Ints:
    """(N,) fold that each sample validates."""
    state = seed(settings.seed, "folds", attempt) % SEED_LIMIT
    alone = len(np.unique(samples.groups_N)) == len(samples)
    splitter_of = StratifiedKFold if alone else StratifiedGroupKFold
    splitter = splitter_of(settings.n, shuffle=True, random_state=state)
    fold_N = np.full(len(samples), -1, np.int64)
    with warnings.catch_warnings():
        # Rare classes are told by our own notes, by name and by groups instead of images.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        groups = None if alone else samples.groups_N
        parts = splitter.split(np.zeros(len(samples)), samples.labels, groups)
        for k, (_, valid) in enumerate(parts):
            fold_N[valid] = k
    assert (fold_N >= 0).all(), "a sample validates in no fold"
    return fold_N


def _groups_per_class(samples: Samples) -> Ints:
    pairs = np.unique(np.stack([samples.labels, _codes(samples.groups_N)]), axis=1)
    return np.bincount(pairs[0], minlength=samples.space.n_classes).astype(np.int64)


def _valid_KC(samples: Samples, fold_N: Ints, n: int) -> Ints:
    table = np.zeros((n, samples.space.n_classes), np.int64)
    np.add.at(table, (fold_N, samples.labels), 1)
    return table


def _codes(values: npt.NDArray[np.str_]) -> Ints:
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _notes(samples: Samples, fold_N: Ints, n: int) -> list[str]:
    notes = []
    valid_KC = _valid_KC(samples, fold_N, n)
    for c, groups in enumerate(_groups_per_class(samples)):
        name = samples.space.classes[c]
        without = [str(k) for k in np.flatnonzero(valid_KC[:, c] == 0)]
        if groups == 0:
            notes.append(f"class {name}: no training image; no fold trains or validates it")
        elif groups < n:
            text = f"class {name}: {groups} groups for {n} folds, fall-back `spread`: validated by"
            inside = ", ".join(str(k) for k in np.flatnonzero(valid_KC[:, c]))
            text = f"{text} fold {inside} and never by {', '.join(without)}"
            if groups == 1:
                text = f"{text}; fold {inside} trains without it"
            notes.append(text)
        elif without:
            notes.append(f"class {name}: {groups} groups, but fold {', '.join(without)} validates none of it")
    return notes
