import numpy as np
import pytest
import timm
import torch
from seeing_world import net, timm_net
from torch import nn

from pipeline.explain.layers import fields, outputs


def ends(field):
    return field.rows_h2.tolist()


def test_a_known_network_gives_its_known_fields():
    """3×3 conv, 2×2 pool, 3×3 conv: 3, then 4, then 8 px, at steps of 1, 2, 2."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
    found = net(backbone, ["0", "2", "3"], size=(16, 20))
    field = fields(found, found.layers, (16, 20))
    assert [field[f"backbone.{n}"].size_px for n in "023"] == [(3, 3), (4, 4), (8, 8)]
    assert ends(field["backbone.0"]) == [[i, i + 3] for i in range(14)]
    assert ends(field["backbone.2"]) == [[2 * i, 2 * i + 4] for i in range(7)]
    assert ends(field["backbone.3"]) == [[2 * i, 2 * i + 8] for i in range(5)]
    assert field["backbone.3"].window(1, 2) == (slice(2, 10), slice(4, 12))
    assert not field["backbone.3"].is_whole


def test_padding_cuts_the_field_at_the_border_and_strides_are_followed():
    found = net(nn.Sequential(nn.Conv2d(3, 2, 5, stride=3, padding=2)), ["0"], size=(12, 12))
    assert ends(fields(found, found.layers, (12, 12))["backbone.0"]) == [[0, 3], [1, 6], [4, 9], [7, 12]]


def test_dilation_and_unequal_kernels():
    found = net(nn.Sequential(nn.Conv2d(3, 2, (3, 1), dilation=(2, 1), padding=(2, 0))), ["0"], size=(12, 12))
    assert fields(found, found.layers, (12, 12))["backbone.0"].size_px == (5, 1)


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.Hardsigmoid])
def test_no_rectifier_swallows_the_poison(act):
    """Also where every weight is zero and every unit is off."""
    backbone = nn.Sequential(nn.Conv2d(3, 2, 3), act(), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), act())
    for p in backbone.parameters():
        nn.init.zeros_(p)
    found = net(backbone, ["4"], size=(9, 9))
    assert fields(found, found.layers, (9, 9))["backbone.4"].size_px == (5, 5)


def test_it_agrees_with_gradients_on_a_resnet():
    """The gradient of a unit is nowhere outside its field and, in sum over inputs, nearly fills it."""
    found = timm_net("resnet10t", (64, 64), ["layer2"], zero_init_last=False)
    (layer,) = found.layers
    field = fields(found, [layer], (64, 64))[layer.name]
    row, column = 4, 4
    reached = torch.zeros(64, 64)
    for seed in range(3):
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        with outputs(found.module, [layer.name]) as seen:
            found.module(x)
        (grad,) = torch.autograd.grad(seen[layer.name][0, :, row, column].sum(), x)
        reached += grad[0].abs().sum(0)
    rows, columns = field.window(row, column)
    inside = reached[rows, columns]
    assert reached.sum() == pytest.approx(float(inside.sum()), rel=1e-6)
    assert (inside > 0).float().mean() > 0.8
    assert not field.is_whole


def test_large_images_round_outwards():
    found = net(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)), ["0"], size=(16, 200))
    field = fields(found, found.layers, (16, 200))["backbone.0"]
    assert field.columns_w2[51].tolist() == [50, 54] and field.rows_h2[6].tolist() == [4, 8]
    assert field.columns_w2[-1].tolist() == [198, 200] and field.size_px == (4, 4)


def test_attention_sees_the_whole_image():
    vit = timm_net(
        "vit_tiny_patch16_224", (32, 32), ["patch_embed.proj", "blocks.0", "blocks.1"], img_size=32, depth=2
    )
    field = fields(vit, vit.layers, (32, 32))
    assert field["backbone.patch_embed.proj"].size_px == (16, 16)
    assert field["backbone.blocks.0"].is_whole and field["backbone.blocks.1"].is_whole
    assert not field["backbone.blocks.0"].gated


def test_gates_are_left_out_and_told():
    gated = timm_net("mobilenetv3_small_050", (64, 64), ["conv_stem", "blocks.0"])
    found = fields(gated, gated.layers, (64, 64))
    # 3×3 at stride 2, then a 3×3 depthwise at stride 2: 3 + 2 · 2 = 7 px.
    assert [f.size_px for f in found.values()] == [(3, 3), (7, 7)]
    assert all(f.gated for f in found.values())
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(gated.module(x), gated.module(x)), "the network itself keeps its gates"
    assert not any(m._forward_hooks for m in gated.module.modules())


def test_swin_windows_are_whole_windows():
    torch.manual_seed(0)
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, window_size=7, num_classes=3,
        embed_dim=12, depths=(1, 1), num_heads=(1, 1),
    )  # fmt: skip
    found = net(swin, ["layers.0"], size=(56, 56))
    (layer,) = found.layers
    assert layer.form == "last" and layer.grid == (14, 14)
    field = fields(found, [layer], (56, 56))[layer.name]
    assert field.size_px == (28, 28) and field.window(0, 13) == (slice(0, 28), slice(28, 56))


def test_the_network_is_left_as_it_was():
    found = net(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)), ["1"], size=(8, 8))
    before = {k: v.clone() for k, v in found.module.state_dict().items()}
    fields(found, found.layers, (8, 8))
    after = found.module.state_dict()
    assert all(np.array_equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in before)
    assert not any(m._forward_hooks for m in found.module.modules())
