"""A bucket as a shelf of results: what is on it, and taking one from it or putting one on it.

    <home>/manifests/<stage>/<key>.json              written last; a result without one does not exist
    <home>/files/<stage>/<key>/<sha256>/<name>       its files, under the digests of their contents
    <home>/claims/                                   see `record/claims.py`

Owns every call to fsspec, what is refused before any work, and turning errors of a bucket into one clear one.
Does not own the local cache or when results are moved (`record/bucket_store.py`).

Two builders of one result may publish at the same time, one silent for so long that it lost its claim.
Their files cannot mix: other contents have other names, and the one manifest that comes first names its own.
Credentials come from the environment alone, as the tools of the bucket's host read them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, StorageError
from pipeline.core.language import _
from pipeline.core.secrets import hidden
from pipeline.record import texts
from pipeline.record.claims import Folder, Place
from pipeline.record.files import sha256_file

# Scheme of a home -> the module that reaches it, and the extra that installs it.
SCHEMES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "file": ("fsspec", "s3")}
MANIFESTS, FILES, CLAIMS = "manifests", "files", "claims"
# Waiting for a bucket must end; its tools wait for minutes.
S3 = {
    "config_kwargs": {
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"max_attempts": 2, "mode": "standard"},
    }
}


def is_bucket(home: str) -> bool:
    """Whether a home is an address and not a folder."""
    return "://" in home


class Bucket:
    """The results below one address, `s3://bucket/folder`, `gs://…` or `file:///folder`.

    Raises:
        ConfigError: the package that reaches it is missing.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        scheme, _, rest = self.address.partition("://")
        assert scheme in SCHEMES, f"{scheme} was refused with the settings"
        self._scheme, self._is_local = scheme, scheme == "file"
        self._root = rest.rstrip("/")
        self._fs = _filesystem(scheme)
        self._is_probed = False
        self.claims: Place = (
            Folder(Path(self._root) / CLAIMS) if self._is_local else BucketPlace(self, CLAIMS)
        )

    def probe(self) -> None:
        """Write, write again unless it exists, list, read and remove a small file, as every command will.

        Raises:
            StorageError: it may not be written or read, or it has no conditional creation.
        """
        if self._is_probed:
            return
        name = f"probe{uuid.uuid4().hex[:12]}"
        with self.errors(texts.CANNOT_WRITE):
            made = self.claims.create(name, "first")
        try:
            with self.errors(texts.CANNOT_WRITE):
                again = self.claims.create(name, "second")
            with self.errors(texts.CANNOT_READ):
                found, listed = self.claims.read(name), name in self.claims.names()
        finally:
            with self.errors(texts.CANNOT_REMOVE):
                self.claims.remove(name)
        if not made or again or found != "first":
            raise StorageError(texts.NO_CONDITION.format(bucket=self.shown), remedy=texts.NO_CONDITION_REMEDY)
        if not listed:
            raise StorageError(texts.NOT_LISTED.format(bucket=self.shown), remedy=texts.NOT_LISTED_REMEDY)
        self._is_probed = True

    @property
    def shown(self) -> str:
        """The address without what could be a password."""
        return hidden(self.address)

    def marks(self, *stages: str) -> dict[tuple[str, str], str]:
        """Stage and key of every result -> what changes with its manifest."""
        found: dict[tuple[str, str], str] = {}
        with self.errors(texts.CANNOT_READ):
            for below in stages or ("",):
                folder = self._path(MANIFESTS, below) if below else self._path(MANIFESTS)
                try:
                    every = self._fs.find(folder, detail=True)
                except FileNotFoundError:
                    continue
                for path, facts in every.items():
                    stage, key = path.split("/")[-2:]
                    if key.endswith(".json") and not stage.startswith("."):
                        mark = facts.get("ETag") or facts.get("etag") or facts.get("mtime", "")
                        found[stage, key.removesuffix(".json")] = f"{facts.get('size')} {mark}"
        return found

    def manifest(self, stage: str, key: str) -> bytes | None:
        """The manifest of a result; None: it is not on the shelf."""
        with self.errors(texts.CANNOT_READ):
            return self._read(self._manifest(stage, key))

    def manifests(self, names: list[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """The manifests of several results, fetched side by side, without those removed meanwhile."""
        paths = {self._manifest(*name): name for name in names}
        if not paths:
            return {}
        with self.errors(texts.CANNOT_READ):
            read = self._fs.cat(list(paths), on_error="return")
        found = {}
        for path, content in read.items():
            if isinstance(content, FileNotFoundError):
                continue
            if isinstance(content, BaseException):
                with self.errors(texts.CANNOT_READ):
                    raise content
            name = paths.get(path) or paths[path.rstrip("/")]
            found[name] = content
        return found

    def pull(self, stage: str, key: str, manifest: Mapping[str, Any], folder: Path) -> str:
        """Fetch the files of a result into a folder; returns the fault of the first wrong one, or ""."""
        for name, facts in manifest["files"].items():
            target, source = folder / name, self._file(stage, key, facts["sha256"], name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.errors(texts.CANNOT_READ):
                try:
                    self._fs.get_file(source, str(target))
                except FileNotFoundError:
                    if not self._fs.exists(source):
                        return _("{name} is missing").format(name=name)
                    raise  # the local folder was removed meanwhile
            if target.stat().st_size != facts["bytes"] or sha256_file(target) != facts["sha256"]:
                return _("{name} has changed since it was written").format(name=name)
        return ""

    def push(self, stage: str, key: str, folder: Path, manifest: Mapping[str, Any], content: bytes) -> bool:
        """Put a result on the shelf, manifest last; False: another one of this key was there first."""
        with self.errors(texts.CANNOT_WRITE):
            for name, facts in manifest["files"].items():
                path = self._file(stage, key, facts["sha256"], name)
                self._made_folder(path)
                self._fs.put_file(str(folder / name), path)
            return self._create(self._manifest(stage, key), content)

    def replace_manifest(self, stage: str, key: str, content: bytes) -> None:
        """Write another manifest of the same files."""
        with self.errors(texts.CANNOT_WRITE):
            self._fs.pipe_file(self._manifest(stage, key), content)

    def remove(self, stage: str, key: str) -> None:
        """Remove a result, its manifest first, so that a half-removed one does not exist."""
        with self.errors(texts.CANNOT_REMOVE):
            self._remove(self._manifest(stage, key))
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._path(FILES, stage, key), recursive=True)

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn what a bucket, its tools or the network raise into one StorageError without credentials."""
        try:
            yield
        except (StorageError, AssertionError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise  # the local disk: told as such by the store
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StorageError(
                what.format(bucket=self.shown, reason=hidden(reason, self.address)),
                remedy=texts.BUCKET_REMEDY,
            ) from error

    def _path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def _manifest(self, stage: str, key: str) -> str:
        return self._path(MANIFESTS, stage, f"{key}.json")

    def _file(self, stage: str, key: str, digest: str, name: str) -> str:
        return self._path(FILES, stage, key, str(digest)[:16], name)

    def _made_folder(self, path: str) -> None:
        if self._is_local:  # a bucket has no folders
            Path(path).parent.mkdir(parents=True, exist_ok=True)

    def _create(self, path: str, content: bytes) -> bool:
        """Write a new object unless there is one of this name; whether it was written."""
        if self._is_local:
            place = Folder(Path(path).parent)
            return place.create(Path(path).name, content.decode())
        while True:
            try:
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                code = _code(error)
                if code in ("PreconditionFailed", "412"):
                    return False
                if code in ("ConditionalRequestConflict", "409"):
                    continue  # another one writes it at this moment: next time it exists, or does not
                raise
            return True

    def _read(self, path: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(path))
        except FileNotFoundError:
            return None

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def _remove_if(self, path: str, text: str) -> bool:
        """Remove an object that still has this text; whether it was removed.

        S3 removes what has a known tag only. Where a host does not know that, and in Google's buckets, the
        object is read just before.
        """
        try:
            tag = self._fs.info(path).get("ETag") if self._scheme == "s3" else None
        except FileNotFoundError:
            return False
        content = self._read(path)
        if content is None or content.decode(errors="replace") != text:
            return False
        if tag is not None:
            bucket, _, key = path.partition("/")
            try:
                self._fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=tag)
            except FileNotFoundError:
                return False
            except OSError as error:
                if _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                    return False
            else:
                return True
        self._remove(path)
        return True


class BucketPlace:
    """Claims in a bucket, by conditional creation."""

    pauses = (0.5, 5.0)

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket, self._folder = bucket, folder

    def create(self, name: str, text: str) -> bool:
        """See `Place`."""
        with self._bucket.errors(texts.CANNOT_WRITE):
            return self._bucket._create(self._path(name), text.encode())

    def read(self, name: str) -> str | None:
        """See `Place`."""
        with self._bucket.errors(texts.CANNOT_READ):
            content = self._bucket._read(self._path(name))
        return None if content is None else content.decode(errors="replace")

    def write(self, name: str, text: str) -> None:
        """See `Place`."""
        with self._bucket.errors(texts.CANNOT_WRITE):
            self._bucket._fs.pipe_file(self._path(name), text.encode())

    def remove(self, *names: str) -> None:
        """See `Place`."""
        with self._bucket.errors(texts.CANNOT_REMOVE):
            for name in names:
                self._bucket._remove(self._path(name))

    def remove_if(self, name: str, text: str) -> bool:
        """See `Place`."""
        with self._bucket.errors(texts.CANNOT_REMOVE):
            return self._bucket._remove_if(self._path(name), text)

    def names(self, below: str = "") -> list[str]:
        """See `Place`."""
        folder = self._path(below) if below else self._bucket._path(self._folder)
        with self._bucket.errors(texts.CANNOT_READ):
            try:
                listed = self._bucket._fs.ls(folder, detail=True)
            except FileNotFoundError:
                return []
        return sorted(one["name"].rpartition("/")[2] for one in listed if one["type"] == "file")

    def _path(self, name: str) -> str:
        return self._bucket._path(self._folder, name)


def _filesystem(scheme: str) -> Any:
    """The file system of fsspec; it remembers no listing, because others write to the bucket as well."""
    module, extra = SCHEMES[scheme]
    try:
        import importlib

        import fsspec

        importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            texts.PACKAGE_MISSING.format(scheme=scheme, package=module),
            remedy=texts.PACKAGE_REMEDY.format(extra=extra),
        ) from error
    more = S3 if scheme == "s3" else {}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **more)


def _code(error: BaseException) -> str:
    """The code of the host's answer behind an error; empty: there was none."""
    cause = error.__cause__ or error
    response = getattr(cause, "response", None)
    found = (
        response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(cause, "code", "")
    )
    return str(found or "")


def parsed(content: bytes) -> Any:
    """A manifest's content; None: it is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
