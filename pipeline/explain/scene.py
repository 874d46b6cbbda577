"""The values that the panels of `make explain` work on: networks, images to explain, and a scene of both.

Owns these values. Does not own making them out of artifacts (`explain/cases.py`, `explain/network.py`) or
which panels there are (`explain/panels.py`).

Legend: N images, B a batch, C channels or classes, H height, W width, h and w of a feature map, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, FoldPlan, LabelSpace, Samples, Strings
from pipeline.data.several import shown_name as shown
from pipeline.pages.gallery import Pixels
from pipeline.settings.schema import Config

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layer:
    """A place in a network whose output is a map over the image.

    Args:
        name: dotted, `net.module.get_submodule(name)` finds it.
        form: "maps": (B, C, h, w), CNNs. "last": (B, h, w, C), Swin-like. "tokens": (B, T, C), ViT-like.
        channels: C.
        grid: (h, w) on images of the scene's size.
        prefix: for tokens, how many precede the h·w patch tokens (class token, registers).
    """

    name: str
    form: str
    channels: int
    grid: tuple[int, int]
    prefix: int = 0

    def maps(self, output: torch.Tensor) -> torch.Tensor:
        """The layer's output, or its gradient, as (B, C, h, w)."""
        if self.form == "tokens":
            patches_BTC = output[:, self.prefix :]
            return patches_BTC.reshape(len(output), *self.grid, -1).permute(0, 3, 1, 2)
        return output.permute(0, 3, 1, 2) if self.form == "last" else output


@dataclass(frozen=True)
class Net:
    """The network of one fold, ready to be explained.

    Args:
        fold: the fold whose validation part it never saw.
        module: (B, C) logits of normalised x_BCHW. In eval mode, on the scene's device, float32; no
            parameter requires a gradient. For a frozen backbone it combines backbone and head.
        backbone: the bare backbone inside `module` (timm's, torchvision's or the user's own), for its
            attributes; `module.get_submodule("backbone")`.
        features: (B, D) pooled features of normalised x_BCHW: what the last layer sees.
        mean_C11, std_C11: x = (pixels / 255 - mean) / std.
        layers: places to explain, in the order of the forward pass, spread over its depth; at least one.
            The last one is the last before pooling.
        cam: where Grad-CAM is read: the last of `layers` with `config.explain.min_grid` cells a side whose
            maps get a gradient, or the finest of them.
        weights_KC: (classes, channels) of the linear classification of the average of `layers[-1]`, if
            nothing else follows that layer (CAM is defined then); None otherwise.
        notes: what a reader should know about this network, one sentence each.
    """

    fold: int
    module: nn.Module
    backbone: nn.Module
    features: Callable[[torch.Tensor], torch.Tensor]
    mean_C11: torch.Tensor
    std_C11: torch.Tensor
    layers: tuple[Layer, ...]
    cam: Layer
    weights_KC: torch.Tensor | None = None
    notes: tuple[str, ...] = ()

    def normalise(self, pixels_BHWC: Pixels) -> torch.Tensor:
        """x_BCHW of uint8 pixels, on the network's device."""
        x_BCHW = torch.from_numpy(np.array(pixels_BHWC)).to(self.mean_C11.device).permute(0, 3, 1, 2)
        return (x_BCHW.float() / 255 - self.mean_C11) / self.std_C11

    def pixels(self, x_BCHW: torch.Tensor) -> Pixels:
        """uint8 (B, H, W, C) of normalised images, clipped to valid pixels."""
        shares = (x_BCHW.detach() * self.std_C11 + self.mean_C11).clamp(0, 1)
        return np.asarray((shares * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())


@dataclass(frozen=True)
class ExplainedImage:
    """One image to explain.

    Args:
        id: as in the tables.
        split: "train" or "test".
        fold: of the network that explains it, `scene.nets[fold]`; for a training image the fold with the
            image in its validation part.
        group: images of one group are never on both sides of a split.
        pixels_HWC: as the network sees it: prepared, uint8.
        x_CHW: the same, normalised by its network, on the scene's device.
        p_C: probabilities by its network, without test-time augmentation.
        true: class index, or None for a test image.
        rival: the class to compare with: the true one if the network is wrong, else the second most probable.
        object_HW: where the object is, or None if unknown.
        object_from: "box" (crop.boxes), "border" (differs from the border's colour) or "" (unknown).
        told: truth and prediction in words, where classes do not say them.
        number, of: which of its sample's images it is, from 1; of: how many the sample has.
        p_without: probability of the predicted class without this image, if the sample has others.
    """

    id: str
    split: str
    fold: int
    group: str
    pixels_HWC: Pixels
    x_CHW: torch.Tensor
    p_C: Floats
    true: int | None
    rival: int
    object_HW: Mask | None = None
    object_from: str = ""
    told: str = ""
    number: int = 1
    of: int = 1
    p_without: float | None = None

    @property
    def predicted(self) -> int:
        """Index of the most probable class."""
        return int(self.p_C.argmax())

    @property
    def is_error(self) -> bool:
        """Whether the label is known and the network is wrong."""
        return self.true is not None and self.true != self.predicted

    @property
    def key(self) -> str:
        """`train/17`: unique over splits, and its key in explain.json; `train/17, image 2` of several."""
        return f"{self.split}/{shown(self.id)}"


class ImageBatch(NamedTuple):
    """Images of one pass."""

    ids_B: Strings
    pixels_BHWC: Pixels
    x_BCHW: torch.Tensor
    fold: int


@dataclass(frozen=True)
class Scene:
    """Everything that a panel may use.

    Args:
        config: all settings; those of the panels are `config.explain`.
        experiment: name of what is explained.
        space: classes and attributes; `space.classes[c]` names output c of every network.
        nets: by fold; those that explain a case, at least one.
        cases: images to explain, worst first; their order is the page's. May be empty.
        samples: the labelled training samples: ids, groups, labels.
        plan: which ids validate in which fold.
        oof: out-of-fold probabilities of all covered training images, one view, in id order.
        batches: (split, ids, fold) -> these images in this order, normalised by that fold's network, on
            its device. Images of both tables are there.
        object_of: (split, id, its prepared pixels) -> mask (H, W) of the object or None, and its source, as
            in `ExplainedImage`.
        device: "cpu" or "cuda".
        seed: root of every draw.
        in_company: (net, split, ids) -> the network for these images among the others of their samples; where
            each sample has one image, the same network.
        about: what the classes mean where they are a view of a label or value; empty: they are the target.
        captions: what is true of training images, by id, where it is more than a class.
    """

    config: Config
    experiment: str
    space: LabelSpace
    nets: Mapping[int, Net]
    cases: tuple[ExplainedImage, ...]
    samples: Samples
    plan: FoldPlan
    oof: Probabilities
    batches: Callable[[str, Sequence[str] | Strings, int], Iterator[ImageBatch]]
    object_of: Callable[[str, str, Pixels], tuple[Mask | None, str]]
    device: str
    seed: int
    about: str = ""
    captions: Mapping[str, str] = field(default_factory=dict)
    in_company: Callable[[Net, str, Sequence[str] | Strings], Net] = lambda net, split, ids: net

    @property
    def lead(self) -> Net:
        """The network to show if only one can be shown: that of the first case, or of the lowest fold."""
        return self.nets[self.cases[0].fold if self.cases else min(self.nets)]

    def net(self, case: ExplainedImage) -> Net:
        """The network that explains a case."""
        return self.in_company(self.nets[case.fold], case.split, [case.id])

    def unseen(self, fold: int) -> Iterator[ImageBatch]:
        """The images that a fold's network never saw: its validation part, in the plan's order."""
        return self.batches("train", self.plan.splits[fold].valid_ids, fold)
