from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import accuracy, all_rows, digit_images, digit_samples, equal_states

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.predictions import Features
from pipeline.core.types import SyntheticRows
from pipeline.learn.forward import softmax
from pipeline.learn.heads import HeadJob, fit_linear, head_logits, restore_head
from pipeline.settings.schema import LossSettings, TrainSettings

TRAIN, VALID = 600, 200


@pytest.fixture(scope="module")
def job():
    """Pixels themselves as features, on scales that only standardising can mend; second view: mirrored."""
    images = digit_images(TRAIN + VALID, size=8)
    scale = np.logspace(-3, 3, 64)
    pixels = images.x_NHWC[..., 0].astype(np.float32)
    views = [pixels.reshape(-1, 64) * scale, pixels[:, :, ::-1].reshape(-1, 64) * scale]
    return HeadJob(
        fold=1,
        loss=LossSettings(),
        train=TrainSettings(epochs=12, lr=0.02, batch_size=32),
        train_samples=digit_samples(0, TRAIN),
        valid_samples=digit_samples(TRAIN, TRAIN + VALID),
        features=Features(images.ids_N, ("identity",), views[0][:, None], "digest"),
        rows=all_rows(TRAIN),
        metric=accuracy,
    )


def test_learns_digits_and_joins_by_id(job):
    result, state = fit_linear(job)
    assert result.history[-1]["valid_score"] > 0.85
    assert list(result.oof.ids_N) == list(job.valid_samples.ids_N)
    keys = ["epoch", "train_loss", "lr", "images_per_second", "valid_loss", "valid_score", "gap"]
    assert set(result.history[0]) == set(keys) and len(result.history) == 12
    at = [list(job.features.ids_N).index(i) for i in job.valid_samples.ids_N]
    logits = head_logits(restore_head(state), torch.from_numpy(job.features.x_NVD[at, 0].copy()))
    np.testing.assert_allclose(softmax(logits), result.oof.p_NC, atol=1e-6)


def test_deterministic_and_folds_differ(job):
    first, again = fit_linear(job)[1], fit_linear(job)[1]
    assert equal_states(first, again)
    assert not equal_states(first, fit_linear(replace(job, fold=2))[1])


def test_validation_features_and_labels_leave_the_head_alone(job):
    """The statistics, too, come from the training part alone."""
    is_valid = np.isin(job.features.ids_N, job.valid_samples.ids_N)
    x_NVD = np.where(is_valid[:, None, None], 1e6, job.features.x_NVD).astype(np.float32)
    permuted = replace(job.valid_samples, labels_N=job.valid_samples.labels[::-1])
    other = replace(job, features=replace(job.features, x_NVD=x_NVD), valid_samples=permuted)
    assert equal_states(fit_linear(job)[1], fit_linear(other)[1])


def test_views_are_drawn_in_training(job):
    both = np.concatenate([job.features.x_NVD, job.features.x_NVD * 0.5], axis=1)
    two = replace(job, features=replace(job.features, views=("identity", "hflip"), x_NVD=both))
    swapped = replace(two, features=replace(two.features, views=("hflip", "identity"), x_NVD=both[:, ::-1]))
    one, other = fit_linear(two), fit_linear(swapped)
    assert not equal_states(one[1], fit_linear(job)[1])
    assert one[0].history[-1]["valid_score"] > 0.85 and other[0].history[-1]["valid_score"] > 0.85


def test_it_validates_on_identity(job):
    with pytest.raises(ConfigError, match="identity"):
        fit_linear(replace(job, features=replace(job.features, views=("hflip",))))


def test_a_constant_feature_is_no_trouble(job):
    x_NVD = job.features.x_NVD.copy()
    x_NVD[..., :9] = 5
    result, state = fit_linear(replace(job, features=replace(job.features, x_NVD=x_NVD)))
    assert all(torch.isfinite(v).all() for v in state.values())
    assert result.history[-1]["valid_score"] > 0.8


def test_accumulation_is_a_larger_batch(job):
    split = job.train.model_copy(update={"batch_size": 16, "accumulate": 2})
    assert equal_states(fit_linear(job)[1], fit_linear(replace(job, train=split))[1])


def test_sample_weights_reach_the_loss(job):
    weights = np.where(job.train_samples.labels == 3, 30, 1).astype(np.float32)
    plain, heavy = fit_linear(job)[0], fit_linear(replace(job, weights_N=weights))[0]
    assert heavy.oof.p_NC[:, 3].mean() > plain.oof.p_NC[:, 3].mean()


def test_a_loss_that_is_no_number_says_where(job):
    weights = np.full(TRAIN, np.inf, np.float32)
    with pytest.raises(UserError, match="fold 1, epoch 0, step 0"):
        fit_linear(replace(job, weights_N=weights))


def test_synthetic_rows_train_the_head_and_leave_its_statistics_alone(job):
    """A class without images is learned from synthetic rows alone."""
    few = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels != 7])
    without = replace(job, train_samples=few, rows=all_rows(len(few)))
    sevens = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels == 7])
    made = SyntheticRows(job.features.take(sevens.ids_N).x_NVD, sevens.labels)
    helped = replace(without, synthetic=made, rows=all_rows(len(few) + len(made)))
    is_seven = job.valid_samples.labels == 7
    (none, before), (some, after) = fit_linear(without), fit_linear(helped)
    assert (none.oof.labels()[is_seven] == 7).mean() == 0
    assert (some.oof.labels()[is_seven] == 7).mean() > 0.7
    assert torch.equal(before["mean_D"], after["mean_D"]) and torch.equal(before["std_D"], after["std_D"])
