"""The metadata of a table: its cells, checked, and what is odd about a column; and the columns of a metric.

Owns reading the columns of `competition.metadata` and `metric_columns`, and writing the former beside
prepared images. Does not own what they become (`core/metadata.py`, `core/truths.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import metadata, truths
from pipeline.core.samples import Samples, Strings
from pipeline.data import load, texts
from pipeline.data.layouts import Listing
from pipeline.data.paths import Faults, nfc
from pipeline.record import files
from pipeline.settings.competition import CompetitionSettings


def cells(listing: Listing, settings: CompetitionSettings, split: str, faults: Faults) -> Strings:
    """(N, M) the cells of the columns of metadata; adds to `faults` what is no number.

    Images from elsewhere may lack the columns: their cells are empty.
    """
    columns = []
    for column in settings.metadata:
        if column.column not in listing.table.columns:
            assert split == "extra", "the columns of both tables were asked for"
            columns.append([""] * len(listing.table))
            continue
        own = [nfc(cell) for cell in listing.table.column(column.column)]
        columns.append(own)
        for row, cell in enumerate(own if column.kind == "number" else []):
            if not metadata.missing(cell) and math.isnan(metadata.number(cell)):
                text = texts.METADATA_NUMBER.format(column=column.column, cell=cell)
                faults.add("metadata that are no numbers", f"{listing.where(row)}: {text}")
    return np.array(columns, dtype=np.str_).T.reshape(len(listing.table), len(settings.metadata))


def of_metric(listing: Listing, settings: CompetitionSettings) -> dict[str, Any]:
    """The columns that the metric reads, as fields of samples; images from elsewhere may lack them."""
    named = [c for c in settings.metric_columns if c not in truths.OF_SAMPLE or c in listing.table.columns]
    table, columns = listing.table, []
    for name in named:
        known = name in table.columns
        columns.append([nfc(cell) for cell in table.column(name)] if known else [""] * len(table))
    cells = np.array(columns, dtype=np.str_).T.reshape(len(table), len(named))
    return {"beside_NM": cells, "beside_names": tuple(named)}


def notes(samples: Samples, settings: CompetitionSettings) -> list[str]:
    """What is odd about the metadata of the training samples, one line for each column."""
    if samples.cells_NM is None or samples.split != "train" or samples.space.kind != "exclusive":
        return []
    named = [(m.column, m.kind) for m in settings.metadata]
    odd = metadata.oddities(named, samples.cells_NM, samples.labels)
    return [texts.ODD_METADATA[what].format(column=column) for column, what in odd]


def write(
    folder: Path, name: str, splits: Sequence[Samples], train: Samples, settings: CompetitionSettings
) -> None:
    """Write the metadata of these samples as numbers; categories have the values of the training table."""
    named = [(m.column, m.kind) for m in settings.metadata]
    assert train.cells_NM is not None, "the training samples have their metadata"
    table = metadata.Table.of(named, train.cells_NM)
    parts = []
    for split in splits:
        empty = np.full((len(split), len(named)), "")
        parts.append(table.encoded(empty if split.cells_NM is None else split.cells_NM))
    np.save(folder / f"{name}.{load.BESIDE}", np.concatenate(parts))
    files.write_json(folder / load.COLUMNS, table.plain())
