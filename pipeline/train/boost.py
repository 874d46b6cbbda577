"""Boosting's arithmetic: what a member's failures mean for the next one's weights, and for its vote.

Owns the formulas. Does not own training the members, nor where their failures are honest
(`train/members.py`).

Source: Zhu, Zou, Rosset & Hastie, Multi-class AdaBoost (Statistics and Its Interface 2, 2009),
algorithm 2 (SAMME): with C classes, a member of weighted error e has the vote
alpha = log((1 - e) / e) + log(C - 1), and what it failed is multiplied by exp(alpha). One departure:
members vote with their probabilities instead of their labels, since an ensemble blends probabilities.

Legend: N training samples, M members, C classes that occur.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats

Bools = npt.NDArray[np.bool_]


def alpha(failed_N: Bools, weights_N: Floats, n_classes: int) -> float:
    """A member's vote, ≥ 0: 0 where it is no better than guessing.

    Args:
        failed_N: which samples it got wrong.
        weights_N: what the samples weigh, ≥ 0; only their proportions count.
        n_classes: C, ≥ 2.
    """
    weights = weights_N.astype(np.float64)
    error = float(weights[failed_N].sum() / weights.sum())
    # A member without a failure would have an endless vote: half a sample is the finest that can be seen.
    least = 0.5 / len(failed_N)
    error = min(max(error, least), 1 - least)
    return max(float(np.log((1 - error) / error) + np.log(n_classes - 1)), 0.0)


def reweighted(weights_N: Floats, failed_N: Bools, vote: float, rate: float) -> Floats:
    """(N,) the next member's weights, with mean 1.

    Args:
        weights_N: of the member that failed.
        failed_N: which samples it got wrong.
        vote: its alpha; a member that was no better than guessing (0) changes no weight.
        rate: shrinks the step, above 0, at most 1.
    """
    weights = weights_N.astype(np.float64) * np.where(failed_N, np.exp(rate * vote), 1.0)
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def shares(votes: Sequence[float]) -> tuple[float, ...]:
    """The members' shares of the vote, summing to 1; equal where no member beats guessing."""
    total = sum(votes)
    return tuple(vote / total for vote in votes) if total > 0 else (1 / len(votes),) * len(votes)
