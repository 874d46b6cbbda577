"""Who is averaged with whom: table groups, clusters, and both switched off where they are no good."""

import numpy as np
import pytest

from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.ensemble import grouping
from pipeline.settings.decision import DecisionSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c"), True), Attribute("look", ("x", "y"))])


def people(n, photos, split, noise=0.1, grouped=True, mixed=0.0):
    """Photos of people, their features, and labels whose first attribute a person keeps."""
    rng = np.random.default_rng(len(split))
    who = np.repeat(np.arange(n), photos)
    kind = rng.integers(0, 3, n)[who]
    wrong = rng.random(len(who)) < mixed
    kind = np.where(wrong, (kind + 1) % 3, kind)
    labels = kind * 2 + rng.integers(0, 2, len(who))
    ids = np.array([f"{split}{i:04d}" for i in range(len(who))])
    groups = np.array([f"{split}{w:03d}" for w in who]) if grouped else ids
    x = rng.normal(size=(n, 12))[who] + noise * rng.normal(size=(len(who), 12))
    samples = Samples(ids, ids, groups, SPACE, None if split == "test" else labels, split)
    return samples, Features(ids, ("identity",), x[:, None].astype(np.float32), "d"), who


def parts(who, n=4):
    return tuple(np.flatnonzero(who % n == k) for k in range(n))


def test_groups_of_the_tables():
    train, _, who = people(20, 3, "train")
    test, _, other = people(8, 3, "test")
    found = grouping.of_tables(train, test, DecisionSettings())
    assert not found.off and "100.0% pure" in found.told
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
    found = grouping.of_tables(
        people(20, 3, "train", **train)[0], people(8, 3, "test", **test)[0], DecisionSettings()
    )
    assert expected in found.off


def test_clusters_stay_within_a_part_and_find_people_of_the_test_set():
    train, x_train, who = people(60, 4, "train")
    test, x_test, other = people(25, 4, "test", grouped=False)
    found = grouping.of_clusters(train, test, parts(who), (x_train, x_test), DecisionSettings())
    assert not found.off and "pure out of fold" in found.told and "240 images" not in found.told
    for at in parts(who):
        assert len(np.intersect1d(found.oof_N[at], np.delete(found.oof_N, at))) == 0
    assert len(np.unique(found.test_N)) == 25 and len(np.unique(found.test_N[other == 3])) == 1


def test_impure_clusters_are_switched_off():
    train, x_train, who = people(60, 4, "train", noise=20.0)
    test, x_test, _ = people(25, 4, "test", noise=20.0)
    found = grouping.of_clusters(train, test, parts(who), (x_train, x_test), DecisionSettings())
    assert found.off and ("impure" in found.off or "no similarity" in found.off)
    alone, x_alone, who = people(60, 1, "train")
    found = grouping.of_clusters(alone, test, parts(who), (x_alone, x_test), DecisionSettings())
    assert "known groups" in found.off
