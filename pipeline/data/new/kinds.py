"""Kinds of target by their cells: classes, values, several labels, ranked answers, masks, boxes.

Owns recognising a kind from the cells of a column, and the sentence that refuses one that cannot be
predicted. Does not own choosing the column (`data/new/label.py`).
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.tables import Table, number_in
from pipeline.data import texts
from pipeline.data.matrix_truth import listed
from pipeline.data.new import columns
from pipeline.data.new import texts as of_kinds
from pipeline.data.new.columns import decimal, numeric

SEPARATORS = ("|", ";", ",", " ")
MASK_NAMES, BOX_NAMES = ("encodedpixels", "rle"), ("predictionstring", "bbox", "boxes", "xmin")
# Names that classes may have, too: the cells must be numbers in a row.
MASK_WORDS = {"mask", "segmentation", "polygon", "pixels"}
CLASS_WORDS = ("label", "class", "category", "target", "species", "breed", "code", "digit", "character")
VALUE_WORDS = (
    *("age", "price", "weight", "height", "width", "length", "angle", "steering", "score", "count", "number"),
    *("amount", "area", "volume", "temperature", "speed", "distance", "rating", "popularity", "cost", "bmi"),
)
GRADE_WORDS = ("grade", "diagnosis", "level", "severity", "stage", "isup", "rating", "score", "quality", "kl")
MOST_GRADES = 11
# Cells of a column of numbers that say that a number is not known.
UNKNOWN_WORDS = {"nan", "na", "n/a", "#n/a", "null", "none", "nil", "nat", "<na>", "?", "-", "--", "unknown"}
# Answers about one image in long form.
MOST_PARTS = 50
HALF = 0.5
# Fields of JSON objects that say where something lies in the image.
BOX_FIELDS = {"bbox", "box", "boxes", "xmin", "x1", "x", "left"}
MASK_FIELDS = {"rle", "counts", "segmentation", "polygon", "points", "mask"}
# Numbers with a unit; other letters behind a number may be the name of a class.
UNIT = re.compile(
    r"(?P<number>[-+]?\d+(?:\.\d+)?)\s*(?P<unit>%|°C|°F|[munk]?g|kg|lbs?|oz|[mck]?m|inch(?:es)?|ft|px"
    r"|years?|yrs?|months?|days?|hours?|min|sec|[mc]?l|km/h|mph|usd|eur|kcal)",
    re.I,
)
THOUSANDS = tuple(re.compile(rf"[1-9]\d{{0,2}}(?:{sign}\d{{3}})+") for sign in (",", r"\."))
CURRENCY = re.compile(r"(?P<unit>[$€£¥₩])\s*(?P<number>\d+(?:\.\d+)?)")
BRACKETS = {"{": "}", "[": "]", "(": ")"}
SHOWN_FIELDS = 6
# Whole numbers from 0 or 1 of which at most this few are missing are rather classes.
DENSE = 1.1


def refuse(kind: str, where: str, found: str, remedy: str = "") -> NoReturn:
    """Raise the DataError of a target that cannot be predicted.

    Args:
        kind: one of `KINDS` in `data/new/texts.py`.
        where: the file and column.
        found: what shows the kind, e.g. two cells.
        remedy: what to do instead, if there is more to say than for all kinds.
    """
    raise DataError(
        of_kinds.NOT_YET.format(where=where, kind=of_kinds.KINDS[kind], found=found),
        remedy=remedy or texts.NOT_YET_REMEDY,
    )


def refuse_long(table: Table) -> None:
    """Refuse a table with several rows per image, whose ids end in what is asked, as in `ID_12_any`.

    Raises:
        DataError: it is one.
    """
    for at, column in enumerate(table.columns):
        if not len(table) or "_" not in table.rows[0][at]:
            continue
        parts = [tuple(cell.rpartition("_")[::2]) for cell in table.column(column)]
        names, ends = {p[0] for p in parts}, {p[1] for p in parts}
        if "" in names or len(set(parts)) < len(parts) or not 2 <= len(ends) <= MOST_PARTS:
            continue
        if len(names) * len(ends) == len(parts) and len(names) > 1:
            found = texts.CELL.format(cell=", ".join(table.column(column)[: len(ends)][:3]))
            refuse("long", _("{table}: column `{column}`").format(table=table.name, column=column), found)


def words_in(name: str) -> set[str]:
    """The lower-case words of a column's name: `hasCactus`, `has_cactus` and `has cactus` have the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return {word.lower() for word in re.split(r"[^0-9A-Za-z]+", spaced) if word}


def pixels_or_boxes(name: str, cells: set[str]) -> str:
    """The kind of a sample's answer column that asks for places in an image; empty if it does not."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    rows = [cell.strip("[]() ").replace(",", " ").split() for cell in cells]
    runs = bool(rows) and all(len(r) > 1 and all(number_in(v) is not None for v in r) for r in rows)
    if MASK_NAMES[0] in plain or MASK_NAMES[1] in words_in(name) or (words_in(name) & MASK_WORDS and runs):
        return "masks"
    return "boxes" if any(word in plain for word in BOX_NAMES) else ""


def known_numbers(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(cells, words) of a column of numbers in which some cells say that nothing is known, as `nan`.

    These cells are empty in the result. Of any other column: the cells as they are, and no word.
    """
    words_found = {c for c in cells if c and number_in(c) is None}
    if not words_found or not {w.strip().lower() for w in words_found} <= UNKNOWN_WORDS:
        return tuple(cells), ()
    known = tuple("" if c in words_found else c for c in cells)
    return (known, tuple(sorted(words_found))) if any(known) else (tuple(cells), ())


def certain_values(cells: Sequence[str], sample: set[str]) -> bool:
    """Whether numbers are surely values and not classes: decimals, or a sample with decimals beside many."""
    given = {c for c in cells if c}
    return decimal(given) or (numeric(given) and len(given) > 2 and decimal(sample))


def likely_values(name: str, cells: Sequence[str]) -> bool:
    """Whether whole numbers are rather values than classes: very many, with gaps, or called age or price."""
    distinct = {float(c) for c in cells if c} if numeric({c for c in cells if c}) else set()
    if len(distinct) <= columns.MANY_NUMBERS or _called_classes(name):
        return False
    dense = min(distinct) in (0, 1) and max(distinct) - min(distinct) + 1 <= len(distinct) * DENSE
    return bool(words_in(name) & set(VALUE_WORDS)) or not dense or rarely_repeated(name, cells)


def without_unit(cells: Sequence[str]) -> tuple[str, ...] | None:
    """The cells without the unit that all have, as in `12 kg`, `7%` or `$3.50`; None if they have none."""
    found = [UNIT.fullmatch(c) or CURRENCY.fullmatch(c) for c in cells if c]
    units = {f["unit"].lower() for f in found if f}
    if not found or not all(found) or len(units) > 1:
        return None
    return tuple(f["number"] for f in found if f)


def thousands(cells: Sequence[str]) -> str:
    """An example of numbers whose thousands are set off, as 1,250 beside 900 or 12,000; empty if none are."""
    for form in THOUSANDS:
        apart = sorted({c for c in cells if form.fullmatch(c)}, key=len)
        rest = {c for c in cells if c and not form.fullmatch(c)}
        short = any(len(re.split(r"[.,]", c)[0]) < 3 for c in apart)
        plain = all(c.isdecimal() and len(c) <= 3 for c in rest)
        # A point is that of a decimal, unless other cells lack it.
        if apart and short and plain and ("," in apart[0] or any(len(c) > 1 for c in rest)):
            return apart[0]
    return ""


def rarely_repeated(name: str, cells: Sequence[str]) -> bool:
    """Whether numbers hardly ever occur twice: then no user's word makes classes of them."""
    given = [c for c in cells if c]
    many = numeric(given) and len(set(given)) > columns.MANY_NUMBERS and not _called_classes(name)
    return many and len(set(given)) > len(given) / 2


def _called_classes(name: str) -> bool:
    return bool(words_in(name) & set(CLASS_WORDS)) or name.lower().endswith("id")


def structured(cells: Iterable[str]) -> tuple[str, str, list[str]] | None:
    """(kind, an example, its fields) of cells that are JSON or Python objects or lists; None if none is.

    A list of several, and `{cat,dog}`, are several labels; objects and lists of one are neither classes nor
    several labels.
    """
    found = {cell: value for cell in sorted({c for c in cells if c}) if (value := _parsed(cell)) is not None}
    if not found:
        return None
    objects = {c: v for c, v in found.items() if isinstance(v, dict) or _of_objects(v)}
    if objects:
        example = max(objects, key=len)
        parts = objects[example] if isinstance(objects[example], list) else [objects[example]]
        fields = list(dict.fromkeys(str(key) for part in parts for key in part))
        lower = {field.lower() for field in fields}
        kind = "boxes" if lower & BOX_FIELDS else "masks" if lower & MASK_FIELDS else "structured"
        if kind == "structured" and any(isinstance(v, list) and len(v) > 1 for v in objects.values()):
            kind = "several"
        return kind, example, fields[:SHOWN_FIELDS]
    example = max(found, key=lambda cell: (len(found[cell]), len(cell)))
    return "several" if len(found[example]) > 1 else "structured", example, []


def _of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


def _parsed(cell: str) -> Any:
    """The object or list that a cell writes, as JSON, as Python, or as words in brackets; None for a text."""
    if BRACKETS.get(cell[:1]) != cell[-1:]:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
        return list(value) if isinstance(value, list | tuple | set | frozenset) else None
    # Words without quotes: `[scab rust]`, `{cat,dog}`; `(unknown)` is a plain name.
    inner = cell[1:-1]
    return None if cell[0] == "(" else [p for p in re.split(r"[,;|]", inner) if p.strip()]


def several_in_a_cell(cells: Sequence[str]) -> tuple[str, str] | None:
    """(an example, its separator) if cells hold several labels each, as in `scab rust`; None for plain names.

    Class names have spaces and commas, too. Labels that may hold together show up alone and in several
    combinations; the words of names do not.
    """
    distinct = sorted({c for c in cells if c})
    for separator in SEPARATORS:
        parts = {c: [p.strip() for p in c.split(separator) if p.strip()] for c in distinct}
        several = [c for c in distinct if len(parts[c]) > 1]
        if not several:
            continue
        if all(number_in(p) is not None for c in distinct for p in parts[c]):
            return max(several, key=len), separator
        uses = Counter(p for c in distinct for p in set(parts[c]))
        recurring = [c for c in several if all(uses[p] > 1 for p in parts[c])]
        alone = [c for c in distinct if len(parts[c]) == 1]
        if not alone and len(recurring) == len(several) and _in_any_place(parts.values()):
            return several[0], separator
        shared = [c for c in alone if uses[c] > 1]
        counts = {len(parts[c]) for c in distinct}
        enough = len(shared) >= HALF * len(alone) if alone else len(counts) > 1
        enough = enough or (len(shared) > 1 and len(recurring) == len(several) > 1)
        if len(recurring) >= HALF * len(several) and enough:
            return max(several, key=len), separator
    return None


def several_words(cells: Sequence[str]) -> tuple[str, str] | None:
    """As `several_in_a_cell`, also of cells that are lists, as `['scab', 'rust']`."""
    held = structured(cells)
    if held is None or held[0] != "several":
        return None if held is not None else several_in_a_cell(cells)
    parts = [listed(cell) for cell in cells if cell]
    if any(part is None for part in parts):
        return None
    blanks = any(" " in word for part in parts for word in part or ())
    return held[1], "," if blanks else " "


def several_by_sample(sample: set[str], cells: Sequence[str]) -> tuple[str, str] | None:
    """As `several_in_a_cell`, where the sample's answers combine words of cells as no cell does."""
    given = {c for c in cells if c}
    for separator in SEPARATORS:
        known = {p.strip() for c in given for p in c.split(separator)}
        several = [c for c in given if separator in c]
        new = [c for c in sample - given if separator in c]
        asked = [c for c in new if {p.strip() for p in c.split(separator)} <= known]
        if several and asked and len(asked) == len(sample - given):
            return max(several, key=len), separator
    return None


def _in_any_place(parts: Iterable[Sequence[str]]) -> bool:
    """Whether most parts occur at several places, unlike the genus and the species of a name."""
    places: dict[str, set[int]] = {}
    for row in parts:
        for at, part in enumerate(row):
            places.setdefault(part, set()).add(at)
    return sum(len(at) > 1 for at in places.values()) >= HALF * len(places)


def several_answers(cells: set[str], known: Sequence[str]) -> tuple[str, str]:
    """(kind, example) of sample cells with more than one answer; two empty texts if they have one each."""
    if set(cells) <= set(known):
        return "", ""
    for separator in (" ", "|", ";", ","):
        split = {c: c.split(separator) for c in sorted(cells) if separator in c.strip(separator)}
        if not split:
            continue
        example = max(split, key=len)
        if any(separator in value for value in known):
            words = {word for value in known for word in value.split(separator)}
            if sum(p in words for p in split[example]) > HALF * len(split[example]):
                return "several", example
            continue
        if all(len(p) == 2 and (_share(p[1]) or _word_and_number(p)) for p in split.values()):
            return "confidence", example
        some_known = any(p in known for parts in split.values() for p in parts)
        numbers = all(number_in(p) is not None for parts in split.values() for p in parts)
        if some_known or (len(split) == len(cells) and (numbers or len(split[example]) > 2)):
            repeated = len({len(p) for p in split.values()}) == 1 and len(split) == len(cells)
            return ("ranked" if repeated else "several"), example
    return "", ""


def _word_and_number(parts: Sequence[str]) -> bool:
    return number_in(parts[0]) is None and number_in(parts[1]) is not None


def _share(text: str) -> bool:
    value = number_in(text)
    return value is not None and 0 <= value <= 1 and "." in text


def grades(name: str, values: Sequence[str]) -> bool:
    """Whether classes are ordered grades: 0, 1, 2, … in a column that is called grade, level or the like."""
    numbers = [number_in(v) for v in values]
    low = numbers[0] if numbers else None
    in_a_row = low in (0, 1) and numbers == [low + n for n in range(len(numbers)) if low is not None]
    return in_a_row and 3 <= len(values) <= MOST_GRADES and bool(words_in(name) & set(GRADE_WORDS))
