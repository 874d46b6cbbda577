"""A classifier of angles: its logits are the scaled cosines between the features and centres of the classes.

Owns the layer behind `model.heads=cosine`, for networks and for heads on cached features, and putting it in
the place of a network's linear classifier. Does not own the margins that train it (`train/losses.py`:
arcface), nor features (`nets/model.py`, `train/heads.py`).

With thousands of classes of one or two images a linear layer learns how long the weights of a class are,
which is mostly how frequent it is. Cosines leave the direction alone, so that a class of one image answers as
loudly as one of a hundred. A class may have several centres, of which the nearest counts: odd images of a
class get a centre of their own, instead of pulling at the only one.

Source: Wang et al., NormFace, https://arxiv.org/abs/1704.06369, for scaled cosines; Deng et al., ArcFace,
https://arxiv.org/abs/1801.07698; Deng et al., Sub-center ArcFace (ECCV 2020) for several centres.

Legend: B rows, D features, C classes, S centres of a class, J heads side by side.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pipeline.core.errors import ModelError
from pipeline.core.language import _
from pipeline.settings.model import ModelSettings

# The least length of a centre: one of length 0 would be divided by 0.
_LEAST_LENGTH = 1e-12


@dataclass(frozen=True)
class Angles:
    """The form of a classifier of angles.

    Args:
        scale: factor on the cosines, > 0: the largest logit.
        centres: S, at least 1.
    """

    scale: float
    centres: int

    @staticmethod
    def of(settings: ModelSettings) -> "Angles | None":
        """The form that the settings ask for; None for other heads."""
        return Angles(settings.scale, settings.centres) if settings.heads == "cosine" else None


class Cosine(nn.Module):
    """A layer in place of the last linear one: (…, B, D) features to (…, B, C) logits within ± the scale.

    The centres start in random directions: at zero they would have none. Only their directions count.

    Args:
        in_features: D.
        out_features: C.
        angles: scale and number of centres.
        heads: J, for heads side by side; None: one layer.
    """

    def __init__(self, in_features: int, out_features: int, angles: Angles, heads: int | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features, self.angles = in_features, out_features, angles
        lead = () if heads is None else (heads,)
        self.weight = nn.Parameter(torch.empty(*lead, out_features * angles.centres, in_features))
        self.start()

    def start(self, generator: torch.Generator | None = None, head: int | None = None) -> None:
        """Draw all centres, or those of one head, from this generator or torch's own."""
        weight = self.weight if head is None else self.weight[head]
        with torch.no_grad():
            weight.normal_(std=self.in_features**-0.5, generator=generator)

    def widened(self, in_features: int) -> "Cosine":
        """A new layer of the same form for other features."""
        return Cosine(in_features, self.out_features, self.angles)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits in float32: half precision would round a scaled cosine to a tenth."""
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._logits(x.float())
        return self._logits(x)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.normalize(x, dim=-1)
        cosines: torch.Tensor
        if self.training and torch.is_grad_enabled():
            cosines = _Cosines.apply(x, self.weight)
        else:
            cosines, _lengths = _cosines(x, self.weight)
        if self.angles.centres > 1:
            cosines = cosines.reshape(*x.shape[:-1], self.out_features, self.angles.centres).amax(-1)
        return self.angles.scale * cosines


def _cosines(x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(…, B, C·S) products of features of length 1 with the directions of the centres, and these' lengths."""
    lengths = torch.linalg.vector_norm(weight, dim=-1).clamp_min(_LEAST_LENGTH).unsqueeze(-2)
    return x @ weight.transpose(-1, -2) / lengths, lengths


class _Cosines(torch.autograd.Function):
    """`_cosines` with a gradient that passes over the weights once.

    What autograd would derive passes over them several times, with new memory for each, which with thousands
    of classes is most of a step (benchmarks/many_classes.py). It has no second derivative.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        cosines, lengths = _cosines(x, weight)
        ctx.save_for_backward(x, weight, lengths, cosines)
        return cosines

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        x, weight, lengths, cosines = ctx.saved_tensors
        slope = slope / lengths
        of_x = slope @ weight if ctx.needs_input_grad[0] else None
        # The length of a centre changes no cosine, so the part of the slope along the centre is taken away.
        along = (slope * cosines).sum(-2, keepdim=True) / lengths
        of_weight = (slope.transpose(-1, -2) @ x).addcmul_(weight, along.transpose(-1, -2), value=-1)
        return of_x, of_weight


def classifier_layer(backbone: nn.Module) -> nn.Linear | Cosine | None:
    """The layer that makes the outputs of the features; None where none is known."""
    name = getattr(backbone, "pretrained_cfg", {}).get("classifier")
    layer = backbone.get_submodule(name) if isinstance(name, str) else None
    return layer if isinstance(layer, nn.Linear | Cosine) else None


def to_cosines(backbone: nn.Module, name: str, n_classes: int, angles: Angles) -> None:
    """Replace the linear classifier, in place.

    Raises:
        ModelError: the network has none that is known.
    """
    layer = classifier_layer(backbone)
    if layer is None:
        raise ModelError(
            _("model.heads=cosine: {name} has no known linear classifier to replace").format(name=name),
            remedy=_("choose model.heads=joint, or a network of timm with a linear classifier"),
        )
    config: Any = backbone.pretrained_cfg
    parent, _dot, child = str(config["classifier"]).rpartition(".")
    setattr(backbone.get_submodule(parent), child, Cosine(layer.in_features, n_classes, angles))


def wider(layer: nn.Linear | Cosine, width: int) -> nn.Linear | Cosine:
    """A new classifier of the same outputs for other features."""
    if isinstance(layer, Cosine):
        return layer.widened(width)
    together = nn.Linear(width, layer.out_features)
    nn.init.zeros_(together.weight)
    nn.init.zeros_(together.bias)
    return together
