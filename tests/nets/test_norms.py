"""GroupNorm in place of BatchNorm."""

import pytest
import torch
from torch import nn

from pipeline.core.errors import ModelError
from pipeline.nets.model import build, restore
from pipeline.nets.norms import groups_of
from pipeline.settings.model import ModelSettings


def built(name, norm, weights="none"):
    return build(ModelSettings(name=name, weights=weights, norm=norm), 4, 3)


@pytest.mark.parametrize(
    ("channels", "groups"), [(8, 1), (16, 2), (24, 3), (20, 2), (7, 1), (64, 8), (512, 32)]
)
def test_groups_divide_the_channels_and_keep_eight_of_them(channels, groups):
    assert groups_of(channels) == groups


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "torchvision:resnet18"])
def test_a_sample_no_longer_depends_on_its_batch(name):
    x_BCHW = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def alone_and_together(norm):
        model = built(name, norm)
        for i, parameter in enumerate(model.backbone.parameters()):
            if parameter.ndim == 2:
                nn.init.normal_(parameter, generator=torch.Generator().manual_seed(i))
        dropless = (nn.Dropout, nn.Dropout2d)
        model.train().apply(lambda m: m.eval() if isinstance(m, dropless) else None)
        model.backbone.drop_rate = 0.0
        with torch.no_grad():
            return model(x_BCHW[:2]), model(x_BCHW)[:2]

    torch.testing.assert_close(*alone_and_together("group"), atol=1e-4, rtol=1e-3)
    few, many = alone_and_together("batch")
    assert (few - many).abs().max() > 1e-2


def test_every_norm_is_exchanged_and_keeps_its_weights_and_activation(tmp_path):
    batch = built("mobilenetv3_small_050", "batch").backbone
    with torch.no_grad():
        for module in batch.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.normal_()
                module.bias.normal_()
    path = tmp_path / "w.pth"
    torch.save(batch.state_dict(), path)
    group = built("mobilenetv3_small_050", "group", f"file:{path}").backbone
    olds = {n: m for n, m in batch.named_modules() if isinstance(m, nn.BatchNorm2d)}
    news = dict(group.named_modules())
    assert len(olds) > 20 and not any(isinstance(m, nn.BatchNorm2d) for m in group.modules())
    for name, old in olds.items():
        new = news[name]
        assert isinstance(new, nn.GroupNorm)
        assert torch.equal(new.weight, old.weight) and torch.equal(new.bias, old.bias)
        assert type(new.act) is type(old.act)


def test_a_trained_network_with_group_norm_is_restored():
    model = built("test_resnet", "group").eval()
    again = restore(ModelSettings(name="test_resnet", weights="none", norm="group"), 4, model.state_dict())
    x_BCHW = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(x_BCHW), again.eval()(x_BCHW))
    with pytest.raises(ModelError, match="do not fit"):
        restore(ModelSettings(name="test_resnet", weights="none"), 4, model.state_dict())


def test_a_network_without_batch_norm_is_told():
    with pytest.raises(ModelError, match="vit_tiny_patch16_224 has no BatchNorm"):
        built("vit_tiny_patch16_224", "group")
