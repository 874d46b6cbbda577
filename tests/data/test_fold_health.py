"""Is a plan sound? Each check on a plan that breaks it, and silence on one that does not."""

import numpy as np
import pytest

from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.data import folds, page
from pipeline.settings.folds import FoldSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b")), Attribute("age", ("old", "young"))])


def samples(n_groups=40):
    """Each person has 4 photos, both kinds, one age; every fourth person is old."""
    groups = np.repeat([f"p{g:02d}" for g in range(n_groups)], 4)
    labels = np.array([(i % 2) * 2 + (i // 4 % 4 > 0) for i in range(4 * n_groups)])
    ids = np.array([f"i{i:03d}" for i in range(len(groups))])
    return Samples(ids, ids, groups, SPACE, labels, "train")


def split_by(some, chosen):
    return Split(some.ids_N[~chosen], some.ids_N[chosen])


def test_a_sound_plan_has_nothing_to_say():
    some = samples()
    assert page.checks(some, folds.plan(some, FoldSettings(n=4))) == []


def test_groups_on_both_sides_are_a_fault_and_come_first():
    some = samples()
    plan = folds.plan(some, FoldSettings(kind="stratified", n=4))
    (first, *_) = page.checks(some, plan)
    assert first.severity == "fault" and "40 groups are in the training and the validation part" in first.text
    assert "stratified_group" in first.remedy


def test_a_class_that_is_validated_untrained_or_never():
    some = samples()
    only = np.isin(some.labels, [0])
    texts = [c.text for c in page.checks(some, FoldPlan((split_by(some, only),)))]
    assert any(
        t == "class a · old: fold 0 validates it, but its training part has no image of it" for t in texts
    )
    assert sum("no fold validates it" in t for t in texts) == 3


def test_a_lopsided_attribute_names_the_value_and_the_worst_fold():
    some = samples()
    old = SPACE.codes_CA[some.labels, 1] == 0
    half = np.cumsum(~old) <= 8
    plan = FoldPlan((split_by(some, old | half), split_by(some, ~(old | half))))
    texts = [c.text for c in page.checks(some, plan)]
    assert any(
        "fold 0, 1: age is distributed differently" in t and "old 83% instead of 25%" in t for t in texts
    )


def test_a_fold_of_another_size():
    some = samples()
    plan = FoldPlan((split_by(some, np.arange(160) < 16), split_by(some, np.arange(160) >= 16)))
    texts = [c.text for c in page.checks(some, plan)]
    assert "fold 0 validates 16 images; the mean is 80" in texts


def test_tables_count_images_groups_and_attributes():
    some = samples()
    plan = folds.plan(some, FoldSettings(n=4))
    health = page.health(some, plan)
    assert health["valid_images"].tolist() == [40] * 4 and health["valid_groups"].tolist() == [10] * 4
    table = page.attributes(some, plan)
    assert list(table.columns) == ["attribute", "value", "images", "fold 0", "fold 1", "fold 2", "fold 3"]
    ages = table[table["attribute"] == "age"].set_index("value")
    assert ages.loc["old", "images"] == 40
    for name in ("kind", "age"):
        rows = table[table["attribute"] == name]
        assert rows["images"].sum() == 160
        assert (rows[[f"fold {k}" for k in range(4)]].sum(axis=1) == rows["images"]).all()


@pytest.mark.parametrize("kind", ["repeated", "bootstrap", "holdout"])
def test_every_kind_can_be_judged(kind):
    more = {"repeated": {"repeats": 2}, "holdout": {"valid_share": 0.25}}.get(kind, {})
    some = samples()
    plan = folds.plan(some, FoldSettings(kind=kind, n=4, **more))
    assert all(c.severity == "warning" for c in page.checks(some, plan))
