"""A CSV held against the host's sample for a person: what the host would refuse, what can be mended.

Owns recognising what spreadsheets and other tools do to a file's form. Does not own the rules of the
content (`submission.py`).

Mending keeps every answer as it was written: it puts rows, columns, ids and encoding as the sample has
them. What is wrong with an answer itself is never mended.

`make validate FILE=…`: whether the host would take this CSV.

    make validate FILE=submissions/pets-ensemble-3fa29b.csv
    make validate FILE=theirs.csv OUT=mended.csv      the same answers in the sample's form

Owns the command: finding the file, what is told, writing the mended one. Does not own the checks
(`submit/validate.py`).
"""

from __future__ import annotations

import argparse
import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.samples import LabelSpace
from pipeline.core.tables import UTF8, Table, format_table, read_table
from pipeline.data import host, host_format, load
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.record.digests import write_atomic
from pipeline.settings.competition import SubmissionSettings
from pipeline.submit import submission


@dataclass(frozen=True)
class Checked:
    """What was found in a file.

    Args:
        faults: what the host would refuse, one line each.
        remarks: what is unusual and harmless.
        predicted: how many images each class got, in class order; empty where answers cannot be read.
        mended: the same answers in the sample's form, or None where answers or ids are wrong.
    """

    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    predicted: tuple[int, ...]
    mended: bytes | None


def check(path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings) -> Checked:
    """Everything that is wrong or unusual about a CSV.

    Args:
        path: the file, ours or from anywhere.
        sample: the host's sample: the authority on ids, order and columns.
        space: the classes.
        settings: the format.

    Raises:
        DataError: it is no table at all, or the sample is malformed.
    """
    table, host = read_table(path), read_table(sample)
    faults = [*_of_encoding(table), *host_format.faults_of(table, host, space, settings)]
    answers = host_format.answer_columns(host, space, settings)
    ids = _renamed(table, host, settings)
    whole = set(answers) <= set(table.columns)
    parsed = host_format.parse(table, ids, answers, space, settings) if ids and whole else None
    readable = parsed is not None and not parsed.faults
    predicted: tuple[int, ...] = ()
    mended = None
    if parsed is not None and readable:
        labels = parsed.labels_N.tolist()
        predicted = tuple(labels.count(c) for c in range(space.n_classes))
        if not host_format.id_faults(host.column(settings.id_column), ids):
            mended = _mended(table, host, ids, answers, settings)
    return Checked(tuple(faults), tuple(_remarks(path)), predicted, mended)


def refuse(path: Path, sample: Path, space: LabelSpace, settings: SubmissionSettings) -> Checked:
    """Like `check`, for a file that must be right as it is.

    Raises:
        DataError: the host would refuse it; every fault is named.
    """
    found = check(path, sample, space, settings)
    if found.faults:
        n = len(found.faults)
        raise DataError(
            f"{path.name}: {n} fault{'' if n == 1 else 's'} that a host may refuse it for",
            found.faults,
            f"make validate FILE={path} OUT=mended.csv writes the same answers in the sample's form"
            if found.mended
            else "mend the file, or write it again with `make infer` or `make ensemble`",
        )
    return found


def _of_encoding(table: Table) -> list[str]:
    if table.encoding == UTF8:
        return []
    return [f"its text is {table.encoding.upper()}; hosts read UTF-8"]


def _remarks(path: Path) -> list[str]:
    """What hosts read all the same."""
    data = path.read_bytes()
    found = []
    if data.startswith(codecs.BOM_UTF8):
        found.append("begins with a byte-order mark (BOM), as Excel writes it; hosts skip it")
    if b"\r" in data:
        found.append("lines end as on Windows or an old Mac; hosts read that")
    return found


def _renamed(table: Table, host: Table, settings: SubmissionSettings) -> list[str]:
    """The file's ids as the sample calls them; none without a column of ids."""
    if settings.id_column not in table.columns:
        return []
    ids = table.column(settings.id_column)
    renamed = host_format.found_again(host.column(settings.id_column), ids)
    return [renamed.get(i, i) for i in ids]


def _mended(
    table: Table, host: Table, ids: Sequence[str], answers: Sequence[str], settings: SubmissionSettings
) -> bytes:
    """The sample with the file's answers in it."""
    at = {name: n for n, name in enumerate(ids)}
    given = {column: table.column(column) for column in answers}
    # Only numbers have a decimal comma to mend; a class name keeps its commas.
    if settings.format == "probabilities":
        given = {c: tuple(_point(table, cell) for cell in found) for c, found in given.items()}
    rows = [
        tuple(
            given[column][at[name]] if column in given else cell
            for column, cell in zip(host.columns, row, strict=True)
        )
        for name, row in zip(host.column(settings.id_column), host.rows, strict=True)
    ]
    return format_table(host.columns, rows, host.delimiter)


def _point(table: Table, cell: str) -> str:
    return cell.replace(",", ".") if table.delimiter == ";" else cell


def command(session: Session, options: argparse.Namespace) -> None:
    """Check a CSV; with `--out`, write it mended.

    Raises:
        DataError: the host would refuse it, or it cannot be mended.
    """
    path = file_of(session, options.file, "validate")
    session.check(Need("data", session.settings), also=submission.READS)
    data = session.need("data")
    space = load.samples(data, "test", session.home).space
    sample, asked = (
        host.sample(session.settings, data, session.home),
        session.settings.config.competition.submission,
    )
    found = check(path, sample, space, asked)
    for remark in found.remarks:
        session.say(f"{path.name} {remark}")
    out = Path(options.out) if options.out else None
    if out is None or found.mended is None:
        found = refuse(path, sample, space, asked)
        session.say(f"{path.name}: valid: {described(found.predicted, space.classes)}")
    if out is not None and found.mended is not None:
        _write(out, found.mended)
        for fault in found.faults:
            session.say(f"mended: {fault}")
        session.say(f"{out}: valid: {described(found.predicted, space.classes)}")


def file_of(session: Session, text: str, target: str) -> Path:
    """The CSV that FILE means: a path, or the name of a submission.

    Raises:
        DataError: there is none.
    """
    if not text:
        raise DataError("FILE is missing", remedy=f"make {target} FILE=submissions/NAME.csv")
    kept = session.home / "submissions" / f"{Path(text).name.removesuffix('.csv')}.csv"
    for path in (Path(text), kept):
        if path.is_file():
            return path
    raise DataError(
        f"{text}: no such file, and no submission of that name", remedy="give a CSV; `make score` lists names"
    )


def described(predicted: Sequence[int], classes: Sequence[str]) -> str:
    """How many images, and which classes nobody got."""
    none = [name for name, count in zip(classes, predicted, strict=True) if not count]
    told = f"{sum(predicted)} images, {len(classes) - len(none)} of {len(classes)} classes predicted"
    shown = ", ".join(none[:5]) + (" …" if len(none) > 5 else "")
    return f"{told}; none is {shown}" if none else told


def _write(out: Path, data: bytes) -> None:
    if out.exists() and out.read_bytes() != data:
        raise DataError(f"{out}: is there already and holds something else", remedy="give another OUT=…")
    write_atomic(out, data)
