import numpy as np
import pytest
import torch
from seeing_world import net, scene, small_cnn, timm_net
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.explain import activation
from pipeline.explain.layers import fields, named, outputs


def detector():
    """Channel 0 answers a bright pixel, channel 1 a dark one, channel 2 nothing."""
    conv = nn.Conv2d(3, 3, 3, padding=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    conv.weight.data[0, :, 1, 1] = 1
    conv.weight.data[1, :, 1, 1] = -1
    return net(nn.Sequential(conv), ["0"], size=(8, 8))


def images(n=10):
    """Image i is black with one pixel of brightness i / n at (i % 8, 3)."""
    x_NCHW = torch.zeros(n, 3, 8, 8)
    for i in range(n):
        x_NCHW[i, :, i % 8, 3] = i / n
    return x_NCHW


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_the_strongest_places_are_found_whatever_the_batches(batch):
    found = detector()
    best = activation.strongest(found, images().split(batch), found.layers, 4)["backbone.0"]
    assert best.image_KC[:, 0].tolist() == [9, 8, 7, 6]
    assert best.row_KC[:, 0].tolist() == [1, 0, 7, 6] and best.column_KC[:, 0].tolist() == [3] * 4
    assert best.value_KC[:, 0] == pytest.approx([2.7, 2.4, 2.1, 1.8], abs=1e-5)
    assert best.n_images == 10 and best.mean_C[0] == pytest.approx(1.35, abs=1e-5)
    assert best.image_KC[:, 1].tolist() == [0, 1, 2, 3], "of equal ones the first"
    assert best.dead_C.tolist() == [False, True, True]
    assert best.selective(5).tolist() == [0], "dead channels are not shown"


def test_each_image_comes_once_and_a_small_set_gives_fewer():
    found = detector()
    x = torch.zeros(2, 3, 8, 8)
    x[0] = 1
    best = activation.strongest(found, [x], found.layers, 9)["backbone.0"]
    assert best.image_KC[:, 0].tolist() == [0, 1]


def test_the_patch_of_the_best_place_is_what_excites_it():
    """Cropped by the field, the patch alone gives the same activation."""
    told = scene()
    best_net = told.nets[0]
    layer = best_net.layers[1]
    field = fields(best_net, [layer], (16, 16))[layer.name]
    batches = list(told.unseen(0))
    x_NCHW = torch.cat([b.x_BCHW for b in batches])
    best = activation.strongest(best_net, [b.x_BCHW for b in batches], [layer], 3)[layer.name]
    channel = int(best.selective(1)[0])
    at, row, column = (int(a[0, channel]) for a in (best.image_KC, best.row_KC, best.column_KC))
    rows, columns = field.window(row, column)
    outside = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    outside[:, :, rows, columns] = x_NCHW[at : at + 1, :, rows, columns]
    with torch.no_grad(), outputs(best_net.module, [layer.name]) as seen:
        best_net.module(outside)
    assert float(layer.maps(seen[layer.name])[0, channel, row, column]) == pytest.approx(
        float(best.value_KC[0, channel]), abs=1e-4
    )


def test_watching_keeps_what_an_in_place_rectifier_overwrites():
    found = net(small_cnn(), ["0", "1"])
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    given = activation.maps(found, x, found.layers)
    assert given["backbone.0"].min() < 0 and given["backbone.1"].min() == 0
    assert np.allclose(np.maximum(given["backbone.0"], 0), given["backbone.1"])


@pytest.mark.parametrize(
    ("name", "size", "layer", "form", "grid"),
    [
        ("resnet10t", 64, "layer2", "maps", (8, 8)),
        ("vit_tiny_patch16_224", 64, "blocks.1", "tokens", (4, 4)),
        ("swin_tiny_patch4_window7_224", 56, "layers.0", "last", (14, 14)),
    ],
)
def test_every_family_gives_maps(name, size, layer, form, grid):
    more = {"img_size": size, "depth": 2} if name.startswith("vit") else {}
    more = (
        {"img_size": size, "embed_dim": 24, "depths": (1, 1), "num_heads": (1, 1)} if "swin" in name else more
    )
    found = timm_net(name, (size, size), [layer], **more)
    (chosen,) = found.layers
    assert (chosen.form, chosen.grid) == (form, grid)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    given = activation.maps(found, x, [chosen])[chosen.name]
    assert given.shape == (2, chosen.channels, *grid) and given.std() > 0


def test_tokens_lie_where_their_patches_are():
    """A patch that differs changes its own token of the embedding and no other, class token aside."""
    found = timm_net("vit_tiny_patch16_224", (64, 64), ["norm_pre"], img_size=64, depth=1)
    (layer,) = found.layers
    x = torch.zeros(2, 3, 64, 64)
    x[1, :, 16:32, 48:64] = 1
    given = activation.maps(found, x, [layer])[layer.name]
    changed = np.abs(given[1] - given[0]).max(axis=0) > 1e-6
    assert np.argwhere(changed).tolist() == [[1, 3]]


def test_layers_that_cannot_be_shown_are_all_told():
    found = net(small_cnn())
    with pytest.raises(ConfigError) as error:
        named(found.module, torch.zeros(1, 3, 16, 16), ["0", "33", "backbone.6", "layer9"])
    assert "3 of the layers" in str(error.value) and "`33`" in str(error.value)
    assert "`6`: its output is not a map over the image" in str(error.value)
    vit = timm_net("vit_tiny_patch16_224", (32, 32), ["blocks.0.mlp"], img_size=32, depth=1)
    with pytest.raises(ConfigError, match=r"`blocks.0.attn.q_norm`: its output"):
        named(vit.module, torch.zeros(1, 3, 32, 32), ["blocks.0.attn.q_norm"])


def test_first_filters_are_weights_on_pixels():
    found = net(small_cnn(), ["0"])
    conv = found.backbone[0]
    conv.weight.data[0] = 0
    conv.weight.data[0, 2, 1, 1] = 0.3
    conv.weight.data[1] = conv.weight.data[0] * -2
    filters = activation.first_filters(found)
    assert filters.name == "0" and filters.x_FHW3.shape == (8, 3, 3, 3)
    assert filters.largest_F[0] == pytest.approx(0.3 / 0.3), "divided by the spread of blue"
    assert filters.x_FHW3[0, 1, 1].tolist() == pytest.approx([0.5, 0.5, 1.0])
    assert filters.x_FHW3[1, 1, 1].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert activation.likeness(filters) == 1
    assert activation.first_filters(net(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)), ["0"])) is None
