"""The store of a home in a bucket: results are pulled when asked for, and pushed when they are built.

Owns the local copy of what was pulled or pushed, its budget, and what is sent again after a fault. Does not
own the bucket's layout (`record/bucket.py`) or anything about results themselves (`record/store.py`).

    artifacts/.buckets/<name>/<stage>/<key>/         the local copy of a result, like in any store
    artifacts/.buckets/<name>/.manifests/            what is known to be in the bucket, by key
    artifacts/.buckets/<name>/.claims/               which processes of this host use the copy

The bucket is the store: a result that only the local copy has is one that could not be sent, and it is sent
when it is next asked for. Manifests never change but by `adopt`, so listing a bucket takes one request and
fetches the manifests that are not known yet.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import StorageError
from pipeline.core.language import _
from pipeline.record import paths, texts
from pipeline.record.bucket import Bucket, is_bucket, parsed
from pipeline.record.claims import CLAIMS, Claims
from pipeline.record.files import FileIndex, sha256_text, write_atomic
from pipeline.record.hosts import Host
from pipeline.record.owners import SILENCE, Watch, this
from pipeline.record.store import (
    MANIFEST,
    PROCESS,
    SHORT,
    Artifact,
    Store,
    manifest_fault,
    told_as_storage_error,
)

log = logging.getLogger(__name__)

BUCKETS, KNOWN = ".buckets", ".manifests"
# All local copies are looked at again after this part of the free budget was added; others add, too.
LOOKS = 8


@dataclass(frozen=True, eq=False)
class Listed(Artifact):
    """A result that a list names: its files are fetched when its folder is first asked for."""

    fetch: Callable[[], None]

    def __getattribute__(self, name: str) -> Any:
        if name == "folder":
            object.__getattribute__(self, "fetch")()
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and (self.address, self.manifest) == (
            other.address,
            other.manifest,
        )

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"Listed({self.address})"


class BucketStore(Store):
    """The results in a bucket, in the eyes of one process.

    Args:
        home: the local side: work/, data/, submissions/, records, and the copy of what was used.
        index: digests of local files.
        bucket: where the results are.
        only_here: stages whose results are large and quick to build: they are never sent.
        budget: bytes of the local copy.
        host, silence: see `Store`.

    Raises:
        StorageError: the bucket cannot be used; said before any work.
    """

    def __init__(
        self,
        home: Path,
        index: FileIndex,
        bucket: Bucket,
        only_here: frozenset[str] = frozenset(),
        budget: float = 50e9,
        host: Host | None = None,
        silence: float = SILENCE,
    ) -> None:
        name = bucket.address.partition("://")[2].strip("/").replace("/", "-")[-40:]
        root = home / "artifacts" / BUCKETS / f"{name}-{sha256_text(bucket.address)[:SHORT]}"
        super().__init__(home, index, root, host, silence)
        self.bucket, self._budget, self._only_here = bucket, budget, only_here
        self._local_claims, self._host = self.claims, host
        # Bytes of local copies; those added and those left since the last look at all of them.
        self._sizes: dict[tuple[str, str], int] = {}
        self._added, self._left = 0.0, 0.0
        self.claims = Claims(bucket.claims, host, silence, Watch.of(root / CLAIMS, host))
        bucket.probe()

    def find(self, stage: str, key: str) -> Artifact | None:
        """See `Store.find`; a result that only the bucket has is pulled, one that it lacks is sent."""
        if stage in self._only_here or (stage, key) in self._verified or _is_no_name(stage, key):
            return super().find(stage, key)
        artifact = super().find(stage, key)
        if artifact is None:
            artifact = self._pulled(stage, key)
        elif not self._known(stage, key).is_file():
            log.info(texts.NOT_SENT, stage, key[:SHORT])
            self._push(artifact)
        if artifact is not None:
            self._used(stage, key)
        return artifact

    def look(self, stage: str, key: str) -> Artifact | None:
        """See `Store.look`; what only the bucket has is pulled, which changes nothing there."""
        artifact = super().look(stage, key)
        if artifact is None and stage not in self._only_here and not _is_no_name(stage, key):
            content = self.bucket.manifest(stage, key)
            artifact = None if content is None else self._fetched(stage, key, content)[0]
        return artifact

    def all(self, *stages: str) -> list[Artifact]:
        """See `Store.all`: what the bucket has, and what only this machine has."""
        # A copy of what was in the bucket and is not any more was removed by another machine.
        here = {
            (a.stage, a.key): a for a in super().all(*stages) if not self._known(a.stage, a.key).is_file()
        }
        there = {name: self._listed(*name, content) for name, content in self._contents(*stages).items()}
        both = {**here, **{name: artifact for name, artifact in there.items() if artifact is not None}}
        return sorted(both.values(), key=lambda a: (str(a.manifest.get("created", "")), a.stage, a.key))

    def adopt(self, artifact: Artifact) -> Artifact:
        """See `Store.adopt`."""
        adopted = super().adopt(artifact)
        if artifact.stage not in self._only_here:
            content = (adopted.folder / MANIFEST).read_bytes()
            self.bucket.replace_manifest(artifact.stage, artifact.key, content)
            self._know(artifact.stage, artifact.key, content)
        return adopted

    def publish(self, stage: str, key: str, draft: Path, manifest: Mapping[str, Any]) -> Artifact:
        """See `Store.publish`; a result that cannot be sent stays here, and is sent by the next command."""
        artifact = super().publish(stage, key, draft, manifest)
        return artifact if stage in self._only_here else self._push(artifact)

    def remove(self, artifact: Artifact) -> None:
        """See `Store.remove`; the bucket's first, or an interrupted removal would be sent again."""
        stage, key = artifact.stage, artifact.key
        if stage not in self._only_here:
            self.bucket.remove(stage, key)
        self._forget(stage, key)

    def bytes_of(self, artifact: Artifact) -> int:
        """See `Store.bytes_of`; of a result in the bucket, without fetching it."""
        return sum(int(facts["bytes"]) for facts in artifact.manifest["files"].values())

    @contextlib.contextmanager
    def in_use(self) -> Iterator[str]:
        """See `Store.in_use`; also shown to the processes of this host, which free its local copy."""
        since = f"{PROCESS}-{os.getpid()}-{self.claims.id}-{time.time_ns()}"
        with contextlib.ExitStack() as stack:
            with told_as_storage_error(self.root):
                stack.enter_context(self._local_claims.hold(since))
            yield stack.enter_context(super().in_use())

    def busy(self, stage: str = "") -> list[str]:
        """See `Store.busy`; results that are never sent are used by other processes of this host."""
        if stage not in self._only_here:
            return super().busy(stage)
        held = self._local_claims.held().items()
        return sorted(name for name, record in held if record.owner != this(self._host))

    def sweep(self) -> None:
        """See `Store.sweep`; of the bucket, and of the local copy."""
        self._local_claims.sweep()
        super().sweep()

    def _claims_of(self, stage: str) -> Claims:
        """What is never sent is built once on every host."""
        return self._local_claims if stage in self._only_here else self.claims

    def _pulled(self, stage: str, key: str) -> Artifact | None:
        content = self.bucket.manifest(stage, key)
        if content is None:
            self._known(stage, key).unlink(missing_ok=True)
            return None
        artifact, fault = self._fetched(stage, key, content)
        if artifact is None:
            # Only what was judged: another process may have replaced it meanwhile.
            if self.bucket.manifest(stage, key) == content:
                log.warning(texts.DAMAGED, stage, key[:SHORT], fault)
                self.bucket.remove(stage, key)
            return None
        self._verified[stage, key] = artifact
        self._keep_budget(artifact)
        return artifact

    def _fetched(self, stage: str, key: str, content: bytes) -> tuple[Artifact | None, str]:
        """Fetch a result into the local copy, whole and verified, or not at all; else its fault there.

        Raises:
            StorageError: the bucket cannot be read, or the result cannot be kept here.
        """
        manifest = parsed(content)
        if not isinstance(manifest, dict) or manifest_fault(manifest) or manifest.get("key") != key:
            return None, _("its manifest cannot be read")
        target = self.root / stage / key
        draft = self.root / ".building" / f"pull-{stage}-{key}-{uuid.uuid4().hex[:SHORT]}"
        with told_as_storage_error(draft):
            try:
                draft.mkdir(parents=True)
                fault = self.bucket.pull(stage, key, manifest, draft)
                if fault:
                    return None, fault
                write_atomic(draft / MANIFEST, content)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists() and super().look(stage, key) is None:
                    shutil.rmtree(target, ignore_errors=True)
                with contextlib.suppress(OSError):  # another process of this host was quicker
                    draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        self._know(stage, key, content)
        found = super().look(stage, key)
        if found is None:  # the fault is on this side: the bucket's result was read whole
            raise StorageError(
                _("{target}: a result of {shown} cannot be kept here").format(
                    target=target, shown=self.bucket.shown
                ),
                remedy=_("run the command again; if it says this again, remove this folder"),
            )
        return found, ""

    def _push(self, artifact: Artifact) -> Artifact:
        stage, key = artifact.stage, artifact.key
        content = (artifact.folder / MANIFEST).read_bytes()
        if self.bucket.push(stage, key, artifact.folder, artifact.manifest, content):
            self._know(stage, key, content)
            self._keep_budget(artifact)
            return artifact
        there = self.bucket.manifest(stage, key)
        if there in (None, content):
            self._know(stage, key, content)
            return artifact
        # Another process published this key first; its inputs' and its own readers have seen that one.
        super().remove(artifact)
        found = self._pulled(stage, key)
        if found is None:
            raise StorageError(
                _("{stage} {key}: the bucket holds another result of this key, which is damaged").format(
                    stage=stage, key=key[:SHORT]
                ),
                remedy=_("it was removed: run the command again"),
            )
        return found

    def _contents(self, *stages: str) -> dict[tuple[str, str], bytes]:
        """The manifest of every result in the bucket; those that are not known yet are fetched."""
        marks = {name: mark for name, mark in self.bucket.marks(*stages).items() if not _is_no_name(*name)}
        known = {name: self._known_content(*name, mark) for name, mark in marks.items()}
        fetched = self.bucket.manifests([name for name, content in known.items() if content is None])
        for name, content in fetched.items():
            self._know(*name, content, marks[name])
        return {name: content for name, content in {**known, **fetched}.items() if content is not None}

    def _listed(self, stage: str, key: str, content: bytes) -> Artifact | None:
        manifest = parsed(content)
        if not isinstance(manifest, dict) or manifest_fault(manifest) or manifest.get("key") != key:
            return None

        def fetch() -> None:
            if not self._used(stage, key) and self.find(stage, key) is None:
                raise StorageError(
                    _("{stage} {key}: it was removed from {shown} meanwhile").format(
                        stage=stage, key=key[:SHORT], shown=self.bucket.shown
                    ),
                    remedy=_("run the command again"),
                )

        return Listed(stage, key, self.root / stage / key, manifest, fetch)

    def _used(self, stage: str, key: str) -> bool:
        """Touch the local copy of a result, as the last used one is freed last; whether there is one."""
        manifest = self.root / stage / key / MANIFEST
        with contextlib.suppress(OSError):  # a disk that is read-only is no reason to fetch it again
            os.utime(manifest)
        return manifest.is_file()

    def _known(self, stage: str, key: str) -> Path:
        return self.root / KNOWN / f"{stage}-{key}.json"

    def _know(self, stage: str, key: str, content: bytes, mark: str = "") -> None:
        row = {"mark": mark, "manifest": content.decode("utf-8", errors="replace")}
        write_atomic(self._known(stage, key), json.dumps(row).encode())

    def _known_content(self, stage: str, key: str, mark: str) -> bytes | None:
        try:
            row = json.loads(self._known(stage, key).read_text(encoding="utf-8"))
            return row["manifest"].encode() if row["mark"] == mark else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _forget(self, stage: str, key: str) -> None:
        """Remove the local copy of a result."""
        folder = self.root / stage / key
        self._verified.pop((stage, key), None)
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        self._known(stage, key).unlink(missing_ok=True)

    def _keep_budget(self, added: Artifact | None = None) -> None:
        """Free the least recently used local copies, but none that a process of this host may be reading.

        A process touches what it uses, so what was last used before the oldest of them began is read by none.

        Args:
            added: the copy that was made just now; nothing is looked at while what this process has added
                since its last look is a small part of what was left then. None: look in any case.
        """
        if added is not None:
            self._added += self._size(added.stage, added.key)
            if self._added * LOOKS <= self._left:
                return
        copies = self._copies()
        total = sum(size for _, size, *_ in copies)
        self._added, self._left = 0.0, max(self._budget - total, 0.0)
        if total <= self._budget:
            return
        began = [
            int(name.rpartition("-")[2]) for name in self._local_claims.held() if name.startswith(PROCESS)
        ]
        oldest = min(began, default=0)
        for used, size, stage, key in sorted(copies):
            if total <= self._budget or used >= oldest:
                return
            if self._last_used(stage, key) == used and (stage, key) not in self._verified:
                self._forget(stage, key)
                total -= size
                log.info(texts.FREED, stage, key[:SHORT], size / 1e6)

    def _copies(self) -> list[tuple[int, int, str, str]]:
        """When each local copy was last used, its bytes, its stage and its key; no file is read."""
        known = {path.stem for path in (self.root / KNOWN).glob("*.json")}
        found = (path.parent for path in self.root.glob(f"[!.]*/*/{MANIFEST}"))
        names = [(folder.parent.name, folder.name) for folder in found]
        names = [(s, k) for s, k in names if s not in self._only_here and f"{s}-{k}" in known]
        wanted = set(names)
        self._sizes = {name: size for name, size in self._sizes.items() if name in wanted}
        return [(self._last_used(*name), self._size(*name), *name) for name in names]

    def _size(self, stage: str, key: str) -> int:
        """Bytes of a local copy, which do not change."""
        if (stage, key) not in self._sizes:
            self._sizes[stage, key] = self.bytes_in(self.root / stage / key)
        return self._sizes[stage, key]

    def _last_used(self, stage: str, key: str) -> int:
        """In nanoseconds since the epoch; 0: another process of this host freed it at this moment."""
        try:
            return (self.root / stage / key / MANIFEST).stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def opened(
    address: str,
    home: Path,
    index: FileIndex,
    artifacts: Path | None = None,
    only_here: frozenset[str] = frozenset(),
    budget: float = 50e9,
    silence: float = SILENCE,
    beside: Store | None = None,
) -> Store:
    """The store of a home: in its folder, in another folder `artifacts`, or in a bucket.

    Args:
        address: `runtime.home`.
        home: the folder of everything that is not a result.
        index: digests of local files.
        artifacts: the folder of results; None: that of the home.
        only_here: see `BucketStore`.
        budget: see `BucketStore`.
        silence: see `Store`.
        beside: an open store, whose connection to the same bucket is used.
    """
    if artifacts is not None or not is_bucket(address):
        return Store(home, index, artifacts, silence=silence)
    known = beside.bucket if isinstance(beside, BucketStore) else None
    bucket = known if known is not None and known.address == address.rstrip("/") else Bucket(address)
    return BucketStore(home, index, bucket, only_here, budget, silence=silence)


def _is_no_name(stage: str, key: str) -> bool:
    return bool(paths.fault_of(stage) or paths.fault_of(key))
