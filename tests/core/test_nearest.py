import numpy as np
import pytest

from pipeline.core import neighbours
from pipeline.core.errors import DataError
from pipeline.core.neighbours import Known, folds_of
from pipeline.core.seeds import rng


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


# The one search: what seven modules did by hand or by scikit-learn.


def listed(far_QN, k):
    """Every row sorted in full; of equal distances the earlier row."""
    return np.argsort(far_QN, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [neighbours.squares, neighbours.against])
def test_search_is_a_full_sort_cut_short(dtype, distance):
    x = neighbours.unit_rows(np.random.default_rng(1).normal(size=(90, 5))).astype(dtype)
    asked, known = x[:30], x[30:]
    index, near = neighbours.search(asked, known, 7, distance)
    np.testing.assert_array_equal(index, listed(distance(asked, known), 7))
    np.testing.assert_array_equal(near, np.take_along_axis(distance(asked, known), index, axis=1))
    assert near.dtype == dtype


def test_of_equally_near_rows_the_earlier_ones_are_taken():
    x = np.ones((6, 3), np.float32)
    rows = np.arange(6)
    index, _ = neighbours.search(x, x, 3, neighbours.against, (rows, rows))
    assert index.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_rows_of_the_same_group_are_no_neighbours_and_missing_ones_are_marked():
    x = np.array([[0.0], [1.0], [2.0], [10.0]])
    groups = np.array([0, 0, 0, 1])
    index, near = neighbours.search(x, x, 9, neighbours.squares, (groups, groups))
    assert index.tolist() == [[3, -1, -1, -1]] * 3 + [[2, 1, 0, -1]]
    assert np.isinf(near[0, 1:]).all() and near[3, :3].tolist() == [64.0, 81.0, 100.0]


def test_it_finds_what_scikit_learn_finds():
    from sklearn.neighbors import NearestNeighbors

    x = np.random.default_rng(2).random((300, 20))
    distance, expected = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(x).kneighbors()
    rows = np.arange(len(x))
    index, square = neighbours.search(x, x, 11, neighbours.squares, (rows, rows))
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(np.sqrt(square), distance, rtol=0, atol=1e-12)


def test_suspects_and_links_find_the_same_rows_as_a_partition_by_cosine():
    from pipeline.ensemble import grouping

    x = np.random.default_rng(3).normal(size=(200, 8)).astype(np.float32)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    groups = np.arange(200) // 3
    other = np.where(groups[:, None] == groups[None], -np.inf, cosine)
    expected = np.sort(np.argpartition(-other, 9, axis=1)[:, :10], axis=1)
    found, _ = neighbours.search(unit, unit, 10, neighbours.against, (groups, groups))
    np.testing.assert_array_equal(np.sort(found, axis=1), expected)
    np.fill_diagonal(cosine, -np.inf)
    near = [set(row) for row in np.argpartition(-cosine, 3, axis=1)[:, :4].tolist()]
    pairs = {(a, b) for a in range(200) for b in near[a] if a < b and a in near[b]}
    links = grouping.mutual_links(x, 4)
    assert set(zip(links.one_E.tolist(), links.other_E.tolist(), strict=True)) == pairs
    np.testing.assert_array_equal(links.cosine_E, cosine[links.one_E, links.other_E].astype(np.float64))


def test_maps_agree_by_the_neighbours_that_scikit_learn_finds():
    from sklearn.neighbors import NearestNeighbors

    from pipeline.explain.embedding import Map, agreement

    places = [np.random.default_rng(k).random((80, 2)).astype(np.float32) for k in range(2)]
    places.append((places[0] + 0.05 * places[1]).astype(np.float32))
    near = [NearestNeighbors(n_neighbors=6).fit(xy).kneighbors(return_distance=False) for xy in places]
    shared = [
        np.mean([len(np.intersect1d(a, b)) / 6 for a, b in zip(near[i], near[j], strict=True)])
        for i in range(3)
        for j in range(i)
    ]
    assert agreement([Map(xy, 0, 1.0) for xy in places], 6) == np.mean(shared)


def test_of_very_many_rows_some_are_searched_for_each(monkeypatch):
    x_ND = rng(1, "rows").normal(size=(60, 3))
    every = np.arange(60)
    whole = neighbours.search_each(x_ND, 4, neighbours.squares, every)
    assert (whole[0] == neighbours.search(x_ND, x_ND, 4, neighbours.squares, (every, every))[0]).all()
    monkeypatch.setattr(neighbours, "MOST_SEARCHED", 10)
    index_NK, near_NK = neighbours.search_each(x_ND, 4, neighbours.squares, every)
    assert len(np.unique(index_NK)) <= 10 and (index_NK != every[:, None]).all()
    apart = np.square(x_ND[:, None] - x_ND[index_NK]).sum(axis=2)
    np.testing.assert_allclose(near_NK, apart, rtol=1e-9)
