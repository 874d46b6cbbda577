"""What an executor of several processes needs of them, and what they report.

Owns the events and the protocol. Does not own the processes (`engine/executors/local.py`, `ray.py`) nor what
runs next (`engine/executors/building.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.engine.executors.work import Task


@dataclass(frozen=True)
class Epoch:
    """A training has finished an epoch."""

    name: str
    fold: int
    epoch: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Started:
    """A task that waited in its pool runs now, or runs again elsewhere."""

    name: str
    where: str
    pid: int


@dataclass(frozen=True)
class Ended:
    """A task has ended, with an error or without."""

    name: str
    error: BaseException | None = None


@dataclass(frozen=True)
class Lost:
    """The process of a task has ended before the task."""

    name: str
    reason: str


Event = Epoch | Started | Ended | Lost


class Pool(Protocol):
    """Processes that build tasks."""

    @property
    def kind(self) -> str:
        """The name of the executor."""

    @property
    def size(self) -> int:
        """How many tasks run at once."""

    @property
    def free(self) -> int:
        """How many tasks can be submitted now."""

    def submit(self, task: Task) -> tuple[str, int | None]:
        """Start a task; returns where it runs, and the process id if it is known."""

    def answer(self, name: str, goes_on: bool) -> None:
        """The answer to an epoch of a task that waits for it."""

    def wait(self, seconds: float) -> list[Event]:
        """What has happened, after at most this time."""

    def close(self) -> None:
        """End all processes within seconds, and what they run, too."""
