"""`make du`, `make gc`, `make pin`: disk space, and what may be freed.

Owns deciding which artifacts something still needs: a ledger line's provenance, a study's winner or a
pin. Does not own deleting one safely (`record/store.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import DataError, StorageError
from pipeline.record.digests import write_atomic
from pipeline.record.store import MANIFEST, SHORT, Artifact, Store

PINS = "pins.txt"


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def usage(home: Path, store: Store) -> list[str]:
    """Lines that say what takes how much space."""
    sizes: dict[str, tuple[int, int]] = {}
    for artifact in store.all():
        count, total = sizes.get(artifact.stage, (0, 0))
        sizes[artifact.stage] = (count + 1, total + bytes_of(artifact.folder))
    lines = [
        f"{'artifacts/' + s:<28} {b / 1e6:>9.1f} MB  {n:>4} finished" for s, (n, b) in sorted(sizes.items())
    ]
    for name, what in (
        ("data", "demo files"),
        ("work", "unfinished folds"),
        ("submissions", "CSV, provenance, ledger"),
        ("mlartifacts", "MLflow's files"),
    ):
        lines.append(f"{name:<28} {bytes_of(home / name) / 1e6:>9.1f} MB        {what}")
    lines.append(f"{'free on this disk':<28} {shutil.disk_usage(home).free / 1e6:>9.1f} MB")
    return lines


def needed(store: Store, home: Path) -> set[str]:
    """`stage/key` of every artifact that a submission or a pin leads to."""
    by_name = {f"{a.stage}/{a.key}": a for a in store.all()}
    waiting = [*_roots(home), *(_pinned(by_name.values(), home))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in found:
            found.add(name)
            waiting += by_name[name].inputs.values()
    return found


def collect(store: Store, home: Path, dry: bool) -> list[str]:
    """Free what nothing needs.

    Args:
        store: the artifacts.
        home: for the ledger's provenance and the pins.
        dry: say what would be freed, and free nothing.

    Raises:
        StorageError: another process is at work, and may need results that nothing else does yet.
    """
    busy = [] if dry else store.busy()
    if busy:
        raise StorageError(
            "another process is at work here, and may need what would be freed", busy, "let it finish first"
        )
    keep = needed(store, home)
    loose = [a for a in store.all() if f"{a.stage}/{a.key}" not in keep]
    freed = sum(bytes_of(a.folder) for a in loose)
    lines = [f"{a.stage:<15} {a.manifest.get('experiment', ''):<28} {a.key[:SHORT]}" for a in loose]
    for artifact in loose:
        if not dry:
            store.remove(artifact)
    for folder in (store.root / ".damaged", store.root / ".building"):
        freed += bytes_of(folder)
        if not dry:
            shutil.rmtree(folder, ignore_errors=True)
    verb = "would free" if dry else "freed"
    lines.append(
        f"{verb} {freed / 1e6:.1f} MB in {len(loose)} results; {len(keep)} are needed by submissions or pins"
    )
    return lines


def evict(store: Store, home: Path, stage: str, budget: float, keep: set[str]) -> list[str]:
    """Free results of one stage, unused for longest first, until the rest fits a budget.

    Args:
        store: the artifacts.
        home: for the pins.
        stage: only its results are freed.
        budget: bytes that may stay.
        keep: `stage/key` of results that are in use; pinned ones are kept as well.

    Returns:
        A line for each freed result, and one if the budget is too small for what is in use.
    """
    found = [a for a in store.all() if a.stage == stage]
    sizes = {a.key: bytes_of(a.folder) for a in found}
    keep = keep | set(_pinned(found, home))
    total = sum(sizes.values())
    lines: list[str] = []
    for artifact in sorted(found, key=lambda a: (a.folder / MANIFEST).stat().st_mtime_ns):
        if total <= budget:
            return lines
        if f"{stage}/{artifact.key}" not in keep:
            store.remove(artifact)
            total -= sizes[artifact.key]
            lines.append(f"freed {stage} {artifact.key[:SHORT]}: {sizes[artifact.key] / 1e6:.1f} MB")
    if total > budget:
        lines.append(f"{stage}: {total / 1e9:.2f} GB are in use, more than images.cache_gb={budget / 1e9:g}")
    return lines


def pin(store: Store, home: Path, key: str) -> str:
    """Keep an artifact, and all it is made of, from `make gc`.

    Raises:
        DataError: no artifact's key starts so, or several do.
    """
    hits = [a for a in store.all() if a.key.startswith(key)]
    if len(hits) != 1:
        which = [f"{a.stage} {a.key}" for a in hits]
        raise DataError(
            f"{key}: {len(hits)} results have a key that starts so", which, "`make runs` shows keys"
        )
    path = home / "submissions" / PINS
    known = path.read_text(encoding="utf-8").split() if path.is_file() else []
    name = f"{hits[0].stage}/{hits[0].key}"
    write_atomic(path, "\n".join(dict.fromkeys([*known, name])).encode() + b"\n")
    return f"pinned {name} ({hits[0].manifest.get('experiment')})"


def _roots(home: Path) -> list[str]:
    roots = []
    for path in sorted((home / "submissions").glob("*.json")):
        try:
            provenance = json.loads(path.read_text(encoding="utf-8"))
            roots.append(str(provenance["artifact"]))
        except (ValueError, KeyError, TypeError) as error:
            # Unread provenance could need anything: freeing now could lose a result.
            raise DataError(
                f"{path.name}: unreadable provenance ({error})", remedy="mend or move it away"
            ) from error
    return roots


def _pinned(artifacts: Iterable[Artifact], home: Path) -> list[str]:
    path = home / "submissions" / PINS
    return path.read_text(encoding="utf-8").split() if path.is_file() else []
