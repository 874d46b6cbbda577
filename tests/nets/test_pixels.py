"""`model.name=pixels`: a small copy of the picture and a classifier on it."""

import pytest
import torch
from learn_world import digit_images

from pipeline.core.errors import ModelError
from pipeline.explain.layers import find
from pipeline.nets.forward import Pass, extract
from pipeline.nets.intake import Intake
from pipeline.nets.model import build
from pipeline.nets.views import parse_all
from pipeline.settings.load import load
from pipeline.settings.model import ModelSettings

PIXELS = ModelSettings(name="pixels", weights="none")


def test_the_features_of_pixels_are_the_means_of_sixteen_by_sixteen_equal_parts():
    network = build(PIXELS, 2, 0, (48, 48)).eval()
    x_BCHW = torch.zeros(1, 3, 48, 48)
    x_BCHW[:, 1, 12:15, 45:] = 1
    with torch.inference_mode():
        grown = network.features(x_BCHW).view(3, 16, 16)
        level = network.features(torch.zeros_like(x_BCHW)).view(3, 16, 16)
    assert (grown != level).nonzero().tolist() == [[1, 4, 15]]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (20, 33)])
def test_pixels_take_any_size_and_number_of_channels(channels, size):
    network = build(PIXELS, 4, 0, size, None, Intake(channels=channels)).eval()
    x_BCHW = torch.rand(2, channels, *size)
    with torch.inference_mode():
        assert network.features(x_BCHW).shape == (2, channels * 256)
        assert network(x_BCHW).shape == (2, 4)


def test_the_classifier_of_pixels_sees_their_features():
    network = build(PIXELS, 10, 0, (32, 32)).eval()
    images = digit_images(6)
    features = extract(network, images, images.ids_N, parse_all(["identity"]), Pass())
    x_BCHW = torch.from_numpy(images.x_NHWC.copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = network.backbone.classifier(torch.from_numpy(features.x_NVD[:, 0].copy()))
        torch.testing.assert_close(logits, network(x_BCHW), rtol=1e-4, atol=1e-5)


def test_an_explanation_finds_the_map_of_pixels():
    network = build(PIXELS, 3, 0, (48, 48)).eval()
    places, cam = find(network, torch.rand(1, 3, 48, 48), 4)
    assert cam.grid == (16, 16) and cam in places


def test_a_probe_of_pixels_needs_no_weights():
    config = load(["competition=digits", "experiment=probe_pixels"]).config
    assert (config.model.name, config.model.weights, config.train.strategy) == (
        "pixels",
        "none",
        "linear_probe",
    )


def test_pixels_refuse_a_rate_that_they_would_ignore():
    with pytest.raises(ModelError, match=r"model\.drop_path_rate"):
        build(ModelSettings(name="pixels", weights="none", drop_path_rate=0.2), 2, 0, (32, 32))
