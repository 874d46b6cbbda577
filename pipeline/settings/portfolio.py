"""Portfolios: ordered lists of recipes in configs/portfolio/, each an experiment with its origin.

    - name: lite0_96_long                   # experiment=lite0_96_long means it in every command
      experiment:                           # settings as in a file of configs/experiment/, `uses` included
        uses: {model: lite0}
        images: {size: 96}
        train: {epochs: 10}
      origin: measured                      # or published
      source: "benchmarks/portfolio.py, 2026-11-29"
      unmeasured: true                      # only where nothing was measured: a published origin

Owns the format, its faults, and the recipe that a name means. Does not own which recipes fit into a time
(`plan/`), nor merging their settings (`settings/load.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.record import paths
from pipeline.settings import read
from pipeline.settings.read import Fault, ParsedFile, parse_file

GROUP = "portfolio"
ORIGINS = ("measured", "published")
KEYS = ("name", "experiment", "origin", "source", "unmeasured")
FORMAT = "settings/portfolio.py shows the form of an entry"


@dataclass(frozen=True)
class Recipe:
    """One entry of a portfolio.

    Args:
        name: `experiment=NAME` means it.
        origin: "measured" or "published".
        source: where the measurement or the publication is.
        unmeasured: whether only a publication speaks for it.
    """

    name: str
    origin: str
    source: str
    unmeasured: bool = False


def names(folder: Path) -> list[str]:
    """The names of all portfolios."""
    return read.names(folder, GROUP)


def recipes(folder: Path, name: str) -> tuple[Recipe, ...]:
    """The recipes of a portfolio, in its order.

    Raises:
        ConfigError: there is no such portfolio, or entries have faults; all of them are named.
    """
    if name not in names(folder):
        hint = nearest(name, names(folder)) or _("known: {known}").format(
            known=", ".join(names(folder)) or "none yet"
        )
        raise ConfigError(f"portfolio {name}: no such file {folder.name}/{GROUP}/{name}.yaml", remedy=hint)
    parsed, entries = _read(folder, name)
    faults = [*parsed.faults, *_faults(parsed, entries)]
    if faults:
        raise ConfigError(
            f"{parsed.where}: {len(faults)} faults" if len(faults) > 1 else f"{parsed.where}: a fault",
            [str(fault) for fault in faults],
            FORMAT,
        )
    return tuple(
        Recipe(str(e["name"]), str(e["origin"]), str(e["source"]), bool(e.get("unmeasured", False)))
        for e in entries
    )


def overlay(folder: Path, name: str) -> ParsedFile | None:
    """The settings of the recipe with this name, as of an experiment file; None: no portfolio has it."""
    for portfolio in names(folder):
        parsed, entries = _read(folder, portfolio)
        for number, entry in enumerate(entries):
            if isinstance(entry, dict) and entry.get("name") == name:
                prefix = f"{GROUP}[{number}].experiment."
                lines = {p.removeprefix(prefix): at for p, at in parsed.lines.items() if p.startswith(prefix)}
                data = entry.get("experiment")
                own = tuple(f for f in _faults(parsed, [entry], number) if ".experiment" in f.what)
                settings = data if isinstance(data, dict) else {}
                return ParsedFile(settings, lines, (*parsed.faults, *own), parsed.where, parsed.text)
    return None


def known(folder: Path) -> list[str]:
    """The names of all recipes of all portfolios."""
    entries = (entry for portfolio in names(folder) for entry in _read(folder, portfolio)[1])
    return sorted({str(e["name"]) for e in entries if isinstance(e, dict) and "name" in e})


def _read(folder: Path, name: str) -> tuple[ParsedFile, list[Any]]:
    file = f"{GROUP}/{name}.yaml"
    parsed = parse_file(read.found(folder, file), f"{folder.name}/{file}", GROUP)
    return parsed, list(parsed.data.get(GROUP, []))


def _faults(parsed: ParsedFile, entries: list[Any], first: int = 0) -> Iterator[Fault]:
    """Every fault of these entries, of which the first one has this number in the file."""
    seen: set[str] = set()
    for number, entry in enumerate(entries, start=first):
        at = f"{GROUP}[{number}]"
        place = next((line for path, line in parsed.lines.items() if path.startswith(at)), parsed.where)
        for what in _of_entry(entry, seen):
            yield Fault(place, f"entry {number + 1}{what}")


def _of_entry(entry: Any, seen: set[str]) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f": expected a mapping with {', '.join(KEYS[:4])}, got {type(entry).__name__}"
        return
    for key in entry:
        if key not in KEYS:
            yield f".{key}: unknown key; {nearest(str(key), KEYS) or 'known: ' + ', '.join(KEYS)}"
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        yield ".name: is missing, or not a text"
    elif fault := paths.fault_of(name):
        yield f".name: {name!r} is no name of an experiment: {fault}"
    elif name in seen:
        yield f".name: {name} is also the name of an earlier entry"
    seen.add(str(name))
    if not isinstance(entry.get("experiment"), dict):
        yield ".experiment: is missing, or not a mapping of settings"
    if entry.get("origin") not in ORIGINS:
        yield f".origin: {entry.get('origin')!r} is not one of {', '.join(ORIGINS)}"
    if not isinstance(entry.get("source"), str) or not str(entry.get("source")).strip():
        yield ".source: is missing: say where it was measured or published"
    unmeasured = entry.get("unmeasured", False)
    if not isinstance(unmeasured, bool):
        yield f".unmeasured: {unmeasured!r} is not true or false"
    elif unmeasured and entry.get("origin") == "measured":
        yield ".unmeasured: true contradicts origin: measured"
    elif not unmeasured and entry.get("origin") == "published":
        yield ".unmeasured: has to be true where the origin is a publication"
