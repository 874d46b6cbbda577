import numpy as np
import pandas as pd
import pytest

from pipeline.core.seeds import rng
from pipeline.eda.shift import MOST_IMAGES, measure
from pipeline.settings.eda import EdaSettings

QUICK = EdaSettings(shift_shuffles=99)


def world(n_train, n_test, seed=0, group_size=1, group_effect=0.0):
    """Rows and facts without any shift; images of one group share part of each fact."""
    draw = rng(seed, "world")
    n = n_train + n_test
    group = np.arange(n) // group_size
    images = pd.DataFrame(
        {
            "split": ["train"] * n_train + ["test"] * n_test,
            "id": [f"i{k}" for k in range(n)],
            "group": [f"g{k}" for k in group],
        }
    )
    shared = draw.normal(size=(group.max() + 1, 4))[group]
    values = draw.normal(size=(n, 4)) + group_effect * shared
    return images, pd.DataFrame(values, columns=["width", "brightness", "contrast", "blur"])


def test_a_shift_is_measured_and_the_fact_named():
    images, facts = world(300, 150)
    facts.loc[images["split"] == "test", "brightness"] -= 1.5
    found = measure(images, facts, None, QUICK)
    assert found.auc > 0.75 and found.p == 0.01 and found.chance < 0.6
    assert found.table["fact"][0] == "brightness" and found.table["auc"][0] < 0.25
    assert found.table["test"][0] < found.table["train"][0]
    darkest = facts["brightness"][[int(name[1:]) for _, name in found.test_like]]
    assert darkest.mean() < facts["brightness"][300:].mean() and len(found.test_like) == 12
    assert {split for split, _ in found.train_like} == {"train"}


def test_a_spread_without_a_change_of_the_middle_is_seen_too():
    images, facts = world(600, 300)
    facts.loc[images["split"] == "test", "blur"] *= 4
    assert measure(images, facts, None, QUICK).auc > 0.65


@pytest.mark.parametrize(("size", "effect"), [(1, 0.0), (6, 3.0)])
def test_small_and_clustered_sets_do_not_alarm(size, effect):
    """120 images, in the second case in 20 groups that are as different as groups can be."""
    found = [
        measure(*world(90, 30, seed, size, effect), None, EdaSettings(shift_shuffles=99, seed=seed))
        for seed in range(20)
    ]
    assert sum(f.p <= 0.01 and f.auc >= 0.6 for f in found) <= 1
    assert 0.3 < np.mean([f.auc for f in found]) < 0.6


def test_features_are_used_when_given():
    images, facts = world(200, 100)
    features = rng(1, "features").normal(size=(300, 80))
    features[200:, 7] += 3
    assert measure(images, facts, None, QUICK).p > 0.01
    found = measure(images, facts, features, QUICK)
    assert found.on == "features" and found.auc > 0.8 and found.p == 0.01
    assert list(found.table.columns) == ["fact", "train", "test", "auc"]


def test_no_test_set_and_too_few_groups_are_no_question():
    images, facts = world(40, 0)
    assert measure(images, facts, None, QUICK) is None
    images, facts = world(40, 14, group_size=9)
    assert measure(images, facts, None, QUICK) is None


def test_constant_facts_and_many_images():
    images, facts = world(MOST_IMAGES + 500, 200)
    facts["width"] = 640.0
    found = measure(images, facts, None, EdaSettings(shift_shuffles=19))
    assert "width" not in set(found.table["fact"]) and 0.4 < found.auc < 0.6
    still = measure(images, facts * 0, None, EdaSettings(shift_shuffles=19))
    assert still.auc == 0.5 and still.p == 1 and still.table.empty


def test_the_same_data_give_the_same_answer():
    images, facts = world(100, 50)
    one, other = (measure(images, facts, None, QUICK) for _ in range(2))
    assert (one.auc, one.p, one.test_like) == (other.auc, other.p, other.test_like)
