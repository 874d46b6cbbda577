"""Grids of settings: the arms of a study, their seeds and baselines.

Owns reading and checking configs/ablate/*.yaml. Does not own the settings that a grid sets (`settings/`),
nor the trainings of arms (`train/studies/arms.py`).
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pipeline.core.errors import ConfigError, nearest
from pipeline.settings.fields import Section
from pipeline.settings.read import Fault, parse_file

MOST_ARMS = 200
# The settings that `seeds` sets for each seed of an arm.
SEEDED = ("train.seed", "resample.seed")

Level = Annotated[str, Field(min_length=1)]


class Grid(Section):
    """One study: the product of its axes, every arm with every seed."""

    about: str = Field("", description="the question of the study, for its report")
    experiment: str | None = Field(
        None, description="experiment that all arms start from, unless the command line gives one"
    )
    settings: dict[str, Any] = Field(
        {}, description="path: value, for all arms; the command line overrides them"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0, 1, 2], description="of each arm", min_length=3)
    equal_steps: bool = Field(
        True, description="train.epochs counts passes over the images before resampling, for every arm"
    )
    equal_samples: bool = Field(
        False, description="every arm sees equally many images, whatever its batch size; steps then differ"
    )
    seconds: float | None = Field(
        None,
        description="equal wall time instead: seconds for one training (one arm, one seed, all folds),"
        " by measured rates of this machine; train.epochs of each arm is the number that fits",
        gt=0,
    )
    most_epochs: int = Field(
        100, description="with `seconds`: the most epochs of an arm, however fast they are", ge=1, le=1000
    )
    axes: dict[Level, dict[Level, dict[str, Any]]] = Field(
        ..., description="axis: {level: {path: value}}", min_length=1
    )
    against: list[dict[Level, Level]] = Field(
        ..., description="each {axis: level}: an arm is compared with the arm that differs only in these",
        min_length=1,
    )  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One cell of the grid: axis -> level in the grid's order, and path -> value as the levels set them."""

    levels: dict[str, str]
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The levels, joined."""
        return " · ".join(self.levels.values())


def read(path: Path) -> Grid:
    """A grid from its file.

    Raises:
        ConfigError: lists every fault: invalid YAML, unknown keys, fewer than three seeds, axes with
            one level, a path set twice, unknown levels in `against`.
    """
    if not path.is_file():
        known = sorted(p.as_posix() for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(
            f"{path}: no such file", remedy=nearest(str(path), known) or f"known: {', '.join(known)}"
        )
    parsed = parse_file(path, str(path))
    faults = [str(fault) for fault in parsed.faults]
    try:
        grid = Grid.model_validate_json(json.dumps(parsed.data))
    except ValidationError as error:
        for e in error.errors():
            at = ".".join(str(step) for step in e["loc"])
            hint = nearest(str(e["loc"][-1]), Grid.model_fields) if e["type"] == "extra_forbidden" else ""
            text = f"{at}: {e['msg']}; {hint}".rstrip("; ")
            faults.append(str(Fault(parsed.lines.get(at, str(path)), text)))
        raise _broken(path, faults) from None
    faults += [f"{path}: {text}" for text in _faults(grid)]
    if faults:
        raise _broken(path, faults)
    return grid


def arms(grid: Grid) -> list[Arm]:
    """Every combination of levels, the last axis running fastest."""
    levels = [list(levels.items()) for levels in grid.axes.values()]
    every = []
    for cell in itertools.product(*levels):
        values = {path: value for _, of_level in cell for path, value in of_level.items()}
        every.append(Arm(dict(zip(grid.axes, (name for name, _ in cell), strict=True)), values))
    return every


def pairs(grid: Grid) -> list[tuple[int, int, int]]:
    """(arm, the arm it is compared with, which of `against`) for every planned comparison."""
    cells = arms(grid)
    at = {tuple(arm.levels.values()): number for number, arm in enumerate(cells)}
    planned = []
    for which, fixed in enumerate(grid.against):
        for number, arm in enumerate(cells):
            other = at[tuple({**arm.levels, **fixed}.values())]
            if other != number:
                planned.append((number, other, which))
    return planned


def _broken(path: Path, faults: list[str]) -> ConfigError:
    unique = list(dict.fromkeys(faults))
    return ConfigError(f"{path}: invalid grid", unique, "see configs/ablate/resample.yaml for an example")


def _faults(grid: Grid) -> list[str]:
    faults = [f"seeds: {seed} is repeated" for seed, n in Counter(grid.seeds).items() if n > 1]
    faults += [f"axes.{a}: one level; a comparison needs two" for a, v in grid.axes.items() if len(v) < 2]
    where: dict[str, set[str]] = {path: {"settings"} for path in grid.settings}
    for axis, levels in grid.axes.items():
        for values in levels.values():
            for path in values:
                where.setdefault(path, set()).add(f"axes.{axis}")
    faults += [f"{p}: is set in {' and '.join(sorted(by))}" for p, by in where.items() if len(by) > 1]
    faults += [f"{p}: `seeds` sets it" for p in SEEDED if p in where]
    if grid.seconds is not None:
        if grid.equal_steps and "equal_steps" in grid.model_fields_set:
            faults.append("equal_steps: steps and seconds cannot both be equal; leave one out")
        faults += [f"{p}: `seconds` sets it" for p in ("train.epochs",) if p in where]
    elif "most_epochs" in grid.model_fields_set:
        faults.append("most_epochs: only with `seconds`")
    for fixed in grid.against:
        for axis, level in fixed.items():
            known = grid.axes.get(axis)
            if known is None:
                faults.append(f"against: unknown axis `{axis}`; known: {', '.join(grid.axes)}")
            elif level not in known:
                faults.append(f"against: unknown level `{level}` of {axis}; known: {', '.join(known)}")
        if not fixed:
            faults.append("against: an entry is empty; give {axis: level}")
    size = math.prod(len(levels) for levels in grid.axes.values())
    if size > MOST_ARMS:
        faults.append(f"axes: {size} arms, at most {MOST_ARMS} are allowed")
    return faults
