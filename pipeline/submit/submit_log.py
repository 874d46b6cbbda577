"""The log of submits, `submissions/submits.csv`: which file was handed in when.

Owns its columns, its lock and counting a day. Does not own scores (`submit/ledger.py`) nor handing in
(`submit/hand_in.py`).

One line per submit, oldest first, made to be kept in git and merged, so that a team counts the submits of all
its members. A day is a UTC day, as hosts count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.tables import format_table, read_table
from pipeline.pages.report import plural
from pipeline.record.files import write_atomic
from pipeline.submit import ledger

ACCEPTED = "accepted"
# The command was stopped while it ran: the host may have received the file, so it counts.
UNKNOWN = "unknown"
STATUSES = (ACCEPTED, UNKNOWN)
LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Submit:
    """One file that was handed in.

    Args:
        time: UTC, ISO 8601.
        competition: its name.
        name: of the submission in the ledger.
        sha256: of the file's bytes.
        status: "accepted", or "unknown" where the command was stopped.
        message: sent with the file.
    """

    time: str
    competition: str
    name: str
    sha256: str
    status: str
    message: str


COLUMNS = tuple(f.name for f in fields(Submit))


def read(path: Path) -> tuple[Submit, ...]:
    """All submits, oldest first; none when there is no log yet.

    Raises:
        DataError: columns are missing, or a time or status is invalid; the lines are named.
    """
    if not path.exists():
        return ()
    table = read_table(path)
    table.require(COLUMNS, _("the header must be: {columns}").format(columns=",".join(COLUMNS)))
    rows = zip(*(table.column(name) for name in COLUMNS), strict=True)
    submits = [Submit(*row) for row in rows]
    faults = []
    for line, submit in zip(table.lines, submits, strict=True):
        if _moment(submit.time) is None:
            faults.append(
                _("line {line}: time {time!r} is not a time such as 2026-11-22T09:30:00+00:00").format(
                    line=line, time=submit.time
                )
            )
        if submit.status not in STATUSES:
            faults.append(
                _("line {line}: status {status!r} is not one of {statuses}").format(
                    line=line, status=submit.status, statuses=", ".join(STATUSES)
                )
            )
    if faults:
        raise DataError(
            _("{path}: {n}").format(path=path.name, n=plural(len(faults), "fault")),
            faults,
            _("fix these lines"),
        )
    return tuple(sorted(submits, key=lambda s: (s.time, s.name)))


def add(path: Path, submit: Submit) -> None:
    """Add a submit; call it only while the log is locked (`locked`)."""
    assert submit.status in STATUSES, f"status {submit.status!r} is not one of {STATUSES}"
    # A line break inside a cell would break merging, which relies on one line per submit.
    rows = [[" ".join(cell.split()) for cell in astuple(s)] for s in (*read(path), submit)]
    write_atomic(path, format_table(COLUMNS, rows))


def of_day(submits: Sequence[Submit], competition: str, now: datetime) -> list[Submit]:
    """The submits to one competition on the UTC day of `now`, a time with a time zone."""
    day = now.astimezone(UTC).date()
    moments = ((s, _moment(s.time)) for s in submits if s.competition == competition)
    return [s for s, moment in moments if moment and moment.astimezone(UTC).date() == day]


def until_next_day(now: datetime) -> timedelta:
    """The time until the end of the UTC day of `now`."""
    today = now.astimezone(UTC)
    midnight = (today + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - today


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the log, so that no other process hands in meanwhile.

    Raises:
        StorageError: another process has locked it.
    """
    with ledger.locked(path, LOCK_SECONDS, _("another `make submit` is running here")):
        yield


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
