"""Tables for a terminal, whose columns stay below each other in every language.

Owns their layout. Does not own what is in them, nor tables of pages (`pages/templates/parts.html`).

A column is as wide as its widest cell in any language that there is, so one line fits every reader.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from pipeline.core.columns import width
from pipeline.core.language import Text, joined, languages, say

GAP = "  "


def lines(rows: Sequence[Sequence[str]], left: Collection[int] = (0,), indent: str = "") -> list[str]:
    """A line for each row, in which a cell that is a text is said in the language of the reader.

    Args:
        rows: of equally many cells, the head first.
        left: numbers of the columns that begin at the left; the others end at the right.
        indent: in front of each line.
    """
    told = languages()
    columns = zip(*rows, strict=True)
    wide = [max(width(say(cell, one)) for cell in column for one in told) for column in columns]
    return [joined("", (indent, row(cells, wide, left))) for cells in rows]


def row(cells: Sequence[str], wide: Sequence[int], left: Collection[int] = (0,)) -> str:
    """One line; `wide` are the columns of each cell, the other arguments as for `lines`."""
    sides = ("<" if n in left else ">" for n in range(len(cells)))
    forms = (Text(f"{{cell:{side}{columns}}}") for side, columns in zip(sides, wide, strict=True))
    return joined(GAP, (form.format(cell=cell) for form, cell in zip(forms, cells, strict=True)))


def of_frame(frame: pd.DataFrame, left: Collection[int] = (), words: Collection[str] = ()) -> list[str]:
    """The lines of a frame whose column names are words of ours, where a language has them.

    Args:
        frame: as it is shown.
        left: as for `lines`.
        words: cells that are words of ours, too.
    """
    columns: list[list[str]] = []
    for at, name in enumerate(frame.columns):
        shown = frame.iloc[:, [at]].to_string(index=False, header=False)
        cells = [cell.strip() for cell in shown.splitlines()]
        columns.append([Text(str(name)), *(Text(cell) if cell in words else cell for cell in cells)])
    return lines(list(zip(*columns, strict=True)), left)
