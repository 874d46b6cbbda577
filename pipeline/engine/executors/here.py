"""What an executor is, and the executor of this process, which builds one result after another.

One file per executor. Does not own building a result (`engine/build.py`), nor the session, which finds in the
store what an executor has built, and builds whatever it did not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.engine import build
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.progress import Progress
from pipeline.engine.stage import OnEpoch
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import Run, Tracker
from pipeline.settings.load import Settings

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


class Executor(Protocol):
    """Builds what is missing of some needs; the results come back through the store."""

    def check(self, site: Site) -> None:
        """Raise ConfigError for devices, cores or addresses that are not there, before any work."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """Build what is missing of these needs and of their inputs, or some of it.

        Raises:
            UserError: of the need that failed, or of all that failed.
        """

    def close(self) -> None:
        """End what it has started."""


class Here:
    """Leaves everything to the session, which builds it in this process, one need after another."""

    def check(self, site: Site) -> None:
        """Nothing can be missing."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """Build nothing beforehand."""

    def close(self) -> None:
        """Nothing was started."""
