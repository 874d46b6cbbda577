"""The figure of planted faults, and its intervals for several choices at once."""

import numpy as np
import pandas as pd
import pytest

from pipeline.core.seeds import rng
from pipeline.errors.findings import planting

COLUMNS = [planting.FINDER, planting.UNIT, *planting.COUNTS]


def world(generator, hit_rates, n_units=60):
    """Units of two finders under several choices that find planted faults this often, each on its own."""
    tables = []
    for rate in hit_rates:
        hits = generator.binomial(3, rate, 2 * n_units)
        rows = [
            (("a", "b")[n % 2], f"g{n // 2}", int(h), 3 - int(h), int(generator.random() < 0.1))
            for n, h in enumerate(hits)
        ]
        tables.append(pd.DataFrame(rows, columns=COLUMNS))
    return tables


def test_a_finder_of_many_faults_does_not_drown_one_of_few():
    table = pd.DataFrame([("few", "g1", 0, 2, 0), ("many", "g1", 98, 2, 0)], columns=COLUMNS)
    assert planting.by_finder(table)["many"] == pytest.approx((2 * 98 / 198, 1.0, 0.98))
    assert planting.figure(table) == pytest.approx((0 + 2 * 98 / 198) / 2)


def test_one_that_finds_more_is_better_and_one_alike_is_not():
    tables = world(rng(0, "recovery"), (0.5, 0.8, 0.5))
    scores, (better, alike) = planting.compare(tables[0], tables[1:], 500, 0)
    assert better.verdict == "better" and alike.verdict == "can't tell"
    assert better.delta == pytest.approx(scores[1] - scores[0]) and scores[0] == planting.figure(tables[0])


@pytest.mark.slow
def test_among_ten_choices_alike_one_is_seldom_called_better():
    false = 0
    for number in range(60):
        tables = world(rng(number, "alike"), (0.5,) * 11, n_units=40)
        _, found = planting.compare(tables[0], tables[1:], 200, number)
        false += any(c.verdict == "better" for c in found)
    assert false <= 6, "nominal: 2.5 % of 60, plus three standard errors"


def test_a_unit_that_only_one_choice_met_counts_for_the_others_as_nothing():
    one = pd.DataFrame([("a", "g1", 1, 0, 0), ("a", "g2", 1, 0, 0)], columns=COLUMNS)
    other = pd.DataFrame([*one.itertuples(index=False), ("a", "g9", 0, 0, 2)], columns=COLUMNS)
    scores, _ = planting.compare(one, [other], 100, 0)
    assert scores == pytest.approx([1.0, 2 * 2 / (2 * 2 + 2)]) and np.isfinite(scores).all()
