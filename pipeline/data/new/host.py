"""The files of the host: the test set, the format of answers, and the metric.

Owns guesses about the test table and the settings of the sample submission. Does not own the training table
(`data/new/propose.py`) nor the format that the sample proves (`data/new/form.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.metrics import METRICS
from pipeline.core.tables import Table
from pipeline.core.wording import worded
from pipeline.data import containers, host_format, texts
from pipeline.data.new import (
    columns,
    form,
    given,
    groups,
    image_table,
    kinds,
    matrix_form,
    packed,
    several,
    words,
)
from pipeline.data.new.asked import Asked
from pipeline.data.new.choices import Form
from pipeline.data.new.folders import TEST, split_of
from pipeline.data.new.request import HOLDOUT, NewRequest, Proposal, relative
from pipeline.data.new.target import Label
from pipeline.data.paths import Locator, images_below, nfc
from pipeline.data.readers.reading import ROW
from pipeline.data.readers.registry import packed as of_several

TABLES = (".csv", ".tsv", ".txt")
# The whole id names the image, which several rows repeat.
ANY_IMAGE = "^(.+)$"
READABLE = Form("class_name", texts.READABLE)


class Known(NamedTuple):
    """What is known of the training table: its id column, the place of its images, its columns, its files.

    `files` are patterns, where the names in the table are those of samples of several files; `images` is the
    table that names their images.
    """

    id_column: str
    place: columns.Place
    columns: Sequence[str] = ()
    files: tuple[str, ...] = ()
    images: image_table.ImageTable | None = None


def test_table(request: NewRequest, holds_images: bool = False) -> Table | None:
    """The host's test table, if it gives one besides the sample; `holds_images`: with pixels, as TRAIN."""
    if request.test is None or not request.test.is_file():
        return None
    if holds_images and (inside := packed.in_table(request.test, request.encoding)):
        return inside.table
    near = columns.folders_near(request.images, split="test")
    return given.read(request.test, near, request.encoding)[0]


def test_set(
    proposal: Proposal,
    request: NewRequest,
    root: Path,
    asked: Asked | None,
    train: Known | None,
    labels: Sequence[str] = (),
    values: Sequence[str] = (),
) -> None:
    """Set the place of the test images: a table, a folder, or held out from the training images.

    Args:
        proposal: gets the settings.
        request: the files.
        root: paths are written relative to it.
        asked: the sample, if there is one.
        train: what is known of the training table.
        labels: columns of the training table that may be answers.
        values: what such columns hold.
    """
    folder = request.test if request.test is not None and request.test.is_dir() else None
    if folder is not None and asked is None:
        proposal.set("competition.test_table", None, texts.TEST_FOLDER)
        proposal.set("competition.test_images", relative(folder, root))
        return
    path = request.sample if folder is not None else request.test or request.sample
    if path is None:
        proposal.set("competition.test_table", None)
        proposal.set("competition.holdout", HOLDOUT, texts.HELD_OUT_TEST)
        return
    # Beside IMAGES, but only inside the given folders: another competition may have the same file names.
    beside = [p for p in (request.images.resolve().parent,) if p.is_relative_to(root)]
    starts = [*([folder] if folder else []), request.images, *beside, root]
    near = columns.folders_near(*starts, split="test")
    table, header = given.read(path, near, request.encoding)
    if asked is not None and asked.long and path == request.sample:
        table = asked.table
    within = None
    if train is not None and request.train is not None and train.place.folder == request.train:
        within = packed.in_table(path, request.encoding)
    if within is not None:
        table, header = within.table, within.header
    if not header:
        written = next((line for line in proposal.lines if line.path == "competition.headerless"), None)
        listed = [*(written.value if written else []), relative(path, root)]
        proposal.set("competition.headerless", listed, texts.HEADERLESS)
    if within is not None:
        place: columns.Place | None = columns.Place(ROW, path, 1.0)
    elif train is not None and train.images is not None:
        of_test = image_table.of_test(train.images, table, request, near)
        place = of_test.place if of_test is not None else None
        if of_test is not None:
            image_table.settle(proposal, train.images, root, of_test)
    elif train is not None and train.files:
        place = several.place_of(table, near, train.files)
    else:
        place = columns.place(table, near, train.place.folder if train else None) if len(table) else None
        place = place or packed.near(table, [request.images, *beside, root], TEST, request.encoding)
    if place is None:
        if asked is not None:
            _refuse_long_ids(asked, labels, values)
        held = _container(root)
        raise DataError(
            _("{path}: no column leads to test images, and {held}").format(path=path.name, held=held)
            if held
            else _("{path}: no column leads to test images").format(path=path.name),
            columns.misses(table, near, train.place.folder if train else None),
            _(
                "the search covered {images} and {root}, with and without extension; add the missing files, "
                "or give TEST"
            ).format(images=request.images, root=root),
        )
    own = None
    if asked is not None and asked.long:
        # Several rows for an image ask for its answers one by one.
        table = one_row_an_image(table, place.column)
    if asked is not None:
        if not (train is not None and (train.files or train.images)):
            _refuse_long(table, place.column, labels)
        if request.sample is not None and path != request.sample and _same_images(table, place, asked):
            # The sample's ids are the names of the images, and no column of the test table has them.
            path, table = request.sample, asked.table
            place = columns.Place(asked.id_column, place.folder, 1.0)
        own = _ids(table, asked) if path != request.sample else asked.id_column
        if len(set(table.column(own))) < len(table):
            _rows_of_samples(proposal, table, own, asked, train)
            own = None
    named = columns.id_column(table, place.column, own)
    if named is None:
        raise DataError(
            _("{path}: no column has a different value in each row, so none can be the id").format(
                path=path.name
            )
        )
    why = worded(texts.ROWS, rows=len(table)) if request.test == path else texts.TEST_FROM_SAMPLE
    if request.test is not None and request.test.is_file() and path != request.test:
        why = texts.TEST_IDS_FROM_SAMPLE.format(test=request.test.name)
    proposal.set("competition.test_table", relative(path, root), why)
    proposal.set("competition.test_images", relative(place.folder, root), texts.IMAGES_HERE)
    if asked is not None and asked.long:
        pattern = asked.image_pattern if path == request.sample else ANY_IMAGE
        proposal.set("competition.test_id_pattern", pattern, texts.ROWS_OF_ANSWERS)
    if train is None or named[0] != train.id_column:
        proposal.set("competition.test_id_column", *named)
    if train is None or place.column != train.place.column:
        proposal.set("competition.test_path_column", place.column, texts.LEADS_TO_TEST_IMAGES)


def one_row_an_image(table: Table, column: str) -> Table:
    """The table with the first row of each image only."""
    first = {name: row for row, name in reversed(list(enumerate(table.column(column))))}
    kept = sorted(first.values())
    rows, lines = tuple(table.rows[n] for n in kept), tuple(table.lines[n] for n in kept)
    return replace(table, rows=rows, lines=lines)


def _container(root: Path) -> str | None:
    """A sentence about files of the test split that are no image files, as in `test-image.hdf5`."""
    others = [
        path
        for path in images_below(root).others
        if any(split_of(PurePosixPath(part).stem) == TEST for part in PurePosixPath(path).parts)
    ]
    return containers.in_folder(root, [p for p in others if not p.lower().endswith(TABLES)])


def _same_images(table: Table, place: columns.Place, asked: Asked) -> bool:
    """Whether only the sample's ids, and no column of the test table, lead to the same images."""
    wanted = asked.table.column(asked.id_column)
    if of_several(place.folder) or any(set(wanted) & set(table.column(c)) for c in table.columns):
        return False
    locator = Locator(place.folder)
    first, second = ([locator.find(v) for v in cells] for cells in (table.column(place.column), wanted))
    return not any(kind for kind, _ in second) and set(first) == set(second)


def _ids(table: Table, asked: Asked) -> str:
    """The column of the test table that holds the sample's ids.

    Raises:
        DataError: none does.
    """
    wanted = asked.table.column(asked.id_column)
    shared = {c: len(set(table.column(c)) & set(wanted)) for c in table.columns}
    best = max(table.columns, key=lambda c: (shared[c], c == asked.id_column))
    given = table.column(best)
    if set(given) == set(wanted):
        return best
    where = _("{sample} does not list the images of {table}").format(
        sample=asked.table.name, table=table.name
    )
    if not shared[best]:
        firsts = [
            _("column {name!r}, e.g. {cell!r}").format(name=c, cell=table.column(c)[0]) for c in table.columns
        ]
        raise DataError(
            _("{where}: no column holds its ids, e.g. {wanted!r}").format(where=where, wanted=wanted[0]),
            firsts,
            _("give the test table and the sample of the same test set, with ids that are written alike"),
        )
    extra = _("of {table}, but not in the sample").format(table=table.name)
    faults = host_format.id_faults(wanted, given, extra)
    raise DataError(
        _("{where}, whose column `{best}` holds its ids").format(where=where, best=best),
        faults,
        _("add or remove these rows"),
    )


def _rows_of_samples(
    proposal: Proposal, table: Table, column: str, asked: Asked, train: Known | None
) -> None:
    """Set the columns that name a sample, of which the test table has several images.

    Raises:
        DataError: no columns of both tables name it.
    """
    ids = table.column(column)
    numbers = {"rows": len(ids), "ids": len(set(ids)), "column": column}
    named = several.sample_columns(table, ids, train.columns if train is not None else ())
    if not named:
        found = texts.SEVERAL_IMAGES_FOUND.format(table=table.name, **numbers)
        kinds.refuse(
            "several_images", asked.table.name, found, texts.SAMPLE_COLUMNS_REMEDY.format(column=column)
        )
    why = texts.ROWS_ARE_IMAGES.format(table=table.name, **numbers)
    proposal.set("competition.images_per_sample.sample", named, why)


def _refuse_long(table: Table, path_column: str, labels: Sequence[str]) -> None:
    """Refuse a test table with several rows for one image."""
    images = len(set(table.column(path_column)))
    if images == len(table):
        return
    part = next((c for c in table.columns if len(set(table.column(c)) & set(labels)) > 1), None)
    said = ""
    if part is not None:
        values = words.some(list(dict.fromkeys(table.column(part))))
        said = texts.LONG_PART.format(column=part, values=values)
    found = texts.LONG_FOUND.format(rows=len(table), images=images, part=said)
    kinds.refuse("long", table.name, found)


def _refuse_long_ids(asked: Asked, labels: Sequence[str], values: Sequence[str]) -> None:
    """Refuse a sample whose ids are an image and one of several labels or classes, as in `Test_0_vowel`."""
    ids = asked.table.column(asked.id_column)
    if {nfc(i.rpartition("_")[2]) for i in ids} <= set(values):
        kinds.refuse_long(asked.table)
    ending = {c for c in labels for i in ids if i.endswith(f"_{c}")}
    if len(ending) > 1 and all(any(i.endswith(f"_{c}") for c in ending) for i in ids):
        kinds.refuse("long", asked.table.name, texts.CELL.format(cell=ids[0]))


def answers(
    proposal: Proposal,
    request: NewRequest,
    root: Path,
    asked: Asked | None,
    label: Label,
    names: Sequence[str],
) -> None:
    """Set the metric and the submission format; `names` are those of the attributes."""
    if asked is None:
        chosen = matrix_form.without_sample(label) if label.target != "exclusive" else READABLE
        proposal.set("competition.sample_submission", None, texts.NO_SAMPLE)
        _score(proposal, chosen, label)
        proposal.set("competition.submission.format", chosen.format, texts.READABLE)
        return
    assert request.sample is not None, "the sample was read from somewhere"
    beside = [p.parent for p in (request.sample, request.train, request.images) if p is not None]
    if label.target == "exclusive":
        chosen = form.decide(asked, label, names, form.Beside(beside, request.encoding))
    else:
        chosen = matrix_form.decide(asked, label, names)
    why = worded(texts.ROWS, rows=len(asked.table))
    proposal.set("competition.sample_submission", relative(request.sample, root), why)
    _score(proposal, chosen, label)
    proposal.set("competition.submission.id_column", asked.id_column, texts.SAMPLE_IDS)
    if chosen.label_column:
        proposal.set("competition.submission.label_column", chosen.label_column, texts.SAMPLE_ANSWER)
    reasons = {"label_column": texts.SAMPLE_ANSWER}
    for key in (k for k in asked.long if k not in ("id_column", "copied")):
        reason = reasons.get(key, texts.SAMPLE_LONG.format(key=asked.key))
        proposal.set(f"competition.submission.{key}", asked.long[key], reason)
    proposal.set("competition.submission.format", chosen.format, chosen.why)
    for key, value in chosen.settings.items():
        proposal.set(f"competition.submission.{key}", value)
    if asked.copied:
        proposal.set("competition.submission.copied", list(asked.copied), texts.COPIED)
    proposal.question, proposal.trial = chosen.question, chosen.trial
    proposal.choices = chosen.choices


def _score(proposal: Proposal, chosen: Form, label: Label) -> None:
    """Set the metric, and thresholds of labels where the metric judges answers and not probabilities."""
    metric, why = _metric(chosen, label)
    proposal.set("competition.metric", metric, why)
    if label.target == "labels" and METRICS[metric].needs == "labels":
        proposal.set("decision.steps", ["thresholds"], texts.THRESHOLDS)


def _metric(chosen: Form, label: Label) -> tuple[str, str]:
    if label.target != "exclusive":
        return matrix_form.metric(chosen.format, label)
    counts = Counter(zip(*label.cells, strict=True)).values()
    k = 0 if chosen.settings.get("confidence") else int(chosen.settings.get("k", 0))
    return form.metric(chosen.format, label, max(counts) / min(counts), k)


def refuse_ids_as_classes(folder: Path, names: Sequence[str], encoding: str | None = None) -> None:
    """Refuse class folders that a table beside them calls patients, people or the like.

    Raises:
        DataError: a table beside the folder has a column of groups with the names of all class folders.
    """
    for path, table in form.Beside([folder.parent], encoding).tables():
        for column, _why in groups.group_columns(table, []):
            named = groups.named_group([(column, "")])
            if named and set(names) <= {nfc(v) for v in table.column(column)}:
                raise DataError(
                    _("{folder}: its folders are the values of `{column}` in {path}, and not classes").format(
                        folder=folder, column=column, path=path.name
                    ),
                    remedy=_("give the table: TRAIN={path}, and LABEL=… for its column of the label").format(
                        path=path
                    ),
                )
