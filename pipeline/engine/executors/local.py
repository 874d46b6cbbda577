"""`runtime.executor=local`: processes of this machine that stay alive, each with its own GPU or cores.

Owns starting, feeding and ending the processes. Does not own what they do (`engine/executors/worker.py`) nor
what runs next (`engine/executors/building.py`).

Each process starts with its CUDA_VISIBLE_DEVICES, so before torch is imported. It is in a session of its own:
Ctrl-C reaches the command only, which passes it on once. What a process prints goes into a file, from which
the command shows whole lines.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO, Any

from tqdm import tqdm

from pipeline.core.language import joined
from pipeline.core.terminal import printable
from pipeline.engine import hardware, texts
from pipeline.engine.executors.devices import Machine, Token, cores, gpu_names, tokens, tokens_of_jobs
from pipeline.engine.executors.here import Site
from pipeline.engine.executors.pool import Ended, Epoch, Event, Lost
from pipeline.engine.executors.work import Task, search_path
from pipeline.engine.executors.worker import ENDED

log = logging.getLogger(__name__)

# Seconds in which a process that must stop can close its run in the record.
PATIENCE = 5.0
# Ctrl-C during its imports ends it without a traceback; `main` decides from then on.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "from pipeline.engine.executors.worker import main; main({descriptor}, {parent})"
)


def machine() -> Machine:
    """What this machine has."""
    gpus = gpu_names(hardware.gpu_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return Machine(gpus, cores(), hardware.default_threads(), hardware.gpu_memory(len(gpus)))


def open_local(site: Site) -> Local:
    """The pool of this machine; raises ConfigError for what is not there."""
    runtime, here = site.settings.config.runtime, machine()
    chosen = tokens(runtime, here)
    if len(chosen) == 1 and not here.gpus and runtime.threads is None and here.cores > 1:
        log.info(texts.ONE_PROCESS.format(cores=here.cores))
    return Local(chosen)


def open_jobs(site: Site, jobs: int) -> Local:
    """The pool of a search that runs several trials at once; raises ConfigError for what is not there."""
    return Local(tokens_of_jobs(jobs, site.settings.config.runtime, machine()))


class _Process:
    """One process, and the task that it builds."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self.task: Task | None = None
        self.connection, other = Pipe()
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.shown, self.last = 0, ""
        env = {**os.environ, "PYTHONPATH": search_path(), "PYTHONUNBUFFERED": "1"}
        if token.visible is not None:
            env["CUDA_VISIBLE_DEVICES"] = token.visible
        program = PROGRAM.format(descriptor=other.fileno(), parent=os.getpid())
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            pass_fds=(other.fileno(),),
            start_new_session=True,
        )
        other.close()

    def show(self) -> None:
        """Show the whole lines that it has printed since the last call."""
        size = os.fstat(self.output.fileno()).st_size
        text = os.pread(self.output.fileno(), size - self.shown, self.shown)
        whole = text[: text.rfind(b"\n") + 1]
        self.shown += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if line.strip():
                self.last = line.strip()
                tqdm.write(printable(line), file=sys.stderr)  # beside the live line

    def reason(self) -> str:
        """Why it ended, in words."""
        code = self.process.wait()
        self.show()
        why = texts.EXIT.format(code=code)
        if code < 0:
            why = texts.SIGNAL.format(name=signal.Signals(-code).name)
        return joined("; ", (why, texts.DIED_OUTPUT.format(line=self.last))) if self.last else why

    def kill(self) -> None:
        """End it at once, with the processes that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()
        self.output.close()


class Local:
    """The processes of this machine, one for each token, started when they are needed."""

    kind = "local"

    def __init__(self, chosen: list[Token]) -> None:
        self._tokens = chosen
        self._free = list(chosen)
        self._processes: list[_Process] = []

    @property
    def size(self) -> int:
        """How many tasks run at once."""
        return len(self._tokens)

    @property
    def free(self) -> int:
        """How many tasks can be submitted now."""
        return len(self._free) + sum(p.task is None for p in self._processes)

    def submit(self, task: Task) -> tuple[str, int]:
        """Start a task in an idle process, or in a new one."""
        one = next((p for p in self._processes if p.task is None and p.process.poll() is None), None)
        if one is None:
            for idle in [p for p in self._processes if p.task is None]:  # it has died since its last task
                self._forget(idle)
            one = _Process(self._free.pop(0))
            self._processes.append(one)
        one.task = task
        with contextlib.suppress(ConnectionError):  # it has died: `wait` notices
            one.connection.send(task)
        return one.token.name, one.process.pid

    def answer(self, name: str, goes_on: bool) -> None:
        """The answer to an epoch of a task that waits for it."""
        for one in self._running():
            if one.task is not None and one.task.name == name:
                with contextlib.suppress(ConnectionError):
                    one.connection.send(goes_on)

    def wait(self, seconds: float) -> list[Event]:
        """What has happened, after at most this time."""
        waiting: list[Connection[Any, Any]] = [p.connection for p in self._running()]
        if not waiting:
            time.sleep(seconds)
            return []
        wait(waiting, seconds)
        events: list[Event] = []
        for one in self._running():
            ended = one.process.poll() is not None  # before its last messages are read
            events += self._messages(one)
            one.show()
            if one.task is not None and ended:
                events.append(Lost(one.task.name, one.reason()))
                self._forget(one)
        return events

    def _messages(self, one: _Process) -> list[Event]:
        events: list[Event] = []
        try:
            while one.task is not None and one.connection.poll():
                kind, *rest = one.connection.recv()
                name = one.task.name
                if kind == ENDED:
                    one.task = None
                    events.append(Ended(name, *rest))
                else:
                    events.append(Epoch(name, *rest))
        except (EOFError, ConnectionError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(PATIENCE)
        return events

    def _running(self) -> list[_Process]:
        return [one for one in self._processes if one.task is not None]

    def _forget(self, one: _Process) -> None:
        one.kill()
        self._processes.remove(one)
        self._free.append(one.token)

    def close(self) -> None:
        """End all processes: idle ones are told to, others get Ctrl-C; after some seconds all are killed."""
        for one in self._processes:
            with contextlib.suppress(ConnectionError, OSError):
                if one.task is None:
                    one.connection.send(None)
                else:
                    one.process.send_signal(signal.SIGINT)
        until = time.monotonic() + PATIENCE
        for one in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(until - time.monotonic(), 0.0))
        for one in self._processes:
            one.show()
            one.kill()
        self._processes, self._free = [], list(self._tokens)
