"""Ids of a submission against those that the host asks for.

Owns telling which are missing, extra or twice, and finding again what a spreadsheet made of an id.
Does not own reading files (`submission.py`).

A spreadsheet, or a reader that guesses types, takes `007` for the number 7, and writes `7`, `7.0` or
`7E+00`. Such an id is found again only where it can mean one id of the sample and no other row does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

SHOWN = 20
NUMBER = re.compile(r"\d{1,40}(?:[.,]\d{1,40})?(?:[eE]\+?\d{1,2})?")
SHORTENED = re.compile(r"\d[.,]\d+[eE]\+?\d+")


def some(ids: Sequence[str]) -> str:
    """At most 20 ids, and how many more there are."""
    more = f" … and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(repr(i) for i in ids[:SHOWN]) + more


def faults(wanted: Sequence[str], given: Sequence[str]) -> list[str]:
    """What is wrong with the given ids, one line a kind: missing, extra, given more than once."""
    asked, had = set(wanted), set(given)
    counts = Counter(given)
    missing = [i for i in dict.fromkeys(wanted) if i not in had]
    extra = [i for i in counts if i not in asked]
    twice = [i for i, times in counts.items() if times > 1]
    found = [
        f"{_count(ids)} {what}: {some(ids)}"
        for what, ids in (
            ("missing", missing),
            ("extra, not in the sample", extra),
            ("more than once", twice),
        )
        if ids
    ]
    short = [i for i in extra if SHORTENED.fullmatch(i)]
    if short and missing:
        found.append(
            f"{_count(short)} shortened by a spreadsheet, digits are lost ({some(short[:3])}): export again, "
            "with the id column as text"
        )
    return found


def found_again(wanted: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Given id → the sample's, for ids that were read as numbers; only where there is one reading."""
    asked, had = set(wanted), set(given)
    # An id that the file has as it is stays out: the other one can't mean it as well.
    free = _by_number(i for i in dict.fromkeys(wanted) if i not in had)
    odd = _by_number(i for i in dict.fromkeys(given) if i not in asked)
    return {
        ids[0]: free[value][0]
        for value, ids in odd.items()
        if len(ids) == 1 and len(free.get(value, ())) == 1
    }


def told(renamed: dict[str, str]) -> str:
    """One line on ids that were read as numbers."""
    pairs = [f"{old!r} is {new!r}" for old, new in list(renamed.items())[:3]]
    more = " …" if len(renamed) > len(pairs) else ""
    return f"{_count(renamed)} read as numbers, leading zeros lost: {', '.join(pairs)}{more}"


def _by_number(ids: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for i in ids:
        if NUMBER.fullmatch(i):
            value = Decimal(i.replace(",", "."))
            if value == value.to_integral_value():
                found.setdefault(int(value), []).append(i)
    return found


def _count(ids: Sequence[str] | dict[str, str]) -> str:
    return f"{len(ids)} id{'' if len(ids) == 1 else 's'}"
