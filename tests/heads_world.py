"""What the tests of heads share: digits' pixels as features, on scales that only standardising can mend."""

from dataclasses import replace

import numpy as np
from learn_world import accuracy, all_rows, digit_images, digit_samples

from pipeline.core.predictions import Features
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.heads import HeadJob

TRAIN, VALID = 600, 200


def features(n_views=1):
    """The second view is mirrored."""
    images = digit_images(TRAIN + VALID, size=8)
    scale = np.logspace(-3, 3, 64)
    pixels = images.x_NHWC[..., 0].astype(np.float32)
    views = [pixels.reshape(-1, 64) * scale, pixels[:, :, ::-1].reshape(-1, 64) * scale]
    names = ("identity", "hflip")[:n_views]
    return Features(images.ids_N, names, np.stack(views[:n_views], axis=1), "digest")


def head_job(fold=1, n_train=TRAIN, known=None, **train):
    settings = TrainSettings(**{"epochs": 8, "lr": 0.02, "batch_size": 32, **train})
    return HeadJob(
        fold=fold,
        loss=LossSettings(),
        train=settings,
        train_samples=digit_samples(0, n_train),
        valid_samples=digit_samples(TRAIN, TRAIN + VALID),
        features=known or features(),
        rows=all_rows(n_train),
        metric=accuracy,
    )


def three_folds(**train):
    """Folds of other sizes: their epochs have other numbers of steps, and short batches of other lengths."""
    known = features(2)
    return [head_job(fold, n, known, **train) for fold, n in ((0, 600), (1, 590), (2, 430))]


def with_train(job, **train):
    return replace(job, train=job.train.model_copy(update=train))
