"""Classes that no model can know where they validate: scored as the new class, trained as their own."""

import numpy as np

from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.data import folds, unseen
from pipeline.settings.folds import FoldSettings

NEW = 3
SPACE = LabelSpace.product([Attribute("whale", ("a", "b", "single", "new", "grouped"))])


def samples(labels, groups=None, split="train"):
    ids = strings([f"{split}{n:03d}" for n in range(len(labels))])
    named = ids if groups is None else strings([f"g{g}" for g in groups])
    return Samples(ids, ids, named, SPACE, np.array(labels, np.int64), split)


OWN = samples([0] * 15 + [1] * 15 + [2] + [4, 4] + [3] * 5, [*range(31), 31, 31, *range(40, 45)])


def test_a_class_of_one_group_is_scored_as_the_new_class_and_trains_as_its_own():
    found, notes = unseen.scored_as_new(OWN, None, NEW)
    assert found.labels[-8:].tolist() == [NEW] * 8
    assert found.for_training().labels.tolist() == OWN.labels.tolist()
    assert "2 classes have one image or one group only (3 images)" in notes[0]
    assert "`new`, as are 5 images labelled with it" in notes[0]


def test_images_from_elsewhere_make_a_class_known():
    found, _ = unseen.scored_as_new(OWN, samples([2], split="extra"), NEW)
    assert found.labels[30] == 2 and found.labels[31] == NEW


def test_the_fold_plan_validates_them_and_no_note_says_that_their_class_has_no_image():
    found, _ = unseen.scored_as_new(OWN, None, NEW)
    plan = folds.plan(found, FoldSettings(n=2))
    assert sorted(plan.covered) == sorted(found.ids_N)
    assert not any("no training image" in note or "single image" in note for note in plan.notes)
    for split in plan.splits:
        part = found.take(split.train_ids).for_training().labels
        valid = found.take(split.valid_ids)
        unknown = ~np.isin(valid.for_training().labels, part)
        assert (valid.labels[unknown] == NEW).all()


def test_nothing_to_score_as_the_new_class_is_said():
    found, notes = unseen.scored_as_new(samples([0, 0, 1, 1]), None, NEW)
    assert found.train_labels_N is None
    assert "a threshold for it cannot be fitted" in notes[0]
