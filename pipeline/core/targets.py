"""The target: what the columns of predictions mean, for losses, metrics, decisions, blends and submissions.

Owns the kinds of target and their consequences: which rows are valid, how logits become predictions and
predictions become answers, the probabilities of attributes, and the errors for an unsuitable kind.
Does not own the classes and attributes themselves (`core/samples.py`: `LabelSpace`), predictions
(`core/predictions.py`) or metrics.

The kinds:

- exclusive: exactly one class holds, so that a row is a distribution and the answer its most probable class.
  Classes may be a product of attributes (a person's age and mask); then an attribute's probabilities are sums
  of columns.
- labels: several hold together, or none; a column is the probability of one label. A label of several levels
  has a column for each level, a block that sums to 1.
- values: a column is a number in the unit of the training table.
- shares: the truth itself is a distribution, such as the votes of several people; predictions are rows that
  sum to 1, as for exclusive classes.

Code that works for any kind calls a `Target`'s methods, and code that needs certain kinds calls `require`.

Shape legend: N samples, K columns (C where they can only be classes), V values of an attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.metric_arithmetic import LOG_FLOOR
from pipeline.core.samples import Attribute, Floats, Ints, Kind, LabelSpace

EXCLUSIVE: Kind = "exclusive"
LABELS: Kind = "labels"
VALUES: Kind = "values"
SHARES: Kind = "shares"
# Kinds as messages name them.
WORDS: dict[str, str] = {
    "exclusive": _("exclusive classes (exactly one holds)"),
    "labels": _("labels (several hold, or none)"),
    "values": _("values (numbers)"),
    "shares": _("shares (each row of the truth is a distribution)"),
}

# The sum of a row of probabilities may differ from 1 by this much, because of rounding.
ROW_SUM_TOLERANCE = 1e-3

Bools = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]


def softmax(logits_NC: Reals | Floats) -> Floats:
    """(N, C) probabilities of exclusive classes, computed in double precision from logits of any precision.

    A row with a NaN stays NaN, so that `Probabilities` refuses it.
    """
    logits = np.asarray(logits_NC, dtype=np.float64)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float32)


def normalised(p_NC: Reals | Floats) -> Floats:
    """The rows scaled to sum to 1; a row of zeros becomes equal shares, and a row with a NaN stays NaN."""
    sums_N1 = p_NC.sum(axis=1, keepdims=True, dtype=np.float64)
    even = np.full_like(p_NC, 1 / p_NC.shape[1])
    return np.asarray(np.divide(p_NC, sums_N1, out=even, where=sums_N1 != 0), dtype=np.float32)


def sigmoid(logits_NK: Reals | Floats) -> Floats:
    """(N, K) probabilities of labels, each column by itself, computed in double precision."""
    logits = np.asarray(logits_NK, dtype=np.float64)
    # Of the two formulas the one that cannot overflow.
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small), dtype=np.float32)


def most_probable(p_NC: Reals | Floats) -> Ints:
    """(N,) the index of the largest column; the first of equal ones."""
    return np.asarray(p_NC.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Target:
    """The meaning of the K columns of predictions.

    Args:
        columns: (K,) names, in the order of every prediction's columns.
        kind: how the columns belong together.
        space: how the columns are built of attributes; None where only names are known, as in a file of
            predictions.
        widths: how many columns each label has, for labels of several levels; empty: one for each.
    """

    columns: tuple[str, ...]
    kind: Kind = EXCLUSIVE
    space: LabelSpace | None = None
    widths: tuple[int, ...] = ()

    @staticmethod
    def of(space: LabelSpace) -> Target:
        """The target of labelled samples."""
        several = space.kind == LABELS and max(space.widths, default=1) > 1
        return Target(space.classes, space.kind, space, space.widths if several else ())

    @property
    def n_columns(self) -> int:
        """K."""
        return len(self.columns)

    @property
    def rows_sum_to_one(self) -> bool:
        """Whether a row is one distribution over all columns."""
        return self.kind in (EXCLUSIVE, SHARES)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The columns of each label that has several levels; each block sums to 1."""
        ends = np.cumsum(self.widths or (0,)).tolist()
        return tuple(slice(end - n, end) for n, end in zip(self.widths, ends, strict=False) if n > 1)

    @property
    def rule(self) -> str:
        """The condition for a valid row, in words for messages."""
        if self.kind == VALUES:
            return _("finite numbers")
        if self.kind == LABELS:
            levels = _("from 0 to 1, the levels of a label sum to 1")
            return levels if self.blocks else _("from 0 to 1")
        return _("finite, not negative, rows that sum to 1")

    def off_N(self, p_NK: Reals | Floats) -> Reals | Floats:
        """(N,) how far each row's sums are from 1, ≥ 0; 0 for kinds whose rows need not sum to 1."""
        if self.rows_sum_to_one:
            sums_N: Reals | Floats = p_NK.sum(axis=1)
            return np.abs(sums_N - 1)
        off = [np.abs(p_NK[:, block].sum(axis=1) - 1) for block in self.blocks]
        return np.max(off, axis=0) if off else np.zeros(len(p_NK))

    def faulty(self, p_NK: Reals | Floats) -> Bools:
        """(N,) which rows are invalid for this kind: not finite, out of range, or not summing to 1."""
        bad_N = ~np.isfinite(p_NK).all(axis=1)
        if self.kind != VALUES:
            bad_N |= (p_NK < 0).any(axis=1)
        if self.kind == LABELS:
            bad_N |= (p_NK > 1 + ROW_SUM_TOLERANCE).any(axis=1)
        return np.asarray(bad_N | ~(self.off_N(p_NK) <= ROW_SUM_TOLERANCE), dtype=np.bool_)

    def normalised(self, p_NK: Reals | Floats) -> Floats:
        """Rows made valid again after rounding, weighting or scaling; see `normalised`."""
        if self.rows_sum_to_one:
            return normalised(p_NK)
        p = np.array(p_NK, dtype=np.float32)
        if self.kind == LABELS:
            p = np.clip(p, 0, 1)
            for block in self.blocks:
                p[:, block] = normalised(p[:, block])
        return p

    def from_logits(self, logits_NK: Reals | Floats) -> Floats:
        """(N, K) predictions from a network's outputs."""
        if self.rows_sum_to_one:
            return softmax(logits_NK)
        if self.kind == VALUES:
            return np.asarray(logits_NK, dtype=np.float32)
        p = sigmoid(logits_NK)
        for block in self.blocks:
            p[:, block] = softmax(logits_NK[:, block])
        return p

    def logits(self, p_NK: Reals | Floats) -> Floats:
        """(N, K) the inverse of `from_logits` but for rounding: log p, of a label by itself log p/(1-p).

        Probabilities are floored at 1.2e-7 on either side, so that one certain member cannot veto all others.
        """
        if self.kind == VALUES:
            return np.asarray(p_NK, dtype=np.float32)
        log_NK = np.log(np.maximum(p_NK, LOG_FLOOR))
        if self.kind == LABELS:
            alone_K = np.ones(p_NK.shape[1], bool)
            for block in self.blocks:
                alone_K[block] = False
            rest_NK = np.log(np.maximum(1 - np.asarray(p_NK[:, alone_K], dtype=np.float64), LOG_FLOOR))
            log_NK[:, alone_K] -= rest_NK
        return np.asarray(log_NK, dtype=np.float32)

    def answers(self, p_NK: Reals | Floats) -> Ints:
        """(N,) the index of each row's predicted column: the most probable one, the first of equal ones."""
        self.require((EXCLUSIVE, SHARES), "one answer per image")
        return most_probable(p_NK)

    def held(self, p_NK: Reals | Floats) -> Bools:
        """(N, K) which labels hold: above one half, and of the levels of a label the most probable one."""
        self.require((LABELS,), "an answer for each label")
        held_NK = np.asarray(p_NK > 0.5, dtype=np.bool_)
        for block in self.blocks:
            held_NK[:, block] = np.eye(block.stop - block.start, dtype=bool)[most_probable(p_NK[:, block])]
        return held_NK

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes whose values the columns combine; empty if only the names of columns are known."""
        return () if self.space is None else self.space.attributes

    def columns_of(self, attribute: int) -> tuple[Ints, ...]:
        """(V,) for each value of an attribute, the ascending indices of the columns that have it."""
        assert self.space is not None, "columns that are known by name alone have no attributes"
        code_K = self.space.codes_CA[:, attribute]
        return tuple(np.flatnonzero(code_K == v) for v in range(len(self.attributes[attribute].values)))

    def marginal(self, p_NK: Floats, attribute: int) -> Floats:
        """(N, V) probabilities of an attribute's values: for each, the sum of the columns that have it."""
        assert self.space is not None, "columns that are known by name alone have no attributes"
        self.require_exclusive("summing an attribute's classes")
        return self.space.marginal(p_NK, attribute)

    def require(self, kinds: Sequence[Kind], what: str) -> None:
        """Raise a `ConfigError` if this target has a kind that `what` does not accept.

        Args:
            kinds: the accepted kinds.
            what: the setting that needs these kinds, e.g. "loss.name=focal".

        Raises:
            ConfigError: this target has another kind.
        """
        if self.kind not in kinds:
            takes = " or ".join(WORDS.get(kind, kind) for kind in kinds)
            raise ConfigError(
                _("{what} needs {takes}; the target here is {words}").format(
                    what=what, takes=takes, words=WORDS.get(self.kind, self.kind)
                )
            )

    def require_exclusive(self, what: str) -> None:
        """Raise a `ConfigError` unless the classes are exclusive; see `require`."""
        self.require((EXCLUSIVE,), what)
