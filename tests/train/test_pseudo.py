"""What a student adopts: sure images, class by class, never of a group that validates."""

from dataclasses import replace

import numpy as np
import pytest
from learn_world import digit_images, digit_samples

from pipeline.core.errors import DataError
from pipeline.core.targets import Target
from pipeline.data.loader import Chained
from pipeline.resample.indices import Part
from pipeline.settings.members import PseudoSettings
from pipeline.train import teacher_labels, teachers

P = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)


TARGET = Target(("a", "b"))


def test_threshold_and_share():
    def adopted(**settings):
        return np.flatnonzero(teacher_labels.adopt(P, PseudoSettings(**settings))).tolist()

    assert adopted(threshold=0.7) == [0, 2, 3]
    assert adopted(threshold=0.0, share=0.5) == [0, 2, 3], "the surest half of each class, rounded up"
    assert adopted(threshold=0.85, share=0.5) == [0]
    assert adopted(threshold=0.0) == [0, 1, 2, 3, 4]


def test_groups_that_validate_stay_out():
    free = replace(digit_samples(20, 26), labels_N=None)
    assert teachers.allowed(free, np.array(["d21", "d25"])).ids_N.tolist() == ["d20", "d22", "d23", "d24"]


def test_joining_extends_the_part_and_never_touches_a_labelled_image():
    own = digit_samples(0, 4)
    free = replace(digit_samples(20, 22), labels_N=None, split="unlabelled")
    joined = teacher_labels.join(Part(own, 0, np.array([1, 2, 1, 3])), free, np.array([7, 8]))
    assert joined.samples.labels.tolist() == [*own.labels.tolist(), 7, 8]
    assert joined.times_N.tolist() == [1, 2, 1, 3, 1, 1]
    soft = teacher_labels.soft_targets(joined, np.full((2, 10), 0.1, np.float32))
    assert np.isnan(soft[:4]).all() and np.allclose(soft[4:], 0.1)
    with pytest.raises(AssertionError, match="only unlabelled"):
        teacher_labels.join(Part(own, 0), digit_samples(3, 5), np.array([7, 8]))


def test_test_images_get_names_of_their_own_and_groups_that_mean_something():
    alone = teachers.test_beside_training(digit_samples(0, 2))
    assert alone.ids_N.tolist() == alone.groups_N.tolist() == ["test/d0", "test/d1"]
    people = replace(digit_samples(0, 2), groups_N=np.array(["anna", "anna"]))
    assert teachers.test_beside_training(people).groups_N.tolist() == ["anna", "anna"]


def test_teachers_are_averaged_by_id():
    ids = np.array(["a", "b"])
    one, two = np.array([[1, 0], [0, 1]], np.float32), np.array([[0.5, 0.5], [0.8, 0.2]], np.float32)
    found = teacher_labels.mean_of([(ids, one), (ids[::-1], two)], ids, TARGET)
    assert np.allclose(found, [[0.9, 0.1], [0.25, 0.75]])
    with pytest.raises(DataError, match="missing"):
        teacher_labels.mean_of([(ids, one)], np.array(["c"]), TARGET)


def test_two_sets_of_images_read_as_one():
    a, b = digit_images(10, size=8), digit_images(6, size=8)
    both = Chained(a, replace(b, ids_N=np.array([f"test/{i}" for i in b.ids_N])))
    plain = np.concatenate([a.x_NHWC, b.x_NHWC])
    assert both.x_NHWC.shape == plain.shape and len(both.ids_N) == len(both.x_NHWC) == 16
    at = np.array([15, 0, 9, 10])
    assert np.array_equal(both.x_NHWC[at], plain[at])
    assert all(np.array_equal(both.x_NHWC[int(i)], plain[i]) for i in at)
