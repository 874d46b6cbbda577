"""The ledger of submissions and their scores, `submissions/leaderboard.csv`.

Owns its columns, merging by name and picking the best. Does not own computing any score.

It is made to be kept in git and edited by hand: one line a submission, ordered by time and name, an
empty cell for what is not known, columns that a person added are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from pipeline.core.errors import DataError, StorageError, nearest
from pipeline.core.tables import Table, format_table, read_table
from pipeline.record.digests import write_atomic

KINDS = ("member", "blend", "refit", "outside")
NUMBERS = ("oof", "oof_low", "oof_high", "public", "private")
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Entry:
    """One submission.

    Args:
        name: unique; the submission's file is `<name>.csv`.
        created: when, UTC, ISO 8601 such as 2026-11-22T09:30:00+00:00.
        competition: whose submission; scores of two competitions are never compared.
        kind: "member", "blend", "refit" (trained on all data, no score of its own), or "outside" for a
            file that was not made here.
        experiment: the experiment's name, or empty.
        key: content key of the result it was made from, or empty.
        metric: what all its scores are.
        oof, oof_low, oof_high: out-of-fold score and its 95 % interval.
        public, private: the host's scores.
        looks: how often the private score was looked at, ≥ 0.
        note: anything a person should know.
        extra: (column, text) of columns that a person added.
    """

    name: str
    created: str
    kind: str
    competition: str = ""
    experiment: str = ""
    key: str = ""
    metric: str = ""
    oof: float | None = None
    oof_low: float | None = None
    oof_high: float | None = None
    public: float | None = None
    private: float | None = None
    looks: int = 0
    note: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def former(self) -> bool:
        """Whether its file was overwritten by a later result of the same name; see `add`."""
        return self.name.endswith(_former_mark(self.key))


COLUMNS = tuple(f.name for f in fields(Entry) if f.name != "extra")


def read(path: Path) -> tuple[Entry, ...]:
    """All entries, by time and name; none when there is no ledger yet.

    Raises:
        DataError: columns are missing, a number, date or kind is none, or a name occurs twice; the
            lines are named.
    """
    if not path.exists():
        return ()
    table = read_table(path)
    table.require(COLUMNS, f"the header must be: {','.join(COLUMNS)}")
    faults: list[str] = []
    entries = [_entry(table, n, faults) for n in range(len(table.rows))]
    first: dict[str, int] = {}
    for entry, line in zip(entries, table.lines, strict=True):
        if entry.name in first:
            faults.append(f"line {line}: name {entry.name!r} again, first on line {first[entry.name]}")
        first.setdefault(entry.name, line)
    if faults:
        raise DataError(
            f"{path.name}: {len(faults)} faults", faults, "mend these lines; an empty cell means not known"
        )
    return _ordered(entries)


def add(path: Path, entry: Entry) -> None:
    """Add a submission, or renew the one of that name; doing it twice changes nothing more.

    Of the same result (equal `key`), the date, looks, host's scores, note and added columns that are
    known stay. Of another result, the host's scores belong to the file that was submitted then: the
    old line stays as `<name>@<its key>`, and the new one starts without scores.

    Raises:
        DataError: the ledger is damaged; it is left as it is.
        StorageError: another process holds the ledger.
    """
    assert entry.name and entry.kind in KINDS, f"no name, or kind {entry.kind!r} is none of {KINDS}"

    def change(entries: tuple[Entry, ...]) -> list[Entry]:
        old = next((e for e in entries if e.name == entry.name), None)
        others = [e for e in entries if e.name != entry.name]
        if old is None:
            return [*others, entry]
        if old.key == entry.key:
            return [*others, _merged(old, entry)]
        if old.public is None and old.private is None and not old.looks:
            return [*others, entry]
        former = replace(old, name=old.name + _former_mark(old.key))
        return [*(e for e in others if e.name != former.name), former, entry]

    _rewrite(path, change)


def record_score(
    path: Path, name: str, public: float | None = None, private: float | None = None, looked: bool = False
) -> None:
    """Write the host's scores into a submission's line.

    Args:
        path: the ledger.
        name: the submission.
        public: the host's public score; None leaves what is known.
        private: the host's private score; None leaves what is known.
        looked: the private score was shown to a person; counts one look.

    Raises:
        DataError: no such submission, or the ledger is damaged.
        StorageError: another process holds the ledger.
    """

    def change(entries: tuple[Entry, ...]) -> list[Entry]:
        names = [e.name for e in entries]
        if name not in names:
            hint = nearest(name, names) or f"it knows: {', '.join(names) or 'nothing yet'}"
            raise DataError(f"{path.name}: no submission {name!r}", remedy=hint)
        return [
            replace(
                e,
                public=e.public if public is None else public,
                private=e.private if private is None else private,
                looks=e.looks + looked,
            )
            if e.name == name
            else e
            for e in entries
        ]

    _rewrite(path, change)


def best(
    entries: Sequence[Entry],
    by: Literal["public", "oof"] = "public",
    excluding: str | None = None,
    higher_is_better: bool = True,
) -> Entry | None:
    """The best submission by one kind of score; of equals the earliest. Former results do not count.

    Args:
        entries: as `read` gives them; hand over only those of one metric.
        by: "public": among those with a public score, or by OOF when there are none; "oof": by OOF.
            A public score is never held against an OOF score.
        excluding: this one does not count.
        higher_is_better: False for losses.
    """
    others = [e for e in entries if e.name != excluding and not e.former]
    kinds: list[Callable[[Entry], float | None]] = [lambda e: e.oof]
    if by == "public":
        kinds.insert(0, lambda e: e.public)
    for score in kinds:
        scored = [(s, e) for e in others if (s := score(e)) is not None]
        if scored:
            sign = 1 if higher_is_better else -1
            return max(scored, key=lambda pair: sign * pair[0])[1]
    return None


def _former_mark(key: str) -> str:
    return f"@{key[:8] or 'before'}"


def _merged(old: Entry, new: Entry) -> Entry:
    return replace(
        new,
        created=old.created,
        public=old.public if new.public is None else new.public,
        private=old.private if new.private is None else new.private,
        looks=max(old.looks, new.looks),
        note=new.note or old.note,
        extra=new.extra or old.extra,
    )


def _entry(table: Table, n: int, faults: list[str]) -> Entry:
    """Row n as an entry; what is wrong with it is added to `faults`."""
    cells = dict(zip(table.columns, table.rows[n], strict=True))
    where = f"line {table.lines[n]}"
    if not cells["name"]:
        faults.append(f"{where}: no name")
    if cells["kind"] not in KINDS:
        faults.append(f"{where}: kind {cells['kind']!r} is none of {', '.join(KINDS)}")
    try:
        datetime.fromisoformat(cells["created"])
    except ValueError:
        faults.append(f"{where}: created {cells['created']!r} is no date such as 2026-11-22T09:30:00+00:00")
    looks = cells["looks"] or "0"
    if not (looks.isascii() and looks.isdigit()):
        faults.append(f"{where}: looks {looks!r} is no count")
        looks = "0"
    return Entry(
        name=cells["name"],
        created=cells["created"],
        kind=cells["kind"],
        competition=cells["competition"],
        experiment=cells["experiment"],
        key=cells["key"],
        metric=cells["metric"],
        **{column: _number(cells[column], f"{where}: {column}", faults) for column in NUMBERS},
        looks=int(looks),
        note=cells["note"],
        extra=tuple((c, cells[c]) for c in table.columns if c not in COLUMNS),
    )


def _number(text: str, where: str, faults: list[str]) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        faults.append(f"{where} {text!r} is no number")
        return None
    return value


def _ordered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda e: (e.created, e.name)))


def _rewrite(path: Path, change: Callable[[tuple[Entry, ...]], list[Entry]]) -> None:
    """Read, change and write under the lock; the file is left alone when nothing changes."""
    with _locked(path):
        entries = _ordered(change(read(path)))
        added = list(dict.fromkeys(column for e in entries for column, _ in e.extra))
        rows = [
            [_cell(getattr(e, c)) for c in COLUMNS] + [dict(e.extra).get(c, "") for c in added]
            for e in entries
        ]
        data = format_table([*COLUMNS, *added], rows)
        if not path.exists() or path.read_bytes() != data:
            write_atomic(path, data)


def _cell(value: str | float | int | None) -> str:
    assert not isinstance(value, float) or math.isfinite(value), f"{value} is no score"
    # A line break inside a cell would break the one line a submission that merging relies on.
    return "" if value is None else " ".join(str(value).split())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            f"{path.name}: another process has held it for {LOCK_SECONDS:.0f} s", remedy="let it finish"
        ) from error
    try:
        yield
    finally:
        lock.release()
