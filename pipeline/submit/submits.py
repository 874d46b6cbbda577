"""The ledger of submits, `submissions/submits.csv`: which file was handed in when.

Owns its columns, its lock and counting a day. Does not own scores (`leaderboard.py`) nor handing in.

One line a submit, oldest first, made to be kept in git and merged: a team counts what all of it handed
in. A day is one of UTC, as hosts count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.core.errors import DataError, StorageError
from pipeline.core.tables import format_table, read_table
from pipeline.record.digests import write_atomic

ACCEPTED = "accepted"
# Stopped while the command ran: the host may have taken it, so it counts.
UNKNOWN = "unknown"
STATUSES = (ACCEPTED, UNKNOWN)
LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Submit:
    """One file handed in.

    Args:
        time: when, UTC, ISO 8601.
        competition: to which.
        name: the submission's name in the leaderboard.
        sha256: of the file's bytes.
        status: "accepted", or "unknown" where the command was stopped.
        message: what was said with it.
    """

    time: str
    competition: str
    name: str
    sha256: str
    status: str
    message: str


COLUMNS = tuple(f.name for f in fields(Submit))


def read(path: Path) -> tuple[Submit, ...]:
    """All submits, oldest first; none when there is no ledger yet.

    Raises:
        DataError: columns are missing, or a time or status is none; the lines are named.
    """
    if not path.exists():
        return ()
    table = read_table(path)
    table.require(COLUMNS, f"the header must be: {','.join(COLUMNS)}")
    rows = zip(*(table.column(name) for name in COLUMNS), strict=True)
    found = [Submit(*row) for row in rows]
    faults = []
    for line, submit in zip(table.lines, found, strict=True):
        if _moment(submit.time) is None:
            faults.append(f"line {line}: time {submit.time!r} is no time such as 2026-11-22T09:30:00+00:00")
        if submit.status not in STATUSES:
            faults.append(f"line {line}: status {submit.status!r} is none of {', '.join(STATUSES)}")
    if faults:
        raise DataError(f"{path.name}: {len(faults)} faults", faults, "mend these lines")
    return tuple(sorted(found, key=lambda s: (s.time, s.name)))


def add(path: Path, submit: Submit) -> None:
    """Note a submit; hold the ledger (`held`) meanwhile."""
    assert submit.status in STATUSES, f"status {submit.status!r} is none of {STATUSES}"
    # A line break inside a cell would break the one line a submit that merging relies on.
    rows = [[" ".join(cell.split()) for cell in astuple(s)] for s in (*read(path), submit)]
    write_atomic(path, format_table(COLUMNS, rows))


def of_day(submits: Sequence[Submit], competition: str, now: datetime) -> list[Submit]:
    """The submits to one competition on the UTC day of `now`, which knows its time zone."""
    day = now.astimezone(UTC).date()
    moments = ((s, _moment(s.time)) for s in submits if s.competition == competition)
    return [s for s, moment in moments if moment and moment.astimezone(UTC).date() == day]


def until_next_day(now: datetime) -> timedelta:
    """How long the UTC day of `now` lasts."""
    today = now.astimezone(UTC)
    midnight = (today + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - today


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else hands in while this lasts.

    Raises:
        StorageError: somebody else does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise StorageError("another `make submit` is at work here", remedy="let it finish") from error
    try:
        yield
    finally:
        lock.release()


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
