"""The trials of a search: each builds the real stage with other settings, through the store.

Owns the need of each tunable stage, its objectives, what a trial needs from step to step, and ending hopeless
trainings early. Does not own which settings are tried (`record/study.py`), how many trials run at once
(`tune/running.py`) or which trial wins (`tune/retest.py`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.core.errors import ConfigError, StoppedError, StorageError, UserError
from pipeline.core.language import _
from pipeline.core.metrics import Metric
from pipeline.core.metrics import get as metric_of
from pipeline.core.samples import Samples
from pipeline.core.search_space import Point
from pipeline.data import load
from pipeline.engine.executors.here import Flow
from pipeline.engine.graph import check
from pipeline.engine.need import Need, Params
from pipeline.engine.session import Session
from pipeline.engine.stage import OnEpoch
from pipeline.errors.findings import planting
from pipeline.record.store import Artifact
from pipeline.record.study import Study, Trial
from pipeline.record.tracking import Tracker
from pipeline.settings.load import Settings
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
            "eda", _("preprocessing, crop and image size"), "train", ("images", "crop", "preprocess"), True,
            tested_by="ablate",
        ),
        TuneKind(
            "resample", _("resampling and loss"), "train", ("resample", "loss"), True, tested_by="ablate"
        ),
        TuneKind("train", _("training"), "train", LEARNED, True, tested_by="ablate"),
        TuneKind("tta", _("test-time augmentation"), "infer", ("infer",), False, tested_by="infer"),
        TuneKind("ensemble", _("the blend"), "ensemble", ("ensemble",), False, tested_by="ensemble"),
        TuneKind(
            "decision", _("post-processing"), "decide", ("decision",), False, {"of": "ensemble"},
            tested_by="ensemble",
        ),
        TuneKind(
            "error-analysis", _("finders of the error report"), "finders",
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
        with _warnings_only():
            return super().get_all(needs)

    @contextlib.contextmanager
    def flow(self, spread: bool = False) -> Iterator[Flow]:
        """As usual; of the log messages only warnings are shown."""
        with _warnings_only(), super().flow(spread) as flow:
            yield flow


@contextlib.contextmanager
def _warnings_only() -> Iterator[None]:
    log = logging.getLogger("pipeline")
    before = log.level
    log.setLevel(max(logging.WARNING, log.getEffectiveLevel()))
    try:
        yield
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
        return self.session.get_all(self._needs(wanted))

    def each_result(self, wanted: Sequence[Settings]) -> list[Artifact | UserError]:
        """The same, with its error in the place of a result that fails for a reason of the settings."""
        return self.session.get_each(self._needs(wanted))

    def _needs(self, wanted: Sequence[Settings]) -> list[Need]:
        needs = [self.kind.need(settings) for settings in wanted]
        check(needs, self.session.graph)
        return needs

    def samples(self) -> Samples:
        """The training samples."""
        return load.samples(self.session.get(Need("data", self.settings)), "train", self.session.home)

    def score(self, artifact: Artifact) -> float:
        """Its out-of-fold score; raises ConfigError if it is missing or not finite."""
        score = artifact.metrics.get(f"oof_{self.metric.name}", math.nan)
        if not math.isfinite(score):
            raise ConfigError(
                _("{stage} {key}: {metric} is {score}").format(
                    stage=self.kind.stage, key=artifact.key, metric=self.metric.name, score=score
                )
            )
        return score

    def objectives(self, artifact: Artifact) -> tuple[float, ...]:
        """The objectives of a result."""
        if self.search.form.second is None:
            return (self.score(artifact),)
        cost = artifact.metrics.get("ms_64", artifact.metrics.get("ms_per_image", math.nan))
        return self.score(artifact), cost


@dataclass(frozen=True)
class Step:
    """What a trial needs next.

    Args:
        needs: whose results it gets, or the error of those that failed.
        on_epoch: called after each epoch of their trainings; may end them.
    """

    needs: Sequence[Need]
    on_epoch: OnEpoch | None = None


Steps = Generator[Step, list[Artifact], None]
Building = Generator[Step, list[Artifact], Artifact]


def steps(bench: Bench, study: Study, trial: Trial, at_once: int = 1) -> Steps:
    """One trial, from step to step; its outcome is told to the study.

    An error of the user's settings is a failed trial only. A trial that is closed before its end, or meets
    any other error, will be run again.

    Args:
        bench: the search.
        study: that asked for the trial.
        trial: to be run.
        at_once: how many of its folds may run side by side, where earlier trials decide whether it goes on.
    """
    try:
        settings = bench.with_point(trial.point)
        check([bench.kind.need(settings)], bench.session.graph)
        if study.plan.pruner != "none" and bench.kind.trains and not is_batched(settings):
            artifact = yield from _fold_by_fold(bench, study, trial, settings, at_once)
        else:
            (artifact,) = yield Step([bench.kind.need(settings)])
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


def _fold_by_fold(bench: Bench, study: Study, trial: Trial, settings: Settings, at_once: int) -> Building:
    """Train the first fold, then the others; StoppedError if earlier trials were better.

    Folds that run side by side are reported in their order, so the study is the same as with one at a time.
    """
    folds, scores = folds_of(settings), list[float]()
    needs = [Need("fold", settings, {"fold": number}) for number in folds]
    parts = [needs[:1], *(needs[n : n + at_once] for n in range(1, len(needs), at_once))]
    for part in parts:
        try:
            done = yield Step(part, None if scores else _epochs(study, trial, folds[0]))
        except StoppedError:  # no unfinished work is left
            key = bench.session.graph.key(part[0])
            shutil.rmtree(bench.session.home / "work" / "fold" / key, ignore_errors=True)
            raise
        for fold in done:
            if not scores:
                # Also the epochs of a fold that was finished or begun before this trial, for later trials.
                for entry in fold.json("history.json"):
                    study.note(trial.number, int(entry["epoch"]) + 1, entry["valid_score"])
            scores.append(fold.metrics["valid_score"])
            goes_on = study.report(trial.number, AFTER_EPOCHS + len(scores), sum(scores) / len(scores))
            if len(scores) < len(folds) and not goes_on:
                raise StoppedError(texts.TRIAL_STOPPED.format(number=trial.number, folds=len(scores)))
    (artifact,) = yield Step([bench.kind.need(settings)])
    return artifact


def _epochs(study: Study, trial: Trial, first: int) -> Callable[[int, int, dict[str, float]], bool]:
    def goes_on(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        return fold != first or study.report(trial.number, epoch + 1, entry["valid_score"])

    return goes_on


def refuse_hopeless(study: Study) -> None:
    """Raise ConfigError if all of the first trials failed."""
    done = study.done()
    if len(done) >= FIRST_FAILURES and all(trial.state == "failed" for trial in done):
        faults = list(dict.fromkeys(trial.reason for trial in done))
        raise ConfigError(texts.ALL_FAILED.format(study=study.name, n=len(done)), faults, _("fix the space"))
