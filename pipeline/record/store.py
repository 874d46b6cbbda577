"""Content-keyed artifacts: what was computed, from what, found again or built once.

Owns keys, manifests, atomic publication, damage detection, locks, and how a process is named so that a later
one with the same number is not taken for it. Does not own what is inside an artifact (`record/files.py`) or
when to build one (`engine/session.py`).

    artifacts/<stage>/<key>/manifest.json   written last; a folder without one does not exist
    artifacts/.building/                    drafts, renamed once when they are complete
    artifacts/.locks/                       one builder per key
    work/<stage>/<key>/                     unfinished work that a later run continues
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.core.errors import StorageError
from pipeline.record.digests import FileIndex, sha256_text, write_atomic

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# In a manifest: the search whose trial it was made for.
STUDY = "study"
KEY_LENGTH = 16
SHORT = 8


@dataclass(frozen=True)
class Artifact:
    """A finished result on disk.

    Args:
        stage: which stage made it.
        key: its content key.
        folder: where its files lie.
        manifest: the parsed manifest.
    """

    stage: str
    key: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The summary figures of the stage."""
        return dict(self.manifest.get("metrics", {}))

    def setting(self, path: str) -> Any:
        """What it was made with, by dotted path; None: nothing that it depends on reads that."""
        settings = self.manifest.get("settings", {})
        section, _, name = path.partition(".")
        return settings[path] if path in settings else settings.get(section, {}).get(name)

    @property
    def seconds(self) -> float:
        """How long the stage itself worked, without its inputs."""
        return float(self.manifest.get("seconds", 0.0))

    @property
    def inputs(self) -> dict[str, str]:
        """Name of each input -> `stage/key`."""
        return dict(self.manifest.get("inputs", {}))

    def json(self, name: str) -> Any:
        """A JSON file of the artifact."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def content_key(
    stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str], files: str
) -> str:
    """The key of a result: a Merkle hash of everything that defines it.

    Args:
        stage: its name.
        version: raised whenever the stage's code gives other results.
        config: the settings that it reads, defaults filled in, neutral ones left out.
        inputs: name -> `stage/key` of each input.
        files: combined digest of the input files, or "".
    """
    parts = {"stage": stage, "version": version, "config": config, "inputs": inputs, "files": files}
    return sha256_text(json.dumps(parts, sort_keys=True, ensure_ascii=False))[:KEY_LENGTH]


@contextlib.contextmanager
def told_as_storage_error(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a `StorageError` that names the folder."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EFBIG: "a file grew beyond the size limit (`ulimit -f`)",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
            errno.ENOTDIR: "a file stands where a folder is needed",
        }
        reason = reasons.get(error.errno or 0)
        if reason is None:
            raise
        raise StorageError(
            f"{error.filename or folder}: {reason}",
            remedy="free space (`make du`, `make gc`) or set runtime.home to another disk; nothing was lost",
        ) from error


class Store:
    """Finds and publishes artifacts under one home folder, or in `root` beside those of that home."""

    def __init__(self, home: Path, index: FileIndex, root: Path | None = None) -> None:
        self.home = home
        self.root = root or home / "artifacts"
        self.index = index
        self._verified: dict[tuple[str, str], Artifact] = {}

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact if it exists and is whole; a damaged one is set aside and not returned."""
        known = self._verified.get((stage, key))
        if known:
            return known
        folder = self.root / stage / key
        if not (folder / MANIFEST).is_file():
            return None
        artifact = self._open(stage, key, folder)
        fault = "its manifest cannot be read" if artifact is None else self._damage(artifact)
        if artifact is None or fault:
            log.warning("%s %s is damaged (%s): set aside, it will be made again", stage, key[:SHORT], fault)
            with told_as_storage_error(folder):
                aside = self.root / ".damaged" / f"{stage}-{key}"
                shutil.rmtree(aside, ignore_errors=True)
                aside.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process set it aside first
                    folder.rename(aside)
            return None
        self._verified[stage, key] = artifact
        return artifact

    def all(self, stage: str = "[!.]*") -> list[Artifact]:
        """Every finished artifact, or those of one stage, oldest first; their files are not checked."""
        folders = [p.parent for p in self.root.glob(f"{stage}/*/{MANIFEST}")]
        found = [self._open(f.parent.name, f.name, f) for f in folders]
        return sorted((a for a in found if a), key=lambda a: str(a.manifest.get("created", "")))

    def chosen(self) -> list[Artifact]:
        """Like `all`, without what only trials of a search asked for: they are no one's runs."""
        return [artifact for artifact in self.all() if STUDY not in artifact.manifest]

    def adopt(self, artifact: Artifact) -> Artifact:
        """What a trial made is asked for by itself: from now on it is a run like any other."""
        manifest = {name: value for name, value in artifact.manifest.items() if name != STUDY}
        write_atomic(artifact.folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
        adopted = Artifact(artifact.stage, artifact.key, artifact.folder, manifest)
        self._verified[artifact.stage, artifact.key] = adopted
        return adopted

    def work(self, stage: str, key: str) -> Path:
        """The folder of unfinished work for this key; made when missing."""
        folder = self.home / "work" / stage / key
        with told_as_storage_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self, stage: str, key: str) -> Iterator[None]:
        """One builder per key; a second process waits here and then finds the result."""
        path = self.root / ".locks" / f"{stage}-{key}.lock"
        with told_as_storage_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path)
            try:
                held.acquire(timeout=0)
            except Timeout:
                log.warning("another process is making %s %s: waiting for it", stage, key[:SHORT])
                held.acquire()
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[str]:
        """Tell other processes through `busy` that this one reads and makes results, also between two.

        Yields:
            What `busy` calls it.
        """
        name = f"process-{os.getpid()}"
        path = self.root / ".locks" / f"{name}.lock"
        with told_as_storage_error(path), self.freeing():  # who frees results right now is waited for
            held = FileLock(path)
            held.acquire()
        try:
            yield name
        finally:
            held.release()
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def freeing(self) -> Iterator[None]:
        """No process begins to use results while this lasts."""
        path = self.root / ".locks" / "freeing"
        with told_as_storage_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def busy(self) -> list[str]:
        """What other processes are making right now, `<stage>-<key>`, and who is at work, `process-<id>`."""
        held = []
        for path in sorted((self.root / ".locks").glob("*.lock")):
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
                lock.release()
            except Timeout:
                held.append(path.stem)
        return held

    @contextlib.contextmanager
    def draft(self, stage: str, key: str) -> Iterator[Path]:
        """A folder to build in; it is gone afterwards unless `publish` moved it.

        Hold the key's lock: what a killed builder left in it is removed first.
        """
        folder = self.root / ".building" / f"{stage}-{key}"
        with told_as_storage_error(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, stage: str, key: str, draft: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Digest and fsync the draft's files, write the manifest last, and rename once."""
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(p for p in draft.rglob("*") if p.is_file()):
            _fsync(path)
            digest = self.index.digest(path)
            files[path.relative_to(draft).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
        whole = {"stage": stage, "key": key, **manifest, "files": files}
        write_atomic(draft / MANIFEST, json.dumps(whole, indent=1, ensure_ascii=False).encode())
        target = self.root / stage / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # a folder without a manifest: what a crash of another version left
            shutil.rmtree(target)
        draft.rename(target)
        _fsync(target.parent)
        artifact = Artifact(stage, key, target, whole)
        self._verified[stage, key] = artifact
        return artifact

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact; its manifest goes first, so a half-deleted one does not exist."""
        self._verified.pop((artifact.stage, artifact.key), None)
        (artifact.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(artifact.folder)

    def _open(self, stage: str, key: str, folder: Path) -> Artifact | None:
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (ValueError, OSError):
            return None
        whole = isinstance(manifest, dict) and isinstance(manifest.get("files"), dict)
        return Artifact(stage, key, folder, manifest) if whole and manifest.get("key") == key else None

    def _damage(self, artifact: Artifact) -> str | None:
        for name, facts in artifact.manifest["files"].items():
            path = artifact.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or self.index.digest(path) != facts["sha256"]:
                return f"{name} has other bytes than were written"
        return None


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def this() -> dict[str, str | int]:
    """The process that asks: host, number, and when it began."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_alive(owner: Any) -> bool:
    """Whether a process that `this` named may still run; of other hosts nothing is known, so it may."""
    if not isinstance(owner, dict):
        return False
    if owner.get("host") != socket.gethostname():
        return True
    return _began(int(owner.get("pid", 0))) == owner.get("began") != ""


def _began(pid: int) -> str:
    """When a process began, in the system's own words; empty where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        # A zombie is gone, though its parent has not noticed; word 20 counts clock ticks since boot.
        boot = Path("/proc/sys/kernel/random/boot_id")
        booted = boot.read_text(encoding="ascii").strip()[:8] if boot.is_file() else ""
        return "" if words[0] in "ZX" else f"{booted} {words[19]}"
    told = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()
