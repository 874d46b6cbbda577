"""Where studies are kept: a database or a journal file, and what to do about those that are broken.

Owns naming the place, an error that a user understands, and mending what a kill left. Does not own studies
(`record/study.py`), and knows nothing of Optuna.
"""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, StorageError

DATABASES = ("sqlite", "postgresql", "mysql")


def storage_of(home: Path) -> str:
    """Where studies are kept: OPTUNA_STORAGE, a database's URL or a journal's path, or SQLite at home."""
    return os.environ.get("OPTUNA_STORAGE") or f"sqlite:///{home.resolve() / 'optuna.db'}"


class Told:
    """Turns what a database, a driver or a disk raises into one StorageError that names the storage."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, ConfigError | StorageError):
            return
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(
            f"studies: {_without_password(self._where)} cannot be reached: {reason}",
            remedy="check OPTUNA_STORAGE: a database's URL, or the path of a journal file; unset it for "
            "SQLite under runtime.home",
        ) from error


class Sqlite(sqlite3.Connection):
    """A connection whose writes outlive a killed process, and of a power cut lose the last ones at most.

    The default waits for the disk at every write, ten times a trial.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.execute("PRAGMA journal_mode=WAL").close()
        self.execute("PRAGMA synchronous=NORMAL").close()


def mend(path: Path, lock: Any) -> None:
    """Cut off the half line that a kill left in a journal: the next one would be written behind it."""
    lock.acquire()
    try:
        text = path.read_bytes()
        whole = text.rfind(b"\n") + 1
        lines = text[:whole].splitlines(keepends=True)
        if lines:
            json.loads(lines[0])  # any other file would be spoiled by writing to it
        if whole < len(text):
            if not lines and text.strip():
                raise ValueError("it is no journal of Optuna")
            with path.open("rb+") as file:
                file.truncate(whole)
    finally:
        lock.release()


def _without_password(where: str) -> str:
    head, at, tail = where.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else where
