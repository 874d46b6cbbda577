"""The meaning of each column: guesses about a table without a description.

Owns guesses about columns and file names. Does not own combining them (`data/new/propose.py`).

Every function also returns the reason for its guess, which `make new` prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.paths import Locator, hidden, image_suffix, nfc

ID_NAMES = ("id", "image_id", "imageid", "img_id", "image", "img", "file_name", "filename", "file", "name")
PATH_NAMES = ("path", "file_name", "filename", "file", "image_path", "img_path", "image", "img", "image_name")
LABEL_NAMES = (
    *("label", "labels", "class", "target", "category", "answer", "ans", "y", "class_name", "classname"),
    *("label_name", "category_name", "class_id", "label_id", "category_id", "target_id"),
    *("dx", "diagnosis", "species", "breed", "emotion"),
)
GROUP_WORDS = (
    *("group", "person", "people", "patient", "subject", "user", "owner", "individual", "client", "site"),
    *("video", "sequence", "scene", "session", "study", "series", "case", "location", "camera", "concept"),
)
# Tried in this order on names such as `p012_3m.jpg` or `glass/p012_3m.jpg`.
PATTERNS = (
    (r"(?:^|/)([A-Za-z]*\d+)[_-][^/]*$", texts.PARTS_OF_NAMES[0]),
    (r"(?:^|/)([^/_-]+)[_-][^/]*$", texts.PARTS_OF_NAMES[1]),
    (r"(?:^|/)([^/]+)[_-][^/_-]+$", texts.PARTS_OF_NAMES[2]),
    (r"([^/]+)/[^/]+$", texts.PARTS_OF_NAMES[3]),
)
SPLIT_WORDS = {"train": ("train",), "test": ("test", "eval")}
LOOKED_UP = 40
MOST_CLASSES = 1000
MANY_NUMBERS = 20
MOST_FOLDERS = 60
FOUND_ENOUGH = 0.9
IMAGES_A_GROUP = (1.3, 200)


@dataclass(frozen=True)
class Place:
    """The place of a table's images: the column that names them, their folder, and the share found."""

    column: str
    folder: Path
    found: float


def place(table: Table, folders: Iterable[Path], preferred: Sequence[str] = ()) -> Place | None:
    """The column and folder under which most of some forty rows' images are found; None below 90 %."""
    step = max(len(table) // LOOKED_UP, 1)
    best: tuple[tuple[float, ...], Place] | None = None
    for far, folder in enumerate(dict.fromkeys(folders)):
        locator = Locator(folder)
        for at, column in enumerate(table.columns):
            written = table.column(column)[::step]
            share = sum(not locator.find(value)[0] for value in written) / len(written)
            if share < FOUND_ENOUGH:
                continue
            named = column.lower() in PATH_NAMES or column in preferred
            exact = sum(bool(image_suffix(value)) for value in written) / len(written)
            unique = len(set(table.column(column))) == len(table)
            rank = (share, float(unique), -far, float(named), exact, -at)
            if best is None or rank > best[0]:
                best = rank, Place(column, folder, share)
        if best is not None and best[0][:2] == (1, 1):
            break
    return best[1] if best else None


def misses(table: Table, folders: Iterable[Path]) -> list[str]:
    """One line per column: how many of some forty rows lead to images, and one that does not."""
    step = max(len(table) // LOOKED_UP, 1)
    locators = {folder: Locator(folder) for folder in folders}
    lines = []
    for column in table.columns:
        written = table.column(column)[::step]
        lost = {f: [v for v in written if at.find(v)[0]] for f, at in locators.items()}
        best = min(lost, key=lambda folder: len(lost[folder]), default=None)
        if best is None or len(lost[best]) == len(written):
            lines.append(texts.MISS_ALL.format(column=column, first=written[0] if written else ""))
        else:
            found, tried = len(written) - len(lost[best]), len(written)
            numbers = {"found": found, "tried": tried}
            lines.append(texts.MISS_SOME.format(column=column, folder=best, lost=lost[best][0], **numbers))
    return lines


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


def number(text: str) -> float | None:
    """A cell as a finite number, or None."""
    try:
        # Python reads `0_1` as a number.
        value = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def numeric(cells: Sequence[str] | set[str]) -> bool:
    """Whether there are cells, all of them numbers."""
    return bool(cells) and all(number(c) is not None for c in cells)


def decimal(cells: Sequence[str] | set[str]) -> bool:
    """Whether all cells are numbers, and at least one is not a whole number."""
    return numeric(cells) and any(not float(c).is_integer() for c in cells)


def values_of(table: Table, column: str) -> list[str]:
    """Different values: as numbers if all are, else in alphabetical order."""
    return in_order({nfc(v) for v in table.column(column)})


def in_order(values: Collection[str]) -> list[str]:
    """Values as numbers if all are, else in alphabetical order."""
    found = {v: n for v in values if (n := number(v)) is not None}
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


def group_columns(table: Table, taken: Sequence[str]) -> list[tuple[str, str]]:
    """(column, reason) of columns that could be the group, those with a typical name first."""
    candidates = []
    for column in table.columns:
        groups = len(set(table.column(column)))
        if column in taken or not _like_groups(groups, len(table)) or not all(table.column(column)):
            continue
        named = any(word in column.lower() for word in GROUP_WORDS)
        text = texts.GROUP_COUNT.format(groups=groups, images=len(table))
        candidates.append((not named, column, texts.BY_NAME_TOO.format(text=text) if named else text))
    return [(column, why) for _, column, why in sorted(candidates)]


def named_group(columns: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The first of `group_columns` with a typical name."""
    return next(((c, why) for c, why in columns if any(word in c.lower() for word in GROUP_WORDS)), None)


def group_patterns(paths: Sequence[str], classes: Sequence[int]) -> list[tuple[str, str]]:
    """(pattern, reason) of parts of file names that could be the group, most likely first.

    Every path must have the part, groups must have several images, and there must be more groups than
    classes: a prefix such as `glass` in `glass_12.jpg` is the class and not a group.
    """
    candidates: list[tuple[str, str]] = []
    seen = set()
    for pattern, part in PATTERNS:
        hits = [re.search(pattern, nfc(path)) for path in paths]
        names = [hit[1] for hit in hits if hit]
        groups = len(set(names))
        same = tuple(names)
        if len(names) < len(paths) or groups < 2 * len(set(classes)) or same in seen:
            continue
        if _like_groups(groups, len(paths)):
            seen.add(same)
            reason = texts.PATTERN.format(part=part, groups=groups, images=len(paths), first=names[0])
            candidates.append((pattern, reason))
    return candidates


def _like_groups(groups: int, images: int) -> bool:
    fewest, most = IMAGES_A_GROUP
    return groups > 2 and fewest <= images / groups <= most
