import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.seeds import rng
from pipeline.core.types import Attribute, LabelSpace, Samples
from pipeline.data import fold_health, folds
from pipeline.settings.schema import FoldSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])


def samples(labels, groups=None, ids=None):
    ids = np.array([f"i{n:04d}" for n in range(len(labels))] if ids is None else ids)
    groups = ids if groups is None else np.array([f"g{g}" for g in groups])
    return Samples(ids, ids, groups, SPACE, np.array(labels), "train")


def people(n_groups=60, seed=0):
    draw = rng(seed, "people")
    groups = np.repeat(np.arange(n_groups), draw.integers(1, 8, n_groups))
    labels = draw.choice(3, len(groups), p=[0.6, 0.3, 0.1])
    return samples(labels, groups)


def fold_of(plan):
    return {str(i): k for k, split in enumerate(plan.splits) for i in split.valid_ids}


@pytest.mark.parametrize("n", [2, 5, 10])
def test_every_sample_validates_once_and_no_group_is_split(n):
    some = people()
    plan = folds.plan(some, FoldSettings(n=n))
    assert len(plan) == n and (plan.coverage(some.ids_N) == 1).all()
    for split in plan.splits:
        groups = [set(some.take(ids).groups_N) for ids in (split.train_ids, split.valid_ids)]
        assert groups[0] and groups[1] and not groups[0] & groups[1]
        assert len(split.train_ids) + len(split.valid_ids) == len(some)


def test_folds_are_stratified():
    some = samples([0] * 100 + [1] * 50 + [2] * 10)
    table = fold_health.health(some, folds.plan(some, FoldSettings()))
    assert table[["a", "b", "c"]].to_numpy().tolist() == [[20, 10, 2]] * 5
    assert table["valid_groups"].tolist() == [32] * 5 and table["train_images"].tolist() == [128] * 5


def test_the_order_of_the_table_does_not_matter():
    some = people()
    mixed = some.take(rng(1, "mix").permutation(some.ids_N))
    for one, other in zip(
        folds.plan(some, FoldSettings()).splits, folds.plan(mixed, FoldSettings()).splits, strict=True
    ):
        assert np.array_equal(one.valid_ids, other.valid_ids)
        assert np.array_equal(one.train_ids, other.train_ids), "the order of training follows the table"


def test_the_seed_decides():
    some = people()
    first, again, other = (fold_of(folds.plan(some, FoldSettings(seed=s))) for s in (0, 0, 1))
    assert first == again and first != other


def test_a_rare_class_is_spread_and_named():
    some = samples([0] * 40 + [1] * 40 + [2] * 6, [*range(80), 80, 80, 81, 81, 82, 82])
    plan = folds.plan(some, FoldSettings(n=5))
    table = fold_health.health(some, plan)
    assert sorted(table["c"]) == [0, 0, 2, 2, 2]
    assert len(plan.notes) == 1
    inside = ", ".join(str(k) for k in np.flatnonzero(table["c"]))
    outside = ", ".join(str(k) for k in np.flatnonzero(table["c"] == 0))
    assert plan.notes[0] == (
        "class c: 3 groups for 5 folds, fall-back `spread`: "
        f"validated by fold {inside} and never by {outside}"
    )


def test_a_class_of_one_group_and_a_class_without_images():
    one = folds.plan(samples([0] * 20 + [1] * 20 + [2]), FoldSettings())
    assert len(one.notes) == 1 and "1 groups for 5 folds" in one.notes[0]
    assert "trains without it" in one.notes[0]
    none = folds.plan(samples([0] * 20 + [1] * 20), FoldSettings())
    assert none.notes == ("class c: no training image; no fold trains or validates it",)


def test_a_class_with_enough_groups_is_missed_by_no_fold():
    # Many shapes; whatever the shuffles give, a gap that remains must be told.
    for seed in range(20):
        some = people(n_groups=25, seed=seed)
        plan = folds.plan(some, FoldSettings(seed=seed))
        table = fold_health.health(some, plan)
        for name in "abc":
            missed = int((table[name] == 0).sum())
            assert missed == 0 or any(f"class {name}:" in note for note in plan.notes)


def test_fewer_groups_than_folds():
    with pytest.raises(DataError, match=r"3 groups cannot fill folds\.n=5") as caught:
        folds.plan(samples([0, 1, 2] * 10, [0, 1, 2] * 10), FoldSettings(n=5))
    assert "at most 3" in caught.value.remedy


def test_every_class_smaller_than_the_folds():
    with pytest.raises(DataError, match="no class has as many images"):
        folds.plan(samples([0, 0, 1, 1, 2, 2]), FoldSettings(n=5))


def test_a_fold_that_stays_empty():
    # One group has nearly everything, but there are as many groups as folds: none may end up empty.
    some = samples([0] * 50 + [1, 1], [0] * 50 + [1, 2])
    plan = folds.plan(some, FoldSettings(n=3))
    assert all(len(s.valid_ids) for s in plan.splits)
