"""What the tests of explain's parts share: networks as `Net`, and a scene on scikit-learn's digits."""

import functools

import numpy as np
import torch
from torch import nn

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.explain import layers as places
from pipeline.explain.scene import ExplainedImage, ImageBatch, Net, Scene
from pipeline.settings.schema import Config

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Whole(nn.Module):
    """A backbone that takes normalised pixels, named as in a scene."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)


def net(backbone, layers=None, size=(16, 16), fold=0, features=None):
    """A `Net` of a bare backbone; all its layers where none are named."""
    module = Whole(backbone).eval()
    for p in module.parameters():
        p.requires_grad_(False)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, STD))
    x_1CHW = torch.zeros(1, 3, *size)
    found, cam = (
        places.find(module, x_1CHW, 4) if layers is None else (places.named(module, x_1CHW, layers),) * 2
    )
    cam = cam if layers is None else found[-1]
    return Net(fold, module, backbone, features or module, mean, std, tuple(found), cam)


def timm_net(name, size, layers=None, classes=10, seed=0, **kwargs):
    import timm

    torch.manual_seed(seed)
    backbone = timm.create_model(name, pretrained=False, num_classes=classes, **kwargs).eval()
    return net(
        backbone,
        layers,
        size=size,
        features=lambda x: backbone.forward_head(backbone.forward_features(x), pre_logits=True),
    )


def small_cnn(classes=10, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


@functools.cache
def trained_cnn(size=16):
    """The small network after a second of training on 400 digits; about .9 right."""
    x_NHWC, y_N = digit_images(400, size)
    made = net(small_cnn(), ["0", "3", "4"])
    module = made.module.requires_grad_(True)
    x, y = made.normalise(x_NHWC), torch.from_numpy(y_N)
    adam = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(60):
        adam.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        adam.step()
    module.requires_grad_(False)
    return made


def digit_images(n, size):
    import cv2
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images[:n] * 15.9).astype(np.uint8)
    x_NHWC = np.stack([cv2.resize(g, (size, size))[..., None].repeat(3, -1) for g in grey])
    return x_NHWC, digits.target[:n].astype(np.int64)


def scene(make=None, n=60, folds=2, size=16, config=None, group_of=2, cases=3):
    """n digits in `folds` folds, groups of two; one network a fold."""
    x_NHWC, y_N = digit_images(n, size)
    ids = np.array([f"d{i}" for i in range(n)])
    groups = np.array([f"g{i // group_of}" for i in range(n)])
    space = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
    samples = Samples(ids, ids, groups, space, y_N, "train")
    fold_N = (np.arange(n) // group_of) % folds
    plan = FoldPlan(tuple(Split(ids[fold_N != k], ids[fold_N == k]) for k in range(folds)))
    nets = {k: (make or _cnn_net)(k) for k in range(folds)}

    def batches(split, wanted, fold):
        at = np.array([list(ids).index(str(name)) for name in wanted], dtype=int)
        for start in range(0, len(at), 16):
            rows = at[start : start + 16]
            yield ImageBatch(ids[rows], x_NHWC[rows], nets[fold].normalise(x_NHWC[rows]), fold)

    p_NC = np.zeros((n, 10), np.float32)
    for k in range(folds):
        with torch.no_grad():
            p_NC[fold_N == k] = nets[k].module(nets[k].normalise(x_NHWC[fold_N == k])).softmax(1).numpy()
    oof = Probabilities(ids, space.classes, p_NC, "tiny")
    told = []
    for i in range(cases):
        x = nets[int(fold_N[i])].normalise(x_NHWC[i : i + 1])[0]
        told.append(
            ExplainedImage(
                str(ids[i]),
                "train",
                int(fold_N[i]),
                str(groups[i]),
                x_NHWC[i],
                x,
                p_NC[i],
                int(samples.labels[i]),
                int(samples.labels[i]),
            )
        )
    return Scene(
        config=config or Config(),
        experiment="tiny",
        space=space,
        nets=nets,
        cases=tuple(told),
        samples=samples,
        plan=plan,
        oof=oof,
        batches=batches,
        object_of=lambda split, name, pixels: (None, ""),
        device="cpu",
        seed=7,
    )


def _cnn_net(fold):
    backbone = small_cnn(seed=fold)
    return net(backbone, ["0", "3", "4"], fold=fold, features=lambda x: backbone[:7](x))
