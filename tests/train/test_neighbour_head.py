"""The vote of the nearest training samples: by hand, without leaks, of every kind of target."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import TRAIN, head_job
from learn_world import all_rows

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples, SyntheticRows, TrainRows, strings
from pipeline.core.targets import Target
from pipeline.nets.nearest import PRIOR_SHARE, NearestHead, state_of
from pipeline.settings.loss import LossSettings
from pipeline.train import solved_heads
from pipeline.train.heads import head_probabilities, restore_head


@pytest.fixture(scope="module")
def job():
    return head_job(head="knn", head_k=5, head_temperature=0.1)


def fit(job):
    (found,) = solved_heads.fit_heads([job])
    return found


def by_hand(job, k, temperature, weight_T=None):
    """(N, C) of the validation part, from similarities in double precision."""
    mean_D, std_D = (v.double().numpy() for v in job.statistics())

    def unit(samples):
        z = (job.features.take(samples.ids_N).x_NVD[:, 0].astype(np.float64) - mean_D) / std_D
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    labels, weight_T = job.train_samples.labels, np.ones(TRAIN) if weight_T is None else weight_T
    similar = unit(job.valid_samples) @ unit(job.train_samples).T
    prior_C = np.bincount(labels, weights=weight_T, minlength=10) / weight_T.sum()
    p_NC = np.zeros((len(similar), 10))
    for n, row in enumerate(similar):
        near = np.argsort(-row)[:k]
        vote = np.exp(row[near] / temperature) * weight_T[near]
        np.add.at(p_NC[n], labels[near], vote / vote.sum())
    return (1 - PRIOR_SHARE) * p_NC + PRIOR_SHARE * prior_C


def test_the_nearest_vote_by_similarity(job):
    found = fit(job)
    np.testing.assert_allclose(found.result.oof.p_NC, by_hand(job, 5, 0.1), atol=0.01)
    (entry,) = found.result.history
    assert entry["valid_score"] > 0.85 and np.isfinite(entry["valid_loss"])


def test_a_restored_head_answers_alike(job):
    found = fit(job)
    x_ND = job.features.take(job.valid_samples.ids_N).x_NVD[:, 0]
    again = head_probabilities(restore_head(found.state), x_ND, job.target)[0]
    np.testing.assert_array_equal(again, found.result.oof.p_NC)


def test_validation_images_are_no_neighbours(job):
    """The labels of the validation part change nothing, and its images are not in the state."""
    other = replace(job.valid_samples, labels_N=(job.valid_samples.labels + 1) % 10)
    np.testing.assert_array_equal(
        fit(replace(job, valid_samples=other)).result.oof.p_NC, fit(job).result.oof.p_NC
    )
    assert len(fit(job).state["rows_TD"]) == TRAIN


def test_weights_and_repeated_rows_weigh_votes(job):
    threes = job.train_samples.labels == 3
    weights = np.where(threes, 4, 1).astype(np.float32)
    repeated = np.repeat(np.arange(TRAIN), np.where(threes, 4, 1))
    weighed = fit(replace(job, weights_N=weights)).result.oof.p_NC
    again = fit(replace(job, rows=lambda epoch: TrainRows.of(repeated))).result.oof.p_NC
    np.testing.assert_allclose(again, weighed, atol=1e-6)
    np.testing.assert_allclose(weighed, by_hand(job, 5, 0.1, weights), atol=0.02)


def test_rows_that_resampling_leaves_out_do_not_vote_and_synthetic_ones_do(job):
    fewer = fit(replace(job, rows=lambda epoch: TrainRows.of(np.arange(100))))
    assert len(fewer.state["rows_TD"]) == 100
    made = SyntheticRows(job.features.x_NVD[:7].astype(np.float32), np.full(7, 2))
    more = fit(replace(job, synthetic=made, rows=all_rows(TRAIN + 7)))
    assert len(more.state["rows_TD"]) == TRAIN + 7


def test_a_soft_label_votes_for_its_classes(job):
    soft = np.eye(10, dtype=np.float32)[job.train_samples.labels]
    hard = fit(replace(job, soft_NC=soft)).result.oof.p_NC
    np.testing.assert_allclose(hard, fit(job).result.oof.p_NC, atol=1e-6)
    half = np.where(soft == 1, np.float32(0.55), np.float32(0.05))
    p_NC = fit(replace(job, soft_NC=half)).result.oof.p_NC
    np.testing.assert_allclose(p_NC, 0.05 + 0.5 * hard, atol=1e-4)


def columns_head(space, truth_TC, k=2):
    """Four training samples at right angles and an answer for each of them, by two equal neighbours."""
    rows = torch.eye(4)
    state = state_of(
        rows,
        torch.tensor(truth_TC),
        torch.ones(4),
        (torch.zeros(4), torch.ones(4)),
        Target.of(space),
        (k, 1.0, 0),
    )
    x = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)
    return head_probabilities(NearestHead(state), x, Target.of(space))[0]


def test_labels_are_the_share_of_neighbours_that_know_them():
    space = LabelSpace.independent([Attribute("a", ("0", "1")), Attribute("b", ("0", "1"))])
    nan = np.nan
    p = columns_head(space, [[1.0, nan], [0, 1], [1, nan], [1, nan]])
    np.testing.assert_allclose(p, [[0.5, 1.0], [1.0, 1.0]], atol=0.02)


def test_levels_of_a_label_sum_to_one():
    space = LabelSpace.independent([Attribute("a", ("low", "mid", "high"))])
    p = columns_head(space, [[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(p, [[0.5, 0.5, 0], [0, 0, 1]], atol=0.02)


def test_values_are_the_mean_of_the_neighbours():
    p = columns_head(LabelSpace.numbers(["weight"]), [[10.0], [20], [40], [np.nan]])
    np.testing.assert_allclose(p[:, 0], [15, 40], rtol=0.03)


def test_shares_are_the_mean_of_the_neighbours():
    space = replace(LabelSpace.product([Attribute("v", ("a", "b"))]), kind="shares")
    p = columns_head(space, [[0.2, 0.8], [0.4, 0.6], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(p, [[0.3, 0.7], [0.75, 0.25]], atol=0.01)


def test_thousands_of_classes_keep_no_dense_targets():
    space = LabelSpace.product([Attribute("whale", tuple(f"w{n}" for n in range(3000)))])
    ids = strings([f"i{n}" for n in range(3300)])
    labels = np.r_[np.arange(3000), np.arange(300)].astype(np.int64)
    all_of = Samples(ids, ids, ids, space, labels, "train")
    x_ND = np.random.default_rng(0).normal(size=(3000, 16))[labels] + 0.01 * np.arange(3300)[:, None] / 3300
    features = Features(ids, ("identity",), x_ND[:, None].astype(np.float32), "digest")
    job = replace(
        head_job(head="knn"),
        train_samples=all_of.take(ids[:3000]),
        valid_samples=all_of.take(ids[3000:]),
        features=features,
        rows=all_rows(3000),
    )
    found = fit(job)
    assert found.result.history[0]["valid_score"] == 1
    assert sum(v.numel() * v.element_size() for v in found.state.values()) < 1e6


def test_a_loss_is_refused(job):
    with pytest.raises(ConfigError, match="head=knn minimises no loss"):
        fit(replace(job, loss=LossSettings(name="focal")))
