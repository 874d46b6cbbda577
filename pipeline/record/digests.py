"""sha256 of files, remembered by path, size and modification time.

Owns the index of digests. Does not own their use (`record/store.py`).
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

CHUNK = 1 << 20
# A file younger than this could change again without a new mtime, within the resolution of the clock.
SETTLED_SECONDS = 2.0


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Hex sha256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a temporary file next to it, fsync and rename, so that a crash leaves the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class FileIndex:
    """Digests of files, read from disk only if size or modification time changed, or always with `rehash`."""

    def __init__(self, path: Path, rehash: bool = False) -> None:
        self._path = path
        self._known: dict[str, tuple[int, int, str]] = {}
        self._changed = False
        if not rehash and path.is_file():
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))
                self._known = {name: (int(s), int(m), str(d)) for name, (s, m, d) in rows.items()}
            except (ValueError, TypeError, AttributeError):
                self._known = {}  # a lost index costs time, never a result

    def digest(self, path: Path) -> str:
        """Hex sha256 of `path`; raises `FileNotFoundError` when it is missing."""
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._known.get(str(path))
        if known and known[:2] == stamp:
            return known[2]
        digest = sha256_file(path)
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._known[str(path)] = (*stamp, digest)
            self._changed = True
        return digest

    def combined(self, paths: Iterable[Path], base: Path) -> str:
        """One digest of many files: their names relative to `base` and their contents."""
        rows = [f"{os.path.relpath(path, base)}\t{self.digest(path)}" for path in sorted(set(paths))]
        return sha256_text("\n".join(rows))

    def save(self) -> None:
        """Write the index for the next run."""
        if self._changed:
            write_atomic(self._path, json.dumps(self._known).encode())
            self._changed = False
