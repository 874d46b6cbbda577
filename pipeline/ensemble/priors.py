"""Prior correction: probabilities of a model that learned one class balance, for images of another.

Owns Bayes' rule for a changed prior, and estimating the new one without labels. Does not own when it is
used (`decision.py`) nor what training showed (`resample/indices.py`).

Source: Saerens, Latinne & Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities
(Neural Computation 2002): p'(c|x) ∝ p(c|x) · new_c / old_c, and the EM estimate of `new`.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.formulas import Reals
from pipeline.core.samples import Floats, Ints

ROUNDS = 200
CLOSE = 1e-6
FLOOR = 1e-12


def counted(counts_C: Ints | Reals) -> Reals:
    """(C,) shares of these counts; half a sample more each, as no class is impossible."""
    padded_C = np.asarray(counts_C, dtype=np.float64) + 0.5
    return np.asarray(padded_C / padded_C.sum(), dtype=np.float64)


def corrected(p_NC: Floats, old_C: Reals, new_C: Reals) -> Floats:
    """Probabilities for a new prior, rows summing to 1.

    Args:
        p_NC: of a model that learned `old_C`.
        old_C: shares of the classes among the training rows, > 0.
        new_C: shares among the images that are judged, ≥ 0.
    """
    moved_NC = np.maximum(p_NC.astype(np.float64), FLOOR) * (new_C / old_C)
    return np.asarray(moved_NC / moved_NC.sum(axis=1, keepdims=True), dtype=np.float32)


def estimated(p_NC: Floats, old_C: Reals) -> Reals:
    """(C,) the prior of these very images, by EM on their probabilities; no label is needed.

    It trusts the probabilities: where they are badly calibrated, so is the estimate.

    Args:
        p_NC: at least one row, of a model that learned `old_C`.
        old_C: shares of the classes among the training rows, > 0.
    """
    new_C = old_C
    for _ in range(ROUNDS):
        last_C, new_C = new_C, corrected(p_NC, old_C, new_C).mean(axis=0, dtype=np.float64)
        if np.abs(new_C - last_C).max() < CLOSE:
            break
    return np.asarray(new_C / new_C.sum(), dtype=np.float64)
