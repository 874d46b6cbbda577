import numpy as np
import pytest
import torch
from learn_world import SIZE, digit_images, random_head

from pipeline.core.errors import DataError, UserError
from pipeline.data.device_images import DeviceImages
from pipeline.nets.forward import Pass, backbone_digest, extract, extract_in_parts
from pipeline.nets.model import build
from pipeline.nets.views import parse_all
from pipeline.settings.model import ModelSettings

SETTINGS = ModelSettings(name="test_resnet", weights="none")
VIEWS = parse_all(["identity", "hflip", "shift(2,2)"])
IDS = np.array(["d3", "d1", "d11"])


@pytest.fixture(scope="module")
def model():
    return build(SETTINGS, 10, 0)


def test_shapes_ids_and_values(model):
    images = digit_images(20)
    features = extract(model.train(), images, IDS, VIEWS, Pass(batch=2))
    assert features.x_NVD.shape == (3, 3, 96)
    assert list(features.ids_N) == list(IDS) and features.views == ("identity", "hflip", "shift(2,2)")
    row = int(np.flatnonzero(images.ids_N == "d1")[0])
    x_BCHW = torch.from_numpy(images.x_NHWC[row][None]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = model.eval().features(x_BCHW.flip(-1))[0]
    np.testing.assert_allclose(features.x_NVD[1, 1], expected, rtol=1e-4, atol=1e-5)


def test_equal_for_any_batch_size(model):
    images = digit_images(20)
    ids = np.sort(images.ids_N)
    one, many = (extract(model, images, ids, VIEWS, Pass(batch=b)).x_NVD for b in (1, 20))
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_digest_says_what_made_the_features(model):
    base = backbone_digest(model, (SIZE, SIZE), VIEWS)
    assert base == backbone_digest(build(SETTINGS, 10, 0), (SIZE, SIZE), VIEWS)
    others = [
        backbone_digest(model, (SIZE, SIZE + 1), VIEWS),
        backbone_digest(model, (SIZE, SIZE), VIEWS[:2]),
        backbone_digest(build(SETTINGS, 10, 1), (SIZE, SIZE), VIEWS),
    ]
    assert len({base, *others}) == 4


def test_digest_ignores_the_head(model):
    again = build(SETTINGS, 10, 0)
    with torch.no_grad():
        again.backbone.fc.weight.add_(1)
    assert backbone_digest(again, (SIZE, SIZE), VIEWS) == backbone_digest(model, (SIZE, SIZE), VIEWS)


def test_a_missing_image_is_named(model):
    with pytest.raises(DataError, match="d99"):
        extract(model, digit_images(20), np.array(["d1", "d99"]), VIEWS, Pass())


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet"]
)
def test_any_backbones_features_are_what_its_classifier_sees(name):
    """The classifier of a model of any family, put on the features, gives the model's own logits."""
    network = random_head(build(ModelSettings(name=name, weights="none", drop_rate=0.3), 10, 0, (32, 32)))
    images = digit_images(6)
    features = extract(network, images, images.ids_N, VIEWS[:1], Pass())
    x_BCHW = torch.from_numpy(images.x_NHWC.copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = network.eval().backbone.get_classifier()(torch.from_numpy(features.x_NVD[:, 0].copy()))
        torch.testing.assert_close(logits, network(x_BCHW), rtol=1e-4, atol=1e-5)


def test_a_full_gpu_gives_up_images_before_a_pass_fails(model, monkeypatch):
    images, again = (DeviceImages(digit_images(20), "cpu", 1.0) for _ in range(2))
    crowd = [images]
    expected = extract(model, digit_images(20), IDS, VIEWS, Pass(batch=2)).x_NVD
    features = type(model).features

    def hungry(self, x_BCHW):
        if crowd[-1].resident:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return features(self, x_BCHW)

    monkeypatch.setattr(type(model), "features", hungry)
    np.testing.assert_array_equal(extract(model, images, IDS, VIEWS, Pass(batch=2)).x_NVD, expected)
    assert not images.resident
    crowd.append(again)
    parts = list(extract_in_parts(model, again, IDS, VIEWS[0], Pass(batch=2)))
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0], expected[:, 0])
    assert not again.resident


def test_a_pass_that_a_gpu_cannot_hold_names_the_setting(model, monkeypatch):
    def hungry(self, x_BCHW):
        raise RuntimeError("CUDA error: out of memory\nmore")

    monkeypatch.setattr(type(model), "features", hungry)
    with pytest.raises(UserError, match=r"runtime\.infer_batch=32") as told:
        extract(model, digit_images(20), IDS, VIEWS, Pass(batch=32))
    assert "runtime.infer_batch=16" in told.value.remedy
