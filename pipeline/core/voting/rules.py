"""The rules by which members vote: what each puts in, and what becomes of the weighted mean of that.

Owns the registry of rules. Does not own joining members or weighing them (`vote.py`), nor finding
weights (`search.py`).

Every rule is a weighted mean of something: of probabilities (soft voting), of their logarithms
(geometric), of ranks within a class, or of labels (hard voting). So leaving a member out, or weighing
it anew, is the same few lines for all of them.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pipeline.core.formulas import LOG_FLOOR, Reals
from pipeline.core.samples import Floats

# A tie of labels falls to the class with more probability; no other count of labels is changed by it.
TIE_BREAK = 1e-3


@dataclass(frozen=True)
class Rule:
    """One way to vote.

    Args:
        name: as in the settings.
        prepare: (N, C) probabilities to what the member puts in, float32.
        finish: the weighted mean of that, weights summing to 1, to probabilities.
    """

    name: str
    prepare: Callable[[Floats], Floats]
    finish: Callable[[Reals], Floats]


def normalised(p_NC: Reals | Floats) -> Floats:
    """Rows scaled to sum to 1; a row of zeros becomes equal shares."""
    sums_N1 = p_NC.sum(axis=1, keepdims=True, dtype=np.float64)
    even = np.full_like(p_NC, 1 / p_NC.shape[1])
    return np.asarray(np.divide(p_NC, sums_N1, out=even, where=sums_N1 > 0), dtype=np.float32)


def log_floored(p_NC: Floats) -> Floats:
    """Log p, where p below 1.2e-7 counts as that: one certain member would else veto all the others."""
    return np.asarray(np.log(np.maximum(p_NC, LOG_FLOOR)), dtype=np.float32)


def softmax(logit_NC: Reals) -> Floats:
    """Probabilities of logits."""
    exp = np.exp(logit_NC - logit_NC.max(axis=1, keepdims=True))
    return normalised(exp)


def _ranks(p_NC: Floats) -> Floats:
    """In each class the share of samples that are given less of it; equal ones share their rank."""
    return np.asarray((rankdata(p_NC, axis=0) - 0.5) / len(p_NC), dtype=np.float32)


def _labels(p_NC: Floats) -> Floats:
    """1 for the most probable class, and a crumb of the probabilities to break ties."""
    votes = (TIE_BREAK * p_NC).astype(np.float32)
    votes[np.arange(len(p_NC)), p_NC.argmax(axis=1)] += 1 - TIE_BREAK
    return votes


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("mean", lambda p_NC: p_NC, normalised),
        Rule("geometric", log_floored, softmax),
        Rule("rank", _ranks, normalised),
        Rule("hard", _labels, normalised),
    )
}
