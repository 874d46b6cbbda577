"""A running search in the record of runs: one run per study, one child run per trial.

Owns when they are written: the run exists from the first trial on, trials follow a few seconds after they
end, and both remain if the search is stopped. Of several processes on one study one writes; if it ends, the
next one does. Does not own MLflow (`record/tracking.py`) or the re-test (`tune/retest.py`).
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from pipeline.engine.session import Session
from pipeline.engine.slices import flat
from pipeline.record import board
from pipeline.record.claims import Lock
from pipeline.record.study import Study, Trial
from pipeline.record.tracking import Run, RunInfo, git_commit, note
from pipeline.tune import texts
from pipeline.tune.page import TuningPage, headline
from pipeline.tune.trials import AFTER_EPOCHS, Bench

# Seconds between two checks for finished trials: a child run costs several writes, and trials can be short.
EVERY = 10.0


class SearchRecord:
    """The run of one study, open during its search, re-test and report, with the trials of all processes."""

    def __init__(self, session: Session, bench: Bench, study: Study, command: str) -> None:
        self._session, self._bench, self._study, self._command = session, bench, study, command
        self._lock = Lock(session.home / "tuning", study.name)
        self._stack = contextlib.ExitStack()
        self._run: Run | None = None
        self._written: set[int] = set()
        self._looked = -EVERY

    def __enter__(self) -> SearchRecord:
        self.catch_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.catch_up(now=True)
        finally:
            self._stack.__exit__(kind, error, trace)

    def catch_up(self, now: bool = False) -> None:
        """Record the trials that ended since the last call, unless that was a moment ago and not `now`."""
        if not now and time.monotonic() - self._looked < EVERY:
            return
        run = self._run or self._opened()
        if run is not None and run.id is not None:
            done = self._study.done()
            for trial in done:
                if trial.number not in self._written:
                    with _uninterrupted():
                        self._child(run, trial, done)
                        self._written.add(trial.number)
        self._looked = time.monotonic()

    def finish(self, page: TuningPage) -> None:
        """Record the verdict and the page, which is written."""
        self.catch_up(now=True)
        if self._run is None:
            return
        figures = {"default": page.verdict.default}
        for c in page.verdict.candidates[:1]:
            figures |= {f"retested_{self._bench.metric.name}": c.retested, "delta": c.comparison.delta}
            figures |= {"delta_low": c.comparison.low, "delta_high": c.comparison.high}
        self._run.metrics(figures)
        report, how = f"{page.study.name}.html", page.verdict.how
        self._run.artifact(self._session.home / "tuning" / report)
        self._run.describe(note(self._what(), how, page.adopt or self._command, report, headline(page)))
        self._run.tag({"verdict": "better" if page.written else "nothing better"})

    def _opened(self) -> Run | None:
        """The study's run, which replaces that of an earlier command; None while another process writes."""
        self._session.home.joinpath("tuning").mkdir(parents=True, exist_ok=True)
        if not self._lock.try_enter():
            return None
        self._stack.push(self._lock.__exit__)
        bench, metric = self._bench, self._bench.metric
        space = bench.search.form.space
        info = RunInfo(
            stage="tune",
            competition=bench.settings.config.competition.name,
            name=f"search: {bench.kind.name}",
            key=self._study.name,
            experiment=bench.settings.experiment,
            tags={"study": self._study.name, "tuned": bench.kind.name, board.BESIDE: "yes"},
            params={path: json.dumps(e.model_dump(exclude_none=True)) for path, e in space.items()},
            description=note(self._what(), texts.RUN_OPEN, self._command),
            git=git_commit(),
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
        )
        with _uninterrupted():
            self._session.tracker.forget(self._study.name, "tune")
            self._run = self._stack.enter_context(self._session.tracker.run(info))
        return self._run

    def _what(self) -> str:
        return texts.RUN_WHAT.format(title=self._bench.kind.title)

    def _child(self, run: Run, trial: Trial, done: list[Trial]) -> None:
        """One trial, and the best score of the search after it."""
        bench, metric = self._bench, self._bench.metric
        params = flat(bench.search.values(trial.point))
        named = dict(zip((f"oof_{metric.name}", bench.search.form.second or ""), trial.values, strict=False))
        with run.child(f"trial {trial.number}", {"trial": str(trial.number)}, params) as child:
            folds = {_metric_name(k): v for k, v in trial.curve.items()}
            child.metrics({**named, "minutes": trial.seconds / 60, **folds})
            child.tag({"state": trial.state, **({"error": trial.reason} if trial.reason else {})})
        scores = [t.values[0] for t in done if t.number <= trial.number and t.state == "complete"]
        best = {f"naive_{metric.name}": metric.sign * max(metric.sign * s for s in scores)} if scores else {}
        run.epoch(trial.number, {"trials": len(self._written) + 1.0, **best})


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until this is written: a half-written trial would be written a second time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if signals:
        raise KeyboardInterrupt


def _metric_name(step: int) -> str:
    """Metric name of a step: an epoch of the first fold, or the mean of some folds."""
    return f"mean_of_{step - AFTER_EPOCHS}_folds" if step > AFTER_EPOCHS else f"epoch_{step}"
