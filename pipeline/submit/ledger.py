"""The ledger of submissions and their scores, `submissions/leaderboard.csv`.

Owns its columns, merging by name, and the best submission with the words that say why. Does not own the rule
of the best (`core/best.py`) nor computing any score.

It is made to be kept in git and edited by hand: one line per submission, ordered by time and name, an empty
cell for an unknown value. Columns that a person added are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.core.best import Best, Candidate, best
from pipeline.core.errors import DataError, StorageError, nearest
from pipeline.core.language import _
from pipeline.core.tables import Table, format_table, read_table
from pipeline.pages.report import plural
from pipeline.record import paths
from pipeline.record.claims import Lock, WaitedError
from pipeline.record.files import write_atomic
from pipeline.submit import texts

KINDS = ("member", "blend", "refit", "outside")
NUMBERS = ("oof", "oof_low", "oof_high", "public", "private")
LOCK_SECONDS = 30.0
# An optional column: at most one line of a competition has this word in it.
PIN, PINNED = "best", "pinned"


@dataclass(frozen=True)
class Entry:
    """One submission.

    Args:
        name: unique; the submission's file is `<name>.csv`.
        created: UTC, ISO 8601 such as 2026-11-22T09:30:00+00:00.
        competition: scores of two competitions are never compared.
        kind: "member", "blend", "refit" (trained on all data, no score of its own), or "outside" for a
            file that was not made here.
        experiment: the experiment's name, or empty.
        key: content key of the result it was made from, or empty.
        metric: of all its scores.
        oof, oof_low, oof_high: out-of-fold score and its 95 % interval.
        public, private: the host's scores.
        looks: how often the private score was looked at, ≥ 0.
        note: free text.
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
        DataError: columns are missing, a number, date or kind is invalid, or a name occurs twice; the
            lines are named.
    """
    if not path.exists():
        return ()
    table = read_table(path)
    table.require(COLUMNS, _("the header must be: {columns}").format(columns=",".join(COLUMNS)))
    faults: list[str] = []
    entries = [_entry(table, n, faults) for n in range(len(table.rows))]
    first: dict[str, int] = {}
    for entry, line in zip(entries, table.lines, strict=True):
        if entry.name in first:
            faults.append(
                _("line {line}: name {entry!r} again, first on line {first}").format(
                    line=line, entry=entry.name, first=first[entry.name]
                )
            )
        first.setdefault(entry.name, line)
    faults += _pin_faults(entries, table.lines)
    if faults:
        raise DataError(
            _("{path}: {n}").format(path=path.name, n=plural(len(faults), "fault")),
            faults,
            _("fix these lines; an empty cell means unknown"),
        )
    return _ordered(entries)


def add(path: Path, entry: Entry) -> None:
    """Add a submission, or update the one of that name; adding it twice changes nothing.

    For the same result (equal `key`), the known date, looks, host's scores, note and added columns are kept.
    For another result, the host's scores belong to the file that was submitted then: the old line is kept as
    `<name>@<its key>`, and the new one starts without scores.

    Raises:
        DataError: the ledger is damaged; it is not changed.
        StorageError: another process holds the ledger.
    """
    assert entry.name and entry.kind in KINDS, f"no name, or kind {entry.kind!r} is not one of {KINDS}"

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
    """Write the host's scores into a submission's line; None keeps the known one.

    `looked`: the private score was shown to a person, which counts as one look.

    Raises:
        DataError: no such submission, or the ledger is damaged.
        StorageError: another process holds the ledger.
    """

    def change(entries: tuple[Entry, ...]) -> list[Entry]:
        names = [e.name for e in entries]
        if name not in names:
            raise _unknown(_("{path}: no submission {name!r}").format(path=path.name, name=name), name, names)
        old = entries[names.index(name)]
        new = replace(
            old,
            public=old.public if public is None else public,
            private=old.private if private is None else private,
            looks=old.looks + looked,
        )
        return [new if e is old else e for e in entries]

    _rewrite(path, change)


def pin(path: Path, name: str | None, competition: str) -> None:
    """Mark a competition's best submission by hand, in the column `best`; None removes the mark.

    Raises:
        DataError: no such submission of this competition, or the ledger is damaged.
        StorageError: another process holds the ledger.
    """

    def change(entries: tuple[Entry, ...]) -> list[Entry]:
        names = [e.name for e in entries if e.competition == competition and not e.former]
        if name is not None and name not in names:
            raise _unknown(
                _("{path}: no submission {name!r} of {competition}").format(
                    path=path.name, name=name, competition=competition
                ),
                name,
                names,
            )
        return [
            _marked(e, e.name == name) if e.competition == competition and (e.pinned or e.name == name) else e
            for e in entries
        ]

    _rewrite(path, change)


@dataclass(frozen=True)
class Choice:
    """The best submission, and by which rule.

    Args:
        entry: of the ledger.
        why: the rule, as a clause.
    """

    entry: Entry
    why: str


def choose(
    entries: Sequence[Entry],
    excluding: str | None = None,
    higher_is_better: bool = True,
    reach: Callable[[Entry, Entry], float] | None = None,
    scored_on: Mapping[str, str] | None = None,
    asked: str = "",
) -> Choice | None:
    """The best submission by the rule of `core/best.py`, among equals the earliest; no former results.

    Args:
        entries: of one metric and competition, as `read` returns them.
        excluding: name of a submission to ignore.
        higher_is_better: False for losses.
        reach: how far two public scores may differ by luck; None: every difference counts.
        scored_on: the data and folds of each OOF score, by name of its submission, where they are known.
        asked: the data and folds whose OOF scores are compared; empty: all.
    """
    others = [e for e in entries if e.name != excluding and not e.former]
    known = scored_on or {}
    candidates = [Candidate(e.oof, known.get(e.name, ""), e.public, e.pinned) for e in others]
    spread = None if reach is None else lambda one, other: reach(others[one], others[other])
    found = best(candidates, 1 if higher_is_better else -1, asked, spread)
    return None if found is None else Choice(others[found.place], _why(others, found, reach is not None))


def _why(entries: Sequence[Entry], found: Best, with_noise: bool) -> str:
    """The rule that chose, and the leaders by the scores that did not decide."""
    if found.rule == "pinned":
        return texts.BEST_PINNED
    chosen = entries[found.place]
    near = texts.SOME_WITHIN_NOISE.format(count=found.near) if found.near > 1 else texts.ONE_WITHIN_NOISE
    highest = None if found.public_leader is None else entries[found.public_leader]
    leader = None if found.oof_leader is None else entries[found.oof_leader]
    if found.rule == "oof":
        if highest is None:
            text = texts.BEST_OOF_NO_PUBLIC
        elif found.near:
            text = texts.BEST_BOTH if highest == chosen else texts.BEST_BY_OOF
            text = text.format(top=highest.name, others=near)
        elif chosen.public is not None:
            text = texts.BEST_OOF_ONE_PUBLIC
        else:
            text = texts.BEST_OOF_UNSEEN.format(top=highest.name)
        return texts.BEST_ELSEWHERE.format(why=text) if found.elsewhere else text
    assert highest is not None, "public scores decided"
    if chosen != highest:
        text = texts.BEST_NEAR_PUBLIC.format(top=highest.name, others=near)
    elif not found.rivals:
        text = texts.BEST_ONLY_PUBLIC
    elif found.near:
        text = texts.BEST_WITHOUT_OOF.format(others=near)
    else:
        text = texts.BEST_PUBLIC_CLEAR if with_noise else texts.BEST_PUBLIC
    return text if leader in (None, chosen) else texts.BUT_OOF_LEADS.format(why=text, leader=leader.name)


def _unknown(headline: str, name: str, names: Sequence[str]) -> DataError:
    hint = nearest(name, names) or _("the ledger has: {names}").format(
        names=", ".join(names) or _("nothing yet")
    )
    return DataError(headline, remedy=hint)


def _marked(entry: Entry, pinned: bool) -> Entry:
    rest = tuple((column, text) for column, text in entry.extra if column != PIN)
    return replace(entry, extra=(*rest, (PIN, PINNED)) if pinned else rest)


def _pin_faults(entries: Sequence[Entry], lines: Sequence[int]) -> list[str]:
    """Invalid words in the column `best`, and second marks of one competition."""
    faults: list[str] = []
    first: dict[str, int] = {}
    for entry, line in zip(entries, lines, strict=True):
        cell = dict(entry.extra).get(PIN, "")
        if cell not in ("", PINNED):
            faults.append(
                _("line {line}: {pin} {cell!r} is neither empty nor {pinned!r}").format(
                    line=line, pin=PIN, cell=cell, pinned=PINNED
                )
            )
        if entry.pinned and entry.competition in first:
            faults.append(
                _("line {line}: {pin} again for {competition}, first on line {first}").format(
                    line=line, pin=PIN, competition=entry.competition, first=first[entry.competition]
                )
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
    """Row n as an entry; its faults are added to `faults`."""
    cells = dict(zip(table.columns, table.rows[n], strict=True))
    where = f"line {table.lines[n]}"
    if not cells["name"]:
        faults.append(_("{where}: no name").format(where=where))
    elif fault := paths.fault_of_submission(cells["name"]):
        faults.append(
            _("{where}: {name!r} is no name of a submission: {fault}").format(
                where=where, name=cells["name"], fault=fault
            )
        )
    if cells["key"] and (fault := paths.fault_of(cells["key"])):
        faults.append(
            _("{where}: {key!r} is no key: {fault}").format(where=where, key=cells["key"], fault=fault)
        )
    if cells["kind"] not in KINDS:
        faults.append(
            _("{where}: kind {kind!r} is not one of {kinds}").format(
                where=where, kind=cells["kind"], kinds=", ".join(KINDS)
            )
        )
    try:
        datetime.fromisoformat(cells["created"])
    except ValueError:
        faults.append(
            _("{where}: created {created!r} is not a date such as 2026-11-22T09:30:00+00:00").format(
                where=where, created=cells["created"]
            )
        )
    looks = cells["looks"] or "0"
    if not (looks.isascii() and looks.isdigit()):
        faults.append(_("{where}: looks {looks!r} is not a count").format(where=where, looks=looks))
        looks = "0"
    values: dict[str, Any] = {column: cells[column] for column in COLUMNS}
    values |= {column: _number(cells[column], f"{where}: {column}", faults) for column in NUMBERS}
    extra = tuple((c, cells[c]) for c in table.columns if c not in COLUMNS)
    return Entry(**values | {"looks": int(looks), "extra": extra})


def _number(text: str, where: str, faults: list[str]) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        faults.append(_("{where} {text!r} is not a number").format(where=where, text=text))
        return None
    return value


def _ordered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda e: (e.created, e.name)))


def _rewrite(path: Path, change: Callable[[tuple[Entry, ...]], list[Entry]]) -> None:
    """Read, change and write under the lock; the file is not written if nothing changes."""
    headline = _("{path}: another process has locked it for {seconds:.0f} s").format(
        path=path.name, seconds=LOCK_SECONDS
    )
    with locked(path, LOCK_SECONDS, headline):
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
    assert not isinstance(value, float) or math.isfinite(value), f"{value} is not a score"
    # A line break inside a cell would break merging, which relies on one line per submission.
    return "" if value is None else " ".join(str(value).split())


@contextmanager
def locked(path: Path, seconds: float, headline: str) -> Iterator[None]:
    """Lock a file of submissions/; raise a StorageError with this headline if another process keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(Lock(path.parent, path.name, timeout=seconds))
        except WaitedError as error:
            raise StorageError(headline, remedy=_("wait until it has finished")) from error
        yield
