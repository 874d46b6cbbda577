"""Submissions in the host's format: writing, reading and checking them, ids and cells included.

Owns whole files, which columns hold the answer, turning probabilities into cells and cells into labels, and
which ids are missing, extra or repeated. Does not own the ledger of scores (`submit/ledger.py`) nor the
provenance beside a submission (the stage writes that).

The host's sample is the authority on ids, their order and the columns. Rows are joined by id. Ids are text:
leading zeros stay. A spreadsheet, or a reader that guesses types, takes `007` for the number 7, and writes
`7`, `7.0` or `7E+00`. Such an id is recovered only where it can mean exactly one id of the sample and no
other row has it.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from pipeline.core.errors import ConfigError, DataError, Suggestions
from pipeline.core.predictions import Prediction, Probabilities
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings, refuse_duplicates
from pipeline.core.tables import Table, format_table, read_table
from pipeline.core.targets import ROW_SUM_TOLERANCE, Target, most_probable
from pipeline.data import texts
from pipeline.record.files import write_atomic
from pipeline.settings.competition import SubmissionSettings

log = logging.getLogger(__name__)

COLUMNS_REMEDY = "name the columns as the host does, or fix competition.submission in the settings"
SHOWN = 20
# The formats whose answers are numbers and not names.
NUMBERS = ("probability", "probabilities")
NUMBER = re.compile(r"\d{1,40}(?:[.,]\d{1,40})?(?:[eE]\+?\d{1,2})?")
SHORTENED = re.compile(r"\d[.,]\d+[eE]\+?\d+")


@dataclass(frozen=True)
class Parsed:
    """Values of a table: labels, probabilities in class order if it has any, and its faults."""

    labels_N: Ints
    p_NC: Floats | None
    faults: tuple[str, ...]


def answer_columns(table: Table, space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns of the answer: one, one per class in class order, or one per attribute.

    Probability columns are named by class, by the settings, or by index, 0 to C-1.

    Raises:
        DataError: one of them is missing.
    """
    named = columns_of(space, settings)
    if settings.format == "probabilities" and settings.columns is None:
        by_index = tuple(str(c) for c in range(space.n_classes))
        named = by_index if set(by_index) <= set(table.columns) else named
    table.require((settings.id_column, *named), COLUMNS_REMEDY)
    return named


def columns_of(space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns of the answer as the settings name them."""
    target = Target.of(space)
    if settings.format == "probabilities":
        return tuple((settings.columns or {}).get(c, c) for c in target.columns)
    target.require_exclusive(f"competition.submission.format={settings.format}")
    if settings.format == "attributes":
        return tuple((settings.columns or {}).get(a.name, a.name) for a in space.attributes)
    return (settings.label_column,)


def host_cells(
    p_NC: Floats, answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> dict[str, list[str]]:
    """The answer columns as text, by column.

    With format=attributes each image gets the attributes of its most probable class, so that the file
    contains what was scored.
    """
    if settings.format == "probabilities":
        return {column: [str(v) for v in p_N] for column, p_N in zip(answers, p_NC.T, strict=True)}
    if settings.format == "probability":
        # Sums of float32 may exceed 1 by rounding, which some hosts refuse.
        p_N = np.minimum(p_NC[:, positive_of(space, settings)].sum(axis=1), np.float32(1))
        return {answers[0]: [str(v) for v in p_N]}
    labels_N = Target.of(space).answers(p_NC)
    if settings.format == "attributes":
        words = _words(space, settings)
        codes_NA = space.codes_CA[labels_N]
        return {c: [words[a][v] for v in codes_NA[:, a].tolist()] for a, c in enumerate(answers)}
    written = vocabulary(space, settings)
    return {answers[0]: [written[c] for c in labels_N.tolist()]}


def vocabulary(space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """(C,) what is written for each class, for class_index and class_name."""
    if settings.format != "class_name":
        return tuple(str(c) for c in range(space.n_classes))
    if settings.words is None and settings.separator is None:
        return space.classes
    words, between = _words(space, settings), " · " if settings.separator is None else settings.separator
    return tuple(between.join(words[a][v] for a, v in enumerate(codes)) for codes in space.codes_CA.tolist())


def positive_of(space: LabelSpace, settings: SubmissionSettings) -> list[int]:
    """The class indices whose summed probability is written, for format=probability.

    Raises:
        ConfigError: a name is not a class.
    """
    unknown = [name for name in settings.positive or () if name not in space.classes]
    if unknown or not settings.positive:
        raise ConfigError(
            f"competition.submission.positive: {', '.join(unknown) or 'it is missing'}",
            remedy=f"name one or several of: {some_words(space.classes)}",
        )
    return [space.classes.index(name) for name in settings.positive]


def parse(
    table: Table, ids: Sequence[str], answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """Cells as labels and probabilities; `ids` name the rows in faults."""
    if settings.format == "probabilities":
        return _probabilities(table, ids, answers, Target.of(space))
    if settings.format == "probability":
        return _probability(table, ids, answers[0], space, settings)
    if settings.format == "attributes":
        return _attributes(table, ids, answers, space, settings)
    known = {_composed(word): c for c, word in enumerate(vocabulary(space, settings))}
    labels, faults = np.zeros(len(ids), np.int64), []
    near = Suggestions(known)
    for n, value in enumerate(map(_composed, table.column(answers[0]))):
        if value in known:
            labels[n] = known[value]
        elif settings.format == "class_name":
            hint = near.of(value)
            faults.append(f"id {ids[n]!r}: {value!r} is not a class{f'; {hint}' if hint else ''}")
        else:
            faults.append(f"id {ids[n]!r}: {value!r} is not a class index 0…{space.n_classes - 1}")
    return Parsed(labels, None, tuple(faults))


def number(text: str) -> float:
    """A cell as a number, NaN if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _words(space: LabelSpace, settings: SubmissionSettings) -> list[Sequence[str]]:
    """The host's names of the values of each attribute."""
    return [(settings.words or {}).get(a.name, a.values) for a in space.attributes]


def _attributes(
    table: Table, ids: Sequence[str], answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    known = [{_composed(word): v for v, word in enumerate(words)} for words in _words(space, settings)]
    classes = {tuple(codes): c for c, codes in enumerate(space.codes_CA.tolist())}
    columns = [[_composed(value) for value in table.column(column)] for column in answers]
    labels, faults = np.zeros(len(ids), np.int64), []
    near = [Suggestions(words) for words in known]
    for n, row in enumerate(zip(*columns, strict=True)):
        codes = tuple(words.get(value, -1) for value, words in zip(row, known, strict=True))
        for column, value, similar, code in zip(answers, row, near, codes, strict=True):
            if code < 0:
                hint = f"; {found}" if (found := similar.of(value)) else ""
                faults.append(f"id {ids[n]!r}: {column} {value!r} is not one of its values{hint}")
        if codes in classes:
            labels[n] = classes[codes]
        elif min(codes) >= 0:
            faults.append(f"id {ids[n]!r}: no class is {', '.join(row)}")
    return Parsed(labels, None, tuple(faults))


def _composed(text: str) -> str:
    # macOS decomposes Hangul and accents; the same name must remain the same class.
    return unicodedata.normalize("NFC", text)


def _probabilities(table: Table, ids: Sequence[str], answers: Sequence[str], target: Target) -> Parsed:
    p = np.array([[number(value) for value in table.column(column)] for column in answers]).T
    p = p.reshape(len(ids), len(answers))
    faults = []
    for n, (p_C, off) in enumerate(zip(p, target.off_N(p), strict=True)):
        if not np.isfinite(p_C).all():
            c = int(np.argmin(np.isfinite(p_C)))
            faults.append(f"id {ids[n]!r}: column {answers[c]!r} is not a number")
        elif (p_C < 0).any():
            faults.append(f"id {ids[n]!r}: column {answers[int(np.argmin(p_C))]!r} is negative")
        elif off > ROW_SUM_TOLERANCE:
            faults.append(f"id {ids[n]!r}: sums to {p_C.sum():.4g}, not 1")
    return Parsed(target.answers(p), p, tuple(faults))


def _probability(
    table: Table, ids: Sequence[str], answer: str, space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """One probability per row; the classes on each side of it share it equally, because nothing says more."""
    p_N = np.array([number(value) for value in table.column(answer)]).reshape(len(ids))
    faults = []
    for n in np.flatnonzero(~((p_N >= 0) & (p_N <= 1))).tolist():
        what = "is not a number" if np.isnan(p_N[n]) else "is not between 0 and 1"
        faults.append(f"id {ids[n]!r}: {answer} {table.column(answer)[n]!r} {what}")
    at = positive_of(space, settings)
    others = [c for c in range(space.n_classes) if c not in at]
    p_NC = np.zeros((len(ids), space.n_classes))
    p_NC[:, at] = p_N[:, None] / len(at)
    p_NC[:, others] = (1 - p_N[:, None]) / len(others)
    return Parsed(most_probable(np.nan_to_num(p_NC)), p_NC.astype(np.float32), tuple(faults))


def some_words(words: Sequence[str], shown: int = 6) -> str:
    """The first words, and how many there are where some are left out."""
    return ", ".join(words[:shown]) + (f", … ({len(words)} in all)" if len(words) > shown else "")


def described(host: Table, space: LabelSpace, settings: SubmissionSettings) -> str:
    """What a submission will hold, in words: `1 row per id, 1 column `target` = probability of class `1``."""
    answers = answer_columns(host, space, settings)
    if settings.format == "probability":
        classes = [space.classes[c] for c in positive_of(space, settings)]
        text = texts.WRITTEN_PROBABILITY if len(classes) == 1 else texts.WRITTEN_SUM
        what = text.format(column=answers[0], classes=", ".join(f"`{c}`" for c in classes))
    elif settings.format == "probabilities":
        what = texts.WRITTEN_PROBABILITIES.format(count=len(answers), columns=some_words(answers))
    elif settings.format == "attributes":
        words = [some_words(list(w)) for w in _words(space, settings)]
        columns = [f"`{c}` = {w}" for c, w in zip(answers, words, strict=True)]
        what = texts.WRITTEN_ATTRIBUTES.format(count=len(answers), columns="; ".join(columns))
    elif settings.format == "class_index":
        pairs = [f"{c} = {name}" for c, name in enumerate(space.classes)]
        what = texts.WRITTEN_INDEX.format(column=answers[0], words=some_words(pairs))
    else:
        what = texts.WRITTEN_NAME.format(column=answers[0], words=some_words(vocabulary(space, settings)))
    copied = texts.WRITTEN_COPIED.format(columns=", ".join(settings.copied)) if settings.copied else ""
    return texts.WRITTEN.format(id=settings.id_column, what=what, copied=copied)


def refuse_unfilled(host: Table, answers: Sequence[str], settings: SubmissionSettings) -> None:
    """Raise DataError for columns of the host's sample that nothing fills: they would be submitted as is."""
    known = {settings.id_column, *answers, *settings.copied}
    unfilled = [c for c in host.columns if c not in known]
    if unfilled:
        raise DataError(
            f"{host.name}: {len(unfilled)} of its columns would be copied from the sample as they are",
            [f"column {c!r}, e.g. {host.column(c)[0]!r}" if len(host) else f"column {c!r}" for c in unfilled],
            "if they are answers, competition.submission.format does not fit the sample; if not, name them "
            "in competition.submission.copied",
        )


def some(ids: Sequence[str]) -> str:
    """At most 20 ids, and how many more there are."""
    more = f" … and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(repr(i) for i in ids[:SHOWN]) + more


def id_faults(wanted: Sequence[str], given: Sequence[str]) -> list[str]:
    """Faults of the given ids, one line per kind: missing, extra, more than once."""
    asked, had = set(wanted), set(given)
    counts = Counter(given)
    missing = [i for i in dict.fromkeys(wanted) if i not in had]
    extra = [i for i in counts if i not in asked]
    twice = [i for i, times in counts.items() if times > 1]
    kinds = {"missing": missing, "extra, not in the sample": extra, "more than once": twice}
    faults = [f"{_count(ids)} {what}: {some(ids)}" for what, ids in kinds.items() if ids]
    short = [i for i in extra if SHORTENED.fullmatch(i)]
    if short and missing:
        faults.append(
            f"{_count(short)} shortened by a spreadsheet, digits are lost ({some(short[:3])}): export again, "
            "with the id column as text"
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
    return texts.READ_AS_NUMBERS.format(ids=_count(renamed), pairs=", ".join(pairs) + more)


def _by_number(ids: Iterable[str]) -> dict[int, list[str]]:
    by_number: dict[int, list[str]] = {}
    for i in ids:
        if NUMBER.fullmatch(i):
            value = Decimal(i.replace(",", "."))
            if value == value.to_integral_value():
                by_number.setdefault(int(value), []).append(i)
    return by_number


def _count(ids: Sequence[str] | dict[str, str]) -> str:
    return f"{len(ids)} id{'' if len(ids) == 1 else 's'}"


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
    ids = _sample_ids(host, settings)
    faults = id_faults(ids, probabilities.ids_N.tolist())
    if faults:
        raise DataError(
            f"{path.name}: {probabilities.name} does not predict what {sample.name} asks for",
            faults,
            "the test table and the sample must list the same images",
        )
    p_NC = probabilities.with_classes(space.classes).take(np.array(ids, dtype=np.str_)).p_NC
    cells = host_cells(p_NC, answers, space, settings)
    if settings.format in NUMBERS:
        cells = {column: numbers_like(host, answers, values) for column, values in cells.items()}
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
    ids = _ids(table, settings)
    wanted = ids if sample is None else _sample_ids(read_table(sample, encoding=encoding), settings)
    renamed = found_again(wanted, ids)
    if renamed:
        log.warning("%s: %s; these ids are used", table.name, renamed_line(renamed))
        ids = [renamed.get(i, i) for i in ids]
    faults = id_faults(wanted, ids)
    parsed = parse(table, ids, answers, space, settings)
    _refuse(table, [*faults, *parsed.faults])
    p = None
    if parsed.p_NC is not None:
        p_NC = Target.of(space).normalised(parsed.p_NC)
        p = Probabilities.of(Target.of(space), np.array(ids, dtype=np.str_), p_NC, path.stem)
    prediction = Prediction(np.array(ids, dtype=np.str_), parsed.labels_N, p, path.stem)
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
    refuse_unfilled(host, answer_columns(host, space, settings), settings)
    faults = id_faults(_sample_ids(host, settings), ids_N.tolist())
    if faults:
        raise DataError(
            f"{sample.name} does not list the images of the test set",
            [f.replace("extra, not in the sample", "of the test set, but not in the sample") for f in faults],
            "fix competition.test_table, test_id_column or sample_submission",
        )


def sample_of(ids: Sequence[str], space: LabelSpace, settings: SubmissionSettings) -> bytes:
    """A sample submission for these ids, like that of a host."""
    columns = columns_of(space, settings)
    uniform_1C = np.full((1, space.n_classes), round(1 / space.n_classes, 6))
    by_column = host_cells(uniform_1C, columns, space, settings)
    cells = [by_column[column][0] for column in columns]
    return format_table((settings.id_column, *columns), [(i, *cells) for i in ids])


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
        faults.append(f"columns are {', '.join(table.columns)}; the sample's are {', '.join(host.columns)}")
    if table.delimiter != host.delimiter:
        faults.append(f"cells are separated by {table.delimiter!r}; the sample's by {host.delimiter!r}")
    wanted = _sample_ids(host, settings)
    answers = answer_columns(host, space, settings)
    if settings.id_column not in table.columns:
        return faults
    ids = _ids(table, settings)
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
    if set(answers) <= set(table.columns):
        if settings.format in NUMBERS and host.has_decimal_commas(answers):
            points = [cell for a in answers for cell in table.written(a) if "." in cell]
            faults += [texts.DECIMAL_POINTS.format(cell=points[0])] if points else []
        faults += parse(table, ids, answers, space, settings).faults
    return faults


def _ids(table: Table, settings: SubmissionSettings) -> list[str]:
    table.require((settings.id_column,), COLUMNS_REMEDY)
    return list(table.column(settings.id_column))


def _sample_ids(host: Table, settings: SubmissionSettings) -> list[str]:
    ids = _ids(host, settings)
    refuse_duplicates(np.array(ids, dtype=np.str_), f"sample {host.name}")
    return ids


def _refuse(table: Table, faults: Sequence[str]) -> None:
    if faults:
        raise DataError(
            f"{table.name}: {len(faults)} fault{'' if len(faults) == 1 else 's'}",
            faults,
            "fix the file; if only its form is wrong, make validate FILE=… OUT=fixed.csv does it",
        )
