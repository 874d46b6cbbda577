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
# An optional column: at most one line of a competition holds the word.
PIN, PINNED = "best", "pinned"


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

    @property
    def pinned(self) -> bool:
        """Whether a person marked it as the best of its competition."""
        return (PIN, PINNED) in self.extra


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
    faults += _pin_faults(entries, table.lines)
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
        former = _marked(replace(old, name=old.name + _former_mark(old.key)), False)
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


def pin(path: Path, name: str | None, competition: str) -> None:
    """Mark a competition's best submission by hand, in the column `best`; None takes the mark away.

    Raises:
        DataError: no such submission of this competition, or the ledger is damaged.
        StorageError: another process holds the ledger.
    """

    def change(entries: tuple[Entry, ...]) -> list[Entry]:
        names = [e.name for e in entries if e.competition == competition and not e.former]
        if name is not None and name not in names:
            hint = nearest(name, names) or f"it knows: {', '.join(names) or 'nothing yet'}"
            raise DataError(f"{path.name}: no submission {name!r} of {competition}", remedy=hint)
        return [
            _marked(e, e.name == name) if e.competition == competition and (e.pinned or e.name == name) else e
            for e in entries
        ]

    _rewrite(path, change)


@dataclass(frozen=True)
class Choice:
    """The best submission, and by which rule.

    Args:
        entry: its line.
        why: in a sentence.
    """

    entry: Entry
    why: str


def choose(
    entries: Sequence[Entry],
    by: Literal["public", "oof"] = "public",
    excluding: str | None = None,
    higher_is_better: bool = True,
    reach: Callable[[Entry, Entry], float] | None = None,
) -> Choice | None:
    """The best submission; of equals the earliest. Former results do not count.

    Rows are compared by one kind of score only: a public score is never held against an OOF score.

    Args:
        entries: as `read` gives them; hand over only those of one metric and competition.
        by: "public": the pinned one; else among those with a public score, or by OOF when there are none.
            "oof": by OOF alone.
        excluding: this one does not count.
        higher_is_better: False for losses.
        reach: how far two public scores may lie apart by luck; those that lie no further below the
            highest are told apart by OOF, where they have one. None: every difference counts.
    """
    others = [e for e in entries if e.name != excluding and not e.former]
    sign = 1 if higher_is_better else -1
    seen = [e for e in others if e.public is not None]
    pinned = [e for e in others if e.pinned]
    if by == "public" and pinned:
        return Choice(pinned[0], "it is pinned (make pin-best)")
    if by == "oof" or not seen:
        known = [e for e in others if e.oof is not None]
        why = "its OOF score is the best" + ("" if by == "oof" else "; no public score is known")
        return Choice(max(known, key=lambda e: sign * (e.oof or 0.0)), why) if known else None
    top = max(seen, key=lambda e: sign * (e.public or 0.0))
    alike = [top] if reach is None else [e for e in seen if _apart(top, e) <= reach(top, e)]
    if len(alike) < 2:
        return Choice(top, "its public score is the best" + (", by more than noise" if reach else ""))
    rest = len(alike) - 1
    same = f"{rest} other{'s lie' if rest > 1 else ' lies'} within the noise of the public set"
    if top.oof is None:
        return Choice(top, f"its public score is the best; {same}, but it has no OOF score to decide by")
    found = max((e for e in alike if e.oof is not None), key=lambda e: sign * (e.oof or 0.0))
    if found is top:
        return Choice(top, f"its public score is the best; {same}, and its OOF score is the best of them")
    return Choice(found, f"its OOF score decides: {top.name} has the best public score, but {same}")


def best(
    entries: Sequence[Entry],
    by: Literal["public", "oof"] = "public",
    excluding: str | None = None,
    higher_is_better: bool = True,
) -> Entry | None:
    """The line that `choose` finds, every difference of public scores counted."""
    found = choose(entries, by, excluding, higher_is_better)
    return found.entry if found else None


def _apart(one: Entry, other: Entry) -> float:
    assert one.public is not None and other.public is not None, "both have public scores"
    return abs(one.public - other.public)


def _marked(entry: Entry, pinned: bool) -> Entry:
    rest = tuple((column, text) for column, text in entry.extra if column != PIN)
    return replace(entry, extra=(*rest, (PIN, PINNED)) if pinned else rest)


def _pin_faults(entries: Sequence[Entry], lines: Sequence[int]) -> list[str]:
    """Words in the column `best` that are no mark, and second marks of one competition."""
    faults: list[str] = []
    first: dict[str, int] = {}
    for entry, line in zip(entries, lines, strict=True):
        said = dict(entry.extra).get(PIN, "")
        if said not in ("", PINNED):
            faults.append(f"line {line}: {PIN} {said!r} is neither empty nor {PINNED!r}")
        if entry.pinned and entry.competition in first:
            faults.append(
                f"line {line}: {PIN} again for {entry.competition}, first on line {first[entry.competition]}"
            )
        if entry.pinned:
            first.setdefault(entry.competition, line)
    return faults


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
