"""The network of one fold as a `Net`, made from trained weights, and the scores of its logits to explain.

Owns putting backbone, classes and head together into one module of normalised pixels, finding out whether
classification is linear after average pooling, and the scores: a class, one class rather than another, or
log-odds. Does not own building or restoring networks (`nets/model.py`, `train/heads.py`) or maps.

Legend: B images, C channels, H height, W width, D features, K classes, J heads, h and w of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn

from pipeline.core.samples import LabelSpace
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
from pipeline.pages.report import percent
from pipeline.settings.schema import Config
from pipeline.train.committee import Committee
from pipeline.train.heads import Head, HeadStack, restore_head

# Logits of a linear classification on averaged maps may differ from the network's by this share.
_SAME = 1e-3


class Explained(nn.Module):
    """Logits of normalised pixels: a network, or a frozen backbone and a fold's heads, which are averaged.

    With a view they are the logits of its classes.
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
        self.head = head
        # In a tuple, so that no parameter is registered twice.
        self._classifier = (classifier,)

    def features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) pooled features."""
        classifier = self._classifier[0]
        return classifier.features(x_BCHW * classifier.std_C11 + classifier.mean_C11)

    def outputs(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) what the network says: logits, or values."""
        if self.head is not None:
            x_BD = self.features(x_BCHW)
            if self.head.n_beside:  # metadata at its mean: the explanation is of the image
                mean_E = self.head.mean_JD[0, -self.head.n_beside :]
                x_BD = torch.cat([x_BD, mean_E.expand(len(x_BD), -1)], dim=1)
            logits_JBK: torch.Tensor = self.head(x_BD[None])
            return logits_JBK.mean(0)
        given: torch.Tensor = self.backbone(x_BCHW)
        if self.scale is not None:
            given = self.scale(given)
        logits: torch.Tensor = given if self.heads is None else self.heads(given)
        return logits

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) logits; of a view (B, C)."""
        logits = self.outputs(x_BCHW)
        return logits @ self.map_CK.T + self.shift_C if self.viewed else logits


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
