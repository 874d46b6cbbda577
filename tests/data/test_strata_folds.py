"""Folds of labels, values and shares: whole groups, every label with its share in each part, and notes."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import folds, iterative, page, strata
from pipeline.settings.folds import FoldSettings

TWO = ("no", "yes")


def samples(space, y, groups=None):
    ids = np.array([f"i{n:04}" for n in range(len(y))])
    held = ids if groups is None else np.array([f"g{g:04}" for g in groups])
    return Samples(ids, ids, held, space, None, "train", y_NK=np.asarray(y, np.float32))


def labels_of(n):
    return LabelSpace.independent([Attribute(f"l{k}", TWO) for k in range(n)])


def drawn(n=300, k=12, seed=0):
    """Labels of very different frequency, some of which go together."""
    draw = np.random.default_rng(seed)
    y = draw.random((n, k)) < np.geomspace(0.5, 0.02, k)
    y[:, 3] |= y[:, 2] & (draw.random(n) < 0.7)
    return y.astype(np.int64)


def imbalance(y, part, n):
    """Mean distance of a label's share in a part from its share in all, as in Sechidis et al. (LD)."""
    total = y.sum(0)
    odds = total / np.maximum(len(y) - total, 1)
    inside = np.stack([y[part == p].sum(0) for p in range(n)])
    sizes = np.bincount(part, minlength=n)[:, None]
    return np.abs(inside / np.maximum(sizes - inside, 1) - odds).mean()


@pytest.mark.parametrize("seed", range(4))
def test_groups_of_one_are_balanced_better_than_by_chance_or_in_order(seed):
    y, n = drawn(seed=seed), 5
    part = iterative.parts_of(y, np.ones(len(y), np.int64), n, seed)
    plain = np.empty(len(y), int)
    for k, (_, valid) in enumerate(KFold(n, shuffle=True, random_state=seed).split(y)):
        plain[valid] = k
    chance = np.random.default_rng(seed).integers(0, n, len(y))
    assert imbalance(y, part, n) < 0.5 * min(imbalance(y, plain, n), imbalance(y, chance, n))
    # As the paper asks: each part has a label as often as the others, up to one sample or so.
    counts = np.stack([y[part == p].sum(0) for p in range(n)])
    assert (np.ptp(counts, axis=0) <= np.maximum(2, 0.2 * y.sum(0))).all()
    assert np.ptp(np.bincount(part)) <= 0.2 * len(y) / n


def test_the_rarest_label_reaches_as_many_parts_as_it_has_samples():
    y = drawn()
    y[:, 11] = 0
    y[[5, 50, 150], 11] = 1
    part = iterative.parts_of(y, np.ones(len(y), np.int64), 5, 0)
    assert len(set(part[[5, 50, 150]])) == 3


def test_groups_stay_whole_and_their_counts_are_balanced():
    draw = np.random.default_rng(1)
    y, group = drawn(400, seed=2), draw.integers(0, 90, 400)
    plan = folds.plan(samples(labels_of(12), y, group), FoldSettings(n=4))
    found = samples(labels_of(12), y, group)
    part = np.empty(400, int)
    for k, split in enumerate(plan.splits):
        own, other = (found.take(ids).groups_N for ids in (split.valid_ids, split.train_ids))
        assert not set(own) & set(other)
        part[np.isin(found.ids_N, split.valid_ids)] = k
    by_chance = [draw.integers(0, 4, 90)[group] for _ in range(20)]
    assert imbalance(y, part, 4) < 0.7 * np.mean([imbalance(y, p, 4) for p in by_chance])
    assert (plan.coverage(found.ids_N) == 1).all()


def test_a_plan_does_not_depend_on_the_order_of_the_table():
    found = samples(labels_of(12), drawn())
    turned = found.take(found.ids_N[::-1])
    one, other = (folds.plan(s, FoldSettings(n=5)) for s in (found, turned))
    assert all(set(a.valid_ids) == set(b.valid_ids) for a, b in zip(one.splits, other.splits, strict=True))


def test_where_labels_are_partly_unknown_the_known_cells_are_shared_out_too():
    y = drawn(200)[:, :3].astype(np.float32)
    y[40:, 2] = np.nan
    plan = folds.plan(samples(labels_of(3), y), FoldSettings(n=5))
    known = {f"i{n:04}" for n in range(40)}
    assert [len(known & set(split.valid_ids)) for split in plan.splits] == [8] * 5


def test_levels_of_a_label_are_balanced_like_labels():
    draw = np.random.default_rng(0)
    level = draw.choice(3, 120, p=[0.85, 0.1, 0.05])
    space = LabelSpace.independent([Attribute("grade", ("none", "mild", "severe"))])
    plan = folds.plan(samples(space, np.eye(3)[level]), FoldSettings(n=3))
    table = page.health(samples(space, np.eye(3)[level]), plan)
    assert np.ptp(table["grade · severe"]) <= 1 and np.ptp(table["grade · mild"]) <= 1


def test_values_are_split_by_ranges_of_the_mean_of_their_groups():
    draw = np.random.default_rng(3)
    centre = draw.gamma(1.0, 100.0, 100)
    group = np.repeat(np.arange(100), 3)
    y = (centre[group] + draw.normal(0, 5, 300))[:, None]
    found = samples(LabelSpace.numbers(["price"]), y, group)
    plan = folds.plan(found, FoldSettings(n=5))
    means = [float(found.take(split.valid_ids).y_NK.mean()) for split in plan.splits]
    by_chance = []
    for seed in range(20):
        part = np.random.default_rng(seed).permutation(100)[group] % 5
        by_chance.append(np.std([y[part == k].mean() for k in range(5)]))
    assert np.std(means) < 0.5 * np.mean(by_chance)
    for split in plan.splits:
        assert not set(found.take(split.valid_ids).groups_N) & set(found.take(split.train_ids).groups_N)
    names = strata.Strata.of(found).names
    assert len(names) == 10 and names[0].startswith("price below ") and names[-1].startswith("price from ")


def test_a_value_with_few_different_numbers_has_a_range_for_each_at_most():
    y = np.repeat([0.0, 1, 7], [60, 25, 15])[:, None]
    of = strata.Strata.of(samples(LabelSpace.numbers(["count"]), y))
    assert (of.sizes_S > 0).all() and len(of.names) <= 3


def test_shares_are_split_by_the_largest_one():
    draw = np.random.default_rng(0)
    y = draw.dirichlet([4, 2, 1], 100)
    space = LabelSpace((Attribute("v", ("x", "y", "z")),), ("x", "y", "z"), np.arange(3)[:, None], "shares")
    plan = folds.plan(samples(space, y), FoldSettings(n=4))
    table = page.health(samples(space, y), plan)
    assert all(np.ptp(table[name]) <= 1 for name in space.classes)


@pytest.mark.parametrize("kind", ["holdout", "bootstrap", "repeated", "stratified"])
def test_every_kind_of_plan_is_for_every_kind_of_target(kind):
    more = {"holdout": {"valid_share": 0.25}, "repeated": {"repeats": 2}}.get(kind, {})
    for found in (samples(labels_of(12), drawn()), samples(LabelSpace.numbers(["v"]), drawn()[:, :1] + 0.5)):
        plan = folds.plan(found, FoldSettings(kind=kind, n=3, **more))
        assert len(plan) == {"holdout": 1, "repeated": 6}.get(kind, 3)
        if kind == "holdout":
            assert abs(len(plan.splits[0].valid_ids) / len(found) - 0.25) < 0.05


def test_the_health_of_a_plan_counts_each_label_and_names_one_that_a_fold_lacks():
    y = drawn()
    y[:, 11] = 0
    y[:2, 11] = 1
    found = samples(labels_of(12), y)
    plan = folds.plan(found, FoldSettings(n=5))
    table = page.health(found, plan)
    assert table["l0"].sum() == y[:, 0].sum()
    assert any("l11" in note and "2 groups" in note for note in plan.notes)
    rows = page.attributes(found, plan)
    assert set(rows["value"]) == {"no", "yes"} and rows["images"].sum() == 12 * len(y)
    assert not [check for check in page.checks(found, plan) if check.severity == "fault"]


def test_one_attribute_as_classes_leaves_unknown_cells_out():
    y = np.array([[1, 1, 0, 0], [0, np.nan, np.nan, np.nan], [np.nan, 0, 0, 1]], np.float32)
    space = LabelSpace.independent([Attribute("a", TWO), Attribute("b", ("x", "y", "z"))])
    found = samples(space, y)
    assert strata.attribute_codes(found, 0)[0].tolist() == [1, 0, -1]
    codes, names = strata.attribute_codes(found, 1)
    assert codes.tolist() == [0, -1, 2] and names == ("x", "y", "z")
