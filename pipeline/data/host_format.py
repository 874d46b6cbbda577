"""Submissions in the host's format: writing, reading and checking whole files.

Owns which columns hold the answers, and which ids are missing, extra, repeated or in another order. Does not
own what a cell says (`data/answer_cells.py`), several rows an image (`data/long_form.py`), the ledger of
scores (`submit/ledger.py`) nor the provenance beside a submission (the stage writes that).

The host's sample is the authority on ids, their order and the columns. Rows are joined by id. Ids are text:
leading zeros stay. A spreadsheet, or a reader that guesses types, takes `007` for the number 7, and writes
`7`, `7.0` or `7E+00`. Such an id is recovered only where it can mean exactly one id of the sample and no
other row has it.

Shape legend: N samples, K columns of predictions.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _, joined
from pipeline.core.predictions import Prediction, Probabilities
from pipeline.core.samples import LabelSpace, Strings, refuse_duplicates
from pipeline.core.tables import Table, format_table, read_table
from pipeline.core.targets import VALUES, Target
from pipeline.core.wording import worded
from pipeline.data import answer_cells, long_form, texts
from pipeline.data.answer_cells import NUMBERS, Parsed, columns_of
from pipeline.record.files import write_atomic
from pipeline.settings.submission import SubmissionSettings

log = logging.getLogger(__name__)

COLUMNS_REMEDY = _("name the columns as the host does, or fix competition.submission in the settings")
ID_FAULT, EXTRA_IDS = _("{ids} {what}: {some}"), _("extra, not in the sample")
EXTRA_OF_TEST = _("of the test set, but not in the sample")
SHOWN = 20
NUMBER = re.compile(r"\d{1,40}(?:[.,]\d{1,40})?(?:[eE]\+?\d{1,2})?")
SHORTENED = re.compile(r"\d[.,]\d+[eE]\+?\d+")


def answer_columns(table: Table, space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The names of the answers: one, or one per class, attribute, label or value.

    They are columns of the table, or in long form names in its rows. Probability columns are named by class,
    by the settings, or by index, 0 to K-1.

    Raises:
        DataError: a column is missing.
    """
    named = columns_of(space, settings)
    if settings.long:
        table.require(long_form.columns_needed(settings), COLUMNS_REMEDY)
        return named
    if settings.format == "probabilities" and settings.columns is None:
        by_index = tuple(str(c) for c in range(space.n_classes))
        # Names first: columns 0, 1, 10, 11, 2, … of classes that are called so are names and no numbers.
        if not set(named) <= set(table.columns) and set(by_index) <= set(table.columns):
            named = by_index
    table.require((settings.id_column, *named), COLUMNS_REMEDY)
    return named


def columns_in(table: Table, answers: Sequence[str], settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns of the table that hold the answers, which in long form are not called like them."""
    return long_form.answers_in(table, settings) if settings.long else tuple(answers)


def parse(
    table: Table, ids: Sequence[str], answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """The answers of a table, in the order of its images; `ids` name the rows in faults.

    In long form, the images are in the order in which they come first, and the rows name themselves.
    """
    if not settings.long:
        return answer_cells.parse(table, ids, answers, space, settings)
    wide = long_form.side_by_side(table, answers, settings)
    names = wide.table.column(settings.id_column)
    parsed = answer_cells.parse(wide.table, names, answers, space, settings)
    # Cells of missing rows are empty, and no faults of their own.
    return Parsed(parsed.answers, parsed.p_NK, wide.faults or parsed.faults)


def described(host: Table, space: LabelSpace, settings: SubmissionSettings) -> str:
    """What a submission will hold, in words: `1 row per id, 1 column `target` = probability of class `1``."""
    answers = answer_columns(host, space, settings)
    what = answer_cells.described(answers, space, settings)
    copied = texts.WRITTEN_COPIED.format(columns=", ".join(settings.copied)) if settings.copied else ""
    if settings.long:
        rows = settings.long_id or f"{settings.id_column}, {settings.long_column}"
        about = {"id": settings.id_column, "rows": rows, "copied": copied}
        return texts.WRITTEN_LONG.format(what=what.replace("column", "answer", 1), **about)
    return texts.WRITTEN.format(id=settings.id_column, what=what, copied=copied)


def refuse_unfilled(host: Table, answers: Sequence[str], settings: SubmissionSettings) -> None:
    """Raise DataError for columns of the host's sample that nothing fills: they would be submitted as is."""
    known = {settings.id_column, *answers, *settings.copied}
    if settings.long:
        columns = long_form.answers_in(host, settings)
        levels = {name.rpartition(long_form.BETWEEN)[2] for name in answers}
        known |= {*long_form.columns_needed(settings), *(columns if len(columns) == 1 else levels)}
    unfilled = [c for c in host.columns if c not in known]
    if unfilled:
        raise DataError(
            _("{host}: {n} of its columns would be copied from the sample as they are").format(
                host=host.name, n=len(unfilled)
            ),
            [
                _("column {name!r}, e.g. {cell!r}").format(name=c, cell=host.column(c)[0])
                if len(host)
                else _("column {name!r}").format(name=c)
                for c in unfilled
            ],
            _(
                "if they are answers, competition.submission.format does not fit the sample; if not, name "
                "them in competition.submission.copied"
            ),
        )


def some(ids: Sequence[str]) -> str:
    """At most 20 ids, and how many more there are."""
    more = _(" … and {n} more").format(n=len(ids) - SHOWN) if len(ids) > SHOWN else ""
    return ", ".join(repr(i) for i in ids[:SHOWN]) + more


def id_faults(wanted: Sequence[str], given: Sequence[str], extra_is: str = EXTRA_IDS) -> list[str]:
    """Faults of the given ids, one line per kind: missing, extra, more than once.

    Args:
        wanted: the ids that are asked for.
        given: those that are there.
        extra_is: what an id is that is not asked for.
    """
    asked, had = set(wanted), set(given)
    counts = Counter(given)
    missing = [i for i in dict.fromkeys(wanted) if i not in had]
    extra = [i for i in counts if i not in asked]
    twice = [i for i, times in counts.items() if times > 1]
    kinds = ((_("missing"), missing), (extra_is, extra), (_("more than once"), twice))
    faults = [ID_FAULT.format(ids=_count(ids), what=what, some=some(ids)) for what, ids in kinds if ids]
    short = [i for i in extra if SHORTENED.fullmatch(i)]
    if short and missing:
        faults.append(
            _(
                "{count} shortened by a spreadsheet, digits are lost ({short}): export again, with the id "
                "column as text"
            ).format(count=_count(short), short=some(short[:3]))
        )
    return faults


def found_again(wanted: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Given id → the sample's, for ids that were read as numbers; only if there is exactly one match."""
    asked, had = set(wanted), set(given)
    # An id that the file contains unchanged is left out: no other id can mean it too.
    free = _by_number(i for i in dict.fromkeys(wanted) if i not in had)
    odd = _by_number(i for i in dict.fromkeys(given) if i not in asked)
    alone = {value: ids[0] for value, ids in odd.items() if len(ids) == len(free.get(value, ())) == 1}
    return {given_id: free[value][0] for value, given_id in alone.items()}


def renamed_line(renamed: dict[str, str]) -> str:
    """One line about ids that were read as numbers."""
    pairs = [texts.READ_AS_NUMBERS_PAIR.format(old=old, new=new) for old, new in list(renamed.items())[:3]]
    more = " …" if len(renamed) > len(pairs) else ""
    return texts.READ_AS_NUMBERS.format(ids=_count(renamed), pairs=joined(", ", pairs) + more)


def _by_number(ids: Iterable[str]) -> dict[int, list[str]]:
    by_number: dict[int, list[str]] = {}
    for i in ids:
        if NUMBER.fullmatch(i):
            value = Decimal(i.replace(",", "."))
            if value == value.to_integral_value():
                by_number.setdefault(int(value), []).append(i)
    return by_number


def _count(ids: Sequence[str] | dict[str, str]) -> str:
    return worded(texts.IDS, n=len(ids))


def write(
    path: Path,
    probabilities: Probabilities,
    space: LabelSpace,
    settings: SubmissionSettings,
    sample: Path,
    encoding: str | None = None,
) -> None:
    """A submission with the sample's ids, order and columns; those in `copied` are copied.

    The write is atomic, in UTF-8. `encoding` is `competition.encoding`.

    Raises:
        DataError: the sample is malformed, or the predicted ids or classes are not those of the sample.
    """
    host = read_table(sample, encoding=encoding)
    answers = answer_columns(host, space, settings)
    refuse_unfilled(host, answers, settings)
    ids = images_of(host, answers, settings)
    faults = id_faults(ids, probabilities.ids_N.tolist())
    if faults:
        raise DataError(
            _("{path}: {probabilities} does not predict what {sample} asks for").format(
                path=path.name, probabilities=probabilities.name, sample=sample.name
            ),
            faults,
            _("the test table and the sample must list the same images"),
        )
    p_NK = probabilities.with_classes(space.classes).take(np.array(ids, dtype=np.str_)).p_NC
    cells = answer_cells.host_cells(p_NK, answers, space, settings)
    if settings.long:
        cells = long_form.stacked(host, ids, cells, settings)
    if settings.format in NUMBERS:
        held = columns_in(host, answers, settings)
        cells = {column: numbers_like(host, held, values) for column, values in cells.items()}
    columns = [cells.get(name, host.written(name)) for name in host.columns]
    rows = list(zip(*columns, strict=True))
    write_atomic(path, format_table(host.columns, rows, host.delimiter))


def numbers_like(host: Table, answers: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Numbers with the decimal sign of the sample's answers."""
    comma = host.has_decimal_commas(answers)
    return [cell.replace(".", ",") for cell in cells] if comma else list(cells)


def read(
    path: Path,
    space: LabelSpace,
    settings: SubmissionSettings,
    sample: Path | None = None,
    encoding: str | None = None,
) -> Prediction:
    """A host-format CSV from anywhere: BOM, semicolons, tabs, any line ends, rows in any order.

    `encoding` is `competition.encoding`. The file's stem becomes the prediction's name. With the host's
    sample, the ids must be the same, and are put in its order; those that were read as numbers are recovered,
    and that is logged.

    Raises:
        DataError: columns, ids or values that do not fit, all of them named.
    """
    table = read_table(path, encoding=encoding)
    answers = answer_columns(table, space, settings)
    ids = keys(table, settings)
    host = None if sample is None else read_table(sample, encoding=encoding)
    wanted = ids if host is None else _sample_ids(host, settings)
    renamed = found_again(wanted, ids)
    if renamed:
        log.warning(
            _("{table}: {renamed_line}; these ids are used").format(
                table=table.name, renamed_line=renamed_line(renamed)
            )
        )
        ids = [renamed.get(i, i) for i in ids]
    faults = id_faults(wanted, ids)
    if settings.long and not faults:
        # Rows that are all there, and no others: what is left to say is said an image at a time.
        table = _renamed(table, renamed, settings)
        wide = long_form.side_by_side(table, answers, settings)
        _refuse(table, wide.faults)
        table, ids = wide.table, list(wide.table.column(settings.id_column))
        wanted = ids if host is None else images_of(host, answers, settings)
        parsed = answer_cells.parse(table, ids, answers, space, settings)
    elif settings.long:
        parsed = Parsed(np.zeros(len(ids), np.int64), None, ())
    else:
        parsed = answer_cells.parse(table, ids, answers, space, settings)
    _refuse(table, [*faults, *parsed.faults])
    named, target = np.array(ids, dtype=np.str_), Target.of(space)
    p = None
    if parsed.p_NK is not None:
        p = Probabilities.of(target, named, target.normalised(parsed.p_NK), path.stem)
    prediction = Prediction(named, parsed.answers, p, path.stem)
    return prediction.take(np.array(wanted, dtype=np.str_))


def fits(
    sample: Path, ids_N: Strings, space: LabelSpace, settings: SubmissionSettings, encoding: str | None = None
) -> None:
    """Check that the host's sample asks for exactly these images, in the columns of the settings.

    `encoding` is `competition.encoding`.

    Raises:
        DataError: the sample is missing or malformed, or lists other ids.
    """
    host = read_table(sample, encoding=encoding)
    answers = answer_columns(host, space, settings)
    refuse_unfilled(host, answers, settings)
    _sample_ids(host, settings)
    faults = id_faults(images_of(host, answers, settings), ids_N.tolist(), EXTRA_OF_TEST)
    if faults:
        raise DataError(
            _("{sample} does not list the images of the test set").format(sample=sample.name),
            faults,
            _("fix competition.test_table, test_id_column or sample_submission"),
        )


def sample_of(ids: Sequence[str], space: LabelSpace, settings: SubmissionSettings) -> bytes:
    """A sample submission for these ids, like that of a host."""
    answers = columns_of(space, settings)
    even = 0.0 if space.kind == VALUES else round(1 / max(Target.of(space).widths or (space.n_classes,)), 6)
    if space.kind == "labels" and not Target.of(space).blocks:
        even = 0.5
    by_column = answer_cells.host_cells(
        np.full((1, space.n_classes), even, np.float32), answers, space, settings
    )
    if settings.long:
        return _long_sample(ids, {name: cells[0] for name, cells in by_column.items()}, settings)
    cells = [by_column[column][0] for column in answers]
    return format_table((settings.id_column, *answers), [(i, *cells) for i in ids])


def _long_sample(ids: Sequence[str], cells: dict[str, str], settings: SubmissionSettings) -> bytes:
    """One row for each image and answer; levels of a label are rows, too."""
    rows = [
        (*long_form.id_cells(image, name, settings), cell) for image in ids for name, cell in cells.items()
    ]
    return format_table((*long_form.columns_needed(settings), settings.label_column), rows)


def check(
    path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings, encoding: str | None = None
) -> None:
    """Compare a submission with the host's sample, as strictly as a host that joins by position.

    `encoding` is `competition.encoding`.

    Raises:
        DataError: names every fault: columns, ids missing, extra or twice, rows in another order,
            unknown classes, cells that are not numbers, or rows that do not sum to 1.
    """
    table = read_table(path, encoding=encoding)
    _refuse(table, faults_of(table, read_table(sample, encoding=encoding), space, settings))


def faults_of(table: Table, host: Table, space: LabelSpace, settings: SubmissionSettings) -> list[str]:
    """The faults for which `check` rejects a table, one line each; `host` is the sample.

    Raises:
        DataError: the sample itself is malformed.
    """
    faults = []
    if table.columns != host.columns:
        faults.append(
            _("columns are {columns}; the sample's are {asked}").format(
                columns=", ".join(table.columns), asked=", ".join(host.columns)
            )
        )
    if table.delimiter != host.delimiter:
        faults.append(
            _("cells are separated by {delimiter!r}; the sample's by {asked!r}").format(
                delimiter=table.delimiter, asked=host.delimiter
            )
        )
    wanted = _sample_ids(host, settings)
    answers = answer_columns(host, space, settings)
    if not set(columns_of_keys(settings)) <= set(table.columns):
        return faults
    ids = keys(table, settings)
    renamed = found_again(wanted, ids)
    if renamed:
        faults.append(renamed_line(renamed))
    ids = [renamed.get(i, i) for i in ids]
    odd = id_faults(wanted, ids)
    # If ids are missing or extra, the order of the other rows means nothing.
    if not odd and ids != wanted:
        n = next(n for n, (a, b) in enumerate(zip(ids, wanted, strict=True)) if a != b)
        odd = [f"order: row {n + 1} is {ids[n]!r}, the sample has {wanted[n]!r} there"]
    faults += odd
    held = columns_in(host, answers, settings)
    if set(held) <= set(table.columns):
        if settings.format in NUMBERS and host.has_decimal_commas(held):
            points = [cell for a in held for cell in table.written(a) if "." in cell]
            faults += [texts.DECIMAL_POINTS.format(cell=points[0])] if points else []
        # In long form, rows that are missing or extra were told above.
        if not (settings.long and odd):
            faults += parse(table, ids, answers, space, settings).faults
    return faults


def columns_of_keys(settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns without which the rows of a table cannot be told apart."""
    return long_form.columns_needed(settings) if settings.long else (settings.id_column,)


def keys(table: Table, settings: SubmissionSettings) -> list[str]:
    """What identifies each row: its id; in long form with the name of its answer.

    Raises:
        DataError: a column is missing.
    """
    table.require(columns_of_keys(settings), COLUMNS_REMEDY)
    return long_form.keys(table, settings) if settings.long else list(table.column(settings.id_column))


def images_of(host: Table, answers: Sequence[str], settings: SubmissionSettings) -> list[str]:
    """The images that the sample asks for, in its order.

    Raises:
        DataError: a row of a sample in long form names no answer of the settings, or an image lacks one.
    """
    if not settings.long:
        return _sample_ids(host, settings)
    wide = long_form.side_by_side(host, answers, settings)
    if wide.faults:
        raise DataError(
            _("sample {host}: its rows are not one for each image and answer").format(host=host.name),
            list(wide.faults),
            _(
                "fix competition.submission.long_id, long_column or columns; the answers are: {answers}"
            ).format(answers=answer_cells.some_words(answers)),
        )
    return list(wide.table.column(settings.id_column))


def _renamed(table: Table, renamed: dict[str, str], settings: SubmissionSettings) -> Table:
    """The table with ids as the sample writes them, where they were read as numbers."""
    at = table.at[settings.id_column]
    if not renamed or settings.long_column is not None:
        return table
    rows = [(*row[:at], renamed.get(row[at], row[at]), *row[at + 1 :]) for row in table.rows]
    return replace(table, rows=tuple(rows))


def _sample_ids(host: Table, settings: SubmissionSettings) -> list[str]:
    ids = keys(host, settings)
    refuse_duplicates(np.array(ids, dtype=np.str_), f"sample {host.name}")
    return ids


def _refuse(table: Table, faults: Sequence[str]) -> None:
    if faults:
        raise DataError(
            _("{table}: {n:fault}").format(table=table.name, n=len(faults)),
            faults,
            _("fix the file; if only its form is wrong, make validate FILE=… OUT=fixed.csv does it"),
        )
