import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.data import folds, page
from pipeline.settings.folds import FoldSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])


def samples(labels, groups=None, ids=None, space=None):
    ids = np.array([f"i{n:04d}" for n in range(len(labels))] if ids is None else ids)
    groups = ids if groups is None else np.array([f"g{g}" for g in groups])
    return Samples(ids, ids, groups, space or SPACE, np.array(labels), "train")


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
    table = page.health(some, folds.plan(some, FoldSettings()))
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
    table = page.health(some, plan)
    assert sorted(table["c"]) == [0, 0, 2, 2, 2]
    assert len(plan.notes) == 1
    inside = ", ".join(str(k) for k in np.flatnonzero(table["c"]))
    outside = ", ".join(str(k) for k in np.flatnonzero(table["c"] == 0))
    assert plan.notes[0] == (
        "class c: 3 groups for 5 folds (fallback `spread`): "
        f"validated by fold {inside} and never by {outside}"
    )


def test_the_single_image_of_a_class_is_trained_in_every_fold_and_never_validates():
    found = samples([0] * 20 + [1] * 20 + [2])
    plan = folds.plan(found, FoldSettings())
    single = found.ids_N[found.labels == 2][0]
    assert all(single in split.train_ids and single not in split.valid_ids for split in plan.splits)
    assert len(plan.notes) == 1 and "1 class has a single image" in plan.notes[0] and "(c)" in plan.notes[0]
    assert sorted(plan.covered) == sorted(set(found.ids_N) - {single})


def test_a_single_image_whose_group_validates_validates_with_it():
    found = samples([0] * 20 + [1] * 20 + [2], groups=[*range(40), 39])
    plan = folds.plan(found, FoldSettings())
    assert sorted(plan.covered) == sorted(found.ids_N)


def test_notes_about_many_classes_are_summed_up():
    space = LabelSpace.product([Attribute("x", tuple(f"c{k}" for k in range(40)))])
    found = samples([0] * 100 + [k for k in range(1, 40) for _ in range(2)], space=space)
    notes = folds.plan(found, FoldSettings()).notes
    assert len(notes) == 9 and "other classes" in notes[-1]


def test_a_class_of_one_group_and_a_class_without_images():
    one = folds.plan(samples([0] * 20 + [1] * 20 + [2]), FoldSettings(singles="validate"))
    assert len(one.notes) == 1 and "1 group for 5 folds" in one.notes[0]
    assert "trains without it" in one.notes[0]
    none = folds.plan(samples([0] * 20 + [1] * 20), FoldSettings())
    assert none.notes == ("class c: no training image; no fold trains or validates it",)


def test_a_class_with_enough_groups_is_missed_by_no_fold():
    # Many shapes; whatever the shuffles give, a gap that remains must be told.
    for seed in range(20):
        some = people(n_groups=25, seed=seed)
        plan = folds.plan(some, FoldSettings(seed=seed))
        table = page.health(some, plan)
        for name in "abc":
            missed = int((table[name] == 0).sum())
            assert missed == 0 or any(f"class {name}:" in note for note in plan.notes)


def test_fewer_groups_than_folds():
    with pytest.raises(DataError, match=r"3 groups cannot fill folds\.n=5") as caught:
        folds.plan(samples([0, 1, 2] * 10, [0, 1, 2] * 10), FoldSettings(n=5))
    assert "at most 3" in caught.value.remedy


def test_every_class_smaller_than_the_folds():
    with pytest.raises(DataError, match=r"4 images cannot fill folds\.n=5|4 groups cannot fill"):
        folds.plan(samples([0, 0, 1, 1]), FoldSettings(n=5))


@pytest.mark.parametrize("by_group", [False, True])
def test_many_small_classes_are_spread_over_more_folds(by_group):
    # 60 classes of 4 images, the images of a group in twos, with 5 folds.
    labels = np.repeat(np.arange(60), 4)
    ids = np.array([f"i{n:04d}" for n in range(240)])
    groups = np.array([f"g{n // 2:03d}" for n in range(240)]) if by_group else ids
    space = LabelSpace.product([Attribute("kind", tuple(f"c{n}" for n in range(60)))])
    some = Samples(ids, ids, groups, space, labels, "train")
    plan = folds.plan(some, FoldSettings(n=5))
    sizes = [len(split.valid_ids) for split in plan.splits]
    assert sum(sizes) == 240 and max(sizes) - min(sizes) <= (2 if by_group else 0)
    at = {name: n for n, name in enumerate(some.ids_N.tolist())}
    for split in plan.splits:
        rows = [at[name] for name in split.valid_ids.tolist()]
        assert np.bincount(some.labels[rows]).max() <= (2 if by_group else 1), "a class is spread"
        assert not {some.groups_N[n] for n in rows} & {some.groups_N[at[i]] for i in split.train_ids.tolist()}


def test_a_fold_that_stays_empty():
    # One group has nearly everything, but there are as many groups as folds: none may end up empty.
    some = samples([0] * 50 + [1, 1], [0] * 50 + [1, 2])
    plan = folds.plan(some, FoldSettings(n=3))
    assert all(len(s.valid_ids) for s in plan.splits)


def groups_of(some, ids):
    return set(some.take(ids).groups_N.tolist())


def whole_groups(some, plan):
    return all(not groups_of(some, s.train_ids) & groups_of(some, s.valid_ids) for s in plan.splits)


def test_repeats_validate_every_image_once_each_and_differ():
    some = people()
    plan = folds.plan(some, FoldSettings(kind="repeated", n=4, repeats=3))
    assert len(plan) == FoldSettings(kind="repeated", n=4, repeats=3).splits == 12
    assert (plan.coverage(some.ids_N) == 3).all() and whole_groups(some, plan)
    sets = [frozenset(s.valid_ids.tolist()) for s in plan.splits]
    assert len(set(sets)) == 12, "two repeats dealt the same folds"
    for repeat in range(3):
        assert len(frozenset().union(*sets[4 * repeat : 4 * repeat + 4])) == len(some)
    single = folds.plan(some, FoldSettings(n=4))
    assert fold_of(single) == fold_of(folds.FoldPlan(plan.splits[:4])), "the first repeat is the plain plan"


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5])
def test_a_holdout_meets_its_share_by_class_with_whole_groups(share):
    some = people(n_groups=200)
    plan = folds.plan(some, FoldSettings(kind="holdout", valid_share=share))
    (split,) = plan.splits
    assert whole_groups(some, plan) and len(split.train_ids) + len(split.valid_ids) == len(some)
    assert len(split.valid_ids) / len(some) == pytest.approx(share, abs=0.03)
    valid, every = (np.bincount(x.labels, minlength=3) for x in (some.take(split.valid_ids), some))
    assert np.abs(valid / every - share).max() < 0.12
    assert f"{len(split.valid_ids)} of {len(some)}" in plan.notes[0]


def test_a_holdout_keeps_a_rare_class_on_both_sides():
    some = samples([0] * 60 + [1] * 60 + [2] * 2)
    (split,) = folds.plan(some, FoldSettings(kind="holdout", valid_share=0.2)).splits
    for ids in (split.train_ids, split.valid_ids):
        assert (some.take(ids).labels == 2).sum() == 1
    with pytest.raises(DataError, match="1 group cannot be split"):
        folds.plan(samples([0, 1, 2], [0, 0, 0]), FoldSettings(kind="holdout", valid_share=0.2))


def test_bootstrap_draws_groups_and_the_rest_is_out_of_the_bag():
    some = people(n_groups=100)
    plan = folds.plan(some, FoldSettings(kind="bootstrap", n=6))
    assert len(plan) == 6 and whole_groups(some, plan)
    for split in plan.splits:
        assert split.times_T is not None and split.times_T.min() >= 1 and split.times_T.max() >= 2
        bag = some.take(split.train_ids)
        by_group = {}
        for group, times in zip(bag.groups_N.tolist(), split.times_T.tolist(), strict=True):
            by_group.setdefault(group, set()).add(times)
        assert all(len(times) == 1 for times in by_group.values()), "a group was drawn in part"
        assert sum(min(times) for times in by_group.values()) == 100
        assert 25 <= len(groups_of(some, split.valid_ids)) <= 50, "about 37 % are out of the bag"
    coverage = plan.coverage(some.ids_N)
    assert coverage.max() > 1 and (coverage == 0).any()
    never = int((coverage == 0).sum())
    assert f"{never} of {len(some)} images were never out of a bag" in plan.notes[0]
    assert len(plan.covered) == len(some) - never


def test_two_groups_still_leave_one_out_of_the_bag():
    some = samples([0, 1] * 6, [0] * 6 + [1] * 6)
    for seed in range(5):
        plan = folds.plan(some, FoldSettings(kind="bootstrap", n=4, seed=seed))
        assert all(len(s.valid_ids) == len(s.train_ids) == 6 for s in plan.splits)


def test_stratified_looks_at_no_groups():
    some = people()
    plan = folds.plan(some, FoldSettings(kind="stratified", n=5))
    assert (plan.coverage(some.ids_N) == 1).all() and not whole_groups(some, plan)
    sizes = page.health(some, plan)["valid_images"]
    assert sizes.max() - sizes.min() <= 3


def from_column(values, n, labels=None):
    import dataclasses

    some = samples([0, 1, 2] * (len(values) // 3) if labels is None else labels)
    some = dataclasses.replace(some, folds_N=np.array(values))
    return some, folds.plan(some, FoldSettings(kind="column", column="fold", n=n))


def test_a_column_names_the_folds_numbers_by_size_and_empty_cells_only_train():
    values = ["10", "9", " ", "10", "9", "9", "x", "10", ""]
    some, plan = from_column(values, 3)
    by_id = dict(zip(some.ids_N.tolist(), values, strict=True))
    assert [sorted({by_id[i] for i in s.valid_ids.tolist()}) for s in plan.splits] == [["9"], ["10"], ["x"]]
    assert all({" ", ""} <= {by_id[i] for i in s.train_ids.tolist()} for s in plan.splits)
    assert any("2 of 9 images have no fold" in note for note in plan.notes)


def test_a_column_with_another_number_of_values():
    with pytest.raises(DataError, match=r"has 3 values, and folds\.n=5") as caught:
        from_column(["a", "b", "c"] * 3, 5)
    assert caught.value.remedy == "set folds.n=3" and "a, b, c" in caught.value.faults[0]


@pytest.mark.parametrize("kind", sorted(folds.KINDS))
def test_every_kind_ignores_the_order_of_the_table_and_never_trains_what_it_validates(kind):
    import dataclasses

    more = {"repeated": {"repeats": 2}, "holdout": {"valid_share": 0.3}, "column": {"column": "fold"}}
    some = people(n_groups=50)
    some = dataclasses.replace(some, folds_N=np.array([str(int(i[1:]) % 4) for i in some.ids_N.tolist()]))
    settings = FoldSettings(kind=kind, n=4, **more.get(kind, {}))
    mixed = some.take(rng(1, "mix").permutation(some.ids_N))
    for one, other in zip(folds.plan(some, settings).splits, folds.plan(mixed, settings).splits, strict=True):
        assert np.array_equal(one.valid_ids, other.valid_ids) and len(one.valid_ids)
        assert not set(one.train_ids) & set(one.valid_ids)
    assert len(folds.plan(some, settings)) == settings.splits
