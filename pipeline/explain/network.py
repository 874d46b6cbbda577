"""The network of one fold as a `Net`, made from trained weights, and the scores of its logits to explain.

Owns putting backbone, classes and head together into one module of normalised pixels, finding out whether
classification is linear after average pooling, one image of a sample among its others, and the scores: a
class, one class rather than another, or log-odds. Does not own building or restoring networks
(`nets/model.py`, `train/heads.py`) or maps.

Legend: B images or samples, I places for images of a sample, E = I · C, C channels, H height, W width,
D features, K classes, J heads, h and w of a map.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import nn

from pipeline.core.samples import Ints, LabelSpace
from pipeline.core.wording import worded
from pipeline.data.images import PreparedImages
from pipeline.explain import layers, texts
from pipeline.explain.scene import Layer, Net
from pipeline.explain.view import ColumnView
from pipeline.nets import model
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.cosine import Cosine
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier
from pipeline.nets.weights import classifier_keys
from pipeline.pages.gallery import Pixels
from pipeline.pages.report import percent
from pipeline.settings.schema import Config
from pipeline.train.committee import Committee
from pipeline.train.heads import Head, HeadStack, restore_head

# Images of one pass.
IMAGES_AT_ONCE = 64
# Logits of a linear classification on averaged maps may differ from the network's by this share.
_SAME = 1e-3


@dataclass(frozen=True)
class Company:
    """The images of samples, of each of which one is explained and the others stay as they are.

    Args:
        h_BID: what the network knows of each image; at the place of the explained one it is not used.
        there_BI: where there is an image.
        at_B: the place of the explained image.
    """

    h_BID: torch.Tensor
    there_BI: torch.Tensor
    at_B: torch.Tensor


class Explained(nn.Module):
    """Logits of normalised pixels: a network, or a frozen backbone and a fold's heads, which are averaged.

    With a view they are the logits of its classes. Where samples have several images, pixels are those of one
    image of each, and the others are those of `within`; without it a sample has this image alone.
    """

    map_CK: torch.Tensor
    shift_C: torch.Tensor

    def __init__(
        self, classifier: Classifier, head: Head | None = None, view: ColumnView | None = None
    ) -> None:
        super().__init__()
        self.viewed = view is not None
        if view is not None:
            self.register_buffer("map_CK", torch.tensor(view.map_CK, dtype=torch.float32))
            self.register_buffer("shift_C", torch.tensor(view.shift_C, dtype=torch.float32))
        self.scale = None if head is not None else classifier.scale
        self.backbone = cast(nn.Module, classifier.backbone)
        self.heads = classifier.heads
        # The pool of several images; registered only there, so that nothing else changes.
        self.beside = classifier.beside if classifier.intake.several else None
        self.head = head
        self.company: Company | None = None
        # In a tuple, so that no parameter is registered twice.
        self._classifier = (classifier,)

    def features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) features of each image."""
        return self._classifier[0].features(self._pixels(x_BCHW))

    def _pixels(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        classifier = self._classifier[0]
        return x_BCHW * classifier.std_C11 + classifier.mean_C11

    def before_pooling(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) what is pooled over the images of a sample."""
        if self.head is not None:
            return self.features(x_BCHW)
        return self._classifier[0].before_pooling(self._pixels(x_BCHW))

    def after_pooling(self, h_BID: torch.Tensor, there_BI: torch.Tensor) -> torch.Tensor:
        """(B, K) what the network says of samples whose images are known by `before_pooling`."""
        if self.head is not None:
            return self._of_features(self._classifier[0].pooled(h_BID, there_BI))
        return self._scaled(self._classifier[0].after_pooling(h_BID, there_BI))

    def outputs(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) what the network says: logits, or values."""
        if self._classifier[0].intake.several:
            return self.after_pooling(*self._in_company(self.before_pooling(x_BCHW)))
        if self.head is not None:
            return self._of_features(self.features(x_BCHW))
        return self._scaled(self.backbone(x_BCHW))

    def _in_company(self, h_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, I, D) the explained images among the others of their samples, and (B, I) where there is one."""
        company = self.company or self._alone(h_BD)
        size = (len(h_BD), company.h_BID.shape[1])
        at_B1 = company.at_B.expand(len(h_BD))[:, None]
        is_own_BI = torch.arange(size[1], device=h_BD.device) == at_B1
        others_BID = company.h_BID.expand(*size, -1)
        h_BID = torch.where(is_own_BI[..., None], h_BD[:, None], others_BID)
        return h_BID, company.there_BI.expand(*size) | is_own_BI

    def _alone(self, h_BD: torch.Tensor) -> Company:
        """Samples of one image; a head of images side by side has all its places, and most are empty."""
        intake = self._classifier[0].intake
        places = intake.images if intake.pool == "concat" and intake.images else 1
        there_BI = torch.zeros(1, places, dtype=torch.bool, device=h_BD.device)
        at_B = torch.zeros(1, dtype=torch.int64, device=h_BD.device)
        return Company(h_BD.new_zeros(1, places, h_BD.shape[1]), there_BI, at_B)

    def within(self, company: Company) -> Explained:
        """The same network for images of these samples; weights and hooks are shared."""
        made = copy.copy(self)
        made.company = company
        return made

    def _of_features(self, x_BD: torch.Tensor) -> torch.Tensor:
        assert self.head is not None, "a network has no head on features"
        if self.head.n_beside:  # metadata at its mean: the explanation is of the image
            mean_E = self.head.mean_JD[0, -self.head.n_beside :]
            x_BD = torch.cat([x_BD, mean_E.expand(len(x_BD), -1)], dim=1)
        logits_JBK: torch.Tensor = self.head(x_BD[None])
        return logits_JBK.mean(0)

    def _scaled(self, given: torch.Tensor) -> torch.Tensor:
        if self.scale is not None:
            given = self.scale(given)
        logits: torch.Tensor = given if self.heads is None else self.heads(given)
        return logits

    def viewed_logits(self, outputs_BK: torch.Tensor) -> torch.Tensor:
        """(B, K) logits of what the network says; of a view (B, C)."""
        return outputs_BK @ self.map_CK.T + self.shift_C if self.viewed else outputs_BK

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) logits; of a view (B, C)."""
        return self.viewed_logits(self.outputs(x_BCHW))


def of_fold(
    config: Config,
    space: LabelSpace,
    committee: Committee,
    images: PreparedImages,
    fold: int,
    device: str,
    view: ColumnView | None = None,
) -> Net:
    """The network of a fold's weights; if several vote, the one with the largest share.

    `images` are the prepared training images; `view`: the label or value that is explained.

    Raises:
        ModelError: weights that do not fit the model, or no layer with a map.
    """
    at = max(range(len(committee.shares)), key=lambda m: committee.shares[m])
    state, hw = committee.states[at], config.images.hw
    notes = []
    if len(committee.states) > 1:
        share = committee.shares[at]
        notes.append(texts.ONE_OF_BAG.format(n=len(committee.states), fold=fold, share=percent(share)))
    if config.train.strategy == "linear_probe":
        head = restore_head(state, AttributeHeads.of(config.model, space))
        seeds = len(head.mean_JD)
        if seeds > 1:
            notes.append(worded(texts.MEAN_OF_HEADS, n=seeds))
        network = model.build(model.frozen(config.model), 2, 0, hw, intake=Intake.of(config))
        network.normalise_by(images, images.ids_N)
        module = Explained(network, head, view)
    else:
        restored = model.restore(config.model, space.n_classes, state, hw, space, Intake.of(config))
        module = Explained(restored, view=view)
    if Intake.of(config).several:
        notes.append(texts.OF_SEVERAL)
    if config.competition.metadata:
        notes.append(texts.METADATA_AT_MEAN)
    return of_module(module, fold, hw, device, config.explain.min_grid, tuple(notes))


def of_module(
    module: Explained, fold: int, hw: tuple[int, int], device: str, min_grid: int, notes: tuple[str, ...] = ()
) -> Net:
    """A network ready to be explained: on its device, in eval mode, with fixed weights.

    In-place operations are switched off: they would change a layer's output after it was read.

    Raises:
        ModelError: no layer has a map as output.
    """
    classifier = module._classifier[0].to(device)
    module = module.to(device).eval().requires_grad_(False)
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(fold)
    x_1CHW = torch.randn(1, classifier.depth, *hw, generator=generator).to(device)
    places, cam = layers.find(module, x_1CHW, min_grid)
    return Net(
        fold=fold,
        module=module,
        backbone=module.backbone,
        features=module.features,
        mean_C11=classifier.mean_C11,
        std_C11=classifier.std_C11,
        layers=places,
        cam=cam,
        weights_KC=averaged(module, places[-1], x_1CHW),
        notes=notes,
    )


def in_company(net: Net, rows_BHWE: Pixels, at_B: Ints) -> Net:
    """The network for one image of each of these samples, whose other images stay as they are.

    Args:
        net: of the fold.
        rows_BHWE: uint8, the images of each sample one behind the other; see `data/several.py`.
        at_B: the place of the explained image of each.
    """
    assert isinstance(net.module, Explained), "the network must be made by `of_module`"
    h_BID, there_BI = known_images(net, rows_BHWE)
    company = Company(h_BID, there_BI, torch.from_numpy(np.asarray(at_B, np.int64)).to(h_BID.device))
    # Only of a mean the share of an image in the logits is linear in its own maps.
    weights_KC = net.weights_KC if net.module._classifier[0].intake.pool == "mean" else None
    return replace(net, module=net.module.within(company), weights_KC=weights_KC)


def known_images(net: Net, rows_BHWE: Pixels) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, I, D) what the network knows of each image of these samples, and (B, I) where there is one."""
    assert isinstance(net.module, Explained), "the network must be made by `of_module`"
    channels = len(net.mean_C11)
    of_image_BIHWC = np.stack(np.split(rows_BHWE, rows_BHWE.shape[3] // channels, axis=3), axis=1)
    there_BI = of_image_BIHWC.any(axis=(2, 3, 4))
    x_NHWC = of_image_BIHWC[there_BI]
    with torch.no_grad():
        parts = [
            net.module.before_pooling(net.normalise(x_NHWC[start : start + IMAGES_AT_ONCE]))
            for start in range(0, len(x_NHWC), IMAGES_AT_ONCE)
        ]
    h_ND = torch.cat(parts)
    h_BID = h_ND.new_zeros(*there_BI.shape, h_ND.shape[1])
    there = torch.from_numpy(there_BI).to(h_ND.device)
    h_BID[there] = h_ND
    return h_BID, there


def averaged(module: Explained, last: Layer, x_1CHW: torch.Tensor) -> torch.Tensor | None:
    """(K, C) weights if logits are linear in the average of the last maps (checked by an image); or None."""
    linear = _linear(module)
    if linear is None:
        return None
    weight_KD, bias_K = linear
    if module.viewed:
        weight_KD, bias_K = module.map_CK @ weight_KD, module.map_CK @ bias_K + module.shift_C
    with torch.no_grad(), layers.outputs(module, [last.name]) as seen:
        logits_BK = module(x_1CHW)
        mean_BC = last.maps(seen[last.name]).mean((2, 3))
    if mean_BC.shape[1] != weight_KD.shape[1]:
        return None
    by_hand = mean_BC @ weight_KD.T + bias_K
    scale = logits_BK.abs().max().clamp_min(1e-6)
    return weight_KD if bool((by_hand - logits_BK).abs().max() <= _SAME * scale) else None


def _linear(module: Explained) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Weights and bias of the only linear layer after the features; None: other layers follow too."""
    head = module.head
    if head is not None:
        if not isinstance(head, HeadStack) or isinstance(head.out, Cosine) or head.hidden is not None:
            return None
        if head.by_attribute is not None:
            return None
        weight_KD = (head.out.weight / head.std_JD[:, None]).mean(0)
        shift_JK = (head.out.weight @ (head.mean_JD / head.std_JD)[..., None])[..., 0]
        return weight_KD, (head.out.bias - shift_JK).mean(0)
    names = {key.rpartition(".")[0] for key in classifier_keys(module.backbone)}
    last = module.backbone.get_submodule(names.pop()) if len(names) == 1 else None
    if module.heads is not None or not isinstance(last, nn.Linear) or last.bias is None:
        return None
    return last.weight, last.bias


Score = Callable[[torch.Tensor], torch.Tensor]


def of_class(classes_B: Sequence[int], rather_than_B: Sequence[int] | None = None) -> Score:
    """(B,) the logit of one class per image, minus that of another class if given."""

    def score(logits_BK: torch.Tensor) -> torch.Tensor:
        at_B = torch.arange(len(logits_BK), device=logits_BK.device)
        own_B = logits_BK[at_B, torch.tensor(classes_B, device=logits_BK.device)]
        if rather_than_B is None:
            return own_B
        return own_B - logits_BK[at_B, torch.tensor(rather_than_B, device=logits_BK.device)]

    return score


def log_odds(logits_BK: torch.Tensor, classes_B: Sequence[int]) -> torch.Tensor:
    """(B,) log-odds of a class against all others; unlike a probability near 1, they still change evenly."""
    at_B = torch.arange(len(logits_BK), device=logits_BK.device)
    own_B = torch.tensor(classes_B, device=logits_BK.device)
    others_BK = logits_BK.clone()
    others_BK[at_B, own_B] = -torch.inf
    return logits_BK[at_B, own_B] - others_BK.logsumexp(1)
