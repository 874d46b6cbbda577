"""What the manifests of all results say, in the few words that the home page needs, read once each.

Owns a small file of what was read, so that a home with thousands of results is read again in milliseconds.
Does not own the manifests (`record/store.py`) nor what the page shows of them (`home/page.py`). The file may
be deleted: it is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.engine import naming
from pipeline.home.now import KEPT
from pipeline.record.files import write_atomic
from pipeline.record.store import MANIFEST, STUDY, Artifact
from pipeline.settings.load import Settings
from pipeline.train.scoring import SCORED

# Increased when what is read changes: then everything is read again.
VERSION = 1


@dataclass(frozen=True)
class Result:
    """A result that has a page or a score.

    Args:
        label: the run's name with what differs from its experiment.
        created: UTC, ISO 8601.
        metric: of the score; empty: it has none.
        score, low, high: out of fold, with its 95 % interval.
        delta, delta_low, delta_high: against `rival`, positive if this one is better.
        complete: whether all folds are in it.
        on: the data and folds of its score.
        pages: names of its HTML files.
        folds: addresses of the folds that it is made of.
    """

    stage: str
    key: str
    competition: str
    label: str
    created: str
    seconds: float = 0.0
    metric: str = ""
    score: float | None = None
    low: float | None = None
    high: float | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    verdict: str = ""
    rival: str = ""
    changed: str = ""
    complete: bool = True
    on: str = ""
    pages: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """`stage/key`."""
        return f"{self.stage}/{self.key}"


@dataclass(frozen=True)
class Competition:
    """What the settings of a competition say.

    Args:
        title: in words; empty: its name.
        metric: the name of its metric.
        higher_is_better: False for losses.
        per_day: submissions that the host takes in a day; None: not known.
    """

    name: str
    title: str = ""
    metric: str = ""
    higher_is_better: bool = True
    per_day: int | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that was read: results, oldest first, and the competitions whose settings are known."""

    results: tuple[Result, ...]
    competitions: Mapping[str, Competition]


def of_settings(settings: Settings) -> Competition:
    """What these settings say about their competition."""
    from pipeline.core import metrics

    config = settings.config.competition
    metric = metrics.get(config.metric)
    return Competition(
        config.name, config.title or "", metric.name, metric.higher_is_better, config.submission.per_day
    )


def read(artifacts: Path, known: Sequence[Competition] = ()) -> Facts:
    """The facts of all results below a folder, and of the competitions, of which these are `known` better.

    Manifests that have not changed since the last time are not opened.
    """
    kept = _kept(artifacts / KEPT)
    stamped: dict[str, Any] = {}
    results = []
    for address, path, stamp in _manifests(artifacts):
        old = kept["results"].get(address)
        entry = old if isinstance(old, dict) and old.get("stamp") == stamp else {"stamp": stamp}
        result = _restored(entry.get("result")) if "result" in entry else None
        if "result" not in entry or (result is None and entry["result"] is not None):
            result = _result(path)
            entry = {"stamp": stamp, "result": None if result is None else asdict(result)}
        stamped[address] = entry
        if result is not None:
            results.append(result)
    competitions = dict(_competitions(kept["competitions"]))
    competitions |= {one.name: one for one in known}
    made = {
        "version": VERSION,
        "competitions": {name: asdict(one) for name, one in competitions.items()},
        "results": stamped,
    }
    if made != kept and artifacts.is_dir():
        with contextlib.suppress(OSError):
            write_atomic(artifacts / KEPT, json.dumps(made, ensure_ascii=False).encode())
    return Facts(tuple(sorted(results, key=lambda r: (r.created, r.stage, r.key))), competitions)


def _kept(path: Path) -> dict[str, Any]:
    """What the last page read; nothing of it where it is damaged or of another version."""
    nothing: dict[str, Any] = {"results": {}, "competitions": {}}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return nothing
    if not isinstance(kept, dict) or kept.get("version") != VERSION:
        return nothing
    return kept if all(isinstance(kept.get(name), dict) for name in nothing) else nothing


def _competitions(kept: Mapping[str, Any]) -> Iterator[tuple[str, Competition]]:
    for name, value in kept.items():
        with contextlib.suppress(TypeError):
            yield name, Competition(**value)


def _restored(value: object) -> Result | None:
    """A result as it was kept; None: it is none, or its form is not ours."""
    if not isinstance(value, dict) or value.keys() != {field.name for field in fields(Result)}:
        return None
    lists = {name: tuple(value[name]) for name in ("pages", "folds")}
    return Result(**{**value, **lists})


def _manifests(artifacts: Path) -> Iterator[tuple[str, Path, str]]:
    """Each result's address, manifest, and what changes if the manifest does."""
    for stage in _folders(artifacts):
        for folder in _folders(stage):
            path = folder / MANIFEST
            with contextlib.suppress(OSError):
                found = os.stat(path)  # noqa: PTH116 one call fewer for each of thousands
                yield f"{stage.name}/{folder.name}", path, f"{found.st_mtime_ns} {found.st_size}"


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()]
    except OSError:
        return []


def _result(path: Path) -> Result | None:
    """The facts of a manifest; None: it has neither score nor page, or only a search needed it."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stage, key = path.parent.parent.name, path.parent.name
        pages = tuple(sorted(name for name in manifest["files"] if name.endswith(".html")))
        if STUDY in manifest or (stage not in SCORED and not pages):
            return None
        label = naming.label_of(Artifact(stage, key, path.parent, manifest))
        about = (stage, key, str(manifest["competition"]), label, str(manifest["created"]))
        return Result(*about, float(manifest["seconds"]), pages=pages, **_of_score(manifest, stage))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # damaged, or not finished: whoever needs it says so


def _of_score(manifest: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The score of a result and its verdict, as fields of `Result`."""
    figures, tags, inputs = (manifest.get(name) or {} for name in ("metrics", "tags", "inputs"))
    found: dict[str, Any] = {
        "verdict": str(tags.get("verdict", "")),
        "rival": str(tags.get("compared_with", "")),
        "changed": str(tags.get("changed", "")),
    }
    if stage not in SCORED:
        return found
    name = next((n for n in figures if n.startswith("oof_")), "")
    if not name:
        return found
    plain = {"low": "ci_low", "high": "ci_high", "delta": "delta_vs_best"}
    wanted = {"score": name, **plain, "delta_low": "delta_low", "delta_high": "delta_high"}
    found |= {field: _number(figures.get(figure)) for field, figure in wanted.items()}
    found["metric"] = name.removeprefix("oof_")
    found["complete"] = figures.get("complete") == 1.0
    found["on"] = f"{inputs.get('data', '')} {inputs.get('folds', '')}"
    found["folds"] = tuple(str(a) for a in inputs.values() if str(a).startswith("fold/"))
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
