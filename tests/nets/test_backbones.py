"""Networks of torchvision and of the user's own, beside timm's: one behaviour whoever made them."""

import pytest
import torch
from learn_world import fold_job

from pipeline.core.errors import ConfigError, ModelError
from pipeline.nets.forward import backbone_digest
from pipeline.nets.model import build, describe, restore
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.loop import fit
from pipeline.train.optim import make_optimizer

OWN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, n_classes, side):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(8, n_classes)
        self.side = side

    def forward_features(self, x):
        return self.body(x)

    def forward_head(self, maps, pre_logits=False):
        return maps.flatten(1) if pre_logits else self.fc(maps.flatten(1))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def net(n_classes, size):
    return Net(n_classes, size)


def plain(n_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_classes))


def narrow(n_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n_classes + 1))


def nothing(n_classes):
    pass


class Broken(nn.Module):
    def forward(self, x):
        return x @ torch.ones(7, 7)


def broken(n_classes):
    return Broken()


def raises(n_classes):
    raise RuntimeError("no such luck")
"""


def named(name, **more):
    return ModelSettings(name=name, weights="none", **more)


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        pytest.param("alexnet", 64, 4096, marks=pytest.mark.slow),  # 57 M weights to draw
        ("googlenet", 32, 1024),
        ("squeezenet1_1", 32, 512),
    ],
)
def test_torchvision_trains_predicts_and_gives_the_features_before_its_classifier(name, size, width):
    model = build(named(f"torchvision:{name}", drop_rate=0.5), 4, 0, (size, size))
    x_BCHW = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    logits = model.train()(x_BCHW)
    assert type(logits) is torch.Tensor and logits.shape == (3, 4)
    assert name == "squeezenet1_1" or not logits.any()
    head = model.backbone.get_submodule(model.backbone.pretrained_cfg["classifier"])
    torch.nn.init.normal_(head.weight)
    model.eval()
    with torch.inference_mode():
        features = model.features(x_BCHW)
        assert features.shape == (3, width)
        if isinstance(head, torch.nn.Linear):
            torch.testing.assert_close(head(features), model(x_BCHW))
    before = backbone_digest(model, (size, size), [])
    torch.nn.init.normal_(head.weight)
    assert backbone_digest(model, (size, size), []) == before


@pytest.mark.slow
def test_torchvision_dropout_is_the_settings():
    model = build(named("torchvision:alexnet", drop_rate=0.5), 4, 0)
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [0.5, 0.5]


def test_what_pixels_a_backbone_wants_comes_from_it(own):
    lite, theirs = build(named("tf_efficientnet_lite0"), 2, 0), build(named("torchvision:mnasnet0_5"), 2, 0)
    assert (describe(lite).mean, describe(lite).size_px) == ((0.5, 0.5, 0.5), 224)
    assert describe(theirs).mean == pytest.approx((0.485, 0.456, 0.406))
    assert (describe(lite).interpolation, describe(theirs).interpolation) == ("bicubic", "bilinear")
    assert describe(build(named("torchvision:efficientnet_b1"), 2, 0)).size_px == 240
    assert describe(build(named("mynets:net"), 2, 0)).std == pytest.approx((0.229, 0.224, 0.225))


def test_a_small_convolutional_classifier_of_torchvision_still_learns():
    model = build(named("torchvision:squeezenet1_1"), 4, 0, (64, 64))
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("torchvision:alexnet", 32, marks=pytest.mark.slow),
        ("torchvision:squeezenet1_1", 8),
        ("test_vit", 40),
    ],
)
def test_images_too_small_are_told_by_the_setting(name, size):
    with pytest.raises(ModelError, match=f"images.size: {name} cannot take images of {size} × {size} px"):
        build(named(name), 3, 0, (size, size))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision:alexnett", "did you mean alexnet"),
        ("googlenet", "did you mean torchvision:googlenet"),
        ("alexnet", "did you mean torchvision:alexnet"),
    ],
)
def test_unknown_names_lead_to_the_right_house(name, expected):
    with pytest.raises(ModelError, match=expected):
        build(named(name), 3, 0)


def test_a_network_of_ones_own_gets_classes_and_size_and_gives_features(own):
    model = build(named("mynets:net"), 6, 0, (32, 48)).eval()
    assert model.backbone.side == (32, 48)
    x_BCHW = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(model.backbone.fc(model.features(x_BCHW)), model(x_BCHW))
    again = restore(named("mynets:net"), 6, model.state_dict(), (32, 48)).eval()
    with torch.inference_mode():
        assert torch.equal(model(x_BCHW), again(x_BCHW))


def test_equal_seeds_give_a_network_of_ones_own_equal_weights(own):
    first, again = (build(named("mynets:net"), 6, 5, (32, 32)).backbone.fc.weight for _ in range(2))
    assert torch.equal(first, again)


def test_a_network_without_features_says_so_when_a_probe_asks(own):
    model = build(named("mynets:plain"), 6, 0, (8, 8))
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 6)
    with pytest.raises(ModelError, match="forward_features"):
        model.features(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("nett", "did you mean net"),
        ("narrow", r"mynets:narrow gives a Tensor of shape \(2, 4\).*2 images and 3 classes"),
        ("nothing", "returned None"),
        ("broken", "on images of 32 × 32 px at mynets.py line 41: RuntimeError"),
        ("raises", "at mynets.py line 49: RuntimeError: no such luck"),
    ],
)
def test_what_is_wrong_with_a_network_of_ones_own(own, function, expected):
    with pytest.raises(ConfigError, match=expected):
        build(named(f"mynets:{function}"), 3, 0, (32, 32))


def test_a_rate_that_ones_own_network_does_not_take(own):
    with pytest.raises(ModelError, match=r"model.drop_rate=0.4"):
        build(named("mynets:net", drop_rate=0.4), 3, 0)


def test_the_hub_has_no_weights_of_ones_own_network(own):
    with pytest.raises(ModelError, match="the hub has no weights of mynets:net"):
        build(ModelSettings(name="mynets:net", weights="hub"), 3, 0)


def test_a_fold_trains_a_network_of_ones_own(own, tmp_path):
    from dataclasses import replace

    job = replace(fold_job(), model=named("mynets:net"))
    result, state = fit(job, tmp_path / "work")
    assert len(result.oof) == 23 and "backbone.fc.weight" in state
    make_optimizer(build(job.model, 3, 0).backbone, TrainSettings())
