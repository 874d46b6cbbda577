"""The head first, growing images, greedy soups, checkpointed activations, features of stages."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import digit_images, equal_states, fold_job

from pipeline.core.errors import ConfigError, ModelError
from pipeline.data.loader import Batch
from pipeline.nets.forward import backbone_digest
from pipeline.nets.model import build, frozen
from pipeline.nets.stages import probe_views
from pipeline.nets.views import parse
from pipeline.settings.load import load
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import EarlyStoppingSettings, TrainSettings
from pipeline.train import strategy
from pipeline.train.loop import checkpoint_path, fit, size_of, sized
from pipeline.train.state import Training, load_checkpoint
from pipeline.train.step import Step


def faults(*words):
    with pytest.raises(ConfigError) as told:
        load(["competition=digits", *words])
    return str(told.value.faults)


def test_the_head_trains_alone_in_the_first_epochs_and_everything_after_them():
    settings = TrainSettings(epochs=4, head_epochs=2)
    backbone = build(ModelSettings(name="test_resnet", weights="none"), 10, 0).backbone
    strategy.prepare(backbone, settings)
    assert all(p.requires_grad for p in backbone.parameters()), "the optimizer holds all weights"
    for epoch in range(4):
        strategy.begin_epoch(backbone.train(), settings, epoch)
        trains = {name for name, p in backbone.named_parameters() if p.requires_grad}
        assert (trains == {"fc.weight", "fc.bias"}) == (epoch < 2)
        assert backbone.bn1.training == (epoch >= 2), "batch statistics stay while their layers are frozen"
    assert strategy.states(backbone, settings) == (0, 2)


def test_epochs_of_the_head_have_rules():
    assert "train.head_epochs" in faults("train.head_epochs=4", "train.epochs=4")
    assert "strategy=full or freeze_until" in faults(
        "train.head_epochs=1", "train.strategy=gradual", "train.unfreeze_every=1", "model.weights=none"
    )


@pytest.mark.parametrize(
    ("epochs", "first", "sides"),
    [(6, 32, [32, 40, 48, 56, 64, 64]), (3, 16, [16, 40, 64]), (4, None, [64] * 4)],
)
def test_images_grow_over_two_thirds_of_the_epochs(epochs, first, sides):
    settings = TrainSettings(epochs=epochs, first_px=first)
    assert [size_of(epoch, settings, (64, 64))[0] for epoch in range(epochs)] == sides
    assert size_of(0, settings, (48, 64))[0] <= 48


def test_batches_of_an_early_epoch_are_smaller_also_those_of_partners():
    job = fold_job(first_px=16)
    x_BHWC = torch.from_numpy(digit_images(8).x_NHWC)
    of_all = (torch.zeros(8, dtype=torch.long), torch.arange(8))
    batch = Batch(x_BHWC, *of_all, Batch(x_BHWC, *of_all))
    (small,) = sized(iter([batch]), job, 0)
    (same,) = sized(iter([batch]), job, 2)
    assert small.x_BHWC.shape == small.partner.x_BHWC.shape == (8, 16, 16, 3) and same is batch
    assert float(small.x_BHWC.mean()) == pytest.approx(float(x_BHWC.float().mean()) / 255, abs=1e-3)
    norms = [float(Step(job, Training(job, job.mode))([one], 0, 1e-3)[1]) for one in (same, small)]
    assert np.isfinite(norms).all() and norms[0] != norms[1]


def test_a_network_of_one_size_does_not_grow_its_images():
    backbone = build(ModelSettings(name="test_vit", weights="none"), 10, 0, (160, 160)).backbone
    with pytest.raises(ConfigError, match="built for images of one size"):
        strategy.prepare(backbone, TrainSettings(epochs=3, first_px=80))
    assert "not smaller than images.size" in faults("train.first_px=32")
    assert "at least 3 epochs" in faults("train.first_px=16", "train.epochs=2")


def test_checkpointed_activations_give_the_same_gradients():
    def gradients(checkpointed):
        network = build(ModelSettings(name="test_vit", weights="none"), 10, 0, (160, 160)).train()
        strategy.prepare(network.backbone, TrainSettings(grad_checkpointing=checkpointed))
        x_BCHW = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
        network.backbone.head.weight.data.fill_(0.01)
        torch.manual_seed(3)  # dropout
        network(x_BCHW).square().sum().backward()
        return [p.grad for p in network.backbone.blocks.parameters()]

    for plain, again in zip(gradients(False), gradients(True), strict=True):
        assert torch.allclose(plain, again, atol=1e-6)


def test_a_network_that_cannot_checkpoint_says_so():
    with pytest.raises(ConfigError, match=r"train\.grad_checkpointing: this model does not support it"):
        strategy.prepare(torch.nn.Sequential(torch.nn.Linear(2, 2)), TrainSettings(grad_checkpointing=True))


def scored_by(scores):
    """A metric that gives the inner split (12 images) these scores in turn."""
    left = iter(scores)
    return lambda y_N, p_NC: next(left) if len(y_N) == 12 else 0.0


def test_a_greedy_soup_leaves_out_epochs_that_lower_the_inner_score(tmp_path):
    """Scored once as a candidate, from the second averaged epoch on, and once as what predicts."""
    stop = EarlyStoppingSettings(patience=9)
    job = fold_job(epochs=4, swa_start=0.25, soup="greedy", early_stopping=stop, schedule="constant")
    scores = [0.1, 0.5, 0.3, 0.5, 0.6, 0.6]
    result, state = fit(replace(job, metric=scored_by(scores)), tmp_path)
    assert [entry.get("averaged") for entry in result.history] == [None, None, 0.0, 1.0]
    saved = load_checkpoint(checkpoint_path(tmp_path, 3))
    assert int(saved["average"]["n_averaged"]) == 2, "epochs 2 and 4"
    average = {k.removeprefix("module."): v for k, v in saved["average"].items() if k != "n_averaged"}
    assert equal_states(state, average) and result.history[-1]["chosen"] == 1.0


def test_a_greedy_soup_needs_an_inner_split_and_a_plain_one_refuses_it():
    assert "train.soup" in faults("train.soup=greedy")
    assert "train.soup" in faults("train.soup=greedy", "train.swa_start=0.5")
    assert "train.soup=greedy" in faults("train.swa_start=0.5", "train.early_stopping={}", "train.epochs=6")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_features_of_stages_are_the_means_of_their_maps_before_the_last_features(name):
    size = (160, 160) if name == "test_vit" else (64, 64)
    plain = build(ModelSettings(name=name, weights="none"), 2, 0, size).eval()
    settings = frozen(ModelSettings(name=name, weights="none", feature_stages=2))
    several = build(settings, 2, 0, size).eval()
    x_BCHW = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        own, more = plain.features(x_BCHW), several.features(x_BCHW)
        _, maps = plain.backbone.forward_intermediates(plain.normalise(x_BCHW), indices=2)
    expected = torch.cat([*(stage.mean((2, 3)) for stage in maps), own], dim=1)
    assert torch.allclose(more, expected, atol=1e-5) and more.shape[1] > own.shape[1]
    view = [parse("identity")]
    assert backbone_digest(plain, size, view) != backbone_digest(several, size, view)


def test_stages_that_there_are_not_are_an_error_before_any_pass():
    network = build(frozen(ModelSettings(name="test_resnet", weights="none", feature_stages=40)), 2, 0).eval()
    with pytest.raises(ModelError, match="its last 40 stages"):
        network.features(torch.rand(1, 3, 64, 64))
    assert "model.feature_stages" in faults("model.feature_stages=2")


def test_a_probe_trains_on_the_views_that_are_chosen_and_allowed():
    words = ["competition=emoji", "experiment=probe"]
    assert list(probe_views(load(words))) == load(words).config.infer.views
    chosen = load([*words, "train.probe_views=[identity,hflip,fivecrop]"])
    assert len(probe_views(chosen)) == 7 and probe_views(chosen)[2] == "crop(0.875,0,0)"
    forbidden = (
        "competition.attributes=[{name: digit, column: digit, values: [a, b], forbids: [hflip, crop]}]"
    )
    own = ["infer.views=[identity]", "train.probe_views=[identity,hflip,fivecrop]"]
    mirrored = load(["competition=digits", "experiment=probe", forbidden, *own])
    assert probe_views(mirrored) == ("identity",)
    assert "lacks identity" in faults("experiment=probe", "train.probe_views=[hflip]")
