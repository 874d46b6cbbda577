"""Metadata of samples: columns of numbers and of categories, as numbers that heads and networks read.

Owns which values a category has, the columns of numbers that they become, and what is odd about a column.
Does not own reading tables (`data/beside.py`), or keeping what is fitted on the training part of a fold (its
head or network does).

    column      becomes
    number      the value (NaN where it is missing), and 1 where it is missing
    category    1 for one of its values in the training table, or for missing, or for any other value

Legend: N samples, M columns of metadata, E columns of numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.tables import number_in

Floats = npt.NDArray[np.float32]
Cells = npt.NDArray[np.str_]

Kind = Literal["number", "category"]
MISSING = frozenset(("", "nan", "na", "n/a", "none", "null", "<na>", "?"))
# A category has at most so many values; of more, the most frequent ones.
MOST_VALUES = 100
# The least spread of a column that counts as one.
SMALLEST = 1e-6
# The least deviation of a column of 0 and 1.
MARK = 0.5


@dataclass(frozen=True)
class Column:
    """One column of metadata.

    Args:
        values: of a category, those of the training table in order; empty for a number.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many columns of numbers it becomes."""
        return 2 if self.kind == "number" else len(self.values) + 2

    def encoded(self, cells: Sequence[str]) -> Floats:
        """(N, width) its cells as numbers; cells of a number are numbers or missing."""
        if self.kind == "number":
            values = [number(cell) for cell in cells]
            return np.array([(v, float(math.isnan(v))) for v in values], np.float32).reshape(-1, 2)
        at = {value: place for place, value in enumerate(self.values)}
        made = np.zeros((len(cells), self.width), np.float32)
        for row, cell in enumerate(cells):
            word = cell.strip()
            made[row, -2 if missing(word) else at.get(word, len(self.values) + 1)] = 1
        return made


def missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float:
    """A cell as a number; NaN if it is missing or no finite number."""
    value = None if missing(cell) else number_in(cell)
    return math.nan if value is None else value


@dataclass(frozen=True)
class Table:
    """The columns of metadata of a competition."""

    columns: tuple[Column, ...]

    @staticmethod
    def of(names: Sequence[tuple[str, Kind]], cells_NM: Cells) -> Table:
        """With the values that the training table has."""
        made = []
        for at, (name, kind) in enumerate(names):
            counts = Counter(cell.strip() for cell in cells_NM[:, at].tolist() if not missing(cell))
            often = sorted(sorted(counts), key=lambda v: -counts[v])[:MOST_VALUES]
            made.append(Column(name, kind, tuple(sorted(often)) if kind == "category" else ()))
        return Table(tuple(made))

    @property
    def width(self) -> int:
        """E."""
        return sum(column.width for column in self.columns)

    @property
    def names(self) -> list[str]:
        """(E,) what each column of numbers means, for people."""
        found = []
        for column in self.columns:
            if column.kind == "number":
                found += [column.name, f"{column.name} missing"]
            else:
                found += [f"{column.name}={value}" for value in (*column.values, "missing", "other")]
        return found

    def encoded(self, cells_NM: Cells) -> Floats:
        """(N, E) float32, with NaN for missing numbers."""
        parts = [column.encoded(cells_NM[:, at].tolist()) for at, column in enumerate(self.columns)]
        return np.concatenate(parts, axis=1)

    def plain(self) -> list[list[Any]]:
        """As plain data, for a file."""
        return [[c.name, c.kind, list(c.values)] for c in self.columns]

    @staticmethod
    def of_plain(data: Sequence[Sequence[Any]]) -> Table:
        """From `plain`."""
        return Table(tuple(Column(name, kind, tuple(values)) for name, kind, values in data))


def spread(x_NE: Floats) -> tuple[Floats, Floats]:
    """(E,) mean and standard deviation over the rows of a training part, each from the values that are there.

    Columns of 0 and 1 have a deviation of at least a half, that of a value which every other sample has. A
    column that does not vary there, such as that of a category that does not occur, has an infinite
    deviation: whatever it holds elsewhere counts as its mean.
    """
    known = np.isfinite(x_NE)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, x_NE, 0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    std = np.sqrt((np.where(known, filled - mean, 0) ** 2).sum(axis=0) / count)
    marks = (~known | (x_NE == 0) | (x_NE == 1)).all(axis=0)
    # A value that one sample in a hundred has would otherwise be ten times as loud as a common one.
    loud = np.where(marks, np.maximum(std, MARK), std)
    return mean.astype(np.float32), np.where(std < SMALLEST, np.inf, loud).astype(np.float32)


def oddities(
    names: Sequence[tuple[str, Kind]], cells_NM: Cells, labels_N: npt.NDArray[np.int64]
) -> list[tuple[str, str]]:
    """(column, what) of columns that say nothing, or that are the label.

    `what` is `missing` (no row has a value), `constant` (all rows have the same) or `label` (each class has
    a value of its own, and each value one class).
    """
    found = []
    for at, (name, _) in enumerate(names):
        cells = [cell.strip() for cell in cells_NM[:, at].tolist()]
        values = {cell for cell in cells if not missing(cell)}
        classes = set(labels_N.tolist())
        if not values:
            found.append((name, "missing"))
        elif len(set(cells)) == 1:
            found.append((name, "constant"))
        elif len(classes) > 1 and len(set(cells)) == len(classes) == len(
            set(zip(cells, labels_N.tolist(), strict=True))
        ):
            found.append((name, "label"))
    return found
