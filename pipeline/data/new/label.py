"""Which column of the training table is the label, or which columns are.

Owns the choice and its evidence: what the user says, what the host's sample names, which columns the test
table lacks, and names. Does not own the kinds of label (`data/new/target.py`), the host's format
(`data/new/form.py`) nor groups (`data/new/columns.py`).

A column that the sample names is the label, and no other column takes its place: if its kind cannot be
predicted, that is said. Where nothing decides between several columns, the user is asked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from pipeline.core.errors import DataError, nearest
from pipeline.core.language import _
from pipeline.core.samples import Kind
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.layouts import ONE_HOT
from pipeline.data.new import columns, groups, kinds, target, words
from pipeline.data.new.asked import Asked
from pipeline.data.new.columns import decimal, numeric
from pipeline.data.new.target import Label
from pipeline.data.paths import nfc

BETWEEN = ("_", "-", " ", ",", ", ", "|", "/", ":", ";", "+", ".", "")
MOST_PRODUCTS = 5000
LABEL_WORDS = {"label", "labels", "class", "target", "category", "diagnosis", "species", "breed"}
# A word and a number, as in `cat.12.jpg` and `black_cat_3.png`, or a number and a word, as in `12_cat.jpg`.
NAME_PATTERNS = (r"(?:^|/)([^/\d]*[^\W\d_])[ ._-]*\d+\.\w+$", r"(?:^|/)\d+[ ._-]+([^\W\d_][^/\d]*)\.\w+$")
MOST_JOINED = 12
FEWEST_MARKS = 3


def of_folders(names: Sequence[str], cells: Sequence[str], column: str) -> Label:
    """The label of a folder per class."""
    return Label((column,), (tuple(columns.in_order(names)),), (tuple(nfc(c) for c in cells),))


@dataclass(frozen=True)
class Wish:
    """What the user says about the label.

    Args:
        columns: their names, separated by commas; None: nothing.
        target: its kind; None: nothing.
    """

    columns: str | None = None
    target: Kind | None = None


def choose(table: Table, taken: set[str], asked: Asked | None, test: Table | None, wish: Wish) -> Label:
    """The label of a training table, of the kind that the user names.

    The arguments are those of `_chosen`.

    Raises:
        DataError: nothing decides between several columns, or they are not of that kind.
    """
    found = _chosen(table, taken, asked, test, wish)
    if wish.target is None or found.target == wish.target:
        return found
    return _as(table, found, wish.target)


def _as(table: Table, found: Label, kind: Kind) -> Label:
    """The same columns as another kind of label.

    Raises:
        DataError: their cells do not allow it.
    """
    named = found.values[0] if found.one_hot else (found.column,) if found.column else found.names
    cells = [kinds.known_numbers(table.column(c))[0] for c in named]
    where = texts.TARGET_GIVEN.format(table=table.name, columns=words.some(named), target=kind)
    if kind == "values":
        if not all(numeric({c for c in column if c}) for column in cells):
            raise DataError(where, remedy=texts.TARGET_NUMBERS)
        return target.of_values(table, named, texts.LABEL_TARGET)
    if kind == "shares":
        if len(named) < 2 or not target.are_shares(table, named, [("1",)]):
            raise DataError(where, remedy=texts.TARGET_SHARES)
        return target.of_shares(table, named, texts.LABEL_TARGET)
    if kind == "labels":
        if len(named) == 1 and (several := kinds.several_words(cells[0])):
            return target.of_words(table, named[0], several[1], texts.LABEL_TARGET)
        if all(target.is_mark(column) for column in cells):
            return target.of_marks(table, named, texts.LABEL_TARGET)
    parts = [_classes_of(table, c) for c in named]
    together = target.of_levels(parts, texts.LABEL_TARGET)
    return together if kind == "labels" else replace(together, target="exclusive")


def _chosen(table: Table, taken: set[str], asked: Asked | None, test: Table | None, wish: Wish) -> Label:
    """The label of a training table.

    Args:
        table: the training table.
        taken: columns with another meaning: id and path.
        asked: the host's sample, if there is one.
        test: the host's test table, if there is one besides the sample: it has no answers.
        wish: what the user says.

    Raises:
        DataError: nothing decides between several columns, or the label's kind cannot be predicted.
    """
    free = [c for c in table.columns if c not in taken]
    if wish.columns:
        return _given(table, free, wish.columns, wish.target is None)
    found = _by_sample(table, free, asked) if asked else None
    if found is not None:
        return found
    absent = [c for c in free if test is not None and not _filled(test, c)]
    # With a test table, the answer is one of the columns that it lacks.
    candidates = absent or free
    named = _named([c for c in candidates if _varies(table, c)])
    if named:
        return one(table, named[0], texts.BY_NAME, asked)
    if len(absent) == 1:
        return one(table, absent[0], texts.LABEL_ABSENT.format(test=test.name if test else ""), asked)
    marks = [c for c in candidates if set(table.column(c)) <= ONE_HOT.keys()]
    if len(marks) > 1 and _rows_of_one(table, marks) == len(table):
        return _one_hot(table, marks, texts.LABEL_ONE_HOT)
    like = [c for c in candidates if columns.like_classes(table, c)]
    group = groups.named_group([(c, "") for c in like])
    like = [c for c in like if group is None or c != group[0]] or like
    numbers = [c for c in candidates if c not in like and _numbers(table, c)]
    if len(marks) >= FEWEST_MARKS and set(like) <= set(marks) and not numbers:
        return _several(table, marks, texts.LABEL_MARKS)
    if len(numbers) > 1 and not like and target.are_shares(table, numbers, []):
        return target.of_shares(table, numbers, texts.LABEL_SHARES)
    if len(like) == 1 and not numbers:
        return one(table, like[0], texts.LABEL_ONLY, asked)
    left = [c for c in candidates if _varies(table, c)]
    if len(left) == 1:
        return one(table, left[0], texts.LABEL_ONLY_ONE, asked)
    raise _undecided(table, left, like, numbers)


def refuse_kinds(table: Table, asked: Asked | None) -> None:
    """Refuse what a sample asks for, if it is of another kind, before images are looked for.

    Raises:
        DataError: the label that the sample names holds values, several labels, or places in the image.
    """
    if asked is not None:
        kinds.refuse_long(table)
        free = [c for c in table.columns if c != asked.id_column]
        if _by_sample(table, free, asked) is None and (named := _named(free)):
            one(table, named[0], texts.BY_NAME, asked)


def in_names(paths: Sequence[str]) -> tuple[str, list[str]] | None:
    """(pattern, label of each path) if names hold a word and a number, as in `cat.12.jpg`; None if not.

    Every name must match, each label must have several images, and there must be several labels.
    """
    for pattern in NAME_PATTERNS:
        hits = [re.search(pattern, nfc(path)) for path in paths]
        labels = [hit[1] for hit in hits if hit]
        counts = Counter(labels)
        if len(labels) == len(paths) and 2 <= len(counts) <= len(paths) // 2 and min(counts.values()) > 1:
            return pattern, labels
    return None


def _named(candidates: Sequence[str]) -> list[str]:
    """The columns that are called label, class or the like, the most usual name first."""
    exact = [c for name in columns.LABEL_NAMES for c in candidates if c.lower() == name]
    within = [c for c in candidates if kinds.words_in(c) & LABEL_WORDS]
    return exact or (within if len(within) == 1 else [])


def _numbers(table: Table, column: str) -> bool:
    """Whether a column holds decimals or very many whole numbers, apart from empty cells."""
    cells = {c for c in table.column(column) if c}
    return numeric(cells) and (decimal(cells) or len(cells) > columns.MANY_NUMBERS)


def _varies(table: Table, column: str) -> bool:
    return len(set(table.column(column))) > 1


def _filled(test: Table, column: str) -> bool:
    return column in test.columns and any(test.column(column))


def _given(table: Table, free: Sequence[str], given: str, sure: bool) -> Label:
    named = [given] if given in table.columns else [c.strip() for c in given.split(",")]
    faults = []
    for column in named:
        if column not in table.columns:
            hint = nearest(column, free) or _("there are: {free}").format(free=", ".join(free))
            faults.append(_("no column `{column}`; {hint}").format(column=column, hint=hint))
        elif column not in free:
            faults.append(_("`{column}` is the id or the path of the images").format(column=column))
    if faults:
        raise DataError(
            _("LABEL={given}: not a label of {table}").format(given=given, table=table.name), faults
        )
    if len(named) == 1:
        return one(table, named[0], texts.LABEL_GIVEN, None, sure=sure)
    return _several(table, named, texts.LABEL_GIVEN, sure=True)


def _by_sample(table: Table, free: Sequence[str], asked: Asked) -> Label | None:
    """The label that the sample's columns or answers name, if they do."""
    for answer in asked.answers:
        if kind := kinds.pixels_or_boxes(answer, asked.cells(answer)):
            kinds.refuse(
                kind,
                _("{table}: column `{answer}`").format(table=asked.table.name, answer=answer),
                _example(asked, answer),
            )
    inside = words.named_columns(free, asked.answers)
    if len(inside) == len(asked.answers) == 1:
        return one(table, next(iter(inside.values())), texts.LABEL_IN_SAMPLE, asked)
    if len(asked.answers) > 1:
        return _by_columns(table, free, asked, inside)
    (answer,) = asked.answers
    cells = asked.cells(answer)
    if not cells or (len(cells) == 1 and numeric(cells)):
        return None
    holding = [c for c in free if cells <= {nfc(v) for v in table.column(c)}]
    if len(holding) == 1:
        return one(table, holding[0], texts.LABEL_HOLDS, asked)
    if holding:
        return None
    several = {c: found for c in free if (found := kinds.several_words(_cells(table, c)))}
    known = [
        c for c, (_, between) in several.items() if cells <= set(target.of_words(table, c, between, "").names)
    ]
    if len(known) == 1:
        return one(table, known[0], texts.LABEL_HOLDS, asked)
    return _joined(table, free, cells)


def _by_columns(table: Table, free: Sequence[str], asked: Asked, inside: dict[str, str]) -> Label | None:
    """The label that several answers of a sample name; `inside` are those that are columns of the table."""
    if len(inside) == len(asked.answers):
        return _several(table, [inside[a] for a in asked.answers], texts.LABEL_SEVERAL_IN_SAMPLE, asked=asked)
    for column in free:
        values = columns.values_of(table, column)
        if len(values) > 1 and (named := words.columns_for(values, asked.answers)):
            return _with_more(table, column, named, asked.answers)
        if several := kinds.several_words(_cells(table, column)):
            found = target.of_words(table, column, several[1], texts.LABEL_WORDS)
            if named := words.columns_for(found.names, asked.answers):
                also = [a for a in asked.answers if a not in named.values()]
                return target.of_words(table, column, several[1], texts.LABEL_WORDS, also)
    like = {c: columns.values_of(table, c) for c in free if columns.like_classes(table, c)}
    if (levels := words.levels_for(like, asked.answers)) is not None:
        named_columns = list(dict.fromkeys(name for name, _ in levels.values()))
        parts = [one(table, c, texts.LABEL_IN_COLUMNS, None, sure=True) for c in named_columns]
        parts = [replace(p, values=(tuple(v for c, v in levels.values() if c == p.names[0]),)) for p in parts]
        return target.of_levels(parts, texts.LABEL_IN_COLUMNS)
    if inside:
        lost = [a for a in asked.answers if a not in inside]
        kinds.refuse(
            "answers",
            _("{table}: it asks for {answers}").format(
                table=asked.table.name, answers=", ".join(asked.answers)
            ),
            texts.UNFILLED.format(table=table.name, columns=", ".join(lost)),
        )
    return None


def _example(asked: Asked, column: str) -> str:
    return texts.CELL.format(cell=next(iter(sorted(asked.cells(column))), ""))


def _with_more(table: Table, column: str, named: dict[str, str], answers: Sequence[str]) -> Label:
    """A label whose values are the sample's columns, in its order, those without an image included."""
    value_of = dict(zip(named.values(), named.keys(), strict=True))
    values = tuple(value_of.get(answer, answer) for answer in answers)
    return Label((column,), (values,), (_cells(table, column),), texts.LABEL_VALUES)


def _cells(table: Table, column: str) -> tuple[str, ...]:
    return tuple(nfc(v) for v in table.column(column))


def one(table: Table, column: str, why: str, asked: Asked | None, sure: bool = False) -> Label:
    """A single column as the label.

    Args:
        table: the training table.
        column: of it.
        why: the reason of the choice.
        asked: the sample, whose answers help to tell values from classes.
        sure: the user says that whole numbers are classes.

    Raises:
        DataError: its cells are values, several labels each, or different in each row.
    """
    cells, unknown = kinds.known_numbers(_cells(table, column))
    where = _("{table}: column `{column}` ({why})").format(table=table.name, column=column, why=why)
    shown = asked.cells(asked.answers[0]) if asked and len(asked.answers) == 1 else set()
    values = [v for v in columns.values_of(table, column) if v]
    if len(values) < 2:
        raise DataError(
            _("{where}: it holds {n} different values; a label has at least two").format(
                where=where, n=len(values)
            ),
            remedy=_("name the column of the label: LABEL=…"),
        )
    if unknown and not (kinds.certain_values(cells, shown) or kinds.likely_values(column, cells)):
        # Whole numbers of few classes, of which one is called `none`.
        cells = _cells(table, column)
    if not sure and (apart := kinds.thousands(cells)):
        kinds.refuse("thousands", where, texts.CELL.format(cell=apart), texts.THOUSANDS_REMEDY)
    if kinds.certain_values(cells, shown) or (sure and kinds.rarely_repeated(column, cells)):
        found = texts.VALUES_FOUND.format(values=words.some(values))
        return target.of_values(table, [column], texts.LABEL_VALUES_WHY.format(why=why, found=found))
    if not sure and kinds.likely_values(column, cells):
        found = texts.NUMBERS_FOUND.format(count=len(values), values=words.some(values))
        reason = texts.NUMBERS_GUESS.format(why=why, found=found, column=column)
        return target.of_values(table, [column], reason)
    numbers = kinds.without_unit(cells)
    if numbers and not sure and (decimal(numbers) or kinds.likely_values(column, numbers)):
        kinds.refuse("units", where, texts.CELL.format(cell=values[0]), texts.UNITS_REMEDY)
    several = kinds.several_words(cells)
    if several is None and (held := kinds.structured(cells)):
        kind, example, names = held
        fields = texts.STRUCTURED_FIELDS.format(fields=", ".join(names)) if names else ""
        remedy = texts.STRUCTURED_REMEDY.format(fields=fields) if kind == "structured" else ""
        kinds.refuse(kind, where, texts.CELL.format(cell=example), remedy)
    if several := several or kinds.several_by_sample(shown, cells):
        example, between = several
        reason = texts.LABEL_WORDS_WHY.format(why=why, cell=example)
        return target.of_words(table, column, between, reason)
    if len(values) == len(cells):
        kinds.refuse("texts", where, texts.CELL.format(cell=values[0]))
    return Label((column,), (tuple(values),), (cells,), why)


def _classes_of(table: Table, column: str) -> Label:
    """A column as classes, because the user says so."""
    return Label((column,), (tuple(columns.values_of(table, column)),), (_cells(table, column),))


def _rows_of_one(table: Table, marks: Sequence[str]) -> int:
    """The number of rows in which exactly one of the columns is 1."""
    cells = [[ONE_HOT.get(v, False) for v in table.column(c)] for c in marks]
    return sum(sum(row) == 1 for row in zip(*cells, strict=True))


def _one_hot(table: Table, marks: Sequence[str], why: str) -> Label:
    name = next(n for n in ("label", "class", "answer", "one_hot_label") if n not in table.columns)
    rows = zip(*(table.column(c) for c in marks), strict=True)
    cells = tuple(marks[[ONE_HOT.get(v, False) for v in row].index(True)] for row in rows)
    return Label((name,), (tuple(marks),), (cells,), why, one_hot=True)


def _several(
    table: Table, named: Sequence[str], why: str, asked: Asked | None = None, sure: bool = False
) -> Label:
    """Several columns: one-hot columns of one label, or attributes that are answered one by one."""
    where = _("{table}: columns {some} ({why})").format(table=table.name, some=words.some(named), why=why)
    if all(target.is_mark(table.column(c)) for c in named):
        held, written = _rows_of_one(table, named), set().union(*(table.column(c) for c in named))
        full = written <= ONE_HOT.keys() or target.absent_cell([tuple(written)]) == ""
        if held == len(table) and full:
            return _one_hot(table, named, texts.LABEL_ONE_HOT)
        if blocks := target.of_blocks(table, named, why):
            return blocks
        found = texts.NOT_ONE_HOT.format(rows=len(table) - held, all=len(table))
        return target.of_marks(table, named, texts.LABEL_MARKS_WHY.format(why=why, found=found))
    shown = {c: asked.cells(a) for c, a in zip(named, asked.answers, strict=True)} if asked else {}
    numbers = [c for c in named if _is_value(table, c, shown.get(c, set()), sure)]
    if numbers or (not sure and _small_shares(table, named)):
        return _numbers_of(table, named, numbers, where, asked)
    parts = [one(table, column, why, None, sure=True) for column in named]
    if (odd := [p for p in parts if p.target != "exclusive"]) and len(odd) < len(parts):
        kinds.refuse("several_values", where, f"`{odd[0].names[0]}`")
    if odd:
        kinds.refuse("several_words", where, f"`{named[0]}`, `{named[1]}`")
    if asked is not None and (pairs := _pairs(parts, set().union(*shown.values()))):
        return target.of_levels(pairs, texts.LABEL_PAIRS.format(why=why))
    if target.too_many(parts) if asked is not None else _products(parts) > MOST_PRODUCTS:
        return target.of_levels(parts, target.attributes_reason(parts))
    return Label(tuple(named), tuple(p.values[0] for p in parts), tuple(p.cells[0] for p in parts), why)


def _pairs(parts: Sequence[Label], cells: set[str]) -> list[Label]:
    """Labels of two values of which one denies, as `no` and `yes`, where the sample holds probabilities."""
    if not decimal(cells) or any(len(p.values[0]) != 2 for p in parts):
        return []
    ordered = [sorted(p.values[0], key=words.denies, reverse=True) for p in parts]
    if any(words.denies(first) == words.denies(second) for first, second in ordered):
        return []
    return [replace(p, values=(tuple(pair),)) for p, pair in zip(parts, ordered, strict=True)]


def _small_shares(table: Table, named: Sequence[str]) -> bool:
    """Whether whole numbers few enough for levels are votes, as all rows sum to the same."""
    cells = [{c for c in table.column(name) if c} for name in named]
    return len(named) > 1 and all(map(numeric, cells)) and target.are_shares(table, named, [])


def _products(parts: Sequence[Label]) -> int:
    return math.prod(len(p.values[0]) for p in parts)


def _is_value(table: Table, column: str, shown: set[str], sure: bool) -> bool:
    cells = kinds.known_numbers(table.column(column))[0]
    return kinds.certain_values(cells, shown) or (not sure and kinds.likely_values(column, cells))


def _numbers_of(
    table: Table, named: Sequence[str], numbers: Sequence[str], where: str, asked: Asked | None
) -> Label:
    """Several columns of which some are numbers: shares, or values.

    Raises:
        DataError: the others hold words.
    """
    words_in = [c for c in named if not numeric({v for v in kinds.known_numbers(table.column(c))[0] if v})]
    if words_in:
        values = words.some([v for v in columns.values_of(table, words_in[0]) if v])
        kinds.refuse(
            "several_values",
            where,
            _("`{numbers}`, and `{words_in}`: {values}").format(
                numbers=numbers[0], words_in=words_in[0], values=values
            ),
        )
    sample = [asked.table.column(a) for a in asked.answers] if asked else []
    if target.are_shares(table, named, sample):
        return target.of_shares(table, named, texts.LABEL_SHARES)
    return target.of_values(table, named, texts.LABEL_SEVERAL_VALUES)


def _joined(table: Table, free: Sequence[str], cells: set[str]) -> Label | None:
    """Columns whose values the sample joins, as in `neutral_male`, with the order and separator that fit."""
    like = [c for c in free if columns.like_classes(table, c)][:MOST_JOINED]
    values = {c: columns.values_of(table, c) for c in like}
    for size in (2, 3):
        for chosen in permutations(like, size):
            for between in BETWEEN:
                products = words.products([values[c] for c in chosen], between, MOST_PRODUCTS)
                if products and cells <= products:
                    label = _several(table, chosen, texts.LABEL_JOINED.format(separator=between), sure=True)
                    return replace(label, separator=between)
    return None


def _undecided(
    table: Table, candidates: Sequence[str], like: Sequence[str], numbers: Sequence[str]
) -> DataError:
    lines = [
        f"column {c!r}: {len(set(table.column(c))):,} different values, e.g. {table.column(c)[0]!r}"
        for c in (*like, *numbers, *(c for c in candidates if c not in like and c not in numbers))
    ]
    if not like and not numbers:
        return DataError(
            _("{table}: no column looks like a label").format(table=table.name),
            lines,
            _("a label has at least two repeated values; name its column: LABEL=…"),
        )
    return DataError(
        _("{table}: nothing says which column is the label").format(table=table.name),
        lines,
        _("name it: LABEL={name}, or several whose combination is the class: LABEL=a,b").format(
            name=(*like, *numbers)[0]
        ),
    )
