"""What was measured of this machine, once, so that the same question has the same answer.

Owns the file `machine.json` in the home folder. Does not own measuring. Delete the file to measure again.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.core.errors import StorageError
from pipeline.record.digests import sha256_text, write_atomic

FILE = "machine.json"
_KEY_LENGTH = 16


def measured(
    home: Path, question: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """The kept answer to a question about this machine, or a new one, which is kept.

    Two processes that ask at once get the same answer: one measures, the other waits.

    Args:
        home: the pipeline's home folder.
        question: plain data that says what is measured, on what: machine, versions, settings.
        measure: gives plain data.

    Raises:
        StorageError: the file is damaged.
    """
    path, text = home / FILE, json.dumps(question, sort_keys=True)
    key = sha256_text(text)[:_KEY_LENGTH]
    lock = home / "artifacts" / ".locks" / "machine.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        known = _read(path)
        if key not in known:
            known[key] = {"question": json.loads(text), "answer": dict(measure())}
            write_atomic(path, json.dumps(known, indent=1).encode())
        answer: dict[str, Any] = known[key]["answer"]
        return answer


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise StorageError(f"{path}: is damaged", remedy="delete it; what it held is measured again")
    return known
