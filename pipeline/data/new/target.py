"""What kind of answer a label is: exclusive classes, labels that hold together, values, or shares.

Owns the label as the other guesses see it, and making one of each kind from columns of a table. Does not own
which columns they are (`data/new/label.py`), recognising a kind from cells (`data/new/kinds.py`) nor the
host's form (`data/new/form.py`, `data/new/matrix_form.py`).

    the training table has                                              the target
    a column of classes; columns of 0 and 1 with one 1 in each row      exclusive classes (`one_hot`)
    columns of 0 and 1 whose common prefix excludes the others          labels with levels
    columns of 0 and 1, several or none hold; empty and -1 are unknown  labels, one a column
    cells of several words (`scab rust`, `['scab', 'rust']`)            labels, one a word
    decimals, whole numbers with gaps, a name such as price or age      values
    columns of numbers with one sum in all rows                         shares

Legend: A attributes or labels, N rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Kind
from pipeline.core.tables import Table, number_in
from pipeline.data import texts
from pipeline.data.layouts import ONE_HOT
from pipeline.data.matrix_truth import listed, words
from pipeline.data.new import columns, kinds
from pipeline.data.new.words import denies
from pipeline.data.paths import nfc

# Of one label: its name, values, cells and columns.
_Part = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
# What stands between the words of a column's name.
BETWEEN_WORDS = "_- ./:"
# Cells of 0/1 columns that say that a report is uncertain, or that nothing was looked for.
UNCERTAIN = ("-1", "-1.0")
# Combinations of attributes that are few enough to be classes, and images that each should have on average.
MOST_COMBINATIONS, IMAGES_EACH = 300, 2
# Shares of a row sum to the same number as those of all other rows, up to this part of it.
SHARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Label:
    """The label: one column, several whose combination is the class, one-hot columns, or another kind.

    Args:
        names: of the columns, one an attribute; for one-hot columns and shares a name of our own; for labels
            that are words of a cell the words.
        values: of each attribute, in class order; empty for a number.
        cells: (A, N) the value of each attribute in each row.
        why: the reason of the choice.
        one_hot: `values` are columns of the table.
        separator: what the sample writes between the values of several attributes, None if it does not; for
            words of a cell what the table writes between them.
        target: its kind.
        column: of words, the column whose cells hold them.
        between: what stands between them there, with a blank if there always is one.
        unknown: cells that mean that a label is unknown, besides empty ones.
        blocks: for each attribute the columns of 0 and 1 that are its values, none for a plain column; empty:
            there are only plain ones.
        absent: of columns of marks without any 0, the cell that says that a label does not hold.
        total: of shares, what each row sums to; 1 where rows differ.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    cells: tuple[tuple[str, ...], ...] = field(repr=False)
    why: str = ""
    one_hot: bool = False
    separator: str | None = None
    target: Kind = "exclusive"
    column: str = ""
    between: str = ""
    unknown: tuple[str, ...] = ()
    absent: str | None = None
    total: float = 1.0
    blocks: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> set[str]:
        """The columns of the table that it is made of."""
        inside = {c for block in self.blocks for c in block}
        return {*self.names, *(self.values[0] if self.one_hot else ()), self.column, *inside}

    @property
    def classes(self) -> tuple[str, ...]:
        """The values of the only attribute, or none."""
        return self.values[0] if len(self.values) == 1 else ()

    @property
    def levels(self) -> bool:
        """Whether a label has more levels than no and yes, or a column for each of them."""
        return self.target == "labels" and (any(self.blocks) or any(len(v) > 2 for v in self.values))

    def numbers(self) -> list[int]:
        """(N,) a class for each row as a number, by which rows are compared and counted."""
        if self.target == "values":
            numbers = np.array([number_in(v) or 0.0 for v in self.cells[0]])
            cuts = np.quantile(numbers, [0.25, 0.5, 0.75])
            return [int(c) for c in np.searchsorted(cuts, numbers)]
        codes = [_codes(known, cells) for known, cells in zip(self.values, self.cells, strict=True)]
        _, set_N = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
        return [int(c) for c in set_N.reshape(-1)]


def _codes(known: Sequence[str], cells: Sequence[str]) -> npt.NDArray[np.int64]:
    index = {value: code for code, value in enumerate(known)}
    return np.array([index.get(cell, 0) for cell in cells])


def of_words(table: Table, column: str, separator: str, why: str, also: Sequence[str] = ()) -> Label:
    """Labels that are words of the cells of one column; `also` are words that no cell holds."""
    rows = [words(cell, separator) for cell in table.column(column)]
    known = columns.in_order({word for row in rows for word in row} | set(also))
    cells = tuple(tuple("1" if word in row else "0" for row in rows) for word in known)
    values = (("0", "1"),) * len(known)
    between = as_written(separator, table.column(column))
    return Label(tuple(known), values, cells, why, False, separator, "labels", column, between)


def as_written(separator: str, cells: Iterable[str]) -> str:
    """The separator, with the blank that stands behind it wherever it is in these cells."""
    behind = [cell.split(separator)[1:] for cell in cells if separator in cell and listed(cell) is None]
    always = bool(behind) and all(part.startswith(" ") for parts in behind for part in parts)
    return f"{separator} " if separator != " " and always else separator


def of_marks(table: Table, named: Sequence[str], why: str) -> Label:
    """Labels that have a column of 0 and 1 each, with empty cells and -1 where nothing is known.

    Where no cell is 0, one of these says that a label does not hold; see `absent_cell`.
    """
    cells = tuple(tuple(table.column(c)) for c in named)
    absent = absent_cell(cells)
    values = tuple(_pair(column, absent) for column in cells)
    unknown = tuple(u for u in UNCERTAIN if absent not in UNCERTAIN and any(u in column for column in cells))
    if absent is not None:
        why = texts.LABEL_MARKS_WHY.format(
            why=why, found=texts.ABSENT_CELL.format(cell=absent or texts.EMPTY_CELL)
        )
    return Label(tuple(named), values, cells, why, target="labels", unknown=unknown, absent=absent)


def absent_cell(cells_AN: Sequence[Sequence[str]]) -> str | None:
    """The cell that says that a label does not hold, in columns of marks of which no cell is 0.

    -1 where there is one, else an empty cell: if they meant that nothing is known, every known label would
    hold, and there would be nothing to learn. None: a cell is 0, or every label holds for every image.
    """
    given = set().union(*cells_AN)
    if any(not ONE_HOT.get(cell, True) for cell in given):
        return None
    return next((cell for cell in (*UNCERTAIN, "") if cell in given), None)


def of_blocks(table: Table, named: Sequence[str], why: str) -> Label | None:
    """Labels of which some have a column of 0 and 1 for each level, as `kidney_low`, `kidney_high`.

    Columns whose names begin with the same words are the levels of one label where exactly one of them is 1
    in every row. None: there are no such columns.
    """
    marks = {c: table.column(c) for c in named}
    best = max(
        (_blocks(marks, cut) for cut in (_last_word, _first_word)), key=lambda b: sum(map(len, b.values()))
    )
    if not best:
        return None
    inside = {c: prefix for prefix, block in best.items() for c in block}
    plain = of_marks(table, [c for c in named if c not in inside], why)
    of_mark: dict[str, _Part] = {
        name: (name, own, cells, ())
        for name, own, cells in zip(plain.names, plain.values, plain.cells, strict=True)
    }
    keys = dict.fromkeys(inside.get(c, c) for c in named)
    parts = [_part(table, key, best[key]) if key in best else of_mark[key] for key in keys]
    names, values, cells, blocks = zip(*parts, strict=True)
    reason = texts.LABEL_BLOCKS.format(why=why, blocks="; ".join(", ".join(block) for block in best.values()))
    made = Label(names, values, cells, reason, target="labels", blocks=blocks)
    return replace(made, unknown=plain.unknown, absent=plain.absent)


def _part(table: Table, key: str, block: Sequence[str]) -> _Part:
    """Name, values, cells and columns of the label of a block."""
    level = {column: column[len(key) :].lstrip(BETWEEN_WORDS) for column in block}
    denied = [column for column in block if denies(level[column])]
    if len(block) == 2 and len(denied) == 1:  # a label of two is the probability of its second level
        block = [*denied, *(column for column in block if column not in denied)]
    levels = tuple(level[column] for column in block)
    rows = zip(*(table.column(c) for c in block), strict=True)
    held = tuple(levels[[ONE_HOT[v] for v in row].index(True)] for row in rows)
    name = key.rstrip(BETWEEN_WORDS)
    while name in table.columns:
        name += "_level"
    return name, levels, held, tuple(block)


def _last_word(name: str) -> str:
    """The name without its last word, with the sign before it."""
    return re.sub(rf"[^{re.escape(BETWEEN_WORDS)}]+$", "", name)


def _first_word(name: str) -> str:
    """The first word of a name, with the sign behind it."""
    found = re.match(rf"[^{re.escape(BETWEEN_WORDS)}]+[{re.escape(BETWEEN_WORDS)}]", name)
    return found[0] if found else ""


def _blocks(marks: Mapping[str, Sequence[str]], cut: Callable[[str], str]) -> dict[str, list[str]]:
    """Prefix -> columns of which exactly one is 1 in every row, more than one column each."""
    by_prefix: dict[str, list[str]] = {}
    for column in marks:
        by_prefix.setdefault(cut(column), []).append(column)
    found = {}
    for prefix, block in by_prefix.items():
        full = all(set(marks[c]) <= ONE_HOT.keys() for c in block)
        if prefix and len(block) > 1 and full:
            rows = zip(*(marks[c] for c in block), strict=True)
            if all(sum(ONE_HOT[v] for v in row) == 1 for row in rows):
                found[prefix] = block
    return found


def is_mark(cells: Sequence[str]) -> bool:
    """Whether cells only say whether a label holds, or that it is unknown."""
    return set(cells) <= {*ONE_HOT, "", *UNCERTAIN} and bool(set(cells) & ONE_HOT.keys())


def _pair(cells: Sequence[str], absent: str | None) -> tuple[str, str]:
    """How the column writes that a label does not hold, and that it does."""
    given = set(cells) & ONE_HOT.keys()
    no = sorted(c for c in given if not ONE_HOT[c])
    yes = sorted(c for c in given if ONE_HOT[c])
    if absent is not None:
        return next((cell for cell in UNCERTAIN if cell in cells and absent), absent), yes[0]
    other = {"0": "1", "0.0": "1.0", "False": "True"}
    back = {b: a for a, b in other.items()}
    if no:
        return no[0], yes[0] if yes else other[no[0]]
    return (back[yes[0]] if yes else "0"), (yes[0] if yes else "1")


def of_levels(parts: Sequence[Label], why: str) -> Label:
    """Labels of several levels each: the attributes of a table, which need not be combined."""
    values = tuple(p.values[0] for p in parts)
    cells = tuple(p.cells[0] for p in parts)
    return Label(tuple(p.names[0] for p in parts), values, cells, why, target="labels")


def of_values(table: Table, named: Sequence[str], why: str) -> Label:
    """Numbers to predict, one a column."""
    found = [kinds.known_numbers([nfc(v) for v in table.column(c)]) for c in named]
    unknown = tuple(dict.fromkeys(word for _, words_found in found for word in words_found))
    cells = tuple(known for known, _ in found)
    return Label(tuple(named), ((),) * len(named), cells, why, target="values", unknown=unknown)


def of_shares(table: Table, named: Sequence[str], why: str) -> Label:
    """Columns of numbers that are shares of each row, such as votes."""
    name = next(n for n in ("share", "vote", "label_share") if n not in table.columns)
    largest = [
        named[int(np.argmax([number_in(cell) or 0.0 for cell in row]))]
        for row in zip(*(table.column(c) for c in named), strict=True)
    ]
    rows = _sums([table.column(c) for c in named])
    total = 1.0 if rows is None or not _even(rows) else float(f"{np.median(rows):.3g}")
    return Label((name,), (tuple(named),), (tuple(largest),), why, True, target="shares", total=total)


def are_shares(table: Table, named: Sequence[str], sample: Sequence[Sequence[str]]) -> bool:
    """Whether numbers of several columns are shares of each row.

    Args:
        table: the training table.
        named: the columns.
        sample: the sample's cells of each column, or none.
    """
    rows = _sums([table.column(c) for c in named])
    if rows is None or rows.min() <= 0:
        return False
    # Counts of votes become shares in the answer; two decimals of their own may well be .5 and .5 there.
    are_counts = all((number_in(cell) or 0.0).is_integer() for c in named for cell in table.column(c))
    return _even(rows) or (are_counts and sum_to(sample, 1))


def sum_to(cells_AN: Sequence[Sequence[str]], total: float) -> bool:
    """Whether the cells of every row sum to this number."""
    rows = _sums(cells_AN) if cells_AN else None
    return rows is not None and bool((np.abs(rows - total) <= SHARE_TOLERANCE * total).all())


def _even(rows: npt.NDArray[np.float64]) -> bool:
    """Whether all rows have the same sum."""
    return float(np.ptp(rows)) <= SHARE_TOLERANCE * float(np.median(rows))


def _sums(cells_AN: Sequence[Sequence[str]]) -> npt.NDArray[np.float64] | None:
    """(N,) the sums of the rows; None where a cell is no number or is negative."""
    numbers = [[number_in(cell) for cell in cells] for cells in cells_AN]
    if any(n is None or n < 0 for column in numbers for n in column):
        return None
    return np.asarray(np.array(numbers, dtype=np.float64).sum(axis=0))


def too_many(parts: Sequence[Label]) -> bool:
    """Whether attributes have too many combinations for classes, which most images would have alone."""
    count = int(np.prod([float(len(p.values[0])) for p in parts]))
    return count > MOST_COMBINATIONS or count * IMAGES_EACH > len(parts[0].cells[0])


def attributes_reason(parts: Sequence[Label]) -> str:
    """Why attributes are labels of their own."""
    count = int(np.prod([float(len(p.values[0])) for p in parts]))
    return texts.LABEL_LEVELS.format(count=count, rows=len(parts[0].cells[0]))
