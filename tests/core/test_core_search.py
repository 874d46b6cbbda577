"""Dimensions: what is in range, what is conditional, every point of a finite space."""

import pytest

from pipeline.core import search_space
from pipeline.core.search_space import Dimension

RATE = Dimension("rate", "float", 1e-3, 1.0, log=True)
STEPPED = Dimension("share", "float", 0.6, 1.0, step=0.05)
KIND = Dimension("kind", "categorical", labels=("a", None, True, 1))
DEPTH = Dimension("depth", "int", 1, 7, step=3, when=(("kind", ("a",)),))


@pytest.mark.parametrize(
    ("dimension", "value", "why"),
    [
        (RATE, 1.5, "1.5 is not within 0.001 to 1"),
        (RATE, "x", "'x' is not of type float"),
        (RATE, True, "True is not of type float"),
        (STEPPED, 0.72, "0.72 is not 0.6 plus a multiple of the step 0.05"),
        (DEPTH, 2, "2 is not 1 plus a multiple of the step 3"),
        (DEPTH, 4.0, "4.0 is not of type int"),
        (KIND, "b", "'b' is not one of a, None, True, 1"),
        (KIND, False, "False is not one of a, None, True, 1"),
    ],
)
def test_what_is_out_of_range_is_told(dimension, value, why):
    assert dimension.fault(value) == why


@pytest.mark.parametrize(
    ("dimension", "value"),
    [(RATE, 1.0), (STEPPED, 0.85), (STEPPED, 1.0), (DEPTH, 7), (KIND, True), (KIND, 1)],
)
def test_what_is_in_range_is_taken(dimension, value):
    assert dimension.fault(value) == ""


def test_a_point_has_values_for_what_is_active_and_for_nothing_else():
    space = (KIND, DEPTH)
    assert search_space.faults(space, {"kind": "a", "depth": 4}) == []
    assert search_space.faults(space, {"kind": None}) == []
    assert search_space.faults(space, {"kind": "a"}) == ["depth: has no value"]
    assert search_space.faults(space, {"kind": True, "depth": 1}) == ["depth: is not varied here"]


def test_every_point_of_a_finite_space_keeps_its_conditions():
    every = search_space.first_points((KIND, DEPTH), 100)
    assert every == [
        {"kind": "a", "depth": 1},
        {"kind": "a", "depth": 4},
        {"kind": "a", "depth": 7},
        {"kind": None},
        {"kind": True},
        {"kind": 1},
    ]
    assert search_space.first_points((KIND, DEPTH), 2) == every[:2]
    assert STEPPED.values()[:3] == (0.6, 0.65, 0.7) and len(STEPPED.values()) == 9
    assert search_space.endless((RATE, KIND)) == ["rate"]
