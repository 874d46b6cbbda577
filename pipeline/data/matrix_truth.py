"""From raw values to the truth of labels, values and shares: a number a column, NaN where it is unknown.

Owns what a cell means for each kind of target, and the faults of cells. Does not own exclusive classes
(`data/labels.py`) or the columns themselves (`core/samples.py`: `LabelSpace`).

- labels: an attribute of two values holds (1) where the cell is its second one; one of several levels has a 1
  at its level; an attribute with a `word` holds where the word is among those of the cell. An empty cell of
  an attribute with values is unknown, unless it is one of them, and so is one of `unknown_labels`; no word in
  a cell says that none holds.
- values: the number in the cell; an empty cell is unknown.
- shares: the numbers of the columns, divided by their sum.

Legend: N rows, A attributes, K columns of the truth.
"""

from __future__ import annotations

import ast
import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from pipeline.core.errors import Suggestions
from pipeline.core.language import _
from pipeline.core.samples import Floats
from pipeline.core.tables import number_in
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.layouts import Listing
from pipeline.data.paths import Faults, nfc
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

SHOWN_VALUES = 6
# What encloses a list of labels.
BRACKETS = {"[": "]", "{": "}"}


def cells(listing: Listing, settings: CompetitionSettings) -> list[list[str]]:
    """(A, N) the raw value of each attribute in each row: "0" or "1" for an attribute with a word.

    With target=shares there is one attribute, and its raw values are read by `truth` from their columns.
    """
    if settings.target == "shares":
        return [[""] * len(listing.ids)]
    raw = []
    words_of: dict[str, list[frozenset[str]]] = {}
    for attribute in settings.attributes:
        column = listing.table.column(attribute.column)
        if attribute.word is None:
            unknown = {nfc(value) for value in settings.unknown_labels}
            written = (nfc(value).strip() for value in column)
            raw.append(["" if value in unknown else value for value in written])
            continue
        if attribute.column not in words_of:
            words_of[attribute.column] = [words(value, settings.label_separator) for value in column]
        wanted = nfc(attribute.word)
        raw.append(["1" if wanted in row else "0" for row in words_of[attribute.column]])
    return raw


def listed(cell: str) -> list[str] | None:
    """The words of a cell that is a list, as `['a', 'b']`, or of words in braces; None for any other."""
    if BRACKETS.get(cell[:1]) != cell[-1:]:
        return None
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return [part.strip() for part in cell[1:-1].split(",")]
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    parts = list(value)
    return [str(part) for part in parts] if all(isinstance(p, str | int) for p in parts) else None


def words(cell: str, separator: str) -> frozenset[str]:
    """The words of a cell; blank ones, as after a last separator, are none. A cell may also be a list."""
    if (inside := listed(cell)) is not None:
        return frozenset(nfc(part).strip() for part in inside if part.strip())
    parts = cell.split() if separator == " " else cell.split(separator)
    return frozenset(nfc(part).strip() for part in parts if part.strip())


def truth(
    raw_AN: Sequence[Sequence[str]], listing: Listing, settings: CompetitionSettings, faults: Faults
) -> Floats:
    """(N, K) the truth of every row; every cell that has a fault is added to `faults`, and is unknown.

    So is a truth of which nothing is known.
    """
    if settings.target == "shares":
        return _shares(listing, settings.attributes[0], faults)
    if settings.target == "labels":
        _unknown_words(listing, settings, faults)
    blocks = [
        _number_column(attribute, values, listing, faults)
        if settings.target == "values"
        else _label_columns(attribute, values, listing, faults)
        for attribute, values in zip(settings.attributes, raw_AN, strict=True)
    ]
    y_NK = np.asarray(np.concatenate(blocks, axis=1), dtype=np.float32)
    if len(y_NK) and not faults and np.isnan(y_NK).all():
        names = ", ".join(a.name for a in settings.attributes[:SHOWN_VALUES])
        faults.add("unknown labels", f"{listing.table.name}: {texts.NEVER_KNOWN.format(names=names)}")
    return y_NK


def notes(table: str, y_NK: Floats, settings: CompetitionSettings) -> list[str]:
    """One line if some of the truth is unknown, and one about labels that hold wherever they are known."""
    unknown_NK = np.isnan(y_NK)
    if not unknown_NK.any():
        return []
    cells_unknown, rows = int(unknown_NK.sum()), int(unknown_NK.any(axis=1).sum())
    found = [worded(texts.UNKNOWN_TRUTH, table=table, cells=cells_unknown, rows=rows)]
    space_widths = [max(len(a.values), 2) if settings.target == "labels" else 0 for a in settings.attributes]
    always, start = [], 0
    for attribute, width in zip(settings.attributes, space_widths, strict=True):
        known_N = ~unknown_NK[:, start]
        if width == 2 and 0 < known_N.sum() < len(known_N) and (y_NK[known_N, start] == 1).all():
            always.append(attribute.name)
        start += width if width > 2 else 1
    shown = ", ".join(always[:SHOWN_VALUES]) + (", …" if len(always) > SHOWN_VALUES else "")
    return [*found, *([texts.ALWAYS_HOLD.format(table=table, labels=shown)] if always else [])]


def _number_column(
    attribute: AttributeSettings, values: Sequence[str], listing: Listing, faults: Faults
) -> Floats:
    column = np.full((len(values), 1), np.nan, np.float32)
    for row, text in enumerate(values):
        if not text:
            continue
        value = number_in(text)
        if value is None:
            where = listing.where(row)
            faults.add(
                "unknown labels",
                _("{where}: {attribute}: '{text}' is not a number").format(
                    where=where, attribute=attribute.name, text=text
                ),
            )
        else:
            column[row] = value
    return column


def _label_columns(
    attribute: AttributeSettings, values: Sequence[str], listing: Listing, faults: Faults
) -> Floats:
    """(N, 1) of two values, or (N, levels)."""
    known = [nfc(v) for v in attribute.values] or ["0", "1"]
    index, near = {value: code for code, value in enumerate(known)}, Suggestions(known, 1)
    codes: list[float] = []
    for row, text in enumerate(values):
        # An empty cell is unknown, unless it is one of the values.
        code: float = index.get("", math.nan)
        if text and attribute.bins is not None:
            number = number_in(text)
            code = math.nan if number is None else bisect_right(attribute.bins, number)
        elif text:
            code = index.get(text, _same_number(text, index))
        if text and math.isnan(code):
            shown = ", ".join(known[:SHOWN_VALUES])
            hint = near.of(text)
            told = _("label '{text}' is not one of {shown}").format(text=text, shown=shown) + (
                _("; {hint}").format(hint=hint) if hint else ""
            )
            faults.add("unknown labels", f"{listing.where(row)}: {attribute.name}: {told}")
        codes.append(code)
    code_N = np.array(codes, dtype=np.float32)
    if len(known) == 2:
        return np.asarray(code_N[:, None], dtype=np.float32)
    columns = (code_N[:, None] == np.arange(len(known))).astype(np.float32)
    columns[np.isnan(code_N)] = np.nan
    return np.asarray(columns, dtype=np.float32)


def _same_number(text: str, index: dict[str, int]) -> float:
    """The code of a value that is written as another form of the same number, as 1.0 for 1; NaN for none."""
    value = number_in(text)
    if value is None:
        return math.nan
    return next((code for known, code in index.items() if number_in(known) == value), math.nan)


def _unknown_words(listing: Listing, settings: CompetitionSettings, faults: Faults) -> None:
    """Every word of the cells is a label, so that a misspelt one is not read as absent."""
    of_column: dict[str, set[str]] = {}
    for attribute in settings.attributes:
        if attribute.word is not None:
            of_column.setdefault(attribute.column, set()).add(nfc(attribute.word))
    ignored = {nfc(word) for word in settings.no_labels}
    for column, known in of_column.items():
        near = Suggestions(sorted(known), 1)
        for row, value in enumerate(listing.table.column(column)):
            for word in sorted(words(value, settings.label_separator) - known - ignored):
                hint = near.of(word) or texts.UNKNOWN_WORD
                faults.add(
                    "unknown labels",
                    _("{where}: {column}: `{word}` is no label; {hint}").format(
                        where=listing.where(row), column=column, word=word, hint=hint
                    ),
                )


def _shares(listing: Listing, attribute: AttributeSettings, faults: Faults) -> Floats:
    """(N, C) shares from columns of numbers ≥ 0, of any sum above 0."""
    y_NC = np.zeros((len(listing.ids), len(attribute.values)), np.float64)
    columns = [listing.table.column(name) for name in attribute.values]
    for row in range(len(listing.ids)):
        for place, column in enumerate(columns):
            value = number_in(column[row])
            if value is None or value < 0:
                where, name = listing.where(row), attribute.values[place]
                faults.add(
                    "unknown labels",
                    _("{where}: {name}: '{column}' is not a number from 0 up").format(
                        where=where, name=name, column=column[row]
                    ),
                )
            else:
                y_NC[row, place] = value
        if not y_NC[row].sum() > 0:
            faults.add(
                "unknown labels",
                _("{where}: the shares of the row are all 0").format(where=listing.where(row)),
            )
            y_NC[row] = 1
    return np.asarray(y_NC / y_NC.sum(axis=1, keepdims=True), dtype=np.float32)
