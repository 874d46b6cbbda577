"""The host's words for the classes: the same values in other letters, numbers or columns.

Owns ways of writing that keep the meaning. Does not own what is done where none fits (`data/new/form.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product

from pipeline.core.language import _
from pipeline.core.tables import number_in
from pipeline.data.new.columns import decimal
from pipeline.data.paths import nfc

# The class that is meant by one probability is the other one.
NEGATIVE = frozenset(
    (
        "0",
        "no",
        "false",
        "negative",
        "neg",
        "normal",
        "benign",
        "healthy",
        "none",
        "background",
        "absent",
        "-1",
    )
)
DENIALS = re.compile(r"(?:no|non|not|without)[\s_-]+\w")


def some(values: Sequence[str], shown: int = 6) -> str:
    """The first values, and how many there are where some are left out."""
    return ", ".join(values[:shown]) + (
        _(", … ({n} in all)").format(n=len(values)) if len(values) > shown else ""
    )


def products(values: Sequence[Sequence[str]], between: str, most: int) -> set[str]:
    """Every combination of values as one text; empty if there are more than `most`."""
    count = 1
    for some_values in values:
        count *= len(some_values)
    return {between.join(row) for row in product(*values)} if count <= most else set()


def as_in(values: Sequence[str], cells: set[str]) -> list[str] | None:
    """The values as the sample writes them: the same, or other numbers, letters or spaces; None if none fits.

    Every cell of the sample must be one of them, and they stay different.
    """
    for write in (*_WAYS, *(_padded(len(c)) for c in sorted(cells)[:1])):
        written = [write(v) for v in values]
        if len(set(written)) == len(values) and cells <= set(written):
            return written
    return None


def _whole(value: str) -> str:
    found = number_in(value)
    return str(int(found)) if found is not None and found.is_integer() else value


def _float(value: str) -> str:
    return str(float(value)) if number_in(value) is not None else value


def _padded(width: int) -> Callable[[str], str]:
    return lambda value: _whole(value).zfill(width) if number_in(value) is not None else value


_WAYS: tuple[Callable[[str], str], ...] = (
    str,
    _whole,
    _float,
    str.lower,
    str.upper,
    str.title,
    str.capitalize,
    lambda v: v.replace(" ", "_"),
    lambda v: v.replace("_", " "),
    lambda v: v.replace(" ", "_").lower(),
)


def columns_for(values: Sequence[str], answers: Sequence[str]) -> dict[str, str] | None:
    """Value → column, if every value is one of the columns: by its name, or without what all names share.

    `class_0`, `class_1` are the columns of 0 and 1. More columns than values may be left over.
    """
    exact = {nfc(a): a for a in answers}
    if set(values) <= exact.keys():
        return {v: exact[v] for v in values}
    for keys in (_plain(answers), _plain(_without_shared(answers))):
        at = dict(zip(keys, answers, strict=True))
        for own in (_plain(values), _plain(_without_shared(values))):
            if len(at) == len(answers) and len(set(own)) == len(values) and set(own) <= at.keys():
                return {v: at[k] for v, k in zip(values, own, strict=True)}
    return None


def named_columns(free: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    """Answer → column of the same name, whatever its letters, spaces and hyphens."""
    folded: dict[str, str | None] = {}
    for key, column in zip(_plain(free), free, strict=True):
        # Two columns that differ in letters only are no column of the other name.
        folded[key] = None if key in folded else column
    exact = {nfc(c): c for c in free}
    found = {a: exact.get(nfc(a), folded.get(key)) for a, key in zip(answers, _plain(answers), strict=True)}
    return {a: c for a, c in found.items() if c is not None}


def levels_for(
    values: Mapping[str, Sequence[str]], answers: Sequence[str]
) -> dict[str, tuple[str, str]] | None:
    """Answer → (column, value) if every answer joins the name of a column and one of its values.

    Args:
        values: of each column that may be meant.
        answers: the sample's columns, as in `left_severe`; all values of a column must be there.
    """
    pairs = {
        f"{name} {value}": (column, own)
        for column, known in values.items()
        for name in _plain([column])
        for own, value in zip(known, plain_words(known), strict=True)
    }
    found = {a: pairs.get(key) for a, key in zip(answers, plain_words(answers), strict=True)}
    if any(pair is None for pair in found.values()):
        return None
    pairs_found = {a: pair for a, pair in found.items() if pair is not None}
    counted = Counter(column for column, _ in pairs_found.values())
    whole = all(len(values[column]) == n for column, n in counted.items())
    return pairs_found if whole and len(set(pairs_found.values())) == len(answers) else None


def plain_words(names: Sequence[str]) -> list[str]:
    """Names without letter case and signs between words: a host writes `normal_mild` for `Normal/Mild`."""
    return _plain([re.sub(r"\s*[/·]\s*", " ", name) for name in names])


def _plain(names: Sequence[str]) -> list[str]:
    return [re.sub(r"[\s_-]+", " ", _whole(nfc(n))).strip().casefold() for n in names]


def _without_shared(names: Sequence[str]) -> list[str]:
    """The names without the beginning and the end that all of them share; numbers stay whole."""
    front = re.sub(r"\d+$", "", _shared(names))
    back = re.sub(r"^\d+", "", _shared([n[::-1] for n in names])[::-1])
    cut = [n[len(front) : len(n) - len(back)] for n in names]
    return cut if all(cut) else list(names)


def _shared(names: Sequence[str]) -> str:
    """The beginning that all names share."""
    low, high = min(names), max(names)
    at = next(
        (n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high))
    )
    return low[:at]


def positive(values: Sequence[str], column: str) -> str | None:
    """The class of two that one probability means: the one that the column names, or that is not `no`."""
    told = set(re.split(r"[^0-9a-z]+", column.casefold()))
    named = [v for v in values if v.casefold() in told and number_in(v) is None]
    if len(named) == 1:
        return named[0]
    denied = [v for v in values if denies(v)]
    return next(v for v in values if v != denied[0]) if len(denied) == 1 else None


def denies(value: str) -> bool:
    """Whether a class says that nothing was found, as `0`, `normal` and `no finding`."""
    word = _whole(value).casefold()
    return word in NEGATIVE or DENIALS.match(word) is not None


def which_of(
    upper: Sequence[str], lower: Sequence[str], answers: Sequence[str], cells: set[str]
) -> int | None:
    """0 or 1, which of two lists of values a sample asks for; None: it does not say.

    Args:
        upper: the values of the first list.
        lower: the values of the second list.
        answers: the sample's answer columns.
        cells: the sample's answers, if there is one column.
    """
    for at, values in enumerate((upper, lower)):
        if len(answers) > 1 and columns_for(values, answers):
            return at
        if cells and as_in(values, cells):
            return at
    numbers = [number_in(cell) for cell in cells]
    shares = bool(numbers) and all(n is not None and 0 <= n <= 1 for n in numbers)
    # One probability is of two classes.
    pair = [len(values) == 2 for values in (upper, lower)]
    return pair.index(True) if shares and sum(pair) == 1 and decimal(cells) else None
