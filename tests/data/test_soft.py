"""Soft targets near a boundary: shared linearly, for training alone, and kept by every step on the way."""

import numpy as np
import pytest
from bring_world import MASK, PEOPLE, folder_of, mask_tree

from pipeline.core.samples import Samples
from pipeline.data import competition
from pipeline.data.labels import shares
from pipeline.record.files import read_samples, write_samples
from pipeline.train.targets import targets_of


def softened(**age):
    *others, last = MASK.attributes
    return MASK.model_copy(update={"attributes": [*others, last.model_copy(update=age)]})


def age_share(samples, person):
    """(K,) of one photo of this person, from the training target of its class."""
    row = int(np.flatnonzero(samples.groups_N == folder_of(person))[0])
    target_C = targets_of(samples, samples.soft_NC)[row].numpy()
    assert target_C.sum() == pytest.approx(1)
    ages = samples.space.codes_CA[:, 2]
    others = samples.space.codes_CA[:, :2] == samples.space.codes_CA[samples.labels[row], :2]
    assert target_C[~others.all(1)].sum() == 0, "mask and gender are what the table says"
    return np.bincount(ages, weights=target_C).tolist()


def test_shares_are_linear_between_the_widths():
    values = np.array([20, 28, 29, 30, 31, 32, 50, 59, 60, 99, np.nan])
    found = shares(values, [30, 60], 2)
    upper = [0, 0, 0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0, 0]
    old = [0, 0, 0, 0, 0, 0, 0, 0.25, 0.5, 1, 0]
    np.testing.assert_allclose(found[:, 1], upper)
    np.testing.assert_allclose(found[:, 2], old)
    np.testing.assert_allclose(found.sum(1), 1)


def test_training_targets_are_shared_and_scores_are_not(tmp_path):
    root = mask_tree(tmp_path)
    plain, data = competition.load(MASK, root).train, competition.load(softened(soft_width=4), root)
    assert np.array_equal(data.train.labels, plain.labels) and data.train.train_labels_N is None
    by_age = {person[2]: age_share(data.train, person) for person in PEOPLE}
    for age, found in by_age.items():
        expected = shares(np.array([float(age)]), [30, 60], 4)[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert any(0.01 < max(found) < 0.99 for found in by_age.values()), "somebody is near an edge"
    is_soft = ~np.isnan(data.train.soft_NC).any(axis=1)
    assert 0 < is_soft.sum() < len(data.train)
    assert any(f"{is_soft.sum()} images near the edge of a bin" in note for note in data.notes)
    assert data.test.soft_NC is None


def test_the_edges_are_those_of_training(tmp_path):
    data = competition.load(softened(soft_width=1, train_bins=[30.0, 58.0]), mask_tree(tmp_path)).train
    person = next(p for p in PEOPLE if p[2] == 59)
    np.testing.assert_allclose(age_share(data.for_training(), person), [0, 0, 1])


@pytest.fixture
def train(tmp_path):
    return competition.load(softened(soft_width=4), mask_tree(tmp_path)).train


def test_they_are_written_read_and_taken_by_id(train, tmp_path):
    write_samples(tmp_path / "train.npz", train, tmp_path)
    again = read_samples(tmp_path / "train.npz", tmp_path)
    np.testing.assert_array_equal(again.soft_NC, train.soft_NC)
    ids = train.ids_N[::-2]
    at = [list(train.ids_N).index(i) for i in ids]
    np.testing.assert_array_equal(train.take(ids).soft_NC, train.soft_NC[at])
    np.testing.assert_array_equal(train.for_training().soft_NC, train.soft_NC)


def test_images_from_elsewhere_keep_their_labels(train):
    ids = np.array(["x1", "x2"])
    other = Samples(ids, ids, ids, train.space, np.array([0, 1]), "extra")
    joined = train.joined(other)
    np.testing.assert_array_equal(joined.soft_NC[: len(train)], train.soft_NC)
    target = targets_of(joined, joined.soft_NC)[-2:].numpy()
    assert target.argmax(1).tolist() == [0, 1] and (target.max(1) == 1).all()
    assert other.joined(other.take(ids[:0])).soft_NC is None


def test_targets_that_sum_to_something_else_are_our_own_bug(train):
    from dataclasses import replace

    with pytest.raises(AssertionError, match="sum to 1"):
        replace(train, soft_NC=np.full_like(train.soft_NC, 0.5))


def test_no_width_no_soft_targets(tmp_path):
    assert competition.load(MASK, mask_tree(tmp_path)).train.soft_NC is None
