"""Running the trials of a search, one after another or several at once, on whatever executor there is.

Owns the loop: ask for a trial, give what it needs to the executor, tell the study its outcome, and when to
stop. This process alone asks and tells, so a study needs no server, wherever its trials run; further commands
may work on the same study. Does not own a trial (`tune/trials.py`), the sampler (`record/study.py`) or
processes and machines (`engine/executors/`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.core.wording import worded
from pipeline.engine.executors.here import Flow, Outcome
from pipeline.record.study import Study
from pipeline.tune import texts, trials
from pipeline.tune.progress import Progress
from pipeline.tune.search import Prepared
from pipeline.tune.search_record import SearchRecord
from pipeline.tune.trials import Steps


class _Running:
    """The trials that run at this moment.

    Args:
        prepared: the search.
        study: that is asked.
        flow: builds what the trials need.
    """

    def __init__(self, prepared: Prepared, study: Study, flow: Flow) -> None:
        self._prepared, self._study, self._flow = prepared, study, flow
        self._trials: dict[str, Steps] = {}
        self.ended = 0

    def __len__(self) -> int:
        return len(self._trials)

    def begin(self) -> bool:
        """Ask for a trial and start it; False: there is none to run."""
        bench, limits = self._prepared.bench, self._prepared.limits
        trial = self._study.ask(limits.trials)
        if trial is None:
            return False
        at_once = 1
        if self._study.plan.pruner != "none" and bench.kind.trains:
            at_once = max(self._flow.size // limits.jobs, 1)
        name = f"trial {trial.number}"
        self._trials[name] = trials.steps(bench, self._study, trial, at_once)
        self._go_on(name, None)
        return True

    def wait(self) -> None:
        """Take in what has ended, at least one step of a trial."""
        for name, outcome in self._flow.wait().items():
            self._go_on(name, outcome)

    def _go_on(self, name: str, outcome: Outcome | None) -> None:
        """Give a trial the results of its last step, and start its next one; at its end it is forgotten."""
        steps = self._trials[name]
        try:
            if isinstance(outcome, BaseException):
                step = steps.throw(outcome)
            else:
                step = next(steps) if outcome is None else steps.send(outcome)
        except StopIteration:
            del self._trials[name]
            self.ended += 1
            return
        except BaseException:
            del self._trials[name]
            raise
        self._flow.add(name, step.needs, step.on_epoch)

    def close(self) -> None:
        """Give back the trials that have no outcome: they will be run again."""
        for steps in self._trials.values():
            steps.close()
        self._trials.clear()


def run_trials(
    prepared: Prepared,
    study: Study,
    say: Callable[[str], None],
    until: float | None = None,
    record: SearchRecord | None = None,
) -> None:
    """Trials until a limit is reached.

    Args:
        prepared: the search.
        study: its study.
        say: gets a line when a better trial is found.
        until: end of the search by `time.monotonic`; None: its own limit.
        record: gets the trials as they end.
    """
    limits = prepared.limits
    end = until if until is not None else time.monotonic() + limits.seconds if limits.seconds else None
    command = prepared.bench.session.progress
    progress = Progress(study, limits.trials, prepared.bench.search, say, end, command)
    try:
        while True:
            _until_none_is_left(prepared, study, progress, end, record)
            killed = progress.wait_for_others()
            if _is_over(end, study) or not killed:
                break
        begun = [trial for trial in study.trials() if trial.state != "killed"]
        if len(begun) < limits.trials and not _is_over(end, study):
            say(worded(texts.EVERY_POINT, n=len(study.done())))
    except KeyboardInterrupt:
        say(worded(texts.STOPPED, n=len(study.done()), command=prepared.command))
        raise
    finally:
        progress.close()


def _until_none_is_left(
    prepared: Prepared, study: Study, progress: Progress, end: float | None, record: SearchRecord | None
) -> None:
    """Trials until none is left to ask for, or the time is up, and all of this process have ended."""
    running: _Running | None = None
    try:
        with prepared.bench.session.flow(spread=prepared.limits.jobs > 1) as flow:
            running, is_left, ended = _Running(prepared, study, flow), True, 0
            while True:
                if is_left and len(running) < prepared.limits.jobs:
                    is_left = not _is_over(end, study) and running.begin()
                elif running:
                    running.wait()
                else:
                    return
                if running.ended > ended:
                    ended, is_left = running.ended, True
                    trials.refuse_hopeless(study)
                    progress.update()
                    if record:
                        record.catch_up()
    finally:
        if running is not None:
            running.close()  # after the processes have ended


def _is_over(end: float | None, study: Study) -> bool:
    """Whether the time is up, or the next trial would not fit into the rest."""
    if end is None:
        return False
    taken = [t.seconds for t in study.done()[-5:] if t.state == "complete"]
    expected = sum(taken) / len(taken) if taken else 0.0
    return time.monotonic() + expected > end
