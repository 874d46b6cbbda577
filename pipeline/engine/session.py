"""The session of a command: results are reused from the store, or built with all their inputs.

Owns hits and misses, locks, and one line for each result. Does not own keys (`engine/graph.py`), calling a
stage's function (`engine/build.py`), nor other processes that build results (`engine/executors/`): when an
executor has built what is missing, the session finds it in the store like everything else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.core import language, metrics, terminal
from pipeline.core.columns import padded
from pipeline.core.errors import StorageError, UserError
from pipeline.core.terminal import printable
from pipeline.engine import build, naming
from pipeline.engine.executors.here import Executor, Flow, Here
from pipeline.engine.executors.plan import missing
from pipeline.engine.graph import Graph, check, refuse_unread
from pipeline.engine.live import usual_seconds
from pipeline.engine.need import Inputs, Need
from pipeline.engine.progress import FOLDER, Item, Progress
from pipeline.engine.stage import Catalogue, OnEpoch
from pipeline.pages.command_words import shown
from pipeline.record import housekeeping
from pipeline.record.bucket_store import opened
from pipeline.record.files import FileIndex
from pipeline.record.store import MANIFEST, SHORT, STUDY, Artifact, Store, told_as_storage_error
from pipeline.record.tracking import Run, Tracker
from pipeline.settings.load import Settings

log = logging.getLogger(__name__)

REPORT = language._("report: {path}")
REUSED, TOOK = language._("reused"), language._("{seconds:.1f} s")
# Parameters of a need that its line in the terminal shows.
PART_SCORE = "valid_score"
SHOWN_PARAMS = ("fold", "split", "view", "part", "of")


class Session:
    """The object with which a command builds and finds results.

    Args:
        settings: of the command.
        catalogue: every stage.
        rehash: read every file again instead of trusting its size and times.
        artifacts: the folder of results; None: `artifacts/` of the home, or its bucket.
        executor: builds what is missing; None: this process does.
        beside: another session of the same command, whose executor, progress and connection to a bucket this
            one shares.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        rehash: bool = False,
        artifacts: Path | None = None,
        executor: Executor | None = None,
        beside: Session | None = None,
    ) -> None:
        runtime = settings.config.runtime
        self.settings = settings
        self.catalogue = catalogue
        self.home = runtime.folder.resolve()
        self.index = FileIndex(self.home / "artifacts" / ".index.json", rehash)
        silence = runtime.silence_seconds
        # Large and quick to build again: not worth a way through a bucket.
        evictable = frozenset(name for name, stage in catalogue.stages.items() if stage.evictable)
        budget = runtime.copy_gb * 1e9
        near: Store | None = beside.store if beside else None
        self.store: Store = opened(
            runtime.home, self.home, self.index, artifacts, evictable, budget, silence, beside=near
        )
        self.graph = Graph(catalogue, self.store, self.index)
        self.tracker = Tracker(self.home, runtime.mlflow_uri, runtime.mlflow, silence)
        self.artifacts, self._shares = artifacts, beside is not None
        self.executor: Executor = beside.executor if beside else executor or Here()
        own = Progress(self.home / "artifacts" / FOLDER, self.say, self.language)
        self.progress: Progress = beside.progress if beside else own
        # In a search: its name, and a callback that may end the training of a trial early.
        self.study: str | None = None
        self.on_epoch: OnEpoch | None = None
        self.seconds: dict[str, float] = {}
        # One line for each run that people compare, and none for what it is made of: for a command that says
        # itself what its many runs brought.
        self.brief: bool = beside.brief if beside else False
        # Lines for the very end of the command, such as the next command.
        self.ending: list[str] = beside.ending if beside else []
        # Called after each new run that people compare: a long command is watched on a page.
        self.after_run: Callable[[], None] | None = beside.after_run if beside else None
        self._printed: set[tuple[str, str]] = set()
        self._verified: set[tuple[str, str]] = set()
        # `stage/key` of what this command needs, and `stage-key` of the locks that it holds.
        self._in_use: set[str] = set()
        self._held: set[str] = set()

    def beside(self, settings: Settings, artifacts: Path | None = None) -> Session:
        """A session with other settings and the same stages."""
        return Session(settings, self.catalogue, artifacts=artifacts, beside=self)

    def use(self, executor: Executor) -> None:
        """Another executor from now on."""
        self.executor.close()
        self.executor = executor

    def close(self) -> None:
        """End the processes of the executor, and save the file index for the next run."""
        if not self._shares:
            self.executor.close()
            self.progress.close()
        with told_as_storage_error(self.home):
            self.index.save()

    @property
    def language(self) -> str:
        """The language in which the command talks to its reader."""
        return self.settings.config.report.language

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """In this context no other process frees results."""
        with self.store.in_use() as name, self._holding(name):
            yield

    def say(self, text: str) -> None:
        """Print a line in the reader's language, with what comes from data made printable."""
        shown = printable(language.say(text, self.language))
        with terminal.aside():
            print(terminal.painted(shown, text, sys.stdout), flush=True)

    def end_with(self, text: str) -> None:
        """Print a line when everything else has been said; the last one is the next command."""
        self.ending.append(text)

    def show(self, artifact: Artifact) -> None:
        """Print one line for each page of a result."""
        for path in sorted(artifact.folder.glob("*.html")):
            self.say(REPORT.format(path=shown(path)))

    def build_one(self, stage: str) -> Artifact:
        """Build one stage with the settings of the command, and print where its pages are."""
        self.check(Need(stage, self.settings))
        artifact = self.need(stage)
        self.show(artifact)
        return artifact

    def label(self, need: Need) -> str:
        """The name under which this result is shown."""
        return self.graph.stage(need).label(need.settings, need.params)

    def title(self, need: Need) -> str:
        """The label of a result, of a run with the overrides on which it depends; see `engine/naming.py`."""
        if not self.graph.stage(need).tracked:
            return self.label(need)
        values = need.settings.request.values
        return naming.label(self.label(need), values, self.graph.resolved(need))

    def full_title(self, need: Need) -> str:
        """The title with its stage and parameters, for messages about one of many results."""
        shown = [f"{k} {need.params[k]}" for k in SHOWN_PARAMS if k in need.params]
        return " ".join([need.stage.replace("_", "-"), self.title(need), *shown])

    def reports(self, need: Need) -> OnEpoch:
        """The function that a training calls after each epoch: it reports, and a search may end it."""
        name = f"{need.stage}/{self.graph.key(need)}"
        epochs, on_epoch = need.settings.config.train.epochs_in_all, self.on_epoch

        def report(fold: int, epoch: int, figures: dict[str, float]) -> bool:
            self.progress.epoch(name, epoch + 1, epochs)
            return on_epoch is None or on_epoch(fold, epoch, figures)

        return report

    def check(self, *needs: Need, also: tuple[str, ...] = ()) -> None:
        """Refuse overrides that nothing reads, and run the checks of all stages of these needs."""
        refuse_unread(self.settings, needs, self.graph, also)
        check(needs, self.graph)
        self.protect(self.graph.chain(needs))
        if terminal.can_redraw():
            self._foresee(needs)

    def _foresee(self, needs: Sequence[Need]) -> None:
        """Tell the live line what is missing of these needs and their inputs, and what such results took."""
        usual: dict[tuple[str, str], float | None] = {}
        for name, node in missing(self, needs).items():
            stage, experiment = node.need.stage, self.label(node.need)
            if (stage, experiment) not in usual:
                usual[stage, experiment] = usual_seconds(self.store.root / stage, experiment)
            seconds, holds = usual[stage, experiment], bool(node.inside)
            item = Item(name, stage, self.full_title(node.need), usual=seconds, holds=holds)
            self.progress.plan(item)

    def _tell_score(self, artifact: Artifact, need: Need) -> None:
        """Tell the live line the score of a run, or of a fold."""
        metric = metrics.get(need.settings.config.competition.metric)
        score, part = (artifact.metrics.get(name) for name in (f"oof_{metric.name}", PART_SCORE))
        if score is not None:
            self.progress.scored(self.label(need), score, lambda a, b: metric.sign * (a - b) > 0)
        elif part is not None:
            self.progress.scored_part(part)

    def refuse(self, need: Need) -> None:
        """Run the `refuse` functions of all stages in this need's chain, without building anything.

        Raises:
            UserError: of the first stage that refuses.
        """
        for below in self.graph.chain([need]):
            self.refuse_one(below)

    def refuse_one(self, need: Need) -> None:
        """Run the `refuse` function of a need's stage."""
        refuses = self.graph.stage(need).refuse
        if refuses is not None:
            refuses(need.settings)

    def _verify(self, artifact: Artifact, need: Need) -> None:
        verifies = self.catalogue.get(artifact.stage).verify
        once = (artifact.stage, artifact.key)
        if verifies is not None and once not in self._verified:
            self._verified.add(once)
            verifies(need.settings, artifact, self.home)

    def need(self, stage: str, settings: Settings | None = None, **params: str | int) -> Artifact:
        """The result of a stage: reused if its key exists, otherwise built with all its inputs."""
        return self.get(Need(stage, settings or self.settings, params))

    def get(self, need: Need) -> Artifact:
        """Like `need`, for a Need."""
        return self.get_all([need])[0]

    def get_all(self, needs: Sequence[Need]) -> list[Artifact]:
        """The results of several needs; an executor with several processes builds them side by side.

        Raises:
            UserError: of the need that failed, or of all that failed.
        """
        self.executor.prepare(self, needs)
        return [self.build_here(need) for need in needs]

    @contextlib.contextmanager
    def flow(self, spread: bool = False) -> Iterator[Flow]:
        """Groups of needs that become known one after another; see `Executor.flow`."""
        with self.executor.flow(self, spread) as flow:
            yield flow

    def get_each(self, needs: Sequence[Need]) -> list[Artifact | UserError]:
        """Like `get_all`, but what the user can correct comes back in the place of its result.

        Raises:
            StorageError: the store cannot be used.
        """
        found = dict[str, Artifact | UserError]()
        with self.flow() as flow:
            for n, need in enumerate(needs):
                flow.add(str(n), [need])
            while len(found) < len(needs):
                for name, outcome in flow.wait().items():
                    if isinstance(outcome, list):
                        found[name] = outcome[0]
                    elif isinstance(outcome, UserError) and not isinstance(outcome, StorageError):
                        found[name] = outcome
                    else:
                        raise outcome
        return [found[str(n)] for n in range(len(needs))]

    def run_all(self, needs: Inputs, run: Run) -> dict[str, Artifact]:
        """The finished results of these needs, by their names; `run` is their parent."""
        return {name: self.build_here(need, run) for name, need in needs.items()}

    def build_here(self, need: Need, run: Run | None = None) -> Artifact:
        """The result of a need, built by this process if it is missing; `run` is the parent run of a fold."""
        found = self.graph.found(need)
        if found:
            return self.accept(found, need, reused=True)
        order = self._order(need, run)
        with self._claimed(order):
            found = self.graph.found(need)  # another process may have built it meanwhile
            if found:
                return self.accept(found, need, reused=True)
            name = f"{need.stage}/{order.key}"
            with self.progress.building(name, need.stage, self.full_title(need)):
                return self._finished(build.build(self, order), need)

    @contextlib.contextmanager
    def open(self, need: Need) -> Iterator[tuple[build.Order, Run] | None]:
        """Claim a result whose folds are built elsewhere, and open its run; None: it exists by now.

        Raises:
            LockedError: another process builds it.
        """
        order = self._order(need, None)
        with self._claimed(order, wait=False):
            if self.graph.found(need):
                yield None
            else:
                with build.opened(self, order) as run:
                    yield order, run

    def build_opened(self, order: build.Order, run: Run) -> Artifact:
        """Build a result that `open` claimed, once its folds exist."""
        return self._finished(build.in_run(self, order, run), order.need)

    def _order(self, need: Need, run: Run | None) -> build.Order:
        """What building a missing need takes, with its inputs built."""
        stage, key = self.graph.stage(need), self.graph.key(need)
        assert need.key is None, f"{need.stage} {need.key} has a fixed key but is not in the store"
        self.refuse_one(need)  # fail before hours are spent on its inputs
        wanted = self.graph.inputs(need)
        before = {name: self.build_here(n) for name, n in wanted.items() if n.stage != stage.inside}
        inside = {name: n for name, n in wanted.items() if n.stage == stage.inside}
        return build.Order(stage, need, key, before, inside, run)

    @contextlib.contextmanager
    def _claimed(self, order: build.Order, wait: bool = True) -> Iterator[None]:
        name = order.stage.name
        with self.store.lock(name, order.key, wait), self._holding(f"{name}-{order.key}"):
            yield

    def accept(self, artifact: Artifact, need: Need, reused: bool) -> Artifact:
        """A finished result of this or another process: adopted if a search made it, checked and printed."""
        if reused and STUDY in artifact.manifest and self.study is None:
            artifact = self.store.adopt(artifact)
        if reused:
            self._verify(artifact, need)
        if terminal.can_redraw() and self.study is None:
            self._tell_score(artifact, need)
        made = self._print(artifact, need, reused)
        if not reused:
            self._verify(artifact, need)
        return made

    def _finished(self, artifact: Artifact, need: Need) -> Artifact:
        made = self.accept(artifact, need, reused=False)
        if self.graph.stage(need).evictable:
            self.keep_budget(artifact.stage)
        return made

    def protect(self, needs: Sequence[Need]) -> None:
        """Keep the results of these needs from being freed while this command runs."""
        self._in_use |= {f"{n.stage}/{self.graph.key(n)}" for n in needs}

    @contextlib.contextmanager
    def _holding(self, lock: str) -> Iterator[None]:
        self._held.add(lock)
        try:
            yield
        finally:
            self._held.discard(lock)

    def keep_budget(self, stage: str) -> None:
        """Free the least recently used results, unless another process may be about to read them."""
        if not set(self.store.busy(stage)) - self._held:
            budget = self.settings.config.images.cache_gb
            for line in housekeeping.evict(self.store, self.home, stage, budget * 1e9, self._in_use):
                log.info(line)

    def _print(self, artifact: Artifact, need: Need, reused: bool) -> Artifact:
        """Print one line for each result, once; reused results without their own run are not printed."""
        stage = self.catalogue.get(artifact.stage)
        if stage.evictable:
            self._in_use.add(artifact.address)
            os.utime(artifact.folder / MANIFEST)  # the last used result is freed last
        once = (artifact.stage, artifact.key)
        if once in self._printed or ((reused or self.brief) and not stage.tracked):
            return artifact
        self._printed.add(once)
        name = artifact.stage.replace("_", "-")
        label = naming.label_of(artifact) if need.key else self.title(need)
        which = " ".join([label, *(f"{k} {need.params[k]}" for k in SHOWN_PARAMS if k in need.params)])
        how = REUSED if reused else TOOK.format(seconds=artifact.seconds)
        said_how = padded(language.say(how, self.language), -9)
        self.say(f"{name:<15} {which:<28} {said_how}  {artifact.key[:SHORT]}")
        if not (self.brief and stage.compared):
            said = artifact.manifest.get("said", {}).get(self.language)
            for line in said or artifact.manifest.get("lines", []):
                self.say(f"    {line}")
        if not reused and stage.compared and self.after_run is not None:
            self.after_run()
        return artifact
