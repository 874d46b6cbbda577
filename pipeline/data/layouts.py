"""The layouts of a competition's files: a table, a folder per class, or the mask competition's own tree.

Owns turning each layout into rows of text with an id, a path and the raw label columns. Does not own the
meaning of labels (`data/labels.py`), finding images (`data/paths.py`) nor checking ids
(`data/competition.py`).

    layout   columns of the training rows                 columns of the test rows
    table    those of the table                           those of the table, or id and path
    folders  id, path, class                              the same
    mask     id, path, person, mask, gender, age, race    id, path

The mask competition's tree: `train/train.csv` (id, gender, race, age, path) has a row for each person, whose
photos `mask1` … `mask5`, `incorrect_mask` and `normal` are in `train/images/<path>/`; `eval/info.csv`
(ImageID, ans) and `eval/images/` are the test set. A person is the folder, because the real table has one id
for two people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pipeline.core.errors import DataError, nearest
from pipeline.core.language import _
from pipeline.core.tables import Table, read_table
from pipeline.core.text_files import UTF8
from pipeline.core.truths import OF_SAMPLE
from pipeline.core.wording import worded
from pipeline.data import containers, long_form, patterns, texts
from pipeline.data.paths import Faults, Found, hidden, image_suffix, images_below, nfc
from pipeline.data.readers import pixels, records
from pipeline.data.readers.reading import Reading
from pipeline.data.readers.registry import packed
from pipeline.settings.competition import AttributeSettings, CompetitionSettings, ExtraSettings

ID, PATH, CLASS = "id", "path", "class"
# A row of a table in messages.
ROW_OF, ROW_OF_ID = _("{table} row {line}"), _("{table} row {line} (id {id})")
ID_OF, ALSO = _("{table} (id {id})"), _("; {what}")

# The mask competition (4,500 people, seven photos each), as its host distributes it.
MASK_PERSON = ("id", "gender", "race", "age", "path")
MASK_PHOTOS = {**{f"mask{n}": "mask" for n in range(1, 6)}, "incorrect_mask": "incorrect", "normal": "normal"}
MASK_COLUMNS = (ID, PATH, "person", "mask", "gender", "age", "race")
MASK_TEST_ID = "ImageID"
# Folders that a message lists.
SHOWN_FOLDERS = 5

# How tables write whether a class holds, in one-hot columns.
ONE_HOT = {"0": False, "1": True, "0.0": False, "1.0": True, "False": False, "True": True}


@dataclass(frozen=True)
class Listing:
    """The rows of one split, in whatever layout they were.

    Args:
        table: the rows; its line numbers are those of the file, as an editor shows them.
        images: the folder that paths are relative to.
        id_column, path_column: the columns of the id and of the file.
        files: the tables that were read.
        notes: for the user, one line each.
        without: the images of the other split, which are not searched for a name.
        reading: how images are read, where `images` is a file of several.
        image_table: a row for each image of these samples; None: the rows name them.
    """

    table: Table
    images: Path
    id_column: str
    path_column: str
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    without: Path | None = None
    reading: Reading = field(default_factory=Reading)
    image_table: Table | None = None

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of each row."""
        return self.table.column(self.id_column)

    def where(self, row: int) -> str:
        """`train.csv row 12 (id 0a1f)`; a row that is not from a file has only its id."""
        name = self.ids[row]
        if not self.files:
            return ID_OF.format(table=self.table.name, id=name) if name else self.table.name
        place = {"table": self.table.name, "line": self.table.lines[row]}
        return ROW_OF_ID.format(**place, id=name) if name else ROW_OF.format(**place)


def training(
    settings: CompetitionSettings, root: Path, faults: Faults, fold_column: str | None, reading: Reading
) -> Listing | None:
    """The training rows with their label, group and fold columns; None after adding to `faults` why."""
    images = root / settings.train_images
    needed = [c for a in settings.attributes for c in (a.values if a.one_hot else [a.column])]
    needed += [c for c in (settings.group_column, fold_column) if c is not None]
    needed += [*_of_images(settings), *_of_metric(settings)]
    if settings.layout == "mask":
        rows = _people(root, settings, faults)
    elif settings.layout == "folders":
        test = root / settings.test_images
        if settings.label_pattern is None:
            rows = _folders(images, settings.train_images, faults, _patterns(settings), test)
        else:
            rows = _named(images, settings, faults, test)
    else:
        named = settings.id_column, settings.path_column
        rows = _table(settings, root, settings.train_table, images, named, faults, reading)
        rows = replace(rows, without=root / settings.test_images) if rows else None
        rows = _widened(rows, settings, faults) if rows else None
    rows = _with_columns(rows, [settings.id_column, settings.path_column, *needed], faults)
    several = settings.images_per_sample
    rows = _with_images(rows, settings, root, several.table if several else None, faults)
    return rows if settings.target == "shares" else _from_one_hot(rows, settings.attributes, faults)


def test(settings: CompetitionSettings, root: Path, faults: Faults, reading: Reading) -> Listing | None:
    """The test rows; None when images are held out instead, or after adding to `faults` why."""
    images = root / settings.test_images
    if settings.holdout is not None:
        return None
    if settings.test_table is None:
        return _loose(images, settings.test_images, faults, _patterns(settings))
    id_column = settings.test_id_column or settings.id_column
    path_column = settings.test_path_column or settings.path_column
    if settings.layout == "mask":
        id_column = path_column = MASK_TEST_ID
    rows = _table(settings, root, settings.test_table, images, (id_column, path_column), faults, reading)
    rows = replace(rows, without=root / settings.train_images) if rows else None
    rows = _with_columns(rows, [id_column, path_column, *_of_images(settings)], faults)
    several = settings.images_per_sample
    name = (several.test_table or several.table) if several else None
    rows = _with_images(rows, settings, root, name, faults)
    return _one_row_an_image(rows, settings.test_id_pattern, faults) if rows else None


def _one_row_an_image(rows: Listing, pattern: str | None, faults: Faults) -> Listing | None:
    """Test rows where the host asks for answers one by one, in as many rows: the first row of each image."""
    if pattern is None:
        return rows
    table, at = rows.table, rows.table.at[rows.id_column]
    images = patterns.groups_of(pattern, list(rows.ids))
    for row in (n for n, image in enumerate(images) if not image):
        faults.add(
            "ids without an image", _("{where}: test_id_pattern does not match").format(where=rows.where(row))
        )
    first: dict[str, int] = {}
    for row, image in enumerate(images):
        first.setdefault(image or "", row)
    named = [(*table.rows[n][:at], image, *table.rows[n][at + 1 :]) for image, n in first.items()]
    kept = replace(table, rows=tuple(named), lines=tuple(table.lines[n] for n in first.values()))
    return replace(rows, table=kept)


def _widened(rows: Listing, settings: CompetitionSettings, faults: Faults) -> Listing | None:
    """Training rows where the host gives the answers of an image one by one: one row an image."""
    long = settings.long_table
    if long is None:
        return rows
    needed = [c for c in (settings.id_column, long.column, long.value) if c is not None]
    if _with_columns(rows, needed, faults) is None:
        return None
    names = dict.fromkeys(a.column for a in settings.attributes)
    wide = long_form.widened(rows.table, list(names), settings.id_column, long)
    for fault in wide.faults:
        faults.add("rows in long form", fault)
    return None if wide.faults else replace(rows, table=wide.table)


def _with_images(
    rows: Listing | None, settings: CompetitionSettings, root: Path, name: str | None, faults: Faults
) -> Listing | None:
    """The rows with the table that names the images of their samples, if there is one."""
    several = settings.images_per_sample
    if rows is None or name is None or several is None:
        return rows
    table = _read(settings, root, name, faults)
    listed = None if table is None else replace(rows, table=table)
    if _with_columns(listed, [c for c in (several.key, several.path) if c], faults) is None:
        return None
    return replace(rows, image_table=table, files=(*rows.files, root / name))


def _of_images(settings: CompetitionSettings) -> list[str]:
    """The columns that say which images a sample has, and those of its metadata."""
    several = settings.images_per_sample
    metadata = [m.column for m in settings.metadata]
    return metadata if several is None else [*metadata, *several.columns, *several.sample]


def _of_metric(settings: CompetitionSettings) -> list[str]:
    """The columns that a metric of the user's own reads; what every sample has may be a column, too."""
    return [name for name in settings.metric_columns if name not in OF_SAMPLE]


def extra(
    settings: CompetitionSettings, source: ExtraSettings, root: Path, faults: Faults, reading: Reading
) -> Listing | None:
    """The rows of one further source, with the training table's columns; without labels, ids and paths."""
    images = root / source.images
    if not source.labelled and source.table is None:
        return _loose(images, source.images, faults, _patterns(settings))
    if source.table is None:
        rows = _folders(images, source.images, faults, _patterns(settings))
        if rows is not None and settings.attributes:
            rows = _renamed(rows, CLASS, settings.attributes[0].column)
        return rows
    named = settings.id_column, settings.path_column
    rows = _table(settings, root, source.table, images, named, faults, reading)
    needed = [c for a in settings.attributes for c in (a.values if a.one_hot else [a.column])]
    rows = _with_columns(
        rows, [settings.id_column, settings.path_column, *(needed if source.labelled else [])], faults
    )
    classes = source.labelled and settings.target != "shares"
    return _from_one_hot(rows, settings.attributes, faults) if classes else rows


def _table(
    settings: CompetitionSettings,
    root: Path,
    name: str,
    images: Path,
    columns: tuple[str, str],
    faults: Faults,
    reading: Reading,
) -> Listing | None:
    own = packed(images) and images.exists() and (root / name).exists() and images.samefile(root / name)
    table = _read(settings, root, name, faults, reading if own else None)
    if table is None:
        return None
    if packed(images):
        table = pixels.numbered(table)
    return Listing(table, images, *columns, (root / name,), _encoding_note(table), reading=reading)


def _read(
    settings: CompetitionSettings, root: Path, name: str, faults: Faults, pixels_of: Reading | None = None
) -> Table | None:
    """A table; `pixels_of` says how its columns of pixels are found, which it is read without."""
    path = root / name
    if not path.exists():
        faults.add(
            "missing tables", _("{name}: there is no such file in {root}").format(name=name, root=root)
        )
        return None
    try:
        header = name not in settings.headerless
        if pixels_of is not None or records.reads(path):
            table = pixels.read_without(path, name, header, pixels_of or Reading())[0]
        else:
            table = read_table(path, name, settings.encoding, header)
    except DataError as error:
        what, remedy = error.headline.removeprefix(f"{name}: "), error.remedy and f" ({error.remedy})"
        for fault in error.faults or (f"{what}{remedy}",):
            faults.add("unreadable tables", f"{name}: {fault}")
        return None
    if not len(table):
        faults.add("empty tables", _("{name}: it has a header and no rows").format(name=name))
    return table if len(table) else None


def _encoding_note(table: Table) -> tuple[str, ...]:
    if table.encoding == UTF8:
        return ()
    cell = next((c for row in (table.columns, *table.rows) for c in row if not c.isascii()), None)
    example = "" if cell is None else texts.ENCODING_EXAMPLE.format(cell=cell)
    return (texts.ENCODING.format(table=table.name, encoding=table.encoding, example=example),)


def _with_columns(listing: Listing | None, needed: Iterable[str], faults: Faults) -> Listing | None:
    if listing is None:
        return None
    known = listing.table.columns
    missing = [c for c in dict.fromkeys(needed) if c not in known]
    for column in missing:
        hint = nearest(column, known) or _("there are: {known}").format(known=", ".join(known))
        faults.add(
            "missing columns",
            _("{table}: no column `{column}`; {hint}").format(
                table=listing.table.name, column=column, hint=hint
            ),
        )
    return None if missing else listing


def _from_one_hot(
    listing: Listing | None, attributes: Sequence[AttributeSettings], faults: Faults
) -> Listing | None:
    """The listing with one label column in the place of each set of columns of 0 and 1."""
    for attribute in attributes:
        if listing is None or not attribute.one_hot:
            continue
        table = listing.table
        cells = [table.column(value) for value in attribute.values]
        labels = []
        for row, marks in enumerate(zip(*cells, strict=True)):
            held = [v for v, m in zip(attribute.values, marks, strict=True) if ONE_HOT.get(m)]
            # Beside the only 1 an empty cell can only say that the class does not hold.
            odd = [m for m in marks if m not in ONE_HOT and (m or len(held) != 1)]
            if odd:
                faults.add(
                    "unknown labels",
                    _("{where}: {attribute}: {odd!r} is not 0 or 1").format(
                        where=listing.where(row), attribute=attribute.name, odd=odd[0]
                    ),
                )
            elif len(held) != 1:
                what = (
                    _("{n} of its columns are 1 ({held})").format(n=len(held), held=", ".join(held))
                    if held
                    else _("no column is 1")
                )
                faults.add("labels that are not one class", f"{listing.where(row)}: {attribute.name}: {what}")
            labels.append(held[0] if held else attribute.values[0])
        rows = [(*row, label) for row, label in zip(table.rows, labels, strict=True)]
        columns = (*table.columns, attribute.column)
        if attribute.column in table.columns:
            text = _("{table}: it has a column `{column}` already; give `column` another name").format(
                table=table.name, column=attribute.column
            )
            faults.add("repeated columns", text)
            return None
        listing = replace(listing, table=replace(table, columns=columns, rows=tuple(rows)))
    return listing


def _made(name: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """A table that is not in a file."""
    return Table(name, tuple(columns), tuple(rows), tuple(range(1, len(rows) + 1)))


def _patterns(settings: CompetitionSettings) -> list[str]:
    """Patterns of the files of a sample that has several; empty if it has one."""
    several = settings.images_per_sample
    return settings.channel_files or (several.files if several is not None else [])


def _below_folder(folder: Path, wanted: Sequence[str]) -> Found:
    """The images below a folder; those with several files once, by the name in the patterns."""
    found = images_below(folder)
    if not wanted:
        return found
    names, rest = patterns.names_of(found.images, wanted)
    return replace(found, images=names, others=[*found.others, *rest])


def _loose(folder: Path, name: str, faults: Faults, wanted: Sequence[str]) -> Listing | None:
    """Every image at any depth; its path is its id."""
    found = _below_folder(folder, wanted)
    if not found.images:
        faults.add(
            "folders without images",
            _("{name}: there is no image in {folder}{other_kind}").format(
                name=name, folder=folder, other_kind=_other_kind(folder, found)
            ),
        )
        return None
    rows = [(nfc(path), path) for path in found.images]
    notes = (*_left_out(name, found.others), *found.notes(name))
    return Listing(_made(name, (ID, PATH), rows), folder, ID, PATH, (), notes)


def _folders(
    folder: Path, name: str, faults: Faults, wanted: Sequence[str], test: Path | None = None
) -> Listing | None:
    """A folder per class, images at any depth below it; the path is the id. The folder `test` is no class."""
    found = _below_folder(folder, wanted)
    inside = [path for path in found.images if "/" in path and not _below(folder / path, folder, test)]
    others = [*found.others, *(path for path in found.images if "/" not in path)]
    if not inside:
        what = _other_kind(folder, found)
        faults.add(
            "folders without images",
            _("{name}: there is no folder with images in {folder}{what}").format(
                name=name, folder=folder, what=what
            ),
        )
        return None
    rows = [(nfc(path), path, nfc(path.split("/")[0])) for path in inside]
    notes = (*_left_out(name, others), *found.notes(name))
    return Listing(_made(name, (ID, PATH, CLASS), rows), folder, ID, PATH, (), notes)


def _named(folder: Path, settings: CompetitionSettings, faults: Faults, test: Path) -> Listing | None:
    """Images at any depth whose path holds the label, as in `cat.12.jpg`; the path is the id."""
    name, pattern = settings.train_images, settings.label_pattern
    assert pattern is not None, "a pattern of labels"
    found = _below_folder(folder, _patterns(settings))
    paths = [path for path in found.images if not _below(folder / path, folder, test)]
    if not paths:
        faults.add(
            "folders without images",
            _("{name}: there is no image in {folder}{other_kind}").format(
                name=name, folder=folder, other_kind=_other_kind(folder, found)
            ),
        )
        return None
    labels = patterns.groups_of(pattern, [nfc(path) for path in paths])
    for path in (p for p, label in zip(paths, labels, strict=True) if not label):
        faults.add(
            "paths without a label",
            _("{name}: label_pattern matches nothing in '{path}'").format(name=name, path=path),
        )
    rows = [(nfc(path), path, label or "") for path, label in zip(paths, labels, strict=True)]
    notes = (*_left_out(name, found.others), *found.notes(name))
    return Listing(_made(name, (ID, PATH, CLASS), rows), folder, ID, PATH, (), notes)


def _below(path: Path, folder: Path, test: Path | None) -> bool:
    """Whether an image below the class folders is in the test folder, which may be one of them."""
    return test is not None and test != folder and path.is_relative_to(test)


def _other_kind(folder: Path, found: Found) -> str:
    """What the files of a folder without images are, with what reads them; empty if they are not known."""
    known = containers.in_folder(folder, found.others)
    return ALSO.format(what=known) if known else ""


def _left_out(name: str, others: list[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (worded(texts.LEFT_OUT, name=name, files=len(others), first=others[0]),)


def _renamed(listing: Listing, old: str, new: str) -> Listing:
    columns = tuple(new if c == old else c for c in listing.table.columns)
    return replace(listing, table=replace(listing.table, columns=columns))


def _people(root: Path, settings: CompetitionSettings, faults: Faults) -> Listing | None:
    """One row per person becomes one row per photo.

    A person is identified by the folder and not by the id: the real table has one id for two people.
    """
    table = _read(settings, root, settings.train_table, faults)
    images = root / settings.train_images
    listed = Listing(table, images, ID, PATH, (root / settings.train_table,)) if table else None
    listed = _with_columns(listed, MASK_PERSON, faults)
    if listed is None:
        return None
    table = listed.table
    person = {column: table.column(column) for column in MASK_PERSON}
    on_disk = {nfc(p.name): p.name for p in images.iterdir()} if images.is_dir() else {}
    if not on_disk.keys() & {_folder_of(path) for path in person["path"]}:
        there = ", ".join(sorted(on_disk)[:SHOWN_FOLDERS]) or "nothing"
        text = _("{table}: none of the {n:,} people has a folder in {images}; there is: {there}").format(
            table=table.name, n=len(table), images=images, there=there
        )
        faults.add("missing images", text)
        return None
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    seen: dict[str, int] = {}
    short = 0
    for row, folder in enumerate(person["path"]):
        where = ROW_OF_ID.format(table=table.name, line=table.lines[row], id=person["id"][row])
        name = _folder_of(folder)
        if name in seen:
            first = table.lines[seen[name]]
            faults.add(
                "repeated folders",
                _("{where}: folder '{folder}' is already in row {first}").format(
                    where=where, folder=folder, first=first
                ),
            )
            continue
        seen[name] = row
        photos = _photos(images, on_disk.get(name, ""), where, faults)
        if not photos:
            faults.add(
                "missing images",
                _("{where}: there is no photo in folder '{folder}' of {images}").format(
                    where=where, folder=folder, images=images
                ),
            )
        short += 0 < len(photos) < len(MASK_PHOTOS)
        about = [person[column][row] for column in ("gender", "age", "race")]
        for stem, path in photos.items():
            rows.append((f"{name}/{stem}", path, name, MASK_PHOTOS[stem], *about))
            lines.append(table.lines[row])
    if not rows:
        return None
    made = Table(table.name, MASK_COLUMNS, tuple(rows), tuple(lines))
    notes = (*_encoding_note(table), *_people_notes(person["id"], on_disk.keys() - seen.keys(), short))
    return Listing(made, images, ID, PATH, listed.files, notes)


def _folder_of(written: str) -> str:
    """The name of a person's folder, whatever is written in front of it."""
    return nfc(written.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def _photos(images: Path, folder: str, where: str, faults: Faults) -> dict[str, str]:
    """Kind of photo -> path of one person's photos, in the competition's order."""
    if not folder or not (images / folder).is_dir():
        return {}
    photos: dict[str, str] = {}
    for file in sorted((images / folder).iterdir()):
        if hidden(file.name) or not file.is_file():
            continue
        stem = file.stem
        if stem not in MASK_PHOTOS or not image_suffix(file.name):
            known = ", ".join(MASK_PHOTOS)
            faults.add(
                "unknown photos",
                _("{where}: '{folder}/{file}' is not one of {known}").format(
                    where=where, folder=folder, file=file.name, known=known
                ),
            )
        elif stem in photos:
            faults.add(
                "ambiguous images",
                _("{where}: '{photos}' and '{file}' are the same photo").format(
                    where=where, photos=photos[stem], file=file.name
                ),
            )
        else:
            photos[stem] = f"{folder}/{file.name}"
    return {stem: photos[stem] for stem in MASK_PHOTOS if stem in photos}


def _people_notes(ids: Sequence[str], unlisted: Iterable[str], short: int) -> list[str]:
    notes = []
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        notes.append(worded(texts.SAME_ID, ids=len(twice), first=twice[0]))
    if short:
        notes.append(texts.FEW_PHOTOS.format(people=short, photos=len(MASK_PHOTOS)))
    loose = sorted(name for name in unlisted if not hidden(name))
    if loose:
        notes.append(worded(texts.UNLISTED, folders=len(loose), first=loose[0]))
    return notes
