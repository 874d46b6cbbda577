"""The trials of a search: each builds the real stage with other settings, through the store.

Owns the need of each tunable stage, its objectives, ending hopeless trainings early, and starting and ending
further processes that run trials of the same study, with the same command as a worker. Does not own which
settings are tried (`record/study.py`) or which trial wins (`tune/retest.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import ConfigError, StoppedError, StorageError, UserError
from pipeline.core.metrics import Metric
from pipeline.core.metrics import get as metric_of
from pipeline.core.samples import Samples
from pipeline.core.search_space import Point
from pipeline.data import load
from pipeline.engine.executors import local
from pipeline.engine.executors.devices import refuse_too_many, tokens
from pipeline.engine.graph import check
from pipeline.engine.need import Need, Params
from pipeline.engine.session import Session
from pipeline.errors.findings import planting
from pipeline.record.store import Artifact
from pipeline.record.study import Study, Trial
from pipeline.record.tracking import Tracker
from pipeline.settings.load import Settings
from pipeline.settings.runtime import RuntimeSettings
from pipeline.train.stages import folds_of, is_batched
from pipeline.tune import texts
from pipeline.tune.space import Search
from pipeline.tune.space_check import plain

# Step of the running mean over folds in a trial's curve: after the epochs of its first fold.
AFTER_EPOCHS = 1000
# A search ends if this many trials failed and none succeeded.
FIRST_FAILURES = 5
# Origin of a point that is tried first because it won an earlier search.
EARLIER = "winner of "
# Seconds in which a process that must stop can give its trial back.
PATIENCE = 20.0
Options = argparse.Namespace
log = logging.getLogger(__name__)
# A process that runs trials beside others builds each of them by itself, whatever the settings say.
ONE_PROCESS: dict[str, Any] = {
    "runtime.executor": "here",
    "runtime.gpus": "auto",
    "runtime.per_gpu": 1,
    "runtime.processes": "auto",
    "runtime.address": None,
}
LEARNED = ("train", "loss", "model", "augment", "resample", "images", "crop", "preprocess")


@dataclass(frozen=True)
class TuneKind:
    """A stage that can be tuned.

    Args:
        name: as in STAGE=.
        title: what is searched, in words.
        stage: the stage that a trial builds.
        sections: of the settings that it varies.
        is_random: whether its results depend on seeds, so that winners are re-tested with other seeds.
        params: of the stage's need.
        measure: its own metric instead of the competition's; it knows the faults that it planted itself.
        tested_by: the command that tests winners of several such searches together; empty: none.
    """

    name: str
    title: str
    stage: str
    sections: tuple[str, ...]
    is_random: bool
    params: Params = field(default_factory=dict)
    measure: Metric | None = None
    tested_by: str = ""

    @property
    def trains(self) -> bool:
        """Whether a trial is a cross-validation, which grows fold by fold."""
        return self.tested_by == "ablate"

    @property
    def is_planted(self) -> bool:
        """Whether a trial is scored on faults that were planted for it, and not on the folds."""
        return self.measure is not None

    def need(self, settings: Settings) -> Need:
        """The need that a trial builds."""
        return Need(self.stage, settings, self.params)


KINDS = {
    kind.name: kind
    for kind in (
        TuneKind(
            "eda", "preprocessing, crop and image size", "train", ("images", "crop", "preprocess"), True,
            tested_by="ablate",
        ),
        TuneKind("resample", "resampling and loss", "train", ("resample", "loss"), True, tested_by="ablate"),
        TuneKind("train", "training", "train", LEARNED, True, tested_by="ablate"),
        TuneKind("tta", "test-time augmentation", "infer", ("infer",), False, tested_by="infer"),
        TuneKind("ensemble", "the blend", "ensemble", ("ensemble",), False, tested_by="ensemble"),
        TuneKind(
            "decision", "post-processing", "decide", ("decision",), False, {"of": "ensemble"},
            tested_by="ensemble",
        ),
        TuneKind(
            "error-analysis", "finders of the error report", "finders",
            ("finders", "eda.near_bits", "eda.near_ratio", "eda.near_match"), True,
            {"seeds": "0 1 2", "side": "search"}, planting.METRIC,
        ),
    )
}  # fmt: skip


class Trials(Session):
    """The session of a search: it prints nothing, and has no runs of its own in the record."""

    def __init__(self, settings: Settings, session: Session, study: str) -> None:
        super().__init__(settings, session.catalogue, beside=session)
        self.study = study
        self.tracker = Tracker(self.home, enabled=False)

    def say(self, text: str) -> None:
        """Print nothing: the search prints its own lines."""

    def get_all(self, needs: Sequence[Need]) -> list[Artifact]:
        """Results as usual; of their log messages only warnings are shown."""
        log = logging.getLogger("pipeline")
        before = log.level
        log.setLevel(max(logging.WARNING, log.getEffectiveLevel()))
        try:
            return super().get_all(needs)
        finally:
            log.setLevel(before)


@dataclass(frozen=True)
class Bench:
    """What all trials of a search share: session, stage and space, and the settings that they start from."""

    session: Trials
    kind: TuneKind
    search: Search
    settings: Settings

    @property
    def metric(self) -> Metric:
        """The metric of the competition, or the stage's own."""
        return self.kind.measure or metric_of(self.settings.config.competition.metric)

    @property
    def maximise(self) -> tuple[bool, ...]:
        """For each objective whether higher is better."""
        first = (self.metric.higher_is_better,)
        return first if self.search.form.second is None else (*first, False)

    def with_point(self, point: Point) -> Settings:
        """The settings of a trial."""
        return self.settings.with_values(self.search.values(point))

    def words(self, point: Point) -> str:
        """The settings that a point varies, for reading."""
        return ", ".join(f"{k}={plain(v)}" for k, v in self.search.values(point).items())

    def result(self, settings: Settings) -> Artifact:
        """The result of the stage with these settings, reused if it exists."""
        need = self.kind.need(settings)
        check([need], self.session.graph)
        return self.session.get(need)

    def results(self, wanted: Sequence[Settings]) -> list[Artifact]:
        """The results of the stage with each of these settings, built side by side by several processes."""
        needs = [self.kind.need(settings) for settings in wanted]
        check(needs, self.session.graph)
        return self.session.get_all(needs)

    def samples(self) -> Samples:
        """The training samples."""
        return load.samples(self.session.get(Need("data", self.settings)), "train", self.session.home)

    def score(self, artifact: Artifact) -> float:
        """Its out-of-fold score; raises ConfigError if it is missing or not finite."""
        score = artifact.metrics.get(f"oof_{self.metric.name}", math.nan)
        if not math.isfinite(score):
            raise ConfigError(f"{self.kind.stage} {artifact.key}: {self.metric.name} is {score}")
        return score

    def objectives(self, artifact: Artifact) -> tuple[float, ...]:
        """The objectives of a result."""
        if self.search.form.second is None:
            return (self.score(artifact),)
        cost = artifact.metrics.get("ms_64", artifact.metrics.get("ms_per_image", math.nan))
        return self.score(artifact), cost


def run(bench: Bench, study: Study, trial: Trial) -> None:
    """Run one trial and report it to the study; an error of the user's settings is a failed trial only."""
    try:
        settings = bench.with_point(trial.point)
        may_stop = study.plan.pruner != "none" and bench.kind.trains and not is_batched(settings)
        artifact = _fold_by_fold(bench, study, trial, settings) if may_stop else bench.result(settings)
        values = bench.objectives(artifact)
    except StoppedError:
        study.prune(trial.number)
    except StorageError:
        study.drop(trial.number)
        raise
    except UserError as error:
        study.fail(trial.number, str(error).replace("\n", " "))
    except BaseException:
        study.drop(trial.number)
        raise
    else:
        study.tell(trial.number, values, {"result": artifact.address})


def _fold_by_fold(bench: Bench, study: Study, trial: Trial, settings: Settings) -> Artifact:
    """Train fold by fold; StoppedError, and no unfinished work is left, if earlier trials were better."""
    check([bench.kind.need(settings)], bench.session.graph)
    folds, scores = folds_of(settings), list[float]()
    for done, number in enumerate(folds, start=1):
        need = Need("fold", settings, {"fold": number})
        if done == 1:
            bench.session.on_epoch = _epochs(study, trial, number)
        try:
            fold = bench.session.get(need)
        except StoppedError:
            key = bench.session.graph.key(need)
            shutil.rmtree(bench.session.home / "work" / "fold" / key, ignore_errors=True)
            raise
        finally:
            bench.session.on_epoch = None
        if done == 1:
            # Also the epochs of a fold that was finished or begun before this trial, for later trials.
            for entry in fold.json("history.json"):
                study.note(trial.number, int(entry["epoch"]) + 1, entry["valid_score"])
        scores.append(fold.metrics["valid_score"])
        goes_on = study.report(trial.number, AFTER_EPOCHS + done, sum(scores) / len(scores))
        if done < len(folds) and not goes_on:
            raise StoppedError(texts.TRIAL_STOPPED.format(number=trial.number, folds=done))
    return bench.result(settings)


def _epochs(study: Study, trial: Trial, first: int) -> Callable[[int, int, dict[str, float]], bool]:
    def goes_on(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        return fold != first or study.report(trial.number, epoch + 1, entry["valid_score"])

    return goes_on


def refuse_hopeless(study: Study) -> None:
    """Raise ConfigError if all of the first trials failed."""
    done = study.done()
    if len(done) >= FIRST_FAILURES and all(trial.state == "failed" for trial in done):
        faults = list(dict.fromkeys(trial.reason for trial in done))
        raise ConfigError(texts.ALL_FAILED.format(study=study.name, n=len(done)), faults, "fix the space")


def devices(jobs: int, runtime: RuntimeSettings) -> list[dict[str, str]]:
    """What each of these processes has in its environment: on several GPUs, they take turns over them.

    Raises:
        ConfigError: together they need more cores than there are. No process gets fewer threads than others,
            so a trial does not depend on the process that runs it. Or Ray was chosen: these are processes
            of this machine.
    """
    if jobs == 1:
        return [{}]
    if runtime.executor == "ray":
        raise ConfigError(texts.JOBS_WITH_RAY.format(jobs=jobs), remedy=texts.JOBS_WITH_RAY_REMEDY)
    machine = local.machine()
    if not machine.gpus or runtime.device == "cpu" or runtime.threads is not None:
        refuse_too_many(jobs, runtime.threads or machine.threads, machine.cores, "JOBS")
    if len(machine.gpus) < 2 or runtime.device == "cpu":
        return [{}] * jobs
    chosen = [token.visible for token in tokens(runtime.model_copy(update={"processes": "auto"}), machine)]
    return [{"CUDA_VISIBLE_DEVICES": chosen[n % len(chosen)] or ""} for n in range(jobs)]


@contextlib.contextmanager
def running(jobs: int, options: Options, runtime: RuntimeSettings) -> Iterator[None]:
    """In this context `jobs` - 1 other processes run trials; after it they have finished or were ended.

    Each of them builds its trials by itself: the trials are what runs side by side.
    """
    alone = [word for word in options.settings if word.partition("=")[0] not in ONE_PROCESS]
    alone += [f"{path}={'null' if value is None else value}" for path, value in ONE_PROCESS.items()]
    words = [sys.executable, "-m", "pipeline", "tune", *alone]
    words += ["--stage", options.stage, "--worker", "--jobs", str(jobs)]
    for name in ("trials", "timeout", "space", "study"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value else []
    # In their own sessions: Ctrl-C reaches this process only, which passes it on once.
    others = [
        subprocess.Popen(
            words, stdout=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **device}
        )
        for device in devices(jobs, runtime)[1:]
    ]
    try:
        yield
    except BaseException:
        for other in others:
            other.send_signal(signal.SIGINT)
        raise
    finally:
        for other in others:
            _end(other)


def _end(other: subprocess.Popen[bytes]) -> None:
    """Wait for a process; one that must stop and does not is killed, and its trial is run again."""
    stopped = sys.exc_info()[0] is not None
    try:
        other.wait(timeout=PATIENCE if stopped else None)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()
    if not stopped and other.returncode < 0:
        log.warning("%s", texts.PROCESS_KILLED.format(signal=signal.Signals(-other.returncode).name))


def is_orphan(parent: int) -> bool:
    """Whether the process that started this one, with this id, has ended."""
    return os.getppid() != parent
