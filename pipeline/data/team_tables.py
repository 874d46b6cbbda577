"""Tables for team mates with other tools, as CSV or Parquet; among them the fold of each image.

Owns writing both forms. Does not own reading the files of others (`ensemble/external.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.tables import format_table
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.pages.command_words import shown
from pipeline.record.files import write_atomic

ENDINGS = (".csv", ".parquet")
FOLD = "fold"
# Images that no fold validates.
NO_FOLD = -1


def refuse(path: Path) -> None:
    """Raise DataError for the name of a table that would be neither CSV nor Parquet."""
    if path.suffix.lower() not in ENDINGS:
        text = texts.UNKNOWN_ENDING.format(path=path, endings=", ".join(ENDINGS))
        raise DataError(text, remedy=texts.ENDING_REMEDY)


def write_table(path: Path, columns: Mapping[str, Sequence[str]], numbers: Collection[str] = ()) -> None:
    """A table of texts as CSV, or of texts and numbers as Parquet, by the ending of the path.

    `numbers`: the columns that hold numbers.

    Raises:
        DataError: another ending.
    """
    refuse(path)
    if path.suffix.lower() == ".csv":
        write_atomic(path, format_table(tuple(columns), list(zip(*columns.values(), strict=True))))
        return
    import pandas as pd

    table = pd.DataFrame({n: pd.to_numeric(list(v)) if n in numbers else v for n, v in columns.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def folds_of(plan: FoldPlan, samples: Samples) -> list[int]:
    """The fold that validates each image, the first where several do; -1: none does."""
    fold_of: dict[str, int] = {}
    for number, split in enumerate(plan.splits):
        for name in split.valid_ids.tolist():
            fold_of.setdefault(name, number)
    return [fold_of.get(name, NO_FOLD) for name in samples.ids_N.tolist()]


def write_folds(path: Path, plan: FoldPlan, samples: Samples) -> str:
    """The fold of each image as `id,fold`; returns the line to print."""
    folds = folds_of(plan, samples)
    write_table(path, {"id": samples.ids_N.tolist(), FOLD: [str(k) for k in folds]}, (FOLD,))
    line = worded(texts.FOLDS_WRITTEN, path=shown(path), images=len(folds), folds=len(plan.splits))
    several = int((plan.coverage(samples.ids_N) > 1).sum())
    if several:
        line += worded(texts.FOLDS_SEVERAL, images=several)
    if missing := folds.count(NO_FOLD):
        line += worded(texts.FOLDS_NONE, images=missing)
    return line
