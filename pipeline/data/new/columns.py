"""Which column is what: guesses about a table that nobody has described.

Owns judging columns and file names. Does not own putting the guesses together (`guess.py`).

A guess is worth its reason: every function says why, in words that `make new` prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.tables import Table
from pipeline.data.paths import Locator, hidden, image_suffix, nfc

ID_NAMES = ("id", "image_id", "imageid", "img_id", "image", "img", "file_name", "filename", "file", "name")
PATH_NAMES = ("path", "file_name", "filename", "file", "image_path", "img_path", "image", "img", "image_name")
LABEL_NAMES = ("label", "labels", "class", "target", "category", "answer", "ans", "y", "class_name")
GROUP_WORDS = (
    *("group", "person", "people", "patient", "subject", "user", "owner", "individual", "client", "site"),
    *("video", "sequence", "scene", "session", "study", "series", "case", "location", "camera", "concept"),
)
# Tried in this order on names such as `p012_3m.jpg` or `glass/p012_3m.jpg`.
PATTERNS = (
    (r"(?:^|/)([A-Za-z]*\d+)[_-][^/]*$", "letters and digits before the first _ or - of the file name"),
    (r"(?:^|/)([^/_-]+)[_-][^/]*$", "what stands before the first _ or - of the file name"),
    (r"(?:^|/)([^/]+)[_-][^/_-]+$", "what stands before the last _ or - of the file name"),
    (r"([^/]+)/[^/]+$", "the folder of the file"),
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
    """Where a table's images are: which column names them, below which folder, and how many were found."""

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
            found = sum(not locator.find(value)[0] for value in written) / len(written)
            if found < FOUND_ENOUGH:
                continue
            named = column.lower() in PATH_NAMES or column in preferred
            exact = sum(bool(image_suffix(value)) for value in written) / len(written)
            unique = len(set(table.column(column))) == len(table)
            rank = (found, float(unique), -far, float(named), exact, -at)
            if best is None or rank > best[0]:
                best = rank, Place(column, folder, found)
        if best is not None and best[0][:2] == (1, 1):
            break
    return best[1] if best else None


def misses(table: Table, folders: Iterable[Path]) -> list[str]:
    """A line a column: how many of some forty rows lead to images, and one that does not."""
    step = max(len(table) // LOOKED_UP, 1)
    locators = {folder: Locator(folder) for folder in folders}
    lines = []
    for column in table.columns:
        written = table.column(column)[::step]
        lost = {f: [v for v in written if at.find(v)[0]] for f, at in locators.items()}
        best = min(lost, key=lambda folder: len(lost[folder]), default=None)
        if best is None or len(lost[best]) == len(written):
            lines.append(f"column {column!r}, e.g. {written[0] if written else ''!r}: to none")
        else:
            found = f"{len(written) - len(lost[best])} of {len(written)} rows that were tried"
            lines.append(f"column {column!r}: {found} lead to images in {best}; {lost[best][0]!r} does not")
    return lines


def folders_near(*starts: Path, split: str) -> list[Path]:
    """These folders, what lies in them and one level deeper; those named after the split come first.

    Many hosts give both splits the same file names: a test table must not find the training images.

    Args:
        starts: where to begin.
        split: "train" or "test"; folders named after the other one come last.
    """
    found: list[Path] = [p for p in starts if p.is_dir()]
    for _ in range(2):
        below = [c for p in found for c in sorted(p.iterdir()) if c.is_dir() and not hidden(c.name)]
        found = list(dict.fromkeys([*found, *below]))[:MOST_FOLDERS]
    other = "test" if split == "train" else "train"

    def rank(folder: Path) -> tuple[bool, bool]:
        words = {split: SPLIT_WORDS[split], other: SPLIT_WORDS[other]}
        named = {s: any(w in folder.name.lower() for w in words[s]) for s in words}
        return named[other] and not named[split], not named[split]

    return sorted(found, key=rank)


def id_column(table: Table, path_column: str, preferred: str | None) -> tuple[str, str] | None:
    """(column, why) of what names each row; None when no column is unique."""
    unique = [c for c in table.columns if len(set(table.column(c))) == len(table) and all(table.column(c))]
    rows = f"another value in each of {len(table):,} rows"
    if preferred is not None and preferred in table.columns and preferred not in unique:
        value, times = Counter(table.column(preferred)).most_common(1)[0]
        rows += f"; not {preferred}, where {value!r} stands {times} times"
    if preferred in unique:
        assert preferred is not None, "None is no column"
        return preferred, f"the sample's id column; {rows}"
    named = [c for name in ID_NAMES for c in unique if c.lower() == name]
    if named:
        return named[0], f"by its name; {rows}"
    if path_column in unique:
        return path_column, f"the images' names; {rows}"
    return (unique[0], rows) if unique else None


def values_of(table: Table, column: str) -> list[str]:
    """Different values: as numbers if all are, else in alphabetical order."""
    values = {nfc(v) for v in table.column(column)}
    try:
        return sorted(values, key=lambda v: (float(v), v))
    except ValueError:
        return sorted(values)


def is_number(table: Table, column: str) -> bool:
    """Whether a column holds more different numbers than classes would have."""
    try:
        return len({float(v) for v in table.column(column)}) > MANY_NUMBERS
    except ValueError:
        return False


def label_columns(table: Table, taken: Sequence[str], sample_columns: Sequence[str]) -> tuple[list[str], str]:
    """(columns, why) of what is to be predicted; no column when nothing looks like a label.

    Args:
        table: the training table.
        taken: columns that are something else: id, path, group.
        sample_columns: answer columns of the host's sample, if there is one.
    """
    free = [c for c in table.columns if c not in taken]
    some = [c for c in free if _like_classes(table, c)]
    for column in sample_columns:
        if column in some:
            return [column], "the sample's answer column has the same name"
    if len(sample_columns) > 1:
        for column in some:
            if set(values_of(table, column)) == {nfc(c) for c in sample_columns}:
                return [column], "its values are the sample's columns"
    named = [c for name in LABEL_NAMES for c in some if c.lower() == name]
    if named:
        return [named[0]], "by its name"
    if len(some) > 1:
        return some, "few different values each; the class is their combination: take out what is none"
    return some, "the only column with few different values" if some else ""


def _like_classes(table: Table, column: str) -> bool:
    count = len(set(table.column(column)))
    return 2 <= count <= min(MOST_CLASSES, len(table) // 2) and not is_number(table, column)


def group_columns(table: Table, taken: Sequence[str]) -> list[tuple[str, str]]:
    """(column, why) of what could be the group, columns whose name says so first."""
    found = []
    for column in table.columns:
        groups = len(set(table.column(column)))
        if column in taken or not _like_groups(groups, len(table)) or not all(table.column(column)):
            continue
        named = any(word in column.lower() for word in GROUP_WORDS)
        text = f"{groups:,} different values for {len(table):,} images"
        found.append((not named, column, f"by its name; {text}" if named else text))
    return [(column, why) for _, column, why in sorted(found)]


def named_group(columns: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The first of `group_columns` whose name says that it is one."""
    return next(((c, why) for c, why in columns if any(word in c.lower() for word in GROUP_WORDS)), None)


def group_patterns(paths: Sequence[str], classes: Sequence[int]) -> list[tuple[str, str]]:
    """(pattern, why) of parts of file names that could be the group, likeliest first.

    Every path must have the part, groups must hold several images, and there must be more of them than
    classes: a prefix such as `glass` in `glass_12.jpg` is the class and no group.
    """
    found: list[tuple[str, str]] = []
    seen = set()
    for pattern, what in PATTERNS:
        hits = [re.search(pattern, nfc(path)) for path in paths]
        names = [hit[1] for hit in hits if hit]
        groups = len(set(names))
        same = tuple(names)
        if len(names) < len(paths) or groups < 2 * len(set(classes)) or same in seen:
            continue
        if _like_groups(groups, len(paths)):
            seen.add(same)
            found.append((pattern, f"{what}: {groups:,} for {len(paths):,} images, e.g. {names[0]}"))
    return found


def _like_groups(groups: int, images: int) -> bool:
    fewest, most = IMAGES_A_GROUP
    return groups > 2 and fewest <= images / groups <= most
