"""Content-keyed artifacts: results with their inputs, found again or built once.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from pipeline.core.errors import PodiumError, StorageError
from pipeline.record import paths
from pipeline.record.files import FileIndex, read_json, sha256_text, write_atomic

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# Key in a manifest: the search for whose trial the result was made.
STUDY = "study"
KEY_LENGTH = 16
SHORT = 8


class LockedError(PodiumError):
    """Another process builds the result at this moment."""


@dataclass(frozen=True)
class Artifact:
    """A finished result on disk: its files in `folder`, and the parsed manifest."""

    stage: str
    key: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def address(self) -> str:
        """`stage/key`: its name in manifests, keys and records; `Store.at` finds it again."""
        return f"{self.stage}/{self.key}"

    def has(self, name: str) -> bool:
        """Whether it has a file of this name."""
        return name in self.manifest["files"]

    @property
    def metrics(self) -> dict[str, float]:
        """The summary figures of the stage."""
        return dict(self.manifest.get("metrics", {}))

    def setting(self, path: str) -> Any:
        """The value of a setting by dotted path; None: the result does not depend on it."""
        settings = self.manifest.get("settings", {})
        section, _, name = path.partition(".")
        return settings[path] if path in settings else settings.get(section, {}).get(name)

    @property
    def seconds(self) -> float:
        """Run time of the stage itself, without its inputs."""
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
        version: increased whenever the stage's code gives other results.
        config: the settings that it reads, with defaults, without neutral ones.
        inputs: name -> `stage/key` of each input.
        files: combined digest of the input files, or "".
    """
    parts = {"stage": stage, "version": version, "config": config, "inputs": inputs, "files": files}
    return sha256_text(json.dumps(parts, sort_keys=True, ensure_ascii=False))[:KEY_LENGTH]


@contextlib.contextmanager
def told_as_storage_error(folder: Path) -> Iterator[None]:
    """Turn errors such as a full or read-only disk into a `StorageError` that names the folder."""
    try:
        yield
    except OSError as error:
        disk = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EFBIG: "a file grew beyond the size limit (`ulimit -f`)",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
            errno.EIO: "the disk reports an error",
            errno.ESTALE: "the network disk has lost it",
        }
        path = {
            errno.ENOTDIR: "there is a file where a folder is needed",
            errno.EISDIR: "there is a folder where a file is needed",
            errno.ENAMETOOLONG: "the name is too long for this file system",
            errno.ELOOP: "its links lead in a circle",
        }
        reason = {**disk, **path}.get(error.errno or 0)
        if reason is None:
            raise
        space = "free space (`make du`, `make gc`) or set runtime.home to another disk; no result is lost"
        remedy = "give another path, or move what is there away" if error.errno in path else space
        raise StorageError(f"{error.filename or folder}: {reason}", remedy=remedy) from error


class Store:
    """Finds and publishes artifacts under one home folder, or in another folder `root`."""

    def __init__(self, home: Path, index: FileIndex, root: Path | None = None) -> None:
        self.home = home
        self.root = root or home / "artifacts"
        self.index = index
        self._verified: dict[tuple[str, str], Artifact] = {}

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact if it exists and is undamaged; a damaged one is moved away and not returned."""
        known = self._verified.get((stage, key))
        if known:
            return known
        artifact, fault = self._checked(stage, key)
        if fault:
            folder = self.root / stage / key
            log.warning("%s %s is damaged (%s): moved away, built again", stage, key[:SHORT], fault)
            with told_as_storage_error(folder):
                aside = self.root / ".damaged" / f"{stage}-{key}"
                shutil.rmtree(aside, ignore_errors=True)
                aside.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process moved it first
                    folder.rename(aside)
            return None
        if artifact is not None:
            self._verified[stage, key] = artifact
        return artifact

    def at(self, address: str) -> Artifact | None:
        """The finished artifact with this `stage/key`, or None."""
        stage, _, key = address.partition("/")
        return self.find(stage, key)

    def behind(self, artifact: Artifact, stage: str, through: Sequence[str]) -> list[Artifact]:
        """The artifacts of a stage from which an artifact was made, nearest first, or itself.

        through: the stages whose inputs are followed; `stage` is one of them.
        """
        if artifact.stage == stage:
            return [artifact]
        below = [self.at(a) for a in artifact.inputs.values() if a.partition("/")[0] in through]
        found = [one for b in below if b is not None for one in self.behind(b, stage, through)]
        return list({one.key: one for one in found}.values())

    def look(self, stage: str, key: str) -> Artifact | None:
        """The artifact if it exists and is undamaged; unlike `find` it changes nothing on disk."""
        artifact, fault = self._checked(stage, key)
        return None if fault else artifact

    def _checked(self, stage: str, key: str) -> tuple[Artifact | None, str]:
        """The artifact and the fault of its files; (None, "") where there is none of this name.

        Stage and key may come from a file of somebody else: what is not a name names no result.
        """
        folder = self.root / stage / key
        if paths.fault_of(stage) or paths.fault_of(key) or not (folder / MANIFEST).is_file():
            return None, ""
        artifact = self._open(stage, key, folder)
        fault = "its manifest cannot be read" if artifact is None else self._damage(artifact)
        return artifact, fault or ""

    def all(self, *stages: str) -> list[Artifact]:
        """Every finished artifact, or those of some stages, oldest first; their files are not checked."""
        patterns = stages or ("[!.]*",)
        folders = [p.parent for stage in patterns for p in self.root.glob(f"{stage}/*/{MANIFEST}")]
        artifacts = [self._open(f.parent.name, f.name, f) for f in folders]
        # Results of the same second in the order of their names, not in that of the file system.
        return sorted(
            (a for a in artifacts if a), key=lambda a: (str(a.manifest.get("created", "")), a.stage, a.key)
        )

    def chosen(self, *stages: str) -> list[Artifact]:
        """Like `all`, without results that only trials of a search needed: they do not count as runs."""
        return [artifact for artifact in self.all(*stages) if STUDY not in artifact.manifest]

    def adopt(self, artifact: Artifact) -> Artifact:
        """Turn the result of a trial into a run like any other, because a command asks for it."""
        manifest = {name: value for name, value in artifact.manifest.items() if name != STUDY}
        write_atomic(artifact.folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
        adopted = self._verified[artifact.stage, artifact.key] = replace(artifact, manifest=manifest)
        return adopted

    def work(self, stage: str, key: str) -> Path:
        """The folder of unfinished work for this key; created if missing."""
        folder = self.home / "work" / stage / key
        with told_as_storage_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self, stage: str, key: str, wait: bool = True) -> Iterator[None]:
        """One builder per key; a second process waits here and then finds the result.

        Raises:
            LockedError: without `wait`: another process is building it.
        """
        path = self.root / ".locks" / f"{stage}-{key}.lock"
        with told_as_storage_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path)
            try:
                held.acquire(timeout=0)
            except Timeout:
                if not wait:
                    raise LockedError(f"another process is building {stage} {key[:SHORT]}") from None
                log.warning("another process is building %s %s: waiting for it", stage, key[:SHORT])
                held.acquire()
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[str]:
        """Show other processes, also between two builds, that this one uses results; yields its own name."""
        name = f"process-{os.getpid()}"
        path = self.root / ".locks" / f"{name}.lock"
        with told_as_storage_error(path), self.freeing():  # waits for a process that frees results
            held = FileLock(path)
            held.acquire()
        try:
            yield name
        finally:
            held.release()
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def freeing(self) -> Iterator[None]:
        """In this context no other process starts to use results."""
        path = self.root / ".locks" / "freeing"
        with told_as_storage_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other process uses results; if so, none starts to in this context."""
        path = self.root / ".locks" / "freeing"
        lock = FileLock(path)
        if not path.parent.is_dir():
            yield False
            return
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield not self.busy()
        finally:
            lock.release()

    def drafts(self) -> Iterator[Path]:
        """The folders in which results are built, or were when a process was killed."""
        return (self.root / ".building").glob("*")

    def busy(self) -> list[str]:
        """Results that other processes are building, `<stage>-<key>`, and those processes, `process-<id>`."""
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
        """A folder to build in; it is removed afterwards unless `publish` moved it.

        Hold the key's lock: leftovers of a killed process are removed first.
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
        full = {"stage": stage, "key": key, **manifest, "files": files}
        write_atomic(draft / MANIFEST, json.dumps(full, indent=1, ensure_ascii=False).encode())
        target = self.root / stage / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # a folder without a manifest: left by a crash of another version
            shutil.rmtree(target)
        draft.rename(target)
        _fsync(target.parent)
        artifact = Artifact(stage, key, target, full)
        self._verified[stage, key] = artifact
        return artifact

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact; its manifest goes first, so a half-deleted one does not exist."""
        self._verified.pop((artifact.stage, artifact.key), None)
        (artifact.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(artifact.folder)

    def _open(self, stage: str, key: str, folder: Path) -> Artifact | None:
        try:
            manifest = read_json(folder / MANIFEST)
        except (ValueError, OSError):
            return None
        is_valid = isinstance(manifest, dict) and not _manifest_fault(manifest)
        return Artifact(stage, key, folder, manifest) if is_valid and manifest.get("key") == key else None

    def _damage(self, artifact: Artifact) -> str | None:
        for name, facts in artifact.manifest["files"].items():
            path = artifact.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or self.index.digest(path) != facts["sha256"]:
                return f"{name} has changed since it was written"
        return None


def _manifest_fault(manifest: Mapping[str, Any]) -> str:
    """What a manifest lacks of the form that everything here relies on; empty if nothing."""
    inputs, known = manifest.get("inputs", {}), manifest.get("files")
    if not isinstance(known, dict) or any(
        ".." in (way := PurePosixPath(name)).parts
        or way.is_absolute()
        or not isinstance(facts, dict)
        or not {"sha256", "bytes"} <= facts.keys()
        for name, facts in known.items()
    ):
        return "files"
    sound = isinstance(inputs, dict) and all(
        isinstance(address, str) and address.count("/") == 1 and not paths.fault_of_path(address)
        for address in inputs.values()
    )
    return "" if sound else "inputs"


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def this() -> dict[str, str | int]:
    """Host, process id and start time of the calling process."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_alive(owner: Any) -> bool:
    """Whether the process that `this` described may still run; True for other hosts, which are unknown."""
    if not isinstance(owner, dict):
        return False
    if owner.get("host") != socket.gethostname():
        return True
    return _began(int(owner.get("pid", 0))) == owner.get("began") != ""


def _began(pid: int) -> str:
    """Start time of a process, as the system prints it; empty: there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        # A zombie has ended, though its parent has not noticed; word 20 is the start in clock ticks.
        boot = Path("/proc/sys/kernel/random/boot_id")
        booted = boot.read_text(encoding="ascii").strip()[:8] if boot.is_file() else ""
        return "" if words[0] in "ZX" else f"{booted} {words[19]}"
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()
