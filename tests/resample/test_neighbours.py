import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from pipeline.core.errors import DataError
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.resample import feature_space, indices
from pipeline.settings.resample import ResampleSettings

DIGITS = load_digits()
SPACE = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
# A long tail of real digits: 0 has 100 images, 9 has 10.
TAIL = np.concatenate([np.flatnonzero(DIGITS.target == d)[: 100 - 10 * d] for d in range(10)])


def world(per_group=4, seed=0):
    """(x, labels, groups): digits, every group some nearly equal images, as photos of one person are."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(DIGITS.target[TAIL], per_group)
    x = np.repeat(DIGITS.data[TAIL], per_group, axis=0) + draw.normal(0, 0.05, (len(labels), 64))
    groups = np.repeat([f"g{i:03d}" for i in range(len(TAIL))], per_group)
    order = draw.permutation(len(labels))
    return x[order].astype(np.float32), labels[order], groups[order]


def space(targets, per_group=4, k=3, views=1, seed=1):
    x, labels, groups = world(per_group)
    x_NVD = np.stack([x + v for v in range(views)], axis=1)
    sizes = np.bincount(labels)
    return feature_space.FeatureSpace(
        x_NVD, labels, groups, {c: targets(int(n)) for c, n in enumerate(sizes)}, k, seed
    )


def test_neighbours_are_those_of_other_groups_by_brute_force():
    some = space(lambda n: n)
    table, near = some.table(), some.near_ND
    distance, index = some.others(6).fit(table).kneighbors(table)
    for i in np.random.default_rng(0).choice(len(near), 40, replace=False):
        others = np.flatnonzero(some.groups_N != some.groups_N[i])
        gap = np.linalg.norm(near[others] - near[i], axis=1)
        assert index[i, 0] == i and distance[i, 0] == 0
        assert np.allclose(np.sort(distance[i, 1:]), np.sort(gap)[:5], atol=1e-3)
        assert some.groups_N[i] not in some.groups_N[index[i, 1:]]


def test_plain_neighbours_would_have_been_of_the_same_group():
    some = space(lambda n: n)
    near = some.near_ND
    index = NearestNeighbors(n_neighbors=4).fit(near).kneighbors(near, return_distance=False)[:, 1:]
    assert (some.groups_N[index] == some.groups_N[:, None]).mean() > 0.75


def test_queries_that_were_not_fitted_get_as_many_neighbours_and_none_of_their_group():
    some = space(lambda n: n)
    table = some.table()
    fitted, asked = np.arange(0, len(table), 2), np.arange(1, len(table), 2)
    index = some.others(3).fit(table[fitted]).kneighbors(table[asked], return_distance=False)
    assert index.shape == (len(asked), 3)
    assert not (some.groups_N[fitted][index] == some.groups_N[asked][:, None]).any()


def test_few_other_groups_come_again_and_none_is_the_row_itself():
    x_NVD = np.arange(5, dtype=np.float32).reshape(5, 1, 1)
    some = feature_space.FeatureSpace(x_NVD, np.zeros(5, int), np.array(list("aaaab")), {0: 5}, 3, 0)
    table = some.table()
    assert some.others(4).fit(table).kneighbors(table, return_distance=False)[0].tolist() == [0, 4, 4, 4]
    alone = some.others(3).fit(table[:4])
    distance, index = alone.kneighbors(table[:4])
    assert index[2].tolist() == [2, 2, 2] and np.isinf(distance[2, 1:]).all()


@pytest.mark.parametrize("method", ["near_miss", "centroids"])
def test_what_is_kept_meets_the_targets_and_keeps_small_classes_whole(method):
    some = space(lambda n: min(n, 90))
    kept = feature_space.CHOOSERS[method](some)
    assert (np.diff(kept) > 0).all(), "ascending, each image once"
    assert np.bincount(some.classes_N[kept]).tolist() == list(some.targets.values())


def test_near_miss_measures_to_other_groups_only():
    # Two large-class images per group of the small class: plain NearMiss would keep just those.
    x = np.array([0.0, 0.1, 5.0, 5.1, 2.0, 2.1, 9.0, 9.5])[:, None, None].astype(np.float32)
    classes = np.array([0, 1, 0, 1, 1, 1, 1, 1])
    groups = np.array(["p", "p", "q", "q", "r", "s", "t", "u"])
    some = feature_space.FeatureSpace(x, classes, groups, {0: 2, 1: 2}, 1, 0)
    kept = set(feature_space.near_miss(some).tolist()) - {0, 2}
    assert kept == {4, 5}, "1 and 3 are near to their own group only"


def test_centroids_stand_for_the_clusters():
    # Ten tight heaps of one class: ten kept images lie in ten heaps; random draws would not.
    centre = np.repeat(np.arange(10) * 100.0, 20)
    x = (centre + np.random.default_rng(0).normal(0, 1, 200))[:, None, None].astype(np.float32)
    x = np.concatenate([x, np.full((10, 1, 1), 5000, np.float32)])
    classes = np.repeat([0, 1], [200, 10])
    ids = np.array([f"i{n}" for n in range(210)])
    kept = feature_space.centroids(feature_space.FeatureSpace(x, classes, ids, {0: 10, 1: 10}, 1, 0))
    assert len(set(centre[kept[kept < 200]])) >= 8


def test_tomek_drops_the_larger_side_of_a_link_and_no_link_inside_a_group():
    x = np.array([0.0, 0.4, 10.0, 10.1, 20.0, 21.0, 22.0])[:, None, None].astype(np.float32)
    classes = np.array([0, 1, 0, 1, 1, 1, 1])
    apart = np.array(list("abcdefg"))
    kept = feature_space.tomek(feature_space.FeatureSpace(x, classes, apart, {0: 2, 1: 5}, 1, 0))
    assert kept.tolist() == [0, 2, 4, 5, 6]
    together = np.array(list("abccefg"))
    kept = feature_space.tomek(feature_space.FeatureSpace(x, classes, together, {0: 2, 1: 5}, 1, 0))
    assert kept.tolist() == [0, 2, 3, 4, 5, 6], "2 and 3 are of one group"


@pytest.mark.parametrize("method", ["smote", "adasyn", "borderline_smote"])
def test_synthetic_rows_lie_between_two_groups_and_all_views_agree(method):
    some = space(lambda n: max(n, 200), views=2)
    made = feature_space.synthesize(some, method)
    assert len(made) > 100 and made.x_SVD.shape[1:] == (2, 64)
    # The second view is the first plus one everywhere, and a mixture of the same two rows keeps that.
    assert np.allclose(made.x_SVD[:, 1], made.x_SVD[:, 0] + 1, atol=1e-4)
    x = some.x_NVD[:, 0]
    for row, label in list(zip(made.x_SVD[:, 0], made.labels_S, strict=True))[:20]:
        # On the straight line between two images of the class, and those are of two groups.
        own = np.flatnonzero(some.classes_N == label)
        gap = np.linalg.norm(x[own] - row, axis=1)
        detour = gap[:, None] + gap - np.linalg.norm(x[own][:, None] - x[own], axis=2)
        apart = some.groups_N[own][:, None] != some.groups_N[own]
        assert np.where(apart, detour, np.inf).min() < 1e-2
    if method == "smote":
        total = np.bincount(some.classes_N) + np.bincount(made.labels_S, minlength=10)
        assert total.tolist() == list(some.targets.values())


def test_a_smote_row_is_a_mixture_of_two_groups_not_a_blur_of_one():
    # Within a group images differ by noise of 0.05: mixtures inside one would stay that near to it.
    some = space(lambda n: max(n, 200))
    made = feature_space.synthesize(some, "smote").x_SVD[:, 0]
    gap = NearestNeighbors(n_neighbors=1).fit(some.x_NVD[:, 0]).kneighbors(made)[0][:, 0]
    assert (gap > 2).mean() > 0.75
    blind = feature_space.FeatureSpace(
        some.x_NVD, some.classes_N, np.arange(len(some.groups_N)).astype(str), some.targets, 3, 1
    )
    near = feature_space.synthesize(blind, "smote").x_SVD[:, 0]
    assert (NearestNeighbors(n_neighbors=1).fit(some.x_NVD[:, 0]).kneighbors(near)[0] > 2).mean() < 0.25


def test_a_method_with_nothing_to_do_says_so():
    x = np.array([[0.0], [0.1], [0.2], [100.0], [100.1]], np.float32)[:, None, :]
    far = feature_space.FeatureSpace(
        x, np.array([0, 0, 0, 1, 1]), np.array(list("abcde")), {0: 3, 1: 3}, 1, 0
    )
    with pytest.raises(DataError, match=r"resample\.method=adasyn"):
        feature_space.synthesize(far, "adasyn")


def fold_part(per_group=2, times=None):
    x, labels, groups = world(per_group)
    ids = np.array([f"i{n:04d}" for n in range(len(labels))])
    order = np.random.default_rng(5).permutation(len(ids))
    features = Features(ids[order], ("identity",), x[order][:, None], "digest")
    return indices.Part(Samples(ids, ids, groups, SPACE, labels, "train"), 0, times, features)


def test_rows_by_features_join_by_id_and_follow_the_bag():
    part = fold_part()
    settings = ResampleSettings(method="near_miss", to="cap", cap=60)
    rows = indices.plan(part, settings).rows(3)
    kept = rows.index_R
    assert np.bincount(part.samples.labels[kept]).max() == 60 and (np.diff(kept) > 0).all()
    bag = indices.Part(part.samples, 0, np.full(len(part.samples), 2), part.features)
    assert indices.plan(bag, settings).rows(0).index_R.tolist() == np.repeat(kept, 2).tolist()


def test_synthetic_rows_come_after_the_samples():
    part = fold_part()
    found = indices.plan(part, ResampleSettings(method="smote"))
    n, rows = len(part.samples), found.rows(0)
    assert found.synthetic is not None and len(rows) == n + len(found.synthetic)
    assert rows.index_R.tolist() == list(range(n + len(found.synthetic)))
    total = np.bincount(part.samples.labels) + np.bincount(found.synthetic.labels_S, minlength=10)
    assert len(set(total.tolist())) == 1
    even = ResampleSettings(method="smote", to="cap", cap=1)
    assert indices.plan(part, even).synthetic is None, "nothing to add"
