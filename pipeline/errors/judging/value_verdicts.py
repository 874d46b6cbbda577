"""Judging values by eye: whether the truth or the prediction is wrong where they are far apart, or neither.

Owns the form of these verdicts as CSV, all faults of a file at once, the stored ones, and what they say of a
score. Does not own which images are shown (`columns/cards.py`), the page (`columns/page.py`) nor the answers
about flips of classes (`answers.py`).

A verdict is about one value of one training image, with the truth that the person saw: when the table is
corrected, the verdict is out of date and no longer counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import Suggestions
from pipeline.core.metrics import Metric
from pipeline.core.tables import Table, format_table, number_in, read_table
from pipeline.errors import texts
from pipeline.errors.columns.scores import Scored
from pipeline.errors.judging.answers import raise_if
from pipeline.pages.command_words import shown
from pipeline.record.files import write_atomic

PARAM = "verdicts"
COLUMNS = ("id", "value", "truth", "predicted", "verdict")
# As they stand in a file; the page translates them.
KINDS = TRUTH_WRONG, PLAUSIBLE, PREDICTION_WRONG, UNSURE = (
    "truth is wrong",
    "both plausible",
    "prediction is wrong",
    "cannot tell",
)
# Truths that differ by less than this share are the same number, written with other digits.
SAME = 1e-5


@dataclass(frozen=True)
class Verdict:
    """What a person says about one value of one training image.

    Args:
        id: of the image.
        value: the name of the value.
        truth, predicted: as the page showed them.
        kind: one of `KINDS`.
    """

    id: str
    value: str
    truth: float
    predicted: float
    kind: str

    @property
    def key(self) -> tuple[str, str]:
        """Of which there is one verdict."""
        return self.id, self.value


def parse(table: Table, values: Sequence[str]) -> tuple[list[Verdict], list[str]]:
    """The verdicts of all valid rows, and the faults of the other rows.

    Raises:
        DataError: columns are missing.
    """
    table.require(COLUMNS, texts.EXPORT_VALUES)
    verdicts: list[Verdict] = []
    faults: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    of_values, of_kinds = Suggestions(values), Suggestions(KINDS)
    for line, cells in zip(table.lines, zip(*(table.column(c) for c in COLUMNS), strict=True), strict=True):
        name, value, truth, predicted, kind = (cell.strip() for cell in cells)
        numbers = [number_in(truth), number_in(predicted)]
        own = [] if name else [texts.NO_ID]
        if value not in values:
            hint = of_values.of(value) or texts.KNOWN_VALUES.format(values=", ".join(values))
            own.append(texts.NO_SUCH_VALUE.format(value=value, hint=hint))
        if kind not in KINDS:
            hint = of_kinds.of(kind) or texts.KNOWN_VALUES.format(values=", ".join(KINDS))
            own.append(texts.NO_SUCH_VERDICT.format(verdict=kind, hint=hint))
        own += [
            texts.NO_NUMBER.format(column=column, cell=cell)
            for column, cell, number in zip(COLUMNS[2:4], (truth, predicted), numbers, strict=True)
            if number is None
        ]
        first = seen.setdefault((name, value), line)
        if first != line:
            own.append(texts.REPEATED_VALUE.format(id=name, value=value, first=first))
        faults += [texts.LINE_FAULT.format(line=line, fault=fault) for fault in own]
        if not own and numbers[0] is not None and numbers[1] is not None:
            verdicts.append(Verdict(name, value, numbers[0], numbers[1], kind))
    return verdicts, faults


def stored(path: Path, values: Sequence[str]) -> tuple[Verdict, ...]:
    """All stored verdicts; empty if there is no file.

    Raises:
        DataError: the file is damaged; every fault is named.
    """
    if not path.is_file():
        return ()
    verdicts, faults = parse(read_table(path, encoding="utf-8"), values)
    raise_if(str(path), faults, texts.REMEDY_STORED)
    return tuple(verdicts)


def take_in(
    file: Path,
    path: Path,
    truth_of: dict[tuple[str, str], float],
    values: Sequence[str],
    encoding: str | None = None,
) -> str:
    """Check an exported file against the training table, and store its verdicts; one line for the terminal.

    Args:
        file: as the page exported it.
        path: where the verdicts of the competition are kept.
        truth_of: the known truths of the training table, by id and value.
        values: their names.
        encoding: of the file, where it is not UTF-8.

    Raises:
        DataError: the file has faults; all of them are named, and nothing is stored.
    """
    verdicts, faults = parse(read_table(file, encoding=encoding), values)
    for one in verdicts:
        if one.key not in truth_of:
            faults.append(texts.NOT_IN_TABLE.format(id=one.id, value=one.value))
        elif not _same(one.truth, truth_of[one.key]):
            now = f"{truth_of[one.key]:g}"
            faults.append(
                texts.OTHER_TRUTH.format(id=one.id, value=one.value, truth=f"{one.truth:g}", now=now)
            )
    if not verdicts and not faults:
        faults.append(texts.ONLY_HEADER)
    raise_if(str(file), faults, texts.REMEDY_VALUES)
    every = {one.key: one for one in (*stored(path, values), *verdicts)}
    rows = [
        (v.id, v.value, f"{v.truth!r}", f"{v.predicted!r}", v.kind)
        for v in (every[key] for key in sorted(every))
    ]
    write_atomic(path, format_table(COLUMNS, rows))
    return texts.STORED_VALUES.format(n=len(verdicts), file=file.name, all=len(every), path=shown(path))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * max(abs(one), abs(other), 1e-30)


def counting(verdicts: Iterable[Verdict], scored: Scored) -> list[Verdict]:
    """The verdicts about images out of fold whose truth is still the one that was judged."""
    at = {str(name): n for n, name in enumerate(scored.ids_N)}
    column = {name: k for k, name in enumerate(scored.target.columns)}
    return [
        v
        for v in verdicts
        if v.id in at
        and v.value in column
        and _same(v.truth, float(scored.truth_NK[at[v.id], column[v.value]]))
    ]


def asked(scored: Scored, cells: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The data of the script: the columns of the file, and the first cells of the row of each card."""
    at = {str(name): n for n, name in enumerate(scored.ids_N)}
    rows = []
    for name, value in cells:
        n, k = at[name], scored.target.columns.index(value)
        rows.append([name, value, repr(float(scored.truth_NK[n, k])), repr(float(scored.p_NK[n, k]))])
    return {"columns": list(COLUMNS), "rows": rows}


def summary(verdicts: Sequence[Verdict], scored: Scored, metric: Metric) -> list[str]:
    """What the verdicts say, one sentence each; empty if there are none."""
    if not verdicts:
        return []
    counts = Counter(v.kind for v in verdicts)
    parts = ", ".join(f"{kind}: {counts[kind]}" for kind in KINDS if counts[kind])
    lines = [texts.VALUES_JUDGED.format(n=len(verdicts), parts=parts)]
    wrong = [v for v in verdicts if v.kind == TRUTH_WRONG]
    if wrong and metric.on_samples is None:
        at = {str(name): n for n, name in enumerate(scored.ids_N)}
        without_NK = np.array(scored.truth_NK, dtype=np.float32)
        for v in wrong:
            without_NK[at[v.id], scored.target.columns.index(v.value)] = np.nan
        now, without = (metric.score(y, scored.p_NK) for y in (scored.truth_NK, without_NK))
        lines.append(
            texts.VALUES_WITHOUT.format(
                metric=metric.name, now=f"{now:.4f}", without=f"{without:.4f}", n=len(wrong)
            )
        )
    if wrong:
        ids = ", ".join(f"{v.id} ({v.value})" for v in wrong)
        lines.append(texts.VALUES_TO_CORRECT.format(ids=ids))
    return lines
