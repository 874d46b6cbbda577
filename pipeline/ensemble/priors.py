"""Prior correction: probabilities of a model trained on one class balance, for images of another one.

Owns the step and its arithmetic. Does not own when it is kept (`ensemble/decision.py`), nor which rows
training showed (`resample/`).

Source: Saerens, Latinne & Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities
(Neural Computation 2002): p'(c|x) ∝ p(c|x) · new_c / old_c, and the EM estimate of `new`. A label that may
hold beside others is two classes, with it and without it, and is corrected by itself; so is one of several
levels, by its levels.

Shape legend: N samples, C classes or columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Floats, Ints, Truth
from pipeline.core.targets import LABELS, Target
from pipeline.ensemble import texts
from pipeline.ensemble.decision import FittedStep, Rows, apply_scales

# Rounds of the EM estimate of priors, and the change below which it ends.
ROUNDS = 200
CLOSE = 1e-6


@dataclass(frozen=True)
class PriorCorrection:
    """From the class balance of the training rows to another one.

    Args:
        shown_C: shares of the classes among the training rows; of a label the share of rows that have it.
        target: "table": shares of the labels; "uniform"; "estimated": from the probabilities of the images
            that are predicted.
        columns: what the columns mean; None: exclusive classes.
    """

    shown_C: Reals
    target: Literal["table", "uniform", "estimated"]
    columns: Target | None = None
    name: str = "prior_correction"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        shown_C, columns = self.shown_C, self.columns
        if self.target == "estimated":
            prior_C = estimated_prior(p_NC, shown_C, columns)
            facts = {"from": shown_C.tolist(), "to": "estimated on each set", "on_oof": prior_C.tolist()}
            return FittedStep(
                lambda p, _: corrected(p, shown_C, estimated_prior(p, shown_C, columns), columns),
                texts.PRIORS_ESTIMATED.format(low=prior_C.min(), high=prior_C.max(), before=_range(shown_C)),
                facts,
            )
        if self.target == "uniform":
            new_C = np.concatenate([np.full(n, 1 / max(n, 2)) for n in _widths(columns, len(shown_C))])
        elif y_N.ndim == 2:
            assert columns is not None, "labels come with the meaning of their columns"
            new_C = label_shares(np.nansum(y_N, axis=0), (~np.isnan(y_N)).sum(axis=0), columns)
        else:
            new_C = class_shares(np.bincount(np.asarray(y_N, np.int64), minlength=len(shown_C)))
        text = texts.PRIORS.format(before=_range(shown_C), after=_range(new_C), target=self.target)
        facts = {"from": shown_C.tolist(), "to": new_C.tolist()}
        return FittedStep(lambda p, _: corrected(p, shown_C, new_C, columns), text, facts)


def _range(share_C: Reals) -> str:
    return f"{share_C.min():.3f} to {share_C.max():.3f}"


def _widths(columns: Target | None, n_columns: int) -> tuple[int, ...]:
    """How many columns belong together: all of them, or those of each label."""
    if columns is None or columns.kind != LABELS:
        return (n_columns,)
    return columns.widths or (1,) * n_columns


def class_shares(counts_C: Ints | Reals) -> Reals:
    """(C,) shares of these counts; half a sample is added to each, so that no class is impossible."""
    padded_C = np.asarray(counts_C, dtype=np.float64) + 0.5
    return np.asarray(padded_C / padded_C.sum(), dtype=np.float64)


def label_shares(holds_C: Reals | Ints, known_C: Reals | Ints, columns: Target) -> Reals:
    """(C,) share of the rows where a label is known that have it, or this level of it; as `class_shares`."""
    share_C, start = np.zeros(columns.n_columns), 0
    for width in _widths(columns, columns.n_columns):
        at = slice(start, start + width)
        counts = np.asarray(holds_C[at], dtype=np.float64)
        if width == 1:
            counts = np.array([known_C[start] - counts[0], counts[0]])
        share_C[at] = class_shares(counts)[-width:]
        start += width
    return share_C


def corrected(p_NC: Floats, old_C: Reals, new_C: Reals, columns: Target | None = None) -> Floats:
    """Probabilities for a new prior, valid rows.

    `old_C`: shares > 0 of the classes among the training rows; `new_C`: among the images that are predicted;
    `columns`: what the columns mean; None: exclusive classes.
    """
    if columns is None or columns.kind != LABELS:
        return apply_scales(p_NC, new_C / old_C)
    out_NC, start = np.array(p_NC, dtype=np.float32), 0
    for width in _widths(columns, len(old_C)):
        at = slice(start, start + width)
        p, old, new = _as_classes(p_NC[:, at], old_C[at], new_C[at])
        out_NC[:, at] = apply_scales(p, new / old)[:, -width:]
        start += width
    return out_NC


def estimated_prior(p_NC: Floats, old_C: Reals, columns: Target | None = None) -> Reals:
    """(C,) prior of these images, estimated by EM on their probabilities; no label is needed.

    The estimate is only as good as the calibration of the probabilities. `old_C` as for `corrected`.
    """
    if columns is not None and columns.kind == LABELS:
        new_C, start = np.zeros(len(old_C)), 0
        for width in _widths(columns, len(old_C)):
            at = slice(start, start + width)
            p, old, _ = _as_classes(p_NC[:, at], old_C[at], old_C[at])
            new_C[at] = estimated_prior(p, old)[-width:]
            start += width
        return new_C
    new_C = old_C
    for _ in range(ROUNDS):
        last_C, new_C = new_C, corrected(p_NC, old_C, new_C).mean(axis=0, dtype=np.float64)
        if np.abs(new_C - last_C).max() < CLOSE:
            break
    return np.asarray(new_C / new_C.sum(), dtype=np.float64)


def _as_classes(p_NC: Floats, old_C: Reals, new_C: Reals) -> tuple[Floats, Reals, Reals]:
    """The columns of one label as exclusive classes: its levels, or without it and with it."""
    if p_NC.shape[1] > 1:
        return p_NC, old_C, new_C
    without = np.asarray(1 - p_NC.astype(np.float64), dtype=np.float32)
    return np.concatenate([without, p_NC], axis=1), np.r_[1 - old_C, old_C], np.r_[1 - new_C, new_C]
