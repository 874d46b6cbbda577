"""A loss per attribute, summed: each sees its attribute's own probabilities, targets and counts.

Owns taking classes apart into attributes and adding up. Does not own the losses (`train/losses.py` makes
them) or the heads (`nets/attributes.py`).

With cross-entropy and shares of 1 the sum is the cross-entropy of the class, since the heads multiply.
Class weights scale an attribute's rows to a mean weight of 1 over the training rows, instead of dividing
by the weight of a window: several attributes cannot share one divisor.

Legend: B rows, C classes, K values of one attribute.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from pipeline.core.samples import LabelSpace
from pipeline.train.loss_formulas import Rows, wide
from pipeline.train.targets import ClassFacts


def attribute_facts(facts: ClassFacts, attribute: int) -> ClassFacts:
    """What the loss of one attribute may know: its values as classes, and their counts."""
    space = LabelSpace.product([facts.space.attributes[attribute]])
    codes_C = facts.space.codes_CA[:, attribute]
    counts = np.bincount(codes_C, weights=facts.counts_C, minlength=space.n_classes)
    return ClassFacts(space, counts.astype(np.float32))


def classes_of(space: LabelSpace, attribute: int) -> list[torch.Tensor]:
    """Which classes have each value of an attribute, as indices; every value is part of some class."""
    codes_C = space.codes_CA[:, attribute]
    size = len(space.attributes[attribute].values)
    return [torch.from_numpy(np.flatnonzero(codes_C == k)) for k in range(size)]


def log_marginal(log_p_BC: torch.Tensor, classes_K: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, K) log-probabilities of an attribute's values, from those of the classes that have them."""
    at_K = [classes.to(log_p_BC.device) for classes in classes_K]
    return torch.stack([log_p_BC.index_select(-1, at).logsumexp(-1) for at in at_K], -1)


def marginal_target(target_BC: torch.Tensor, classes_K: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, K) targets of an attribute: class columns summed by its value."""
    at_K = [classes.to(target_BC.device) for classes in classes_K]
    return torch.stack([target_BC.index_select(-1, at).sum(-1) for at in at_K], -1)


def summed(
    space: LabelSpace,
    rows_A: Sequence[Rows],
    weigh_A: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    share_A: Sequence[float],
) -> Rows:
    """(logits_BC, target_BC) -> (B,) of all attributes' losses.

    Args:
        space: the classes and their attributes.
        rows_A: the loss of each attribute, on (B, K).
        weigh_A: from (B, K) targets to how much each row counts there.
        share_A: factor of each attribute.
    """
    classes_AK = [classes_of(space, attribute) for attribute in range(len(space.attributes))]

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        log_p_BC = wide(logits_BC).log_softmax(-1)
        total = torch.zeros_like(log_p_BC[..., 0])
        for classes_K, loss, weigh, share in zip(classes_AK, rows_A, weigh_A, share_A, strict=True):
            target_BK = marginal_target(target_BC.to(log_p_BC.dtype), classes_K)
            value_B = loss(log_marginal(log_p_BC, classes_K), target_BK)
            total = total + share * weigh(target_BK) * value_B
        return total

    return rows
