import numpy as np
import pytest

from pipeline.core.seeds import rng
from pipeline.errors.judging import rater

NONE = np.zeros(0, np.int64)


def attribute(new, old, said, truth=NONE, control=NONE, size=3):
    arrays = [np.asarray(a, dtype=np.int64) for a in (new, old, said, truth, control)]
    return rater.RatedAttribute(size, *arrays)


def test_without_controls_an_answer_is_the_truth_and_unsure_says_nothing():
    one = attribute([0, 0, 0], [1, 1, 1], [0, 2, -1])
    assert not one.measured
    p_JK = rater.TruthModel(one).truth(rater.confusion(one, None), np.ones(3))
    assert p_JK[:2].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert p_JK[2].sum() == pytest.approx(1) and p_JK[2, 0] == pytest.approx(p_JK[2, 2])


def test_the_persons_confusion_is_found():
    draw = rng(0, "controls")
    truth = draw.integers(0, 3, 3000)
    said = np.where(draw.random(3000) < 0.2, (truth + 1) % 3, truth)
    said = np.where(draw.random(3000) < 0.1, -1, said)
    one = attribute([0], [1], [0], truth, said)
    expected = np.array([[0.72, 0.18, 0, 0.1], [0, 0.72, 0.18, 0.1], [0.18, 0, 0.72, 0.1]])
    assert np.abs(rater.confusion(one, None) - expected).max() < 0.03
    draws = np.stack([rater.confusion(one, rng(0, "q", k)) for k in range(50)])
    assert draws.sum(axis=2) == pytest.approx(np.ones((50, 3))) and 0.002 < draws[:, 0, 1].std() < 0.03


def test_few_controls_leave_much_open():
    one = attribute([0], [1], [0], [0, 1] * 6, [0, 1] * 6)
    draws = np.stack([rater.confusion(one, rng(0, "q", k)) for k in range(200)])
    wrong = draws[:, 0, 1:3].sum(axis=1)
    assert 0 < wrong.mean() < 0.12 and wrong.max() > 0.1, "no error in 12 is no proof of none"


def test_a_biased_person_does_not_favour_the_side_that_errs_alike():
    """Who always takes 1 for 0 half of the time would give the truth's side too few points."""
    draw = rng(1, "biased")
    n = 2000
    truth = draw.integers(0, 2, n)
    new, old = np.where(draw.random(n) < 0.7, truth, 1 - truth), None
    old = 1 - new
    said = np.where((truth == 1) & (draw.random(n) < 0.4), 0, truth)
    control_truth = draw.integers(0, 2, n)
    control = np.where((control_truth == 1) & (draw.random(n) < 0.4), 0, control_truth)
    one = attribute(new, old, said, control_truth, control, size=2)
    p_JK = rater.TruthModel(one).truth(rater.confusion(one, None), np.ones(n))
    naive = (said == new).mean()
    corrected = p_JK[np.arange(n), new].mean()
    assert abs(naive - 0.7) > 0.05 and abs(corrected - 0.7) < 0.03
    assert abs(p_JK[:, 1].mean() - truth.mean()) < 0.05 < abs(said.mean() - truth.mean())
