"""Averaging over groups, groups built from features, and switching them off where they are not usable."""

import numpy as np
import pytest

from pipeline.core import neighbours
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.ensemble import grouping
from pipeline.settings.decision import DecisionSettings

SPACE = LabelSpace.product(
    [
        Attribute("mask", ("on", "off")),
        Attribute("gender", ("f", "m"), True),
        Attribute("age", ("young", "old"), True),
    ]
)
VALUE = grouping.shared_values(SPACE)


def some(n, seed=0):
    p = np.random.default_rng(seed).dirichlet(np.ones(8), n).astype(np.float32)
    return p / p.sum(axis=1, keepdims=True)


def test_shared_attributes_agree_in_a_group_and_the_rest_stays_each_images_own():
    p, group = some(9), np.array([0, 0, 0, 1, 1, 2, 3, 3, 3])
    after = grouping.averaged(p, group, VALUE)
    assert np.allclose(after.sum(axis=1), 1, atol=1e-6)
    for a in (1, 2):
        before, then = SPACE.marginal(p, a), SPACE.marginal(after, a)
        for g in range(4):
            mean = before[group == g].mean(axis=0)
            assert np.abs(then[group == g] - mean).max() < 1e-5

    # P(mask | gender, age) of each image is untouched.
    def given(q):
        joint = q.reshape(len(q), 2, 4)
        return joint / joint.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(given(after), given(p), atol=1e-4)
    assert (after[5] == p[5]).all(), "a group of one keeps its bits"


def test_attributes_are_averaged_jointly_not_one_by_one():
    p = np.zeros((2, 8), np.float32)
    p[0, 0] = p[1, 3] = 1  # a young woman, an old man: half each, and nobody in between
    after = grouping.averaged(p, np.array([0, 0]), VALUE)
    np.testing.assert_allclose(after[0].reshape(2, 4).sum(axis=0), [0.5, 0, 0, 0.5], atol=1e-5)


def test_purity_counts_only_images_that_share_a_group():
    group, value = np.array([0, 0, 0, 1, 2, 2]), np.array([4, 4, 7, 1, 3, 3])
    assert grouping.purity(group, value) == (pytest.approx(4 / 5), pytest.approx(5 / 6))
    assert grouping.purity(np.arange(3), np.arange(3)) == (1.0, 0.0)


def people(n, photos, noise, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(n), photos)
    x = rng.normal(size=(n, 16))[who] + noise * rng.normal(size=(n * photos, 16))
    return x.astype(np.float32), who


def test_clusters_find_people_whose_photos_are_alike():
    x, who = people(40, 5, 0.15)
    links = grouping.mutual_links(x, grouping.neighbours_of(who))
    found = grouping.linked_groups(links, 0.8)
    assert grouping.purity(found, who)[0] == 1.0
    assert len(np.unique(found)) == 40
    # Similar enough is found from labels alone, and is pure elsewhere as well.
    similar = grouping.least_similarity([links], [who], 0.95)
    other, truth = people(40, 5, 0.15, seed=9)
    pure, share = grouping.purity(grouping.linked_groups(grouping.mutual_links(other, 4), similar), truth)
    assert pure > 0.9 and share > 0.9


def test_features_that_say_nothing_make_no_pure_clusters():
    x, who = people(60, 3, 50.0)
    links = grouping.mutual_links(x, 2)
    similar = grouping.least_similarity([links], [who], 0.95)
    assert similar is None or grouping.purity(grouping.linked_groups(links, similar), who)[1] < 0.1


@pytest.mark.parametrize("n", [1, 2])
def test_few_images(n):
    found = grouping.mutual_links(np.eye(n, 4, dtype=np.float32), 3)
    assert len(grouping.linked_groups(found, 0.5)) == n


def test_blocks_do_not_change_links(monkeypatch):
    x, _ = people(30, 3, 0.5)
    whole = grouping.mutual_links(x, 3)
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 7 * len(x))
    parts = grouping.mutual_links(x, 3)
    assert (whole.one_E == parts.one_E).all() and (whole.other_E == parts.other_E).all()


# Groups of the tables, and clusters

PEOPLE = LabelSpace.product([Attribute("kind", ("a", "b", "c"), True), Attribute("look", ("x", "y"))])


def photos(n, each, split, noise=0.1, grouped=True, mixed=0.0):
    """Photos of people, their features, and labels whose first attribute a person keeps."""
    rng = np.random.default_rng(len(split))
    who = np.repeat(np.arange(n), each)
    kind = rng.integers(0, 3, n)[who]
    wrong = rng.random(len(who)) < mixed
    kind = np.where(wrong, (kind + 1) % 3, kind)
    labels = kind * 2 + rng.integers(0, 2, len(who))
    ids = np.array([f"{split}{i:04d}" for i in range(len(who))])
    groups = np.array([f"{split}{w:03d}" for w in who]) if grouped else ids
    x = rng.normal(size=(n, 12))[who] + noise * rng.normal(size=(len(who), 12))
    samples = Samples(ids, ids, groups, PEOPLE, None if split == "test" else labels, split)
    return samples, Features(ids, ("identity",), x[:, None].astype(np.float32), "d"), who


def parts(who, n=4):
    return tuple(np.flatnonzero(who % n == k) for k in range(n))


def test_groups_of_the_tables():
    train, _, who = photos(20, 3, "train")
    test, _, other = photos(8, 3, "test")
    found = grouping.table_groups(train, test, DecisionSettings())
    assert not found.off and "100.0% pure" in found.text
    assert ((found.test_N[:, None] == found.test_N) == (other[:, None] == other)).all()
    assert len(np.unique(found.oof_N)) == len(np.unique(who))


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ({"grouped": False}, {}, "no two training images share"),
        ({}, {"grouped": False}, "decision.groups=clusters"),
        ({"mixed": 0.5}, {}, "below decision.purity=0.95"),
    ],
)
def test_groups_of_the_tables_that_cannot_be_used_say_why(train, test, expected):
    found = grouping.table_groups(
        photos(20, 3, "train", **train)[0], photos(8, 3, "test", **test)[0], DecisionSettings()
    )
    assert expected in found.off


def test_clusters_stay_within_a_part_and_find_people_of_the_test_set():
    train, x_train, who = photos(60, 4, "train")
    test, x_test, other = photos(25, 4, "test", grouped=False)
    found = grouping.clustered_groups(train, test, parts(who), (x_train, x_test), DecisionSettings())
    assert not found.off and "pure out of fold" in found.text and "240 images" not in found.text
    for at in parts(who):
        assert len(np.intersect1d(found.oof_N[at], np.delete(found.oof_N, at))) == 0
    assert len(np.unique(found.test_N)) == 25 and len(np.unique(found.test_N[other == 3])) == 1


def test_impure_clusters_are_switched_off():
    train, x_train, who = photos(60, 4, "train", noise=20.0)
    test, x_test, _ = photos(25, 4, "test", noise=20.0)
    found = grouping.clustered_groups(train, test, parts(who), (x_train, x_test), DecisionSettings())
    assert found.off and ("impure" in found.off or "no similarity" in found.off)
    alone, x_alone, who = photos(60, 1, "train")
    found = grouping.clustered_groups(alone, test, parts(who), (x_alone, x_test), DecisionSettings())
    assert "known groups" in found.off
