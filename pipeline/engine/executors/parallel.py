"""The executors of several processes: a pool builds what is missing of some needs, or of groups of needs.

Owns when the processes start and end. Does not own the loop (`engine/executors/building.py`) nor the
processes (a `Pool`: `local.py`, `ray.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.engine.executors.building import Building
from pipeline.engine.executors.here import Flow, Outcome, Site, Source
from pipeline.engine.executors.plan import missing
from pipeline.engine.executors.pool import Pool
from pipeline.engine.need import Need
from pipeline.engine.stage import OnEpoch

ALL = "all"


class OpenPool(Protocol):
    """Opens the pool of an executor."""

    def __call__(self, site: Site) -> Pool:
        """Raises ConfigError for what is not there."""


class Parallel:
    """An executor of several processes; the pool starts when the first heavy need is missing.

    Args:
        open_pool: checks what is there, and returns the pool.
        source: of the catalogue, for other processes.
    """

    def __init__(self, open_pool: OpenPool, source: Source) -> None:
        self._open_pool, self._source = open_pool, source
        self.source: Source | None = source
        self._pool: Pool | None = None
        self._busy = False

    def pool(self, site: Site) -> Pool:
        """The pool, opened on first use."""
        if self._pool is None:
            self._pool = self._open_pool(site)
        return self._pool

    def check(self, site: Site) -> None:
        """Raise ConfigError for devices, cores or addresses that are not there, before any work."""
        self.pool(site)

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """Build what is missing, as far as heavy needs are part of it; see `Executor`."""
        if self._busy:  # a stage's function asks for a result while it is announced
            return
        if not any(node.heavy for node in missing(site, needs).values()):
            return
        with self._building(site) as building:
            _announce(site, needs)
            building.open()
            building.add(ALL, needs, site.on_epoch)
            while not building.ended():
                building.step()
            site.progress.hide()
            if (fault := building.take(ALL)) is not None:
                raise fault

    @contextlib.contextmanager
    def flow(self, site: Site, spread: bool = False) -> Iterator[Flow]:
        """See `Executor`."""
        with self._building(site) as building:
            yield _Flow(site, building, spread)

    @contextlib.contextmanager
    def _building(self, site: Site) -> Iterator[Building]:
        building = Building(site, lambda: self.pool(site), self._source)
        self._busy = True
        try:
            with contextlib.closing(building):
                yield building
        except BaseException:
            if building.outside:  # otherwise everything else has ended, and the processes are idle
                self.close()
            raise
        finally:
            self._busy = False

    def close(self) -> None:
        """End all processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _announce(site: Site, needs: Sequence[Need]) -> None:
    site.protect(site.graph.chain(needs))
    site.index.save()  # other processes need not read files again


class _Flow:
    """See `Flow`."""

    def __init__(self, site: Site, building: Building, spread: bool) -> None:
        self._site, self._building, self._spread = site, building, spread
        self._needs: dict[str, Sequence[Need]] = {}
        self._refused: dict[str, Outcome] = {}

    @property
    def size(self) -> int:
        """See `Flow`."""
        return self._building.open().size

    def add(self, group: str, needs: Sequence[Need], on_epoch: OnEpoch | None = None) -> None:
        """See `Flow`."""
        try:
            _announce(self._site, needs)
            self._building.add(group, needs, on_epoch, self._spread)
        except Exception as error:  # a stage refuses
            self._refused[group] = error
        else:
            self._needs[group] = needs

    def wait(self) -> dict[str, Outcome]:
        """See `Flow`."""
        assert self._needs or self._refused, "nothing is being built"
        while not self._refused and not (ended := self._building.ended()):
            self._building.step()
        if self._refused:
            refused, self._refused = self._refused, {}
            return refused
        return {group: self._outcome(group) for group in ended}

    def _outcome(self, group: str) -> Outcome:
        needs = self._needs.pop(group)
        error = self._building.take(group)
        if error is not None:
            return error
        try:
            return [self._site.build_here(need) for need in needs]
        except Exception as failed:  # e.g. a result that was changed meanwhile
            return failed
