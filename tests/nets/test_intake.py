"""Networks for other channels: the first convolution, its pretrained weights, and the normalisation."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import ConfigError
from pipeline.core.samples import strings
from pipeline.data.images import PreparedImages
from pipeline.nets import model
from pipeline.nets.intake import Intake
from pipeline.nets.weights import weight_of_channels
from pipeline.settings.model import ModelSettings

SIZE = (32, 32)
BARE = {"weights": "none", "drop_rate": 0.0}


@pytest.mark.parametrize(
    "name", ["resnet10t", "torchvision:alexnet", "torchvision:googlenet", "vit_tiny_patch16_224"]
)
@pytest.mark.parametrize("channels", [1, 4])
def test_networks_take_any_number_of_channels(name, channels):
    size = (64, 64)
    made = model.build(ModelSettings(name=name, **BARE), 3, 0, size, intake=Intake(channels)).eval()
    with torch.no_grad():
        assert made(torch.rand(2, channels, *size)).shape == (2, 3)


def test_pretrained_weights_for_one_channel_compute_the_same_of_a_grey_picture():
    settings = ModelSettings(drop_rate=0.0, mean=[0.5] * 3, std=[0.25] * 3)
    three = model.build(settings, 3, 0, SIZE).eval()
    grey = settings.model_copy(update={"mean": [0.5], "std": [0.25]})
    one = model.build(grey, 3, 0, SIZE, intake=Intake(1)).eval()
    x_B1HW = torch.rand(2, 1, *SIZE)
    with torch.no_grad():
        assert torch.allclose(one.features(x_B1HW), three.features(x_B1HW.expand(-1, 3, -1, -1)), atol=1e-4)


def test_weights_for_more_channels_repeat_and_keep_the_sum():
    weight = torch.randn(2, 3, 5, 5)
    made = weight_of_channels(weight, 6)
    assert torch.allclose(made.sum(1), weight.sum(1), atol=1e-5)
    assert torch.allclose(made[:, 4], weight[:, 1] / 2)


def test_the_normalisation_of_unknown_channels_is_measured_and_kept_in_the_weights():
    rng = np.random.default_rng(0)
    x_NHWC = (rng.random((20, *SIZE, 2)) * [40, 200]).astype(np.uint8)
    images = PreparedImages(strings([str(n) for n in range(20)]), x_NHWC)
    settings, intake = ModelSettings(name="resnet10t", **BARE), Intake(2)
    made = model.build(settings, 3, 0, SIZE, intake=intake)
    made.normalise_by(images, images.ids_N)
    wanted = x_NHWC.reshape(-1, 2).mean(axis=0) / 255
    assert np.allclose(made.mean_C11.flatten().numpy(), wanted, atol=1e-5)
    again = model.restore(settings, 3, made.state_dict(), SIZE, intake=intake)
    assert torch.equal(again.mean_C11, made.mean_C11) and torch.equal(again.std_C11, made.std_C11)
    assert "mean_C11" not in model.build(settings, 3, 0, SIZE).state_dict()


def test_an_own_network_has_to_take_the_channels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = "nn.Conv2d({}, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_classes)"
    code = f"from torch import nn\n\n\ndef net(n_classes{{}}):\n    return nn.Sequential({layers})\n"
    (tmp_path / "ownnets.py").write_text(code.format("", 3))
    (tmp_path / "ownnets2.py").write_text(code.format(", channels", "channels"))
    with pytest.raises(ConfigError, match="does not take `channels`"):
        model.build(ModelSettings(name="ownnets:net", **BARE), 2, 0, SIZE, intake=Intake(2))
    made = model.build(ModelSettings(name="ownnets2:net", **BARE), 2, 0, SIZE, intake=Intake(2))
    assert made(torch.rand(2, 2, *SIZE)).shape == (2, 2)
