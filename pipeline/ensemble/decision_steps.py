"""One multiplier a class, so that the most probable class after scaling scores better.

Owns fitting the multipliers. Does not own when they are used (`decision.py`).

Coordinate ascent: one class at a time, all candidate multipliers at once. A sample is given the class as
soon as its multiplier passes a threshold of the sample's own, so the confusions of all candidates are
running sums of one histogram, and the search is exact for any metric of labels.

Multipliers are shrunk toward one: the score pays `shrink` times the mean squared logarithm. Without that,
a class of a few samples gets whatever multiplier catches one more of them.

Source: plug-in decision rules for F-measures, e.g. Narasimhan et al., Consistent Multiclass Algorithms for
Complex Performance Measures (ICML 2015); the search is ours.

Shape legend: N samples, C classes, K candidates.

Prior correction: probabilities of a model that learned one class balance, for images of another.

Owns Bayes' rule for a changed prior, and estimating the new one without labels. Does not own when it is
used (`decision.py`) nor what training showed (`resample/indices.py`).

Source: Saerens, Latinne & Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities
(Neural Computation 2002): p'(c|x) ∝ p(c|x) · new_c / old_c, and the EM estimate of `new`.

Shape legend: N samples, C classes.

Post-processing by a function of the user's own, the same on out-of-fold and on test probabilities.

Owns loading it, calling it and holding it to its word. Does not own when, nor whether it is kept
(`decision.py`).

Legend: N images, C classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.core.metrics import Metric, Reals
from pipeline.core.plugin import Own, described
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.targets import Target, normalised

# Logarithms of the candidates: a class may count from a fifth to five times as much, in steps of a tenth.
CANDIDATES = np.round(np.linspace(-1.6, 1.6, 33), 2)
PASSES = 20
# A gain below this is rounding.
TINY = 1e-9
FLOOR = 1e-12


def fit(p_NC: Floats, y_N: Ints, metric: Metric, shrink: float) -> Reals:
    """(C,) multipliers > 0 that score well on these rows; 1 for what gains nothing.

    Deterministic: classes in order, and among equals the multiplier nearest to one.

    Args:
        p_NC: probabilities.
        y_N: true class index of the same rows.
        metric: of labels.
        shrink: what the mean squared log multiplier costs, in units of the score, ≥ 0.
    """
    assert metric.on_counts is not None, f"{metric.name} judges no labels"
    log_NC = np.log(np.maximum(p_NC.astype(np.float64), FLOOR))
    log_C = np.zeros(p_NC.shape[1])
    for _ in range(PASSES):
        before_C = log_C.copy()
        for c in range(len(log_C)):
            log_C[c] = _best(log_NC, y_N, log_C, c, metric, shrink)
        if np.array_equal(before_C, log_C):
            break
    return np.exp(log_C)


def apply(p_NC: Floats, scale_C: Reals) -> Floats:
    """Probabilities times multipliers, rows summing to 1 again."""
    scaled_NC = np.maximum(p_NC.astype(np.float64), FLOOR) * scale_C
    return normalised(scaled_NC)


def _best(log_NC: Reals, y_N: Ints, log_C: Reals, c: int, metric: Metric, shrink: float) -> float:
    """The best log multiplier of one class, the others as they are."""
    others_NC = log_NC + log_C
    others_NC[:, c] = -np.inf
    rival_N = others_NC.argmax(axis=1)
    needs_N = others_NC[np.arange(len(y_N)), rival_N] - log_NC[:, c]
    counts_KCC = _confusions(y_N, rival_N, np.searchsorted(CANDIDATES, needs_N, side="right"), c, len(log_C))
    assert metric.on_counts is not None, "checked in fit"
    cost_K = shrink * (np.delete(log_C, c) @ np.delete(log_C, c) + CANDIDATES**2) / len(log_C)
    gain_K = metric.sign * metric.on_counts(counts_KCC) - cost_K
    # Where the multiplier stands now, unless another is truly better.
    now = int(np.searchsorted(CANDIDATES, log_C[c] - TINY))
    good_K = gain_K >= gain_K.max() - TINY
    if good_K[now]:
        return float(log_C[c])
    return float(min(CANDIDATES[good_K], key=abs))


def _confusions(y_N: Ints, rival_N: Ints, from_N: Ints, c: int, size: int) -> Reals:
    """(K, C, C) confusions: sample n is given `c` from candidate `from_N` on, and its rival before."""
    n_candidates = len(CANDIDATES)
    cell_N = (from_N * size + y_N) * size + rival_N
    left = np.bincount(cell_N, minlength=(n_candidates + 1) * size**2).astype(np.float64)
    left_KCC = left.reshape(n_candidates + 1, size, size)
    counts_KCC = left_KCC.sum(axis=0) - np.cumsum(left_KCC[:-1], axis=0)
    counts_KCC[:, :, c] += np.cumsum(left_KCC[:-1].sum(axis=2), axis=0)
    return np.asarray(counts_KCC, dtype=np.float64)


ROUNDS = 200
CLOSE = 1e-6


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
    return normalised(moved_NC)


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


SETTING = "decision.steps"


def load(name: str) -> Own:
    """The function behind `module:function`.

    Raises:
        ConfigError: it cannot be loaded.
    """
    return Own(name, Path.cwd(), SETTING)


def call(own: Own, p_NC: Floats, ids_N: Strings, groups_N: Strings, classes: tuple[str, ...]) -> Floats:
    """f(p_NC, ids_N, groups_N, classes) -> p_NC, called with copies; it sees no label.

    Args:
        own: the function.
        p_NC: probabilities.
        ids_N: of the images, in the same order.
        groups_N: their groups.
        classes: (C,) names.

    Raises:
        ConfigError: it failed, or returned no probabilities; names function and file.
    """
    p = own(p_NC.copy(), ids_N.copy(), groups_N.copy(), classes)
    target = Target(classes)
    wanted = f"probabilities of shape {p_NC.shape}: {target.rule}"
    if not isinstance(p, np.ndarray) or p.shape != p_NC.shape or p.dtype.kind != "f":
        raise own.wrong(described(p), wanted)
    bad = target.faulty(p)
    if bad.any():
        first = ids_N[bad][0]
        what = f"{bad.sum()} of {len(p)} rows that are no probabilities (first: {first}: {p[bad][0][:4]} …)"
        raise own.wrong(what, wanted)
    return np.asarray(p, dtype=np.float32)
