"""A head per attribute: the network's outputs as probabilities of attributes, and of classes.

Owns the meaning of `model.heads=attributes`. Does not own the network (`nets/model.py`) or the losses of
attributes (`train/losses.py`).

The classifier has one block of outputs per attribute. Attributes are assumed to be independent given the
image: the log-probability of a class is the sum of its values' log-probabilities, so the result is (B, C) as
for any network. If some combination of values is not a class, the softmax that follows renormalises.

An unordered attribute of K values has K outputs. An ordered one has K - 1 thresholds: P(y > 0) comes from
the first, and each further one lowers it, so that P(y > k) falls with k and no probability is negative.
Outputs of zero, with which a new classifier starts, give equal probabilities.

Legend: B rows, C classes, A attributes, K values of an attribute (or of all, in turn), O outputs,
T = K - 1 thresholds.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.core.samples import LabelSpace
from pipeline.settings.model import ModelSettings


class AttributeHeads(nn.Module):
    """From the outputs of all blocks to log-probabilities of classes. It has no weights.

    Args:
        space: the classes and their attributes.
        ordinal: names of the attributes whose values are ordered.
    """

    belongs_KC: torch.Tensor

    def __init__(self, space: LabelSpace, ordinal: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.space = space
        self.ordinal = ordinal
        made_of = [
            np.arange(len(attribute.values))[:, None] == space.codes_CA[:, number]
            for number, attribute in enumerate(space.attributes)
        ]
        # The values of each class, over all attributes; of the competition, so not in the state dict.
        self.register_buffer("belongs_KC", torch.from_numpy(np.vstack(made_of)).float(), persistent=False)

    @staticmethod
    def of(settings: ModelSettings, space: LabelSpace | None) -> "AttributeHeads | None":
        """The heads of the settings; None for one output per class, or if classes are not needed."""
        if settings.heads != "attributes" or space is None:
            return None
        return AttributeHeads(space, tuple(settings.ordinal))

    @property
    def sizes_A(self) -> list[int]:
        """Outputs of each attribute."""
        return [len(a.values) - (a.name in self.ordinal) for a in self.space.attributes]

    @property
    def n_outputs(self) -> int:
        """Outputs of the classifier, over all attributes."""
        return sum(self.sizes_A)

    def forward(self, outputs_BO: torch.Tensor) -> torch.Tensor:
        """(B, C) log-probabilities of the classes, in float32."""
        blocks = torch.split(outputs_BO.float(), self.sizes_A, dim=-1)
        parts = [
            ordinal_log_p(block) if attribute.name in self.ordinal else block.log_softmax(-1)
            for attribute, block in zip(self.space.attributes, blocks, strict=True)
        ]
        # No indexing (its gradient is summed in any order) and no matmul (autocast would halve it).
        return (torch.cat(parts, -1)[..., None] * self.belongs_KC).sum(-2)


def ordinal_log_p(outputs_BT: torch.Tensor) -> torch.Tensor:
    """(B, K) log-probabilities of ordered values from K - 1 outputs.

    The logit of P(y > k) is the first output for k = 0, and falls by softplus(output k) from k - 1 to k;
    constants are added so that zeros give 1/K each.
    Source: Frank & Hall, A Simple Approach to Ordinal Classification (ECML 2001), for a probability per
    threshold; falling cut points as in cumulative link models (McCullagh 1980, JRSS B).
    """
    size = outputs_BT.shape[-1] + 1
    even = [math.log((size - k - 1) / (k + 1)) for k in range(size - 1)]  # logit of P(y > k) at even odds
    # softplus(x + shift) at x = 0 is the step between two of them.
    shifts = [math.log(math.expm1(a - b)) for a, b in pairwise(even)]
    steps = functional.softplus(outputs_BT[..., 1:] + outputs_BT.new_tensor(shifts))
    cuts = [outputs_BT[..., 0] + even[0]]
    for step in steps.unbind(-1):
        cuts.append(cuts[-1] - step)
    cut_BT = torch.stack(cuts, -1)
    # P(y = k) = σ(a) - σ(b) with cuts a > b, as σ(a) σ(-b) (1 - exp(b - a)): nothing cancels.
    first, last = functional.logsigmoid(-cut_BT[..., :1]), functional.logsigmoid(cut_BT[..., -1:])
    middle = (
        functional.logsigmoid(cut_BT[..., :-1])
        + functional.logsigmoid(-cut_BT[..., 1:])
        + torch.log(-torch.expm1(-steps.clamp_min(torch.finfo(steps.dtype).tiny)))
    )
    return torch.cat([first, middle, last], -1)
