"""Content-keyed artifacts: results with their inputs, found again or built once.

Owns keys, manifests, atomic publication, damage detection, and what is claimed so that one process builds a
result and none frees what another one uses. Does not own claims (`record/claims.py`), a store in a bucket
(`record/bucket_store.py`), what is inside an artifact (`record/files.py`) or when to build one
(`engine/session.py`).

    artifacts/<stage>/<key>/manifest.json   written last; a folder without one does not exist
    artifacts/.building/                    drafts, renamed once when they are complete
    artifacts/.claims/                      one builder per key, over processes and hosts
    work/<stage>/<key>/                     unfinished work that a later run continues
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.errors import PodiumError, StorageError
from pipeline.core.language import _
from pipeline.record import paths
from pipeline.record.claims import CLAIMS, FILE, Claim, Claims, Folder
from pipeline.record.files import FileIndex, read_json, sha256_text, write_atomic
from pipeline.record.hosts import Host
from pipeline.record.owners import SILENCE, Watch

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# In a folder of unfinished work: what it is the work of.
BEGUN = "begun.json"
# Key in a manifest: the search for whose trial the result was made.
STUDY = "study"
KEY_LENGTH = 16
SHORT = 8
# Names of claims besides those of results, `<stage>-<key>`.
PROCESS, FREEING = "process", "freeing"
# Between the name of a draft and what tells it from others of the same result.
DRAFT = "~"


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
            errno.ENOSPC: _("the disk is full"),
            errno.EDQUOT: _("the disk quota is used up"),
            errno.EFBIG: _("a file grew beyond the size limit (`ulimit -f`)"),
            errno.EROFS: _("the disk is read-only"),
            errno.EACCES: _("permission denied"),
            errno.EPERM: _("permission denied"),
            errno.EIO: _("the disk reports an error"),
            errno.ESTALE: _("the network disk has lost it"),
        }
        path = {
            errno.ENOTDIR: _("there is a file where a folder is needed"),
            errno.EISDIR: _("there is a folder where a file is needed"),
            errno.ENAMETOOLONG: _("the name is too long for this file system"),
            errno.ELOOP: _("its links lead in a circle"),
        }
        reason = {**disk, **path}.get(error.errno or 0)
        if reason is None:
            raise
        space = _("free space (`make du`, `make gc`) or set runtime.home to another disk; no result is lost")
        remedy = _("give another path, or move what is there away") if error.errno in path else space
        raise StorageError(
            _("{file}: {reason}").format(file=error.filename or folder, reason=reason), remedy=remedy
        ) from error


class Store:
    """Finds and publishes artifacts under one home folder, or in another folder `root`."""

    def __init__(
        self,
        home: Path,
        index: FileIndex,
        root: Path | None = None,
        host: Host | None = None,
        silence: float = SILENCE,
    ) -> None:
        self.home = home
        self.root = root or home / "artifacts"
        self.index = index
        self.claims = Claims(Folder(self.root / CLAIMS), host, silence, Watch.of(self.root / CLAIMS, host))
        self._verified: dict[tuple[str, str], Artifact] = {}
        # The claims of the results that this process builds.
        self._building: dict[tuple[str, str], Claim] = {}

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact if it exists and is undamaged; a damaged one is moved away and not returned."""
        known = self._verified.get((stage, key))
        if known:
            return known
        artifact, fault = self._checked(stage, key)
        if fault:
            folder = self.root / stage / key
            log.warning(
                _("{stage} {key} is damaged ({fault}): moved away, built again").format(
                    stage=stage, key=key[:SHORT], fault=fault
                )
            )
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
        fault = _("its manifest cannot be read") if artifact is None else self._damage(artifact)
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

    def begin(self, stage: str, key: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> Path:
        """The folder of unfinished work for this key, with a note of what it is; created if missing."""
        folder = self.home / "work" / stage / key
        with told_as_storage_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            note = {"key": key, "settings": settings, "inputs": inputs, "files": {}}
            write_atomic(folder / BEGUN, json.dumps(note, indent=1, ensure_ascii=False).encode())
        return folder

    def begun(self, stage: str) -> list[Artifact]:
        """The unfinished work of a stage, the newest first: manifests with settings and inputs, no files."""
        notes = [(n.stat().st_mtime, n.parent) for n in (self.home / "work" / stage).glob(f"*/{BEGUN}")]
        found = (self._open(stage, f.name, f, BEGUN) for _, f in sorted(notes, reverse=True))
        return [artifact for artifact in found if artifact is not None]

    @contextlib.contextmanager
    def lock(self, stage: str, key: str, wait: bool = True) -> Iterator[Claim]:
        """One builder per key; a second process waits here and then finds the result.

        Raises:
            LockedError: without `wait`: another process is building it.
            StorageError: the body failed, and another process had taken the claim over before.
        """

        def waiting(holder: str) -> None:
            if not wait:
                raise LockedError(
                    _("{holder} is building {stage} {key}").format(
                        holder=holder, stage=stage, key=key[:SHORT]
                    )
                )
            log.warning(
                _("{holder} is building {stage} {key}: waiting for it").format(
                    holder=holder, stage=stage, key=key[:SHORT]
                )
            )

        with contextlib.ExitStack() as stack:
            with told_as_storage_error(self.root):
                claim = stack.enter_context(self._claims_of(stage).hold(f"{stage}-{key}", waiting))
            self._building[stage, key] = claim
            try:
                yield claim
            except OSError as error:
                if claim.is_held():
                    raise
                raise StorageError(
                    _(
                        "{stage} {key}: this process was silent for longer than {silence:g} seconds, and "
                        "another one builds the result now"
                    ).format(stage=stage, key=key[:SHORT], silence=self.claims.silence),
                    remedy=_("run the command again: it waits for the other one, and then uses its result"),
                ) from error
            finally:
                del self._building[stage, key]

    def _claims_of(self, stage: str) -> Claims:
        """Where the builders of a stage's results are claimed."""
        return self.claims

    @contextlib.contextmanager
    def in_use(self) -> Iterator[str]:
        """Show other processes, also between two builds, that this one uses results; yields its own name."""
        name = f"{PROCESS}-{os.getpid()}-{self.claims.id}"
        with contextlib.ExitStack() as stack:
            with told_as_storage_error(self.root), self.freeing():  # waits for a process that frees results
                stack.enter_context(self.claims.hold(name))
            yield name

    @contextlib.contextmanager
    def freeing(self) -> Iterator[None]:
        """In this context no other process starts to use results."""
        with contextlib.ExitStack() as stack:
            with told_as_storage_error(self.root):
                stack.enter_context(self.claims.hold(FREEING))
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other process uses results; if so, none starts to in this context."""
        claim = self.claims.take(FREEING) if self.root.is_dir() else None
        if claim is None:
            yield False
            return
        try:
            yield not self.busy()
        finally:
            claim.release()

    def drafts(self) -> Iterator[Path]:
        """The folders in which results are built, or were when a process was killed."""
        return (self.root / ".building").glob("*")

    def sweep(self) -> None:
        """Remove what dead processes claimed, so that nothing is claimed for ever."""
        self.claims.sweep()

    def busy(self, stage: str = "") -> list[str]:
        """What living processes build, `<stage>-<key>`, and these processes, `process-<number>-<id>`.

        stage: only those who could use results of this stage; empty: all.
        """
        names = self.claims.held()
        return sorted(name for name in names if name != FREEING and not name.startswith(f"{FILE}-"))

    @contextlib.contextmanager
    def draft(self, stage: str, key: str) -> Iterator[Path]:
        """A folder to build in; it is removed afterwards unless `publish` moved it.

        Hold the key's lock: leftovers of a killed process are removed first.
        """
        building = self.root / ".building"
        # A name of its own: one that lost its claim may still write into its draft.
        folder = building / f"{stage}-{key}{DRAFT}{uuid.uuid4().hex[:SHORT]}"
        with told_as_storage_error(folder):
            for left in (building / f"{stage}-{key}", *building.glob(f"{stage}-{key}{DRAFT}*")):
                shutil.rmtree(left, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, stage: str, key: str, draft: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Digest and fsync the draft's files, write the manifest last, and rename once.

        A process that has lost its claim overwrites nothing: the result that another one published is used.
        """
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(p for p in draft.rglob("*") if p.is_file()):
            _fsync(path)
            digest = self.index.digest(path)
            files[path.relative_to(draft).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
        full = {"stage": stage, "key": key, **manifest, "files": files}
        write_atomic(draft / MANIFEST, json.dumps(full, indent=1, ensure_ascii=False).encode())
        target = self.root / stage / key
        target.parent.mkdir(parents=True, exist_ok=True)
        claim = self._building.get((stage, key))
        if claim is not None and not claim.is_held():
            log.warning(
                _("{stage} {key}: another process took over, because this one was silent").format(
                    stage=stage, key=key[:SHORT]
                )
            )
        elif target.exists() and self.look(stage, key) is None:
            shutil.rmtree(target)  # e.g. a folder without a manifest: left by a crash of another version
        try:
            draft.rename(target)
        except OSError as error:
            there = self.look(stage, key) if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else None
            if there is None:
                raise
            self._verified[stage, key] = there
            return there
        _fsync(target.parent)
        artifact = Artifact(stage, key, target, full)
        self._verified[stage, key] = artifact
        return artifact

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact; its manifest goes first, so a half-deleted one does not exist."""
        self._verified.pop((artifact.stage, artifact.key), None)
        (artifact.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(artifact.folder)

    def bytes_of(self, artifact: Artifact) -> int:
        """Bytes of a result; a file with two names counts half for each."""
        return self.bytes_in(artifact.folder)

    @staticmethod
    def bytes_in(folder: Path) -> int:
        """Bytes of the files in a folder, those with two names by half."""
        files = (p.stat() for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        return sum(status.st_size // max(status.st_nlink, 1) for status in files)

    def _open(self, stage: str, key: str, folder: Path, name: str = MANIFEST) -> Artifact | None:
        try:
            manifest = read_json(folder / name)
        except (ValueError, OSError):
            return None
        is_valid = isinstance(manifest, dict) and not manifest_fault(manifest)
        return Artifact(stage, key, folder, manifest) if is_valid and manifest.get("key") == key else None

    def _damage(self, artifact: Artifact) -> str | None:
        for name, facts in artifact.manifest["files"].items():
            path = artifact.folder / name
            if not path.is_file():
                return _("{name} is missing").format(name=name)
            if path.stat().st_size != facts["bytes"] or self.index.digest(path) != facts["sha256"]:
                return _("{name} has changed since it was written").format(name=name)
        return None


def manifest_fault(manifest: Mapping[str, Any]) -> str:
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
