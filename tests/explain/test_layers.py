"""Maps of CNNs, ViT-like and Swin-like networks: found, the right way up, and with a gradient."""

import numpy as np
import pytest
import torch
from explain_world import detector, planted, random_net

from pipeline.explain import cam, layers, maps, network
from pipeline.nets import model
from pipeline.settings.model import ModelSettings
from pipeline.train.heads import HeadStack

# Name, side, form, grid of Grad-CAM's layer, whether CAM is defined.
FAMILIES = [
    ("tf_efficientnet_lite0", 64, "maps", (4, 4), True),
    ("mobilenetv3_small_050", 64, "maps", (4, 4), False),
    ("test_resnet", 64, "maps", (4, 4), True),
    ("resnet10t", 64, "maps", (4, 4), True),
    ("vit_tiny_patch16_224", 64, "tokens", (4, 4), False),
    ("swin_tiny_patch4_window7_224", 64, "last", (4, 4), True),
    pytest.param("torchvision:swin_t", 64, "last", (4, 4), True, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "side", "form", "grid", "linear"), FAMILIES)
def test_each_family_gives_maps_that_are_not_blank(name, side, form, grid, linear):
    net = random_net(name, side)
    assert (net.cam.form, net.cam.grid) == (form, grid)
    assert (net.weights_KC is not None) == linear
    assert all(layer.grid[0] * layer.grid[1] > 1 for layer in net.layers) and len(net.layers) > 1
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    for found in (cam.grad_cam(net, x, [1, 2]), cam.grad_cam_plus_plus(net, x, [1, 2])):
        assert found.shape == (2, *grid) and np.isfinite(found).all()
    assert not maps.flatness(np.abs(cam.grad_cam(net, x, [1, 2])[0]))
    if linear:
        assert cam.cam(net, x, [1, 2]).shape == (2, *net.layers[-1].grid)


def test_a_class_tokens_last_block_would_be_blank():
    net = random_net("vit_tiny_patch16_224")
    last = layers.Layer("backbone.blocks.11", "tokens", 192, (4, 4), 1)
    x = torch.randn(1, 3, 64, 64)
    assert maps.flatness(cam.grad_cam(net, x, [1], layer=last)[0]) == "empty"
    assert net.cam.name.endswith("norm1")


@pytest.mark.parametrize(
    ("name", "place", "at"),
    [
        ("vit_tiny_patch16_224", "backbone.blocks.0", (1, 2)),
        ("swin_tiny_patch4_window7_224", "backbone.layers.0", (4, 10)),
        ("resnet10t", "backbone.layer1.0", (4, 10)),
    ],
)
def test_maps_are_the_right_way_up(name, place, at):
    """A change of one place of the image changes that place of the map most."""
    net = random_net(name)
    layer = next(one for one in net.layers if one.name == place)
    h, w = layer.grid
    cell = 64 // h
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[..., at[0] * cell : (at[0] + 1) * cell, at[1] * cell : (at[1] + 1) * cell] += 3
    with torch.no_grad(), layers.outputs(net.module, [place]) as seen:
        net.module(torch.cat([x, changed]))
        maps_BChw = layer.maps(seen[place])
    assert maps_BChw.shape == (2, layer.channels, h, w)
    difference = (maps_BChw[1] - maps_BChw[0]).abs().sum(0)
    # A convolution's neighbours see the change too.
    row, column = divmod(int(difference.argmax()), w)
    assert max(abs(row - at[0]), abs(column - at[1])) <= (layer.form == "maps")


@pytest.mark.parametrize("name", ["detector", "tf_efficientnet_lite0", "resnet10t"])
def test_grad_cam_is_cam_behind_an_average_and_a_linear_layer(name):
    net = detector() if name == "detector" else random_net(name)
    side = 32 if net.layers[-1].grid == (32, 32) else 64
    x = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    if side == 32:
        x = net.normalise(np.stack([planted(1, seed=n)[0] for n in range(3)]))
    classes = [1, 2, 1]
    by_gradient = cam.grad_cam(net, x, classes, layer=net.layers[-1])
    by_weights = cam.cam(net, x, classes)
    h, w = net.layers[-1].grid
    # The average's gradient is one h·w-th of the weight, the same everywhere.
    np.testing.assert_allclose(
        by_gradient * h * w, by_weights, rtol=1e-3, atol=1e-4 * np.abs(by_weights).max()
    )


def test_a_frozen_backbone_and_its_heads_are_one_network():
    whole = model.build(ModelSettings(name="tf_efficientnet_lite0", weights="none"), 2, 0, (64, 64))
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = whole.eval().features(x).detach()
    head = HeadStack(features.mean(0).expand(2, -1).clone(), features.std(0).expand(2, -1) + 0.1, 5)
    with torch.no_grad():
        head.out.weight.normal_(generator=torch.Generator().manual_seed(1))
        head.out.bias.normal_(generator=torch.Generator().manual_seed(2))
    net = network.of_module(network.Explained(whole, head.eval()), 1, (64, 64), "cpu", 4)
    normalised = (x - net.mean_C11) / net.std_C11
    with torch.no_grad():
        wanted = head(features[None]).mean(0)
        torch.testing.assert_close(net.module(normalised), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(net.features(normalised), features, rtol=1e-4, atol=1e-4)
    assert net.weights_KC is not None and net.weights_KC.shape == (5, 1280)
    by_gradient = cam.grad_cam(net, normalised, [3] * 8, layer=net.layers[-1])
    by_weights = cam.cam(net, normalised, [3] * 8)
    np.testing.assert_allclose(by_gradient * 4, by_weights, rtol=1e-3, atol=1e-3 * np.abs(by_weights).max())


def test_pixels_and_normalised_images_are_each_other():
    net, (pixels, _) = detector(), planted()
    assert np.array_equal(net.pixels(net.normalise(pixels[None]))[0], pixels)
