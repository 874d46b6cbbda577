"""Claims: one holder of a name over processes, hosts and network disks, taken over when the holder is dead.

Owns taking a claim, keeping it alive, finding out that it is lost, and removing what dead holders left. Does
not own what is claimed (`record/store.py`) or the identity of processes (`record/owners.py`).

`flock` is not safe on every network disk and does not exist in a bucket. All that is needed here is one
operation that both have: create something unless it exists, by `link` in a folder, by a conditional PUT in a
bucket.

    <name>                  the claim: who holds it, and its number, which no other claim has
    <name>~<number>         the claim that took over from the one with this number, and so on
    beats/<id>              the heartbeat of a process, changed as long as it holds any claim

The last of such a chain holds the name. A dead holder is succeeded by creating the one file that is named by
its number, so of any number of waiters one wins. A claim is given back by removing `<name>` first: a
successor that then wins by what it read before looks once more and finds that it is not in the chain. A
holder that was paused before it removes `<name>` may have been succeeded, and its successor as well: so only
the very file that it read is removed, and it is put back if there is a successor.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import StorageError
from pipeline.core.language import _
from pipeline.record.files import parse_json, temporary_of
from pipeline.record.hosts import Host
from pipeline.record.owners import SILENCE, Beating, Owner, Watch, interval, life_of, this

log = logging.getLogger(__name__)

# Folder of claims, below artifacts/ and beside any other file that is claimed.
CLAIMS = ".claims"
SUCCESSOR = "~"
BEATS = "beats"
# Start of the names of claims of files: held for a moment, and by no builder.
FILE = "file"
NOT_IN_NAMES = str.maketrans({SUCCESSOR: "_", "/": "_"})
# Seconds of silence that a claim may ask for.
LONGEST = 24 * 3600.0
# Of file systems without hard links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class WaitedError(StorageError):
    """A claim was held by others for longer than one wanted to wait."""


class Place(Protocol):
    """Where claims stand. Reading, writing and removing what is missing is no error."""

    @property
    def pauses(self) -> tuple[float, float]:
        """Seconds between two looks of a waiter: at first and at most."""

    def create(self, name: str, text: str) -> bool:
        """Write a new file, whole, unless one of this name exists; whether it was written."""

    def read(self, name: str) -> str | None:
        """The text of a file; None: there is none."""

    def write(self, name: str, text: str) -> None:
        """Write a file, new or not."""

    def remove(self, *names: str) -> None:
        """Remove files, in this order."""

    def remove_if(self, name: str, text: str) -> bool:
        """Remove a file that still has this text; whether it was removed."""

    def names(self, below: str = "") -> list[str]:
        """The names of all files, or of those in a folder below; empty: nothing was ever claimed."""


class Folder:
    """Claims in a folder of a local or a network disk."""

    pauses = (0.02, 1.0)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str, text: str) -> bool:
        """See `Place`."""
        path = self.folder / name
        # Threads of one process have drafts of their own.
        draft = temporary_of(path.with_name(f"{name}.{uuid.uuid4().hex[:8]}"))
        try:
            _write(draft, text)
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(draft, text)
        except OSError:
            draft.unlink(missing_ok=True)  # on a full disk it is there, and empty
            raise
        try:
            os.link(draft, path)
        except FileExistsError:
            # A network disk may repeat a request whose answer was lost: then the link is ours.
            return draft.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return self._create_exclusively(path, text)
        finally:
            draft.unlink(missing_ok=True)
        return True

    @staticmethod
    def _create_exclusively(path: Path, text: str) -> bool:
        """Without links a reader may see an empty file for a moment, which is judged like a silent holder."""
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
        except OSError:
            path.unlink(missing_ok=True)  # on a full disk it is there, empty, and would hold the name
            raise
        return True

    def read(self, name: str) -> str | None:
        """See `Place`."""
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ESTALE:  # removed on another host while it was opened here
                return None
            raise

    def write(self, name: str, text: str) -> None:
        """See `Place`; in place, because a heartbeat needs no room on a full disk then."""
        path = self.folder / name
        try:
            _write(path, text)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)

    def remove(self, *names: str) -> None:
        """See `Place`."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def remove_if(self, name: str, text: str) -> bool:
        """See `Place`: it is taken away under a name of its own, looked at, and put back if it differs."""
        path = self.folder / name
        aside = temporary_of(path.with_name(f"{name}.{uuid.uuid4().hex[:8]}"))
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        try:
            found = aside.read_text(encoding="utf-8", errors="replace")
            if found == text:
                return True
            self.create(name, found)
            return False
        finally:
            aside.unlink(missing_ok=True)

    def names(self, below: str = "") -> list[str]:
        """See `Place`."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            files = [e for e in os.scandir(self.folder / below) if not e.name.startswith(".")]
            return sorted(e.name for e in files if not e.is_dir())
        return []


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Record:
    """What stands in a claim.

    Args:
        number: of this claim and no other.
        owner: the process, see `owners.this`.
        beat: the name of its heartbeat.
        silence: seconds without a heartbeat after which it may be taken over, as its owner promised.
    """

    number: str
    owner: Owner
    beat: str = ""
    silence: float = SILENCE

    @staticmethod
    def read(text: str, place_in_chain: int) -> Record:
        """A record from its text; one that cannot be read has no owner, and is taken over when silent."""
        try:
            found = parse_json(text)
            record = Record(
                str(found["number"]), dict(found["owner"]), str(found["beat"]), float(found["silence"])
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return Record(f"unreadable{place_in_chain}", {})
        sound = record.number.isalnum() and f"{record.beat}x".isalnum() and 0 < record.silence <= LONGEST
        return record if sound else Record(f"unreadable{place_in_chain}", {})

    @property
    def who(self) -> str:
        """The holder as people know it."""
        return _("process {pid} of {host}").format(
            pid=self.owner.get("pid", "?"), host=self.owner.get("host", _("an unknown host"))
        )


@dataclass
class Claim:
    """A name that this process holds, until `release` or until another one took it over."""

    claims: Claims
    name: str
    record: Record
    taken_from: Record | None = None
    _released: bool = field(default=False, repr=False)

    def is_held(self) -> bool:
        """Whether nobody took it over, e.g. because this process was paused for longer than the silence."""
        chain = self.claims.last(self.name)
        return bool(chain) and chain[-1].number == self.record.number

    def close(self) -> None:
        """See `release`."""
        self.release()

    def release(self) -> None:
        """Give it back; one that was lost belongs to another, and is left alone."""
        if not self._released:
            self._released = True
            self.claims.give_back(self)


class Claims:
    """The claims of one place, in the eyes of one process.

    Args:
        place: where they stand.
        host: of this process.
        silence: seconds without a heartbeat after which other hosts may take over what this process holds.
        watch: what this host has seen of others' heartbeats.
    """

    def __init__(
        self, place: Place, host: Host | None = None, silence: float = SILENCE, watch: Watch | None = None
    ) -> None:
        self.place, self.silence = place, silence
        self._host = host or Host.here()
        self._watch = watch or Watch()
        self._id, self._pid = "", 0
        self._beats = 0
        self._held: set[str] = set()
        self._changing = threading.Lock()
        self._beating = Beating(interval(silence), self._beat)

    @property
    def id(self) -> str:
        """Names this process in this place."""
        if self._pid != os.getpid():  # a fork has no heartbeat, and holds nothing
            self._id, self._pid, self._held = uuid.uuid4().hex[:12], os.getpid(), set()
        return self._id

    def take(self, name: str) -> Claim | None:
        """The claim, if nobody holds it; a dead holder's is taken over."""
        assert SUCCESSOR not in name and "/" not in name and not name.startswith("."), name
        record = Record(uuid.uuid4().hex, this(self._host), self.id, self.silence)
        text = json.dumps(asdict(record))
        self._hold(record)
        claim = None
        try:
            claim = self._taken(name, record, text)
        finally:
            if claim is None:
                self._let_go(record)
        return claim

    def _taken(self, name: str, record: Record, text: str) -> Claim | None:
        while not self.place.create(name, text):
            chain = self.last(name)
            if not chain:
                continue  # it was given back at this moment
            last = chain[-1]
            if last.number == record.number:
                break  # it was created, and the answer was lost: the repeated request was refused
            if self.is_living(last):
                return None
            successor = f"{name}{SUCCESSOR}{last.number}"
            is_created = self.place.create(successor, text)
            claim = Claim(self, name, record, last)
            if claim.is_held():
                return claim
            if not is_created:
                return None
            # The chain that ends here was given back meanwhile: nobody but us sees this file.
            self.place.remove(successor)
        return Claim(self, name, record)

    @contextlib.contextmanager
    def hold(
        self, name: str, waiting: Callable[[str], object] | None = None, timeout: float | None = None
    ) -> Iterator[Claim]:
        """The claim, after waiting for its present holder.

        Args:
            name: of the claim.
            waiting: called once with the holder before waiting for it.
            timeout: seconds after which waiting is given up.

        Raises:
            WaitedError: the timeout is over.
        """
        pause, longest = self.place.pauses
        began = time.monotonic()
        claim = self.take(name)
        while claim is None:
            holder = self.holder(name)
            if holder is not None and waiting is not None:
                waiting(holder.who)
                waiting = None
            if timeout is not None and time.monotonic() - began > timeout:
                who = _("{who} holds it").format(who=holder.who) if holder else _("others hold it in turn")
                raise WaitedError(
                    _("{name}: {who} for {timeout:g} seconds").format(name=name, who=who, timeout=timeout),
                    remedy=_("let it finish first"),
                )
            time.sleep(pause)
            pause = min(pause * 1.5, longest)
            claim = self.take(name)
        try:
            yield claim
        finally:
            claim.release()

    def holder(self, name: str) -> Record | None:
        """The living holder of a name."""
        chain = self.last(name)
        return chain[-1] if chain and self.is_living(chain[-1]) else None

    def held(self) -> dict[str, Record]:
        """Every name that a living process holds, this one's included."""
        roots = [name for name in self.place.names() if SUCCESSOR not in name]
        holders = {name: self.holder(name) for name in roots}
        return {name: holder for name, holder in holders.items() if holder is not None}

    def last(self, name: str) -> list[Record]:
        """The chain of a name, whose last record is the holder; empty: nobody holds it."""
        return self._chain(name)[1]

    def _chain(self, name: str) -> tuple[str, list[Record]]:
        """The text of the first file, and `last`."""
        chain, first = list[Record](), ""
        file = name
        while (text := self.place.read(file)) is not None:
            first = first if chain else text
            chain.append(Record.read(text, len(chain)))
            file = f"{name}{SUCCESSOR}{chain[-1].number}"
        return first, chain

    def is_living(self, record: Record) -> bool:
        """Whether the owner of a record runs, as far as this process can tell."""
        life = life_of(record.owner, self._host)
        if life != "unknown":
            return life == "alive"
        beat = self.place.read(f"{BEATS}/{record.beat}") if record.beat else None
        return self._watch.silence(record.number, beat or "") < record.silence

    def give_back(self, claim: Claim) -> None:
        """See `Claim.release`; a fork of the holder leaves the claim to it."""
        if claim.record.owner != this(self._host):
            return
        try:
            self._remove(claim)
        finally:  # where it could not be removed, e.g. of a bucket that fails, its heartbeat ends at least
            self._let_go(claim.record)

    def _remove(self, claim: Claim) -> None:
        name, (root, chain) = claim.name, self._chain(claim.name)
        if chain and chain[-1].number == claim.record.number:
            before = [f"{name}{SUCCESSOR}{record.number}" for record in chain[:-1]]
            if self.place.remove_if(name, root):
                if self.place.read(f"{name}{SUCCESSOR}{claim.record.number}") is None:
                    self.place.remove(*before)
                else:  # another process took this claim over after the chain was read
                    self.place.create(name, root)

    def sweep(self) -> int:
        """Remove the claims and heartbeats of the dead; returns how many claims there were.

        A holder elsewhere that is only silent keeps its claims until its silence is over.
        """
        names = self.place.names()
        roots = {name for name in names if SUCCESSOR not in name}
        living, dead = {self._id}, set()
        swept = 0
        for name in names:
            text = self.place.read(name)
            if text is None:
                continue
            record = Record.read(text, 0)
            if self.is_living(record):
                living.add(record.beat)
                continue
            dead.add(record.beat)
            root = name.partition(SUCCESSOR)[0]
            if root not in roots:
                self.place.remove(name)
            elif name == root and (claim := self.take(name)) is not None:
                swept += claim.taken_from is not None
                claim.release()
        for beat in self.place.names(BEATS):
            if beat not in living and (
                beat in dead or not self.is_living(Record(beat, {}, beat, self.silence))
            ):
                self.place.remove(f"{BEATS}/{beat}")
        return swept

    def _hold(self, record: Record) -> None:
        """Before a claim exists its heartbeat does."""
        with self._changing:
            if not self._held:
                self._beat()
                self._beating.start()
            self._held.add(record.number)

    def _let_go(self, record: Record) -> None:
        if self._pid != os.getpid():
            return
        with self._changing:
            self._held.discard(record.number)
            if not self._held:
                self._beating.stop()
                self.place.remove(f"{BEATS}/{self._id}")

    def _beat(self) -> None:
        self._beats += 1
        self.place.write(f"{BEATS}/{self.id}", f"{self._beats:012d}")


class Lock:
    """The claim of one file, e.g. a ledger that is read, changed and written; entered as often as needed.

    Args:
        folder: of the claims is `.claims` below this one.
        name: of the file.
        timeout: seconds after which waiting is given up; None: never.

    Raises:
        WaitedError: the timeout is over.
    """

    def __init__(self, folder: Path, name: str, timeout: float | None = None) -> None:
        self._claims = Claims(Folder(folder / CLAIMS))
        self._name = f"{FILE}-{name.translate(NOT_IN_NAMES)}"
        self._timeout = timeout
        self._entered: list[AbstractContextManager[Claim]] = []

    def __enter__(self) -> None:
        held = self._claims.hold(self._name, timeout=self._timeout)
        held.__enter__()
        self._entered.append(held)

    def __exit__(self, *error: object) -> None:
        self._entered.pop().__exit__(None, None, None)

    def try_enter(self) -> bool:
        """Enter it unless another process is inside; whether it was entered."""
        claim = self._claims.take(self._name)
        if claim is not None:
            self._entered.append(contextlib.closing(claim))
        return claim is not None
