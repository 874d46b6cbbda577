"""Search spaces: which settings are varied, from which start, by which sampler, and how they are tested.

Owns reading configs/tune/*.yaml, checking each file by itself, and turning points into settings and back.
Does not own checking a space against the settings (`tune/space_check.py`) or searching (`record/study.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.search_space import Dimension, Point, Scalar
from pipeline.pages.report import plural
from pipeline.settings.fields import Section
from pipeline.settings.read import Fault, parse_file
from pipeline.train.studies.grid import SEEDED
from pipeline.tune import texts

Name = Annotated[str, Field(min_length=1)]
When = Annotated[dict[Name, list[Any]], Field(min_length=1)]


class Range(Section):
    """Numbers from `low` to `high`."""

    type: Literal["float", "int"]
    low: float = Field(..., description="smallest value, included")
    high: float = Field(..., description="largest value, included")
    log: bool = Field(False, description="sample uniformly on a log scale")
    step: float | None = Field(
        None, description="distance between neighbouring values, starting at low", gt=0
    )
    when: When | None = Field(None, description="only if earlier entries have one of these values")


class Choices(Section):
    """One of several values of any kind."""

    type: Literal["categorical"]
    choices: list[Any] = Field(..., min_length=1)
    allowed_only: bool = Field(
        False, description="leave out values that other settings refuse, e.g. for a label, and print them"
    )
    when: When | None = Field(None, description="only if earlier entries have one of these values")


class Subset(Section):
    """A subset of the words of a list, each in or out by itself; if all are out: the starting value."""

    type: Literal["subset"]
    of: list[Name] | None = Field(None, description="the words; None: those of the starting value")
    always: list[Name] = Field([], description="in every list, first")
    allowed_only: bool = Field(
        False, description="leave out values that other settings refuse, e.g. for a label, and print them"
    )
    when: When | None = Field(None, description="only if earlier entries have one of these values")


Entry = Annotated[Range | Choices | Subset, Field(discriminator="type")]


class Full(Section):
    """Full trainings that a cheap proxy is compared with in the end."""

    experiment: Name = Field(
        ..., description="the experiment that is trained in full with the settings of some trials"
    )
    trials: int = Field(6, description="number of trials, from the best to the worst", ge=4, le=50)
    folds: list[Annotated[int, Field(ge=0)]] | None = Field(
        [0], description="folds that are trained; None: all", min_length=1
    )


class SearchSpace(Section):
    """One search: the content of a file in configs/tune/."""

    about: str = Field("", description="what is searched, for the report")
    experiment: str | None = Field(
        None, description="experiment that trials start from, unless experiment= is given"
    )
    settings: dict[str, Any] = Field(
        {}, description="path: value, for all trials; the command line overrides it"
    )
    space: dict[Name, Entry] = Field(..., description="setting path: its possible values", min_length=1)
    known_good: list[dict[str, Any]] = Field(
        [], description="path: value; tried first, after the defaults and before earlier winners"
    )
    trials: int = Field(50, description="trials in total, unless TRIALS is given", ge=1, le=100_000)
    sampler: Literal["tpe", "gp", "cmaes", "random", "grid", "brute_force"] = Field("tpe")
    pruner: Literal["none", "median", "percentile", "halving"] = Field(
        "none",
        description="median, percentile: stop a trial that is below those of earlier trials at the same step",
    )
    warmup_trials: int = Field(5, description="trials before any is pruned", ge=1, le=1000)
    seed: int = Field(0, description="of the sampler", ge=0)
    second: Literal["ms_per_image"] | None = Field(
        None, description="a second objective, smaller is better: a Pareto front, and no pruning"
    )
    full: Full | None = Field(
        None,
        description="eda, resample: full trainings that check whether the proxy ranks settings correctly",
    )
    retest_top: int = Field(3, description="number of best trials that are tested again", ge=1, le=10)
    retest_seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [101, 102, 103], description="seeds of the re-test, other than those of the search", min_length=1
    )


# The fields that define the trials of a space; another value of the other fields continues the same study.
DEFINING = ("experiment", "settings", "space", "known_good", "sampler", "pruner", "warmup_trials", "seed")


@dataclass(frozen=True)
class Search:
    """A search space as dimensions.

    Args:
        file: path of the space.
        form: content of the file.
        dimensions: in the order of the file.
        start: for each subset, the value if none of its words is chosen.
        left_out: a line for each value that was left out.
    """

    file: str
    form: SearchSpace
    dimensions: tuple[Dimension, ...]
    start: dict[str, list[str]]
    left_out: tuple[str, ...] = ()

    def values(self, point: Mapping[str, Scalar]) -> dict[str, Any]:
        """The settings of a point: path -> value."""
        settings: dict[str, Any] = {}
        for path, entry in self.form.space.items():
            if isinstance(entry, Subset):
                prefix = f"{path}["
                flags = {n: v for n, v in point.items() if n.startswith(prefix)}
                if flags:
                    chosen = [n.removeprefix(prefix)[:-1] for n, on in flags.items() if on]
                    settings[path] = [*entry.always, *chosen] or self.start[path]
            elif path in point:
                label = point[path]
                settings[path] = (
                    _choice(entry, label) if isinstance(entry, Choices) else _rounded(entry, label)
                )
        return settings

    def point(self, values: Mapping[str, Any]) -> Point:
        """The point of settings by path; ignores settings outside the space, keeps values out of range."""
        point: Point = {}
        for dimension in self.dimensions:
            path = dimension.name.partition("[")[0]
            if path not in values or not dimension.is_active(point):
                continue
            entry, value = self.form.space[path], values[path]
            if isinstance(entry, Subset):
                point[dimension.name] = dimension.name[len(path) + 1 : -1] in (value or [])
            elif isinstance(entry, Choices):
                point[dimension.name] = label_of(value)
            elif dimension.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
                point[dimension.name] = float(value)
            else:
                point[dimension.name] = value if isinstance(value, Scalar) else label_of(value)
        return point

    def not_choices(self, values: Mapping[str, Any]) -> list[str]:
        """A fault for each word of a subset that is not a choice."""
        return [
            texts.NOT_A_CHOICE.format(path=path, word=word)
            for path, entry in self.form.space.items()
            if isinstance(entry, Subset)
            for word in values.get(path) or []
            if word not in entry.always and f"{path}[{word}]" not in {d.name for d in self.dimensions}
        ]


def label_of(value: Any) -> Scalar:
    """The label of a choice: a plain value itself, a list or a mapping as JSON text."""
    return value if isinstance(value, Scalar) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def read(path: Path) -> SearchSpace:
    """A space from its file.

    Raises:
        ConfigError: lists every fault of the file: invalid YAML, unknown keys, an empty space, reversed
            ranges, conditions on later entries.
    """
    if not path.is_file():
        known = sorted(p.as_posix() for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        others = f"known: {', '.join(known)}" if known else texts.SHIPPED
        raise ConfigError(texts.NO_FILE.format(path=path), remedy=nearest(str(path), known) or others)
    parsed = parse_file(path, str(path))
    if parsed.faults:  # do not report faults of what could not be read
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
    """One error that lists all faults of a space."""
    unique = list(dict.fromkeys(faults))
    return ConfigError(
        texts.SPACE_FAULTS.format(path=path, faults=plural(len(unique), "fault")), unique, texts.SPACE_FORMAT
    )


def _rounded(entry: Range | Subset, label: Scalar) -> Scalar:
    """A multiple of a step without rounding errors: 0.4 and not 0.40000000000000013."""
    stepped = isinstance(entry, Range) and entry.step is not None and isinstance(label, float)
    return round(label, 12) if stepped and isinstance(label, float) else label


def _choice(entry: Choices, label: Scalar) -> Any:
    return next(c for c in entry.choices if label_of(c) == label and type(label_of(c)) is type(label))


def _fault(error: Any, lines: Mapping[str, str], file: str) -> str:
    steps = [str(step) for step in error["loc"] if step not in ("float", "int", "categorical", "subset")]
    at, message = ".".join(steps), error["msg"]
    if at == "space" and (error["type"] in ("too_short", "missing") or error["input"] is None):
        message = texts.EMPTY
    hint = nearest(steps[-1], known) if error["type"] == "extra_forbidden" and (known := _keys(steps)) else ""
    return str(
        Fault(
            _line(at, lines, file),
            _("{at}: {message}; {hint}").format(at=at, message=message, hint=hint).rstrip("; "),
        )
    )


def _keys(steps: list[str]) -> list[str]:
    inner = {name for model in (Range, Choices, Subset) for name in model.model_fields}
    return sorted(inner) if steps[0] == "space" else list(SearchSpace.model_fields)


def _line(at: str, lines: Mapping[str, str], file: str) -> str:
    while at and at not in lines:
        at = at.rpartition(".")[0]
    return lines.get(at, file)


def _faults(space: SearchSpace) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    entries = list(space.space)
    for number, (path, entry) in enumerate(space.space.items()):
        at = f"space.{path}"
        if path in SEEDED:
            faults.append((at, texts.SEED.format(path=path)))
        if path in space.settings:
            faults.append((at, texts.SET_TWICE.format(path=path)))
        if isinstance(entry, Range):
            faults += [(at, f"{path}: {what}") for what in _range_faults(entry)]
        elif isinstance(entry, Choices):
            labels = [(type(label_of(c)), label_of(c)) for c in entry.choices]
            faults += [(at, texts.CHOICE_TWICE.format(path=path))] * (len(set(labels)) < len(labels))
        elif entry.of is not None:
            faults += [(at, texts.WORD_TWICE.format(path=path))] * (len({*entry.of}) < len(entry.of))
            both = sorted({*entry.of} & {*entry.always})
            faults += [(at, texts.ALWAYS_AND_OF.format(path=path, words=", ".join(both)))] * bool(both)
        for parent in entry.when or {}:
            if parent.partition("[")[0] not in entries[:number]:
                faults.append((at, texts.WHEN_LATER.format(path=path, parent=parent)))
    unknown = [p for values in space.known_good for p in values if p not in space.space]
    faults += [("known_good", texts.NOT_IN_SPACE.format(path=p)) for p in dict.fromkeys(unknown)]
    if space.second is not None and space.pruner != "none":
        faults.append(("pruner", texts.PRUNER.format(pruner=space.pruner)))
    endless = [p for p, e in space.space.items() if isinstance(e, Range) and e.type == "float" and not e.step]
    if space.sampler in ("grid", "brute_force") and endless:
        faults.append(("sampler", texts.ENDLESS.format(sampler=space.sampler, paths=", ".join(endless))))
    if len(set(space.retest_seeds)) < len(space.retest_seeds):
        faults.append(("retest_seeds", texts.SEED_TWICE))
    return faults


def _range_faults(entry: Range) -> list[str]:
    faults = []
    if entry.low >= entry.high:
        faults.append(texts.LOW_HIGH.format(low=entry.low, high=entry.high))
    if entry.log and entry.low <= 0:
        faults.append(texts.LOG_LOW.format(low=entry.low))
    if entry.log and entry.step is not None:
        faults.append(texts.LOG_STEP)
    numbers = [entry.low, entry.high, *([entry.step] if entry.step is not None else [])]
    if entry.type == "int" and any(number != int(number) for number in numbers):
        faults.append(texts.WHOLE)
    return faults


def dimensions_of(path: str, entry: Range | Choices | Subset, words: list[str]) -> list[Dimension]:
    """An entry as dimensions: one, or one for each of the `words` of a subset that are left."""
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
