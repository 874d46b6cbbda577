"""The group in the configuration that `make new` writes: as the user says it, or the likeliest guess.

Owns the choice among columns, parts of file names and repeated pictures, and its reason. Does not own finding
them (`data/new/groups.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import DataError, nearest
from pipeline.core.language import _
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.new import groups
from pipeline.data.new.request import Proposal
from pipeline.data.paths import nfc
from pipeline.settings.competition import UNKNOWN_GROUPS, no_group

# GROUP= that says that every image is a group of its own.
NONE = "none"
NO_COLUMN = _("GROUP={group}: {table} has no such column")
NO_TABLE = _("GROUP={group} names a column of the training table, and there is none (TRAIN=)")
NOT_FREE = _("GROUP={group}: this column holds the ids, the images or the label")


def given(name: str, table: Table, taken: set[str]) -> str:
    """The column that GROUP names, `none`, or empty text where the user says nothing.

    Raises:
        DataError: the table has no such column, or the column has another meaning.
    """
    if not name or name == NONE:
        return name
    if name not in table.columns:
        free = [column for column in table.columns if column not in taken]
        known = texts.ONE_OF.format(known=", ".join([*free, NONE]))
        raise DataError(NO_COLUMN.format(group=name, table=table.name), remedy=nearest(name, free) or known)
    if name in taken:
        raise DataError(NOT_FREE.format(group=name))
    return name


def refuse(name: str) -> None:
    """Raise DataError for GROUP where the labels are in names of folders or files: there is no column."""
    if name and name != NONE:
        raise DataError(NO_TABLE.format(group=name), remedy=texts.GROUP_IN_NAMES)


def settle(
    proposal: Proposal,
    table: Table | None,
    candidates: list[tuple[str, str]],
    labels: Sequence[str],
    seen: tuple[Path, Sequence[str], Sequence[int]],
    known: tuple[str, str] | None = None,
    given: str = "",
) -> list[str]:
    """Set the group if there is a likely one; returns the group of each row, or an empty list.

    Args:
        proposal: gets the setting, and hints about other columns.
        table: of the training rows, if there is one.
        candidates: of `groups.group_columns`.
        labels: columns of the label.
        seen: the image folder, and the path and the class of each row.
        known: a pattern from the folders.
        given: what the user says, as in `given`.
    """
    if given == NONE:
        proposal.set("competition.group_column", None, texts.GROUP_GIVEN)
        return []
    if given and table is not None:
        proposal.set("competition.group_column", given, texts.GROUP_GIVEN)
        return _of_rows(table, given)
    folder, paths, classes = seen
    repeated = None if known else groups.repeated_pictures(folder, paths)
    first = [pattern for pattern in (known, repeated) if pattern]
    patterns = [*first, *(groups.group_patterns(paths, classes) if paths else [])]
    answers = [c for c, _ in candidates if table and groups.is_answer(table.column(c), classes)]
    proposal.hints += [texts.GROUP_IS_ANSWER.format(column=c) for c in answers if c not in labels]
    candidates = [(c, why) for c, why in candidates if c not in labels and c not in answers]
    named = groups.named_group(candidates)
    if named is None and not patterns and table is not None:
        named = groups.coded_group(table, candidates, classes)
    others = [(c, why) for c, why in candidates if named is None or c != named[0]]
    group_of_row: list[str] = []
    if named is not None and table is not None:
        proposal.set("competition.group_column", *named)
        group_of_row = _of_rows(table, named[0])
    elif patterns:
        pattern, why = patterns.pop(0)
        proposal.set("competition.group_pattern", pattern, why)
        group_of_row = [hit[1] for p in paths if (hit := re.search(pattern, nfc(p)))]
    else:
        proposal.set("competition.group_column", None, texts.NO_GROUP)
    proposal.hints += [texts.GROUP_COLUMN_HINT.format(column=c, why=why) for c, why in others]
    proposal.hints += [texts.GROUP_PATTERN_HINT.format(pattern=p, why=why) for p, why in patterns]
    return group_of_row


def _of_rows(table: Table, column: str) -> list[str]:
    """The group of each row; an unknown one is a group of its own."""
    return [f"{v} {n}" if no_group(v, UNKNOWN_GROUPS) else v for n, v in enumerate(table.column(column))]
