"""Boosted trees applied: from predictions of members and metadata to the predictions of the member `gbdt`.

Owns the columns that the trees read, as plain numbers, what their raw outputs are added to, and the files in
which they are kept. Does not own fitting (`ensemble/gbdt.py`). Needs numpy alone until trees are read, which
needs LightGBM: a predictor applies them where there is no pandas.

    trees.json      the members that are read, the columns, and the number of trees of each booster
    trees-K.txt     one booster in LightGBM's text format, the same in all its versions

Legend: N samples, M members, K columns of a prediction, F columns of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import metadata
from pipeline.core.metric_arithmetic import LOG_FLOOR
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES, Target, sigmoid
from pipeline.data.readers.reading import library
from pipeline.record import files

EXTRA, WORD = "gbdt", "ensemble.members: gbdt"
FILE, BOOSTER = "trees.json", "trees-{number}.txt"
MEMBER_COLUMN = "{member}: {column}"
# Kinds whose columns are learned one by one, as probabilities of their own.
EACH = (LABELS, SHARES)

Reals = npt.NDArray[np.float64]
Kind = Literal["prediction", "number", "category"]


@dataclass(frozen=True)
class Column:
    """A column that the trees read.

    Args:
        name: of a column of metadata; of a prediction `member: column`.
        kind: prediction, or the kind of metadata.
        values: of a category, those of the rows that the trees learned from, in order: their codes.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()

    def codes(self, cells: Sequence[str | None]) -> Reals:
        """(N,) the code of each value; NaN where it is missing or none of the known ones."""
        code = {value: float(at) for at, value in enumerate(self.values)}
        return np.array([np.nan if cell is None else code.get(cell, np.nan) for cell in cells])


def kept_columns(target: Target) -> range:
    """The columns of a member's predictions that are read: of two classes, one says all."""
    two = target.kind == EXCLUSIVE and target.n_columns == 2
    return range(1, 2) if two else range(target.n_columns)


def word(cell: str) -> str | None:
    """A cell of a category as a value; None where it says that there is none."""
    return None if metadata.missing(cell) else cell.strip()


def matrix(
    columns: Sequence[Column], members: Sequence[Probabilities], cells: Mapping[str, Sequence[str]]
) -> Reals:
    """(N, F) what the trees read.

    Args:
        columns: those of the predictions first, member by member.
        members: their predictions, aligned, in the order of the columns.
        cells: the cells of each column of metadata.
    """
    made: list[Reals] = []
    for member in members:
        made += [member.p_NC[:, k].astype(np.float64) for k in kept_columns(member.target)]
    for column in columns[len(made) :]:
        own = cells[column.name]
        if column.kind == "number":
            made.append(np.array([metadata.number(cell) for cell in own]))
        else:
            made.append(column.codes([word(cell) for cell in own]))
    return np.stack(made, axis=1)


def log_odds(p_NK: Floats) -> Floats:
    """(N, K) log odds of each column by itself, also of the levels of a label and of shares."""
    p = np.clip(p_NK.astype(np.float64), LOG_FLOOR, 1 - LOG_FLOOR)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float32)


def base(members: Sequence[Probabilities], target: Target) -> Floats:
    """(N, K) the logits of the mean of the members, from which the trees start."""
    mean_NK: Reals = np.mean([member.p_NC for member in members], axis=0, dtype=np.float64)
    mean = target.normalised(mean_NK)
    return log_odds(mean) if target.kind in EACH else target.logits(mean)


@dataclass(frozen=True)
class Boosted:
    """The fitted trees.

    Args:
        boosters: one for all columns, or one for each; None where nothing could be learned.
        rounds: the number of trees of each.
        target: what the columns mean.
    """

    boosters: tuple[Any, ...]
    rounds: tuple[int, ...]
    target: Target

    def predict(self, x_NF: Reals, base_NK: Floats) -> Floats:
        """(N, K) predictions of rows of the table, added to the logits that they start from."""
        n, k = base_NK.shape
        added = np.zeros((n, k))
        for at, (booster, count) in enumerate(zip(self.boosters, self.rounds, strict=True)):
            if booster is None:
                continue
            raw = np.asarray(booster.predict(x_NF, raw_score=True, num_iteration=count, num_threads=1))
            if len(self.boosters) == k and k > 1:
                added[:, at] = raw
            elif raw.ndim == 2:
                added += raw
            elif k == 2:  # the log odds of the second class
                added[:, 1] += raw
            else:
                added[:, 0] += raw
        logits: Reals = np.asarray(base_NK + added, dtype=np.float64)
        if self.target.kind in EACH:
            return self.target.normalised(sigmoid(logits))
        return self.target.normalised(self.target.from_logits(logits))


@dataclass(frozen=True)
class Trees:
    """The trees of the member `gbdt` with everything that they read.

    Args:
        members: names of the members whose predictions are read, in the order of the columns.
        columns: of the table.
        boosted: the trees.
    """

    members: tuple[str, ...]
    columns: tuple[Column, ...]
    boosted: Boosted

    def predict(self, members: Sequence[Probabilities], cells: Mapping[str, Sequence[str]]) -> Floats:
        """(N, K) their predictions; `members` in their order, aligned; `cells` as in `matrix`."""
        rows = matrix(self.columns, members, cells)
        return self.boosted.predict(rows, base(members, self.boosted.target))

    def write(self, folder: Path) -> None:
        """Write trees.json and the boosters into a folder."""
        names: list[str | None] = []
        for number, booster in enumerate(self.boosted.boosters):
            name = None if booster is None else BOOSTER.format(number=number)
            if name is not None:
                files.write_atomic(folder / name, booster.model_to_string().encode())
            names.append(name)
        about = {
            "members": list(self.members),
            "columns": [[c.name, c.kind, list(c.values)] for c in self.columns],
            "boosters": names,
            "rounds": list(self.boosted.rounds),
        }
        files.write_json(folder / FILE, about)

    @staticmethod
    def read(folder: Path, about: Mapping[str, Any], target: Target) -> Trees:
        """The trees of a folder; `about` is what trees.json holds.

        Raises:
            DataError: LightGBM is not installed.
        """
        lightgbm = library("lightgbm", EXTRA, WORD)
        boosters = tuple(
            None if name is None else lightgbm.Booster(model_str=(folder / name).read_text(encoding="utf-8"))
            for name in about["boosters"]
        )
        columns = tuple(Column(name, kind, tuple(values)) for name, kind, values in about["columns"])
        boosted = Boosted(boosters, tuple(about["rounds"]), target)
        return Trees(tuple(about["members"]), columns, boosted)
