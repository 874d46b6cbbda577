"""What an executor is, and the executor of this process, which builds one result after another.

Owns the protocols that all executors have. Does not own building a result (`engine/build.py`), nor the
session, which finds in the store what an executor has built, and builds whatever it did not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.engine import build
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.progress import Progress
from pipeline.engine.stage import Catalogue, OnEpoch
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import Run, Tracker
from pipeline.settings.load import Settings

Source = Callable[[], Catalogue]
# What became of some needs: their results, or the error.
Outcome = list[Artifact] | BaseException
Opening = contextlib.AbstractContextManager[tuple[build.Order, Run] | None]


class Site(Protocol):
    """The part of a session that an executor uses."""

    settings: Settings
    store: Store
    tracker: Tracker
    graph: Graph
    index: FileIndex
    home: Path
    study: str | None
    on_epoch: OnEpoch | None
    seconds: dict[str, float]
    artifacts: Path | None
    progress: Progress

    def say(self, text: str) -> None:
        """A line for the terminal."""

    def full_title(self, need: Need) -> str:
        """The name of a result with its stage and parameters."""

    def refuse_one(self, need: Need) -> None:
        """Run the `refuse` function of a need's stage."""

    def protect(self, needs: Sequence[Need]) -> None:
        """Keep the results of these needs from being freed while the command runs."""

    def keep_budget(self, stage: str) -> None:
        """Free the least recently used results of a stage."""

    def build_here(self, need: Need, run: Run | None = None) -> Artifact:
        """The result of a need, built by this process if it is missing."""

    def open(self, need: Need) -> Opening:
        """Claim a result whose folds are built elsewhere, and open its run; None: it exists by now."""

    def build_opened(self, order: build.Order, run: Run) -> Artifact:
        """Build a result that `open` claimed, once its folds exist."""

    def accept(self, artifact: Artifact, need: Need, reused: bool) -> Artifact:
        """A finished result of this or another process, checked and printed."""


class Flow(Protocol):
    """Groups of needs that are built at the same time; further ones may be added while others run."""

    @property
    def size(self) -> int:
        """How many heavy needs run at once."""

    def add(self, group: str, needs: Sequence[Need], on_epoch: OnEpoch | None = None) -> None:
        """Build a group.

        Args:
            group: its name, which no group has that is being built.
            needs: whose results are wanted.
            on_epoch: called after each epoch of its trainings; may end them.
        """

    def wait(self) -> dict[str, Outcome]:
        """Name -> outcome of the groups that have ended since the last call; waits for at least one."""


class Executor(Protocol):
    """Builds what is missing of some needs; the results come back through the store."""

    source: Source | None

    def check(self, site: Site) -> None:
        """Raise ConfigError for devices, cores or addresses that are not there, before any work."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """Build what is missing of these needs and of their inputs, or some of it.

        Raises:
            UserError: of the need that failed, or of all that failed.
        """

    def flow(self, site: Site, spread: bool = False) -> contextlib.AbstractContextManager[Flow]:
        """For groups of needs that become known one after another.

        spread: whether wanted needs run in other processes even if they are light.
        """

    def close(self) -> None:
        """End what it has started."""


class Here:
    """Leaves everything to the session, which builds it in this process, one need after another.

    source: of the catalogue, for the processes of other executors.
    """

    def __init__(self, source: Source | None = None) -> None:
        self.source = source

    def check(self, site: Site) -> None:
        """Nothing can be missing."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """Build nothing beforehand."""

    @contextlib.contextmanager
    def flow(self, site: Site, spread: bool = False) -> Iterator[Flow]:
        """One group after another."""
        yield _Flow(site)

    def close(self) -> None:
        """Nothing was started."""


class _Flow:
    """See `Flow`."""

    size = 1

    def __init__(self, site: Site) -> None:
        self._site = site
        self._groups: dict[str, tuple[Sequence[Need], OnEpoch | None]] = {}

    def add(self, group: str, needs: Sequence[Need], on_epoch: OnEpoch | None = None) -> None:
        """See `Flow`."""
        assert group not in self._groups, f"group {group} is being built"
        self._groups[group] = needs, on_epoch

    def wait(self) -> dict[str, Outcome]:
        """See `Flow`: builds the group that was added first."""
        assert self._groups, "nothing is being built"
        group = next(iter(self._groups))
        needs, on_epoch = self._groups.pop(group)
        before, self._site.on_epoch = self._site.on_epoch, on_epoch
        try:
            return {group: [self._site.build_here(need) for need in needs]}
        except Exception as error:
            return {group: error}
        finally:
            self._site.on_epoch = before
