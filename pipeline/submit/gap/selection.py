"""Was the submission chosen for its luck? What the best of many out-of-fold scores owes to being the best.

Owns the estimate. On each resample of the groups the best run is chosen, and scored on the groups that
were not drawn: what it loses there, beyond what every run loses, is what choosing brought.
Source: Tsamardinos, Greasidou & Borboudakis (2018), Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation, doi:10.1007/s10994-018-5714-4 (BBC-CV).

Shape legend: N training images, K of them with predictions, C classes, A runs, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.group_resampling import numbered, times_drawn
from pipeline.core.metrics import Reals
from pipeline.core.noise import Band
from pipeline.core.samples import Floats, Ints
from pipeline.core.seeds import rng
from pipeline.submit.gap.causes import Cause, Scene

# Share of the noise band's standard deviation from which luck of choosing is worth a word.
MATTERS = 0.75
DRAWS = 200


@dataclass(frozen=True)
class Compared:
    """The runs that were compared on these folds.

    Args:
        names: of the runs.
        rows_K: the training images that they all answer.
        oofs: (K, C) their out-of-fold probabilities; perhaps not of all runs.
        total: how many there were in all, ≥ len(names).
        chosen: the name of the one that was submitted.
    """

    names: tuple[str, ...]
    rows_K: Ints
    oofs: Sequence[Floats]
    total: int
    chosen: str


def luck(scene: Scene, compared: Compared) -> float:
    """How much of the best run's score, in the metric's good direction, comes from being chosen."""
    metric, y_N = scene.metric, scene.labels[compared.rows_K]
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
    # Every run scores differently on fewer groups: only what the chosen one loses beyond that is luck.
    off_BA = inside_BA - outside_BA
    best_B = inside_BA.argmax(axis=1)
    return max(float((off_BA[np.arange(len(best_B)), best_B] - off_BA.mean(axis=1)).mean()), 0.0)


def check(scene: Scene, compared: Compared | None, gap: float | None, band: Band | None) -> Cause:
    """Over-selection on OOF."""
    how = (
        "On resamples of the groups: chose the best of the runs, and scored it on the groups left out "
        "(BBC-CV), beside what every run loses there."
    )
    if compared is None or len(compared.oofs) < 2 or band is None:
        told = "Hardly anything was compared on these folds, so nothing can have been chosen for its luck."
        return Cause("over_selection", False, told, how, "Nothing to do.")
    scores = [
        scene.metric.sign * scene.metric.score(scene.labels[compared.rows_K], p_KC) for p_KC in compared.oofs
    ]
    place = 1 + sum(s > scores[compared.names.index(compared.chosen)] for s in scores)
    lost = luck(scene, compared)
    many = f"{compared.total} runs were compared on these folds"
    about = f"the best of them owes about {lost:.4f} of its score to being the best"
    # The luck was measured, so the gap need not show it; a public score better than luck allows denies it.
    good = band.high if scene.metric.higher_is_better else -band.low
    shown = gap is None or scene.metric.sign * gap <= good
    if place > 1 or lost < MATTERS * band.sd or not shown:
        where = "the submission is the best of them" if place == 1 else f"the submission is number {place}"
        told = f"{many}, {where}; {about}"
        why = "" if lost < MATTERS * band.sd or shown else ", which the public score denies"
        return Cause("over_selection", False, f"{told}{why}.", how, "Nothing to do.")
    return Cause(
        "over_selection",
        True,
        f"{many} and the best of them was submitted: {about}; the public set's luck is ± {band.sd:.4f}.",
        how,
        "Expect the lower score; choose among fewer runs, by ideas; blend the best few instead of "
        "taking the first (`ensemble.members=[…]`), and re-run the top with other seeds (`train.seed`).",
        -scene.metric.sign * lost,
    )
