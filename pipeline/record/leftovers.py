"""What a killed process left behind: temporary files, drafts, and runs that MLflow shows as running for ever.

Owns finding and removing them at the start of the next command. Does not own making them, nor unfinished
work that a later run continues (`work/<stage>/<key>/`).

Nothing of a living process is touched: a temporary file names its process; drafts are removed only while no
other process uses results, and a run is closed only if the process that its tag names has ended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.wording import worded
from pipeline.record.store import Store, is_alive
from pipeline.record.tracking import OWNER, Tracker

log = logging.getLogger(__name__)

# As `files.temporary_of` names them, and where they are written.
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
PLACES = ("data", "submissions", "submissions/*", "tuning", "artifacts", "work/*/*")


def clear(home: Path, store: Store, tracker: Tracker, configs: Path) -> list[str]:
    """Remove what dead processes left; returns a line for each kind, empty if there was nothing.

    A disk that cannot be written to is no error here: then everything stays as it is.
    """
    lines = []
    with contextlib.suppress(OSError, UserError):
        lines += _files(home, store, configs)
    ended = _runs(home, store)
    if ended:
        tracker.end_dead(ended)
        lines.append(worded("MLflow: {n:run} of a process that was stopped {n:is|are} closed", n=len(ended)))
    for line in lines:
        log.info(line)
    return lines


def _files(home: Path, store: Store, configs: Path) -> list[str]:
    places = (folder for place in PLACES for folder in home.glob(place))
    folders = [home, configs / "experiment", *places]
    found = [p for folder in folders for p in folder.glob(".*.tmp") if _is_dead(p.name)]
    drafts = list(store.drafts())
    if not found and not drafts:
        return []
    with store.alone() as alone:
        if not alone:
            return []
        for path in (*found, *drafts):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return [f"{len(found) + len(drafts)} unfinished files of a process that was stopped are removed"]


def _is_dead(name: str) -> bool:
    """Whether this is the name of a temporary file whose process has ended."""
    match = TEMPORARY.fullmatch(name)
    if match is None:
        return False
    if int(match[1]) == os.getpid():  # in a container every command may have the same number
        return True
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _runs(home: Path, store: Store) -> list[str]:
    """Ids of the runs of this home whose process has ended, read without importing mlflow."""
    database = home / "mlflow.db"
    if not database.is_file():
        return []
    query = (
        "SELECT runs.run_uuid, tags.value FROM runs LEFT JOIN tags"
        " ON tags.run_uuid = runs.run_uuid AND tags.key = ? WHERE runs.status = 'RUNNING'"
    )
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (OWNER,)).fetchall()
    except sqlite3.Error:
        return []  # the record is not the cache: no result depends on it
    if not rows:
        return []
    unnamed = any(owner is None for _, owner in rows) and _nobody(store)
    return [str(run) for run, owner in rows if (unnamed if owner is None else not _lives(owner))]


def _nobody(store: Store) -> bool:
    """Whether no other process uses results: then a run that names no process has none."""
    with contextlib.suppress(OSError, UserError), store.alone() as alone:
        return alone
    return False


def _lives(owner: str) -> bool:
    try:
        return is_alive(json.loads(owner))
    except (ValueError, TypeError, RecursionError):
        return True  # not ours
