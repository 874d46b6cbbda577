"""Columns of metadata: what stands in both tables and says something about a sample.

Owns guesses about them. Does not own labels (`data/new/label.py`), groups (`data/new/groups.py`) nor what
becomes of the columns (`core/metadata.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core import metadata
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.new import groups
from pipeline.data.new.request import Proposal
from pipeline.data.paths import image_suffix, nfc

# So many different values are a number; of words, a column with more is a name or a free text.
MANY_NUMBERS, MANY_WORDS = 10, 50
MOST_COLUMNS = 300
# Ids of rows fill at least a half of the range of their numbers.
SPREAD = 2


def propose(
    proposal: Proposal, table: Table, test: Table | None, free: Sequence[str], classes: Sequence[int]
) -> None:
    """Set the columns of metadata that the test table has, too; those without one become a hint.

    Args:
        proposal: gets the setting.
        table: the training table.
        test: the host's test table; None: there is none.
        free: columns that are no id, path, label or fold.
        classes: the class of each row.
    """
    chosen = {line.path: line.value for line in proposal.lines}
    sample = chosen.get("competition.images_per_sample.sample", [])
    used = {chosen.get("competition.group_column"), *sample}
    used |= {*chosen.get("competition.images_per_sample.columns", [])}
    both = [c for c in free if c not in used and (test is None or c in test.columns)][:MOST_COLUMNS]
    found: list[dict[str, Any]] = []
    for column in both:
        cells = [nfc(cell) for cell in table.column(column)]
        tested = [] if test is None else [nfc(cell) for cell in test.column(column)]
        kind = _kind(cells, tested)
        odd = _odd(column, kind, cells, tested, classes)
        if any(_of_images(each, column, sample) for each in (table, test) if each is not None):
            odd = odd or "images"
        if kind is not None and odd:
            proposal.hints.append(texts.METADATA_ODD[odd].format(column=column))
        elif kind is not None:
            found.append({"column": column, "kind": kind})
    if not found:
        return
    names = ", ".join(f"{one['column']} ({one['kind']})" for one in found[:8]) + (
        ", …" if len(found) > 8 else ""
    )
    if test is None:
        proposal.hints.append(texts.METADATA_HINT.format(columns=names))
    else:
        proposal.set("competition.metadata", found, texts.METADATA_WHY.format(table=test.name, columns=names))


def _of_images(table: Table, column: str, sample: Sequence[str]) -> bool:
    """Whether rows of one sample, which these columns name, have several values."""
    if not sample or not set(sample) <= set(table.columns):
        return False
    names = list(zip(*(table.column(c) for c in sample), strict=True))
    return len(set(zip(names, table.column(column), strict=True))) > len(set(names))


def _kind(cells: Sequence[str], tested: Sequence[str]) -> str | None:
    """`number`, `category`, or None for names of files, ids and free text."""
    known = [cell for cell in (*cells, *tested) if not metadata.missing(cell)]
    values = {cell.strip() for cell in cells if not metadata.missing(cell)}
    if any(image_suffix(cell) for cell in known[:20]):
        return None
    numbers = bool(known) and all(np.isfinite(metadata.number(cell)) for cell in known)
    if numbers and (
        len(values) > MANY_NUMBERS or any("." in value.rstrip("0").rstrip(".") for value in values)
    ):
        return None if _counts_rows([float(cell) for cell in known]) else "number"
    return "category" if len(values) <= min(MANY_WORDS, max(len(cells) // 2, 2)) else None


def _counts_rows(numbers: Sequence[float]) -> bool:
    """Whether whole numbers only name rows: none repeats, and they are in order or fill most of their range.

    An area or a price is nearly as distinct, but spread far wider than there are rows.
    """
    values = set(numbers)
    if len(values) < len(numbers) or not all(value.is_integer() for value in values):
        return False
    dense = max(values) - min(values) < SPREAD * len(values) and len(values) > MANY_WORDS
    return dense or list(numbers) == sorted(numbers)


def _odd(
    column: str, kind: str | None, cells: Sequence[str], tested: Sequence[str], classes: Sequence[int]
) -> str:
    """Why a column says nothing, or too much; empty if nothing is odd."""
    array = np.array([[cell] for cell in cells], dtype=np.str_)
    found = metadata.oddities([(column, "category")], array, np.array(classes, np.int64))
    if found:
        return found[0][1]
    if tested and all(metadata.missing(cell) for cell in tested):
        return "untested"
    known = {cell.strip() for cell in cells}
    shared = sum(cell.strip() in known for cell in tested)
    if kind == "category" and tested and 2 * shared < len(tested):
        return "group"
    return "group" if not tested and groups.named_group([(column, "")]) else ""
