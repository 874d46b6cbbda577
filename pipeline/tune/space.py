"""Spaces of settings to search: what is varied, from where, by which sampler, judged by what.

Owns reading and checking configs/tune/*.yaml by themselves, and turning points into settings and back.
Does not own the settings that a space names (`tune/space_check.py` holds it against the schema) nor
searching (`record/study.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.search_space import Dimension, Point, Scalar
from pipeline.settings.fields import Section
from pipeline.settings.read import Fault, parse_file
from pipeline.train.studies.grid import SEEDED

Name = Annotated[str, Field(min_length=1)]
When = Annotated[dict[Name, list[Any]], Field(min_length=1)]


class Range(Section):
    """Numbers from `low` to `high`."""

    type: Literal["float", "int"]
    low: float = Field(..., description="smallest value, included")
    high: float = Field(..., description="largest value, included")
    log: bool = Field(False, description="draw the logarithm evenly")
    step: float | None = Field(None, description="between neighbouring values, from low on", gt=0)
    when: When | None = Field(None, description="only where earlier entries have one of these values")


class Choices(Section):
    """One of several values of any kind."""

    type: Literal["categorical"]
    choices: list[Any] = Field(..., min_length=1)
    allowed_only: bool = Field(
        False, description="leave out what other settings refuse here, e.g. what a label forbids; said aloud"
    )
    when: When | None = Field(None, description="only where earlier entries have one of these values")


class Subset(Section):
    """Some of the words of a list, each in or out by itself; none of them: the starting value."""

    type: Literal["subset"]
    of: list[Name] | None = Field(None, description="the words; None: those of the starting value")
    always: list[Name] = Field([], description="in every list, first")
    allowed_only: bool = Field(
        False, description="leave out what other settings refuse here, e.g. what a label forbids; said aloud"
    )
    when: When | None = Field(None, description="only where earlier entries have one of these values")


Entry = Annotated[Range | Choices | Subset, Field(discriminator="type")]


class Full(Section):
    """Full trainings that a cheap proxy is held against in the end."""

    experiment: Name = Field(
        ..., description="trained with some trials' settings, from the best to the worst"
    )
    trials: int = Field(6, description="so many of them", ge=4, le=50)
    folds: list[Annotated[int, Field(ge=0)]] | None = Field(
        [0], description="trained; None: all", min_length=1
    )


class SearchSpace(Section):
    """One search."""

    about: str = Field("", description="what is searched, for the report")
    experiment: str | None = Field(None, description="experiment that trials start from, unless one is given")
    settings: dict[str, Any] = Field({}, description="path: value, for all trials; the command line wins")
    space: dict[Name, Entry] = Field(..., description="setting path: what it may be", min_length=1)
    known_good: list[dict[str, Any]] = Field(
        [], description="path: value; tried first, after the defaults and before earlier winners"
    )
    trials: int = Field(50, description="in all, unless TRIALS says otherwise", ge=1, le=100_000)
    sampler: Literal["tpe", "gp", "cmaes", "random", "grid", "brute_force"] = Field("tpe")
    pruner: Literal["none", "median", "percentile", "halving"] = Field(
        "none", description="median, percentile: stop what is below that of earlier trials at the same point"
    )
    warmup_trials: int = Field(5, description="trials before any is pruned", ge=1, le=1000)
    seed: int = Field(0, description="of the sampler", ge=0)
    second: Literal["ms_per_image"] | None = Field(
        None, description="a second objective, smaller is better: a Pareto front, and no pruning"
    )
    full: Full | None = Field(
        None, description="eda, resample: full trainings that tell whether the proxy ranks settings rightly"
    )
    retest_top: int = Field(3, description="of the best trials are tested again", ge=1, le=10)
    retest_seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [101, 102, 103], description="of the re-test, none of them the search's", min_length=1
    )


# What of a space defines its trials: another value of the others continues the same study.
DEFINING = ("experiment", "settings", "space", "known_good", "sampler", "pruner", "warmup_trials", "seed")


@dataclass(frozen=True)
class Search:
    """A space as dimensions.

    Args:
        file: where it is written.
        form: what is written.
        dimensions: in the file's order.
        start: of each subset, the value that stands for none of its words.
        told: what was left out, for people.
    """

    file: str
    form: SearchSpace
    dimensions: tuple[Dimension, ...]
    start: dict[str, list[str]]
    told: tuple[str, ...] = ()

    def values(self, point: Mapping[str, Scalar]) -> dict[str, Any]:
        """The settings that a point stands for: path -> value."""
        found: dict[str, Any] = {}
        for path, entry in self.form.space.items():
            if isinstance(entry, Subset):
                prefix = f"{path}["
                flags = {n: v for n, v in point.items() if n.startswith(prefix)}
                if flags:
                    chosen = [n.removeprefix(prefix)[:-1] for n, on in flags.items() if on]
                    found[path] = [*entry.always, *chosen] or self.start[path]
            elif path in point:
                label = point[path]
                found[path] = _meant(entry, label) if isinstance(entry, Choices) else _rounded(entry, label)
        return found

    def point(self, values: Mapping[str, Any]) -> Point:
        """The point of settings by path; what the space lacks is left out, what is out of range stays so."""
        found: Point = {}
        for dimension in self.dimensions:
            path = dimension.name.partition("[")[0]
            if path not in values or not dimension.is_active(found):
                continue
            entry, value = self.form.space[path], values[path]
            if isinstance(entry, Subset):
                found[dimension.name] = dimension.name[len(path) + 1 : -1] in (value or [])
            elif isinstance(entry, Choices):
                found[dimension.name] = label_of(value)
            elif dimension.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
                found[dimension.name] = float(value)
            else:
                found[dimension.name] = value if isinstance(value, Scalar) else label_of(value)
        return found

    def beside(self, values: Mapping[str, Any]) -> list[str]:
        """Words of subsets that no point of the space has, as `path: word`."""
        return [
            f"{path}: {word!r} is no choice"
            for path, entry in self.form.space.items()
            if isinstance(entry, Subset)
            for word in values.get(path) or []
            if word not in entry.always and f"{path}[{word}]" not in {d.name for d in self.dimensions}
        ]


def label_of(value: Any) -> Scalar:
    """How a choice is called: a plain value by itself, a list or a mapping by its JSON text."""
    return value if isinstance(value, Scalar) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def read(path: Path) -> SearchSpace:
    """A space from its file.

    Raises:
        ConfigError: with every fault of the file: no YAML, unknown keys, an empty space, ranges upside
            down, conditions on what comes later.
    """
    if not path.is_file():
        known = sorted(p.as_posix() for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        others = f"known: {', '.join(known)}" if known else "configs/tune/ holds those that come along"
        raise ConfigError(f"{path}: no such file", remedy=nearest(str(path), known) or others)
    parsed = parse_file(path, str(path))
    if parsed.faults:  # what could not be read is no second fault
        raise broken(path, [str(fault) for fault in parsed.faults])
    faults = []
    try:
        space = SearchSpace.model_validate_json(json.dumps(parsed.data))
    except ValidationError as error:
        faults += [_fault(e, parsed.lines, str(path)) for e in error.errors()]
        raise broken(path, faults) from None
    faults += [str(Fault(_line(where, parsed.lines, str(path)), what)) for where, what in _faults(space)]
    if faults:
        raise broken(path, faults)
    return space


def broken(path: Path | str, faults: list[str]) -> ConfigError:
    """The one error of all faults of a space."""
    unique = list(dict.fromkeys(faults))
    return ConfigError(f"{path}: {len(unique)} to mend", unique, "docs/tuning.md shows the form")


def _rounded(entry: Range | Subset, label: Scalar) -> Scalar:
    """A multiple of a step as people write it: 0.4 and not 0.40000000000000013."""
    stepped = isinstance(entry, Range) and entry.step is not None and isinstance(label, float)
    return round(label, 12) if stepped and isinstance(label, float) else label


def _meant(entry: Choices, label: Scalar) -> Any:
    return next(c for c in entry.choices if label_of(c) == label and type(label_of(c)) is type(label))


def _fault(error: Any, lines: Mapping[str, str], file: str) -> str:
    steps = [str(step) for step in error["loc"] if step not in ("float", "int", "categorical", "subset")]
    at, message = ".".join(steps), error["msg"]
    if at == "space" and (error["type"] in ("too_short", "missing") or error["input"] is None):
        message = "is empty: name at least one setting to vary"
    hint = nearest(steps[-1], known) if error["type"] == "extra_forbidden" and (known := _keys(steps)) else ""
    return str(Fault(_line(at, lines, file), f"{at}: {message}; {hint}".rstrip("; ")))


def _keys(steps: list[str]) -> list[str]:
    inner = {name for model in (Range, Choices, Subset) for name in model.model_fields}
    return sorted(inner) if steps[0] == "space" else list(SearchSpace.model_fields)


def _line(at: str, lines: Mapping[str, str], file: str) -> str:
    while at and at not in lines:
        at = at.rpartition(".")[0]
    return lines.get(at, file)


def _faults(space: SearchSpace) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    entries = list(space.space)
    for number, (path, entry) in enumerate(space.space.items()):
        at = f"space.{path}"
        if path in SEEDED:
            found.append((at, f"{path}: is no setting to tune: the best seed is luck"))
        if path in space.settings:
            found.append((at, f"{path}: is set by `settings` as well"))
        if isinstance(entry, Range):
            found += [(at, f"{path}: {what}") for what in _range_faults(entry)]
        elif isinstance(entry, Choices):
            labels = [(type(label_of(c)), label_of(c)) for c in entry.choices]
            found += [(at, f"{path}: names a choice twice")] * (len(set(labels)) < len(labels))
        elif entry.of is not None:
            found += [(at, f"{path}: names a word twice")] * (len({*entry.of}) < len(entry.of))
            odd = sorted({*entry.of} & {*entry.always})
            found += [(at, f"{path}: {', '.join(odd)} is in `always` and in `of`")] * bool(odd)
        for parent in entry.when or {}:
            if parent.partition("[")[0] not in entries[:number]:
                found.append((at, f"{path}: `when` names {parent}, which is no entry above it"))
    odd_paths = [p for values in space.known_good for p in values if p not in space.space]
    found += [("known_good", f"known_good: {p} is not in the space") for p in dict.fromkeys(odd_paths)]
    if space.second is not None and space.pruner != "none":
        what = (
            f"pruner: {space.pruner} with a second objective: there is no pruning with two; use pruner: none"
        )
        found.append(("pruner", what))
    endless = [p for p, e in space.space.items() if isinstance(e, Range) and e.type == "float" and not e.step]
    if space.sampler in ("grid", "brute_force") and endless:
        what = f"sampler: {space.sampler} tries every point, and {', '.join(endless)} has no step"
        found.append(("sampler", what))
    if len(set(space.retest_seeds)) < len(space.retest_seeds):
        found.append(("retest_seeds", "retest_seeds: names a seed twice"))
    return found


def _range_faults(entry: Range) -> list[str]:
    found = []
    if entry.low >= entry.high:
        found.append(f"low {entry.low:g} is not below high {entry.high:g}")
    if entry.log and entry.low <= 0:
        found.append(f"log needs low above 0, not {entry.low:g}")
    if entry.log and entry.step is not None:
        found.append("log and step exclude each other")
    numbers = [entry.low, entry.high, *([entry.step] if entry.step is not None else [])]
    if entry.type == "int" and any(number != int(number) for number in numbers):
        found.append("an int has whole low, high and step")
    return found


def dimensions_of(path: str, entry: Range | Choices | Subset, words: list[str]) -> list[Dimension]:
    """An entry as dimensions: one, or one a word of a subset.

    Args:
        path: of the setting.
        entry: what it may be.
        words: of a subset or of choices, those that are left.
    """
    when = tuple((parent, tuple(map(label_of, values))) for parent, values in (entry.when or {}).items())
    if isinstance(entry, Range):
        low, high = (entry.low, entry.high) if entry.type == "float" else (int(entry.low), int(entry.high))
        step = entry.step if entry.type == "float" or entry.step is None else int(entry.step)
        return [Dimension(path, entry.type, low, high, log=entry.log, step=step, when=when)]
    if isinstance(entry, Choices):
        labels = tuple(label_of(c) for c in entry.choices)
        return [Dimension(path, "categorical", labels=labels, when=when)]
    both: tuple[Scalar, ...] = (False, True)
    return [Dimension(f"{path}[{word}]", "categorical", labels=both, when=when) for word in words]
