"""`make validate FILE=…`: whether the host would accept a CSV, and repairing its form.

    make validate FILE=submissions/pets-ensemble-3fa29b.csv
    make validate FILE=theirs.csv OUT=repaired.csv      the same answers in the sample's form

Owns recognising what spreadsheets and other tools do to a file's form. Does not own the rules of the content
(`data/host_format.py`).

A repair keeps every answer as it was written: it puts rows, columns, ids and encoding into the form of the
sample. Wrong answers are never repaired.
"""

from __future__ import annotations

import argparse
import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.samples import LabelSpace, Truth
from pipeline.core.tables import Table, format_table, read_table
from pipeline.core.targets import LABELS, VALUES
from pipeline.core.text_files import UTF8
from pipeline.core.wording import worded
from pipeline.data import answer_cells, host, host_format, load
from pipeline.engine import next_step
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.pages.report import plural
from pipeline.record import paths
from pipeline.record.files import write_atomic
from pipeline.settings.submission import SubmissionSettings
from pipeline.submit import submission, texts

# Fewer rows may have the sample's probabilities by chance.
FEWEST_COPIED = 5
SHOWN_NAMES = 5


@dataclass(frozen=True)
class Checked:
    """The result of checking a file.

    Args:
        faults: reasons for the host to reject it, one line each.
        remarks: unusual and harmless properties.
        predicted: what the answers hold, one line; empty where they cannot be read.
        repaired: the same answers in the sample's form, or None where answers or ids are wrong.
        is_sample: the file is the host's sample: its answers are placeholders.
    """

    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    predicted: str
    repaired: bytes | None
    is_sample: bool = False


def check(
    path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings, encoding: str | None = None
) -> Checked:
    """Check a CSV, made here or elsewhere, against the host's sample, which defines ids, order and columns.

    `encoding` is `competition.encoding`.

    Raises:
        DataError: it is not a table, or the sample is malformed.
    """
    table, host = read_table(path, encoding=encoding), read_table(sample, encoding=encoding)
    if (table.columns, table.rows) == (host.columns, host.rows):
        host_format.refuse_unfilled(host, host_format.answer_columns(host, space, settings), settings)
        return Checked((), tuple(_remarks(path)), "", None, is_sample=True)
    faults = host_format.faults_of(table, host, space, settings)
    if table.encoding != UTF8:
        faults = [texts.ENCODING.format(encoding=table.encoding.upper()), *faults]
    answers = host_format.answer_columns(host, space, settings)
    ids = _renamed(table, host, settings)
    faults += _copied(table, host, ids, answers, settings)
    complete = set(host_format.columns_in(host, answers, settings)) <= set(table.columns)
    parsed = host_format.parse(table, ids, answers, space, settings) if ids and complete else None
    readable = parsed is not None and not parsed.faults
    predicted = ""
    repaired = None
    if parsed is not None and readable:
        predicted = described(parsed.answers, space)
        if not host_format.id_faults(host_format.keys(host, settings), ids):
            held = host_format.columns_in(host, answers, settings)
            repaired = _repaired(table, host, ids, held, settings)
    return Checked(tuple(faults), tuple(_remarks(path)), predicted, repaired)


def refuse(
    path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings, encoding: str | None = None
) -> Checked:
    """Like `check`, for a file that must be valid as it is.

    Raises:
        DataError: the host would reject it, and every fault is named; or it is the host's sample.
    """
    checked = check(path, sample, space, settings, encoding)
    if checked.is_sample:
        raise DataError(texts.IS_SAMPLE.format(file=path.name), remedy=texts.CANNOT_REPAIR)
    if checked.faults:
        raise DataError(
            texts.HOST_FAULTS.format(file=path.name, count=plural(len(checked.faults), "fault")),
            checked.faults,
            texts.REPAIR.format(file=path) if checked.repaired else texts.CANNOT_REPAIR,
        )
    return checked


def _copied(
    table: Table, host: Table, ids: Sequence[str], answers: Sequence[str], settings: SubmissionSettings
) -> list[str]:
    """One fault per answer column that is the sample's cell by cell, while others are not.

    A column of labels may be all 0 in both by chance; a column of probabilities is not.
    """
    wanted = host.column(settings.id_column)
    if settings.long or len(answers) < 2 or settings.format != "probabilities" or set(ids) != set(wanted):
        return []
    same = []
    for column in (c for c in answers if c in table.columns):
        own = dict(zip(ids, table.column(column), strict=True))
        numbers = [(own[i], cell) for i, cell in zip(wanted, host.column(column), strict=True)]
        if all(answer_cells.number(a) == answer_cells.number(b) for a, b in numbers):
            same.append(column)
    if len(same) == len(answers) or len(wanted) < FEWEST_COPIED:
        return []
    return [texts.COPIED_COLUMN.format(column=c) for c in same]


def _remarks(path: Path) -> list[str]:
    """Unusual properties that hosts accept."""
    data = path.read_bytes()
    remarks = []
    if data.startswith(codecs.BOM_UTF8):
        remarks.append(texts.BOM)
    if b"\r" in data:
        remarks.append(texts.LINE_ENDS)
    return remarks


def _renamed(table: Table, host: Table, settings: SubmissionSettings) -> list[str]:
    """The file's ids as written in the sample; empty without a column of ids."""
    if not set(host_format.columns_of_keys(settings)) <= set(table.columns):
        return []
    ids = host_format.keys(table, settings)
    renamed = host_format.found_again(host_format.keys(host, settings), ids)
    return [renamed.get(i, i) for i in ids]


def _repaired(
    table: Table, host: Table, ids: Sequence[str], answers: Sequence[str], settings: SubmissionSettings
) -> bytes:
    """The sample with the file's answers, which stand in the columns `answers`."""
    at = {name: n for n, name in enumerate(ids)}
    if settings.format in answer_cells.NUMBERS:
        given = {c: host_format.numbers_like(host, answers, table.column(c)) for c in answers}
    else:
        # Only numbers have a decimal comma to repair; a class name keeps its commas.
        given = {c: list(table.written(c)) for c in answers}
    rows = [
        tuple(
            given[column][at[name]] if column in given else cell
            for column, cell in zip(host.columns, row, strict=True)
        )
        for name, row in zip(host_format.keys(host, settings), host.rows, strict=True)
    ]
    return format_table(host.columns, rows, host.delimiter)


def run(session: Session, options: argparse.Namespace) -> None:
    """Check a CSV; with `--out`, write the repaired one.

    Raises:
        DataError: the host would reject it, or it cannot be repaired.
    """
    path = file_of(session, options.file, "validate")
    session.check(Need("data", session.settings), also=submission.READS)
    data = session.need("data")
    space = load.samples(data, "test", session.home).space
    sample = host.sample(session.settings, data, session.home)
    config = session.settings.config.competition
    settings = config.submission
    checked = check(path, sample, space, settings, config.encoding)
    for remark in checked.remarks:
        session.say(texts.REMARK.format(file=path.name, remark=remark))
    if checked.is_sample:
        session.say(texts.IS_SAMPLE.format(file=path.name))
        return
    out = Path(options.out) if options.out else None
    if out is None or checked.repaired is None:
        checked = refuse(path, sample, space, settings, config.encoding)
        session.say(texts.VALID.format(file=path.name, summary=checked.predicted))
    if out is not None and checked.repaired is not None:
        _write(out, checked.repaired, session.home)
        for fault in checked.faults:
            session.say(texts.REPAIRED.format(fault=fault))
        session.say(texts.VALID.format(file=out, summary=checked.predicted))
        path = out
    next_step.say_with_file(session, "submit", "FILE", path, " DRY=1")


def file_of(session: Session, text: str, target: str) -> Path:
    """The CSV of FILE: a path, or the name of a submission.

    Raises:
        DataError: there is none.
    """
    if not text:
        raise DataError(
            texts.FILE_MISSING, remedy=_("make {target} FILE=submissions/NAME.csv").format(target=target)
        )
    kept = session.home / "submissions" / f"{Path(text).name.removesuffix('.csv')}.csv"
    for path in (Path(text), kept):
        if path.is_file():
            return path
    raise DataError(texts.NO_FILE.format(file=text), remedy=texts.NO_FILE_REMEDY)


def described(answers: Truth, space: LabelSpace) -> str:
    """Number of images, and the classes or labels that are never predicted, or the range of the values."""
    if space.kind == VALUES and len(answers):
        ranges = [
            texts.PREDICTED_RANGE.format(name=name, low=column.min(), high=column.max())
            for name, column in zip(space.classes, answers.T, strict=True)
        ]
        return worded(texts.PREDICTED_VALUES, images=len(answers), ranges=", ".join(ranges[:SHOWN_NAMES]))
    if answers.ndim == 1:
        counts = np.bincount(np.asarray(answers, dtype=np.int64), minlength=space.n_classes)
    else:
        counts = np.asarray(answers >= 0.5).sum(axis=0)
    never = [name for name, count in zip(space.classes, counts.tolist(), strict=True) if not count]
    text = texts.PREDICTED_LABELS if space.kind == LABELS else texts.PREDICTED
    known = {"predicted": space.n_classes - len(never), "classes": space.n_classes}
    summary = worded(text, images=len(answers), **known)
    names = ", ".join(never[:SHOWN_NAMES]) + (" …" if len(never) > SHOWN_NAMES else "")
    return texts.NOT_PREDICTED.format(summary=summary, names=names) if never else summary


def _write(out: Path, data: bytes, home: Path) -> None:
    if out.is_dir():
        raise DataError(
            texts.OUT_FOLDER.format(path=out),
            remedy=_("give a file, e.g. OUT={out}/repaired.csv").format(out=out),
        )
    if out.exists() and out.read_bytes() != data:
        raise DataError(texts.OUT_EXISTS.format(path=out), remedy=_("give another OUT=…"))
    # A file that Podium keeps for itself would be damaged as soon as it is written.
    if out.stem.casefold() in paths.OURS and out.resolve().parent == (home / "submissions").resolve():
        raise DataError(texts.OUT_OURS.format(path=out), remedy=_("give another OUT=…"))
    write_atomic(out, data)
