"""The table of an ablation: score, cost and comparisons of each arm.

Owns scoring finished trainings arm by arm. Does not own the trainings (`train/studies/arms.py` names them,
the stage `train` makes them), the page (`train/studies/ablation_page.py`) nor the correction for many arms
(`core/statistics.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import metrics, statistics
from pipeline.core.predictions import Comparison
from pipeline.data import load
from pipeline.engine.stage import Job
from pipeline.record.store import Artifact
from pipeline.train.studies import ablation_page, arms, grid
from pipeline.train.studies.arms import ArmRun


def compare(job: Job) -> tuple[ablation_page.AblationPage, pd.DataFrame]:
    """The content of the page, and the complete table: one row per arm, with its comparisons."""
    config = job.settings.config
    study = grid.read(Path(str(job.params["grid"])))
    inputs = dict(job.inputs)
    trained = arms.runs(lambda need: inputs[need.stage], job.settings, study, job.home)
    oofs = [load.oof(inputs[run.input], run.input) for run in trained]
    ids = oofs[0].ids_N
    known = load.samples(inputs["data"], "train", job.home).take(ids)
    cells, planned = grid.arms(study), grid.pairs(study)
    by_arm = [
        [oof.take(ids).p_NC for oof, run in zip(oofs, trained, strict=True) if run.arm == number]
        for number in range(len(cells))
    ]
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    compared, y_N, groups_N = [(new, old) for new, old, _ in planned], known.labels, known.groups_N
    scores = statistics.compare_arms(metric, y_N, by_arm, compared, groups_N, numbers.draws, numbers.seed)
    table = pd.DataFrame([{**cell.levels, **_cost(trained, inputs, n, job)} for n, cell in enumerate(cells)])
    table[metric.name] = scores.mean_A
    table["sd of seeds"] = scores.spread_A
    names = [", ".join(map(" ".join, fixed.items())) for fixed in study.against]
    page = ablation_page.AblationPage(
        grid=str(job.params["grid"]),
        about=study.about,
        metric=metric.name,
        table=table,
        axes=tuple(study.axes),
        against=tuple(names),
        comparisons=tuple(
            ablation_page.ArmRow(cells[new].name, names[which], c)
            for (new, _, which), c in zip(planned, scores.comparisons, strict=True)
        ),
        factor=scores.factor,
        seeds=len(study.seeds),
        scored=len(ids),
        equal_steps=study.equal_steps,
        equal_samples=study.equal_samples,
        seconds=study.seconds,
        transfer=_standing(trained, job, scores.mean_A.tolist()),
    )
    columns = _compared(planned, scores.comparisons, len(cells), names)
    return page, pd.concat([table, *columns], axis=1)


def _cost(trained: list[ArmRun], inputs: dict[str, Artifact], arm: int, job: Job) -> dict[str, float]:
    """The actual epochs, steps and wall time of a training, mean over seeds.

    The pass that made cached features counts in full, once for each training that reads them.
    """
    mine = [run for run in trained if run.arm == arm]
    seconds = 0.0
    for run in mine:
        fold_of = {n: r for n, r in inputs[run.input].inputs.items() if n.startswith("fold") and n != "folds"}
        folds = _results(job, set(fold_of.values()))
        # Heads that trained together read the features; each fold already has its share of their seconds.
        heads = _results(job, {r for fold in folds for r in fold.inputs.values() if r.startswith("heads/")})
        read = {r for part in (*folds, *heads) for r in part.inputs.values() if r.startswith("features/")}
        seconds += sum(part.seconds for part in (*folds, *_results(job, read)))
    epochs, steps = mine[0].settings.config.train.epochs, round(mine[0].steps)
    return {"epochs": epochs, "steps": steps, "seconds": round(seconds / len(mine), 1)}


def _results(job: Job, references: set[str]) -> list[Artifact]:
    """Results by `stage/key`, without those that are gone."""
    results = (job.store.find(*reference.split("/", 1)) for reference in references)
    return [artifact for artifact in results if artifact]


def _standing(trained: list[ArmRun], job: Job, score_A: list[float]) -> ablation_page.Standing | None:
    """The facts for the advice to freeze or fine-tune; None for arms of one strategy."""
    config = {run.arm: run.settings.config for run in trained}
    if len({c.train.strategy for c in config.values()}) < 2:
        return None
    probes = [score_A[arm] for arm, c in config.items() if c.train.strategy == "linear_probe"]
    tuned = [
        score_A[arm]
        for arm, c in config.items()
        if c.train.strategy == "full" and (c.model.weights != "none" or c.train.init_from is not None)
    ]
    metric = metrics.get(job.settings.config.competition.metric)
    best = max if metric.higher_is_better else min
    samples, plan = load.training(job.inputs["data"], job.home), load.plan(job.inputs["folds"])
    counts = np.bincount(samples.take(plan.splits[0].train_ids).for_training().labels)
    return ablation_page.Standing(
        per_class=float(np.median(counts[counts > 0])),
        metric=metric.name,
        frozen=best(probes) if probes else None,
        tuned=best(tuned) if tuned else None,
        higher_is_better=metric.higher_is_better,
    )


def _compared(
    planned: list[tuple[int, int, int]], comparisons: tuple[Comparison, ...], n_arms: int, names: list[str]
) -> list[pd.DataFrame]:
    """The columns of the table for each entry of `against`; empty where an arm is its own baseline."""
    tables = []
    for which, name in enumerate(names):
        rows: list[dict[str, float | str]] = [{} for _ in range(n_arms)]
        for (new, _, of), c in zip(planned, comparisons, strict=True):
            if of == which:
                rows[new] = {"delta": c.delta, "low": c.low, "high": c.high, "verdict": c.verdict}
        table = pd.DataFrame(rows, columns=["delta", "low", "high", "verdict"])
        tables.append(table.add_suffix(f" vs {name}"))
    return tables
