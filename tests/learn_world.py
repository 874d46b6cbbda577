"""What the tests of training share: scikit-learn's digits as images, and a fold job on them.

`python tests/learn_world.py WORK FOLD [DEVICE]` trains one fold in a process of its own and prints the digest
of its weights; the tests of isolation, of kill -9 and of several processes on one GPU start it.
"""

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.job import FoldJob
from pipeline.train.loop import fit

SIZE = 32


@dataclass(frozen=True)
class Pixels:
    ids_N: Any
    x_NHWC: Any
    channels: int = 3


def digit_images(n=72, size=SIZE):
    """n digits as RGB images, enlarged, rows shuffled against the samples on purpose."""
    import cv2

    grey_NHW = (load_digits().images[:n] * 15.9).astype(np.uint8)
    x_NHWC = np.stack([cv2.resize(g, (size, size))[..., None].repeat(3, -1) for g in grey_NHW])
    order = np.random.default_rng(0).permutation(n)
    return Pixels(np.array([f"d{i}" for i in range(n)])[order], x_NHWC[order])


def digit_samples(start, end):
    ids = np.array([f"d{i}" for i in range(start, end)])
    space = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
    return Samples(ids, ids, ids, space, load_digits().target[start:end].astype(np.int64), "train")


def all_rows(n):
    return lambda epoch: TrainRows.of(np.arange(n))


def accuracy(y_N, p_NC):
    return float((p_NC.argmax(1) == y_N).mean())


def fold_job(fold=3, n_train=49, n_valid=23, policy="light", **train):
    """49 rows in batches of 16: the last one would be a single row."""
    settings = {"epochs": 3, "batch_size": 16, "lr": 3e-3, "warmup_epochs": 0.5, **train}
    n_inner = 12 if train.get("early_stopping") else 0
    n_all = n_train + n_valid + n_inner
    return FoldJob(
        fold=fold,
        model=ModelSettings(name="test_resnet", weights="none", drop_rate=0.2),
        loss=LossSettings(label_smoothing=0.1),
        augment=AugmentSettings(policy=policy),
        train=TrainSettings(**settings),
        train_samples=digit_samples(0, n_train),
        valid_samples=digit_samples(n_train, n_train + n_valid),
        inner_samples=digit_samples(n_train + n_valid, n_all) if n_inner else None,
        images=digit_images(n_all),
        rows=all_rows(n_train),
        metric=accuracy,
        threads=1,
    )


def random_head(model):
    """The model with a classifier that tells classes apart; a fresh one starts at zero."""
    with torch.no_grad():
        for i, parameter in enumerate(model.backbone.get_classifier().parameters()):
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(i))
    return model


def equal_states(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def digest(state):
    sha = hashlib.sha256()
    for key, value in state.items():
        sha.update(key.encode() + value.contiguous().numpy().tobytes())
    return sha.hexdigest()


def long_job(fold):
    """Epochs long enough to be killed inside one."""
    job = fold_job(fold, n_train=401, n_valid=40, epochs=4, ema_decay=0.9, accumulate=2)
    return replace(job, model=ModelSettings(name="test_efficientnet", weights="none", drop_rate=0.3))


if __name__ == "__main__":
    device = sys.argv[3] if len(sys.argv) > 3 else "cpu"
    _, state = fit(replace(long_job(int(sys.argv[2])), device=device), Path(sys.argv[1]))
    print(digest(state))
