"""Grids of settings: the arms of a study with their seeds and baselines, and their trainings.

Owns reading and checking configs/ablate/*.yaml, turning a grid into ordinary settings for each arm and seed,
equal optimizer steps or wall time, and the faults of arms. Does not own the settings that a grid sets
(`settings/`) or the comparison (`train/studies/ablation.py`). The arms are trained by the ordinary `train`
stage, so they share its cache with everything else.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.record.store import Artifact
from pipeline.resample import indices
from pipeline.settings.fields import Section
from pipeline.settings.load import Settings
from pipeline.settings.read import CONFIGS, Fault, beside, given, parse_file
from pipeline.settings.schema import Config
from pipeline.train import texts
from pipeline.train.stages import folds_of
from pipeline.train.studies import walltime

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
    """A grid from its file; of an installed Podium also from the shipped one, see `settings/read.py`.

    Raises:
        ConfigError: lists every fault: invalid YAML, unknown keys, fewer than three seeds, axes with
            one level, a path set twice, unknown levels in `against`.
    """
    path = given(str(path))
    if not path.is_file():
        known = beside(path) or beside(Path(CONFIGS.name) / "ablate" / path.name)
        raise ConfigError(
            _("{path}: no such file").format(path=path),
            remedy=nearest(str(path), known) or _("known: {known}").format(known=", ".join(known)),
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
    return ConfigError(
        _("{path}: invalid grid").format(path=path),
        unique,
        _("see configs/ablate/resample.yaml for an example"),
    )


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
            faults.append(_("equal_steps: steps and seconds cannot both be equal; leave one out"))
        faults += [f"{p}: `seconds` sets it" for p in ("train.epochs",) if p in where]
    elif "most_epochs" in grid.model_fields_set:
        faults.append(_("most_epochs: only with `seconds`"))
    for fixed in grid.against:
        for axis, level in fixed.items():
            known = grid.axes.get(axis)
            if known is None:
                faults.append(
                    _("against: unknown axis `{axis}`; known: {axes}").format(
                        axis=axis, axes=", ".join(grid.axes)
                    )
                )
            elif level not in known:
                faults.append(
                    _("against: unknown level `{level}` of {axis}; known: {known}").format(
                        level=level, axis=axis, known=", ".join(known)
                    )
                )
        if not fixed:
            faults.append(_("against: an entry is empty; give {axis: level}"))
    size = math.prod(len(levels) for levels in grid.axes.values())
    if size > MOST_ARMS:
        faults.append(_("axes: {size} arms, at most {most} are allowed").format(size=size, most=MOST_ARMS))
    return faults


@dataclass(frozen=True)
class ArmRun:
    """One training: an arm with one seed.

    Args:
        arm: its index in `grid.arms`.
        steps: optimizer steps of a fold, mean over folds.
        seconds: expected wall time, where the grid gives arms seconds.
    """

    arm: int
    seed: int
    settings: Settings
    steps: float
    seconds: float | None = None

    @property
    def input(self) -> str:
        """The name of this input of the stage `ablate`."""
        return f"arm {self.arm} seed {self.seed}"


def started(settings: Settings, grid: Grid) -> Settings:
    """The settings that all arms start from: those of the grid, overridden by the command line."""
    given = {path for path, _ in settings.request.values}
    clash = sorted(given & {path for arm in arms(grid) for path in arm.values})
    clash += sorted(given & set(SEEDED))
    if grid.seconds is not None:
        clash += sorted(given & {"train.epochs"})
    if clash:
        faults = [texts.SET_BY_GRID.format(path=path) for path in clash]
        raise ConfigError(texts.OVERRIDES_OF_ARMS, faults, _("edit a copy of the grid instead"))
    return settings.with_values({p: v for p, v in grid.settings.items() if p not in given})


def needed(settings: Settings, grid: Grid) -> list[Need]:
    """The results that must be built before the trainings can be named: the data and the folds."""
    first = _arm_settings(settings, grid)[0]
    return [Need("data", first), Need("folds", first)]


def runs(find: Callable[[Need], Artifact], settings: Settings, grid: Grid, home: Path) -> list[ArmRun]:
    """Every training of the grid, arms in order, seeds within them.

    `find` returns the finished data and folds; `settings` are those that all arms start from, see `started`.

    Raises:
        ConfigError: the settings of an arm are wrong, or its seconds too few; lists every fault of every arm.
    """
    by_arm = _arm_settings(settings, grid)
    data, folds = (find(Need(stage, by_arm[0])) for stage in ("data", "folds"))
    samples, plan = load.training(data, home), load.plan(folds)
    trainings = []
    fitted = _fitted(by_arm, samples, plan, grid, home)
    for number, of_arm in enumerate(by_arm):
        train = of_arm.config.train
        per_epoch, plain = _steps(of_arm, samples, plan, train.batch_size * train.accumulate)
        epochs = adjusted = train.epochs
        if fitted:
            adjusted = fitted[number].epochs
        elif grid.equal_steps or grid.equal_samples:
            mine, base = _steps(of_arm, samples, plan, 1) if grid.equal_samples else (per_epoch, plain)
            adjusted = max(1, round(epochs * base / mine))
        values = _stretched(of_arm.config, adjusted) if adjusted != epochs else {}
        for seed in grid.seeds:
            seeded = of_arm.with_values({**values, **dict.fromkeys(SEEDED, seed)})
            expected = fitted[number].seconds if fitted else None
            trainings.append(ArmRun(number, seed, seeded, adjusted * per_epoch, expected))
    return trainings


def budget_lines(trainings: list[ArmRun], grid: Grid) -> list[str]:
    """For a grid with `seconds`, the number of epochs of each arm."""
    names = [arm.name for arm in arms(grid)]
    first = {run.arm: run for run in reversed(trainings) if run.seconds is not None}
    lines = []
    for arm, run in sorted(first.items()):
        epochs, spent = run.settings.config.train.epochs, {"expected": run.seconds, "seconds": grid.seconds}
        lines.append(texts.ARM_BUDGET.format(arm=names[arm], epochs=epochs, **spent))
    return lines


def _fitted(
    by_arm: list[Settings], samples: Samples, plan: FoldPlan, grid: Grid, home: Path
) -> list[walltime.FittedEpochs]:
    """The epochs that fit into the seconds of the grid, for each arm; empty for a grid without seconds."""
    if grid.seconds is None:
        return []
    fitted = [walltime.fit(arm, samples, plan, grid.seconds, grid.most_epochs, home) for arm in by_arm]
    faults = [
        f"arm {arm.name}: one epoch takes about {fit.first:.1f} s"
        for arm, fit in zip(arms(grid), fitted, strict=True)
        if not fit.epochs
    ]
    if faults:
        raise ConfigError(
            _("ablate: seconds={seconds:g} is too short for {n} of {arms} arms").format(
                seconds=grid.seconds, n=len(faults), arms=len(fitted)
            ),
            faults,
            _("raise `seconds`, or make an epoch cheaper: images.size, folds.kind=holdout, a smaller model"),
        )
    return fitted


def _arm_settings(settings: Settings, grid: Grid) -> list[Settings]:
    by_arm: list[Settings] = []
    where: dict[str, list[str]] = {}
    for arm in arms(grid):
        try:
            by_arm.append(settings.with_values(arm.values))
        except ConfigError as error:
            for fault in error.faults:
                where.setdefault(fault, []).append(arm.name)
    faults = [
        f"arm {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {fault}"
        for fault, names in where.items()
    ] or _not_comparable(by_arm, arms(grid))
    if faults:
        raise ConfigError(_("ablate: {n} faults in the settings of arms").format(n=len(faults)), faults)
    return by_arm


def _not_comparable(by_arm: list[Settings], arms: list[Arm]) -> list[str]:
    """Faults of arms that would be scored on other images or with another metric than the first one."""
    first = by_arm[0].config
    return [
        f"arm {arm.name}: changes {name}, so it cannot be compared on the same images"
        for arm, settings in zip(arms, by_arm, strict=True)
        for name in ("competition", "folds", "statistics")
        if getattr(settings.config, name) != getattr(first, name)
    ]


def _steps(settings: Settings, samples: Samples, plan: FoldPlan, batch: int) -> tuple[float, float]:
    """Optimizer steps of `batch` images per epoch, with and without resampling, means over the folds."""
    config = settings.config
    folds = folds_of(settings)
    mine, plain = 0, 0
    for k in folds:
        split = plan.splits[k]
        part = indices.Part(samples.take(split.train_ids), k, split.times_T)
        mine += math.ceil(indices.expected_rows(part, config.resample) / batch)
        plain += math.ceil(len(part.base_R) / batch)
    return mine / len(folds), plain / len(folds)


def _stretched(config: Config, epochs: int) -> dict[str, float | int]:
    """Settings for another number of epochs with the same warm-up steps; one-cycle scales its own warm-up."""
    train = config.train
    if train.schedule == "one_cycle":
        return {"train.epochs": epochs}
    warmup = min(train.warmup_epochs * epochs / train.epochs, float(epochs))
    return {"train.epochs": epochs, "train.warmup_epochs": round(warmup, 4)}
