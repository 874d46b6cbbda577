"""Losses for long tails: class weights, margins and priors, all from the counts of the training rows.

Owns what counts do to a loss. Does not own the other formulas (`train/loss_formulas.py`). A class without a
row counts as one with a single row: soft targets may name it all the same.

Legend: B rows, C classes.
"""

import math

import torch

from pipeline.core.errors import ConfigError
from pipeline.settings.losses import OneLossSettings, hand_faults
from pipeline.train.targets import ClassFacts


def present_counts(facts: ClassFacts) -> torch.Tensor:
    """(C,) training rows of each class, at least 1, in double precision."""
    return torch.from_numpy(facts.counts_C.copy()).double().clamp_min(1)


def class_weights(settings: OneLossSettings, facts: ClassFacts) -> torch.Tensor | None:
    """(C,) how much a row counts by its class, scaled to a mean of 1 over the training rows; None: alike.

    inverse: 1/n. effective: (1 - β)/(1 - β^n); β 0 weighs all alike, β towards 1 is inverse. hand: as given.

    Raises:
        ConfigError: weights by hand that name other classes; all of them are told.

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
    """Whether class weights still wait: they start at epoch ⌊defer · epochs⌋, counted from 0.

    Source: deferred re-weighting, Cao et al., https://arxiv.org/abs/1906.07413, algorithm 1.
    """
    # The smallest summand mends products such as 0.29 * 100 = 28.999….
    return epoch < math.floor(settings.defer * epochs + 1e-9)


def margins(facts: ClassFacts, max_margin: float) -> torch.Tensor:
    """(C,) margins ∝ n^(-1/4), `max_margin` for the rarest class.

    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 13.
    """
    counts_C = present_counts(facts)
    return max_margin * (counts_C.min() / counts_C).pow(0.25)


def ldam_terms(logits_BC: torch.Tensor, margin_C: torch.Tensor, scale: float) -> torch.Tensor:
    """(B, C) cross-entropy of scale · logits, where the label's logit is lowered by its margin.

    Margins 0: cross-entropy of scaled logits. The paper's network has a cosine classifier, whose logits
    are bounded; a linear one can outgrow its margins, and weight decay is what holds it.
    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 12.
    """
    # In double precision: 1 - p meets exp(-scale · margin), far below float32's digits.
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
