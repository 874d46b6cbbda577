"""A truth that knows more than its cells: how its columns make labels, and other columns of its samples.

Owns arrays of truths that carry this along, so that a metric finds it wherever rows of a truth are scored.
Does not own the samples (`core/samples.py`) or the metrics (`core/metrics.py`).

Shape legend: N samples, K columns, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.tables import number_in

# Columns that every sample has, unless the table has a column of that name.
OF_SAMPLE = ("id", "group")


@dataclass(frozen=True)
class Cells:
    """How the K columns of a truth make L labels, for metrics that count a label as one cell.

    Args:
        widths: (L,) columns of each label, in their order.
        label_weights: (L,) weight of each label in the mean over labels, > 0.
        level_weights: (K,) weight of a row by the level that is true, > 0; 1 for labels of one column.
    """

    widths: tuple[int, ...]
    label_weights: tuple[float, ...]
    level_weights: tuple[float, ...]

    @property
    def plain(self) -> bool:
        """Whether every column is a label of its own, and all count equally."""
        return set(self.widths) <= {1} and set(self.label_weights) <= {1.0}


@dataclass(frozen=True)
class Beside:
    """What a metric of the user's own may read beside the truth and the predictions.

    Args:
        names: (K,) names of the columns of predictions.
        columns: by name, (N,) numbers with NaN for empty cells, or text.
    """

    names: tuple[str, ...]
    columns: Mapping[str, npt.NDArray[Any]]

    @staticmethod
    def of(names: tuple[str, ...], cells: Mapping[str, npt.NDArray[np.str_]]) -> Beside:
        """From cells of a table: a column whose cells are numbers, or empty, is one of numbers."""
        return Beside(names, {name: _numbers(own) for name, own in cells.items()})

    def take(self, at: npt.NDArray[np.int64]) -> Beside:
        """Some of the rows, in this order, as often as they are named."""
        return Beside(self.names, {name: own[at] for name, own in self.columns.items()})


def _numbers(cells_N: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    values = [number_in(cell) for cell in cells_N.tolist()]
    if any(v is None and cell.strip() for v, cell in zip(values, cells_N.tolist(), strict=True)):
        return cells_N
    if all(v is None for v in values):
        return cells_N
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


class KnownTruth(np.ndarray):
    """A truth that knows its cells and the other columns of its samples; rows of it know them, too.

    Any other array that is computed from it knows its cells, and not which samples its rows are.
    """

    cells: Cells | None = None
    beside: Beside | None = None
    rows: npt.NDArray[np.int64] | None = None

    def __array_finalize__(self, of: Any) -> None:
        """Keep what is known of the array that this one is made of, apart from its rows."""
        self.cells = getattr(of, "cells", None)
        self.beside = getattr(of, "beside", None)

    def __getitem__(self, key: Any) -> Any:
        """Rows, columns or cells; of rows it stays known which samples they are."""
        made = super().__getitem__(key)
        first = key[0] if isinstance(key, tuple) and key else key
        if self.rows is not None and isinstance(made, KnownTruth) and first is not None:
            rows = self.rows[first] if first is not Ellipsis else self.rows
            made.rows = rows if rows.ndim == 1 and len(rows) == len(made) else None
        return made


def known(truth: npt.NDArray[Any], cells: Cells | None, beside: Beside | None) -> npt.NDArray[Any]:
    """The truth of samples as an array that knows this; the same array where there is nothing to know."""
    if cells is None and beside is None:
        return truth
    made = truth.view(KnownTruth)
    made.cells, made.beside = cells, beside
    made.rows = None if beside is None else np.arange(len(truth))
    return made


def cells_of(truth: npt.NDArray[Any]) -> Cells | None:
    """The cells of a truth that knows them; None where each column is a label or columns are missing."""
    cells = getattr(truth, "cells", None)
    return cells if cells is not None and sum(cells.widths) == truth.shape[-1] else None


def beside_of(truth: npt.NDArray[Any], reader: str) -> Beside:
    """What lies beside each row of a truth, for `reader`, a metric.

    Raises:
        ConfigError: no columns are named in the settings.
    """
    beside: Beside | None = getattr(truth, "beside", None)
    if beside is None:
        raise ConfigError(
            _("competition.metric: {reader} reads `columns` or `names`, and no column is named").format(
                reader=reader
            ),
            remedy=_(
                "competition.metric_columns=[…] names columns of the training table; id and group are there "
                "always"
            ),
        )
    rows: npt.NDArray[np.int64] | None = getattr(truth, "rows", None)
    assert rows is not None and len(rows) == len(truth), f"{reader}: the samples of these rows are not known"
    return beside.take(rows)
