import numpy as np
import pytest

from pipeline.core import neighbours
from pipeline.core.errors import DataError
from pipeline.core.neighbours import Known, folds_of


def known(x_ND, groups=None, labels=None, folds=None, twins=()):
    n = len(x_ND)
    ids = np.array([f"i{k}" for k in range(n)])
    return Known(
        ids,
        np.asarray(x_ND, np.float32),
        ids if groups is None else np.array(groups),
        np.zeros(n, np.int64) if labels is None else np.array(labels),
        np.zeros(n, np.int64) if folds is None else np.array(folds),
        twins,
    )


def test_neighbours_by_angle_and_by_distance_differ():
    points = known([[1, 0], [10, 1], [0.9, 0.5], [0, 1]])
    (by_angle,) = neighbours.nearest(points, ["i0"], 3)
    assert [n.id for n in by_angle.neighbours] == ["i1", "i2", "i3"]
    assert by_angle.neighbours[2].distance == pytest.approx(1.0)
    (by_pixels,) = neighbours.nearest(points, ["i0"], 3, "euclidean")
    assert [n.id for n in by_pixels.neighbours] == ["i2", "i3", "i1"]
    assert by_pixels.neighbours[1].distance == pytest.approx(2**0.5, abs=1e-4)


def test_it_agrees_with_brute_force_in_many_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 120)
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    points = known(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for reading in neighbours.nearest(points, points.ids_N.tolist(), 5):
        at = int(reading.id[1:])
        order = [k for k in np.argsort(-(unit @ unit[at]), kind="stable") if k != at][:5]
        assert [n.id for n in reading.neighbours] == [f"i{k}" for k in order]


def test_every_neighbour_carries_its_marks():
    points = known(
        [[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4]],
        groups=["a", "a", "b", "c", "d"],
        labels=[0, 0, 1, 0, 1],
        folds=[0, 0, 0, 1, 1],
        twins=[("i0", "i2"), ("i3", "i4")],
    )
    (found,) = neighbours.nearest(points, ["i0"], 9)
    assert [n.marks for n in found.neighbours] == [
        ("same group", "held out too"),
        ("near-duplicate", "other label", "held out too"),
        (),
        ("other label",),
    ]
    assert (found.agreeing, found.others) == (1, 2), "same group and copies are no evidence"
    assert [n.other_fold for n in found.neighbours] == [False, False, True, True]


def test_equal_distances_keep_the_table_order_and_unknown_ids_are_refused():
    points = known([[1, 0]] * 5)
    (found,) = neighbours.nearest(points, ["i2"], 3)
    assert [n.id for n in found.neighbours] == ["i0", "i1", "i3"]
    with pytest.raises(DataError, match="nobody"):
        neighbours.nearest(points, ["i0", "nobody"], 3)
    assert neighbours.nearest(points, [], 3) == ()


def test_pixels_are_shrunk_before_they_are_compared():
    x = np.zeros((2, 64, 96, 3), np.uint8)
    x[1] = 255
    found = neighbours.as_pixels(x, 32)
    assert found.shape == (2, 32 * 21 * 3) and found[1].min() == 1 and found[0].max() == 0


def test_folds_of_names_the_first_fold_that_validates():
    ids = np.array(["a", "b", "c"])
    assert folds_of(ids, [np.array(["b"]), np.array(["a", "b"])]).tolist() == [1, 0, -1]
