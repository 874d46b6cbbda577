"""What the tests of explanations share: a network that looks for one pattern, and scenes without training."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.explain import network
from pipeline.explain.scene import ExplainedImage, ImageBatch, Scene
from pipeline.nets import model
from pipeline.nets.model import Classifier
from pipeline.settings.explain import ExplainSettings, OcclusionSettings
from pipeline.settings.images import ImageSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config

SIDE, PATCH = 32, 8
CLASSES = ("plain", "checks", "stripes")


def pattern(kind):
    """An 8 × 8 pattern of ±1: checks of 2 px, or stripes of 2 px."""
    rows, columns = np.divmod(np.arange(PATCH * PATCH), PATCH)
    sign = (rows // 2 + columns // 2) % 2 if kind == 1 else rows // 2 % 2
    return (2.0 * sign - 1).reshape(PATCH, PATCH).astype(np.float32)


class Detector(nn.Module):
    """Two matched filters, a rectifier, the mean over the image, and a linear layer: a planted detector."""

    def __init__(self, rectifier=None):
        super().__init__()
        self.pretrained_cfg = {"classifier": "fc"}
        self.filters = nn.Conv2d(3, 2, PATCH)
        self.act = rectifier or nn.ReLU6()
        self.fc = nn.Linear(2, 3)
        with torch.no_grad():
            for k in (0, 1):
                weight = torch.from_numpy(pattern(k + 1)) / PATCH**2
                self.filters.weight[k] = 6 * weight / 3
            self.filters.bias.fill_(-4.0)  # a full match gives 2, a pattern moved by its period nothing
            self.fc.weight.copy_(torch.tensor([[0.0, 0.0], [100.0, -20.0], [-20.0, 100.0]]))
            self.fc.bias.zero_()

    def forward_features(self, x_BCHW):
        return self.act(self.filters(functional.pad(x_BCHW, (3, 4, 3, 4))))

    def forward_head(self, maps, pre_logits=False):
        pooled = maps.mean((2, 3))
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, x_BCHW):
        return self.forward_head(self.forward_features(x_BCHW))


def planted(kind=1, top=6, left=18, seed=0):
    """(pixels_HWC, mask_HW): faint noise on grey with one pattern, and where that is."""
    noise = np.random.default_rng(seed).normal(0, 0.03, (SIDE, SIDE, 3))
    noise[top : top + PATCH, left : left + PATCH] += pattern(kind)[..., None]
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + PATCH, left : left + PATCH] = True
    return ((noise.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8), mask


def detector(rectifier=None, min_grid=4):
    """The planted detector as a `Net`."""
    whole = Classifier("detector", Detector(rectifier), (0.5,) * 3, (0.5,) * 3)
    return network.of_module(network.Explained(whole), 0, (SIDE, SIDE), "cpu", min_grid)


def random_net(name, side=64, classes=4, min_grid=4):
    """A network of timm or torchvision with random weights, its classifier too."""
    made = model.build(ModelSettings(name=name, weights="none"), classes, 0, (side, side))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            if not weight.abs().max() > 0:
                weight.normal_(std=0.1, generator=generator)
    return network.of_module(network.Explained(made), 0, (side, side), "cpu", min_grid)


def scene(net, kinds=(1, 2), **explain):
    """Planted images before a `Net` of three classes, as the stage would show them; the last is an error."""
    pixels, masks = zip(*(planted(k, seed=n, left=4 + 3 * n) for n, k in enumerate(kinds)), strict=True)
    labels = [*kinds[:-1], 0]
    ids = [f"i{n}" for n in range(len(kinds))]
    space = LabelSpace.product([Attribute("what", CLASSES)])
    samples = Samples(ids, ids, ids, space, np.array(labels), "train")
    config = Config(
        images=ImageSettings(size=SIDE),
        explain=ExplainSettings(occlusion=OcclusionSettings(window=0.1), **explain),
    )
    x_NCHW = net.normalise(np.stack(pixels))
    p_NC = net.module(x_NCHW).softmax(1).detach().numpy()
    cases = []
    for n, name in enumerate(ids):
        order = np.argsort(-p_NC[n])
        rival = labels[n] if labels[n] != order[0] else int(order[1])
        case = ExplainedImage(
            name, "train", 0, name, pixels[n], x_NCHW[n], p_NC[n], labels[n], rival, masks[n], "box"
        )
        cases.append(case)

    def batches(split, wanted, fold):
        at = [ids.index(str(name)) for name in wanted]
        yield ImageBatch(np.array(ids)[at], np.stack(pixels)[at], x_NCHW[at], fold)

    return Scene(
        config=config,
        experiment="detector",
        space=space,
        nets={0: net},
        cases=tuple(cases),
        samples=samples,
        plan=FoldPlan((Split([], ids),)),
        oof=Probabilities(ids, CLASSES, p_NC),
        batches=batches,
        object_of=lambda split, name, image: (masks[ids.index(name)], "box"),
        device="cpu",
        seed=0,
    )
