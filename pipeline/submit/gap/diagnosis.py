"""Why the public score differs from the out-of-fold score: every cause checked, the most likely first.

Owns which checks run, and how they depend on each other. Does not own the checks (`gap/leak.py`,
`gap/shift.py`, `gap/label_shift.py`, `gap/selection.py`), the ranking and the verdict (`gap/scene.py`)
nor the page (`submit/page.py`).
"""

from __future__ import annotations

import numpy as np

from pipeline.core import statistics
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.statistics import Band
from pipeline.core.targets import EXCLUSIVE
from pipeline.submit import texts
from pipeline.submit.gap import label_shift, leak, selection, shift
from pipeline.submit.gap.scene import (
    AVERAGING,
    NOISE,
    UNEXPLAINED,
    Cause,
    Diagnosis,
    GapScene,
    Question,
    Submitted,
    ranked,
)
from pipeline.submit.gap.selection import Compared

# A gap outside the 95 % band happens to every 20th submission; only one outside 99 % needs a cause.
RARE = 0.01
HALF = 0.5


def diagnose(
    scene: GapScene, submitted: Submitted | None, compared: Compared | None, question: Question
) -> Diagnosis:
    """Run every check; without the submission's predictions, those that need them are left out."""
    draws = None if submitted is None else _draws(scene, submitted, question)
    band = None if draws is None else statistics.band_of(draws, question.public_groups)
    p = None if draws is None or question.gap is None else _p_value(draws, question.gap)
    # Comparing train with test needs groups that the data do not name; folds and scores use those of the
    # data.
    joined = shift.with_look_alikes(scene)
    difference = shift.compare_sets(joined)
    predicted = None if submitted is None or not len(submitted.test_TC) else submitted
    few = scene.space.n_classes <= label_shift.MOST_CLASSES
    exclusive = scene.space.kind == EXCLUSIVE and few
    priors = label_shift.estimate(scene, predicted) if predicted is not None and exclusive else None
    by_classes = False
    if priors is not None and priors.shifted and difference.alarm:
        after = shift.compare_sets(joined, label_shift.matched(scene, priors))
        # Fewer images raise an alarm less easily, so the difference itself must be gone, too.
        by_classes = not after.alarm and after.strength <= HALF * difference.strength
    causes = [
        *leak.check(scene, difference.alarm and not by_classes),
        *shift.check(joined, difference, by_classes, submitted),
        selection.check(scene, compared, question.gap, band),
    ]
    if predicted is not None:
        reliable = not any(c.kind == "transform" and c.found for c in causes)
        causes.append(
            label_shift.check_columns(scene, predicted, reliable)
            if priors is None
            else label_shift.check(scene, predicted, priors, reliable)
        )
    causes.append(_noise(scene, question, (band, p), any(c.found for c in causes)))
    return Diagnosis(question, band, p, ranked(causes, question.gap, band))


def _draws(scene: GapScene, submitted: Submitted, question: Question) -> Reals:
    y_K, groups_K = scene.truth[submitted.rows_K], scene.groups[submitted.rows_K]
    size, seed = question.public_groups, scene.settings.seed
    return statistics.gap_draws(scene.metric, y_K, submitted.oof_KC, groups_K, size, scene.draws, seed)


def _p_value(draws_B: Reals, gap: float) -> float:
    """Two-sided: the share of draws at least as far from the median."""
    middle = float(np.median(draws_B))
    return float((1 + (np.abs(draws_B - middle) >= abs(gap - middle)).sum()) / (1 + len(draws_B)))


def _noise(scene: GapScene, question: Question, luck: tuple[Band | None, float | None], other: bool) -> Cause:
    """The cause where no check found one: luck, the gain from averaging, or unexplained."""
    band, p = luck
    averaged = len(scene.plan) > 1
    how = texts.NOISE_HOW.format(groups=question.public_groups)
    if band is None or p is None:
        return Cause(NOISE, not other, texts.NO_OTHER_CAUSE, how, texts.SCORE_FIRST)
    if p > RARE or other:
        often = texts.LUCK_OFTEN.format(percent=100 * p) if p >= 0.01 else texts.LUCK_IS_NOT_ENOUGH
        headline = (texts.NOISE if other else texts.PLAIN_NOISE).format(often=often)
        return Cause(NOISE, not other, headline, how, texts.NOISE_ANSWER)
    if averaged and scene.metric.sign * ((question.gap or 0.0) - band.middle) > 0:
        how = texts.AVERAGING_HOW.format(how=how)
        return Cause(AVERAGING, True, texts.AVERAGING, how, texts.AVERAGING_ANSWER)
    return Cause(UNEXPLAINED, True, texts.UNEXPLAINED, how, texts.UNEXPLAINED_ANSWER)
