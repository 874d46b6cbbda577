"""Studies: which points were tried, their results, and what to try next. The only module that uses Optuna.

Owns every call to optuna, which is imported when a study is opened and not before, and where studies are
kept: a database or a journal file. Does not own what a point means or what a trial does (`tune/trials.py`).

Optuna's heartbeat does not support ask and tell, and a journal has none. So every trial names the process
that runs it and has a heartbeat of ours, whatever the storage. Whoever asks for a trial first fails those
whose process is gone, or runs on another host and was silent for too long, under a lock. The
sampler is created anew before each ask, seeded by how many trials are finished: what is proposed depends
on finished trials alone, so that a search killed at any point goes on with the trials it would have had.

Source: Akiba et al., Optuna (KDD 2019); https://optuna.readthedocs.io
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.core import search_space
from pipeline.core.errors import ConfigError, StorageError
from pipeline.core.language import _
from pipeline.core.search_space import Dimension, Point
from pipeline.core.secrets import hidden
from pipeline.core.seeds import py_rng, seed
from pipeline.record.claims import CLAIMS, Lock
from pipeline.record.files import sqlite_url, temporary_of
from pipeline.record.owners import SILENCE, Beating, Watch, interval, is_here, is_living, this

State = Literal["complete", "pruned", "failed", "killed", "running"]
DATABASES = ("sqlite", "postgresql", "mysql")
MOST_POINTS = 100_000
# Attribute of a study: its re-tests.
LOOKS = "retested"
# Attributes of a trial besides its values.
OWNER, BEAT, QUEUED, REASON, KILLED, NOTES = "owner", "beat", "queued", "reason", "killed", "notes"


@dataclass(frozen=True)
class Plan:
    """The definition of a study.

    Args:
        name: of the study; it contains digests of everything that defines its trials.
        dimensions: that are varied.
        maximise: for each objective whether higher is better; one or two.
        sampler: tpe, gp, cmaes, random, grid or brute_force.
        pruner: none, median, percentile or halving.
        warmup: trials before any is pruned, and before TPE and similar samplers stop sampling at random.
        seed: of the sampler.
        queue: points that are tried first, each with its origin.
        space: digest of the space; a study of another space is refused.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    maximise: tuple[bool, ...]
    sampler: str = "tpe"
    pruner: str = "none"
    warmup: int = 5
    seed: int = 0
    queue: tuple[tuple[str, Point], ...] = ()
    space: str = ""

    @property
    def directions(self) -> list[str]:
        """Of the objectives, in the words of Optuna."""
        return ["maximize" if more else "minimize" for more in self.maximise]


@dataclass(frozen=True)
class Trial:
    """One tried point.

    Args:
        number: in its study, counting all that were ever begun.
        state: killed: its process ended before the trial; failed: the trial raised an error, see `reason`.
        point: the value of each dimension.
        values: of the objectives; empty unless complete.
        curve: intermediate scores, by step.
        seconds: run time.
        origin: why it was tried, if the sampler did not propose it.
        reason: of a failure.
        notes: further facts, e.g. the key of its result.
        is_here: whether its process runs, or ran, on this host.
    """

    number: int
    state: State
    point: Point
    values: tuple[float, ...] = ()
    curve: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    origin: str = ""
    reason: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    is_here: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it has an outcome: a killed trial is run again."""
        return self.state in ("complete", "pruned", "failed")


def storage_of(home: Path) -> str:
    """The storage of studies: OPTUNA_STORAGE (URL of a database or path of a journal), or SQLite."""
    return os.environ.get("OPTUNA_STORAGE") or storage_of_home(home)


def storage_of_home(home: Path) -> str:
    """The URL of the SQLite file of a home."""
    return sqlite_url(home.resolve() / "optuna.db")


class Sqlite(sqlite3.Connection):
    """A connection whose writes survive a killed process; a power cut loses at most the last ones.

    The default waits for the disk at every write, ten times per trial.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.execute("PRAGMA journal_mode=WAL").close()
        self.execute("PRAGMA synchronous=NORMAL").close()


def _database(url: str) -> Any:
    """Optuna's storage in a database."""
    ours = {"timeout": 120, "factory": Sqlite} if url.startswith("sqlite") else {}
    # Optuna reads braces in a URL as places of its own to fill.
    escaped = url.replace("{", "{{").replace("}", "}}")
    return _optuna().storages.RDBStorage(escaped, engine_kwargs={"connect_args": ours})


def _create_whole(url: str) -> None:
    """Create a missing SQLite file with all its tables in one step; the caller holds the lock.

    Optuna creates tables and indices one by one. A kill between them would leave a table of studies without
    its unique names, and later two studies of one name.
    """
    from sqlalchemy.engine import make_url

    name = make_url(url).database
    if not name or name == ":memory:" or Path(name).exists():
        return
    draft = temporary_of(Path(name))
    storage = _database(sqlite_url(draft))
    storage.engine.dispose()
    draft.replace(name)


def repair_journal(path: Path, lock: Any) -> None:
    """Remove an incomplete last line, left by a killed process, which the next line would extend."""
    lock.acquire()
    try:
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        lines = text[:end].splitlines(keepends=True)
        if lines:
            json.loads(lines[0])  # raises for any other file, which must not be changed
        if end < len(text):
            if not lines and text.strip():
                raise ValueError("it is not a journal of Optuna")
            with path.open("rb+") as file:
                file.truncate(end)
    finally:
        lock.release()


def in_memory(plan: Plan) -> Study:
    """A study in the memory of this process."""
    made = _optuna().create_study(directions=plan.directions)
    return Study(plan, made, contextlib.nullcontext())


class Studies:
    """The studies of one storage.

    Args:
        where: see `storage_of`.
        home: folder of the claim under which trials are asked for, and of what was seen of their heartbeats.
        silence: seconds without a heartbeat after which a trial of another host is run again.

    Raises:
        StorageError: it cannot be reached.
    """

    def __init__(self, where: str, home: Path, silence: float = SILENCE) -> None:
        self.where, self._home, self._silence = where, home.resolve(), silence
        place, name = self._lock_place()
        self._lock = Lock(place, name)
        with self._errors():
            if place == self._home / "artifacts":
                place.mkdir(parents=True, exist_ok=True)
            elif not place.is_dir():
                raise ValueError(f"{place} is not a folder")
            with self._lock:
                self._storage = self._opened()

    def names(self) -> list[str]:
        """Names of all studies."""
        with self._errors():
            return sorted(s.study_name for s in self._storage.get_all_studies())

    def trials(self, name: str) -> list[Trial]:
        """The trials of a study by its name."""
        with self._errors():
            number = self._storage.get_study_id_from_name(name)
            return [_trial(trial) for trial in self._storage.get_all_trials(number)]

    def facts(self, name: str) -> dict[str, Any]:
        """The facts that were stored when a study was created."""
        with self._errors():
            return dict(self._storage.get_study_user_attrs(self._storage.get_study_id_from_name(name)))

    def open(self, plan: Plan, facts: Mapping[str, Any]) -> Study:
        """A study, created with these facts if it is missing.

        Raises:
            ConfigError: the study with this name has another space.
        """
        with self._errors(), self._lock:
            if plan.name in self.names():
                stored = self.facts(plan.name)
                if stored.get("space") != plan.space:
                    raise ConfigError(
                        _("study {plan} searched another space ({stored}, now {space})").format(
                            plan=plan.name, stored=stored.get("space", "unknown"), space=plan.space
                        ),
                        remedy=_("leave out STUDY: a study of this space has its own name"),
                    )
            made = _optuna().create_study(
                storage=self._storage, study_name=plan.name, directions=plan.directions, load_if_exists=True
            )
            if "space" not in made.user_attrs:
                queue = [[word, point] for word, point in plan.queue]
                for key, value in {**facts, "queue": queue, "space": plan.space}.items():
                    made.set_user_attr(key, value)
        watch = Watch.of(self._home / "artifacts" / CLAIMS)
        return Study(plan, made, self._lock, watch, self._silence)

    def _lock_place(self) -> tuple[Path, str]:
        """Folder and name of the claim under which trials are asked for."""
        if "://" in self.where:
            return self._home / "artifacts", "asking"
        journal = Path(self.where).resolve()
        return journal.parent, f"{journal.name}.asking"

    def _opened(self) -> Any:
        optuna = _optuna()
        if "://" in self.where:
            scheme = self.where.partition(":")[0].partition("+")[0]
            if scheme not in DATABASES:
                raise ValueError(
                    f"`{scheme}` is neither one of {', '.join(DATABASES)} nor the path of a journal"
                )
            if scheme == "sqlite":
                _create_whole(self.where)
            return _database(self.where)
        backend = optuna.storages.journal.JournalFileBackend(self.where)
        repair_journal(Path(self.where), backend._lock)
        return optuna.storages.JournalStorage(backend)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of a database, a driver or a disk into one StorageError that names the storage."""
        try:
            yield
        except (ConfigError, StorageError):
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            where, reason = hidden(self.where), hidden(reason, self.where)
            raise StorageError(
                _("studies: {where} cannot be reached: {reason}").format(where=where, reason=reason),
                remedy=_(
                    "check OPTUNA_STORAGE: the URL of a database or the path of a journal file; unset it for "
                    "SQLite under runtime.home"
                ),
            ) from error


class Study:
    """One study, used by this process and by others at the same time; asking for a trial holds the lock."""

    def __init__(
        self, plan: Plan, study: Any, lock: Any, watch: Watch | None = None, silence: float = SILENCE
    ) -> None:
        self.plan, self._study, self._lock = plan, study, lock
        self._is_shared = watch is not None
        self._watch, self._silence = watch or Watch(), silence
        self._beats = 0
        self._beating = Beating(interval(silence), self._beat)
        self._open: dict[int, Any] = {}
        self._begun: dict[int, float] = {}
        self._steps: dict[int, set[int]] = {}
        stored = study.user_attrs.get("queue", [])
        self._queue = [(str(word), dict(point)) for word, point in stored] or list(plan.queue)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.plan.name

    def trials(self) -> list[Trial]:
        """Every trial that was ever begun, oldest first."""
        return [_trial(t) for t in self._study.get_trials(deepcopy=False) if t.state.name != "WAITING"]

    def done(self) -> list[Trial]:
        """The trials with an outcome."""
        return [trial for trial in self.trials() if trial.is_done]

    def best(self) -> Trial | None:
        """The complete trial with the best first objective, the earliest of several."""
        complete = [t for t in self.trials() if t.state == "complete"]
        sign = 1 if self.plan.maximise[0] else -1
        return max(complete, key=lambda t: (sign * t.values[0], -t.number), default=None)

    def front(self) -> list[Trial]:
        """With two objectives the Pareto front of the complete trials; else the best trial."""
        if len(self.plan.maximise) == 1:
            best = self.best()
            return [best] if best else []
        numbers = {trial.number for trial in self._study.best_trials}
        return [trial for trial in self.trials() if trial.number in numbers]

    def looked(self, how: str) -> int:
        """Record that the present trials are re-tested in the way `how`; returns the number of re-tests."""
        with self._lock:
            looks = {*self._study.user_attrs.get(LOOKS, []), f"{len(self.done())} trials: {how}"}
            self._study.set_user_attr(LOOKS, sorted(looks))
        return len(looks)

    def ask(self, limit: int) -> Trial | None:
        """The next trial to run; None if `limit` trials are done or running, or every point was tried."""
        optuna = _optuna()
        with self._lock:
            self._bury()
            begun = [t for t in self.trials() if t.state != "killed"]
            if len(begun) >= limit:
                return None
            origin, point = self._next(begun)
            if point is None and origin:
                return None
            done = sum(t.is_done for t in begun)
            self._study.sampler = self._sampler(done, len(begun) - done)
            if point is not None:
                self._study.enqueue_trial(point, user_attrs={QUEUED: origin})
            begun_trial = self._study.ask()
            begun_trial.set_user_attr(OWNER, this())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                suggested = _suggested(begun_trial, self.plan.dimensions)
            self._open[begun_trial.number] = begun_trial
            self._begun[begun_trial.number] = time.monotonic()
            self._inherit(begun_trial.number, suggested)
        if self._is_shared:
            self._beating.start()
        return Trial(begun_trial.number, "running", suggested, origin=origin)

    def report(self, number: int, step: int, value: float) -> bool:
        """Record an intermediate score; False if the pruner stops the trial."""
        self.note(number, step, value)
        if self.plan.pruner == "none":
            return True
        self._study.pruner = _pruner(self.plan)
        return not self._open[number].should_prune()

    def note(self, number: int, step: int, value: float) -> None:
        """Record an intermediate score unless the step has one."""
        if step not in self._steps.get(number, set()):
            self._open[number].report(value, step)
            self._steps.setdefault(number, set()).add(step)

    def tell(self, number: int, values: Sequence[float], notes: Mapping[str, str] | None = None) -> None:
        """A trial is complete."""
        self._end(number, "COMPLETE", list(values), {NOTES: dict(notes or {})})

    def prune(self, number: int, notes: Mapping[str, str] | None = None) -> None:
        """A trial was stopped because `report` returned False."""
        self._end(number, "PRUNED", None, {NOTES: dict(notes or {})})

    def fail(self, number: int, reason: str) -> None:
        """A trial failed: its settings do not work."""
        self._end(number, "FAIL", None, {REASON: reason})

    def drop(self, number: int) -> None:
        """A trial was interrupted and will be run again."""
        self._end(number, "FAIL", None, {KILLED: True})

    def forget_dead(self) -> None:
        """Fail the trials whose process has ended."""
        with self._lock:
            self._bury()

    def importances(self) -> dict[str, float]:
        """Share of the score's variance that each dimension explains alone, summing to 1, by fANOVA.

        Conditional dimensions have none; empty if there are too few trials. Optuna's default measures what
        separates the best tenth: if nearly all trials share the good value of the most important dimension,
        it rates that dimension as unimportant (docs/log.md).

        Source: Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance (ICML 2014).
        """
        optuna = _optuna()
        if sum(t.state == "complete" for t in self.trials()) < 4:
            return {}
        first = {"target": lambda t: t.values[0]} if len(self.plan.maximise) > 1 else {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.plan.seed)
                shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator, **first)
        except (ValueError, RuntimeError):  # e.g. every trial has the same score
            return {}
        return {str(name): float(share) for name, share in shares.items()}

    def _end(self, number: int, state: str, values: list[float] | None, attrs: dict[str, Any]) -> None:
        optuna = _optuna()
        trial = self._open.pop(number)
        for key, value in attrs.items():
            trial.set_user_attr(key, value)
        trial.set_user_attr("seconds", time.monotonic() - self._begun.pop(number))
        if not self._open:
            self._beating.stop()
        self._study.tell(trial, values, state=optuna.trial.TrialState[state])

    def _beat(self) -> None:
        """A heartbeat of every trial of this process, in the storage that all searchers share."""
        self._beats += 1
        for trial in tuple(self._open.values()):
            self._study._storage.set_trial_user_attr(trial._trial_id, BEAT, self._beats)

    def _bury(self) -> None:
        """Fail the trials whose process has ended, and those that were queued and never begun."""
        optuna = _optuna()
        storage, states = self._study._storage, optuna.trial.TrialState
        for trial in storage.get_all_trials(self._study._study_id, deepcopy=False):
            if trial.number in self._open or trial.state not in (states.RUNNING, states.WAITING):
                continue
            if trial.state == states.RUNNING and self._is_living(trial):
                continue
            storage.set_trial_user_attr(trial._trial_id, KILLED, True)
            storage.set_trial_state_values(trial._trial_id, states.FAIL)

    def _is_living(self, trial: Any) -> bool:
        """Whether the process of a trial may still run.

        A trial gets its owner under the lock that we hold: without one its process ended in between.
        """
        attrs, name = trial.user_attrs, f"trial {self.name} {trial.number}"
        owner = attrs.get(OWNER)
        beat = str(attrs.get(BEAT, ""))
        return owner is not None and is_living(owner, beat, name, self._watch, self._silence)

    def _inherit(self, number: int, point: Point) -> None:
        """Copy the intermediate scores of a killed trial of the same point, whose training continues."""
        for trial in self.trials():
            if trial.state == "killed" and trial.point == point:
                for step, value in trial.curve.items():
                    self.note(number, step, value)

    def _next(self, begun: list[Trial]) -> tuple[str, Point | None]:
        """The next point and its origin; (word, None): none is left; ("", None): the sampler proposes one."""
        used = {trial.origin for trial in begun}
        for word, point in self._queue:
            if word not in used:
                return word, point
        tried = [trial.point for trial in begun]
        if self.plan.sampler not in ("grid", "brute_force"):
            return ("exhausted", None) if self._is_exhausted(tried) else ("", None)
        every = search_space.first_points(self.plan.dimensions, MOST_POINTS)
        if self.plan.sampler == "brute_force":
            py_rng(self.plan.seed, "brute force").shuffle(every)
        return self.plan.sampler, next((point for point in every if point not in tried), None)

    def _is_exhausted(self, tried: list[Point]) -> bool:
        """Whether a small space has no point left: samplers would propose the same points for ever."""
        if search_space.endless(self.plan.dimensions):
            return False
        every = search_space.first_points(self.plan.dimensions, len(tried) + 1)
        return len(every) <= len(tried) and all(point in tried for point in every)

    def _sampler(self, done: int, running: int) -> Any:
        optuna = _optuna()
        own = seed(self.plan.seed, "ask", done, running) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.plan.sampler == "gp":
                return optuna.samplers.GPSampler(seed=own, deterministic_objective=False)
            if self.plan.sampler == "cmaes":
                return optuna.samplers.CmaEsSampler(seed=own, warn_independent_sampling=False)
            if self.plan.sampler == "tpe":
                return optuna.samplers.TPESampler(seed=own)
            return optuna.samplers.RandomSampler(seed=own)


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _pruner(plan: Plan) -> Any:
    pruners = _optuna().pruners
    if plan.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=plan.warmup)
    if plan.pruner == "percentile":
        return pruners.PercentilePruner(25.0, n_startup_trials=plan.warmup)
    return pruners.SuccessiveHalvingPruner()


def _suggested(trial: Any, dimensions: Sequence[Dimension]) -> Point:
    point: Point = {}
    for d in dimensions:
        if not d.is_active(point):
            continue
        if d.kind == "categorical":
            point[d.name] = trial.suggest_categorical(d.name, list(d.labels))
        elif d.kind == "int":
            int_step = {} if d.step is None else {"step": int(d.step)}
            point[d.name] = trial.suggest_int(d.name, int(d.low), int(d.high), log=d.log, **int_step)
        else:
            step = {} if d.step is None else {"step": d.step}
            point[d.name] = trial.suggest_float(d.name, d.low, d.high, log=d.log, **step)
    return point


def _trial(frozen: Any) -> Trial:
    attrs = frozen.user_attrs
    states: dict[str, State] = {
        "COMPLETE": "complete",
        "PRUNED": "pruned",
        "FAIL": "killed" if attrs.get(KILLED) else "failed",
    }
    return Trial(
        frozen.number,
        states.get(frozen.state.name, "running"),
        dict(frozen.params),
        tuple(frozen.values or ()) if frozen.state.name == "COMPLETE" else (),
        dict(frozen.intermediate_values),
        float(attrs.get("seconds", 0.0)),
        str(attrs.get(QUEUED, "")),
        str(attrs.get(REASON, "")),
        dict(attrs.get(NOTES, {})),
        is_here(attrs.get(OWNER)),
    )
