"""Building several needs side by side: heavy ones in other processes, light ones in this one.

Owns the loop of the command's process (`Parallel`), which alone decides what runs next, prints, and writes
the runs of parents in the record. Does not own the order (`engine/schedule.py`) nor the processes (a `Pool`:
`local.py`, `ray.py`).

The parent of folds is claimed and its run opened when its inputs exist; its folds follow, and it is built
when they are done. While another command builds it, it is tried again and again without waiting for it, so
two commands never wait for each other.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.errors import PodiumError, StoppedError, StorageError, UserError
from pipeline.core.terminal import printable
from pipeline.engine import build, texts
from pipeline.engine.executors.here import Site
from pipeline.engine.executors.work import Source, Task
from pipeline.engine.need import Need
from pipeline.engine.schedule import GIVEN_UP, RUNNING, WAITING, Schedule
from pipeline.record.store import LockedError
from pipeline.record.tracking import Run
from pipeline.settings.members import trainings

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5
OPEN = "open "


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


@dataclass
class Node:
    """A missing need in the schedule: what is built inside it, and in which other one it is built."""

    need: Need
    heavy: bool
    inside: list[str] = field(default_factory=list)
    parent: str | None = None


def missing(site: Site, needs: Sequence[Need]) -> dict[str, Node]:
    """Name -> node of every missing need in the chains of these needs, inputs first.

    Raises:
        UserError: of a stage that refuses, before anything is built.
    """
    graph, found = site.graph, dict[str, Node]()
    there: set[str] = set()

    def visit(need: Need) -> str | None:
        name = f"{need.stage}/{graph.key(need)}"
        if name in there or graph.found(need) is not None:
            there.add(name)
            return None
        if name in found:
            return name
        site.refuse_one(need)
        stage = graph.stage(need)
        inputs = graph.inputs(need)
        for below in (n for n in inputs.values() if n.stage != stage.inside):
            visit(below)
        inside = [visit(below) for below in inputs.values() if below.stage == stage.inside]
        found[name] = Node(need, stage.is_heavy(need.settings), [one for one in inside if one is not None])
        return name

    for need in needs:
        visit(need)
    return found


def after(site: Site, nodes: dict[str, Node]) -> dict[str, set[str]]:
    """Piece of work -> those that it waits for; `open NAME` claims a need and opens its run for its folds."""
    graph, waits = site.graph, dict[str, set[str]]()
    for name, node in nodes.items():
        stage = graph.stage(node.need)
        inputs = graph.inputs(node.need).values()
        below = {f"{n.stage}/{graph.key(n)}" for n in inputs if n.stage != stage.inside} & nodes.keys()
        if node.inside:
            waits[OPEN + name] = below
            below = {OPEN + name, *node.inside}
        waits[name] = below
    for name, node in nodes.items():
        for child in node.inside:
            # The first parent has it as its child, unless the parent itself waits for it.
            if nodes[child].parent is None and child not in _reached(waits, OPEN + name):
                nodes[child].parent = name
                waits[child].add(OPEN + name)
    return waits


def _reached(waits: dict[str, set[str]], piece: str) -> set[str]:
    seen: set[str] = set()
    left = [piece]
    while left:
        for below in waits[left.pop()] - seen:
            seen.add(below)
            left.append(below)
    return seen


@dataclass
class _Opened:
    """A parent that is claimed; `made` is None if another command has built it meanwhile."""

    stack: contextlib.ExitStack
    made: tuple[build.Order, Run] | None


class Parallel:
    """An executor of several processes; the pool starts when the first heavy need is missing.

    Args:
        open_pool: checks what is there, and returns the pool.
        source: of the catalogue, for other processes.
    """

    def __init__(self, open_pool: OpenPool, source: Source) -> None:
        self._open_pool, self._source = open_pool, source
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
        nodes = missing(site, needs)
        if not any(node.heavy for node in nodes.values()):
            return
        site.protect(site.graph.chain(needs))
        site.index.save()  # other processes need not read files again
        building = _Building(site, self.pool(site), nodes, self._source)
        self._busy = True
        try:
            building.run()
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


class OpenPool(Protocol):
    """Opens the pool of an executor."""

    def __call__(self, site: Site) -> Pool:
        """Raises ConfigError for what is not there."""


class _Building:
    """One call of `Parallel.prepare`."""

    def __init__(self, site: Site, pool: Pool, nodes: dict[str, Node], source: Source) -> None:
        self.site, self.pool, self.nodes, self.source = site, pool, nodes, source
        self.schedule = Schedule(after(site, nodes))
        self.opened: dict[str, _Opened] = {}
        self.lost: set[str] = set()
        self.outside: set[str] = set()  # tasks in other processes
        self.retry: dict[str, float] = {}  # claimed by another command: when to try again
        self.progress = site.progress
        self.progress.executor, self.progress.parallel = pool.kind, pool.size
        self._ticked = time.monotonic()
        for name, node in nodes.items():
            self.progress.expect(name, node.need.stage, self.site.full_title(node.need))

    def run(self) -> None:
        """Build all nodes; the faults of all are raised at the end."""
        try:
            while not self.schedule.is_over:
                self._submit()
                was_built = self._build_one_here()
                self._receive(0.0 if was_built else WAIT_SECONDS)
            self.progress.hide()
            self._raise_faults()
        finally:
            self.progress.hide()
            error = sys.exc_info()
            for opened in reversed(self.opened.values()):
                opened.stack.__exit__(*error)
            self._charge()
        for stage in {node.need.stage for node in self.nodes.values()}:
            if self.site.graph.catalogue.get(stage).evictable:
                self.site.keep_budget(stage)

    def _submit(self) -> None:
        """Give ready heavy needs to free processes."""
        for piece in self.schedule.ready():
            if not self.pool.free:
                return
            node = self.nodes.get(piece)
            if node is None or not node.heavy:
                continue
            self.schedule.start(piece)
            found = self.site.graph.found(node.need)
            if found is not None:  # another command has built it
                self._received(piece)
                continue
            where, pid = self.pool.submit(self._task(piece, node))
            self.outside.add(piece)
            self.progress.started(piece, where, pid)

    def _task(self, name: str, node: Node) -> Task:
        graph, site = self.site.graph, self.site
        parent = self.opened[node.parent].made if node.parent in self.opened else None
        inputs = {n: f"{b.stage}/{graph.key(b)}" for n, b in graph.inputs(node.need).items()}
        return Task(
            name=name,
            title=self.site.full_title(node.need),
            need=node.need,
            inputs=inputs,
            resolved=graph.resolved(node.need),
            parent=None if parent is None else (parent[1].info, parent[1].id),
            study=site.study,
            root=site.artifacts,
            source=self.source,
            answers=site.on_epoch is not None,
        )

    def _build_one_here(self) -> bool:
        """Build the first ready light need, or open a parent; False: there is none."""
        now = time.monotonic()
        for piece in self.schedule.ready():
            name = piece.removeprefix(OPEN)
            if piece in self.nodes and (self.nodes[piece].heavy or self._has_earlier(piece)):
                continue
            if self.retry.get(piece, 0.0) > now:
                continue
            self.progress.hide()
            self.schedule.start(piece)
            try:
                if piece.startswith(OPEN):
                    self._open(name)
                else:
                    self._build_here(name)
            except LockedError:
                if piece not in self.retry:
                    log.warning(texts.LOCKED.format(title=self.site.full_title(self.nodes[name].need)))
                self.retry[piece] = now + WAIT_SECONDS
                self.schedule.again(piece)
                continue
            except Exception as error:  # told at the end, with all others
                self._failed(piece, error)
            else:
                self.schedule.done(piece)
                if piece in self.nodes:  # also one that another command has built meanwhile
                    self.progress.ended(piece)
            return True
        return False

    def _has_earlier(self, name: str) -> bool:
        """Whether a run of the same stage comes before this one: each is compared with the earlier ones.

        So the record is that of one process, whatever ends first. An earlier one never waits for a later one.
        """
        stage = self.nodes[name].need.stage
        if not self.site.graph.catalogue.get(stage).tracked:
            return False
        same = [other for other, node in self.nodes.items() if node.need.stage == stage]
        return any(self.schedule.state(other) in (WAITING, RUNNING) for other in same[: same.index(name)])

    def _open(self, name: str) -> None:
        with contextlib.ExitStack() as stack:
            made = stack.enter_context(self.site.open(self.nodes[name].need))
            self.opened[name] = _Opened(stack.pop_all(), made)

    def _build_here(self, name: str) -> None:
        node = self.nodes[name]
        opened = self.opened.get(name)
        if opened is None or opened.made is None:
            parent = self.opened[node.parent].made if node.parent in self.opened else None
            self.site.build_here(node.need, None if parent is None else parent[1])
            return
        del self.opened[name]
        with opened.stack, self.progress.building(name, node.need.stage, self.site.full_title(node.need)):
            self.site.build_opened(*opened.made)

    def _received(self, name: str) -> None:
        """Another process has built a heavy need: check and print it."""
        need = self.nodes[name].need
        artifact = self.site.graph.found(need)
        assert artifact is not None, f"{name} was reported as built and is not in the store"
        self.progress.hide()
        try:
            self.site.accept(artifact, need, reused=False)
        except UserError as error:
            self._failed(name, error)
        else:
            self.schedule.done(name)
            self.progress.ended(name)

    def _failed(self, piece: str, error: BaseException) -> None:
        name = piece.removeprefix(OPEN)
        title = self.site.full_title(self.nodes[name].need)
        lost = self.schedule.failed(piece, error)
        for above in lost:
            if above in self.nodes:
                self.progress.gave_up(above)
        self.progress.ended(name, error)  # also of a parent that could not be opened, which is given up, too
        parent = self.nodes[name].parent
        made = self.opened[parent].made if parent in self.opened else None
        if made is not None and not made[1].failed_child:
            made[1].failed_child = title
        self._close_failed(error)

    def _close_failed(self, error: BaseException) -> None:
        """Close the runs of parents that can no longer be built, once none of their folds runs any more."""
        for name in list(self.opened):
            node = self.nodes[name]
            alive = any(self.schedule.state(child) in (RUNNING, WAITING) for child in node.inside)
            if self.schedule.state(name) == GIVEN_UP and not alive:
                self.opened.pop(name).stack.__exit__(type(error), error, error.__traceback__)

    def _receive(self, seconds: float) -> None:
        """Take in what other processes report."""
        events = self.pool.wait(seconds)
        self._charge()
        for event in events:
            if isinstance(event, Epoch):
                self._epoch(event)
                continue
            if isinstance(event, Started):
                self.progress.started(event.name, event.where, event.pid)
                continue
            self.outside.discard(event.name)
            title = self.site.full_title(self.nodes[event.name].need)
            if isinstance(event, Lost) and event.name not in self.lost:
                self.lost.add(event.name)
                self.progress.hide()
                log.warning(printable(texts.DIED.format(title=title, reason=event.reason)))
                self.progress.again(event.name)
                self.schedule.again(event.name)
                continue
            if isinstance(event, Lost):
                text = texts.DIED_TWICE.format(title=title, reason=event.reason)
                self._failed(event.name, UserError(text, remedy=texts.DIED_REMEDY))
            elif event.error is not None:
                self._failed(event.name, event.error)
            else:
                self._received(event.name)
        if self.schedule.faults:
            self._close_failed(next(iter(self.schedule.faults.values())))
        self.progress.update()
        self.progress.show()

    def _epoch(self, event: Epoch) -> None:
        train = self.nodes[event.name].need.settings.config.train
        epochs = round(train.epochs * trainings(train.bag, train.chain))
        self.progress.epoch(event.name, event.epoch + 1, epochs)
        if self.site.on_epoch is not None:
            self.pool.answer(event.name, self.site.on_epoch(event.fold, event.epoch, event.figures))

    def _charge(self) -> None:
        """Add the time since the last call to the stages that ran; side by side, each has its share."""
        now = time.monotonic()
        for name in self.outside:
            stage = self.nodes[name].need.stage
            share = (now - self._ticked) / len(self.outside)
            self.site.seconds[stage] = self.site.seconds.get(stage, 0.0) + share
        self._ticked = now

    def _raise_faults(self) -> None:
        """Raise the only fault as it is, or all together in one error."""
        told: dict[str, tuple[list[str], BaseException]] = {}
        for piece, error in self.schedule.faults.items():
            title = self.site.full_title(self.nodes[piece.removeprefix(OPEN)].need)
            told.setdefault(str(error), ([], error))[0].append(title)
        if not told:
            return
        errors = [error for _, error in told.values()]
        users = {text: titles for text, (titles, error) in told.items() if isinstance(error, UserError)}
        bugs = [error for error in errors if not isinstance(error, PodiumError)]
        faults = [f"{', '.join(titles)}: {text}".replace("\n", " ") for text, titles in users.items()]
        if bugs:
            if faults:
                bugs[0].add_note(texts.ALSO.format(faults="; ".join(faults)))
            raise bugs[0]
        if len(errors) == 1 or isinstance(errors[0], StoppedError):
            raise errors[0]
        n = len(self.schedule.faults)
        text = texts.SEVERAL.format(n=n)
        if any(isinstance(error, StorageError) for error in errors):  # a search counts it as no trial
            raise StorageError(text, faults, texts.SEVERAL_REMEDY)
        raise UserError(text, faults, texts.SEVERAL_REMEDY)
