"""Explanations of samples of several images, and of images with other than three channels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from explain_world import random_net

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split, strings
from pipeline.data import several as rows
from pipeline.data.images import PreparedImages
from pipeline.explain import cam, network, several
from pipeline.explain.occlusion import occlude
from pipeline.explain.several import SampleImages
from pipeline.nets import model
from pipeline.nets.intake import Intake
from pipeline.settings.explain import OcclusionSettings
from pipeline.settings.model import ModelSettings
from pipeline.train.heads import HeadStack

SIDE, PLACES = 32, 3
POOLS = ("mean", "max", "attention", "concat")


def prepared(counts=(3, 1, 2), channels=3):
    """Samples `s0`, `s1`, …, with so many images each."""
    draw = np.random.default_rng(0)
    x = [
        rows.stacked([draw.integers(1, 255, (SIDE, SIDE, channels), np.uint8) for _ in range(n)], PLACES)
        for n in counts
    ]
    return PreparedImages(strings([f"s{n}" for n in range(len(counts))]), np.stack(x), channels)


def net_of(pool, head=False):
    """A network of samples of three images with random weights everywhere, and its `Classifier`."""
    settings = ModelSettings(name="resnet10t", weights="none", drop_rate=0.0)
    images = PLACES if pool == "concat" else None
    made = model.build(settings, 4, 0, (SIDE, SIDE), intake=Intake(3, images, pool))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in (made._classifier_layer(), *made.beside.values()):
            for weight in part.parameters():
                weight.normal_(std=0.3, generator=draw)
    stack = None
    if head:
        width = 512 * (PLACES if pool == "concat" else 1)
        stack = HeadStack(torch.zeros(1, width), torch.ones(1, width), 4)
        with torch.no_grad():
            stack.out.weight.normal_(std=0.3, generator=draw)
    whole = network.Explained(made, stack)
    return network.of_module(whole, 0, (SIDE, SIDE), "cpu", 1), made, stack


def of_rows(made, head, images):
    """Logits of whole samples, as training and inference compute them."""
    x = torch.from_numpy(images.x_NHWC).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return made(x) if head is None else head(made.features(x)[None]).mean(0)


@pytest.mark.parametrize("head", [False, True], ids=["network", "head"])
@pytest.mark.parametrize("pool", POOLS)
def test_an_image_is_explained_while_the_others_of_its_sample_stay(pool, head):
    if pool == "attention" and head:
        pytest.skip("a frozen backbone has no attention")
    net, made, stack = net_of(pool, head)
    images = SampleImages.of(prepared())
    wanted = of_rows(made, stack, images.prepared)
    for number, name in ((0, "s0"), (0, "s0\x1f3"), (1, "s1"), (2, "s2\x1f2")):
        own = images.in_company(net, [name])
        logits = own.module(own.normalise(images.pixels([name])))
        assert torch.allclose(logits[0], wanted[number], atol=1e-3)
    both = images.in_company(net, ["s2", "s0\x1f2"])
    assert torch.allclose(
        both.module(both.normalise(images.pixels(["s2", "s0\x1f2"]))), wanted[[2, 0]], atol=1e-3
    )
    maps = cam.grad_cam(both, both.normalise(images.pixels(["s2", "s0\x1f2"])), [0, 1])
    assert maps.shape[0] == 2 and np.isfinite(maps).all() and np.abs(maps).max() > 0


def test_the_images_of_a_sample_that_matter_most_are_chosen_in_their_order():
    net, made, _ = net_of("mean")
    images = SampleImages.of(prepared())
    every = several.chosen(images, net, "s0", 8)
    assert [one.name for one in every] == ["s0", "s0\x1f2", "s0\x1f3"]
    assert [(one.number, one.of) for one in every] == [(1, 3), (2, 3), (3, 3)]
    p = of_rows(made, None, images.prepared).softmax(1)[0]
    without = of_rows(made, None, PreparedImages(["s0"], images.prepared.x_NHWC[:1, ..., 3:]))
    assert every[0].p_without == pytest.approx(float(without.softmax(1)[0, p.argmax()]), abs=1e-4)
    change = [abs(one.p_without - float(p.max())) for one in every]
    two = several.chosen(images, net, "s0", 2)
    assert [one.name for one in two] == [
        one.name for one in every if abs(one.p_without - float(p.max())) > min(change)
    ]
    assert several.chosen(images, net, "s1", 8) == [several.Chosen("s1")]


def test_images_have_what_is_known_of_their_samples():
    images = SampleImages.of(prepared())
    space = LabelSpace.product([Attribute("what", ("a", "b"))])
    samples = Samples(["s2", "s0"], ["x", "y"], ["g", "h"], space, np.array([1, 0]), "train")
    own = several.samples_of(samples, images)
    assert own.ids_N.tolist() == ["s2", "s2\x1f2", "s0", "s0\x1f2", "s0\x1f3"]
    assert own.labels.tolist() == [1, 1, 0, 0, 0] and own.groups_N.tolist() == ["g", "g", "h", "h", "h"]
    plan = several.plan_of(FoldPlan((Split(["s0"], ["s2"]),)), images)
    assert plan.splits[0].valid_ids.tolist() == ["s2", "s2\x1f2"]
    oof = several.predictions_of(
        Probabilities(["s2"], ("a", "b"), np.array([[0.2, 0.8]], np.float32)), images
    )
    assert oof.labels().tolist() == [1, 1]
    assert several.captions_of({"s1": "one"}, images) == {"s1": "one"}
    assert rows.shown_name("s0\x1f3") == "s0, image 3" and rows.shown_name("s0") == "s0"


@pytest.mark.parametrize("channels", [1, 4])
def test_hiding_a_square_hides_all_channels(channels):
    """A network that reads the last channel alone: hiding a square of it lowers its answer there."""

    class Last(torch.nn.Module):
        def forward(self, x_BCHW):
            level = x_BCHW[:, -1, 8:16, 8:16].mean((1, 2))
            return torch.stack([level, -level], 1)

    net = replace(random_net("resnet10t"), module=Last())
    x_CHW = torch.zeros(channels, SIDE, SIDE)
    x_CHW[:, 8:16, 8:16] = 2.0
    (hidden,) = occlude(net, x_CHW, (0,), OcclusionSettings(window=0.25, stride=1.0, baseline="mean"))
    assert hidden.map_HW[8:16, 8:16].min() > 1 and abs(hidden.map_HW[24:, 24:]).max() < 1e-5
