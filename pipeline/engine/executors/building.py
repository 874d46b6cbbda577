"""The loop that builds groups of needs side by side: heavy ones in other processes, light ones in this one.

Owns the loop of the command's process, which alone decides what runs next, prints, and writes the runs of
parents in the record. Does not own the order (`engine/schedule.py`) nor the processes (a `Pool`).

The parent of folds is claimed and its run opened when its inputs exist; its folds follow, and it is built
when they are done. While another command builds it, it is tried again and again without waiting for it, so
two commands never wait for each other.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.errors import PodiumError, StoppedError, StorageError, UserError
from pipeline.engine import build, texts
from pipeline.engine.executors.here import Site, Source
from pipeline.engine.executors.plan import OPEN, Node, after, missing
from pipeline.engine.executors.pool import Epoch, Lost, Pool, Started
from pipeline.engine.executors.work import Task
from pipeline.engine.need import Need
from pipeline.engine.schedule import GIVEN_UP, RUNNING, WAITING, Schedule
from pipeline.engine.stage import OnEpoch
from pipeline.record.store import LockedError
from pipeline.record.tracking import Run

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5


@dataclass
class _Opened:
    """A parent that is claimed; `made` is None if another command has built it meanwhile."""

    stack: contextlib.ExitStack
    made: tuple[build.Order, Run] | None


@dataclass
class _Group:
    """Needs whose results are wanted together, e.g. those of a trial.

    Args:
        pieces: of the schedule, on which these results depend; other groups may have some of them, too.
        faults: piece -> its error.
    """

    pieces: set[str]
    faults: dict[str, BaseException] = field(default_factory=dict)


class Building:
    """Groups of needs that are built at the same time.

    Args:
        site: the session.
        open_pool: returns the pool, which is opened when the first heavy need is ready.
        source: of the catalogue, for other processes.
    """

    def __init__(self, site: Site, open_pool: Callable[[], Pool], source: Source) -> None:
        self.site, self.source, self._open_pool = site, source, open_pool
        self._pool: Pool | None = None
        self.nodes: dict[str, Node] = {}
        self.schedule = Schedule({})
        self.groups: dict[str, _Group] = {}
        self.opened: dict[str, _Opened] = {}
        self.lost: set[str] = set()
        self.outside: set[str] = set()  # tasks in other processes
        self.retry: dict[str, float] = {}  # claimed by another command: when to try again
        self.on_epoch: dict[str, OnEpoch] = {}
        self.progress = site.progress
        self._ticked = time.monotonic()

    def open(self) -> Pool:
        """The pool, opened on first use; raises ConfigError for what is not there."""
        if self._pool is None:
            self._pool = self._open_pool()
            self.progress.executor, self.progress.parallel = self._pool.kind, self._pool.size
        return self._pool

    def add(
        self, group: str, needs: Sequence[Need], on_epoch: OnEpoch | None = None, spread: bool = False
    ) -> None:
        """Build a further group.

        Args:
            group: its name, which no group has that is being built.
            needs: that are wanted.
            on_epoch: called after each epoch of its trainings; may end them.
            spread: whether the wanted ones are built in other processes even if they are light.

        Raises:
            UserError: of a stage that refuses, before anything is built.
        """
        assert group not in self.groups, f"group {group} is being built"
        found = missing(self.site, needs)
        if spread:
            for need in needs:
                node = found.get(f"{need.stage}/{self.site.graph.key(need)}")
                if node is not None and not self.site.graph.stage(need).inside:
                    node.heavy = True
        begun = {name for name in found if name in self.nodes and self._is_open(name)}
        waits = after(self.site, found, begun)
        self.schedule.add(waits)
        for name in found.keys() - begun:
            self.lost.discard(name)
            self.on_epoch.pop(name, None)
            if on_epoch is not None:
                self.on_epoch[name] = on_epoch
        for name, node in found.items():
            if name not in begun:
                self.nodes[name] = node
                self.progress.expect(name, node.need.stage, self.site.full_title(node.need))
        openings = {OPEN + name for name in found if OPEN + name in waits or self._is_open(OPEN + name)}
        self.groups[group] = _Group({*found, *openings})

    def _is_open(self, piece: str) -> bool:
        return self.schedule.knows(piece) and self.schedule.state(piece) in (WAITING, RUNNING)

    def ended(self) -> list[str]:
        """The groups of which nothing runs or waits any more."""
        return [n for n, group in self.groups.items() if not any(map(self._is_open, group.pieces))]

    def take(self, name: str) -> BaseException | None:
        """Forget a group that has ended; returns its error, or all of its errors in one."""
        group = self.groups.pop(name)
        fault = self._fault_of(group.faults)
        stages = {self.nodes[piece].need.stage for piece in group.pieces if piece in self.nodes}
        left = group.pieces - {piece for other in self.groups.values() for piece in other.pieces}
        self.schedule.drop(left)
        for piece in left:
            self.nodes.pop(piece, None)
        for stage in stages:
            if self.site.graph.catalogue.get(stage).evictable:
                self.site.keep_budget(stage)
        return fault

    def step(self) -> None:
        """Start what is ready, build one light need, and take in what has happened."""
        self._submit()
        was_built = self._build_one_here()
        self._receive(0.0 if was_built else WAIT_SECONDS)

    def close(self) -> None:
        """Close the runs and give back the claims of everything that is not finished."""
        self.progress.hide()
        error = sys.exc_info()
        for opened in reversed(self.opened.values()):
            opened.stack.__exit__(*error)
        self.opened.clear()
        self._charge()

    def _submit(self) -> None:
        """Give ready heavy needs to free processes."""
        for piece in self.schedule.ready():
            node = self.nodes.get(piece)
            if node is None or not node.heavy:
                continue
            if not self.open().free:
                return
            self.schedule.start(piece)
            found = self.site.graph.found(node.need)
            if found is not None:  # another command has built it
                self._received(piece)
                continue
            where, pid = self.open().submit(self._task(piece, node))
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
            answers=name in self.on_epoch,
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
            self._charge()
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
            finally:
                self._ticked = time.monotonic()  # these seconds count for what was built here
            return True
        return False

    def _has_earlier(self, name: str) -> bool:
        """Whether a run of the same stage comes before this one: each is compared with the earlier ones.

        So the record is that of one process, whatever ends first. An earlier one never waits for a later one.
        Trials have no runs.
        """
        stage = self.nodes[name].need.stage
        if self.site.study is not None or not self.site.graph.catalogue.get(stage).tracked:
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
        for group in self.groups.values():
            if piece in group.pieces:
                group.faults[piece] = error
        for above in lost:
            if above in self.nodes:
                self.progress.gave_up(above)
        self.progress.ended(name, error)  # also of a parent that could not be opened, which is given up, too
        parent = self.nodes[name].parent
        made = self.opened[parent].made if parent in self.opened else None
        if made is not None and not made[1].failed_child:
            made[1].failed_child = title
        self._close_failed()

    def _close_failed(self) -> None:
        """Close the runs of parents that can no longer be built, once none of their folds runs any more."""
        for name in list(self.opened):
            if self.schedule.state(name) != GIVEN_UP or any(map(self._is_open, self.nodes[name].inside)):
                continue
            faults = next(group.faults for group in self.groups.values() if name in group.pieces)
            error = next(iter(faults.values()))
            self.opened.pop(name).stack.__exit__(type(error), error, error.__traceback__)

    def _receive(self, seconds: float) -> None:
        """Take in what other processes report."""
        if self._pool is None:
            time.sleep(seconds)  # what another command builds is waited for
            return
        events = self._pool.wait(seconds)
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
                log.warning(texts.DIED.format(title=title, reason=event.reason))
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
            self._close_failed()
        self.progress.update()
        self.progress.show()

    def _epoch(self, event: Epoch) -> None:
        epochs = self.nodes[event.name].need.settings.config.train.epochs_in_all
        self.progress.epoch(event.name, event.epoch + 1, epochs)
        if event.name in self.on_epoch:
            goes_on = self.on_epoch[event.name](event.fold, event.epoch, event.figures)
            self.open().answer(event.name, goes_on)

    def _charge(self) -> None:
        """Add the time since the last call to the stages that ran; side by side, each has its share."""
        now = time.monotonic()
        for name in self.outside:
            stage = self.nodes[name].need.stage
            share = (now - self._ticked) / len(self.outside)
            self.site.seconds[stage] = self.site.seconds.get(stage, 0.0) + share
        self._ticked = now

    def _fault_of(self, faults: Mapping[str, BaseException]) -> BaseException | None:
        """The only fault as it is, or all together in one error."""
        told: dict[str, tuple[list[str], BaseException]] = {}
        for piece, error in faults.items():
            title = self.site.full_title(self.nodes[piece.removeprefix(OPEN)].need)
            told.setdefault(str(error), ([], error))[0].append(title)
        if not told:
            return None
        errors = [error for _, error in told.values()]
        users = [(titles, error) for titles, error in told.values() if isinstance(error, UserError)]
        bugs = [error for error in errors if not isinstance(error, PodiumError)]
        lines = [texts.FAULT_OF.format(titles=", ".join(t), fault=e.in_line()) for t, e in users]
        if bugs:
            if lines:
                bugs[0].add_note(texts.ALSO.format(faults="; ".join(lines)))
            return bugs[0]
        if len(errors) == 1 or isinstance(errors[0], StoppedError):
            return errors[0]
        text = texts.SEVERAL.format(n=len(faults))
        if any(isinstance(error, StorageError) for error in errors):  # a search counts it as no trial
            return StorageError(text, lines, texts.SEVERAL_REMEDY)
        return UserError(text, lines, texts.SEVERAL_REMEDY)
