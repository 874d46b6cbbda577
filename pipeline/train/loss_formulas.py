"""Formulas of losses: the loss of each row if a class were its label, soft macro-F1, and terms from counts.

Owns the formulas, those for long tails included (class weights, margins and priors from the counts of the
training rows). Does not own which loss the settings name (`train/losses.py`).

A loss is linear in its target wherever it can be: `terms` give (B, C), the loss of each row if class c
were its label, and a row whose target is a distribution has their weighted mean. Mixed images and soft
labels then need no special case: the loss of a mix is the mix of the losses.

A class without a training row counts as one with a single row, since soft targets may still name it.

Legend: B rows, C classes, K values of an ordered attribute.
"""

import math
from collections.abc import Callable

import torch

from pipeline.core.errors import ConfigError
from pipeline.settings.loss import OneLossSettings, hand_faults
from pipeline.train.targets import ClassFacts

Terms = Callable[[torch.Tensor], torch.Tensor]
Rows = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def wide(logits_BC: torch.Tensor) -> torch.Tensor:
    """The same numbers in float32, or double if they are double: half precision is too coarse for a loss."""
    return logits_BC if logits_BC.dtype == torch.float64 else logits_BC.float()


def smooth_targets(target_BC: torch.Tensor, smoothing: float) -> torch.Tensor:
    """(B, C) targets: 1 - smoothing of what they were, plus smoothing spread evenly over all classes.

    Source: Szegedy et al., https://arxiv.org/abs/1512.00567, section 7.
    """
    return target_BC * (1 - smoothing) + smoothing / target_BC.shape[-1]


def rows_of(terms: Terms, smoothing: float = 0.0, weight_C: torch.Tensor | None = None) -> Rows:
    """(logits_BC, target_BC) -> (B,) of a loss that is linear in its target.

    Args:
        terms: from (B, C) logits, not in half precision, to the loss if each class were the label.
        smoothing: label smoothing, 0 to 1.
        weight_C: class weights > 0. A row is divided by its own weight (of the target before smoothing),
            and the loop multiplies by it: together that is torch's weighted cross-entropy.
    """

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        term_BC = terms(wide(logits_BC))
        target_BC = target_BC.to(term_BC.dtype)
        loss_BC = smooth_targets(target_BC, smoothing) * term_BC
        if weight_C is None:
            return loss_BC.sum(-1)
        weight = weight_C.to(term_BC)
        return (loss_BC * weight).sum(-1) / (target_BC * weight).sum(-1)

    return rows


def cross_entropy_terms(logits_BC: torch.Tensor) -> torch.Tensor:
    """(B, C) negative log-probabilities."""
    return -logits_BC.log_softmax(-1)


def focal_terms(logits_BC: torch.Tensor, gamma: float) -> torch.Tensor:
    """(B, C) cross-entropy weighted by (1 - p)^gamma.

    The weight depends on difficulty, not on class frequency; gamma 0 is cross-entropy. The paper's α, a
    factor per class, is `loss.class_weights`.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, equations 4 and 5.
    """
    log_p_BC = logits_BC.log_softmax(-1)
    return -log_p_BC if gamma == 0 else -_missed(log_p_BC).pow(gamma) * log_p_BC


def _missed(log_p_BC: torch.Tensor) -> torch.Tensor:
    """1 - p; expm1 is exact near p = 1, and the clamp avoids the infinite slope at 0 for gamma < 1."""
    return (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(log_p_BC.dtype).eps)


def asymmetric_terms(
    logits_BC: torch.Tensor, gamma_pos: float, gamma_neg: float, smoothing: float
) -> torch.Tensor:
    """(B, C) asymmetric loss of single labels: the smoothed mass of other classes is weighted by p^gamma_neg.

    If c is the label: (1 - ε + ε/C) (1 - p_c)^gamma_pos (-log p_c) + ε/C Σ_{j≠c} p_j^gamma_neg (-log p_j).
    Both gammas 0: cross-entropy with label smoothing ε.
    Source: Ridnik et al., https://arxiv.org/abs/2009.14119, in the single-label form of their code,
    https://github.com/Alibaba-MIIL/ASL.
    """
    log_p_BC = logits_BC.log_softmax(-1)
    spread = smoothing / logits_BC.shape[-1]
    other_BC = -(gamma_neg * log_p_BC).exp() * log_p_BC
    others_BC = other_BC.sum(-1, keepdim=True) - other_BC
    return (1 - smoothing + spread) * focal_terms(logits_BC, gamma_pos) + spread * others_BC


def ordinal_terms(logits_BK: torch.Tensor) -> torch.Tensor:
    """(B, K) sum over thresholds of the binary cross-entropy of "above it".

    A miss by two values costs more than a miss by one. With two values it is cross-entropy.
    Source: Cao, Mirjalili & Raschka (CORAL), https://arxiv.org/abs/1901.07884, equation 4, on the
    probabilities P(y > k) that the softmax of these logits gives.
    """
    log_p_BK = logits_BK.log_softmax(-1)
    size = logits_BK.shape[-1]
    above = torch.stack([log_p_BK[..., k + 1 :].logsumexp(-1) for k in range(size - 1)], -1)
    below = torch.stack([log_p_BK[..., : k + 1].logsumexp(-1) for k in range(size - 1)], -1)
    # Row c, column k: whether value c lies above threshold k.
    is_above_KT = torch.ones(size, size - 1, dtype=above.dtype, device=above.device).tril(-1)
    return -(above @ is_above_KT.T + below @ (1 - is_above_KT).T)


def soft_f1_loss(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
    """1 - macro-F1 with probabilities instead of counts, 0 to 1: one figure for the batch.

    F1 of a class: 2 Σ t p / (Σ t + Σ p), sums over the batch; the mean is over the classes that occur in
    the batch, since any other has an F1 of 0 whatever is predicted.
    Source: Eban et al., https://arxiv.org/abs/1608.04802, the relaxation of counts by probabilities.
    """
    p_BC = wide(logits_BC).softmax(-1)
    target_BC = target_BC.to(p_BC.dtype)
    hits, support = (p_BC * target_BC).sum(-2), target_BC.sum(-2)
    # A class without rows and without predictions (p underflows to 0) would be 0 / 0.
    f1 = 2 * hits / (p_BC.sum(-2) + support).clamp_min(torch.finfo(p_BC.dtype).tiny)
    occurs = (support > 0).to(f1.dtype)
    return 1 - (f1 * occurs).sum(-1) / occurs.sum(-1)


def present_counts(facts: ClassFacts) -> torch.Tensor:
    """(C,) training rows of each class, at least 1, in double precision."""
    return torch.from_numpy(facts.counts_C.copy()).double().clamp_min(1)


def class_weights(settings: OneLossSettings, facts: ClassFacts) -> torch.Tensor | None:
    """(C,) class weights, scaled to a mean of 1 over the training rows; None: all equal.

    inverse: 1/n. effective: (1 - β)/(1 - β^n); β = 0 gives equal weights, β towards 1 is inverse. hand: as
    given.

    Raises:
        ConfigError: weights by hand for other classes; it lists all of them.

    Source: Cui et al., https://arxiv.org/abs/1901.05555, equation 4.
    """
    counts_C = present_counts(facts)
    if settings.class_weights == "none":
        return None
    if settings.class_weights == "inverse":
        weight_C = 1 / counts_C
    elif settings.class_weights == "effective":
        weight_C = 1 / (1 - settings.beta**counts_C)
    else:
        if faults := hand_faults(settings.hand, facts.space.classes):
            raise ConfigError("loss.hand: does not fit the classes", faults)
        weight_C = torch.tensor([(settings.hand or {})[name] for name in facts.space.classes]).double()
    shown_C = torch.from_numpy(facts.counts_C.copy()).double()
    return (weight_C * shown_C.sum() / (shown_C * weight_C).sum()).float()


def deferred(settings: OneLossSettings, epoch: int, epochs: int) -> bool:
    """Whether class weights are still off: they start at epoch ⌊defer · epochs⌋, counted from 0.

    Source: deferred re-weighting, Cao et al., https://arxiv.org/abs/1906.07413, algorithm 1.
    """
    # The small summand corrects products such as 0.29 * 100 = 28.999….
    return epoch < math.floor(settings.defer * epochs + 1e-9)


def margins(facts: ClassFacts, max_margin: float) -> torch.Tensor:
    """(C,) margins ∝ n^(-1/4), `max_margin` for the rarest class.

    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 13.
    """
    counts_C = present_counts(facts)
    return max_margin * (counts_C.min() / counts_C).pow(0.25)


def ldam_terms(logits_BC: torch.Tensor, margin_C: torch.Tensor, scale: float) -> torch.Tensor:
    """(B, C) cross-entropy of scale · logits, where the logit of the label is reduced by its margin.

    With margins of 0 it is cross-entropy of scaled logits. The paper's network has a cosine classifier, whose
    logits are bounded; those of a linear classifier can outgrow the margins, which only weight decay limits.
    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 12.
    """
    # In double precision: exp(-scale · margin), compared with 1 - p, is far below the precision of float32.
    log_p_BC = (scale * logits_BC.double()).log_softmax(-1)
    missed_BC = (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(torch.float64).eps)
    kept_BC = log_p_BC - scale * margin_C.to(log_p_BC)
    return (torch.logaddexp(missed_BC.log(), kept_BC) - kept_BC).to(logits_BC.dtype)


def log_priors(facts: ClassFacts) -> torch.Tensor:
    """(C,) log of each class's share of the training rows."""
    counts_C = present_counts(facts)
    return (counts_C / counts_C.sum()).log()


def adjusted_terms(logits_BC: torch.Tensor, shift_C: torch.Tensor) -> torch.Tensor:
    """(B, C) cross-entropy of logits + shift; the network predicts with its plain logits.

    Logit adjustment: shift = τ log prior (Menon et al., https://arxiv.org/abs/2007.07314, equation 10).
    Balanced softmax: shift = log count (Ren et al., https://arxiv.org/abs/2007.10740, equation 4), which
    is logit adjustment with τ = 1.
    """
    return -(logits_BC + shift_C.to(logits_BC)).log_softmax(-1)
