import numpy as np
import pytest
from analyze_cases import SPACE, case, probabilities
from sklearn.metrics import confusion_matrix, f1_score

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.errors.diff.mistakes import find_mistakes

MADE = case()


def oof(seed: int = 3, skill: float = 1.5) -> Probabilities:
    return probabilities(MADE.train.ids_N, MADE.train.labels, seed, skill)


def test_numbers_equal_scikit_learn_whatever_the_order():
    order = np.random.default_rng(0).permutation(len(MADE.train))
    run = oof()
    found = find_mistakes(run.take(run.ids_N[order]), MADE.train)
    y, pred = MADE.train.labels, run.labels()
    assert (found.confusion["class"] == confusion_matrix(y, pred, labels=range(4))).all()
    parity = SPACE.codes_CA[:, 1]
    assert (found.confusion["parity"] == confusion_matrix(parity[y], parity[pred])).all()
    table = found.tables["class"].set_index("class")
    assert np.allclose(table.loc[list(SPACE.classes), "F1"], f1_score(y, pred, average=None))
    assert table["F1"].is_monotonic_increasing and table["images"].sum() == 120
    assert found.n_wrong == (y != pred).sum()
    assert found.wrong["class"] == pytest.approx((y != pred).mean())


def test_pairs_show_real_errors_most_sure_first():
    run = oof()
    found = find_mistakes(run, MADE.train)
    assert [p.images for p in found.pairs] == sorted((p.images for p in found.pairs), reverse=True)
    pair = found.pairs[0]
    assert pair.images == found.confusion["class"][pair.true, pair.predicted]
    for key in pair.keys:
        true, predicted, _ = found.answers[key]
        assert (true, predicted) == (pair.true, pair.predicted)
    sure = [found.answers[key][2] for key in pair.keys]
    assert sure == sorted(sure, reverse=True) and all(t != p for t, p, _ in found.answers.values())


def test_some_folds_only():
    run = oof()
    assert find_mistakes(run.take(run.ids_N[:30]), MADE.train).n_images == 30


def test_reliability_tells_an_oversure_run():
    y = MADE.train.labels
    p = np.full((len(y), 4), 0.01)
    wrong = np.arange(len(y)) % 2 == 0
    p[np.arange(len(y)), np.where(wrong, (y + 1) % 4, y)] = 0.97
    found = find_mistakes(Probabilities(MADE.train.ids_N, SPACE.classes, p), MADE.train)
    assert found.reliability.error == pytest.approx(0.47, abs=1e-6)
    assert found.reliability.excess == pytest.approx(0.47, abs=1e-6)
    assert found.sure_wrong == found.n_wrong == 60


def test_a_perfect_run_has_no_mistakes():
    found = find_mistakes(
        Probabilities(MADE.train.ids_N, SPACE.classes, np.eye(4)[MADE.train.labels]), MADE.train
    )
    assert found.n_wrong == 0 and found.pairs == ()


def test_unknown_ids_and_emptiness_are_refused():
    with pytest.raises(DataError, match="missing"):
        find_mistakes(Probabilities(["nobody"], SPACE.classes, np.eye(4)[:1]), MADE.train)
    with pytest.raises(DataError, match="no out-of-fold"):
        find_mistakes(Probabilities([], SPACE.classes, np.zeros((0, 4))), MADE.train)


def test_of_hundreds_of_classes_the_pairs_stay_and_no_matrix_is_made():
    space = LabelSpace.product([Attribute("whale", tuple(f"w{n}" for n in range(400)))])
    ids = strings([f"i{n:03d}" for n in range(500)])
    y = np.r_[np.arange(400), np.full(100, 7)].astype(np.int64)
    train = Samples(ids, ids, ids, space, y, "train")
    said = np.where(y == 7, 8, y)
    p = np.full((500, 400), 1e-6, np.float32)
    p[np.arange(500), said] = 1 - 399e-6
    found = find_mistakes(Probabilities(ids, space.classes, p), train)
    assert not found.confusion and found.wrong["class"] == pytest.approx(101 / 500)
    (pair,) = found.pairs
    assert (pair.true, pair.predicted, pair.images, pair.share) == (7, 8, 101, 1.0)
