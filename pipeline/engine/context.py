"""Building what is missing, upstream first, once, under a lock, with a run in MLflow.

Owns: hits and misses, drafts, manifests, runs and what is told on the way. Does not own what a stage
computes: that is its module's `build(job)`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.core import metrics
from pipeline.engine import registry, request
from pipeline.engine.graph import Graph, config_slice, refuse_forbidden, refuse_unread
from pipeline.engine.hardware import machine, profile
from pipeline.engine.registry import Need, Params, Stage
from pipeline.record import housekeeping
from pipeline.record.digests import FileIndex
from pipeline.record.store import MANIFEST, SHORT, STUDY, Artifact, Store, told_as_storage_error
from pipeline.record.tracking import Run, RunInfo, Tracker, git_commit
from pipeline.settings.load import Settings

log = logging.getLogger(__name__)

TOLD = ("fold", "split", "view", "part", "of")
# (fold, epoch, its figures) -> whether to go on.
OnEpoch = Callable[[int, int, dict[str, float]], bool]
VERSIONS_OF = ("torch", "timm", "albumentations", "numpy", "scikit-learn", "pandas")


@dataclass(frozen=True)
class Built:
    """What a stage says about its result.

    Args:
        metrics: summary figures; they go into the manifest and MLflow.
        lines: printed, also when the result is reused.
        description: markdown for the MLflow run: what, why, next command.
        attach: files of the artifact that the MLflow run shows, reports first.
        tags: flat, for the manifest and MLflow.
        shared_seconds: its share of what an input took that several results are cut from.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    description: str = ""
    attach: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    shared_seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """Everything a stage's `build` gets: finished inputs, and a folder to write into."""

    settings: Settings
    params: Params
    inputs: Mapping[str, Artifact]
    draft: Path
    work: Path
    home: Path
    store: Store
    run: Run
    key: str
    resolved: Mapping[str, Any]
    on_epoch: OnEpoch | None = None


MODULES = {
    "data": "pipeline.data.stage_data",
    "images": "pipeline.data.stage_images",
    "boxes": "pipeline.data.stage_boxes",
    "prepared": "pipeline.data.stage_prepared",
    "folds": "pipeline.data.stage_folds",
    "features": "pipeline.nets.stage_features",
    "eda": "pipeline.eda.stage_eda",
    "resample": "pipeline.resample.stage_resample",
    "preview": "pipeline.resample.stage_preview",
    "fold": "pipeline.train.stage_fold",
    "heads": "pipeline.train.stage_heads",
    "train": "pipeline.train.stage_train",
    "whole": "pipeline.train.stage_whole",
    "teach": "pipeline.train.stage_teach",
    "nested": "pipeline.train.stage_nested",
    "ablate": "pipeline.train.studies.stage_ablate",
    "learning_curve": "pipeline.train.studies.stage_learning_curve",
    "views": "pipeline.infer.stage_views",
    "infer": "pipeline.infer.stage_infer",
    "refit": "pipeline.infer.stage_refit",
    "robustness": "pipeline.infer.stage_robustness",
    "ensemble": "pipeline.ensemble.stage_ensemble",
    "cost": "pipeline.ensemble.stage_cost",
    "decide": "pipeline.ensemble.stage_decide",
    "distill": "pipeline.ensemble.stage_distill",
    "leaderboard": "pipeline.submit.stage_leaderboard",
    "error_analysis": "pipeline.errors.stage_error_analysis",
    "faults": "pipeline.errors.stage_faults",
    "finders": "pipeline.errors.stage_finders",
    "explain": "pipeline.explain.stage_explain",
}


def _module(stage: str) -> ModuleType:
    """The stage's own file, imported when it is first needed."""
    return importlib.import_module(MODULES[stage])


def _refuse(need: Need) -> None:
    """What the stage would refuse before its inputs are built, refused."""
    module = _module(need.stage)
    if hasattr(module, "refuse"):
        module.refuse(need.settings)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted path -> JSON text."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
    return found


class Context:
    """One command's view of the store, the record and the terminal."""

    def __init__(self, settings: Settings, rehash: bool = False, artifacts: Path | None = None) -> None:
        runtime = settings.config.runtime
        self.settings = settings
        self.home = Path(runtime.home).resolve()
        self.index = FileIndex(self.home / "artifacts" / ".index.json", rehash)
        self.store = Store(self.home, self.index, artifacts)
        self.graph = Graph(self.store, self.index)
        self.tracker = Tracker(self.home, runtime.mlflow_uri, runtime.mlflow)
        # Of a search: its name, and who may end a trial's training early.
        self.study: str | None = None
        self.on_epoch: OnEpoch | None = None
        self.seconds: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        # `stage/key` of what this command needs, and `stage-key` of the locks that it holds.
        self._in_use: set[str] = set()
        self._held: set[str] = set()

    def close(self) -> None:
        """Keep the file index for the next run."""
        with told_as_storage_error(self.home):
            self.index.save()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While this lasts, no other process frees results."""
        with self.store.in_use() as name:
            self._held.add(name)
            try:
                yield
            finally:
                self._held.discard(name)

    def say(self, text: str) -> None:
        """A result for the person at the terminal."""
        print(text, flush=True)

    def check(self, *needs: Need, also: tuple[str, ...] = ()) -> None:
        """Refuse overrides that neither these needs nor the command read, and what a label forbids."""
        refuse_unread(self.settings, needs, self.graph, also)
        refuse_forbidden(needs, self.graph)
        self._in_use |= {f"{n.stage}/{self.graph.key(n)}" for n in self.graph.chain(needs)}

    def refuse(self, need: Need) -> None:
        """Refuse what any stage of this need's chain would refuse before it builds; nothing is built.

        Raises:
            UserError: of the first that refuses.
        """
        for below in self.graph.chain([need]):
            _refuse(below)

    def need(self, stage: str, settings: Settings | None = None, **params: str | int) -> Artifact:
        """A stage's result: reused when its key exists, built with everything it needs otherwise."""
        return self.get(Need(stage, settings or self.settings, params))

    def get(self, need: Need, run: Run | None = None) -> Artifact:
        """Like `need`, for a Need; `run` is the MLflow run that a fold becomes a child of."""
        key = self.graph.key(need)
        found = self.store.find(need.stage, key)
        if found:
            if STUDY in found.manifest and self.study is None:
                found = self.store.adopt(found)
            return self._tell(found, need, reused=True)
        stage = registry.get(need.stage)
        assert need.key is None, f"{need.stage} {need.key} was pinned but is not in the store"
        _refuse(need)  # what would fail afterwards fails before its inputs take hours
        wanted = self.graph.inputs(need)
        before = {name: self.get(n) for name, n in wanted.items() if n.stage != stage.inside}
        with self._locked(need.stage, key):
            found = self.store.find(need.stage, key)  # another process may have made it meanwhile
            if found:
                return self._tell(found, need, reused=True)
            inside = {name: n for name, n in wanted.items() if n.stage == stage.inside}
            made = self._build(stage, need, key, before, inside, run)
            if stage.evictable:
                self._keep_budget(stage.name)
            return made

    @contextlib.contextmanager
    def _locked(self, stage: str, key: str) -> Iterator[None]:
        name = f"{stage}-{key}"
        with self.store.lock(stage, key):
            self._held.add(name)
            try:
                yield
            finally:
                self._held.discard(name)

    def _keep_budget(self, stage: str) -> None:
        """Free what was unused for longest, unless another process may be about to read it."""
        if not set(self.store.busy()) - self._held:
            budget = self.settings.config.images.cache_gb
            for line in housekeeping.evict(self.store, self.home, stage, budget * 1e9, self._in_use):
                log.info(line)

    def _build(
        self,
        stage: Stage,
        need: Need,
        key: str,
        inputs: dict[str, Artifact],
        inside: dict[str, Need],
        parent: Run | None,
    ) -> Artifact:
        module = _module(stage.name)
        with self.store.draft(stage.name, key) as draft, self._run(stage, need, key, parent) as run:
            missing = {
                name: n for name, n in inside.items() if not self.store.find(n.stage, self.graph.key(n))
            }
            if missing:
                self.say("\n".join(module.announce(need.settings, inputs, list(missing.values()), self)))
            self._record_inputs(run, need, inputs)
            inputs = inputs | {name: self.get(n, run) for name, n in inside.items()}
            own = time.monotonic()
            work = self.home / "work" / stage.name / key
            job = Job(
                need.settings,
                need.params,
                inputs,
                draft,
                work,
                self.home,
                self.store,
                run,
                key,
                self.resolved(need),
                self.on_epoch,
            )
            with told_as_storage_error(draft):
                built: Built = module.build(job)
                # Its folds' own time, not that of this run: a fold that was reused took time as well.
                seconds = time.monotonic() - own + sum(inputs[name].seconds for name in inside)
                seconds += built.shared_seconds
                manifest = self._manifest(stage, need, inputs, built, seconds)
                artifact = self.store.publish(stage.name, key, draft, manifest)
            # Only now: unfinished work is what a full disk at the last moment would leave.
            shutil.rmtree(work, ignore_errors=True)
            run.metrics({**built.metrics, "minutes": seconds / 60})
            run.tag(built.tags)
            run.describe(built.description)
            for name in built.attach:
                run.artifact(artifact.folder / name)
        self.seconds[stage.name] = self.seconds.get(stage.name, 0.0) + time.monotonic() - own
        return self._tell(artifact, need, reused=False)

    def _record_inputs(self, run: Run, need: Need, inputs: Mapping[str, Artifact]) -> None:
        """The resolved settings as a file of the run, and the data as its dataset."""
        if run.id is None or need.stage == "fold":
            return
        run.text("settings.json", json.dumps(self.resolved(need), indent=1, ensure_ascii=False))
        data = inputs.get("data")
        if data is not None:
            name = f"{need.settings.config.competition.name} train"
            run.dataset(name, data.key, int(data.metrics["train"]))

    def _run(
        self, stage: Stage, need: Need, key: str, parent: Run | None
    ) -> contextlib.AbstractContextManager[Run]:
        """The MLflow run of a tracked stage, a child of `parent`, or one that records nothing."""
        if parent is not None:
            fold = str(need.params.get("fold", "all"))
            name = "all data" if fold == "all" else f"fold {fold}"
            return parent.child(name, tags={"stage": stage.name, "fold": fold, "key": key})
        metric = metrics.get(need.settings.config.competition.metric)
        info = RunInfo(
            stage=stage.name,
            competition=need.settings.config.competition.name,
            name=f"{stage.name.replace('_', '-')} {self.label(need)}",
            key=key,
            experiment=self.label(need),
            tags={k: str(v) for k, v in need.params.items()},
            params=flat(self.resolved(need)),
            git=git_commit(),
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
        )
        return (
            self.tracker.run(info) if stage.tracked else contextlib.nullcontext(Run(self.tracker, info, None))
        )

    def resolved(self, need: Need) -> dict[str, Any]:
        """Every setting that the result depends on, inputs included."""
        merged: dict[str, Any] = {}
        for below in self.graph.chain([need]):
            if below.settings is need.settings:
                stage = registry.get(below.stage)
                merged |= config_slice(below.settings.config, stage.sections(below.settings))
        return merged

    def label(self, need: Need) -> str:
        """How people call this result."""
        by_experiment = (
            *("resample", "features", "heads", "fold", "teach", "nested", "distill", "train", "views"),
            *("infer", "whole", "refit"),
            *("learning_curve", "robustness", "explain"),
        )
        alone = need.stage == "decide" and need.params.get("of", "ensemble") != "ensemble"
        return (
            need.settings.experiment
            if alone or need.stage in by_experiment
            else need.settings.config.competition.name
        )

    def _manifest(
        self, stage: Stage, need: Need, inputs: Mapping[str, Artifact], built: Built, seconds: float
    ) -> dict[str, Any]:
        return {
            **({STUDY: self.study} if self.study else {}),
            "version": stage.version,
            "experiment": self.label(need),
            "competition": need.settings.config.competition.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "config": {
                **config_slice(need.settings.config, stage.sections(need.settings)),
                **need.params,
            },
            "settings": self.resolved(need),
            "identity": self.graph.identity(need),
            "request": request.of(need.settings, self.graph.chain([need])) if stage.tracked else None,
            "inputs": {name: f"{a.stage}/{a.key}" for name, a in inputs.items()},
            "metrics": built.metrics,
            "tags": built.tags,
            "lines": list(built.lines),
            "git": git_commit(),
            "versions": {name: version(name) for name in VERSIONS_OF},
            "hardware": machine(),
            "profile": profile(need.settings.config.runtime),
        }

    def _tell(self, artifact: Artifact, need: Need, reused: bool) -> Artifact:
        """One line a result, once; plumbing that was merely reused is not worth one."""
        if registry.get(artifact.stage).evictable:
            self._in_use.add(f"{artifact.stage}/{artifact.key}")
            os.utime(artifact.folder / MANIFEST)  # what was used last is freed last
        once = (artifact.stage, artifact.key)
        quiet = reused and not registry.get(artifact.stage).tracked
        if once in self._told or quiet:
            return artifact
        self._told.add(once)
        name = artifact.stage.replace("_", "-")
        label = str(artifact.manifest["experiment"]) if need.key else self.label(need)
        which = " ".join([label, *(f"{k} {need.params[k]}" for k in TOLD if k in need.params)])
        how = "reused" if reused else f"{artifact.seconds:.1f} s"
        self.say(f"{name:<15} {which:<28} {how:>9}  {artifact.key[:SHORT]}")
        for line in artifact.manifest.get("lines", []):
            self.say(f"    {line}")
        return artifact
