"""The unfinished state of a fold on disk: written completely or not at all.

Owns the format of the file, its version, and what happens to a damaged file. Does not own the content of the
state (`train/state.py`) nor finished artifacts (`record/store.py`).

No random state is saved: every random draw is derived from the seed and the number of the step.
"""

import hashlib
import io
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import StorageError

VERSION = 2
_DIGEST_BYTES = 32

log = logging.getLogger(__name__)


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in one step, so that after a kill there is the old or the new one.

    The file holds a sha256 and the `torch.save` bytes, so that damage is found on reading.

    The state consists of tensors, plain numbers, text, lists and dicts; the folder must exist.

    Raises:
        StorageError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    torch.save({"version": VERSION, **state}, buffer)
    body = buffer.getvalue()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(body).digest())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path}: the checkpoint cannot be written: {error.strerror}",
            remedy="free some space or set runtime.home to a writable disk; the run then continues",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(path: Path) -> dict[str, Any] | None:
    """The saved state on the CPU, or None when there is no usable file.

    A damaged file, or one of another version, is logged and ignored: the fold starts again, which costs
    time and never gives a wrong result.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = data[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != data[:_DIGEST_BYTES]:
        log.warning("%s: the checkpoint is damaged; the fold starts again", path)
        return None
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        log.warning("%s: the checkpoint cannot be read (%s); the fold starts again", path, error)
        return None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        log.warning("%s: the checkpoint has another version; the fold starts again", path)
        return None
    return state
