from dataclasses import replace

import numpy as np
import pytest
from answer_world import FACES, agreed, judged, planted, world

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.core.metrics import by_cells
from pipeline.core.predictions import Probabilities
from pipeline.errors.judging import estimate

MACRO, ACCURACY = metrics.get("macro_f1"), metrics.get("accuracy")


def test_all_flips_judged_by_a_perfect_eye_leave_nothing_open():
    made = world(5, people=40, training=40)
    _, sides, found = judged(made, 5, asked=10_000, controls=0, error=0, unsure=0)
    shown = estimate.estimate(ACCURACY, FACES, sides, found, agreed(made), 50, 0)
    c = shown.comparison
    assert shown.judged == shown.flips == len(found.at_J)
    assert c.low == pytest.approx(c.high) and c.delta == pytest.approx(planted(ACCURACY, made))
    flips = sides.stratum_N >= 0
    assert shown.new_right == pytest.approx((made.truth_N == made.new.labels_N)[flips].mean())


def test_a_sample_is_near_and_says_how_near():
    made = world(6)
    _, sides, found = judged(made, 6)
    shown = estimate.estimate(MACRO, FACES, sides, found, agreed(made), 100, 0)
    c = shown.comparison
    assert c.low < planted(MACRO, made) < c.high and 0.02 < c.high - c.low < 0.4
    assert shown.corrected and shown.controls == 30 and 0 < shown.mistaken < 20 and shown.unsure > 0
    again = estimate.estimate(MACRO, FACES, sides, found, agreed(made), 100, 0)
    assert again == shown, "the same seed gives the same figures"


def test_more_answers_tell_more():
    made = world(7)
    widths = []
    for asked in (30, 150):
        _, sides, found = judged(made, 7, asked=asked)
        c = estimate.estimate(ACCURACY, FACES, sides, found, agreed(made), 80, 0).comparison
        widths.append(c.high - c.low)
    assert widths[1] < 0.8 * widths[0]


def test_an_error_that_controls_measure_is_corrected():
    """A careless person pulls the naive figure towards nothing; the corrected one stays."""
    naive, corrected = [], []
    for seed in range(5):
        made = world(100 + seed, people=80, training=150, gain=0.12)
        _, sides, found = judged(made, seed, asked=10_000, controls=150, error=0.25, unsure=0)
        truth = planted(ACCURACY, made)
        blank = np.zeros((0, 3), dtype=np.int64)
        bare = replace(found, control_truth_NA=blank, control_answer_NA=blank)
        naive.append(estimate.estimate(ACCURACY, FACES, sides, bare, None, 20, 0).comparison.delta - truth)
        known = estimate.estimate(ACCURACY, FACES, sides, found, None, 20, 0)
        corrected.append(known.comparison.delta - truth)
    assert np.mean(naive) < -0.03 and abs(np.mean(corrected)) < 0.6 * abs(np.mean(naive))


def test_few_answers_prove_nothing():
    made = world(8, gain=0.12)
    _, sides, found = judged(made, 8, error=0, unsure=0)
    right = np.flatnonzero(made.truth_N[found.at_J] == made.new.labels_N[found.at_J])[:8]
    few = replace(found, at_J=found.at_J[right], codes_JA=found.codes_JA[right], drawn_J=found.drawn_J[right])
    c = estimate.estimate(ACCURACY, FACES, sides, few, agreed(made), 100, 0).comparison
    assert c.low > 0 and c.verdict == "can't tell" and "8 judged" in c.note


def test_what_an_earlier_comparison_asked_stands_for_itself_alone():
    made = world(9)
    _, sides, found = judged(made, 9, error=0, unsure=0, controls=0)
    flips = np.flatnonzero(sides.stratum_N >= 0)
    right = flips[made.truth_N[flips] == made.new.labels_N[flips]]
    extra = np.setdiff1d(right, found.at_J)  # not a random choice: all of them favour the new side
    codes = FACES.codes_CA[made.truth_N[extra]]
    known = replace(
        found,
        at_J=np.concatenate([found.at_J, extra]),
        codes_JA=np.concatenate([found.codes_JA, codes]),
        drawn_J=np.concatenate([found.drawn_J, np.zeros(len(extra), bool)]),
    )
    wrong = replace(known, drawn_J=np.ones(len(known.at_J), bool))
    truth = planted(ACCURACY, made)
    apart = estimate.estimate(ACCURACY, FACES, sides, known, agreed(made), 100, 0).comparison
    mixed = estimate.estimate(ACCURACY, FACES, sides, wrong, agreed(made), 100, 0).comparison
    assert mixed.delta > truth and abs(apart.delta - truth) > 0, "what is left is all against the new side"
    assert apart.delta >= truth, "known ones count once"


def test_any_metric_serves():
    made = world(10, people=60, training=60)
    _, sides, found = judged(made, 10)
    own = metrics.Metric(
        "own.hits",
        True,
        "labels",
        0,
        1,
        "share of hits",
        on_counts=by_cells(lambda y, p: float((y == p).mean())),
    )
    ours = estimate.estimate(own, FACES, sides, found, agreed(made), 30, 0)
    theirs = estimate.estimate(ACCURACY, FACES, sides, found, agreed(made), 30, 0)
    assert ours.comparison.delta == pytest.approx(theirs.comparison.delta)
    loss = metrics.get("log_loss")
    with pytest.raises(DataError, match="log_loss needs probabilities"):
        estimate.estimate(loss, FACES, sides, found, None, 30, 0)
    n = FACES.n_classes
    soft = [np.eye(n, dtype=np.float32)[side] * 0.6 + 0.4 / n for side in (sides.new_N, sides.old_N)]
    ids = made.new.ids_N
    p_new, p_old = (Probabilities(ids, FACES.classes, p).p_NC for p in soft)
    shown = estimate.estimate(
        loss, FACES, replace(sides, p_new_NC=p_new, p_old_NC=p_old), found, agreed(made), 30, 0
    )
    assert np.sign(shown.comparison.delta) == np.sign(theirs.comparison.delta)


def test_no_flip_judged_is_an_error():
    made = world(11, people=20, training=10)
    _, sides, found = judged(made, 11)
    none = replace(found, at_J=found.at_J[:0], codes_JA=found.codes_JA[:0], drawn_J=found.drawn_J[:0])
    with pytest.raises(DataError, match="no flip was judged"):
        estimate.estimate(ACCURACY, FACES, sides, none, None, 10, 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("error", "unsure", "controls"), [(0.08, 0.05, 30), (0.0, 0.0, 0)], ids=["who errs", "who never errs"]
)
def test_the_interval_covers_a_planted_truth(error, unsure, controls):
    """200 competitions: the 95 % interval of the macro-F1 difference holds the truth in 90 to 99 %."""
    inside = []
    for seed in range(200):
        made = world(1000 + seed, people=80, training=150)
        _, sides, found = judged(made, seed, asked=80, controls=controls, error=error, unsure=unsure)
        c = estimate.estimate(MACRO, FACES, sides, found, agreed(made), 150, seed).comparison
        inside.append(c.low <= planted(MACRO, made) <= c.high)
    assert 0.90 <= np.mean(inside) <= 0.99, np.mean(inside)
