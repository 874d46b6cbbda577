"""From the files of a competition to a guessed configuration, without a network.

Owns the choice of the layout, which includes recognising the mask competition's own tree of folders; the
guesses about training rows: columns, groups, attributes. Does not own guesses about tables
(`data/new/columns.py`), the host's files (`data/new/host.py`), folds, image size and members
(`data/new/sizes.py`), the text of the configuration (`data/new/request.py`), writing it
(`data/commands.py`) nor reading the mask tree (`data/layouts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _, joined
from pipeline.core.tables import Table, read_table
from pipeline.core.wording import worded
from pipeline.data import containers, texts
from pipeline.data.layouts import CLASS, MASK_PERSON, MASK_PHOTOS, MASK_TEST_ID
from pipeline.data.new import (
    asked,
    columns,
    folders,
    given,
    group,
    groups,
    host,
    image_table,
    label,
    long,
    metadata,
    mirrored,
    new_class,
    packed,
    several,
    sizes,
    words,
)
from pipeline.data.new.request import (
    HOLDOUT,
    LabelledRows,
    NewRequest,
    Proposal,
    check_there,
    relative,
    root_of,
)
from pipeline.data.new.target import Label
from pipeline.data.paths import hidden, images_below, nfc
from pipeline.data.readers.pixels import numbered
from pipeline.data.readers.reading import ROW, ROW_FROM_0
from pipeline.data.readers.registry import packed as of_several

NUMBERED = (ROW, ROW_FROM_0)
MOST_HINTS, SHOWN_LABELS = 5, 3
# Words of labels that a mirrored image has the other way round.
SIDES = re.compile(r"(?<![a-zA-Z])(?:left|right)(?![a-zA-Z])", re.I)
OTHER_SIDE = {"left": "right", "right": "left"}
# What is shown of a label that does not hold where its cell is empty, and that holds.
BLANK_NAMES = ("0", "1")


def propose(request: NewRequest) -> Proposal:
    """Read the files and guess the settings.

    Raises:
        DataError: a file is missing or not a table, no column leads to images, or no column looks like a
            label.
    """
    check_there(request)
    if request.train is None:
        group.refuse(request.group)
    proposal = Proposal(request.name)
    root = root_of(request)
    tree = mask_tree(request)
    if tree is not None:
        mask(proposal, request, tree)
        return proposal
    proposal.set("competition.name", request.name)
    proposal.set("competition.title", request.name)
    proposal.set("competition.root", relative(root, request.home))
    if request.encoding is not None:
        proposal.set("competition.encoding", request.encoding, texts.ENCODING_GIVEN)
    rows = (_table if request.train else _folders)(proposal, request, root)
    sizes.sizes_and_members(proposal, rows)
    return proposal


def _asked(
    request: NewRequest, test: Table | None, ids: Sequence[str] = (), train: Table | None = None
) -> asked.Asked | None:
    """What the sample asks for, if there is one; in long form if the training table knows its answers."""
    if request.sample is None:
        return None
    table = read_table(request.sample, encoding=request.encoding)
    found = long.recognised(table, train, test) if train is not None else None
    if found is None or _names_images(table, found.settings["id_column"], request):
        return asked.read(table, test, ids, train)
    answers = tuple(c for c in found.table.columns if c != found.table.columns[0])
    copied = tuple(found.settings.get("copied", ()))
    return asked.Asked(found.table, found.table.columns[0], answers, copied, found.settings, found.key)


def _names_images(sample: Table, column: str, request: NewRequest) -> bool:
    """Whether the ids of a sample are those of images, so that its rows are no answers about others."""
    ids = sample.column(column)
    if len(set(ids)) < len(ids):
        return False
    given_folders = [p for p in (request.test, request.images, root_of(request)) if p and p.is_dir()]
    near = columns.folders_near(*given_folders, split="test")
    alone = Table(sample.name, (column,), tuple((i,) for i in ids), sample.lines)
    return columns.place(alone, near) is not None


def _table(proposal: Proposal, request: NewRequest, root: Path) -> LabelledRows:
    assert request.train is not None, "a table was asked for"
    near = columns.folders_near(request.images, split="train")
    table, header = given.read(request.train, near, request.encoding)
    if not len(table):
        raise DataError(_("{train}: it has a header and no rows").format(train=request.train))
    # Only then in the folder that contains the table, too: its images may be in several folders.
    place = columns.place(table, near) or columns.place(table, [root_of(request)])
    place = columns.as_written(table, place, request.images.parent) if place else None
    if narrow := long.training(table, place.column if place else None):
        found_in = columns.place(narrow.table, near) or columns.place(narrow.table, [root_of(request)])
        if found_in is not None:
            table, place = narrow.table, columns.as_written(narrow.table, found_in, request.images.parent)
            for key, value in narrow.setting.items():
                proposal.set(f"competition.long_table.{key}", value, texts.LONG_TABLE.format(key=narrow.key))
    inside = None if place else packed.in_table(request.train, request.encoding)
    if inside is not None:
        table, header = inside.table, inside.header
        place = columns.Place(ROW, request.train, 1.0)
    elif place is None and (
        place := packed.near(table, [request.images, root_of(request)], folders.TRAIN, request.encoding)
    ):
        table = numbered(table) if place.column == ROW else table
    parts = several.named(table, near) if place is None else several.beside(proposal, table, place)
    place = parts.place if parts is not None else place
    tables = [path for path in (request.train, request.test, request.sample) if path is not None]
    listed = None
    if place is None or request.image_table is not None:
        listed = image_table.beside(table, request, [*near, root_of(request)], tables)
        parts, place = (None, listed.place) if listed is not None else (parts, place)
    test = host.test_table(request, inside is not None)
    sample = _asked(request, test, table.columns, table)
    if place is None:
        # A target of another kind is the first thing to say: no file that is found could help.
        label.refuse_kinds(table, sample)
        raise _no_images(table, request, near)
    try:
        place, unused = several.in_columns(proposal, table, place, test, sample is None)
        named = _id(table, place, sample)
    except DataError:
        label.refuse_kinds(table, sample)
        raise
    proposal.set(
        "competition.train_table", relative(request.train, root), worded(texts.ROWS, rows=len(table))
    )
    if not header:
        proposal.set("competition.headerless", [relative(request.train, root)], texts.HEADERLESS)
    proposal.set("competition.train_images", relative(place.folder, root), _where(place, inside))
    proposal.set("competition.id_column", *named)
    share = "" if place.found == 1 else texts.SOME_EXIST.format(share=place.found)
    why = texts.ROW_NUMBER if place.column == ROW else texts.LEADS_TO_IMAGES.format(share=share)
    why = texts.NAMES_SAMPLES if listed is not None else why
    proposal.set("competition.path_column", place.column, why)
    several.settle(proposal, parts)
    if listed is not None:
        image_table.settle(proposal, listed, root)
    taken = {named[0], place.column, *unused, *NUMBERED} | _host_folds(proposal, table)
    free = [c for c in table.columns if c not in taken]
    like = [c for c in free if columns.like_classes(table, c)]
    values = [v for c in like for v in columns.values_of(table, c)]
    known = host.Known(named[0], place, table.columns, parts.files if parts is not None else (), listed)
    host.test_set(proposal, request, root, sample, known, free, values)
    found = label.choose(table, taken, sample, test, label.Wish(request.label, request.target))
    found, unseen = new_class.recognised(found, sample)
    _refuse_test_rows(table, found)
    used = found.columns
    likely = groups.group_columns(table, sorted(taken | used))
    paths, classes = table.column(place.column), found.numbers()
    named_by = () if place.column == ROW else paths
    # Only classes can be what a group is by mistake; sets of labels and values are nearly as many as images.
    told_apart = classes if found.target == "exclusive" else [0] * len(classes)
    seen = (place.folder, named_by, told_apart)
    given_group = group.given(request.group, table, taken | used)
    chosen = group.settle(proposal, table, likely, (*found.names, found.column), seen, given=given_group)
    metadata.propose(proposal, table, test, [c for c in free if c not in used], classes)
    attributes = label_attributes(proposal, found, chosen)
    mirrored.settle(proposal, found, attributes)
    numbers = [c for c in free if c not in used and columns.is_number(table, c)]
    # Columns that the test table has, too, are not answers.
    for column in [c for c in numbers if test is None or c not in test.columns][:MOST_HINTS]:
        middle = float(np.median([float(v) for v in table.column(column)]))
        proposal.hints.append(texts.NUMBER_HINT.format(column=column, middle=middle))
    host.answers(proposal, request, root, sample, found, [a["name"] for a in attributes])
    new_class.propose(proposal, unseen)
    sides_known = None
    if of_several(place.folder):
        held = packed.held_at(place, request.encoding) if inside is None else inside.held
        asked_shape = packed.question(held)
        proposal.question = joined("; ", [q for q in (proposal.question, asked_shape) if q])
        sides_known = tuple(packed.sides(place, table, held, request.encoding))
    if parts is not None:
        paths = tuple(several.first_files(parts, paths))
    if listed is not None:
        paths = tuple(listed.first_files(paths))
    return LabelledRows(paths, place.folder, classes, sides_known)


def _where(place: columns.Place, inside: packed.Inside | None) -> str:
    """Why the images are there."""
    if inside is not None:
        return texts.HELD_PIXELS.format(held=inside.held.sentence())
    return texts.HELD_IN if of_several(place.folder) else texts.IMAGES_HERE


def _host_folds(proposal: Proposal, table: Table) -> set[str]:
    """The columns that the host divided the rows with: offered as the folds, and no labels or groups."""
    found = groups.fold_columns(table)
    proposal.hints += [texts.HOST_FOLDS.format(column=c, folds=n) for c, n in found]
    splits = groups.split_columns(table)
    proposal.hints += [texts.HOST_SPLITS.format(column=c, values=values) for c, values in splits]
    return {column for column, _ in (*found, *splits)}


def _refuse_test_rows(table: Table, found: Label) -> None:
    """Refuse rows without a label that a column of the table gives to the test set."""
    empty = [n for n, cells in enumerate(zip(*found.cells, strict=True)) if not any(cells)]
    for column, _why in groups.split_columns(table) if empty else []:
        values = table.column(column)
        splits = {values[n] for n in empty}
        if {folders.split_of(value) for value in splits} == {folders.TEST}:
            text = texts.HOST_SPLIT_EMPTY.format(
                rows=len(empty), column=column, values=words.some(sorted(splits))
            )
            raise DataError(
                _("{table}: {text}").format(table=table.name, text=text), remedy=texts.HOST_SPLIT_REMEDY
            )


def _below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _no_images(table: Table, request: NewRequest, near: Sequence[Path]) -> DataError:
    """Why no column of the table leads to images."""
    held = containers.pixels(table)
    if held is not None:
        return DataError(_("{table}: {held}").format(table=table.name, held=held), remedy=texts.PIXELS_REMEDY)
    other = containers.in_folder(request.images, images_below(request.images).others)
    if other is not None:
        return DataError(
            _("{images}: {table} leads to no image, and {other}").format(
                images=request.images, table=table.name, other=other
            )
        )
    return DataError(
        _("{table}: no column leads to images").format(table=table.name),
        columns.misses(table, near),
        _("the search covered {images} and its folders, with and without extension; check IMAGES; ").format(
            images=request.images
        )
        + texts.JOIN_TABLES,
    )


def _id(table: Table, place: columns.Place, sample: asked.Asked | None) -> tuple[str, str]:
    """The id column and the reason.

    Raises:
        DataError: no column has a different value in each row.
    """
    in_sample = sample.id_column if sample and sample.id_column in table.columns else None
    named = columns.id_column(table, place.column, in_sample)
    if named is None:
        raise DataError(
            _("{table}: no column has a different value in each row, so none can be the id").format(
                table=table.name
            ),
            remedy=_("add a column of unique ids, or remove repeated rows"),
        )
    return named


def label_attributes(proposal: Proposal, found: Label, groups: Sequence[str]) -> list[dict[str, Any]]:
    """Set the kind of target and its attributes; returns these as the file writes them."""
    attributes = [_attribute(found, n, groups) for n in range(len(found.names))]
    for number, attribute in enumerate(attributes):
        # Names that are equal without their signs, as `C` and `C#`.
        if attribute["name"] in [a["name"] for a in attributes[:number]]:
            attribute["name"] = f"{attribute['name']}{number}"
    if found.target != "exclusive":
        proposal.set("competition.target", found.target, texts.TARGETS[found.target])
    if found.column and found.separator != " ":
        proposal.set("competition.label_separator", found.separator)
    if found.unknown:
        proposal.set("competition.unknown_labels", list(found.unknown), texts.UNKNOWN_CELLS)
    proposal.set("competition.attributes", attributes, found.why)
    names = [attribute["name"] for attribute in attributes]
    sides = next(((n, SIDES.sub(_other_side, n)) for n in names if SIDES.sub(_other_side, n) != n), None)
    if sides is not None and set(sides) <= set(names):
        proposal.hints.append(texts.SIDES_HINT.format(one=sides[0], other=sides[1]))
    return attributes


def _other_side(found: re.Match[str]) -> str:
    return OTHER_SIDE[found[0].lower()]


def _attribute(found: Label, number: int, groups: Sequence[str]) -> dict[str, Any]:
    """One attribute as the file writes it; `groups` is the group of each row, or empty."""
    name, cells = found.names[number], found.cells[number]
    # Names are ASCII, because commands and names of metrics contain them.
    word = "".join(c if c.isascii() and (c.isalnum() or c in "_-.") else "_" for c in name).strip("_-.")
    attribute: dict[str, Any] = {
        "name": word or (f"label{number}" if number else "label"),
        "column": found.column or name,
    }
    if found.column:
        attribute["word"] = name
    elif found.blocks and found.blocks[number]:
        attribute |= {
            "values": list(found.blocks[number]),
            "names": list(found.values[number]),
            "one_hot": True,
        }
    elif found.values[number]:
        attribute["values"] = list(found.values[number])
        if "" in attribute["values"]:
            attribute["names"] = list(BLANK_NAMES)
    if found.one_hot:
        attribute["one_hot"] = True
    pairs = set(zip(groups, cells, strict=True)) if groups else set()
    if pairs and len(pairs) == len(set(groups)) and found.target in ("exclusive", "labels"):
        attribute["constant_in_group"] = True
    return attribute


@dataclass(frozen=True)
class _Labelled:
    """Labels that are a part of each path.

    Args:
        pattern: of the part.
        labels: one a path.
        whys: the reasons of the layout, the pattern and the attribute.
        group: a pattern of the group and its reason, if the folders show one.
    """

    pattern: str
    labels: Sequence[str]
    whys: tuple[str, str, str]
    group: tuple[str, str] | None = None


def _in_names(paths: Sequence[str]) -> _Labelled | None:
    """Images whose names hold the label."""
    named = label.in_names(paths)
    if named is None:
        return None
    pattern, labels = named
    first = {nfc(word): path for word, path in zip(reversed(labels), reversed(paths), strict=True)}
    shown = [texts.NAME_EXAMPLE.format(path=first[w], label=w) for w in sorted(first)[:SHOWN_LABELS]]
    why = texts.NAME_PATTERN.format(count=len(first), examples=joined(", ", shown))
    return _Labelled(pattern, labels, (worded(texts.NAMED_IMAGES, images=len(paths)), why, texts.NAME_LABELS))


def _by_part(
    proposal: Proposal,
    request: NewRequest,
    places: tuple[Path, Path],
    sample: asked.Asked | None,
    paths: Sequence[str],
    named: _Labelled,
) -> LabelledRows:
    """Images whose paths hold the label; `places` are the root and the folder of the images."""
    root, folder = places
    proposal.set("competition.layout", "folders", named.whys[0])
    proposal.set("competition.label_pattern", named.pattern, named.whys[1])
    proposal.set("competition.train_images", relative(folder, root), texts.IMAGES_HERE)
    host.test_set(proposal, request, root, sample, None)
    found = label.of_folders(sorted({nfc(word) for word in named.labels}), named.labels, CLASS)
    chosen = group.settle(proposal, None, [], [CLASS], (folder, paths, found.numbers()), named.group)
    attribute = _attribute(found, 0, chosen)
    mirrored.settle(proposal, found, [attribute])
    proposal.set("competition.attributes", [attribute], named.whys[2])
    host.answers(proposal, request, root, sample, found, [attribute["name"]])
    return LabelledRows(paths, folder, found.numbers())


def _in_every_folder(
    proposal: Proposal, folder: Path, paths: Sequence[str], sample: asked.Asked | None
) -> _Labelled | None:
    """The folders below as the classes, where each folder holds the same ones and the sample means them.

    Raises:
        DataError: nothing tells which of both are the classes, and the upper ones are named like ids.
    """
    below = folders.in_every_folder(paths)
    if not below:
        return None
    tops = sorted({nfc(path.split("/")[0]) for path in paths})
    shown = {"folders": words.some(tops), "below": words.some(below)}
    meant = words.which_of(tops, below, sample.answers if sample else (), _cells(sample))
    if meant is None and len(tops) > len(below) and all(re.search(r"\d", top) for top in tops):
        text = texts.WHICH_FOLDERS.format(folder=folder, **shown)
        raise DataError(text, remedy=texts.WHICH_FOLDERS_REMEDY)
    if meant != 1:
        proposal.hints.append(texts.FOLDERS_BELOW.format(**shown))
        return None
    whys = (
        worded(texts.CLASS_FOLDERS, folders=len(below), images=len(paths)),
        texts.FOLDERS_IN_EVERY.format(**shown),
        texts.FOLDER_NAMES,
    )
    group = folders.TOP_FOLDER, worded(texts.TOP_GROUP, groups=len(tops), images=len(paths))
    return _Labelled(folders.SECOND_FOLDER, [nfc(path.split("/")[1]) for path in paths], whys, group)


def _cells(sample: asked.Asked | None) -> set[str]:
    return sample.cells(sample.answers[0]) if sample and len(sample.answers) == 1 else set()


def _folders(proposal: Proposal, request: NewRequest, root: Path) -> LabelledRows:
    sample = _asked(request, host.test_table(request))
    test_folder = request.test if request.test is not None and request.test.is_dir() else None
    split = folders.class_folders(request.images, test_folder)
    folder, test = split.train, split.test
    images = images_below(folder).images
    inside = [path for path in images if "/" in path and not _below(folder / path, test)]
    names = sorted({nfc(path.split("/")[0]) for path in inside})
    if len(names) < 2:
        own = [path for path in images if not _below(folder / path, test)]
        if named := _in_names(own):
            return _by_part(proposal, request, (root, folder), sample, own, named)
        other = containers.in_folder(folder, images_below(folder).others)
        raise DataError(
            _("{folder}: no folder per class: {n} of its folders contain images").format(
                folder=folder, n=len(names)
            ),
            [other] if other else [],
            remedy=_("give the folder that contains the class folders, or a table: TRAIN=train.csv"),
        )
    if held := _in_every_folder(proposal, folder, inside, sample):
        return _by_part(proposal, request, (root, folder), sample, inside, held)
    host.refuse_ids_as_classes(folder, names, request.encoding)
    why = worded(texts.CLASS_FOLDERS, folders=len(names), images=len(inside))
    proposal.set("competition.layout", "folders", why)
    proposal.set("competition.train_images", relative(folder, root), texts.EACH_FOLDER)
    if test is not None and request.test is None and sample is None:
        request = replace(request, test=test)
    for unused in split.others:
        count = len(images_below(unused).images)
        proposal.hints.append(worded(texts.SPLIT_UNUSED, folder=relative(unused, root), images=count))
    host.test_set(proposal, request, root, sample, None)
    found = label.of_folders(names, [path.split("/")[0] for path in inside], CLASS)
    found, unseen = new_class.recognised(found, sample)
    classes = found.numbers()
    chosen = group.settle(proposal, None, [], [CLASS], (folder, inside, classes))
    attribute = _attribute(found, 0, chosen)
    mirrored.settle(proposal, found, [attribute])
    proposal.set("competition.attributes", [attribute], texts.FOLDER_NAMES)
    host.answers(proposal, request, root, sample, found, [attribute["name"]])
    new_class.propose(proposal, unseen)
    return LabelledRows(inside, folder, classes)


def mask_tree(request: NewRequest) -> Path | None:
    """The folder with train/train.csv and train/images of the mask competition, if these are its files."""
    for start in (request.images, request.images.parent, request.images.parent.parent):
        table, images = start / "train" / "train.csv", start / "train" / "images"
        # A tree that only lies beside the images that were named is another competition.
        if not (table.is_file() and images.is_dir() and images.is_relative_to(request.images)):
            continue
        if request.train is not None and request.train.resolve() != table.resolve():
            continue
        if not set(MASK_PERSON) <= set(read_table(table, encoding=request.encoding).columns):
            continue
        folders = (p for p in sorted(images.iterdir()) if p.is_dir() and not hidden(p.name))
        first = next(folders, None)
        stems = {p.stem for p in first.iterdir()} if first else set()
        if stems & MASK_PHOTOS.keys():
            return start
    return None


def mask(proposal: Proposal, request: NewRequest, tree: Path) -> None:
    """Set everything that the layout fixes, with the two attributes that are constant for a person."""
    table = read_table(tree / "train" / "train.csv", encoding=request.encoding)
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
    sizes.folds(proposal, groups=len(set(table.column("path"))))
    size = sizes.LARGEST_PX
    proposal.set("images.size", size, texts.MASK_SIZE)
    names = sizes.members(len(table) * len(MASK_PHOTOS), size)
    proposal.set("ensemble.members", names, texts.NO_DOWNLOAD)
    proposal.hints.append(texts.MASK_BINS_HINT)
