"""Samples in long form: one row for each image and answer, recognised by the names of the answers.

Owns telling such a sample from one with a row an image. Does not own reading the form in submissions
(`data/long_form.py`).

Names of answers are known from the training table: its columns, or the values of one of them. A row says its
answer in its id (`Test_0_vowel_diacritic`) or in a column of its own. Only where each image has a row for the
same answers is the form taken for long.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.tables import Table
from pipeline.data import long_form
from pipeline.data.new import columns, kinds, words
from pipeline.data.new.columns import numeric
from pipeline.data.paths import nfc
from pipeline.settings.inputs import LongTableSettings
from pipeline.settings.submission import SubmissionSettings

# Answers of an image in a training table, and words of the name of one, at most.
MOST_ANSWERS, MOST_WORDS = 50, 4
BETWEEN = re.compile(r"[_\-: |/.]+")


@dataclass(frozen=True)
class LongSample:
    """A sample in long form.

    Args:
        table: the same with one row an image.
        settings: of `competition.submission`, by name.
        names: of the answers, as the sample writes them.
        key: an example of what names a row.
    """

    table: Table
    settings: dict[str, Any]
    names: tuple[str, ...]
    key: str


def recognised(sample: Table, train: Table, test: Table | None) -> LongSample | None:
    """The sample in long form, or None if it is not certain that it is.

    Args:
        sample: the host's sample.
        train: the training table, whose columns or values are answers.
        test: the host's test table, whose columns are no answers.
    """
    if not len(sample) or len(sample.columns) < 2:
        return None
    for known in _answers(train, test):
        for found in (*_by_column(sample, known), *_by_id(sample, known)):
            return found
    return None


@dataclass(frozen=True)
class LongTable:
    """A training table in long form.

    Args:
        table: the same with one row an image, and a column for each answer.
        setting: `competition.long_table`.
        key: an example of what names a row.
    """

    table: Table
    setting: dict[str, Any]
    key: str


def training(table: Table, image_column: str | None) -> LongTable | None:
    """The training table in long form, or None if it is not certain that it is.

    Args:
        table: the host's training table.
        image_column: leads to images; None: no column does, so that an id may hold an image and an answer.
    """
    if not len(table):
        return None
    if image_column is None:
        return _training_by_id(table)
    ids = table.column(image_column)
    if len(set(ids)) == len(ids):
        return None
    for column in table.columns:
        pairs = list(zip(ids, table.column(column), strict=True))
        if column != image_column and len({a for _, a in pairs}) <= MOST_ANSWERS and _full(pairs):
            return _of_pairs(table, image_column, pairs, {"column": column}, ids[0])
    return None


def _training_by_id(table: Table) -> LongTable | None:
    """Ids of an image and an answer, of which either has the same number of words in all rows."""
    column = table.columns[0]
    cells = table.column(column)
    for place in (*range(MOST_WORDS), *range(-1, -MOST_WORDS - 1, -1)):
        split = [part for cell in cells if (part := _parted(cell, place)) is not None]
        pairs = [(image, answer) for image, _, answer in split]
        betweens = {between for _, between, _ in split}
        few = len({answer for _, answer in pairs}) <= MOST_ANSWERS
        if len(pairs) == len(cells) and len(betweens) == 1 and few and _full(pairs):
            (between,) = betweens
            return _of_pairs(table, column, pairs, {"id": f"{{id}}{between}{{answer}}"}, cells[0])
    return None


def _parted(cell: str, place: int) -> tuple[str, str, str] | None:
    """(image, what is between, answer) where this gap of an id is between both; below 0: from the end."""
    found = list(BETWEEN.finditer(cell))
    if not -len(found) <= place < len(found):
        return None
    between = found[place]
    image, answer = cell[: between.start()], cell[between.end() :]
    return (image, between[0], answer) if image and answer else None


def _of_pairs(
    table: Table, id_column: str, pairs: Sequence[tuple[str, str]], named: dict[str, Any], key: str
) -> LongTable | None:
    """The table side by side, if exactly one column differs within images and answers."""
    taken = {id_column, named.get("column")}
    values = [c for c in table.columns if c not in taken and not _says_image(table.column(c), pairs)]
    if len(values) != 1 or _tells_rows_apart(table.column(values[0])):
        return None
    setting = {**named, "value": values[0]}
    names = list(dict.fromkeys(answer for _, answer in pairs))
    made = long_form.widened(table, names, id_column, LongTableSettings(**setting))
    return None if made.faults else LongTable(made.table, setting, key)


def _tells_rows_apart(cells: Sequence[str]) -> bool:
    """Whether cells are names or whole numbers of which no two rows have the same: ids, not answers."""
    return len(set(cells)) == len(cells) and not columns.decimal(cells)


def _says_image(cells: Sequence[str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether a column says something about the image alone, or only repeats the answer."""
    of_image: dict[str, str] = {}
    images = [image for image, _ in pairs]
    same = all(of_image.setdefault(image, cell) == cell for image, cell in zip(images, cells, strict=True))
    return same or _repeats(cells, pairs)


def _answers(train: Table, test: Table | None) -> Iterator[set[str]]:
    """What answers may be called: the columns of the table, or the values or words of one of them."""
    free = [c for c in train.columns if test is None or c not in test.columns]
    yield set(words.plain_words(free))
    for column in free:
        if columns.like_classes(train, column):
            yield set(words.plain_words(columns.values_of(train, column)))
        if several := kinds.several_in_a_cell([nfc(v) for v in train.column(column)]):
            parts = (cell.split(several[1]) for cell in train.column(column))
            yield set(words.plain_words([part.strip() for row in parts for part in row if part.strip()]))


def _by_column(sample: Table, known: Collection[str]) -> Iterator[LongSample]:
    """Long form whose answers are named in a column beside ids that repeat."""
    for column in sample.columns:
        cells = sample.column(column)
        distinct = list(dict.fromkeys(cells))
        if len(distinct) < 2 or not set(words.plain_words(distinct)) <= set(known):
            continue
        for ids in (c for c in sample.columns if c != column):
            pairs = list(zip(sample.column(ids), cells, strict=True))
            if _full(pairs) and len(set(sample.column(ids))) > 1:
                settings = {"id_column": ids, "long_column": column}
                yield from _wide(sample, settings, pairs, (ids, column))


def _by_id(sample: Table, known: Collection[str]) -> Iterator[LongSample]:
    """Long form whose ids hold the image and the answer."""
    column = sample.columns[0]
    for id_first in (True, False):
        parts = [_parts(cell, known, id_first) for cell in sample.column(column)]
        if any(part is None for part in parts):
            continue
        split = [part for part in parts if part is not None]
        betweens = {between for _, _, between in split}
        pairs = [(image, answer) for image, answer, _ in split]
        if len(betweens) == 1 and _full(pairs):
            (between,) = betweens
            pattern = f"{{id}}{between}{{answer}}" if id_first else f"{{answer}}{between}{{id}}"
            settings = {"id_column": column, "long_id": pattern}
            yield from _wide(sample, settings, pairs, (column,))


def _parts(cell: str, known: Collection[str], id_first: bool) -> tuple[str, str, str] | None:
    """(image, answer, what is between) of an id, with the longest known answer; None if there is none."""
    found = list(BETWEEN.finditer(cell))
    for between in found if id_first else reversed(found):
        first, second = cell[: between.start()], cell[between.end() :]
        image, answer = (first, second) if id_first else (second, first)
        if image and answer and words.plain_words([answer])[0] in known:
            return image, answer, between[0]
    return None


def _full(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether each of several images has each of several answers once."""
    images, answers = {i for i, _ in pairs}, {a for _, a in pairs}
    full = len(images) * len(answers) == len(pairs) == len(set(pairs))
    return full and len(images) > 1 and len(answers) > 1


def _wide(
    sample: Table, settings: dict[str, Any], pairs: Sequence[tuple[str, str]], taken: Sequence[str]
) -> Iterator[LongSample]:
    """The sample side by side, if it has columns left for answers."""
    free = [c for c in sample.columns if c not in taken]
    repeating = [c for c in free if _repeats(sample.column(c), pairs)]
    answers = [c for c in free if c not in repeating]
    if not answers or (len(answers) > 1 and not all(numeric(sample.column(c)) for c in answers)):
        return
    made = {**settings, **({"label_column": answers[0]} if len(answers) == 1 else {})}
    made |= {"copied": repeating} if repeating else {}
    names = list(dict.fromkeys(answer for _, answer in pairs))
    if len(answers) > 1:
        names = [f"{name}{long_form.BETWEEN}{column}" for name in names for column in answers]
    form = SubmissionSettings(format="probabilities", **made)
    wide = long_form.side_by_side(sample, names, form)
    if not wide.faults:
        yield LongSample(wide.table, made, tuple(names), long_form.keys(sample, form)[0])


def _repeats(cells: Sequence[str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether a column only repeats the image or the answer of each row."""
    return any(list(cells) == [pair[at] for pair in pairs] for at in (0, 1))
