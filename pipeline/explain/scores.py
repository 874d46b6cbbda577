"""What of the logits is explained: a class, or one class rather than another.

Owns these scores. Does not own maps of them. Legend: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Score = Callable[[torch.Tensor], torch.Tensor]


def of_class(classes_B: Sequence[int], rather_than_B: Sequence[int] | None = None) -> Score:
    """(B,) the logit of a class of each image, less that of another one if such are named."""

    def score(logits_BK: torch.Tensor) -> torch.Tensor:
        at_B = torch.arange(len(logits_BK), device=logits_BK.device)
        found = logits_BK[at_B, torch.tensor(classes_B, device=logits_BK.device)]
        if rather_than_B is None:
            return found
        return found - logits_BK[at_B, torch.tensor(rather_than_B, device=logits_BK.device)]

    return score


def log_odds(logits_BK: torch.Tensor, classes_B: Sequence[int]) -> torch.Tensor:
    """(B,) log-odds of a class against all others: it falls evenly where a probability of .99 hides all."""
    at_B = torch.arange(len(logits_BK), device=logits_BK.device)
    own_B = torch.tensor(classes_B, device=logits_BK.device)
    others_BK = logits_BK.clone()
    others_BK[at_B, own_B] = -torch.inf
    return logits_BK[at_B, own_B] - others_BK.logsumexp(1)
