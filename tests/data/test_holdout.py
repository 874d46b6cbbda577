"""A test set held out of the training images: whole groups, each class its share, never its last group."""

from dataclasses import replace

import numpy as np
import pytest
from bring_world import picture

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split, strings
from pipeline.core.targets import Target
from pipeline.core.truths import cells_of
from pipeline.data import host
from pipeline.data.competition import Answers, hold_out, without_copies
from pipeline.data.folds import with_extra
from pipeline.data.strata import Strata


def classes(labels):
    return Strata(tuple(map(str, range(max(labels) + 1))), np.arange(len(labels)), labels)


def test_classes_give_their_share_and_groups_stay_whole():
    groups = np.array([f"g{n // 3}" for n in range(900)])
    labels = np.array([int(n // 3 >= 200) + 2 * (n % 3 == 0) for n in range(900)])
    held = hold_out(groups, classes(labels), 0.2)
    share = [held.test_N[labels == c].mean() for c in range(4)]
    assert all(0.18 <= s <= 0.22 for s in share)
    for group in np.unique(groups):
        assert len(set(held.test_N[groups == group])) == 1
    assert not (held.public_N & ~held.test_N).any()
    assert abs(held.public_N.sum() / held.test_N.sum() - 0.5) < 0.02


def test_the_order_of_rows_changes_nothing():
    groups = np.array([f"g{n}" for n in range(60)])
    labels = np.arange(60) % 3
    order = np.random.default_rng(0).permutation(60)
    assert np.array_equal(
        hold_out(groups, classes(labels), 0.3).test_N[order],
        hold_out(groups[order], classes(labels[order]), 0.3).test_N,
    )


def test_a_class_never_loses_its_last_group():
    groups = np.array([f"g{n}" for n in range(40)])
    labels = np.arange(40) // 2
    held = hold_out(groups, classes(labels), 0.6)
    assert set(labels[~held.test_N].tolist()) == set(range(20))


def test_labels_that_hold_together_give_their_share_however_they_are_combined():
    generator = np.random.default_rng(0)
    y = (generator.random((600, 12)) < 0.3).astype(np.float32)
    ids = strings([f"i{n:03d}" for n in range(600)])
    space = LabelSpace.independent([Attribute(f"l{k}", ("no", "yes")) for k in range(12)])
    held = hold_out(ids, Strata.of(Samples(ids, ids, ids, space, None, "train", y_NK=y)), 0.2)
    assert 0.18 <= held.test_N.mean() <= 0.22
    assert all(0.12 <= held.test_N[y[:, k] > 0].mean() <= 0.28 for k in range(12))


def test_too_few_groups():
    with pytest.raises(DataError, match="too few to hold out"):
        hold_out(np.array(["a", "b"]), classes(np.array([0, 1])), 0.1)


def samples(ids, groups, split="train"):
    space = LabelSpace.product([Attribute("x", ("a", "b"))])
    return Samples(strings(ids), strings(ids), strings(groups), space, np.zeros(len(ids), np.int64), split)


def test_extra_images_train_everywhere_but_beside_their_own_group():
    own = samples(["1", "2", "3", "4"], ["p", "p", "q", "q"])
    plan = FoldPlan(
        (Split(strings(["1", "2"]), strings(["3", "4"])), Split(strings(["3", "4"]), strings(["1", "2"])))
    )
    extra = samples(["web/1", "web/2"], ["p", "web/2"], "extra")
    found = with_extra(plan, own, extra)
    assert [s.train_ids.tolist() for s in found.splits] == [["1", "2", "web/1", "web/2"], ["3", "4", "web/2"]]
    assert [s.valid_ids.tolist() for s in found.splits] == [["3", "4"], ["1", "2"]]
    assert found.notes == (
        "2 images from elsewhere join every training part; 1 times an image is left out, because its group "
        "is in the validation part",
    )
    pool = own.joined(extra)
    assert (
        len(pool) == 6 and pool.split == "train" and pool.take(found.splits[1].train_ids).ids_N[2] == "web/2"
    )


def test_copies_of_our_own_images_are_left_out(tmp_path):
    for name, shade in (("own.png", 1), ("copy.png", 1), ("other.png", 200)):
        picture(tmp_path / name, shade)

    def at(ids, files, split):
        found = samples(ids, ids, split)
        return replace(found, paths_N=strings([str(tmp_path / file) for file in files]))

    own = at(["1"], ["own.png"], "train")
    extra = at(["web/1", "web/2"], ["copy.png", "other.png"], "extra")
    assert without_copies(extra, [own]).ids_N.tolist() == ["web/2"]


def test_kept_answers_of_levels_know_their_labels_as_those_of_training_do(tmp_path):
    space = LabelSpace.independent([Attribute("a", ("no", "yes")), Attribute("b", ("low", "mid", "high"))])
    truth = np.array([[1, 0, 1, 0], [0, np.nan, np.nan, np.nan]], np.float32)
    host.write_answers(tmp_path / "a.csv", Answers(strings(["x", "y"]), truth, np.array([True, False])))
    _, read, usage = host.read_answers(tmp_path / "a.csv", Target.of(space))
    np.testing.assert_array_equal(read, truth)
    assert cells_of(read) == space.cells and usage.tolist() == ["public", "private"]
