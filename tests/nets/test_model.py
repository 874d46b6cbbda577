import time

import numpy as np
import pytest
import torch
from learn_world import SIZE, equal_states, random_head

from pipeline.core.errors import ModelError
from pipeline.nets.model import build, describe, restore, to_device
from pipeline.settings.model import ModelSettings


def tiny(name="test_resnet", **more):
    return ModelSettings(name=name, weights="none", **more)


@pytest.fixture(scope="module")
def x_BCHW():
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "mobilenetv3_small_050"])
def test_shapes_and_features_lead_to_logits(name, x_BCHW):
    model = random_head(build(tiny(name), 7, 0)).eval()
    with torch.inference_mode():
        features, logits = model.features(x_BCHW), model(x_BCHW)
        assert features.ndim == 2 and logits.shape == (3, 7)
        torch.testing.assert_close(model.backbone.get_classifier()(features), logits)


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before():
    first = build(tiny(), 4, 5).state_dict()
    torch.rand(17)
    assert equal_states(first, build(tiny(), 4, 5).state_dict())
    assert not equal_states(first, build(tiny(), 4, 6).state_dict())


def test_a_new_classifier_starts_at_even_odds(x_BCHW):
    for name in ("test_resnet", "mobilenetv3_small_050"):
        assert not build(tiny(name), 4, 5)(x_BCHW).any()


def test_building_leaves_the_callers_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build(tiny(), 4, 5)
    assert torch.equal(expected, torch.rand(3))


def test_normalises_inside_with_the_backbones_own_numbers(x_BCHW):
    model = build(tiny("tf_efficientnet_lite0"), 4, 0)
    assert describe(model).mean == (0.5, 0.5, 0.5) == describe(model).std
    torch.testing.assert_close(model.normalise(x_BCHW), x_BCHW * 2 - 1)
    assert describe(build(tiny("mobilenetv3_small_050"), 4, 0)).mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_vit_built_for_the_size_of_the_images(x_BCHW):
    model = build(tiny("vit_tiny_patch16_224"), 3, 0, size=(SIZE, SIZE))
    assert model(x_BCHW).shape == (3, 3)


def test_describe_counts():
    model = build(tiny(), 4, 0)
    for parameter in model.backbone.get_classifier().parameters():
        parameter.requires_grad_(False)
    facts = describe(model)
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.parameters - facts.trainable == 96 * 4 + 4


def test_channels_last_changes_no_weight():
    model = build(tiny(), 4, 0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    after = to_device(model, "cpu")
    assert equal_states(before, after.state_dict())
    assert after.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_restore_gives_back_the_same_function(x_BCHW):
    model = random_head(build(tiny(), 4, 5)).eval()
    again = restore(tiny(), 4, model.state_dict()).eval()
    with torch.inference_mode():
        assert torch.equal(model(x_BCHW), again(x_BCHW))
    with pytest.raises(ModelError, match="do not fit"):
        restore(tiny("test_efficientnet"), 4, model.state_dict())


def test_unknown_model_names_the_nearest():
    with pytest.raises(ModelError, match=r"did you mean .*resnet50"):
        build(tiny("resnet5O"), 4, 0)


def test_an_unsupported_rate_is_told():
    with pytest.raises(ModelError, match="drop_path_rate"):
        build(tiny("vgg11", drop_path_rate=0.1), 4, 0)


@pytest.mark.parametrize("rate", [{"drop_rate": 0.4}, {"drop_path_rate": 0.1}])
def test_a_rate_that_was_asked_for_is_refused_where_nothing_takes_it(rate):
    """torchvision's ResNet takes neither; left at its default, dropout is not asked for."""
    build(tiny("torchvision:resnet18"), 4, 0)
    with pytest.raises(ModelError, match=next(iter(rate))):
        build(tiny("torchvision:resnet18", **rate), 4, 0)


@pytest.fixture
def closed_hub(monkeypatch, tmp_path):
    """The hub's client, sent to a port where nobody listens, with an empty cache."""
    import socket

    import torch.hub
    from huggingface_hub import constants

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", nobody + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    return nobody


def test_no_hub_is_told_at_once_and_says_what_to_use(closed_hub):
    from huggingface_hub import constants

    build(tiny(), 4, 0)  # imports are not what is timed
    begin = time.monotonic()
    with pytest.raises(ModelError, match="no hub reachable for test_resnet") as caught:
        build(ModelSettings(name="test_resnet", weights="hub"), 4, 0)
    assert time.monotonic() - begin < 10
    assert "package:" in str(caught.value) and "file:" in str(caught.value)
    assert not constants.HF_HUB_OFFLINE


def test_torchvisions_hub_likewise(closed_hub, monkeypatch):
    from torchvision import models

    monkeypatch.setattr(models.AlexNet_Weights.DEFAULT.value, "url", f"{closed_hub}/alexnet-owt-7be5be79.pth")
    with pytest.raises(ModelError, match="no hub reachable for torchvision:alexnet") as caught:
        build(ModelSettings(name="torchvision:alexnet", weights="hub"), 4, 0)
    assert "file:" in str(caught.value)


def test_a_model_that_the_hub_has_no_weights_of():
    with pytest.raises(ModelError, match="did you mean resnet10t"):
        build(ModelSettings(name="resnet10t_nowhere", weights="hub"), 4, 0)
    with pytest.raises(ModelError, match="No pretrained weights exist"):
        build(ModelSettings(name="lcnet_035", weights="hub"), 4, 0)


def test_contiguous_layout_undoes_channels_last():
    model = to_device(to_device(build(tiny(), 4, 0), "cpu"), "cpu", "contiguous")
    assert model.backbone.layer1[0].conv1.weight.is_contiguous()


@pytest.mark.gpu
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_runs_on_a_gpu(x_BCHW, layout):
    model = to_device(random_head(build(tiny(), 4, 0)), "cuda", layout).eval()
    on_cpu = random_head(build(tiny(), 4, 0)).eval()
    with torch.inference_mode():
        np.testing.assert_allclose(model(x_BCHW.cuda()).cpu(), on_cpu(x_BCHW), atol=1e-3)
