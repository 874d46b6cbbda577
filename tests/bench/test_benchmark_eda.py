"""The benchmark's quick version: few images, middle strength, every fault once."""

import numpy as np
import pytest

from benchmarks import eda
from benchmarks.eda_faults import FAULTS, STRENGTHS, clean, photos

MIDDLE = STRENGTHS.index("middle")


@pytest.fixture(scope="module")
def files():
    return photos(None, 1, 48)


def test_the_clean_copy_is_calm(files):
    assert eda.trial(files, None, 0, 1).high <= 1


@pytest.mark.slow
def test_faults_are_found_and_told_first(files):
    trials = [eda.trial(files, fault, MIDDLE, 1) for fault in FAULTS]
    assert {t.fault for t in trials if t.recall < 0.9} == set(), [(t.fault, t.recall) for t in trials]
    late = [(t.fault, t.opened_with) for t in trials if not t.first]
    assert len(late) <= len(FAULTS) / 6, late


def test_a_blind_report_would_fail(files):
    found = eda.trial(files, None, 0, 1)
    assert not found.first and np.isnan(found.recall)
    world = clean(files, 1)
    spoilt, planted = FAULTS[0].plant(world, MIDDLE, np.random.default_rng(0))
    assert planted and sum(a != b for a, b in zip(world, spoilt, strict=True)) == len(planted)
