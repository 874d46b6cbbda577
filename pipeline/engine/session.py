"""The session of a command: results are reused from the store, or built with all their inputs.

Owns hits and misses, locks, and one line for each result. Does not own keys (`engine/graph.py`) or calling a
stage's function (`engine/build.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.terminal import printable
from pipeline.engine import build, naming
from pipeline.engine.executors.here import Here
from pipeline.engine.graph import Graph, check, refuse_unread
from pipeline.engine.need import Inputs, Need
from pipeline.engine.stage import Catalogue, OnEpoch
from pipeline.pages.command_words import shown
from pipeline.record import housekeeping
from pipeline.record.bucket_store import opened
from pipeline.record.files import FileIndex
from pipeline.record.store import MANIFEST, SHORT, STUDY, Artifact, Store, told_as_storage_error
from pipeline.record.tracking import Run, Tracker
from pipeline.settings.load import Settings

log = logging.getLogger(__name__)

# Parameters of a need that its line in the terminal shows.
SHOWN_PARAMS = ("fold", "split", "view", "part", "of")


class Session:
    """The object with which a command builds and finds results.

    Args:
        settings: of the command.
        catalogue: every stage.
        rehash: read every file again instead of trusting its size and times.
        artifacts: the folder of results; None: `artifacts/` of the home, or its bucket.
        beside: the store of another session, whose connection to the same bucket is used.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        rehash: bool = False,
        artifacts: Path | None = None,
        beside: Store | None = None,
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
        self.store = opened(
            runtime.home, self.home, self.index, artifacts, evictable, budget, silence, beside=beside
        )
        self.graph = Graph(catalogue, self.store, self.index)
        self.tracker = Tracker(self.home, runtime.mlflow_uri, runtime.mlflow, silence)
        self.executor = Here(self.get)
        # In a search: its name, and a callback that may end the training of a trial early.
        self.study: str | None = None
        self.on_epoch: OnEpoch | None = None
        self.seconds: dict[str, float] = {}
        self._printed: set[tuple[str, str]] = set()
        self._verified: set[tuple[str, str]] = set()
        # `stage/key` of what this command needs, and `stage-key` of the locks that it holds.
        self._in_use: set[str] = set()
        self._held: set[str] = set()

    def beside(self, settings: Settings, artifacts: Path | None = None) -> Session:
        """A session with other settings and the same stages."""
        return Session(settings, self.catalogue, artifacts=artifacts, beside=self.store)

    def close(self) -> None:
        """Save the file index for the next run."""
        with told_as_storage_error(self.home):
            self.index.save()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """In this context no other process frees results."""
        with self.store.in_use() as name, self._holding(name):
            yield

    def say(self, text: str) -> None:
        """Print a line in the terminal, with what comes from data made printable."""
        print(printable(text), flush=True)

    def show(self, artifact: Artifact) -> None:
        """Print one line for each page of a result."""
        for path in sorted(artifact.folder.glob("*.html")):
            self.say(f"report: {shown(path)}")

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

    def check(self, *needs: Need, also: tuple[str, ...] = ()) -> None:
        """Refuse overrides that nothing reads, and run the checks of all stages of these needs."""
        refuse_unread(self.settings, needs, self.graph, also)
        check(needs, self.graph)
        self._in_use |= {f"{n.stage}/{self.graph.key(n)}" for n in self.graph.chain(needs)}

    def refuse(self, need: Need) -> None:
        """Run the `refuse` functions of all stages in this need's chain, without building anything.

        Raises:
            UserError: of the first stage that refuses.
        """
        for below in self.graph.chain([need]):
            self._refuse(below)

    def _refuse(self, need: Need) -> None:
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

    def run_all(self, needs: Inputs, run: Run) -> dict[str, Artifact]:
        """The finished results of these needs, as children of a run, built by the executor."""
        return self.executor.run(needs, run)

    def get(self, need: Need, run: Run | None = None) -> Artifact:
        """Like `need`, for a Need; `run` is the parent run of a fold."""
        key = self.graph.key(need)
        found = self.store.find(need.stage, key)
        if found:
            if STUDY in found.manifest and self.study is None:
                found = self.store.adopt(found)
            self._verify(found, need)
            return self._print(found, need, reused=True)
        stage = self.graph.stage(need)
        assert need.key is None, f"{need.stage} {need.key} has a fixed key but is not in the store"
        self._refuse(need)  # fail before hours are spent on its inputs
        wanted = self.graph.inputs(need)
        before = {name: self.get(n) for name, n in wanted.items() if n.stage != stage.inside}
        with self.store.lock(need.stage, key), self._holding(f"{need.stage}-{key}"):
            found = self.store.find(need.stage, key)  # another process may have built it meanwhile
            if found:
                self._verify(found, need)
                return self._print(found, need, reused=True)
            inside = {name: n for name, n in wanted.items() if n.stage == stage.inside}
            made = build.build(self, build.Order(stage, need, key, before, inside, run))
            self._print(made, need, reused=False)
            self._verify(made, need)
            if stage.evictable:
                self._keep_budget(stage.name)
            return made

    @contextlib.contextmanager
    def _holding(self, lock: str) -> Iterator[None]:
        self._held.add(lock)
        try:
            yield
        finally:
            self._held.discard(lock)

    def _keep_budget(self, stage: str) -> None:
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
        if once in self._printed or (reused and not stage.tracked):
            return artifact
        self._printed.add(once)
        name = artifact.stage.replace("_", "-")
        label = naming.label_of(artifact) if need.key else self.title(need)
        which = " ".join([label, *(f"{k} {need.params[k]}" for k in SHOWN_PARAMS if k in need.params)])
        how = "reused" if reused else f"{artifact.seconds:.1f} s"
        self.say(f"{name:<15} {which:<28} {how:>9}  {artifact.key[:SHORT]}")
        for line in artifact.manifest.get("lines", []):
            self.say(f"    {line}")
        return artifact
