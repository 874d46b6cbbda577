"""An ablation: scores, costs and corrected comparisons of the arms of a grid, as text and as a page.

Owns scoring finished trainings arm by arm, the headline, the tables, the plots, and the advice whether to
freeze or fine-tune: a table of data size and similarity with the cell of this competition, and the rules of
thumb behind "large" and "similar". Does not own the trainings (`train/studies/grid.py` names them, the stage
`train` makes them) nor the correction for many arms (`core/statistics.py`).

Source of the advice: Stanford CS231n, Transfer Learning, https://cs231n.github.io/transfer-learning/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core import metrics, statistics
from pipeline.core.predictions import Comparison
from pipeline.data import load
from pipeline.engine.stage import Job
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.record.store import Artifact
from pipeline.settings.schema import Config
from pipeline.train import columns, texts
from pipeline.train.studies import grid
from pipeline.train.studies.grid import ArmRun

# Images per class from which on data is large: ImageNet, the source of most weights, has about 1,300.
LARGE = 1000
# If the frozen backbone reaches this share of the score of fine-tuning, its features fit these images.
SIMILAR = 0.9
# (large, similar) -> what to do.
ADVICE = {
    (False, True): texts.SMALL_SIMILAR,
    (False, False): texts.SMALL_DIFFERENT,
    (True, True): texts.LARGE_SIMILAR,
    (True, False): texts.LARGE_DIFFERENT,
}
# The number of colours of a plot.
CURVES = 3
# If a training took this many times its budget, the measured rates did not hold.
BUSY = 1.5


def compare(job: Job) -> tuple[AblationPage, pd.DataFrame]:
    """The content of the page, and the complete table: one row per arm, with its comparisons."""
    config = job.settings.config
    study = grid.read(Path(str(job.params["grid"])))
    inputs = dict(job.inputs)
    trained = grid.runs(lambda need: inputs[need.stage], job.settings, study, job.home)
    oofs = [load.oof(inputs[run.input], run.input) for run in trained]
    ids = oofs[0].ids_N
    known = load.samples(inputs["data"], "train", job.home).take(ids)
    cells, planned = grid.arms(study), grid.pairs(study)
    by_arm = [
        [oof.take(ids).p_NC for oof, run in zip(oofs, trained, strict=True) if run.arm == number]
        for number in range(len(cells))
    ]
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    compared, y_N, groups_N = [(new, old) for new, old, _ in planned], known.truth, known.groups_N
    scores = statistics.compare_arms(metric, y_N, by_arm, compared, groups_N, numbers.draws, numbers.seed)
    table = pd.DataFrame([{**cell.levels, **_cost(trained, inputs, n, job)} for n, cell in enumerate(cells)])
    table[metric.name] = scores.mean_A
    table["sd of seeds"] = scores.spread_A
    names = [", ".join(map(" ".join, fixed.items())) for fixed in study.against]
    page = AblationPage(
        grid=str(job.params["grid"]),
        about=study.about,
        metric=metric.name,
        table=table,
        axes=tuple(study.axes),
        against=tuple(names),
        comparisons=tuple(
            ArmRow(cells[new].name, names[which], c)
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
    results = (job.store.at(reference) for reference in references)
    return [artifact for artifact in results if artifact]


def _standing(trained: list[ArmRun], job: Job, score_A: list[float]) -> Standing | None:
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
    counts = columns.holding(samples.take(plan.splits[0].train_ids).for_training())
    return Standing(
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


@dataclass(frozen=True)
class Standing:
    """The facts that place a competition in the table of freezing and fine-tuning.

    Args:
        per_class: training images of a fold per class, median over classes.
        frozen: the score of the best linear probe, or None when no arm is one.
        tuned: the best score of fine-tuning pretrained weights, or None.
    """

    per_class: float
    metric: str
    frozen: float | None
    tuned: float | None
    higher_is_better: bool = True

    @property
    def large(self) -> bool:
        """Whether there is much data."""
        return self.per_class >= LARGE

    @property
    def similar(self) -> bool | None:
        """Whether the pretrained features fit the images; None when the arms do not show it."""
        if self.frozen is None or self.tuned is None or not self.higher_is_better or self.tuned <= 0:
            return None
        return self.frozen >= SIMILAR * self.tuned


def transfer_table(standing: Standing) -> pd.DataFrame:
    """The four cells, with a mark on that of this competition, or on both if similarity is unknown."""
    rows = [
        {
            "data": "large" if large else "small",
            "images": texts.LIKE_PRETRAINING if similar else "different",
            "advice": advice,
            "here": "←" if large == standing.large and standing.similar in (similar, None) else "",
        }
        for (large, similar), advice in ADVICE.items()
    ]
    return pd.DataFrame(rows)


def transfer_lines(standing: Standing) -> list[str]:
    """The same for the terminal, with the reason for the mark."""
    rows = transfer_table(standing).to_dict("records")
    cells = [f"{row['here'] or ' '} {row['data']} data, {row['images']}: {row['advice']}" for row in rows]
    return [texts.TRANSFER_HEADING, *cells, why(standing)]


def why(standing: Standing) -> str:
    """The reason for the mark."""
    word = "large" if standing.large else "small"
    size = texts.DATA_SIZE.format(images=standing.per_class, size=word, large=LARGE)
    if standing.similar is None:
        return texts.SIMILARITY_UNKNOWN.format(size=size)
    assert standing.frozen is not None and standing.tuned is not None, "similar is known from both"
    return texts.SIMILARITY.format(
        size=size,
        share=standing.frozen / standing.tuned,
        metric=standing.metric,
        images="similar" if standing.similar else "different",
        similar=SIMILAR,
    )


@dataclass(frozen=True)
class ArmRow:
    """One planned comparison: the arm, its baseline, and the result."""

    arm: str
    against: str
    comparison: Comparison


@dataclass(frozen=True)
class AblationPage:
    """The result of a study.

    Args:
        metric: the score's name; a column of `table`.
        table: one row per arm: one column per axis, then epochs, steps, seconds, the score, sd of seeds.
        axes: the axes' names, in the table's order.
        factor: standard errors on either side of every interval.
        scored: images that every arm predicted.
        seconds: the budget of each training, where epochs were adjusted to equal wall time.
        transfer: where arms differ in their transfer strategy, the facts for the advice.
    """

    grid: str
    about: str
    metric: str
    table: pd.DataFrame
    axes: tuple[str, ...]
    against: tuple[str, ...]
    comparisons: tuple[ArmRow, ...]
    factor: float
    seeds: int
    scored: int
    equal_steps: bool
    equal_samples: bool = False
    seconds: float | None = None
    transfer: Standing | None = None


def headline(page: AblationPage) -> str:
    """How many arms are better or worse than their baseline, in a sentence."""
    verdicts = [row.comparison.verdict for row in page.comparisons]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    planned, unclear = plural(len(verdicts), "comparison"), len(verdicts) - better - worse
    return texts.ABLATION_HEADLINE.format(comparisons=planned, better=better, worse=worse, unclear=unclear)


def lines(page: AblationPage) -> list[str]:
    """The table for the terminal, and how to read it."""
    table = page.table.copy()
    for name in (page.metric, "sd of seeds"):
        table[name] = table[name].map("{:.4f}".format)
    names = [" · ".join(row) for row in page.table[list(page.axes)].itertuples(index=False)]
    for against in page.against:
        of_arm = {row.arm: row.comparison for row in page.comparisons if row.against == against}
        table[f"against {against}"] = [_cell(of_arm[name]) if name in of_arm else "–" for name in names]
    advice = transfer_lines(page.transfer) if page.transfer else []
    return [*table.to_string(index=False).splitlines(), headline(page), _reading(page), *advice]


def _cell(comparison: Comparison) -> str:
    sign = {"better": "+", "worse": "-"}.get(comparison.verdict, " ")
    low, high = signed(comparison.low), signed(comparison.high)
    return f"{signed(comparison.delta)} [{low}, {high}] {sign}"


def _reading(page: AblationPage) -> str:
    budget = texts.EQUAL_STEPS if page.equal_steps else texts.EQUAL_EPOCHS
    if page.equal_samples:
        budget = texts.EQUAL_SAMPLES
    if page.seconds is not None:
        budget = _wall_time(page.seconds, page.table["seconds"])
    notes = {row.comparison.note for row in page.comparisons if row.comparison.note}
    return texts.ABLATION_READING.format(
        seeds=plural(page.seeds, "seed"),
        budget=budget,
        images=page.scored,
        factor=page.factor,
        note=f" ({'; '.join(sorted(notes))})" if notes else "",
    )


def _wall_time(seconds: float, taken: pd.Series) -> str:
    """The planned and the actual wall time, which differ on a busy machine."""
    busy = texts.BUSY if taken.max() > BUSY * seconds else ""
    return texts.EQUAL_SECONDS.format(seconds=seconds, least=taken.min(), most=taken.max(), busy=busy)


def render_html(page: AblationPage, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    return render(
        "ablation.html",
        title=texts.ABLATION_TITLE.format(title=title),
        page=page,
        headline=headline(page),
        reading=_reading(page),
        table=page.table,
        differences=[(against, _whiskers(page, against), _table(page, against)) for against in page.against],
        curves=_curves(page),
        advice=transfer_table(page.transfer) if page.transfer else None,
        advice_why=why(page.transfer) if page.transfer else "",
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def _whiskers(page: AblationPage, against: str) -> Markup:
    rows = [
        plots.Whisker(row.arm, row.comparison.delta, row.comparison.low, row.comparison.high)
        for row in page.comparisons
        if row.against == against
    ]
    return plots.whiskers(rows, f"{page.metric} minus that of {against}", zero=True)


def _table(page: AblationPage, against: str) -> pd.DataFrame:
    rows = [
        (row.arm, c.delta, c.low, c.high, c.verdict)
        for row in page.comparisons
        if row.against == against and (c := row.comparison)
    ]
    return pd.DataFrame(rows, columns=["arm", "delta", "low", "high", "verdict"])


def _curves(page: AblationPage) -> list[tuple[str, Markup]]:
    """Score over steps: a plot for each level of the first axes, a curve for each level of the last but one.

    Only where the steps differ along the last axis, which is then the length of training.
    """
    if len(page.axes) < 2:
        return []
    *first, middle, _ = page.axes
    drawn = []
    groups = page.table.groupby(first, sort=False) if first else [("", page.table)]
    for name, rows in groups:
        by_level = [(str(level), r.sort_values("steps")) for level, r in rows.groupby(middle, sort=False)]
        if len(by_level) > CURVES or any(r["steps"].nunique() < 2 for _, r in by_level):
            return []
        curves = [plots.Curve(level, r["steps"].tolist(), r[page.metric].tolist()) for level, r in by_level]
        levels = " · ".join(str(level) for level in (name if isinstance(name, tuple) else (name,)) if level)
        heading = f"{', '.join(first)}: {levels}" if levels else f"by {middle}"
        label = f"{page.metric} over steps, {heading}"
        drawn.append((heading, plots.curves(curves, label, "steps", page.metric)))
    return drawn
