"""The meaning of each column: guesses about a table without a description.

Owns guesses about ids, images and labels. Does not own groups (`data/new/groups.py`) nor combining the
guesses (`data/new/propose.py`).

Every function also returns the reason for its guess, which `make new` prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.seeds import some_of
from pipeline.core.tables import Table, number_in
from pipeline.data import texts
from pipeline.data.new.folders import TRAIN, split_of
from pipeline.data.paths import Index, Locator, hidden, image_suffix, nfc

ID_NAMES = ("id", "image_id", "imageid", "img_id", "image", "img", "file_name", "filename", "file", "name")
PATH_NAMES = ("path", "file_name", "filename", "file", "image_path", "img_path", "image", "img", "image_name")
LABEL_NAMES = (
    *("label", "labels", "class", "target", "category", "answer", "ans", "y", "class_name", "classname"),
    *("label_name", "category_name", "class_id", "label_id", "category_id", "target_id"),
    *("dx", "diagnosis", "species", "breed", "emotion"),
)
SPLIT_WORDS = {"train": ("train",), "test": ("test", "eval")}
# Words of ordered grades: kappa and heads of ordered attributes take the classes in their order.
SCALES = (
    ("none", "absent", "normal", "minimal", "mild", "moderate", "severe", "extreme"),
    ("very low", "low", "medium", "moderate", "high", "very high"),
    ("tiny", "small", "medium", "large", "huge"),
    ("very poor", "poor", "fair", "average", "good", "very good", "excellent"),
)
FEWEST_GRADES = 3
LOOKED_UP = 40
# Of a table with more columns, those of repeated numbers are no names.
MANY_COLUMNS = 200
SHOWN_COLUMNS, SHOWN_CELL, SHOWN_PLACES = 20, 60, 3
MOST_CLASSES = 1000
MANY_NUMBERS = 20
MOST_FOLDERS = 60
FOUND_ENOUGH = 0.9


@dataclass(frozen=True)
class Place:
    """The place of a table's images: the column that names them, their folder, and the share found."""

    column: str
    folder: Path
    found: float


def place(table: Table, folders: Iterable[Path], without: Path | None = None) -> Place | None:
    """The column and folder under which most of some forty rows' images are found; None below 90 %.

    First where the cells say; only if not all are there, also in the folders below and without the folders in
    front of the cells.

    Args:
        table: any table.
        folders: where the images may be, most likely first.
        without: the images of the other split, which are not searched.
    """
    indexes = {folder: Index(folder, without) for folder in folders}
    some = some_of(len(table), LOOKED_UP)
    candidates = _candidates(table, some)
    repeated = {column: _repeated(table, column) for column in candidates}
    best: tuple[tuple[float, ...], Place] | None = None
    for searched in (False, True):
        for far, (folder, index) in enumerate(indexes.items()):
            if searched and _is_train(folder, without):
                continue
            for at, column in enumerate(candidates):
                if _twice(repeated[column], folder, indexes):
                    continue
                # All rows are looked up only where those few are found: there are many columns and folders.
                shown = some if searched else None
                if _share(table, column, folder, index, shown, some) == 0:
                    continue
                share = _share(table, column, folder, index, shown, range(len(table)))
                if share == 0:
                    continue
                rank = (share, *_likely(table, column, -far, some), -at)
                if best is None or rank > best[0]:
                    best = rank, Place(column, folder, share)
            if best is not None and best[0][:2] == (1, 1):
                return best[1]
    return best[1] if best else None


def as_written(table: Table, place: Place, above: Path) -> Place:
    """The place whose folder is `above`, if the paths of the table hold the image folder's own name.

    Tables with `IMG/1.jpg` name the images below the folder that holds IMG. Found there they need no search,
    and columns of other paths lead there, too.
    """
    cells = [nfc(table.column(place.column)[row]) for row in some_of(len(table), LOOKED_UP)]
    if not place.folder.is_dir() or any((place.folder / cell).is_file() for cell in cells if cell):
        return place
    return replace(place, folder=above) if all((above / cell).is_file() for cell in cells) else place


def _is_train(folder: Path, train: Path | None) -> bool:
    """Whether a folder is in the training folder, by its name: a test image must not be searched in it."""
    if train is None or split_of(train.name) != TRAIN:
        return False
    return folder.resolve().is_relative_to(train.resolve())


def _repeated(table: Table, column: str) -> list[str]:
    """Some of the names that several rows have."""
    return [v for v, rows in Counter(table.column(column)).items() if rows > 1][:LOOKED_UP]


def _twice(repeated: Sequence[str], folder: Path, indexes: dict[Path, Index]) -> bool:
    """Whether a name that several rows have is also in another folder: they would all get one image."""
    if not repeated or Locator(folder, (), indexes[folder]).find_directly(repeated[0])[0]:
        return False
    above = [top for top in indexes if folder != top and folder.is_relative_to(top)]
    return any(
        Locator(top, (), indexes[top]).find(value)[0] == "ambiguous images"
        for top in above
        for value in repeated
    )


def _likely(table: Table, column: str, near: int, some: Sequence[int]) -> tuple[float, ...]:
    """How likely a column that leads to images names them."""
    written = _tried(table, column, some)
    exact = sum(bool(image_suffix(value)) for value in written) / len(written)
    unique = len(set(table.column(column))) == len(table)
    return float(unique), near, float(column.lower() in PATH_NAMES), exact


def _tried(table: Table, column: str, some: Sequence[int]) -> tuple[str, ...]:
    at = table.at[column]
    return tuple(table.rows[row][at] for row in some)


def _candidates(table: Table, some: Sequence[int]) -> list[str]:
    """The columns that could name images; of very many ones, not those of numbers that repeat."""
    if len(table.columns) <= MANY_COLUMNS:
        return list(table.columns)
    cells = {c: _tried(table, c, some) for c in table.columns}
    return [c for c, few in cells.items() if len(set(few)) == len(few) or not _numbers(few)]


def _numbers(cells: Sequence[str]) -> bool:
    return all(value.replace(".", "", 1).lstrip("-").isdigit() for value in cells)


def _share(
    table: Table, column: str, folder: Path, index: Index, some: Sequence[int] | None, rows: Sequence[int]
) -> float:
    """The share of these rows whose image is found; 0 as soon as it is too low.

    `some` are the rows whose names show what stands in front of them, None where nothing is searched.
    """
    searched = some is not None
    locator = Locator(folder, _tried(table, column, some) if some is not None else (), index)
    missed, at = 0, table.at[column]
    for row in rows:
        cells = table.rows[row]
        written = cells[at]
        missed += bool((locator.find(written, cells) if searched else locator.find_directly(written))[0])
        if missed > (1 - FOUND_ENOUGH) * len(rows):
            return 0.0
    return 1 - missed / len(rows)


def misses(table: Table, folders: Iterable[Path], without: Path | None = None) -> list[str]:
    """One line per column: how many of some forty rows lead to images, and one that does not."""
    indexes = {folder: Index(folder, without) for folder in folders}
    tried = some_of(len(table), LOOKED_UP)
    lines = []
    candidates = _candidates(table, tried)[:SHOWN_COLUMNS]
    repeated = {column: _repeated(table, column) for column in candidates}
    for column in candidates:
        best: tuple[list[str], Path, list[str]] | None = None
        for folder, index in indexes.items():
            if _is_train(folder, without) or _twice(repeated[column], folder, indexes):
                continue
            locator = Locator(folder, _tried(table, column, tried), index)
            cells = [(table.rows[n][table.at[column]], table.rows[n]) for n in tried]
            kinds = {written: locator.find(written, row)[0] for written, row in cells}
            lost = [written for written, _ in cells if kinds[written]]
            twice = next((w for w in lost if kinds[w] == "ambiguous images"), None)
            if best is None or len(lost) < len(best[0]):
                if twice is not None:
                    locator.find(twice)
                best = lost, folder, [twice, *locator.matches] if twice is not None else []
        written = _tried(table, column, tried)
        near = next((n for index in indexes.values() if (n := within_names(written, index.below))), None)
        if near and (best is None or len(best[0]) == len(tried)):
            lines.append(texts.MISS_NEAR.format(column=column, cell=near[0][:SHOWN_CELL], image=near[1]))
        else:
            lines.append(_miss(column, len(tried), best, table.rows[0][table.at[column]]))
    return lines


def within_names(cells: Sequence[str], stems: Collection[str]) -> tuple[str, str] | None:
    """(a cell, its image) if every cell is in an image's name, with the same text or zeros around it."""
    longest = max(cells, key=len, default="")
    if len(set(cells)) < 2 or not longest:
        return None
    for stem in stems:
        forms = [(longest, 0)] if longest in stem else []
        if longest.isdecimal():
            runs = [run for run in re.findall(r"\d+", stem) if run.lstrip("0") == longest.lstrip("0")]
            forms += [(run, len(run)) for run in runs]
        for form, width in forms:
            front, _, back = stem.partition(form)
            if all(f"{front}{cell.zfill(width)}{back}" in stems for cell in cells):
                return longest, stem
    return None


def _miss(column: str, tried: int, best: tuple[list[str], Path, list[str]] | None, first: str) -> str:
    if best is None or not best[0] or (len(best[0]) == tried and not best[2]):
        return texts.MISS_ALL.format(column=column, first=first[:SHOWN_CELL])
    lost, folder, twice = best
    text = texts.MISS_SOME.format(
        column=column, found=tried - len(lost), tried=tried, folder=folder, lost=lost[0][:SHOWN_CELL]
    )
    if twice:
        text += texts.MISS_TWICE.format(name=twice[0], places=", ".join(twice[1 : SHOWN_PLACES + 1]))
    return text


def folders_near(*starts: Path, split: str) -> list[Path]:
    """These folders and those up to two levels below; folders named after the split come first.

    Many hosts use the same file names in both splits: a test table must not find the training images. Folders
    that are named after the other split come last.
    """
    folders: list[Path] = [p for p in starts if p.is_dir()]
    for _ in range(2):
        below = [c for p in folders for c in sorted(p.iterdir()) if c.is_dir() and not hidden(c.name)]
        folders = list(dict.fromkeys([*folders, *below]))[:MOST_FOLDERS]
    other = "test" if split == "train" else "train"

    def rank(folder: Path) -> tuple[bool, bool]:
        named = {s: any(word in folder.name.lower() for word in SPLIT_WORDS[s]) for s in (split, other)}
        return named[other] and not named[split], not named[split]

    return sorted(folders, key=rank)


def id_column(table: Table, path_column: str, preferred: str | None) -> tuple[str, str] | None:
    """(column, reason) of the id column; None if no column is unique."""
    unique = [c for c in table.columns if len(set(table.column(c))) == len(table) and all(table.column(c))]
    unique_text = texts.UNIQUE.format(rows=len(table))
    if preferred is not None and preferred in table.columns and preferred not in unique:
        value, times = Counter(table.column(preferred)).most_common(1)[0]
        unique_text += texts.NOT_UNIQUE.format(column=preferred, value=value, times=times)
    if preferred in unique:
        assert preferred is not None, "None is no column"
        return preferred, texts.SAMPLE_ID.format(unique=unique_text)
    named = [c for name in ID_NAMES for c in unique if c.lower() == name]
    if named:
        return named[0], texts.BY_NAME_TOO.format(text=unique_text)
    if path_column in unique:
        return path_column, texts.IMAGE_NAMES.format(unique=unique_text)
    return (unique[0], unique_text) if unique else None


def numeric(cells: Sequence[str] | set[str]) -> bool:
    """Whether there are cells, all of them numbers."""
    return bool(cells) and all(number_in(c) is not None for c in cells)


def decimal(cells: Sequence[str] | set[str]) -> bool:
    """Whether all cells are numbers, and at least one is not a whole number."""
    return numeric(cells) and any(not float(c).is_integer() for c in cells)


def values_of(table: Table, column: str) -> list[str]:
    """Different values without the empty one: as numbers if all are, else in alphabetical order."""
    return in_order({nfc(v) for v in table.column(column) if v})


def in_order(values: Collection[str]) -> list[str]:
    """Values as numbers if all are, grades by what their words mean, all others in alphabetical order."""
    for scale in SCALES:
        place = {v: scale.index(v.lower()) for v in values if v.lower() in scale}
        if len(place) == len(set(values)) >= FEWEST_GRADES:
            return sorted(values, key=lambda v: (place[v], v))
    found = {v: n for v in values if (n := number_in(v)) is not None}
    return sorted(values, key=lambda v: (found[v], v)) if len(found) == len(set(values)) else sorted(values)


def is_number(table: Table, column: str) -> bool:
    """Whether a column has too many different numbers for classes."""
    cells = set(table.column(column))
    return len(cells) > MANY_NUMBERS and numeric(cells) and len({float(v) for v in cells}) > MANY_NUMBERS


def like_classes(table: Table, column: str) -> bool:
    """Whether a column has few repeated values that are not measured numbers."""
    cells = set(table.column(column))
    few = 2 <= len(cells) <= min(MOST_CLASSES, len(table) // 2)
    return few and not decimal(cells) and not is_number(table, column)
