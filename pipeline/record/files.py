"""How files are written and read: JSON, npz for each value of `core` (never pickle), and digests of files.

Owns the file formats, atomic writing, sha256 digests, and the index that remembers the digest of a file by
path, size, inode and times of change. Does not own the folders or the use of digests (`record/store.py`).
"""

import hashlib
import json
import math
import os
import shutil
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.predictions import Features, Probabilities, ViewProbabilities
from pipeline.core.sample_paths import each
from pipeline.core.samples import (
    Attribute,
    Floats,
    FoldPlan,
    Kind,
    LabelSpace,
    Samples,
    Split,
    Strings,
    strings,
)
from pipeline.core.targets import EXCLUSIVE
from pipeline.record.hosts import Host

CHUNK = 1 << 20
# Joined arrays up to this many bytes are in memory.
IN_MEMORY = 64 * CHUNK
# The number of a field in a zip that holds nothing.
PADDING = 0xD935
# A file younger than this could change again without a new mtime, within the resolution of the clock.
SETTLED_SECONDS = 2.0


def json_bytes(value: Any) -> bytes:
    """Indented JSON, UTF-8."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file."""
    path.write_bytes(json_bytes(value))


def parse_json(text: str) -> Any:
    """The content of a JSON text; raises ValueError for every text that is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON in UTF-8.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def write_atomic(path: Path, data: bytes) -> None:
    """Write a temporary file next to it, fsync and rename, so that a crash leaves the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_samples(path: Path, samples: Samples, base: Path) -> None:
    """Samples as npz, label space included; image paths relative to `base`, so a home can move."""
    paths = samples.paths_N.tolist()
    arrays = {
        "ids": samples.ids_N,
        "paths": np.array([each(p, lambda f: os.path.relpath(f, base)) for p in paths], dtype=np.str_),
        "groups": samples.groups_N,
        "split": np.array(samples.split),
        "space": np.array(space_text(samples.space)),
    }
    optional = {
        "labels": samples.labels_N,
        "train_labels": samples.train_labels_N,
        "folds": samples.folds_N,
        "soft": samples.soft_NC,
        "y": samples.y_NK,
        "train_y": samples.train_y_NK,
        "cells": samples.cells_NM,
        "beside": samples.beside_NM,
        "beside_names": np.array(samples.beside_names) if samples.beside_names else None,
    }
    _savez(path, {**arrays, **{name: a for name, a in optional.items() if a is not None}})


def read_samples(path: Path, base: Path) -> Samples:
    """Samples from `write_samples`, with absolute image paths again."""
    with np.load(path) as z:
        optional = ("labels", "train_labels", "folds", "soft", "y", "train_y", "cells", "beside")
        given: list[Any] = [z[n] if n in z.files else None for n in optional]
        # Not resolved one by one: that reads every folder on the way from disk, one second for 10,000 images.
        paths = [each(p, lambda f: os.path.normpath(base / f)) for p in z["paths"].tolist()]
        space = space_of_text(str(z["space"]))
        split = str(z["split"])
        first = (z["ids"], strings(paths), z["groups"], space, given[0], split)
        named = z["beside_names"].tolist() if "beside_names" in z.files else []
        beside = given.pop()
        return replace(Samples(*first, *given[1:]), beside_NM=beside, beside_names=tuple(named))


def write_probabilities(path: Path, p: Probabilities) -> None:
    """Probabilities as npz."""
    np.savez(path, ids=p.ids_N, classes=np.array(p.classes), p=p.p_NC, **_kind(p))


def read_probabilities(path: Path, name: str) -> Probabilities:
    """Probabilities from `write_probabilities`; errors refer to them by `name`."""
    with np.load(path) as z:
        return Probabilities(z["ids"], tuple(str(c) for c in z["classes"]), z["p"], name, *_kind_of(z))


def write_views(path: Path, v: ViewProbabilities) -> None:
    """Probabilities per view as npz."""
    views = np.array(v.views)
    np.savez(path, ids=v.ids_N, classes=np.array(v.classes), views=views, p=v.p_VNC, **_kind(v))


def read_views(path: Path, name: str) -> ViewProbabilities:
    """Probabilities from `write_views`; errors refer to them by `name`."""
    with np.load(path) as z:
        classes, views = tuple(str(c) for c in z["classes"]), tuple(str(v) for v in z["views"])
        return ViewProbabilities(z["ids"], classes, views, z["p"], name, *_kind_of(z))


def _kind(p: Probabilities | ViewProbabilities) -> dict[str, Any]:
    """The kind of target as arrays; none for exclusive classes, so that their files stay as they were."""
    if p.kind == EXCLUSIVE:
        return {}
    return {"kind": np.array(p.kind), "widths": np.array(p.widths, dtype=np.int64)}


def _kind_of(z: Any) -> tuple[Kind, tuple[int, ...]]:
    if "kind" not in z.files:
        return EXCLUSIVE, ()
    kind: Any = str(z["kind"])
    return kind, tuple(z["widths"].tolist())


def write_features(path: Path, f: Features) -> None:
    """Features as npz."""
    write_features_of(path, f.ids_N, f.views, f.digest, [f.x_NVD], f.beside_NE)


def write_features_of(
    path: Path,
    ids_N: Strings,
    views: tuple[str, ...],
    digest: str,
    parts: Iterable[Floats],
    beside_NE: Floats | None = None,
) -> None:
    """Features as npz, whose (n, V, D) rows come in parts: they are never in memory together."""
    beside = [] if beside_NE is None else [("beside", beside_NE)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
        for name, array in [("ids", ids_N), ("views", np.array(views)), *beside]:
            with z.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        rows = 0
        with z.open(_aligned(z, "x.npy"), "w", force_zip64=True) as file:
            for part in parts:
                if not rows:
                    shape = (len(ids_N), *part.shape[1:])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(part, dtype="<f4").tobytes())
                rows += len(part)
        assert rows == len(ids_N), f"{path}: {rows} rows for {len(ids_N)} ids"
        with z.open("digest.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.array(digest), allow_pickle=False)


def read_features(path: Path) -> Features:
    """Features from `write_features`; their values stay in the file until they are used."""
    with np.load(path) as z:
        ids, views, digest = z["ids"], tuple(str(v) for v in z["views"]), str(z["digest"])
        beside = z["beside"] if "beside" in z.files else None
    return Features(ids, views, mapped(path, "x"), digest, beside)


def _aligned(z: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """An entry of a zip whose content begins at a multiple of 64 bytes, so that it can be mapped."""
    assert z.fp is not None
    info = zipfile.ZipInfo(name)
    # Of the local header: its fixed part, the name, this field's head, and the field of large files.
    before = z.fp.tell() + 30 + len(name) + 4 + 20
    padding = -before % 64
    info.extra = struct.pack("<HH", PADDING, padding) + bytes(padding)
    return info


def mapped(path: Path, name: str) -> npt.NDArray[Any]:
    """One array of an npz as a read-only map of the file; it is read where it cannot be mapped."""
    with zipfile.ZipFile(path) as z, path.open("rb") as file:
        info = z.getinfo(f"{name}.npy")
        # The local header has lengths of its own, which may differ from those in the directory.
        file.seek(info.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        if info.compress_type == zipfile.ZIP_STORED and np.lib.format.read_magic(file) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            at = file.tell()
            if math.prod(shape) and not fortran and not dtype.hasobject and at % dtype.itemsize == 0:
                return np.memmap(path, dtype=dtype, mode="r", offset=at, shape=shape)
    with np.load(path) as whole:
        return np.asarray(whole[name])


def joined(parts: Sequence[Floats], place: Path, in_memory: int = IN_MEMORY) -> Floats:
    """Arrays of (N, …) side by side on their second axis; a large result is a map of a file without a name.

    Args:
        parts: float32, alike but for the second axis.
        place: a folder on the disk of that file.
        in_memory: bytes up to which the result is in memory.

    Raises:
        OSError: the disk is full.
    """
    width = sum(part.shape[1] for part in parts)
    shape = (len(parts[0]), width, *parts[0].shape[2:])
    row = 4 * math.prod(shape[1:])
    if row * len(parts[0]) <= in_memory:
        return np.concatenate(parts, axis=1)
    with tempfile.TemporaryFile(dir=place) as file:
        rows = max(CHUNK // row, 1)
        for start in range(0, len(parts[0]), rows):
            # Written plainly: a full disk would kill a process that writes to a map.
            file.write(np.concatenate([part[start : start + rows] for part in parts], axis=1).tobytes())
        file.flush()
        return np.memmap(file, dtype=np.float32, mode="r", shape=shape)


def write_plan(path: Path, plan: FoldPlan) -> None:
    """A fold plan as npz."""
    arrays: dict[str, Any] = {f"train{k}": s.train_ids for k, s in enumerate(plan.splits)}
    arrays |= {f"valid{k}": s.valid_ids for k, s in enumerate(plan.splits)}
    arrays |= {f"times{k}": s.times_T for k, s in enumerate(plan.splits) if s.times_T is not None}
    _savez(path, {"n": np.array(len(plan)), "notes": np.array(json.dumps(plan.notes)), **arrays})


def read_plan(path: Path) -> FoldPlan:
    """A fold plan from `write_plan`."""
    with np.load(path) as z:
        splits = tuple(
            Split(z[f"train{k}"], z[f"valid{k}"], z[f"times{k}"] if f"times{k}" in z.files else None)
            for k in range(int(z["n"]))
        )
        return FoldPlan(splits, tuple(json.loads(str(z["notes"]))))


def _savez(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, allow_pickle=False, **arrays)


def space_text(space: LabelSpace) -> str:
    """A label space as JSON."""
    attributes = [[a.name, list(a.values), a.constant_in_group] for a in space.attributes]
    kind = [] if space.kind == EXCLUSIVE else [space.kind]
    weights = [list(space.weights)] if space.weights else []
    columns = [attributes, list(space.classes), space.codes_CA.tolist()]
    return json.dumps([*columns, *kind, *weights], ensure_ascii=False)


def space_of_text(text: str) -> LabelSpace:
    """The label space of a text from `space_text`."""
    attributes, classes, codes, *more = json.loads(text)
    kind = more[0] if more else EXCLUSIVE
    weights = tuple((name, weight) for name, weight in more[1]) if len(more) > 1 else ()
    made = tuple(Attribute(name, tuple(values), constant) for name, values, constant in attributes)
    return LabelSpace(made, tuple(classes), np.array(codes, dtype=np.int64), kind, weights)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whose path may hold any character, also `?` and `%`."""
    if not set("?%") & set(str(path)):
        return f"sqlite:///{path}"
    # Imported here: it takes a quarter of a second, and few paths need it.
    from sqlalchemy.engine import URL

    # With its driver: MLflow makes the folder of `sqlite:///…`, without decoding its name.
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string(hide_password=False)


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


# Size, time of modification and of any change (ns), and inode.
Stamp = tuple[int, int, int, int]


def _stamp(status: os.stat_result) -> Stamp:
    """What changes with a file's content, as far as the system tells.

    The modification time alone is not enough: `cp -p`, `rsync -t`, `tar` and programs for photos set it, so
    two images of equal size can change places and keep it. The change time cannot be set, and the inode says
    which file a name means.
    """
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def temporary_of(path: Path) -> Path:
    """The name under which this process writes a file or folder before it is renamed to `path`.

    It holds the host and the number of the process, so that a later one removes what a killed one left, and
    processes of two hosts with equal numbers do not write the same file.
    """
    return path.with_name(f".{path.name}.{Host.here().tag}.{os.getpid()}.tmp")


def link(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class FileIndex:
    """Digests of files, read from disk only if anything in their `Stamp` changed, or always with `rehash`."""

    def __init__(self, path: Path, rehash: bool = False) -> None:
        self._path = path
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._changed = False
        if not rehash and path.is_file():
            try:
                rows = read_json(path)
                for name, (size, modified, changed, inode, digest) in rows.items():
                    self._known[name] = (int(size), int(modified), int(changed), int(inode)), str(digest)
            except (OSError, ValueError, TypeError, AttributeError, OverflowError):
                self._known = {}  # a lost index costs time, never a result

    def digest(self, path: Path | str) -> str:
        """Hex sha256 of `path`; raises `FileNotFoundError` when it is missing."""
        status = os.stat(path)  # noqa: PTH116 - of every image in every command
        stamp = _stamp(status)
        known = self._known.get(str(path))
        if known and known[0] == stamp:
            return known[1]
        path = Path(path)
        digest = sha256_file(path)
        # Not if it changed while it was read, or may change again within the resolution of the clock.
        settled = time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS
        if settled and _stamp(path.stat()) == stamp:
            self._known[str(path)] = stamp, digest
            self._changed = True
        return digest

    def combined(self, paths: Iterable[Path], base: Path) -> str:
        """One digest of many files: their names relative to `base` and their contents."""
        rows = [f"{os.path.relpath(path, base)}\t{self.digest(path)}" for path in sorted(set(paths))]
        return sha256_text("\n".join(rows))

    def save(self) -> None:
        """Write the index for the next run."""
        if self._changed:
            rows = {name: (*stamp, digest) for name, (stamp, digest) in self._known.items()}
            write_atomic(self._path, json.dumps(rows).encode())
            self._changed = False
