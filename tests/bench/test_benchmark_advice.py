"""benchmarks/advice on a smaller world: planted faults are named, the healthy run is left alone."""

import pytest

from benchmarks import advice

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", ["leak", "normalisation", "labels"])
def test_a_planted_fault_is_among_the_first_three(fault):
    found = advice.outcome(fault, range(2, 3), 120)
    assert found.found(fault) == 1, found.every


def test_a_healthy_run_is_given_none_of_the_six():
    found = advice.outcome("healthy", range(2, 3), 120)
    assert found.alarms() == [] and found.first[0], found.every
