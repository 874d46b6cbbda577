"""Logistic regression: scikit-learn's own answer, with weights, views, soft labels and missing classes."""

from dataclasses import replace

import numpy as np
import pytest
from heads_world import TRAIN, features, head_job
from learn_world import all_rows
from sklearn.linear_model import LogisticRegression

from pipeline.core.errors import ConfigError
from pipeline.core.samples import SyntheticRows, TrainRows
from pipeline.settings.loss import LossSettings
from pipeline.train import solved_heads
from pipeline.train.heads import head_probabilities, plain_view, restore_head


@pytest.fixture(scope="module")
def job():
    return head_job(head="logistic", head_c=0.05)


def fit(job):
    (found,) = solved_heads.fit_heads([job])
    return found


def theirs(job, x_MD, y_M, weight_M=None):
    """(N, C) of the validation part within the ends of the training part, by scikit-learn."""
    mean_D, std_D = (v.double().numpy() for v in job.statistics())
    solver = LogisticRegression(C=job.train.head_c, max_iter=2000, tol=1e-6)
    solver.fit((x_MD - mean_D) / std_D, y_M, sample_weight=weight_M)
    x_ND = plain_view(job.features.take(job.valid_samples.ids_N)).clamp(*job.ends()).double().numpy()
    return solver.predict_proba((x_ND - mean_D) / std_D)


def x_of(job):
    return job.features.take(job.train_samples.ids_N).x_NVD.astype(np.float64)


def test_it_is_scikit_learns_answer_and_a_head(job):
    found, labels = fit(job), job.train_samples.labels
    np.testing.assert_allclose(found.result.oof.p_NC, theirs(job, x_of(job)[:, 0], labels), atol=5e-3)
    (entry,) = found.result.history
    assert entry["valid_score"] > 0.85 and entry["iterations"] > 3
    assert entry["gap"] == entry["valid_loss"] - entry["train_loss"] > 0
    x_ND = plain_view(job.features.take(job.valid_samples.ids_N))
    again = head_probabilities(restore_head(found.state), x_ND.numpy(), job.target)[0]
    np.testing.assert_array_equal(again, found.result.oof.p_NC)


def test_every_view_is_a_row_of_its_share(job):
    two = replace(job, features=features(2))
    x_NVD, labels = x_of(two), two.train_samples.labels
    expected = theirs(two, x_NVD.reshape(-1, 64), labels.repeat(2), np.full(2 * TRAIN, 0.5))
    np.testing.assert_allclose(fit(two).result.oof.p_NC, expected, atol=5e-3)


def test_repeated_rows_and_sample_weights_are_weights(job):
    threes = job.train_samples.labels == 3
    index = np.repeat(np.arange(TRAIN), np.where(threes, 4, 1))
    weights = np.where(threes, 4, 1).astype(np.float32)
    repeated = fit(replace(job, rows=lambda epoch: TrainRows.of(index)))
    weighed = fit(replace(job, weights_N=weights))
    np.testing.assert_allclose(repeated.result.oof.p_NC, weighed.result.oof.p_NC, atol=1e-6)
    expected = theirs(job, x_of(job)[:, 0], job.train_samples.labels, weights)
    np.testing.assert_allclose(weighed.result.oof.p_NC, expected, atol=5e-3)


def test_a_soft_label_is_a_row_for_each_of_its_classes(job):
    soft = np.full((TRAIN, 10), np.nan, np.float32)
    fours = np.flatnonzero(job.train_samples.labels == 4)
    soft[fours] = 0.25 * np.eye(10)[4] + 0.75 * np.eye(10)[3]
    x_ND, labels = x_of(job)[:, 0], job.train_samples.labels
    weights = np.ones(TRAIN)
    weights[fours] = 0.25
    expected = theirs(
        job,
        np.concatenate([x_ND, x_ND[fours]]),
        np.concatenate([labels, np.full(len(fours), 3)]),
        np.concatenate([weights, np.full(len(fours), 0.75)]),
    )
    np.testing.assert_allclose(fit(replace(job, soft_NC=soft)).result.oof.p_NC, expected, atol=5e-3)


@pytest.mark.parametrize("kept", [[7], [2, 7], [2, 7, 8]])
def test_classes_without_a_row_get_no_probability(job, kept):
    few = job.train_samples.take(job.train_samples.ids_N[np.isin(job.train_samples.labels, kept)])
    found = fit(replace(job, train_samples=few, rows=all_rows(len(few)))).result.oof
    others = [c for c in range(10) if c not in kept]
    assert found.p_NC[:, others].max() < 1e-6
    is_kept = np.isin(job.valid_samples.labels, kept)
    assert (found.labels() == job.valid_samples.labels)[is_kept].mean() > 0.9


def test_synthetic_rows_count(job):
    few = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels != 7])
    sevens = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels == 7])
    made = SyntheticRows(job.features.take(sevens.ids_N).x_NVD, sevens.labels)
    helped = replace(job, train_samples=few, synthetic=made, rows=all_rows(len(few) + len(made)))
    is_seven = job.valid_samples.labels == 7
    assert (fit(helped).result.oof.labels()[is_seven] == 7).mean() > 0.7


def test_another_loss_is_refused(job):
    with pytest.raises(ConfigError, match=r"loss\.name: head=logistic minimises plain cross-entropy"):
        fit(replace(job, loss=LossSettings(name="focal")))


def test_a_solver_that_gives_up_says_so(job, monkeypatch, caplog):
    monkeypatch.setattr(solved_heads, "MAX_ITERATIONS", 2)
    fit(job)
    assert "fold 1: logistic regression has not converged after 2 iterations" in caplog.text


def test_a_feature_beyond_its_training_part_counts_as_the_last_one_seen_there(job):
    found = fit(job)
    head = restore_head(found.state)
    x_ND = plain_view(job.features.take(job.valid_samples.ids_N))
    seen_ND = plain_view(job.features.take(job.train_samples.ids_N))
    ends = seen_ND.amin(0), seen_ND.amax(0)
    far = x_ND.clone()
    far[:, 20] = 1e9
    last = x_ND.clone().clamp(*ends)
    last[:, 20] = ends[1][20]
    p_far, p_last = (head_probabilities(head, part.numpy(), job.target) for part in (far, last))
    np.testing.assert_array_equal(p_far, p_last)
