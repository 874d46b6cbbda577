"""`make ablate`: any grid of settings, trained by the ordinary stages, ending in one table.

    make ablate GRID=configs/ablate/resample_quick.yaml
    make ablate GRID=mine.yaml ARGS="competition=digits train.folds=[0]"

Owns the table and its comparisons. Does not own the trainings (`stages/arms.py` names them, `train`
makes them) or the correction for many arms (`core/arms.py`).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.analyze import ablation
from pipeline.core import arms as many
from pipeline.core import metrics
from pipeline.core.predictions import Comparison
from pipeline.record.store import Artifact
from pipeline.settings import ablate
from pipeline.stages import arms, load
from pipeline.stages.arms import ArmRun
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write ablation.csv and ablation.html."""
    config = job.settings.config
    grid = ablate.read(Path(str(job.params["grid"])))
    inputs = dict(job.inputs)
    trained = arms.runs(arms.find_in(inputs), job.settings, grid, job.home)
    oofs = [load.oof(inputs[run.input], run.input) for run in trained]
    ids = oofs[0].ids_N
    known = load.samples(inputs["data"], "train", job.home).take(ids)
    cells = ablate.arms(grid)
    by_arm = [
        [oof.take(ids).p_NC for oof, run in zip(oofs, trained, strict=True) if run.arm == number]
        for number in range(len(cells))
    ]
    planned = ablate.pairs(grid)
    metric = metrics.get(config.competition.metric)
    statistics = config.statistics
    scores = many.compare_arms(
        metric,
        known.labels,
        by_arm,
        [(new, old) for new, old, _ in planned],
        known.groups_N,
        statistics.draws,
        statistics.seed,
    )
    table = pd.DataFrame([{**cell.levels, **_cost(trained, inputs, n, job)} for n, cell in enumerate(cells)])
    table[metric.name] = scores.mean_A
    table["sd of seeds"] = scores.spread_A
    names = [", ".join(map(" ".join, fixed.items())) for fixed in grid.against]
    compared = _compared(planned, scores.comparisons, len(cells), names)
    whole = pd.concat([table, *compared], axis=1)
    whole.to_csv(job.draft / "ablation.csv", index=False)
    page = ablation.AblationPage(
        grid=str(job.params["grid"]),
        about=grid.about,
        metric=metric.name,
        table=table,
        axes=tuple(grid.axes),
        against=tuple(names),
        comparisons=tuple(
            ablation.Row(cells[new].name, names[which], c)
            for (new, _, which), c in zip(planned, scores.comparisons, strict=True)
        ),
        factor=scores.factor,
        seeds=len(grid.seeds),
        scored=len(ids),
        equal_steps=grid.equal_steps,
        equal_samples=grid.equal_samples,
    )
    title = config.competition.title or config.competition.name
    (job.draft / "ablation.html").write_text(ablation.render_html(page, title, config), encoding="utf-8")
    figures = {
        "arms": float(len(cells)),
        "trainings": float(len(trained)),
        "comparisons": float(len(planned)),
        "better": float(sum(c.verdict == "better" for c in scores.comparisons)),
        "worse": float(sum(c.verdict == "worse" for c in scores.comparisons)),
    }
    what = f"**What**: {grid.about or job.params['grid']}"
    about = f"{what}\n\n{ablation.headline(page)}\n\n**Report**: `ablation.html`"
    return Built(figures, tuple(ablation.lines(page)), about, ("ablation.html", "ablation.csv"))


def _cost(trained: list[ArmRun], inputs: dict[str, Artifact], arm: int, job: Job) -> dict[str, float]:
    """Epochs and steps a training really had, and its wall time, mean over seeds."""
    mine = [run for run in trained if run.arm == arm]
    seconds = 0.0
    for run in mine:
        for name, whole in inputs[run.input].inputs.items():
            if name.startswith("fold") and name != "folds":
                fold = job.store.find("fold", whole.partition("/")[2])
                seconds += fold.seconds if fold else 0.0
    return {
        "epochs": mine[0].settings.config.train.epochs,
        "steps": round(mine[0].steps),
        "seconds": round(seconds / len(mine), 1),
    }


def _compared(
    planned: list[tuple[int, int, int]], comparisons: tuple[Comparison, ...], n_arms: int, names: list[str]
) -> list[pd.DataFrame]:
    """For each line of `against`, its columns of the table; empty where an arm is its own baseline."""
    tables = []
    for which, name in enumerate(names):
        rows: list[dict[str, float | str]] = [{} for _ in range(n_arms)]
        for (new, _, of), c in zip(planned, comparisons, strict=True):
            if of == which:
                rows[new] = {"delta": c.delta, "low": c.low, "high": c.high, "verdict": c.verdict}
        table = pd.DataFrame(rows, columns=["delta", "low", "high", "verdict"])
        tables.append(table.add_suffix(f" vs {name}"))
    return tables
