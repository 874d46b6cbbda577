"""Samples of several files: which files belong to a row of a table, and whether they are images or channels.

Owns guesses about files whose names contain a cell of the table (`7_left.png`, `7_red.png`, `7/1.png`), about
columns that together name a sample with a row for each image, and about pages and bands of files. Does not
own reading such samples (`data/sample_files.py`) nor columns of paths (`data/new/propose.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.seeds import some_of
from pipeline.core.tables import Table
from pipeline.core.wording import worded
from pipeline.data import patterns, texts
from pipeline.data.channels import RGB
from pipeline.data.decode import UNDECODABLE, pillow
from pipeline.data.new.columns import FOUND_ENOUGH, LOOKED_UP, Place
from pipeline.data.new.folders import split_of
from pipeline.data.new.request import LabelledRows, Proposal
from pipeline.data.paths import Found, Locator, hidden, image_suffix, images_below, nfc
from pipeline.data.readers import pages
from pipeline.data.readers.reading import ARRAYS, Reading, Values
from pipeline.data.readers.registry import SINGLE
from pipeline.data.readers.registry import packed as of_several
from pipeline.data.sample_files import JOINED, page_count
from pipeline.settings.images import MOST_CHANNELS

# Parts of names that mean a channel, in lower case.
CHANNEL_WORDS = frozenset(
    (
        *("red", "green", "blue", "yellow", "cyan", "magenta", "orange", "r", "g", "b", "rgb", "nir", "ir"),
        *("swir", "tir", "rededge", "re", "thermal", "uv", "alpha", "vv", "vh", "hh", "hv", "dapi", "gfp"),
        *("rfp", "cy3", "cy5", "fitc", "tritc", "brightfield", "bf", "phase", "depth", "t1", "t2", "t1ce"),
        *("flair", "t1w", "t2w", "t1wce", "dwi", "adc", "grey", "gray", "nucleus", "er", "microtubules"),
    )
)
# Folders that hold views of one sample.
VIEW_WORDS = frozenset(
    (
        *(
            "left",
            "right",
            "front",
            "back",
            "rear",
            "top",
            "bottom",
            "side",
            "center",
            "centre",
            "up",
            "down",
        ),
        *("above", "below", "inside", "outside", "l", "r", "cc", "mlo", "ap", "pa", "lateral", "frontal"),
        *("before", "after", "near", "far", "upper", "lower", "north", "south", "east", "west"),
    )
)
_NUMBERED_VIEW = re.compile(r"(?:view|cam|camera|angle|frame|image|img|photo|part|slice|step)[_-]?\d{1,3}")
_NUMBERED_CHANNEL = re.compile(r"(?:channel|chan|ch|c|band|b|w)[_-]?\d{1,2}[ab]?", re.I)
# Files of different rows that are looked at for pages and bands, and rows for the patterns of names.
LOOKED_AT = 12
MOST_COLUMNS = 3
MOST_SHARED = 12


@dataclass(frozen=True)
class Parts:
    """The files of a sample by its name.

    Args:
        place: the column that names samples, and the folder.
        files: patterns of the files.
        channels: whether they are channels of one image; else they are images.
        why: the reason, for a person.
    """

    place: Place
    files: tuple[str, ...]
    channels: bool
    why: str


def named(table: Table, folders: Sequence[Path]) -> Parts | None:
    """The files whose names contain a cell of a column, several for each row; None if there are none."""
    rows = some_of(len(table), LOOKED_UP)
    found_in = {folder: images_below(folder) for folder in folders}
    for column in table.columns:
        cells = [nfc(table.rows[row][table.at[column]].strip()) for row in rows]
        if len(set(cells)) < len(cells) or not all(cells):
            continue
        for folder, found in found_in.items():
            if files := _patterns(cells, found):
                every = [nfc(cell) for cell in table.column(column)]
                share = _share(every, found, files)
                if share >= FOUND_ENOUGH:
                    return _parts(Place(column, folder, share), files, cells[0])
    return None


def first_files(parts: Parts, names: Sequence[str]) -> list[str]:
    """One file of each sample, for a look at its pixels."""
    found, made = images_below(parts.place.folder), []
    known = {nfc(path): path for path in found.images}
    by_name: dict[str, str] = {}
    for path in known:
        for name in patterns.names_of([path], parts.files[:1])[0]:
            by_name.setdefault(name, known[path])
    for name in names:
        made.append(by_name.get(nfc(name), name))
    return made


def beside(proposal: Proposal, table: Table, place: Place) -> Parts | None:
    """The files of the same names in folders beside that of the images, where those are views or channels.

    Of other folders (masks, copies of another size) a hint says what could be meant.
    """
    if of_several(place.folder) or not (folder := _above(place.folder)):
        return None
    siblings = [
        f for f in sorted(folder.iterdir()) if f.is_dir() and not hidden(f.name) and not split_of(f.name)
    ]
    cells = [nfc(cell.rpartition("/")[2]) for cell in table.column(place.column)]
    stems = [cell.rpartition(".")[0] if image_suffix(cell) else cell for cell in cells]
    files = []
    for sibling in siblings if place.folder in siblings else []:
        there = {
            nfc(name).rpartition(".")[0]: name for name in images_below(sibling).images if "/" not in name
        }
        if sum(stem in there for stem in stems) >= FOUND_ENOUGH * len(stems):
            suffix = PurePosixPath(there[next(stem for stem in stems if stem in there)]).suffix
            files.append(f"{sibling.name}/{patterns.PLACE}{suffix}")
    if len(files) < 2:
        return None
    parts = _parts(Place(place.column, folder, place.found), tuple(files), stems[0])
    names = [name.split("/")[0].lower() for name in files]
    if parts.channels or all(name in VIEW_WORDS or _NUMBERED_VIEW.fullmatch(name) for name in names):
        return parts
    proposal.hints.append(texts.FILES_BESIDE.format(folders=", ".join(names), files=list(files)))
    return None


def _above(folder: Path) -> Path | None:
    above = folder.parent
    return above if above != folder and above.is_dir() else None


def place_of(table: Table, folders: Sequence[Path], files: Sequence[str]) -> Place | None:
    """The column and the folder of another table whose samples have files of these patterns."""
    best: Place | None = None
    for folder in folders:
        found = images_below(folder)
        for column in table.columns:
            share = _share([nfc(cell) for cell in table.column(column)], found, files)
            if share >= FOUND_ENOUGH and (best is None or share > best.found):
                best = Place(column, folder, share)
    return best


def _parts(place: Place, files: tuple[str, ...], first: str) -> Parts:
    words = _differing(files)
    channels = len(files) <= MOST_CHANNELS and bool(words) and all(_is_channel(word) for word in words)
    shown = ", ".join(patterns.filled(pattern, first) for pattern in files[:4])
    text = texts.FILES_ARE_CHANNELS if channels else texts.FILES_ARE_IMAGES
    return Parts(place, files, channels, text.format(files=shown))


def _is_channel(word: str) -> bool:
    return word.lower() in CHANNEL_WORDS or _NUMBERED_CHANNEL.fullmatch(word) is not None


def _differing(files: Sequence[str]) -> list[str]:
    """The parts of patterns that differ, e.g. `red`; empty for one pattern, or if several parts differ."""
    parts = [re.split(r"[_\-./ ]", pattern) for pattern in files]
    if len({len(own) for own in parts}) > 1:
        return []
    differ = [words for words in zip(*parts, strict=True) if len(set(words)) > 1]
    return list(differ[0]) if len(differ) == 1 else []


def _patterns(cells: Sequence[str], found: Found) -> tuple[str, ...]:
    """Patterns of the files of these cells; empty unless each cell has a file, and some have several."""
    forms = [_forms(cell, found.images) for cell in cells]
    if not all(forms):
        return ()
    counts = Counter(form for own in forms for form in own)
    common = [form for form, count in counts.items() if count >= FOUND_ENOUGH * len(cells)]
    if len(common) > 1 and sum(len(own) for own in forms) <= len(common) * len(cells):
        return tuple(sorted(common))
    if all(len(own) == 1 for own in forms):
        return ()
    wild = {_wildcard(form) for own in forms for form in own}
    return tuple(sorted(wild)) if len(wild) == 1 else ()


def _forms(cell: str, images: Sequence[str]) -> list[str]:
    """The paths that contain a cell between signs that are no letters or digits, with {id} in its place."""
    between = re.compile(rf"(?<![^\W_]){re.escape(cell)}(?![^\W_])")
    made = []
    for path in images:
        name = nfc(path)
        if cell in name and (hit := between.search(name)):
            made.append(f"{name[: hit.start()]}{patterns.PLACE}{name[hit.end() :]}")
    return made


def _wildcard(form: str) -> str:
    """The pattern of a form with * for what numbers or names its file."""
    before, after = form.split(patterns.PLACE)
    suffix = PurePosixPath(form).suffix
    if after.startswith("/"):
        return f"{before}{patterns.PLACE}/*{suffix}"
    separator = after[:1] if after[:1] in "_- " and after != suffix else ""
    return f"{before}{patterns.PLACE}{separator}*{suffix}"


def _share(cells: Sequence[str], found: Found, files: Sequence[str]) -> float:
    """The share of cells that have their files."""
    there = {nfc(path) for path in found.images}
    if not any("*" in pattern for pattern in files):
        whole = [all(patterns.filled(p, cell) in there for p in files) for cell in cells]
        return sum(whole) / max(len(cells), 1)
    names, _ = patterns.names_of([nfc(path) for path in found.images], files)
    known = set(names)
    return sum(cell in known for cell in cells) / max(len(cells), 1)


def sample_columns(test: Table, ids: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns of both tables whose joined values are the sample's ids, row by row; empty if none are."""
    shared = [c for c in test.columns if c in known][:MOST_SHARED]
    for count in range(1, MOST_COLUMNS + 1):
        for some in permutations(shared, count):
            rows = zip(*(test.column(c) for c in some), strict=True)
            if all(JOINED.join(row) == name for row, name in zip(rows, ids, strict=True)):
                return list(some)
    return []


def in_columns(
    proposal: Proposal, table: Table, place: Place, test: Table | None, alone: bool
) -> tuple[Place, list[str]]:
    """The place of the images, and further columns of paths, which are images of the row if the test set has
    them, too; `alone`: there is no sample, so that without a test table some rows are held out.
    """
    if of_several(place.folder):
        return place, []
    locator = Locator(place.folder)
    own = table.column(place.column)
    rows = some_of(len(table), LOOKED_UP)
    others = []
    for column in table.columns:
        cells = table.column(column)
        filled = [n for n in rows if cells[n].strip()]
        if column == place.column or not filled or not all(image_suffix(cells[n]) for n in filled):
            continue
        pairs = [(locator.find(own[n]), locator.find(cells[n])) for n in filled if own[n].strip()]
        if pairs and all(not a[0] and not b[0] and a[1] != b[1] for a, b in pairs):
            others.append(column)
    if not others:
        return place, []
    both = [c for c in table.columns if c == place.column or c in others]
    tested = [c for c in both if test is not None and c in test.columns]
    if len(tested) > 1 or (test is None and alone):
        named = tested if len(tested) > 1 else both
        why = texts.COLUMNS_OF_IMAGES.format(first=own[rows[0]], second=table.column(others[0])[rows[0]])
        proposal.set("competition.images_per_sample.columns", named, why)
        return replace(place, column=named[0]), [c for c in both if c != named[0]]
    unused = [c for c in both if c not in tested[:1]]
    if not tested:
        return place, others
    proposal.hints.append(texts.IMAGES_UNUSED.format(columns=", ".join(unused), used=tested[0]))
    return replace(place, column=tested[0]), unused


@dataclass(frozen=True)
class Pixels:
    """What the files of images hold beside one picture.

    Args:
        settings: of `images`, with their reason.
        hints: what could also be meant.
    """

    settings: tuple[tuple[str, Any, str], ...] = ()
    hints: tuple[str, ...] = ()


def pixels(paths: Sequence[str]) -> Pixels:
    """Pages of TIFFs and DICOM files, and bands of arrays and TIFFs, by a few of these files."""
    some = [Path(path) for path in paths[:: max(len(paths) // LOOKED_AT, 1)][:LOOKED_AT]]
    with pillow():
        counts = {page_count(str(path)) for path in some if path.suffix.lower() in (".tif", ".tiff", ".dcm")}
        if counts - {0, 1}:
            return _of_pages(some, counts)
        found = {bands for path in some if (bands := _bands(path))}
    if len(found) == 1 and (count := found.pop()) not in (1, 3, 4) and count <= MOST_CHANNELS:
        return Pixels((("images.channels", count, worded(texts.ARRAYS_OF_BANDS, count=count)),))
    if found and max(found) > MOST_CHANNELS:
        return Pixels(hints=(texts.MANY_BANDS_HINT.format(count=max(found)),))
    return Pixels()


def _of_pages(files: Sequence[Path], counts: set[int]) -> Pixels:
    """Pages of one number that are grey and of one size are channels; others are images."""
    looked = [shapes for path in files if (shapes := _page_shapes(path))]
    alike = len(counts) == 1 and all(len(set(shapes)) == 1 and len(shapes[0]) == 2 for shapes in looked)
    most = max(counts)
    if alike and looked and most <= MOST_CHANNELS:
        why = worded(texts.PAGES_ARE_CHANNELS, count=most)
        hint = texts.PAGES_COULD_BE.format(setting="images.pages: images", what=texts.PAGE_IMAGE)
        return Pixels((("images.pages", "channels", why), ("images.channels", most, why)), (hint,))
    why = texts.PAGES_ARE_IMAGES.format(most=most)
    hint = texts.PAGES_COULD_BE.format(setting="images.pages: first", what=texts.PAGE_LEFT_OUT)
    return Pixels((("images.pages", "images", why),), (hint,))


def _page_shapes(path: Path) -> list[tuple[int, ...]]:
    try:
        raw = path.read_bytes()
        return [page.shape for page in pages.tiff_pages(raw)] if pages.is_tiff(raw) else []
    except UNDECODABLE:
        return []


def _bands(path: Path) -> int:
    """Bands of an array or a TIFF; 0 for other files and what cannot be read."""
    try:
        raw = path.read_bytes()
        if path.suffix.lower() in ARRAYS:
            values: Values = SINGLE[path.suffix.lower()](raw, path.name, Reading())
        elif pages.is_tiff(raw):
            values = pages.tiff_pages(raw)[0]
        else:
            return 0
    except UNDECODABLE:
        return 0
    if values.ndim != 3:
        return 1
    return int(min(values.shape[0], values.shape[-1]))


def look(proposal: Proposal, rows: LabelledRows) -> Reading:
    """Set what files hold beside one picture, bands and pages; returns how they are then read."""
    if rows.sides is not None:
        return Reading()
    locator = Locator(rows.folder, rows.paths)
    found = [locator.find(rows.paths[n]) for n in some_of(len(rows.paths), LOOKED_AT)]
    held = pixels([path for kind, path in found if not kind])
    if any(line.path == "images.channels" for line in proposal.lines):
        return Reading()  # a file for each channel
    for setting in held.settings:
        proposal.set(*setting)
    proposal.hints += held.hints
    chosen = {path.removeprefix("images."): value for path, value, _ in held.settings}
    return Reading(channels=chosen.get("channels", RGB), pages=chosen.get("pages", "first"))


def settle(proposal: Proposal, parts: Parts | None) -> None:
    """Set the files of samples that have several."""
    if parts is None:
        return
    if parts.channels:
        proposal.set("competition.channel_files", list(parts.files), parts.why)
        proposal.set("images.channels", len(parts.files), texts.CHANNEL_EACH)
    else:
        proposal.set("competition.images_per_sample.files", list(parts.files), parts.why)
