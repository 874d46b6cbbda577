"""Search spaces: dimensions with ranges, conditions between dimensions, and points.

Owns dimensions as values: which of them a point has, whether a point is in range, and all points of a
finite space. Does not own the YAML form (`tune/space.py`) or who proposes points (`record/study.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Scalar = str | int | float | bool | None
# Name of a dimension -> its value; of a categorical one its label.
Point = dict[str, Scalar]

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Dimension:
    """One dimension of a search space: one setting, or one word of a list, that is varied.

    Args:
        name: unique in its space.
        kind: float, int or categorical.
        low, high: both ends of a range, included.
        log: drawn by its logarithm.
        step: between neighbouring values from `low` on; None: every value, of int 1.
        labels: of a categorical one.
        when: it is varied only where each of these earlier dimensions has one of these values.
    """

    name: str
    kind: Literal["float", "int", "categorical"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    labels: tuple[Scalar, ...] = ()
    when: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    def is_active(self, point: Mapping[str, Scalar]) -> bool:
        """Whether this dimension is varied, given a point with the values of the earlier dimensions."""
        return all(name in point and _among(point[name], values) for name, values in self.when)

    def fault(self, value: Scalar) -> str:
        """Why a value is invalid; empty if it is valid."""
        if self.kind == "categorical":
            labels = ", ".join(map(str, self.labels))
            return "" if _among(value, self.labels) else f"{value!r} is not one of {labels}"
        whole = isinstance(value, int) or (self.kind == "float" and isinstance(value, float))
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole:
            return f"{value!r} is not of type {self.kind}"
        if not self.low <= value <= self.high:
            return f"{value:g} is not within {self.low:g} to {self.high:g}"
        steps = (value - self.low) / self.step if self.step else 0.0
        if abs(steps - round(steps)) > TOLERANCE * max(1.0, abs(steps)):
            return f"{value:g} is not {self.low:g} plus a multiple of the step {self.step:g}"
        return ""

    def values(self) -> tuple[Scalar, ...] | None:
        """All values in order; None if there are infinitely many."""
        if self.kind == "categorical":
            return self.labels
        if self.kind == "int":
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + TOLERANCE) + 1
        return tuple(round(self.low + number * self.step, 12) for number in range(count))


def _among(value: Scalar, values: Sequence[Scalar]) -> bool:
    """Membership test that treats True and 1 as different values."""
    return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)


def active(dimensions: Sequence[Dimension], point: Mapping[str, Scalar]) -> list[Dimension]:
    """The dimensions that a point should have values for, in order."""
    seen: Point = {}
    found = []
    for dimension in dimensions:
        if dimension.is_active(seen):
            found.append(dimension)
            if dimension.name in point:
                seen[dimension.name] = point[dimension.name]
    return found


def faults(dimensions: Sequence[Dimension], point: Mapping[str, Scalar]) -> list[str]:
    """All reasons why a point is not in the space, as `name: reason`."""
    wanted = {dimension.name: dimension for dimension in active(dimensions, point)}
    found = [f"{name}: has no value" for name in wanted if name not in point]
    found += [f"{name}: is not varied here" for name in point if name not in wanted]
    checked = ((name, dimension.fault(point[name])) for name, dimension in wanted.items() if name in point)
    return found + [f"{name}: {why}" for name, why in checked if why]


def endless(dimensions: Sequence[Dimension]) -> list[str]:
    """Names of the dimensions with infinitely many values."""
    return [dimension.name for dimension in dimensions if dimension.values() is None]


def points(dimensions: Sequence[Dimension]) -> Iterator[Point]:
    """All valid points of a finite space; the last dimension changes fastest."""

    def extend(point: Point, left: Sequence[Dimension]) -> Iterator[Point]:
        if not left:
            yield point
            return
        first, rest = left[0], left[1:]
        if not first.is_active(point):
            yield from extend(point, rest)
            return
        values = first.values()
        assert values is not None, f"{first.name} has infinitely many values"
        for value in values:
            yield from extend({**point, first.name: value}, rest)

    return extend({}, tuple(dimensions))


def first_points(dimensions: Sequence[Dimension], most: int) -> list[Point]:
    """The first `most` points of a finite space, or all of them if there are fewer."""
    return list(itertools.islice(points(dimensions), most))
