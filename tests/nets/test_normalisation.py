"""model.mean and model.std: what the first layer gets, measured on real pixels, and who may set it."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.samples import strings
from pipeline.data.images import PreparedImages
from pipeline.nets import model
from pipeline.settings.load import load
from pipeline.settings.model import ModelSettings

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
IMAGES = PreparedImages(strings([f"i{k}" for k in range(40)]), PIXELS)
BARE = ModelSettings(name="test_resnet", weights="none")


def figures(settings):
    return model.input_figures(model.build(settings, 3, 0, (32, 32)), settings, IMAGES, IMAGES.ids_N)


def test_the_figures_are_those_of_the_pixels():
    x = PIXELS.reshape(-1, 3) / 255
    own = BARE.model_copy(update={"mean": x.mean(0).tolist(), "std": x.std(0).tolist()})
    found = figures(own)
    assert found["input_mean"] == pytest.approx(0, abs=1e-4) and found["input_std"] == pytest.approx(
        1, abs=1e-4
    )
    assert found["input_off"] == 0.0, "no weights ask for anything"
    wrong = figures(BARE.model_copy(update={"mean": [120.0] * 3, "std": [60.0] * 3}))
    assert wrong["input_mean"] == pytest.approx(-1.99, abs=0.01) and wrong["input_std"] < 0.01


def test_the_network_normalises_as_told_and_keeps_its_own_figures_else():
    plain, told = (
        model.build(BARE, 3, 0),
        model.build(BARE.model_copy(update={"mean": [0.5] * 3, "std": [0.25] * 3}), 3, 0),
    )
    assert told.mean_C11.flatten().tolist() == [0.5] * 3 and told.std_C11.flatten().tolist() == [0.25] * 3
    asked = model.asked_normalisation(plain.backbone)
    assert torch.allclose(plain.mean_C11.flatten(), torch.tensor(asked[0]))


def test_pretrained_weights_under_other_figures_are_off():
    told = {"mean": [0.5] * 3, "std": [0.5] * 3}
    network = model.build(BARE.model_copy(update=told), 3, 0)
    settings = ModelSettings(name="test_resnet", weights="hub", **told)
    found = model.input_figures(network, settings, IMAGES, IMAGES.ids_N)
    mean, std = model.asked_normalisation(network.backbone)
    asked = max(np.abs(0.5 - np.array(mean)).max() / min(std), np.abs(np.log(0.5 / np.array(std))).max())
    assert found["input_off"] == pytest.approx(asked, abs=1e-5)


def test_one_without_the_other_is_refused():
    with pytest.raises(ConfigError, match=r"model\.std"):
        load(["competition=digits", "model.mean=[0.5,0.5,0.5]"])
    with pytest.raises(ConfigError, match=r"model\.std"):
        load(["competition=digits", "model.mean=[0.5,0.5,0.5]", "model.std=[0,1,1]"])
