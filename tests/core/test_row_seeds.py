"""Numbers of many rows at once: each row's depend on its own seed, and they are uniform and independent."""

import numpy as np

from pipeline.core.seeds import RowDraws, name_words, row_seeds, seed

NAMES = [f"image {n}" for n in range(4000)]


def seeds(start=1, names=NAMES, epoch=0):
    return row_seeds(seed(start, "test"), np.full(len(names), epoch), name_words(names))


def test_a_rows_numbers_depend_on_its_own_seed_alone():
    whole, some = RowDraws(seeds()), RowDraws(seeds(names=NAMES[70:90]))
    for _ in range(5):
        assert np.array_equal(whole.unit()[70:90], some.unit())


def test_known_numbers_stay_the_same_on_every_machine_and_version():
    # SplitMix64 from the seed 1234567, as its authors publish them.
    draws = RowDraws(np.array([1234567], np.uint64))
    assert [int(draws.word()[0]) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_equal_numbers_in_another_column_are_another_seed():
    a, b = np.arange(50), np.zeros(50, np.int64)
    assert not (row_seeds(3, a, b) == row_seeds(3, b, a))[1:].any()
    assert not (row_seeds(3, a, b) == row_seeds(4, a, b)).any()
    assert len(set(row_seeds(3, np.repeat(a, 50), np.tile(a, 50)).tolist())) == 2500


def test_numbers_are_uniform_and_those_of_neighbours_unrelated():
    draws = RowDraws(seeds())
    first, second, later = draws.unit(), draws.unit(), RowDraws(seeds(epoch=1)).unit()
    for unit in (first, second, later):
        assert unit.min() >= 0 and unit.max() < 1
        assert np.abs(np.histogram(unit, 10, (0, 1))[0] - 400).max() < 5 * np.sqrt(400 * 0.9)
    pairs = ((first, second), (first, later), (first[1:], first[:-1]))
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4000) for a, b in pairs)


def test_whole_numbers_reach_both_ends_equally_often():
    values, counts = np.unique(RowDraws(seeds()).integer(-1, 2), return_counts=True)
    assert values.tolist() == [-1, 0, 1, 2] and np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)
    assert abs(RowDraws(seeds()).happens(0.3).mean() - 0.3) < 0.04
    inside = RowDraws(seeds()).between(-4, 8)
    assert -4 <= inside.min() < -3.9 and 7.9 < inside.max() <= 8
