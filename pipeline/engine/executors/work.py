"""One need as a task for another process: what travels to it, and what it does there.

Owns the task, building it with a session of that process, and errors as values. Does not own processes
(`engine/executors/local.py`, `ray.py`).

The command has already found the inputs, so the process looks nothing up: what other commands finish
meanwhile cannot change the task. It computes the key again from its own files and code: it must be the same.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, PodiumError, UserError
from pipeline.engine import hardware, texts
from pipeline.engine.executors.here import Source
from pipeline.engine.need import Need
from pipeline.engine.progress import Silent
from pipeline.engine.session import Session
from pipeline.engine.stage import OnEpoch
from pipeline.record.store import Artifact
from pipeline.record.tracking import Run, RunInfo, Tracker


@dataclass(frozen=True)
class Task:
    """A need to be built by another process, as plain data.

    Args:
        name: `stage/key`.
        title: for messages.
        need: with its settings.
        inputs: name -> `stage/key` of its inputs, which exist.
        resolved: every setting that the result depends on.
        parent: description and id of the run whose child its run becomes.
        study: the search for which it is built.
        root: the folder of results; None: that of the settings.
        source: returns the catalogue; a function of a module, so that another process finds it.
        answers: whether the training waits after each epoch for the answer whether to go on.
    """

    name: str
    title: str
    need: Need
    inputs: Mapping[str, str]
    resolved: Mapping[str, Any]
    parent: tuple[RunInfo, str | None] | None
    study: str | None
    root: Path | None
    source: Source
    answers: bool = False


class WorkerBugError(RuntimeError):
    """An error of ours in another process; its text holds the traceback."""


class Workplace(Session):
    """The session of a process that builds tasks: it prints nothing, and its command checks the results."""

    def say(self, text: str) -> None:
        """Print nothing: the command prints a line for the result."""

    def accept(self, artifact: Artifact, need: Need, reused: bool) -> Artifact:
        """The result as it is."""
        return artifact


def search_path() -> str:
    """PYTHONPATH of a process that must import what this one does."""
    root = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(dict.fromkeys([root, *(p for p in sys.path if p)]))


def build_one(task: Task, on_epoch: OnEpoch) -> BaseException | None:
    """Build a task; returns the error, if there was one. Ctrl-C is raised as always."""
    try:
        _build(task, on_epoch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return as_value(error, task.title)
    finally:
        hardware.release()
    return None


def _build(task: Task, on_epoch: OnEpoch) -> None:
    settings = task.need.settings
    logging.getLogger().setLevel(settings.config.runtime.log_level.upper())
    logging.getLogger("pipeline").setLevel(logging.NOTSET if task.study is None else logging.WARNING)
    session = Workplace(settings, task.source(), artifacts=task.root)
    session.progress = Silent()
    session.study, session.on_epoch = task.study, on_epoch
    if task.study is not None:
        session.tracker = Tracker(session.home, enabled=False)
    if all(session.store.find(*address.split("/", 1)) for address in task.inputs.values()):
        session.graph.adopt(task.need, task.inputs, task.resolved)
    # Otherwise prepared images do not travel through a bucket, and are made here as in a command of its own.
    key, asked = session.graph.key(task.need), task.name.partition("/")[2]
    if key != asked:
        text = texts.OTHER_KEY.format(title=task.title, own=key, asked=asked)
        raise ConfigError(text, remedy=texts.OTHER_KEY_REMEDY)
    run = None if task.parent is None else Run(session.tracker, *task.parent)
    session.build_here(task.need, run)


def as_value(error: BaseException, title: str) -> BaseException:
    """An error that can be sent to another process: the user's as they are, ours with their traceback."""
    if isinstance(error, PodiumError):
        try:
            return pickle.loads(pickle.dumps(error))  # type: ignore[no-any-return]
        except Exception:  # an exception with arguments of its own may fail in any way
            return UserError(str(error))
    trace = "".join(traceback.format_exception(error))
    return WorkerBugError(texts.BUG.format(title=title, trace=trace))
