"""What the columns of predictions mean: the one place that losses, metrics, decisions, blends and hosts ask.

Owns the kinds of target and all that follows from one: what a valid row is, how logits become predictions and
predictions answers, how attributes are read off, and refusing what needs another kind. Does not own the
classes and attributes themselves (`core/samples.py`: `LabelSpace`), predictions (`core/predictions.py`) or
metrics.

There is one kind so far: exclusive classes, of which exactly one holds, so that a row is a distribution and
the answer its most probable class. Classes may be a product of attributes (a person's age and mask); then an
attribute's probabilities are sums of columns. Code that works for any kind calls a `Target`'s methods, and
code that needs exclusive classes calls `require_exclusive` once; a further kind is then a word in `Kind` and
a branch in these methods.

Shape legend: N samples, K columns (C where they can only be classes), V values of an attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, Floats, Ints, LabelSpace

Kind = Literal["exclusive"]
EXCLUSIVE: Kind = "exclusive"
# Kinds as messages name them.
WORDS: dict[str, str] = {"exclusive": "exclusive classes (exactly one holds)"}

# So far a row of probabilities may be off 1 by rounding.
ROW_SUM_TOLERANCE = 1e-3

Bools = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]


def softmax(logits_NC: Reals | Floats) -> Floats:
    """(N, C) probabilities of exclusive classes, in double precision whatever made the logits.

    A row with a NaN stays NaN, so that `Probabilities` refuses it.
    """
    logits = np.asarray(logits_NC, dtype=np.float64)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float32)


def normalised(p_NC: Reals | Floats) -> Floats:
    """Rows scaled to sum to 1; a row of zeros becomes equal shares, and one with a NaN stays NaN."""
    sums_N1 = p_NC.sum(axis=1, keepdims=True, dtype=np.float64)
    even = np.full_like(p_NC, 1 / p_NC.shape[1])
    return np.asarray(np.divide(p_NC, sums_N1, out=even, where=sums_N1 != 0), dtype=np.float32)


def most_probable(p_NC: Reals | Floats) -> Ints:
    """(N,) the column that is largest; of equal ones the first."""
    return np.asarray(p_NC.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Target:
    """What K columns mean.

    Args:
        columns: (K,) names, in the order of every prediction's columns.
        kind: how the columns belong together.
        space: how the columns are built of attributes; None where only names are known, as in a file of
            predictions.
    """

    columns: tuple[str, ...]
    kind: Kind = EXCLUSIVE
    space: LabelSpace | None = None

    @staticmethod
    def of(space: LabelSpace) -> Target:
        """The target of labelled samples: their classes exclude each other."""
        return Target(space.classes, EXCLUSIVE, space)

    @property
    def n_columns(self) -> int:
        """K."""
        return len(self.columns)

    @property
    def rows_sum_to_one(self) -> bool:
        """Whether a row is one distribution over all columns."""
        return self.kind == "exclusive"

    @property
    def rule(self) -> str:
        """What a valid row is, in words for messages."""
        return "finite, not negative, rows that sum to 1" if self.rows_sum_to_one else "finite, not negative"

    def off_N(self, p_NK: Reals | Floats) -> Reals | Floats:
        """(N,) how far each row's sum is from what it has to be, ≥ 0; 0 where sums mean nothing."""
        sums_N: Reals | Floats = p_NK.sum(axis=1)
        return np.abs(sums_N - 1) if self.rows_sum_to_one else np.zeros_like(sums_N)

    def faulty(self, p_NK: Reals | Floats) -> Bools:
        """(N,) which rows are no predictions of this kind: not finite, negative, or not summing to 1."""
        bad_N = ~np.isfinite(p_NK).all(axis=1) | (p_NK < 0).any(axis=1)
        return np.asarray(bad_N | ~(self.off_N(p_NK) <= ROW_SUM_TOLERANCE), dtype=np.bool_)

    def normalised(self, p_NK: Reals | Floats) -> Floats:
        """Non-negative rows made valid again after rounding, weighing or scaling; see `normalised`."""
        return normalised(p_NK) if self.rows_sum_to_one else np.asarray(p_NK, dtype=np.float32)

    def from_logits(self, logits_NK: Reals | Floats) -> Floats:
        """(N, K) predictions of a network's outputs."""
        self.require_exclusive("softmax")
        return softmax(logits_NK)

    def answers(self, p_NK: Reals | Floats) -> Ints:
        """(N,) the column that each row answers: the most probable one, of equal ones the first."""
        self.require_exclusive("one answer an image")
        return most_probable(p_NK)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that columns are built of; none where only their names are known."""
        return () if self.space is None else self.space.attributes

    def columns_of(self, attribute: int) -> tuple[Ints, ...]:
        """(V,) which columns have each value of an attribute, as indices in ascending order."""
        assert self.space is not None, "columns that are known by name alone have no attributes"
        code_K = self.space.codes_CA[:, attribute]
        return tuple(np.flatnonzero(code_K == v) for v in range(len(self.attributes[attribute].values)))

    def marginal(self, p_NK: Floats, attribute: int) -> Floats:
        """(N, V) probabilities of an attribute's values: the columns that have each, summed."""
        assert self.space is not None, "columns that are known by name alone have no attributes"
        self.require_exclusive("summing an attribute's classes")
        return self.space.marginal(p_NK, attribute)

    def require(self, kinds: Sequence[Kind], what: str) -> None:
        """Refuse this target for what takes other kinds only.

        Args:
            kinds: that it takes.
            what: who refuses, as the user knows it, e.g. "loss.name=focal".

        Raises:
            ConfigError: this target is of none of them.
        """
        if self.kind not in kinds:
            takes = " or ".join(WORDS.get(kind, kind) for kind in kinds)
            raise ConfigError(f"{what} takes {takes}; here the target is {WORDS.get(self.kind, self.kind)}")

    def require_exclusive(self, what: str) -> None:
        """Refuse this target for what makes sense for exclusive classes only; see `require`."""
        self.require((EXCLUSIVE,), what)
