"""What a killed process left behind: temporary files, drafts, and runs that MLflow shows as running for ever.

Owns finding and removing them at the start of the next command. Does not own making them, nor unfinished
work that a later run continues (`work/<stage>/<key>/`).

Nothing of a living process is touched: a temporary file names its process; drafts are removed only while no
other process uses results, and a run is closed only if the process that its tag names has ended, or runs on
another host and was silent for longer than `runtime.silence_seconds`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.language import _
from pipeline.core.wording import worded
from pipeline.record.claims import CLAIMS
from pipeline.record.hosts import Host
from pipeline.record.left_open import BEAT, OWNER, is_open
from pipeline.record.owners import Watch
from pipeline.record.store import Store
from pipeline.record.tracking import Tracker

log = logging.getLogger(__name__)

# As `files.temporary_of` names them (earlier versions without the host), and where they are written.
TEMPORARY = re.compile(r"\..+?(?:\.(?P<host>[0-9a-f]{8}))?\.(?P<pid>\d+)\.tmp")
PLACES = (
    *("data", "submissions", "submissions/*", "tuning", "work/*/*"),
    *("artifacts", f"artifacts/{CLAIMS}", "artifacts/.buckets/*", "artifacts/.buckets/*/.*"),
)
# A file that a process of another host began is given up after a day: its number says nothing here.
FOREIGN_SECONDS = 24 * 3600.0


def clear(home: Path, store: Store, tracker: Tracker, configs: Path) -> list[str]:
    """Remove what dead processes left; returns a line for each kind, empty if there was nothing.

    A disk that cannot be written to is no error here: then everything stays as it is.
    """
    lines = []
    with contextlib.suppress(OSError, UserError):
        store.sweep()
        lines += _files(home, store, configs)
    ended = _runs(home, store)
    if ended:
        tracker.end_dead(ended)
        lines.append(
            worded(_("MLflow: {n:run} of a process that was stopped {n:is|are} closed"), n=len(ended))
        )
    for line in lines:
        log.info(line)
    return lines


def _files(home: Path, store: Store, configs: Path) -> list[str]:
    places = (folder for place in PLACES for folder in home.glob(place))
    folders = [home, configs / "experiment", *places]
    found = [p for folder in folders for p in folder.glob(".*.tmp") if _is_dead(p)]
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
    return [
        _("{n} unfinished files of a process that was stopped are removed").format(n=len(found) + len(drafts))
    ]


def _is_dead(path: Path) -> bool:
    """Whether this has the name of a temporary file, and its process has ended."""
    match = TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["host"] not in (None, Host.here().tag):
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime > FOREIGN_SECONDS
        return False
    if int(match["pid"]) == os.getpid():  # in a container every command may have the same number
        return True
    try:
        os.kill(int(match["pid"]), 0)
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
        "SELECT runs.run_uuid, tags.value, beats.value FROM runs"
        " LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ?"
        " LEFT JOIN tags AS beats ON beats.run_uuid = runs.run_uuid AND beats.key = ?"
        " WHERE runs.status = 'RUNNING'"
    )
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (OWNER, BEAT)).fetchall()
    except sqlite3.Error:
        return []  # the record is not the cache: no result depends on it
    if not rows:
        return []
    unnamed = any(owner is None for _, owner, _ in rows) and _nobody(store)
    watch = Watch.of(store.root / CLAIMS)
    return [
        str(run)
        for run, owner, beat in rows
        if (unnamed if owner is None else not is_open(str(run), owner, beat, watch, store.claims.silence))
    ]


def _nobody(store: Store) -> bool:
    """Whether no other process uses results: then a run that names no process has none."""
    with contextlib.suppress(OSError, UserError), store.alone() as alone:
        return alone
    return False
