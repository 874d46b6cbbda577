"""Several images in a network: pooling, empty places, and views of each image."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.core.samples import strings
from pipeline.data import several as rows
from pipeline.data.images import PreparedImages
from pipeline.nets import model, views
from pipeline.nets.forward import Pass, extract, in_blocks
from pipeline.nets.intake import Intake
from pipeline.nets.several import Pool, on_each, present
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.optim import make_optimizer
from pipeline.train.step import noisy_pixels

SIZE = (32, 32)
SETTINGS = ModelSettings(name="resnet10t", weights="none", drop_rate=0.0)


def built(pool, images=2):
    made = model.build(SETTINGS, 3, 1, SIZE, intake=Intake(3, images, pool))
    with torch.no_grad():
        for layer in (made._classifier_layer(), *made.beside.values()):
            for parameter in layer.parameters():
                parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    return made.eval()


def batch(counts, places=2):
    x = torch.rand(len(counts), places * 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 0.01
    for row, count in enumerate(counts):
        x[row, count * 3 :] = 0
    return x


@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_an_empty_place_counts_as_nothing(pool):
    network, x = built(pool, None), batch([1, 2, 2])
    with torch.no_grad():
        logits, features = network(x), network.features(x)
        assert torch.allclose(logits[0], network(x[:1, :3])[0], atol=1e-5)
        assert torch.allclose(network(torch.cat([x, torch.zeros_like(x)], 1)), logits, atol=1e-5)
        swapped = torch.cat([x[:, 3:], x[:, :3]], 1)
        assert torch.allclose(network(swapped)[1:], logits[1:], atol=1e-5)
    assert features.shape == (3, 512)


def test_the_mean_of_outputs_is_the_output_of_the_mean_of_features():
    network, x = built("mean"), batch([2, 2])
    with torch.no_grad():
        wanted = network._classifier_layer()(network.features(x))
        assert torch.allclose(network(x), wanted, atol=1e-5)


def test_concat_knows_which_image_is_which():
    network, x = built("concat"), batch([2, 2])
    with torch.no_grad():
        assert network.features(x).shape == (2, 1024)
        assert not torch.allclose(network(x), network(torch.cat([x[:, 3:], x[:, :3]], 1)), atol=1e-3)


def test_attention_starts_as_the_mean_and_trains_with_the_network():
    pool = Pool("attention", 5)
    h_BID, there = torch.randn(3, 4, 5), torch.ones(3, 4, dtype=torch.bool)
    assert torch.allclose(pool(h_BID, there), h_BID.mean(1), atol=1e-6)
    network = built("attention")
    held = {
        id(p)
        for g in make_optimizer(network.backbone, TrainSettings(), beside=network.beside).param_groups
        for p in g["params"]
    }
    assert {id(p) for p in network.parameters()} == held


def test_states_are_restored_with_what_trains_beside_the_backbone():
    network, x = built("attention"), batch([2, 1])
    again = model.restore(SETTINGS, 3, network.state_dict(), SIZE, intake=Intake(3, 2, "attention")).eval()
    with torch.no_grad():
        assert torch.equal(again(x), network(x))


def test_batch_normalisation_does_not_see_empty_places():
    network, x = built("mean", None), batch([1, 1, 1, 1])
    other = built("mean", None)
    network.train()(x)
    other.train()(x[:, :3])
    for own, wanted in zip(network.buffers(), other.buffers(), strict=True):
        assert torch.allclose(own.float(), wanted.float(), atol=1e-6)


@pytest.mark.parametrize("name", ["hflip", "noise(0.1)", "jpeg(30)", "brightness(0.2)", "shift(2,1)"])
def test_a_view_changes_each_image_as_if_it_were_alone(name):
    view, x = views.parse(name), batch([2, 1])
    made = on_each(x, 3, view.apply)
    assert torch.allclose(made[:, :3], view.apply(x[:, :3]), atol=1e-6)
    assert not made[1, 3:].any()


def test_noise_falls_on_images_only():
    x = batch([2, 1])
    assert present(noisy_pixels(x, 0.5, 3), 3).tolist() == [[True, True], [True, False]]


def test_features_of_frozen_backbones_are_pooled():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(1, 256, (*SIZE, 3), np.uint8) for _ in range(3)]
    x = np.stack([rows.stacked(pictures[:2], 2), rows.stacked(pictures[2:], 2)])
    images = PreparedImages(strings(["a", "b"]), x)
    plain = PreparedImages(strings(["0", "1", "2"]), np.stack(pictures))
    network = built("max")
    made = extract(network, images, images.ids_N, [views.parse("identity")], Pass())
    alone = extract(network, plain, plain.ids_N, [views.parse("identity")], Pass()).x_NVD[:, 0]
    assert np.allclose(made.x_NVD[0, 0], alone[:2].max(axis=0), atol=1e-4)
    assert np.allclose(made.x_NVD[1, 0], alone[2], atol=1e-4)


def test_a_network_without_a_linear_classifier_pools_by_the_mean_only():
    with pytest.raises(ModelError, match="no known linear classifier"):
        model.build(
            ModelSettings(name="torchvision:squeezenet1_0", weights="none"),
            3,
            0,
            (64, 64),
            intake=Intake(3, 2, "attention"),
        )


@pytest.mark.parametrize("pool", ["mean", "max", "attention", "concat"])
def test_in_blocks_neither_neighbours_nor_empty_places_change_a_bit(pool):
    network = built(pool, 2 if pool == "concat" else None)
    x = batch([1, 2, 2, 1, 2], 2)
    with torch.inference_mode(), in_blocks(network, 4):
        fixed = [
            torch.cat([x[at], x[at][-1:].expand(4 - len(at), *x.shape[1:])]) for at in ([0, 1, 2, 3], [4])
        ]
        logits = torch.cat([network(fixed[0]), network(fixed[1])[:1]])
        alone = torch.cat([network(x[n : n + 1].expand(4, *x.shape[1:]))[:1] for n in range(5)])
        assert torch.equal(logits, alone)
        if pool != "concat":
            more = torch.cat([fixed[0], torch.zeros_like(fixed[0])], 1)
            assert torch.equal(network(more), logits[:4])
            one = x[[0, 3]].repeat(2, 1, 1, 1)[:, :3]
            assert torch.equal(network(one)[:2], logits[[0, 3]])
        whole = network(x)
    with torch.inference_mode():
        assert torch.allclose(network(x), whole, atol=1e-5)
