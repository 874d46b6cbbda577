"""The trainings of a grid: each arm with each seed as ordinary settings.

Owns turning a grid into settings, equal optimizer steps or wall time, and the faults of arms. Does not own
the format of grids (`train/studies/grid.py`) or the comparison (`train/studies/ablation.py`). The arms are
trained by the ordinary `train` stage, so they share its cache with everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.record.store import Artifact
from pipeline.resample import indices
from pipeline.settings.load import Settings
from pipeline.settings.schema import Config
from pipeline.train.stages import folds_of
from pipeline.train.studies import texts, walltime
from pipeline.train.studies.grid import SEEDED, Arm, Grid
from pipeline.train.studies.grid import arms as all_arms


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
    clash = sorted(given & {path for arm in all_arms(grid) for path in arm.values})
    clash += sorted(given & set(SEEDED))
    if grid.seconds is not None:
        clash += sorted(given & {"train.epochs"})
    if clash:
        faults = [texts.SET_BY_GRID.format(path=path) for path in clash]
        raise ConfigError(texts.OVERRIDES_OF_ARMS, faults, "edit a copy of the grid instead")
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
    names = [arm.name for arm in all_arms(grid)]
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
        for arm, fit in zip(all_arms(grid), fitted, strict=True)
        if not fit.epochs
    ]
    if faults:
        raise ConfigError(
            f"ablate: seconds={grid.seconds:g} is too short for {len(faults)} of {len(fitted)} arms",
            faults,
            "raise `seconds`, or make an epoch cheaper: images.size, folds.kind=holdout, a smaller model",
        )
    return fitted


def _arm_settings(settings: Settings, grid: Grid) -> list[Settings]:
    by_arm: list[Settings] = []
    where: dict[str, list[str]] = {}
    for arm in all_arms(grid):
        try:
            by_arm.append(settings.with_values(arm.values))
        except ConfigError as error:
            for fault in error.faults:
                where.setdefault(fault, []).append(arm.name)
    faults = [
        f"arm {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {fault}"
        for fault, names in where.items()
    ] or _not_comparable(by_arm, all_arms(grid))
    if faults:
        raise ConfigError(f"ablate: {len(faults)} faults in the settings of arms", faults)
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
