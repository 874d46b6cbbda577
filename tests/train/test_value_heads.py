"""Heads on values stay sane out of fold where values and features have heavy tails."""

import numpy as np
import pytest
from learn_world import all_rows

from pipeline.core import metrics
from pipeline.core.predictions import Features
from pipeline.core.samples import LabelSpace, Samples, strings
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train import batched_heads, solved_heads
from pipeline.train.heads import HeadJob

# The heads of configs/experiment/probe*.yaml, with fewer epochs.
HEADS = {
    "probe": {"epochs": 8, "batch_size": 32, "lr": 0.01, "weight_decay": 0.1},
    "probe_mlp": {"head": "mlp", "epochs": 8, "batch_size": 32, "lr": 0.002, "weight_decay": 0.1},
    "probe_logistic": {"head": "logistic", "head_c": 0.03},
}
N, D = 150, 200


def prices(kind):
    """Values like prices, or with gross outliers; features after a rectifier, of which some rows are odd."""
    draw = np.random.default_rng(0)
    z = draw.normal(size=(N, 8))
    x = np.maximum(z @ draw.normal(size=(8, D)) / 2 + draw.normal(size=(N, D)), 0) ** 2
    x[::40] *= 20
    y = np.exp(12.5 + 0.8 * z[:, 0] + 0.3 * draw.normal(size=N))
    if kind == "outliers":
        y = 10 * z[:, 0]
        y[::50] *= 300
    ids = strings([f"i{k}" for k in range(N)])
    truth = y[:, None].astype(np.float32)
    samples = Samples(ids, ids, ids, LabelSpace.numbers(["price"]), None, "train", y_NK=truth)
    return samples, Features(ids, ("identity",), x[:, None].astype(np.float32), "digest")


@pytest.mark.parametrize("kind", ["prices", "outliers"])
@pytest.mark.parametrize("name", HEADS)
def test_no_head_on_values_diverges_out_of_fold(name, kind):
    samples, features = prices(kind)
    fold_N, jobs = np.arange(N) % 3, []
    for fold in range(3):
        part, valid = (samples.take(samples.ids_N[own]) for own in (fold_N != fold, fold_N == fold))
        settings = TrainSettings(strategy="linear_probe", **HEADS[name])
        jobs.append(
            HeadJob(
                fold, LossSettings(), settings, part, valid, features, all_rows(len(part)), lambda y, p: 0.0
            )
        )
    room = solved_heads if name == "probe_logistic" else batched_heads
    found = [fit.result.oof for fit in room.fit_heads(jobs)]
    ids, p_NK = np.concatenate([p.ids_N for p in found]), np.concatenate([p.p_NC for p in found])
    truth = samples.take(ids).truth
    rmse = metrics.get("rmse").score(truth, p_NK)
    assert rmse < 1.6 * truth.std(), "far worse than the mean of the training values"
    if kind == "prices":
        assert metrics.get("spearman").score(truth, p_NK) > 0.3, "prices are learned"
