"""The values every room shares: they refuse what is broken, and join by id or not at all."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from pipeline.core import errors, seeds
from pipeline.core.errors import DataError, UserError, nearest
from pipeline.core.predictions import (
    Features,
    Prediction,
    Probabilities,
    ViewProbabilities,
    align,
    pool,
    pool_views,
)
from pipeline.core.samples import (
    Attribute,
    FoldPlan,
    LabelSpace,
    Samples,
    Split,
    SyntheticRows,
    TrainRows,
    positions,
    strings,
)

SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c")), Attribute("size", ("s", "l"))])


def three(p=((0.5, 0.5), (1, 0), (0.25, 0.75)), ids=("x", "y", "z"), classes=("a", "b"), name="m"):
    return Probabilities(np.array(ids), classes, np.array(p, np.float32), name)


# Ids


def test_positions_finds_by_id_in_any_order():
    assert positions(strings(["c", "a"]), strings(["a", "b", "c"]), "t").tolist() == [2, 0]
    assert positions(strings(["c", "a", "c"]), strings(["b", "c", "a"]), "t").tolist() == [1, 2, 1]
    assert positions(strings([]), strings(["a"]), "t").tolist() == []


@pytest.mark.parametrize("within", [["a", "b"], ["b", "a"], []])
def test_positions_names_every_missing_id(within):
    with pytest.raises(DataError, match="the table: 2 ids missing") as raised:
        positions(strings(["zz", "0"]), strings(within), "the table")
    assert raised.value.faults == ("zz", "0")


def test_ids_are_text_and_keep_leading_zeros():
    assert positions(strings(["007"]), strings(["7", "007"]), "t").tolist() == [1]


# Probabilities


@pytest.mark.parametrize(
    ("p", "fault"),
    [
        (((0.5, 0.5), (np.nan, 1), (0, 1)), "y: sum nan"),
        (((0.5, 0.5), (np.inf, 0), (0, 1)), "y: sum inf"),
        (((0.5, 0.5), (1.5, -0.5), (0, 1)), "y: sum 1"),
        (((0.5, 0.5), (0.5, 0.4), (0, 1)), "y: sum 0.9"),
    ],
)
def test_rows_that_are_no_probabilities_are_named(p, fault):
    with pytest.raises(DataError, match="m: 1 row is not probabilities") as raised:
        three(p)
    assert raised.value.faults == (fault,)


def test_row_sums_may_be_off_by_rounding():
    assert len(three(((0.5, 0.5005), (1, 0), (0.25, 0.75)))) == 3


def test_duplicate_ids_are_named():
    with pytest.raises(DataError, match="m: 1 id occurs more than once") as raised:
        three(ids=("x", "z", "z"))
    assert raised.value.faults == ("z",)


@pytest.mark.parametrize("kwargs", [{"ids": ("x", "y")}, {"classes": ("a", "b", "c")}])
def test_wrong_shapes_are_refused(kwargs):
    with pytest.raises(DataError, match=r"m: shape \(3, 2\)"):
        three(**kwargs)


def test_values_cannot_be_changed_from_inside():
    p = three()
    with pytest.raises(ValueError, match="read-only"):
        p.p_NC[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        p.ids_N[0] = "q"
    with pytest.raises(AttributeError):
        p.name = "other"  # type: ignore[misc]


def test_take_follows_ids_not_positions():
    taken = three().take(strings(["z", "x"]))
    assert taken.ids_N.tolist() == ["z", "x"]
    np.testing.assert_allclose(taken.p_NC, [[0.25, 0.75], [0.5, 0.5]])
    with pytest.raises(DataError, match="m: 1 id missing"):
        three().take(strings(["x", "q"]))


def test_classes_are_joined_by_name():
    turned = three().with_classes(("b", "a"))
    assert turned.classes == ("b", "a")
    np.testing.assert_allclose(turned.p_NC[1], [0, 1])
    with pytest.raises(DataError, match="other classes") as raised:
        three().with_classes(("a", "c"))
    assert raised.value.faults == ("b", "c")


def test_labels_are_the_most_probable_class():
    assert three().labels().tolist() == [0, 0, 1]


def test_align_joins_by_id_and_class_name():
    other = three(((0.1, 0.9), (0.2, 0.8), (0.3, 0.7)), ids=("z", "x", "y"), classes=("b", "a"), name="other")
    first, second = align([three(), other])
    assert second.ids_N.tolist() == first.ids_N.tolist() and second.classes == first.classes
    np.testing.assert_allclose(second.p_NC, [[0.8, 0.2], [0.7, 0.3], [0.9, 0.1]])


def test_align_names_missing_and_extra_ids_of_the_same_count():
    with pytest.raises(DataError, match="other: 1 id missing and 1 extra against m") as raised:
        align([three(), three(ids=("x", "y", "q"), name="other")])
    assert raised.value.faults == ("missing: z", "extra: q")


def test_views_stay_apart_and_merge_by_weight():
    p = np.stack([three().p_NC, three().p_NC[::-1]])
    views = ViewProbabilities(strings(["x", "y", "z"]), ("a", "b"), ("identity", "hflip"), p)
    np.testing.assert_allclose(views.view("hflip").p_NC[0], [0.25, 0.75])
    np.testing.assert_allclose(views.merge().p_NC[0], [0.375, 0.625])
    np.testing.assert_allclose(views.merge([2, 0]).p_NC, three().p_NC)
    with pytest.raises(AssertionError):
        ViewProbabilities(strings(["x", "y"]), ("a", "b"), ("identity", "hflip"), p)


def test_features_take_by_id():
    features = Features(strings(["a", "b"]), ("identity",), np.arange(4).reshape(2, 1, 2), "d")
    assert features.take(strings(["b", "a"])).x_NVD[:, 0, 0].tolist() == [2, 0]
    with pytest.raises(AssertionError):
        Features(strings(["a"]), ("identity",), np.zeros((2, 1, 2)), "d")


def test_predictions_take_labels_and_probabilities_together():
    p = three()
    prediction = Prediction(p.ids_N, p.labels(), p, "csv").take(strings(["z", "y"]))
    assert prediction.labels_N.tolist() == [1, 0]
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities.p_NC, [[0.25, 0.75], [1, 0]])
    assert Prediction(p.ids_N, p.labels()).take(strings(["x"])).probabilities is None


def test_predictions_refuse_duplicates_and_probabilities_of_other_ids():
    with pytest.raises(DataError, match="csv: 1 id occurs more than once"):
        Prediction(strings(["a", "a"]), np.zeros(2), name="csv")
    with pytest.raises(AssertionError, match="other ids"):
        Prediction(strings(["z", "y", "x"]), np.zeros(3), three())


# Label space


def test_product_counts_the_last_attribute_fastest():
    assert SPACE.n_classes == 6
    assert SPACE.classes[:3] == ("a · s", "a · l", "b · s")
    assert SPACE.codes_CA.tolist()[:3] == [[0, 0], [0, 1], [1, 0]]


def test_marginals_sum_class_columns():
    p = np.array([[0.1, 0.2, 0.3, 0.0, 0.0, 0.4]], np.float32)
    np.testing.assert_allclose(SPACE.marginal(p, 0), [[0.3, 0.3, 0.4]], atol=1e-6)
    np.testing.assert_allclose(SPACE.marginal(p, 1), [[0.4, 0.6]], atol=1e-6)


def test_label_spaces_refuse_repeated_names_and_wrong_codes():
    with pytest.raises(AssertionError, match="repeat"):
        LabelSpace((), ("a", "a"), np.zeros((2, 0)))
    with pytest.raises(AssertionError, match="shape"):
        LabelSpace(SPACE.attributes, ("a", "b"), np.zeros((2, 1)))


# Samples, splits, rows


def samples(labels=(0, 5, 2), ids=("i", "j", "k")):
    columns = [np.array(ids), np.array(["p/" + i for i in ids]), np.array(["g", "g", "h"])]
    return Samples(*columns, SPACE, None if labels is None else np.array(labels), "train")


def test_samples_take_by_id():
    taken = samples().take(strings(["k", "i"]))
    assert taken.labels.tolist() == [2, 0]
    assert (taken.groups_N.tolist(), taken.paths_N.tolist()) == (["h", "g"], ["p/k", "p/i"])
    assert samples(None).take(strings(["j"])).labels_N is None


@pytest.mark.parametrize("labels", [(0, 6, 2), (0, -1, 2)])
def test_samples_refuse_labels_outside_the_space(labels):
    with pytest.raises(DataError, match="outside the 6 classes"):
        samples(labels)


def test_samples_refuse_duplicates_and_asking_a_test_set_for_labels():
    with pytest.raises(DataError, match="train table: 1 id"):
        samples(ids=("i", "i", "k"))
    with pytest.raises(AssertionError, match="no labels"):
        _ = samples(None).labels


def test_a_split_never_shares_an_id():
    with pytest.raises(AssertionError, match="both train and validate"):
        Split(strings(["a", "b"]), strings(["b"]))


def test_coverage_counts_validations_by_id():
    plan = FoldPlan((Split(strings(["a"]), strings(["c", "b"])), Split(strings(["b"]), strings(["c", "a"]))))
    assert plan.coverage(strings(["a", "b", "c", "d"])).tolist() == [1, 1, 2, 0]
    with pytest.raises(DataError, match="fold plan"):
        plan.coverage(strings(["a", "b"]))


@pytest.mark.parametrize(
    ("index", "copy"),
    [([3, 3, 1, 3, 1, 0], [0, 1, 0, 2, 1, 0]), ([5], [0]), ([], []), ([2, 2, 2], [0, 1, 2])],
)
def test_train_rows_number_the_copies_of_a_sample(index, copy):
    rows = TrainRows.of(np.array(index, np.int64))
    assert (rows.index_R.tolist(), rows.copy_R.tolist()) == (index, copy)
    assert len(rows) == len(index)


# Seeds


def test_seeds_are_the_same_in_another_process():
    code = "from pipeline.core.seeds import seed; print(seed(7, 'augment', 3, 'a'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == seeds.seed(7, "augment", 3, "a")


def test_seeds_tell_their_parts_apart():
    parts = [
        *((7, "a", "bc"), (7, "ab", "c"), (7, "abc"), (7, "a", 1), (7, "a", "1"), (8, "a", 1)),
        *((7, 1, "a"), (7, "a", 1, 0), (7,)),
    ]
    made = {seeds.seed(*p) for p in parts}
    assert len(made) == len(parts)
    assert all(0 <= s < 2**63 for s in made)


def test_generators_repeat_and_do_not_touch_global_state():
    before = np.random.get_state()[1].copy()
    assert seeds.rng(1, "x").random() == seeds.rng(1, "x").random() != seeds.rng(1, "y").random()
    assert seeds.py_rng(1, "x").random() == seeds.py_rng(1, "x").random()
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_many_seeds_do_not_collide():
    assert len({seeds.seed(0, "sample", i) for i in range(20_000)}) == 20_000


# Errors


def test_an_error_shows_where_what_and_what_to_do():
    error = UserError("t.csv: 2 faults", ["row 3", "row 9"], "correct them")
    assert str(error) == "t.csv: 2 faults\n  - row 3\n  - row 9\n  → correct them"


def test_an_error_keeps_all_faults_and_shows_the_first():
    error = DataError("t", [f"row {n}" for n in range(errors.SHOWN_FAULTS + 5)])
    assert len(error.faults) == errors.SHOWN_FAULTS + 5
    assert str(error).endswith("… and 5 more") and "row 41" not in str(error)


@pytest.mark.parametrize(
    "kind", [errors.ConfigError, errors.DataError, errors.ModelError, errors.StorageError]
)
def test_every_kind_can_be_mended_by_the_user(kind):
    assert issubclass(kind, UserError) and issubclass(kind, errors.PodiumError)


def test_nearest_suggests_or_says_nothing():
    assert nearest("resnet5", ["resnet50", "vgg16"]) == "did you mean resnet50?"
    assert nearest("qqq", ["resnet50"]) == ""


def test_offline_copies_are_numbered_apart_and_carry_their_policy():
    rows = TrainRows.of(np.array([4, 2, 2])).with_copies(np.array([2, 2, 4]), "rotate30")
    assert rows.index_R.tolist() == [4, 2, 2, 2, 2, 4] and rows.copy_R.tolist() == [0, 0, 1, 0, 1, 0]
    assert rows.policies == (None, "rotate30") and rows.policy_R.tolist() == [0, 0, 0, 1, 1, 1]
    more = rows.with_copies(np.array([0]), "light")
    assert more.policies == (None, "rotate30", "light") and more.policy_R[-1] == 2
    with pytest.raises(AssertionError, match="differ in length"):
        TrainRows(np.array([0]), np.array([0, 1]))


def test_what_a_plan_covers_and_how_often_a_bag_holds_an_id():
    split = Split(strings(["a", "b"]), strings(["d", "c"]), np.array([2, 1]))
    assert FoldPlan((split, Split(strings(["a"]), strings(["c"])))).covered.tolist() == ["c", "d"]
    with pytest.raises(AssertionError, match="times_T"):
        Split(strings(["a", "b"]), strings(["c"]), np.array([1]))


def test_synthetic_rows_have_a_label_each():
    assert len(SyntheticRows(np.zeros((3, 2, 4)), np.array([0, 1, 1]))) == 3
    with pytest.raises(AssertionError, match="rows and labels"):
        SyntheticRows(np.zeros((3, 2, 4)), np.array([0, 1]))


def test_the_fold_column_travels_with_the_samples():
    some = dataclasses.replace(samples(), folds_N=np.array(["1", "", "x"]))
    assert some.take(strings(["k", "i"])).folds_N.tolist() == ["x", "1"]


def pooled_parts():
    one = Probabilities(strings(["b", "a"]), ("x", "y"), np.array([[0.2, 0.8], [1.0, 0.0]], np.float32))
    two = Probabilities(strings(["c", "b"]), ("y", "x"), np.array([[0.5, 0.5], [0.4, 0.6]], np.float32))
    return [one, two]


def test_pooling_averages_an_id_of_several_folds_by_id_and_class_name():
    found = pool(pooled_parts(), "oof")
    assert found.ids_N.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found.p_NC, [[1, 0], [0.4, 0.6], [0.5, 0.5]], atol=1e-6)
    single = pool(pooled_parts()[:1], "oof")
    assert np.array_equal(single.take(strings(["b"])).p_NC, pooled_parts()[0].take(strings(["b"])).p_NC)


def test_pooling_views_keeps_them_apart():
    parts = [
        ViewProbabilities(p.ids_N, ("x", "y"), ("v", "w"), np.stack([p.p_NC, p.p_NC[:, ::-1]]))
        for p in pooled_parts()[:1] * 2
    ]
    found = pool_views(parts, "oof")
    assert found.ids_N.tolist() == ["a", "b"] and found.views == ("v", "w")
    np.testing.assert_allclose(found.p_VNC[1], [[0, 1], [0.8, 0.2]], atol=1e-6)
