"""Submissions in the host's format: writing, reading and checking them.

Owns whole files. Does not own cells (`hostformat.py`), what is wrong with ids (`hostids.py`), the ledger
of scores (`leaderboard.py`) nor the provenance beside a submission (the stage writes that).

The host's sample is the authority on ids, their order and the columns. Rows are joined by id. Ids
are text: leading zeros stay.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.predictions import Prediction, Probabilities
from pipeline.core.samples import LabelSpace, Strings, refuse_duplicates
from pipeline.core.tables import Table, format_table, read_table
from pipeline.data import host_format, hostids
from pipeline.record.digests import write_atomic
from pipeline.settings.schema import SubmissionSettings

log = logging.getLogger(__name__)


def write(
    path: Path, probabilities: Probabilities, space: LabelSpace, settings: SubmissionSettings, sample: Path
) -> None:
    """A submission with the sample's ids, order and columns; columns of no concern are copied.

    Written whole or not at all.

    Raises:
        DataError: the sample is malformed, or other ids or classes were predicted than it asks for.
    """
    host = read_table(sample)
    answers = host_format.answer_columns(host, space, settings)
    ids = _sample_ids(host, settings)
    faults = hostids.faults(ids, probabilities.ids_N.tolist())
    if faults:
        raise DataError(
            f"{path.name}: {probabilities.name} does not predict what {sample.name} asks for",
            faults,
            "the test table and the sample must list the same images",
        )
    p_NC = probabilities.with_classes(space.classes).take(np.array(ids, dtype=np.str_)).p_NC
    cells = host_format.cells(p_NC, answers, space, settings)
    rows = [
        tuple(
            cells[column][n] if column in cells else cell
            for column, cell in zip(host.columns, row, strict=True)
        )
        for n, row in enumerate(host.rows)
    ]
    write_atomic(path, format_table(host.columns, rows, host.delimiter))


def read(
    path: Path, space: LabelSpace, settings: SubmissionSettings, sample: Path | None = None
) -> Prediction:
    """A host-format CSV from anywhere: BOM, semicolons, tabs, any line ends, rows in any order.

    With a sample, ids that were read as numbers are found again, and that is logged.

    Args:
        path: the CSV; its stem becomes the prediction's name.
        space: the classes.
        settings: the columns and the format.
        sample: the host's sample, or None; if given, the ids must be the same, and are put in its order.

    Raises:
        DataError: columns, ids or values that do not fit, all of them named.
    """
    table = read_table(path)
    answers = host_format.answer_columns(table, space, settings)
    ids = _ids(table, settings)
    wanted = ids if sample is None else _sample_ids(read_table(sample), settings)
    renamed = hostids.found_again(wanted, ids)
    if renamed:
        log.warning("%s: %s; they are taken for those", table.name, hostids.told(renamed))
        ids = [renamed.get(i, i) for i in ids]
    faults = hostids.faults(wanted, ids)
    parsed = host_format.parse(table, ids, answers, space, settings)
    _refuse(table, [*faults, *parsed.faults])
    p = None
    if parsed.p_NC is not None:
        p_NC = (parsed.p_NC / parsed.p_NC.sum(axis=1, keepdims=True)).astype(np.float32)
        p = Probabilities(np.array(ids, dtype=np.str_), space.classes, p_NC, path.stem)
    prediction = Prediction(np.array(ids, dtype=np.str_), parsed.labels_N, p, path.stem)
    return prediction.take(np.array(wanted, dtype=np.str_))


def fits(sample: Path, ids_N: Strings, space: LabelSpace, settings: SubmissionSettings) -> None:
    """Whether the host's sample asks for exactly these images, in columns that the settings name.

    Raises:
        DataError: the sample is missing or malformed, or lists other ids.
    """
    host = read_table(sample)
    host_format.answer_columns(host, space, settings)
    faults = hostids.faults(_sample_ids(host, settings), ids_N.tolist())
    if faults:
        raise DataError(
            f"{sample.name} does not list the images of the test set",
            [f.replace("extra, not in the sample", "of the test set, but not in the sample") for f in faults],
            "mend competition.test_table, test_id_column or sample_submission",
        )


def sample_of(ids: Sequence[str], space: LabelSpace, settings: SubmissionSettings) -> bytes:
    """A sample submission such as a host would give, for these ids."""
    columns = host_format.columns_of(space, settings)
    uniform_1C = np.full((1, space.n_classes), round(1 / space.n_classes, 6))
    found = host_format.cells(uniform_1C, columns, space, settings)
    cells = [found[column][0] for column in columns]
    return format_table((settings.id_column, *columns), [(i, *cells) for i in ids])


def check(path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings) -> None:
    """Hold a submission against the host's sample, as strictly as a host who joins by position.

    Raises:
        DataError: names every fault: columns, ids missing, extra or twice, rows in another order,
            values outside the classes, not a number, or rows that do not sum to 1.
    """
    table = read_table(path)
    _refuse(table, faults_of(table, read_table(sample), space, settings))


def faults_of(table: Table, host: Table, space: LabelSpace, settings: SubmissionSettings) -> list[str]:
    """What `check` refuses a table for, one line each; `host` is the sample.

    Raises:
        DataError: the sample itself is malformed.
    """
    faults = []
    if table.columns != host.columns:
        faults.append(f"columns are {', '.join(table.columns)}; the sample's are {', '.join(host.columns)}")
    if table.delimiter != host.delimiter:
        faults.append(f"cells are separated by {table.delimiter!r}; the sample's by {host.delimiter!r}")
    wanted = _sample_ids(host, settings)
    answers = host_format.answer_columns(host, space, settings)
    if settings.id_column not in table.columns:
        return faults
    ids = _ids(table, settings)
    renamed = hostids.found_again(wanted, ids)
    if renamed:
        faults.append(hostids.told(renamed))
    ids = [renamed.get(i, i) for i in ids]
    odd = hostids.faults(wanted, ids)
    # With ids missing or extra every later row stands elsewhere: that says nothing more.
    if not odd and ids != wanted:
        n = next(n for n, (a, b) in enumerate(zip(ids, wanted, strict=True)) if a != b)
        odd = [f"order: row {n + 1} is {ids[n]!r}, the sample has {wanted[n]!r} there"]
    faults += odd
    if set(answers) <= set(table.columns):
        faults += host_format.parse(table, ids, answers, space, settings).faults
    return faults


def _ids(table: Table, settings: SubmissionSettings) -> list[str]:
    table.require((settings.id_column,), host_format.COLUMNS_REMEDY)
    return list(table.column(settings.id_column))


def _sample_ids(host: Table, settings: SubmissionSettings) -> list[str]:
    ids = _ids(host, settings)
    refuse_duplicates(np.array(ids, dtype=np.str_), f"sample {host.name}")
    return ids


def _refuse(table: Table, faults: Sequence[str]) -> None:
    if faults:
        raise DataError(
            f"{table.name}: {len(faults)} fault{'' if len(faults) == 1 else 's'}",
            faults,
            "mend the file; make validate FILE=… OUT=mended.csv can, where only its form is wrong",
        )
