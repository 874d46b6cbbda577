"""Parts of a training part: whole groups, nested shares, bags, inner folds."""

import numpy as np
import pytest
from learn_world import digit_samples

from pipeline.core.errors import DataError
from pipeline.core.samples import Samples
from pipeline.resample import subsets
from pipeline.resample.indices import Part


def part(n=200, per_group=4, fold=0, times=None):
    samples = digit_samples(0, n)
    groups = np.array([f"g{i // per_group}" for i in range(n)])
    made = Samples(samples.ids_N, samples.paths_N, groups, samples.space, samples.labels, "train")
    return Part(made, fold, times)


def groups_of(found):
    return set(found.samples.groups_N.tolist())


def test_a_share_takes_whole_groups_nested_by_seed_and_loses_no_class():
    whole = part()
    shares = [subsets.group_share(whole, s, 3) for s in (0.05, 0.2, 0.4, 0.7)]
    for small, large in zip(shares, [*shares[1:], whole], strict=True):
        assert groups_of(small) < groups_of(large)
    for found in shares:
        assert len(found.samples) == 4 * len(groups_of(found)), "a group was torn apart"
    plain = part(per_group=1)
    tiny = subsets.group_share(plain, 0.01, 0)
    assert set(tiny.samples.labels.tolist()) == set(range(10)) and len(tiny.samples) == 10
    assert groups_of(subsets.group_share(whole, 0.4, 4)) != groups_of(shares[2])
    assert subsets.group_share(whole, 1.0, 3) is whole


def test_a_bag_draws_whole_groups_with_replacement_on_top_of_earlier_draws():
    whole = part(times=np.full(200, 2))
    drawn = subsets.bag(whole, 0, 1)
    assert 0.5 < len(groups_of(drawn)) / 50 < 0.75
    assert drawn.times_N.sum() == 2 * 4 * 50, "as many groups as there are"
    for group in groups_of(drawn):
        times = drawn.times_N[drawn.samples.groups_N == group]
        assert len(times) == 4 and len(set(times.tolist())) == 1
    assert groups_of(subsets.bag(whole, 0, 2)) != groups_of(drawn)
    assert np.array_equal(subsets.bag(whole, 0, 1).times_N, drawn.times_N)


def test_inner_folds_share_no_group_and_cover_the_part():
    whole = part()
    folds = subsets.inner_folds(whole, 3, 0, 0)
    held = [set(whole.samples.take(ids).groups_N.tolist()) for ids in folds]
    assert len(folds) == 3 and sum(map(len, held)) == len(set.union(*held)) == 50
    assert sorted(np.concatenate(folds)) == sorted(whole.samples.ids_N)
    one = part(per_group=200)
    with pytest.raises(DataError, match="cannot be split by groups"):
        subsets.inner_folds(one, 2, 0, 0)


def test_others_are_drawn_from_every_class_that_is_marked():
    labels = np.repeat(np.arange(4), 10)
    among = labels != 3
    chosen = subsets.some_of_each_class(labels, among, 0.25, 0, 1)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [3, 3, 3, 0]
