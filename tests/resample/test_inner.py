import logging

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.resample.indices import Part
from pipeline.resample.subsets import inner_split


def samples(groups, labels):
    ids = np.array([f"i{n}" for n in range(len(groups))])
    space = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])
    return Samples(ids, ids, np.array(groups), space, np.array(labels, np.int64), "train")


def people(n=40, photos=3):
    groups = [f"g{g}" for g in range(n) for _ in range(photos)]
    return samples(groups, [g % 3 for g in range(n) for _ in range(photos)])


def test_whole_groups_choose_and_are_not_trained_on():
    found = people()
    times = np.arange(1, 121)
    kept, inner = inner_split(Part(found, 2, times), found.ids_N, 0.2, 0)
    assert 0.15 < len(inner) / len(found) < 0.25
    assert not set(kept.samples.groups_N) & set(found.take(inner).groups_N)
    assert set(kept.samples.ids_N) | set(inner) == set(found.ids_N)
    assert set(found.take(inner).labels) == {0, 1, 2}
    of_id = dict(zip(found.ids_N, times, strict=True))
    assert [of_id[i] for i in kept.samples.ids_N] == kept.times_N.tolist()


def test_equal_seeds_and_folds_split_alike():
    found = people()
    splits = [
        inner_split(Part(found, f, None), found.ids_N, 0.25, s)[1]
        for f, s in [(0, 0), (0, 0), (1, 0), (0, 1)]
    ]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2]) and not np.array_equal(splits[0], splits[3])


def test_images_from_elsewhere_never_choose_and_share_no_group_with_what_does():
    found = people()
    own = found.ids_N[:90]
    shared = samples([*found.groups_N[:90], *found.groups_N[:30]], found.labels)
    kept, inner = inner_split(Part(shared, 0), own, 0.2, 0)
    assert set(inner) <= set(own)
    assert not set(kept.samples.groups_N) & set(shared.take(inner).groups_N)


def test_a_class_of_one_group_stays_in_training(caplog):
    groups, labels = [f"g{n}" for n in range(21)], [0, 1] * 10 + [2]
    found = samples(groups, labels)
    for s in range(8):
        kept, _ = inner_split(Part(found, 0), found.ids_N, 0.5, s)
        assert 2 in kept.samples.labels
    assert not caplog.records


def test_a_lost_class_is_told(caplog):
    found = samples(["a", "b"], [0, 1])
    both = samples(["a", "a", "b", "b"], [0, 0, 1, 1])
    with caplog.at_level(logging.WARNING):
        inner_split(Part(both, 0), both.ids_N, 0.5, 0)
    assert "takes every image of 1 classes" in caplog.text
    with pytest.raises(DataError, match="cannot be split by groups"):
        inner_split(Part(found, 0), found.ids_N, 0.5, 0)
