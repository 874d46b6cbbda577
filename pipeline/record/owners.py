"""Which process owns something, and whether it still runs.

Owns the description of a process, its heartbeat, and judging a silent one. Does not own hosts
(`record/hosts.py`), claims (`record/claims.py`), trials (`record/study.py`) or runs (`record/tracking.py`),
which have owners.

Clocks of hosts differ. A process elsewhere is judged by how long its heartbeat has not changed in the eyes of
the one who looks, never by comparing a time that it wrote with the time here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.record.files import read_json, write_atomic
from pipeline.record.hosts import Host, began, is_hidden

log = logging.getLogger(__name__)

Life = Literal["alive", "dead", "unknown"]
Owner = dict[str, str | int]

# Seconds of silence after which a process of another host counts as dead: `runtime.silence_seconds`.
SILENCE = 180.0
# Beats in that time: one that comes late, or a network disk that shows it late, is no death.
BEATS = 12
# Start of the names of files in which a `Watch` remembers, and after how many seconds it forgets.
SEEN = ".seen"
FORGOTTEN = 7 * 24 * 3600.0


def this(host: Host | None = None) -> Owner:
    """The calling process: its host, number and start time."""
    host = host or Host.here()
    return {"host": host.name, "machine": host.machine, "pid": os.getpid(), "began": _own(os.getpid())}


@functools.cache
def _own(pid: int) -> str:
    """Start time of this process, which does not change; of a fork its own."""
    return began(pid)


def is_here(owner: object, host: Host | None = None) -> bool:
    """Whether `this` described a process of this host.

    A description without `machine` is of an earlier version, which knew hosts by their names.
    """
    host = host or Host.here()
    if not isinstance(owner, Mapping):
        return False
    return owner.get("host") == host.name and owner.get("machine", host.machine) == host.machine


def life_of(owner: object, host: Host | None = None) -> Life:
    """Whether the process that `this` described runs.

    unknown: it is another host's, was described badly, or may be another user's whose processes are hidden.
    """
    if not isinstance(owner, Mapping) or not is_here(owner, host):
        return "unknown"
    try:
        pid = int(owner.get("pid", 0))
        found = began(pid)
        if not found and pid > 0 and is_hidden(pid):
            return "unknown"
        return "alive" if found == owner.get("began") != "" else "dead"
    except (ValueError, TypeError, OverflowError):
        return "unknown"


@dataclass(frozen=True)
class Seen:
    """When a value of a heartbeat was first seen: `wall` in this host's time, `steady` in this process's."""

    beat: str
    wall: float
    steady: float


class Watch:
    """For how long heartbeats have not changed, in the eyes of the one who looks.

    What was seen is kept in a file, so that commands which end sooner than the silence takes see it together.
    Within one process a clock that is set counts for nothing.

    Args:
        file: of this host; None: this object remembers, and nobody else.
        wall: seconds since the epoch, on this host.
        steady: seconds that only go on.
    """

    def __init__(
        self,
        file: Path | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._wall, self._steady = file, wall, steady
        self._seen: dict[str, Seen] = {}

    @staticmethod
    def of(folder: Path, host: Host | None = None) -> Watch:
        """The watch of this host that is kept in a folder of claims."""
        return Watch(folder / f"{SEEN}-{(host or Host.here()).machine}.json")

    def silence(self, name: str, beat: str) -> float:
        """Seconds since this heartbeat was first seen with this value."""
        known = self._seen.get(name) or self._kept().get(name)
        if known is None or known.beat != beat:
            self._seen[name] = Seen(beat, self._wall(), self._steady())
            self._keep()
            return 0.0
        self._seen[name] = known
        return self._steady() - known.steady

    def _kept(self) -> dict[str, Seen]:
        """What this host's processes saw. Later than now says nothing: the clock was set back."""
        if self._file is None:
            return {}
        wall, steady = self._wall(), self._steady()
        try:
            rows = [(str(n), str(beat), float(seen)) for n, (beat, seen) in read_json(self._file).items()]
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        return {name: Seen(beat, seen, steady - (wall - seen)) for name, beat, seen in rows if seen <= wall}

    def _keep(self) -> None:
        """Best effort: what is lost is looked at for longer."""
        if self._file is None or not self._file.parent.is_dir():
            return
        oldest = self._wall() - FORGOTTEN
        rows = {name: one for name, one in {**self._kept(), **self._seen}.items() if one.wall > oldest}
        with contextlib.suppress(OSError):
            write_atomic(
                self._file, json.dumps({name: (one.beat, one.wall) for name, one in rows.items()}).encode()
            )


def is_living(owner: object, beat: str, name: str, watch: Watch, silence: float = SILENCE) -> bool:
    """Whether an owner may still run: at once for this host, by its heartbeat for any other.

    Args:
        owner: see `this`.
        beat: the present value of its heartbeat; empty: it has none.
        name: of the thing that is owned, for the watch.
        watch: what has been seen so far.
        silence: seconds without a change after which it counts as dead.
    """
    life = life_of(owner)
    if life == "unknown":
        return watch.silence(name, beat) < silence
    return life == "alive"


class Beating:
    """A thread that calls a function at regular intervals; it ends with its process, and with `stop`.

    The function's errors are logged and change nothing: a heartbeat that cannot be written is silence, and
    others judge by that. Python hands its lock over between two threads every few milliseconds, so training
    does not stop it; a paused process beats again when it goes on.
    """

    def __init__(self, seconds: float, beat: Callable[[], object]) -> None:
        self._seconds, self._beat = seconds, beat
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def start(self) -> None:
        """Beat from now on; the first time after one interval."""
        if self._pid == os.getpid() and self._thread is not None and self._thread.is_alive():
            return
        self._pid, self._ended = os.getpid(), threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._ended,), name="podium heartbeat", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """No further beat begins; one in progress is not waited for."""
        self._ended.set()
        self._thread = None

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds):
            try:
                self._beat()
            except Exception as error:  # a database, a disk or a network may raise anything
                log.debug("a heartbeat could not be written: %s", error)


def interval(silence: float) -> float:
    """Seconds between two heartbeats."""
    return silence / BEATS
