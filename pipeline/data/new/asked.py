"""What the host's sample asks for: which of its columns hold ids, answers, or neither, and its words.

Owns reading the sample without knowing the label. Does not own which column of the training table is the
label (`data/new/label.py`) nor the format that follows from both (`data/new/form.py`).

Cells of a sample are placeholders: 0, 0.5, an empty cell or the first class in every row say nothing of what
a host accepts. Several different cells do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.long_form import BETWEEN
from pipeline.data.new import columns, groups, kinds
from pipeline.data.paths import image_suffix, nfc

# Names of a column without meaning.
ROW_NUMBERS = ("", "index", "unnamed: 0")


@dataclass(frozen=True)
class Asked:
    """The host's sample.

    Args:
        table: the sample.
        id_column: its column of ids.
        answers: its columns that a submission fills.
        copied: its other columns, which say something about the images.
        long: settings of `competition.submission` for a sample in long form, whose `table` here has one
            row an image; empty for any other sample.
        key: of such a sample, what names its first row.
    """

    table: Table
    id_column: str
    answers: tuple[str, ...]
    copied: tuple[str, ...] = ()
    long: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def image_pattern(self) -> str:
        """Of the ids of a sample in long form: a regular expression whose group is the image."""
        long_id = self.long.get("long_id")
        if long_id is None:
            return "^(.+)$"
        names = dict.fromkeys(answer.rpartition(BETWEEN)[0] or answer for answer in self.answers)
        # The longest first, as one name may be the end of another.
        known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        pattern = re.escape(long_id).replace(re.escape("{id}"), "(.+)")
        return f"^{pattern.replace(re.escape('{answer}'), f'(?:{known})')}$"

    def cells(self, column: str) -> set[str]:
        """The different answers of a column, without empty ones."""
        return {nfc(v) for v in self.table.column(column)} - {""}


def read(sample: Table, test: Table | None, ids: Sequence[str] = (), train: Table | None = None) -> Asked:
    """Find the columns of a sample.

    Args:
        sample: the host's sample.
        test: the host's test table, if there is one besides the sample.
        ids: names of id columns of other tables, likely ones first.
        train: the training table, if there is one.

    Raises:
        DataError: no column of ids, or no other column.
    """
    if len(sample.columns) < 2:
        raise DataError(
            _("{sample}: it has only one column; a sample needs an id and an answer").format(
                sample=sample.name
            )
        )
    unique = [
        c for c in sample.columns if len(set(sample.column(c))) == len(sample) and all(sample.column(c))
    ]
    if not unique:
        ids = sample.column(sample.columns[0])
        found = texts.REPEATED_IDS.format(column=sample.columns[0], rows=len(ids), ids=len(set(ids)))
        kinds.refuse("long", sample.name, found, texts.LONG_REMEDY)
    # Spreadsheets and pandas add a column that numbers the rows.
    counted = [c for c in sample.columns if c.lower() in ROW_NUMBERS and len(sample.columns) > 2]
    unique = [c for c in unique if c not in counted] or unique
    known = [set(test.column(c)) for c in test.columns] if test is not None else []
    in_test = [c for c in unique if set(sample.column(c)) in known]
    named = [c for name in (*ids, *columns.ID_NAMES) for c in unique if c.lower() == name.lower()]
    # Answers may differ in each row, too: a column of words or whole numbers is rather the id.
    whole = [c for c in unique if not columns.decimal(sample.column(c))]
    first = unique[0] if unique[0] == sample.columns[0] else None
    chosen = next((c for c in (*in_test, first, *named, *whole, *unique) if c is not None), unique[0])
    others = [c for c in sample.columns if c != chosen]
    copied = tuple(
        c
        for c in others
        if c in counted or _about_images(sample, chosen, c, test) or _of_groups(sample, c, train)
    )
    answers = tuple(c for c in others if c not in copied)
    if not answers:
        raise DataError(
            _("{sample}: every column but the ids ({chosen}) only repeats the test table").format(
                sample=sample.name, chosen=chosen
            ),
            remedy=_("a sample needs a column for the answer: is this file the host's sample submission?"),
        )
    return Asked(sample, chosen, answers, copied)


def _of_groups(sample: Table, column: str, train: Table | None) -> bool:
    """Whether a column says which patient or the like is on an image: those of training are others."""
    if train is None or column not in train.columns or groups.named_group([(column, "")]) is None:
        return False
    cells = set(sample.column(column)) - {""}
    return len(cells) > 1 and not cells & set(train.column(column))


def _about_images(sample: Table, id_column: str, column: str, test: Table | None) -> bool:
    """Whether a column repeats the test table or names image files: then it is no answer."""
    cells = sample.column(column)
    if len(set(cells)) > 1 and all(image_suffix(v) for v in cells):
        return True
    if test is None or column not in test.columns or not any(cells):
        return False
    for candidate in test.columns:
        own = dict(zip(test.column(candidate), test.column(column), strict=True))
        if set(sample.column(id_column)) <= own.keys():
            pairs = zip(sample.column(id_column), cells, strict=True)
            return all(own[name] == cell for name, cell in pairs)
    return False
