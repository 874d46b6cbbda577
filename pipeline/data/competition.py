"""Reads a competition's tables, checks all of them at once, and joins the images by path.

Owns: tables, labels, groups and where images lie. Does not own the images' pixels (`images.py`; one
that does not decode is found there) nor how a demo's files are made (`demo.py`).

A row's number is the line in the file, as an editor or a spreadsheet shows it: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import stat
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.core.errors import SHOWN_FAULTS, ConfigError, DataError, nearest
from pipeline.core.types import Attribute, Ints, LabelSpace, Samples
from pipeline.settings.schema import AttributeSettings, CompetitionSettings

DELIMITERS = ",;\t"
# In this order: UTF-8 with or without a byte-order mark, then what Korean spreadsheets write.
ENCODINGS = ("utf-8-sig", "cp949")

Fault = tuple[str, str]


@dataclass(frozen=True)
class Data:
    """Both splits of a competition.

    Args:
        train: with labels.
        test: without.
        notes: what a person should know, one line each.
    """

    train: Samples
    test: Samples
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Table:
    """A table as text: `columns[name][i]` stands in line `lines[i]` of the file."""

    name: str
    columns: dict[str, list[str]]
    lines: list[int]
    notes: tuple[str, ...] = ()

    def where(self, row: int, id_column: str) -> str:
        """`train.csv row 12 (id 0a1f)`."""
        text = f"{self.name} row {self.lines[row]}"
        return f"{text} (id {self.columns[id_column][row]})" if id_column in self.columns else text


def label_space(settings: CompetitionSettings) -> LabelSpace:
    """The classes: every combination of the attributes' values, the last attribute running fastest.

    Raises:
        ConfigError: no attribute, values or display names that repeat or differ in number.
    """
    faults = [] if settings.attributes else ["it is empty"]
    for attribute in settings.attributes:
        names = attribute.names or attribute.values
        if len(names) != len(attribute.values):
            faults.append(f"{attribute.name}: {len(names)} names for {len(attribute.values)} values")
        for words in (attribute.values, names):
            twice = [word for word, count in Counter(words).items() if count > 1]
            faults += [f"{attribute.name}: `{word}` stands there more than once" for word in twice]
    if faults:
        raise ConfigError("competition.attributes: cannot build classes", list(dict.fromkeys(faults)))
    return LabelSpace.product(
        [Attribute(a.name, tuple(a.names or a.values), a.constant_in_group) for a in settings.attributes]
    )


def load(settings: CompetitionSettings, root: Path, fold_column: str | None = None) -> Data:
    """Read both tables and find every image.

    Args:
        settings: what the tables are called and mean.
        root: the folder that holds the competition's files.
        fold_column: column of the training table that names a row's fold, kept as text.

    Raises:
        ConfigError: the attributes build no classes.
        DataError: anything wrong with a table or a path: missing or unreadable tables, missing columns,
            no rows, empty or duplicate ids, empty or unknown labels, empty groups, missing images, paths
            that leave the image folder, an id in both tables. All faults of all kinds at once.
    """
    space = label_space(settings)
    faults: list[Fault] = []
    columns = [a.column for a in settings.attributes]
    grouped = [] if settings.group_column is None else [settings.group_column]
    basic = [settings.id_column, settings.path_column]
    given = [] if fold_column is None else [fold_column]
    train = _read(root, settings.train_table, [*basic, *columns, *grouped, *given], faults)
    test = _read(root, settings.test_table, basic, faults)
    labels: list[int] = []
    paths: dict[str, list[str]] = {"train": [], "test": []}
    for split, table, images in (
        ("train", train, settings.train_images),
        ("test", test, settings.test_images),
    ):
        if table is None:
            continue
        _check_ids(table, settings.id_column, faults)
        paths[split] = _find_images(table, settings, root / images, faults)
        if settings.group_column is not None:
            _check_filled(table, settings, settings.group_column, faults)
        if split == "train":
            labels = _labels(table, settings, space, faults)
    if train and test:
        _check_apart(train, test, settings.id_column, faults)
    if faults or train is None or test is None:
        raise _gathered(settings, root, faults)
    train_samples = _samples(train, settings, space, paths["train"], "train", np.array(labels, np.int64))
    if fold_column is not None:
        train_samples = replace(train_samples, folds_N=np.array(train.columns[fold_column]))
    test_samples = _samples(test, settings, space, paths["test"], "test", None)
    return Data(
        train_samples, test_samples, (*train.notes, *test.notes, *_shared_groups(train, test, settings))
    )


def input_files(settings: CompetitionSettings, root: Path) -> list[Path]:
    """The two tables and every image they name, each once, in sorted order: what results depend on.

    Raises:
        ConfigError, DataError: as `load`.
    """
    data = load(settings, root)
    images = {str(p) for p in (*data.train.paths_N, *data.test.paths_N)}
    return [root / settings.train_table, root / settings.test_table, *(Path(p) for p in sorted(images))]


def _read(root: Path, name: str, needed: Sequence[str], faults: list[Fault]) -> _Table | None:
    """The table, or None after telling `faults` what keeps it from being used."""
    try:
        raw = (root / name).read_bytes()
    except FileNotFoundError:
        faults.append(("missing tables", f"{name}: there is no such file in {root}"))
        return None
    except OSError as error:
        faults.append(("unreadable tables", f"{name}: {error.strerror}"))
        return None
    decoded = _decode(raw)
    if decoded is None:
        faults.append(("unreadable tables", f"{name}: is neither UTF-8 nor CP949 text"))
        return None
    text, encoding = decoded
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        faults.append(("unreadable tables", f"{name} row {reader.line_num}: {error}"))
        return None
    if not rows:
        faults.append(("empty tables", f"{name}: the file is empty"))
        return None
    table = _columns(name, rows, needed, faults)
    if table is None or encoding == ENCODINGS[0]:
        return table
    return _Table(name, table.columns, table.lines, (f"{name} was read as {encoding}: it is not UTF-8",))


def _decode(raw: bytes) -> tuple[str, str] | None:
    for encoding in ENCODINGS:
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return None


def _columns(
    name: str, rows: list[tuple[int, list[str]]], needed: Sequence[str], faults: list[Fault]
) -> _Table | None:
    header = [word.strip() for word in rows[0][1]]
    known = len(faults)
    for column in dict.fromkeys(needed):
        if header.count(column) > 1:
            faults.append(("repeated columns", f"{name}: column `{column}` stands there more than once"))
        elif column not in header:
            hint = nearest(column, header) or f"there are: {', '.join(header)}"
            faults.append(("missing columns", f"{name}: no column `{column}`; {hint}"))
    if not rows[1:]:
        faults.append(("empty tables", f"{name}: a header and no rows"))
    for line, row in rows[1:]:
        if len(row) != len(header):
            text = f"{name} row {line}: {len(row)} fields, but the header has {len(header)}"
            faults.append(("ragged rows", text))
    if len(faults) > known:
        return None
    body = [row for _, row in rows[1:]]
    columns = {column: [row[header.index(column)] for row in body] for column in header}
    return _Table(name, columns, [line for line, _ in rows[1:]])


def _check_ids(table: _Table, id_column: str, faults: list[Fault]) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(table.columns[id_column]):
        if not name.strip():
            faults.append(("empty ids", f"{table.name} row {table.lines[row]}: the id is empty"))
        elif name in seen:
            text = f"{table.where(row, id_column)}: the id is already in row {table.lines[seen[name]]}"
            faults.append(("duplicate ids", text))
        else:
            seen[name] = row


def _check_apart(train: _Table, test: _Table, id_column: str, faults: list[Fault]) -> None:
    rows = {name: row for row, name in enumerate(train.columns[id_column])}
    for row, name in enumerate(test.columns[id_column]):
        if name.strip() and name in rows:
            text = (
                f"{test.where(row, id_column)}: the id is also in {train.name} row {train.lines[rows[name]]}"
            )
            faults.append(("ids in both tables", text))


def _check_filled(table: _Table, settings: CompetitionSettings, column: str, faults: list[Fault]) -> None:
    for row, value in enumerate(table.columns.get(column, [])):
        if not value.strip():
            where = table.where(row, settings.id_column)
            faults.append(("empty groups", f"{where}: `{column}` is empty"))


def _labels(
    table: _Table, settings: CompetitionSettings, space: LabelSpace, faults: list[Fault]
) -> list[int]:
    """Class index per row; rows with a fault get some index, as nobody will see it."""
    codes_A = [_codes(table, settings, a, faults) for a in settings.attributes]
    sizes = [len(a.values) for a in space.attributes]
    return [int(i) for i in np.ravel_multi_index(codes_A, sizes)] if codes_A else []


def _codes(
    table: _Table, settings: CompetitionSettings, attribute: AttributeSettings, faults: list[Fault]
) -> list[int]:
    index = {value: code for code, value in enumerate(attribute.values)}
    codes = []
    for row, value in enumerate(table.columns[attribute.column]):
        codes.append(index.get(value, 0))
        if value in index:
            continue
        where = f"{table.where(row, settings.id_column)}: {attribute.name}"
        if not value.strip():
            faults.append(("empty labels", f"{where}: the label is empty"))
        else:
            shown = ", ".join(attribute.values[:6]) + (", …" if len(attribute.values) > 6 else "")
            hint = nearest(value, attribute.values, 1)
            text = f"{where}: label '{value}' is not one of {shown}"
            faults.append(("unknown labels", f"{text}; {hint}" if hint else text))
    return codes


def _find_images(
    table: _Table, settings: CompetitionSettings, folder: Path, faults: list[Fault]
) -> list[str]:
    """Absolute path of every row's image; every one lies inside `folder`, links followed."""
    real_root = folder.resolve()
    real_parents: dict[Path, Path] = {}
    found = []
    for row, written in enumerate(table.columns[settings.path_column]):
        kind, path = _locate(written, real_root, real_parents)
        found.append(path)
        if kind:
            where = table.where(row, settings.id_column)
            faults.append((kind, f"{where}: {_PATH_FAULTS[kind].format(path=written, folder=folder)}"))
    return found


_PATH_FAULTS = {
    "empty paths": "the path is empty",
    "paths outside": "'{path}' is absolute or leaves the image folder {folder}",
    "missing images": "there is no file '{path}' in {folder}",
}


def _locate(written: str, real_root: Path, real_parents: dict[Path, Path]) -> tuple[str, str]:
    """(kind of fault or "", path). `real_parents` remembers resolved folders: there are few of them."""
    if not written.strip():
        return "empty paths", ""
    if Path(written).is_absolute():
        return "paths outside", ""
    # macOS archives hold decomposed names (NFD) where tables are composed (NFC).
    forms = (written, unicodedata.normalize("NFC", written), unicodedata.normalize("NFD", written))
    for form in dict.fromkeys(forms):
        try:
            joined = real_root / form
            if joined.parent not in real_parents:
                real_parents[joined.parent] = joined.parent.resolve()
            path = real_parents[joined.parent] / joined.name
            if joined.name == ".." or not path.is_relative_to(real_root):
                return "paths outside", ""
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                path = path.resolve()
                mode = path.stat().st_mode
        except (OSError, ValueError):  # ValueError: a NUL inside the name
            continue
        if not path.is_relative_to(real_root):
            return "paths outside", ""
        if stat.S_ISREG(mode):
            return "", str(path)
    return "missing images", ""


def _samples(
    table: _Table,
    settings: CompetitionSettings,
    space: LabelSpace,
    paths: list[str],
    split: str,
    labels_N: Ints | None,
) -> Samples:
    ids = table.columns[settings.id_column]
    groups = table.columns.get(settings.group_column or "", ids)
    return Samples(np.array(ids), np.array(paths), np.array(groups), space, labels_N, split)


def _shared_groups(train: _Table, test: _Table, settings: CompetitionSettings) -> tuple[str, ...]:
    column = settings.group_column or ""
    shared = set(train.columns.get(column, [])) & set(test.columns.get(column, []))
    if not shared:
        return ()
    return (f"{len(shared)} groups have images in both tables (first: {min(shared)})",)


def _gathered(settings: CompetitionSettings, root: Path, faults: list[Fault]) -> DataError:
    """One error of all faults, by kind; where not all can be shown, some of every kind come first."""
    kinds: dict[str, list[str]] = {}
    for kind, text in faults:
        kinds.setdefault(kind, []).append(text)
    told = ", ".join(f"{len(texts)} {kind}" for kind, texts in kinds.items())
    share = max(SHOWN_FAULTS // len(kinds), 1) if len(faults) > SHOWN_FAULTS else len(faults)
    first = [text for texts in kinds.values() for text in texts[:share]]
    rest = [text for texts in kinds.values() for text in texts[share:]]
    return DataError(
        f"competition {settings.name} in {root}: {told}",
        first + rest,
        "mend the files, or the names in competition.* (tables, columns, values, image folders)",
    )
