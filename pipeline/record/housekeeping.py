"""`make du`, `make gc`, `make pin`: disk space, and which results may be freed.

Owns deciding which artifacts are still needed: by the provenance of a submission or by a pin. Does not own
deleting one safely (`record/store.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core.errors import DataError, StorageError
from pipeline.core.language import _
from pipeline.record.files import read_json, write_atomic
from pipeline.record.store import MANIFEST, SHORT, Store

PINS = "pins.txt"

USED = _("{place:<28} {mb:>9.1f} MB  {n:>4} finished")
FREE = _("free on this disk            {mb:>9.1f} MB")
FREED = _("freed {mb:.1f} MB in {n:result}; submissions and pins need {kept:result}")
WOULD_FREE = _("would free {mb:.1f} MB in {n:result}; submissions and pins need {kept:result}")


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder; a file with two names counts half for each."""
    files = (p.stat() for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sum(status.st_size // max(status.st_nlink, 1) for status in files)


def usage(home: Path, store: Store) -> list[str]:
    """One line for each kind of result with its disk space."""
    sizes: dict[str, tuple[int, int]] = {}
    for artifact in store.all():
        count, total = sizes.get(artifact.stage, (0, 0))
        sizes[artifact.stage] = (count + 1, total + store.bytes_of(artifact))
    lines = [USED.format(place="artifacts/" + s, mb=b / 1e6, n=n) for s, (n, b) in sorted(sizes.items())]
    for name, what in (
        ("data", _("demo files")),
        ("work", _("unfinished folds")),
        ("submissions", _("CSV, provenance, ledger")),
        ("mlartifacts", _("MLflow's files")),
    ):
        lines.append(f"{name:<28} {bytes_of(home / name) / 1e6:>9.1f} MB        " + what)
    lines.append(FREE.format(mb=shutil.disk_usage(home).free / 1e6))
    return lines


def needed(store: Store, home: Path) -> set[str]:
    """`stage/key` of every artifact that a submission or a pin needs."""
    by_name = {a.address: a for a in store.all()}
    waiting = [*_roots(home), *_pinned(home)]
    names: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in names:
            names.add(name)
            waiting += by_name[name].inputs.values()
    return names


def collect(store: Store, home: Path, dry: bool) -> list[str]:
    """Free the results that nothing needs; if `dry`, only list them.

    Raises:
        StorageError: another process is running, and may need results that nothing else needs yet.
    """
    busy = [] if dry else store.busy()
    if busy:
        raise StorageError(
            _("another process is at work in this home and may need these results"),
            busy,
            _("let it finish first"),
        )
    keep = needed(store, home)
    loose = [a for a in store.all() if a.address not in keep]
    freed = sum(store.bytes_of(a) for a in loose)
    lines = [f"{a.stage:<15} {a.manifest.get('experiment', ''):<28} {a.key[:SHORT]}" for a in loose]
    for artifact in loose:
        if not dry:
            store.remove(artifact)
    for folder in (store.root / ".damaged", store.root / ".building"):
        freed += bytes_of(folder)
        if not dry:
            shutil.rmtree(folder, ignore_errors=True)
    said = WOULD_FREE if dry else FREED
    lines.append(said.format(mb=freed / 1e6, n=len(loose), kept=len(keep)))
    return lines


def evict(store: Store, home: Path, stage: str, budget: float, keep: set[str]) -> list[str]:
    """Free results of one stage, least recently used first, until the rest fits a budget.

    Args:
        store: the artifacts.
        home: with the pins.
        stage: whose results are freed.
        budget: bytes that may stay.
        keep: `stage/key` of results in use; pinned ones are kept too.

    Returns:
        A line for each freed result, and one if the results in use do not fit the budget.
    """
    artifacts = store.all(stage)
    sizes = {a.key: store.bytes_of(a) for a in artifacts}
    keep = keep | set(_pinned(home))
    total = sum(sizes.values())
    lines: list[str] = []
    for artifact in sorted(artifacts, key=lambda a: (a.folder / MANIFEST).stat().st_mtime_ns):
        if total <= budget:
            return lines
        if f"{stage}/{artifact.key}" not in keep:
            store.remove(artifact)
            total -= sizes[artifact.key]
            lines.append(
                _("freed {stage} {key}: {megabytes:.1f} MB").format(
                    stage=stage, key=artifact.key[:SHORT], megabytes=sizes[artifact.key] / 1e6
                )
            )
    if total > budget:
        lines.append(
            _("{stage}: {total:.2f} GB are in use, more than images.cache_gb={budget:g}").format(
                stage=stage, total=total / 1e9, budget=budget / 1e9
            )
        )
    return lines


def pin(store: Store, home: Path, key: str) -> str:
    """Protect an artifact and its inputs from `make gc`.

    Raises:
        DataError: no key starts like this, or several do.
    """
    hits = [a for a in store.all() if a.key.startswith(key)]
    if len(hits) != 1:
        which = [f"{a.stage} {a.key}" for a in hits]
        raise DataError(
            _("{key}: {n} results have a key that starts like this").format(key=key, n=len(hits)),
            which,
            _("`make runs` lists keys"),
        )
    name = hits[0].address
    pins = dict.fromkeys([*_pinned(home), name])
    write_atomic(home / "submissions" / PINS, "\n".join(pins).encode() + b"\n")
    return _("pinned {name} ({experiment})").format(name=name, experiment=hits[0].manifest.get("experiment"))


def _roots(home: Path) -> list[str]:
    roots = []
    for path in sorted((home / "submissions").glob("*.json")):
        try:
            roots.append(str(read_json(path)["artifact"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Provenance that cannot be read could need any result, so nothing may be freed.
            raise DataError(
                _("{path}: unreadable provenance ({error})").format(path=path.name, error=error),
                remedy=_("fix it or move it away"),
            ) from error
    return roots


def _pinned(home: Path) -> list[str]:
    path = home / "submissions" / PINS
    try:
        return path.read_text(encoding="utf-8").split() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        # What cannot be read could protect any result, so nothing may be freed.
        raise DataError(
            _("{path}: cannot be read ({error})").format(path=path.name, error=error),
            remedy=_("restore it, or move it away"),
        ) from error
