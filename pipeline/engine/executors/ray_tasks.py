"""What runs on the machines of a Ray cluster: a task, a look at the machine, and the mailbox.

Owns the functions that `engine/executors/ray.py` sends to Ray. Does not own building a task
(`engine/executors/work.py`), nor connecting with Ray (`ray.py`).
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.core import terminal
from pipeline.engine.build import VERSIONS_OF
from pipeline.engine.executors.work import Task, build_one

STARTED, EPOCH, MOVED = "started", "epoch", "moved"
# The GPUs with which this process began: torch keeps them for as long as it lives.
GPUS_AT_START = "PODIUM_GPUS_AT_START"
GPUS = "CUDA_VISIBLE_DEVICES"
# How long a finished task waits for its last letter; a mailbox that is gone must not hold it.
LETTER_SECONDS = 10.0


class Mailbox:
    """An actor that keeps what tasks tell their command, and the command's answers to them."""

    def __init__(self) -> None:
        self._letters: list[tuple[Any, ...]] = []
        self._answers: dict[str, asyncio.Queue[bool]] = {}

    async def tell(self, letter: tuple[Any, ...]) -> None:
        """Keep a letter: its kind, the name of a task, and what the kind holds."""
        self._letters.append(letter)

    async def ask(self, letter: tuple[Any, ...]) -> bool:
        """Keep a letter, and wait for the command's answer to it."""
        answers = self._answers.setdefault(letter[1], asyncio.Queue())
        while not answers.empty():  # for a process that is gone
            answers.get_nowait()
        self._letters.append(letter)
        return await answers.get()

    async def answer(self, name: str, goes_on: bool) -> None:
        """The answer to the last letter of a task."""
        self._answers.setdefault(name, asyncio.Queue()).put_nowait(goes_on)

    async def take(self) -> list[tuple[Any, ...]]:
        """All letters since the last call, oldest first."""
        letters, self._letters = self._letters, []
        return letters


def run_task(task: Task, folder: str, mailbox: Any) -> BaseException | None:
    """Build a task in this process, which may have built others before; returns its error.

    Args:
        task: to be built.
        folder: in which the command runs: relative paths of its settings begin there.
        mailbox: handle of the mailbox.
    """
    import ray

    sent: list[Any] = []

    def tell(*letter: Any) -> None:
        ray.get(mailbox.tell.remote(letter))

    def report(fold: int, epoch: int, figures: dict[str, float]) -> bool:
        letter = (EPOCH, task.name, fold, epoch, figures)
        if task.answers:
            return bool(ray.get(mailbox.ask.remote(letter)))
        sent[:] = [mailbox.tell.remote(letter)]
        return True

    gpus = os.environ.get(GPUS, "")
    if os.environ.setdefault(GPUS_AT_START, gpus) != gpus and "torch" in sys.modules:
        # Ray chose other GPUs for this task. Torch cannot change them, so Ray takes another process.
        tell(MOVED, task.name)
        os._exit(0)
    os.chdir(folder)
    terminal.prepare()
    host = socket.gethostname()
    tell(STARTED, task.name, f"{host} gpu {gpus}" if ray.get_gpu_ids() else host, os.getpid())
    error = build_one(task, report)
    if sent:  # letters keep their order: with the last one, all have arrived before the task ends
        ray.wait(sent, timeout=LETTER_SECONDS)
    return error


@dataclass(frozen=True)
class Look:
    """What a machine of the cluster says about itself.

    Args:
        host: its name.
        versions: name -> version of Python, Ray and the packages on which results depend.
        missing: the paths that it was asked about and does not see.
    """

    host: str
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def look(paths: tuple[str, ...]) -> Look:
    """A look at this machine: versions, and which of these paths it does not see."""
    unseen = tuple(path for path in paths if not Path(path).exists())
    return Look(socket.gethostname(), versions(), unseen)


def versions() -> dict[str, str]:
    """Name -> version of Python, Ray and the packages on which results depend, of this process."""
    found = {"Python": platform.python_version()}
    for name in ("ray", *VERSIONS_OF):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found
