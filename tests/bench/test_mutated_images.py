"""Damaged files: the quick form of benchmarks/mutated_images.py, with a fixed seed."""

import numpy as np
import pytest

from benchmarks.mutated_images import SLOW_SECONDS, mutated, originals, tried


def test_some_damaged_files_of_every_format_end_as_a_picture_or_as_not_decoding():
    result = tried(2 * len(originals()), seed=1)
    assert result.files == 2 * len(originals()) and result.slowest[0] < SLOW_SECONDS


@pytest.mark.slow
def test_many_damaged_files_end_as_a_picture_or_as_not_decoding():
    result = tried(1500, seed=2)
    assert result.files == 1500 and result.slowest[0] < SLOW_SECONDS
    assert 0.1 < result.decoded / result.files < 0.9, "files are damaged, but not all beyond use"


def test_mutations_are_the_same_for_the_same_seed():
    raw = originals()["png.png"]
    one, other = (mutated(raw, np.random.default_rng(5)) for _ in range(2))
    assert one == other != raw
