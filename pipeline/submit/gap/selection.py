"""Selection bias: how much of the best out-of-fold score is due to being the best of many runs.

Owns the estimate and gathering the runs. On each resample of the groups the best run is chosen, and scored on
the groups that were not drawn: its loss there, beyond the mean loss of all runs, is the luck of being chosen.
Source: Tsamardinos, Greasidou & Borboudakis (2018), Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation, doi:10.1007/s10994-018-5714-4 (BBC-CV).

Shape legend: N training images, K of them with predictions, C classes, A runs, B resamples, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import metrics
from pipeline.core.group_resampling import numbered, times_drawn
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Floats, Ints, Samples
from pipeline.core.seeds import rng
from pipeline.core.statistics import Band
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine.stage import Job
from pipeline.record.store import Artifact
from pipeline.submit import texts
from pipeline.submit.gap.scene import Cause, GapScene

# Share of the noise band's standard deviation from which the luck of selection is reported.
MATTERS = 0.75
DRAWS = 200
# With more runs, only the best ones are read.
MOST_RUNS = 200
STAGES = ("train", "infer", "ensemble")


@dataclass(frozen=True)
class Compared:
    """The runs that were compared on these folds.

    Args:
        names: of the runs.
        rows_K: the training images that all of them predict.
        oofs: (K, C) out-of-fold probabilities of each named run.
        total: number of all runs, ≥ len(names).
        chosen: the name of the run that was submitted.
    """

    names: tuple[str, ...]
    rows_K: Ints
    oofs: Sequence[Floats]
    total: int
    chosen: str


def compared_runs(job: Job, chosen: Artifact, folds: Artifact, train: Samples, rows_K: Ints) -> Compared:
    """The runs on the same data and folds, the best ones first; a training behind an inference counts once.

    `chosen`: the result that was submitted; `rows_K`: the training images that it predicts.
    """
    metric = metrics.get(job.settings.config.competition.metric)
    name, data = f"oof_{metric.name}", job.inputs["data"]
    same = {"data": data.address, "folds": folds.address}
    runs = [
        a
        for a in job.store.chosen(*STAGES)
        if name in a.metrics
        and a.metrics.get("complete") == 1.0
        and {n: a.inputs.get(n) for n in same} == same
    ]
    inferred = {a.inputs.get("train") for a in runs}
    runs = [a for a in runs if a.address not in inferred]
    runs.sort(key=lambda a: -metric.sign * a.metrics[name])
    read = [chosen, *(a for a in runs if a.key != chosen.key)][:MOST_RUNS]
    ids = train.ids_N[rows_K]
    oofs = {a.key: load.oof(a, a.key) for a in read}
    complete = {key: oof for key, oof in oofs.items() if len(np.setdiff1d(ids, oof.ids_N)) == 0}
    arms = [oof.with_classes(train.space.classes).take(ids).p_NC for oof in complete.values()]
    return Compared(tuple(complete), rows_K, arms, max(len(runs), len(arms)), chosen.key)


def luck(scene: GapScene, compared: Compared) -> float:
    """How much of the best run's score, in the metric's good direction, is due to being chosen."""
    metric, y_N = scene.metric, scene.truth[compared.rows_K]
    group_N, n_groups = numbered(scene.groups[compared.rows_K])
    generator = rng(scene.settings.seed, "over-selection", len(compared.oofs))
    resamplers = [metric.resampler(y_N, p_KC) for p_KC in compared.oofs]
    times_BG = times_drawn(generator, n_groups, DRAWS)
    times_BG = times_BG[(times_BG == 0).any(axis=1)]
    if not len(times_BG):
        return 0.0
    inside_BN = times_BG[:, group_N].astype(np.float64)
    outside_BN = (inside_BN == 0).astype(np.float64)
    inside, outside = (
        metric.sign * np.stack([score(w_BN) for score in resamplers], axis=1)
        for w_BN in (inside_BN, outside_BN)
    )
    return _lost(inside, outside)


def _lost(inside_BA: Reals, outside_BA: Reals) -> float:
    # Every run scores differently on fewer groups: only the loss of the chosen one beyond that is luck.
    off_BA = inside_BA - outside_BA
    best_B = inside_BA.argmax(axis=1)
    return max(float((off_BA[np.arange(len(best_B)), best_B] - off_BA.mean(axis=1)).mean()), 0.0)


def check(scene: GapScene, compared: Compared | None, gap: float | None, band: Band | None) -> Cause:
    """Over-selection on OOF."""
    how = texts.SELECTION_HOW
    if compared is None or len(compared.oofs) < 2 or band is None:
        return Cause("over_selection", False, texts.NO_SELECTION, how, texts.NOTHING_TO_DO)
    scores = [
        scene.metric.sign * scene.metric.score(scene.truth[compared.rows_K], p_KC) for p_KC in compared.oofs
    ]
    place = 1 + sum(s > scores[compared.names.index(compared.chosen)] for s in scores)
    lost = luck(scene, compared)
    runs = worded(texts.RUNS_COMPARED, runs=compared.total)
    luck_text = texts.LUCK_OF_BEST.format(luck=lost)
    # The luck was measured, so the gap need not show it; a public score better than luck allows contradicts
    # it.
    good = band.high if scene.metric.higher_is_better else -band.low
    possible = gap is None or scene.metric.sign * gap <= good
    if place > 1 or lost < MATTERS * band.sd or not possible:
        place_text = texts.IS_BEST if place == 1 else texts.IS_NUMBER.format(place=place)
        denied = "" if lost < MATTERS * band.sd or possible else texts.DENIED
        headline = texts.SELECTION_HARMLESS.format(runs=runs, place=place_text, luck=luck_text, denied=denied)
        return Cause("over_selection", False, headline, how, texts.NOTHING_TO_DO)
    headline = texts.SELECTION.format(runs=runs, luck=luck_text, sd=band.sd)
    effect = -scene.metric.sign * lost
    return Cause("over_selection", True, headline, how, texts.SELECTION_ANSWER, effect)
