"""Long form: a host's table with one row for each image and answer, and the same with one row an image.

Owns the key of a row, telling image and answer apart in it, and putting the rows of an image side by side.
Does not own what a cell means (`data/answer_cells.py`) nor checking whole files (`data/host_format.py`).

    id,label                id,finding,probability          id,mild,severe
    7_edema,0.1             7,edema,0.1                     7_left,0.7,0.1
    7_fracture,0.8          7,fracture,0.8                  7_right,0.2,0.5

    long_id={id}_{answer}   long_column=finding             long_id={id}_{answer}, an answer has two columns

The last form has several columns of answers. Side by side, such a column is called `left · mild`, as is the
column of predictions of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.settings.inputs import LongTableSettings
from pipeline.settings.submission import SubmissionSettings

# Between an answer and the column of one of its levels.
BETWEEN = " · "
# Missing answers that a message lists.
SHOWN = 6


@dataclass(frozen=True)
class Wide:
    """A table with one row an image.

    Args:
        table: the id column, and a column for each answer; a cell that no row gives is empty.
        faults: rows that name no known answer or one that was there, and images that lack one, one line each.
    """

    table: Table
    faults: tuple[str, ...] = ()


def keys(table: Table, settings: SubmissionSettings) -> list[str]:
    """What identifies each row: its id, with the name of its answer where that is another column."""
    ids = table.column(settings.id_column)
    if settings.long_column is None:
        return list(ids)
    return [f"{i}{BETWEEN}{a}" for i, a in zip(ids, table.column(settings.long_column), strict=True)]


def columns_needed(settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns without which a row cannot be read."""
    return tuple(c for c in (settings.id_column, settings.long_column) if c is not None)


def answers_in(table: Table, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns of the table that hold answers: `label_column`, or all others where it is not there."""
    others = [c for c in table.columns if c not in (*columns_needed(settings), *settings.copied)]
    return (settings.label_column,) if settings.label_column in others else tuple(others)


def parted(table: Table, names: Sequence[str], settings: SubmissionSettings) -> list[tuple[str, str] | None]:
    """(image, answer) of each row; None where the row names no known answer.

    Args:
        table: with the columns of the settings.
        names: of the answers; with several columns of levels, of the columns side by side.
        settings: of the host's format.
    """
    several = len(answers_in(table, settings)) > 1
    known = {name.rpartition(BETWEEN)[0] if several else name for name in names}
    ids = table.column(settings.id_column)
    if settings.long_column is not None:
        cells = table.column(settings.long_column)
        return [(i, a) if a in known else None for i, a in zip(ids, cells, strict=True)]
    pieces = _pieces(str(settings.long_id))
    longest = sorted(known, key=len, reverse=True)
    return [_parted(cell, known, longest, pieces) for cell in ids]


def _parted(
    cell: str, known: set[str], longest: Sequence[str], pieces: tuple[str, str, str, bool]
) -> tuple[str, str] | None:
    """(image, answer) of one id, with the longest known answer that fits."""
    front, middle, back, id_first = pieces
    if not (cell.startswith(front) and cell.endswith(back) and len(cell) > len(front) + len(back)):
        return None
    inner = cell[len(front) : len(cell) - len(back)]
    if not middle:
        for name in longest:
            rest = inner.removesuffix(name) if id_first else inner.removeprefix(name)
            if rest and rest != inner:
                return rest, name
        return None
    # Every place where the text between both may be, so that there may be thousands of answers.
    words = inner.split(middle)
    places = range(1, len(words)) if id_first else range(len(words) - 1, 0, -1)
    for place in places:
        first, second = middle.join(words[:place]), middle.join(words[place:])
        image, name = (first, second) if id_first else (second, first)
        if image and name in known:
            return image, name
    return None


def _pieces(pattern: str) -> tuple[str, str, str, bool]:
    """What stands in front of, between and behind the two placeholders, and whether the id comes first."""
    id_first = pattern.index("{id}") < pattern.index("{answer}")
    first, second = ("{id}", "{answer}") if id_first else ("{answer}", "{id}")
    front, _, rest = pattern.partition(first)
    middle, _, back = rest.partition(second)
    return front, middle, back, id_first


def side_by_side(table: Table, names: Sequence[str], settings: SubmissionSettings) -> Wide:
    """The table with one row an image, in the order in which images come first.

    Args:
        table: with the columns of the settings.
        names: the columns of the result besides the ids.
        settings: of the host's format, which is long.
    """
    columns = answers_in(table, settings)
    at = {name: n for n, name in enumerate(names)}
    cells: dict[str, list[str]] = {}
    given: dict[str, set[str]] = {}
    lines: list[int] = []
    faults: list[str] = []
    names_of_rows = keys(table, settings)
    written = [table.written(c) for c in columns]
    for row, part in enumerate(parted(table, names, settings)):
        if part is None:
            faults.append(texts.NO_LONG_ANSWER.format(key=names_of_rows[row], line=table.lines[row]))
            continue
        image, answer = part
        if image not in cells:
            cells[image] = [""] * len(names)
            given[image] = set()
            lines.append(table.lines[row])
        if answer in given[image]:
            faults.append(texts.LONG_TWICE.format(key=names_of_rows[row], line=table.lines[row]))
            continue
        given[image].add(answer)
        for column, of_rows in zip(columns, written, strict=True):
            place = at.get(answer if len(columns) == 1 else f"{answer}{BETWEEN}{column}")
            if place is not None:
                cells[image][place] = of_rows[row]
    wanted = {name.rpartition(BETWEEN)[0] if len(columns) > 1 else name for name in names}
    for image, had in given.items():
        if lost := sorted(wanted - had):
            faults.append(texts.LONG_ANSWERS_MISSING.format(id=image, answers=", ".join(lost[:SHOWN])))
    rows = tuple((image, *row) for image, row in cells.items())
    wide = Table(
        table.name, (settings.id_column, *names), rows, tuple(lines), table.delimiter, table.encoding
    )
    return Wide(wide, tuple(faults))


def widened(table: Table, names: Sequence[str], id_column: str, long: LongTableSettings) -> Wide:
    """A training table in long form with one row an image.

    Besides the answers it keeps every column that is the same in all rows of an image, such as its group.

    Args:
        table: with the columns of the settings.
        names: of the answers.
        id_column: of the images, or of images and answers.
        long: how the table is long.
    """
    form = SubmissionSettings(
        id_column=id_column, label_column=long.value, long_id=long.id, long_column=long.column
    )
    made = side_by_side(table, names, form)
    if made.faults:
        return made
    images = [part[0] for part in parted(table, names, form) if part is not None]
    rows_of: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        rows_of.setdefault(image, []).append(row)
    kept = []
    for column in table.columns:
        cells = table.column(column)
        other = column not in (*columns_needed(form), long.value, *names)
        if other and all(len({cells[row] for row in rows}) == 1 for rows in rows_of.values()):
            kept.append((column, [cells[rows[0]] for rows in rows_of.values()]))
    rows = tuple((*row, *(cells[n] for _, cells in kept)) for n, row in enumerate(made.table.rows))
    columns = (*made.table.columns, *(column for column, _ in kept))
    return Wide(replace(made.table, columns=columns, rows=rows))


def stacked(
    host: Table, ids: Sequence[str], cells: dict[str, list[str]], settings: SubmissionSettings
) -> dict[str, list[str]]:
    """The columns of answers of the host's sample, filled row by row.

    Args:
        host: the sample, whose rows were found to be one for each image and answer.
        ids: the images.
        cells: of each answer, side by side, in the order of `ids`.
        settings: of the host's format, which is long.
    """
    columns = answers_in(host, settings)
    at = {image: n for n, image in enumerate(ids)}
    parts = parted(host, list(cells), settings)
    filled: dict[str, list[str]] = {column: [] for column in columns}
    for part in parts:
        assert part is not None, "the rows of the sample were checked"
        image, answer = part
        for column in columns:
            name = answer if len(columns) == 1 else f"{answer}{BETWEEN}{column}"
            filled[column].append(cells[name][at[image]])
    return filled


def id_cells(image: str, answer: str, settings: SubmissionSettings) -> tuple[str, ...]:
    """The cells that name a row: one id of both, or the id and the answer."""
    if settings.long_column is not None:
        return image, answer
    return (str(settings.long_id).replace("{id}", image).replace("{answer}", answer),)
