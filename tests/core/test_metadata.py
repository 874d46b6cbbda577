"""Metadata as numbers: codes of categories, missing values, and what a training part says about it."""

import numpy as np

from pipeline.core import metadata
from pipeline.core.metadata import Table

NAMED = [("age", "number"), ("site", "category")]
CELLS = np.array([["3.5", "b"], ["", "a"], ["7", "nan"], ["x", "b"]])


def test_missing_and_unknown_values_have_codes_of_their_own():
    table = Table.of(NAMED, CELLS)
    assert table.columns[1].values == ("a", "b")
    made = table.encoded(np.array([["2", "a"], ["", "zebra"], ["1_0", ""]]))
    assert made[0].tolist() == [2, 0, 1, 0, 0, 0]
    assert np.isnan(made[1, 0]) and made[1, 1:].tolist() == [1, 0, 0, 0, 1]
    assert np.isnan(made[2, 0]) and made[2, 1:].tolist() == [1, 0, 0, 1, 0]
    assert table.names[-2:] == ["site=missing", "site=other"] and table.width == 6
    assert Table.of_plain(table.plain()) == table


def test_a_spread_is_of_the_values_that_are_there_and_infinite_where_nothing_varies():
    x = np.array([[1.0, 0.0, np.nan], [3.0, 0.0, np.nan], [np.nan, 0.0, np.nan]], np.float32)
    mean, std = metadata.spread(x)
    assert mean.tolist() == [2.0, 0.0, 0.0]
    assert std[0] == 1.0 and np.isinf(std[1:]).all()


def test_columns_that_say_nothing_or_are_the_label_are_named():
    cells = np.array(
        [["", "u", "cat", "1"], ["nan", "u", "dog", "2"], ["", "u", "cat", "1"], ["", "u", "dog", "1"]]
    )
    named = [("a", "number"), ("b", "category"), ("c", "category"), ("d", "number")]
    found = metadata.oddities(named, cells, np.array([0, 1, 0, 1]))
    assert found == [("a", "missing"), ("b", "constant"), ("c", "label")]


def test_only_frequent_values_of_many_are_kept():
    cells = np.array([[str(n % 150 if n < 300 else 7)] for n in range(400)])
    table = Table.of([("code", "category")], cells)
    assert len(table.columns[0].values) == metadata.MOST_VALUES and "7" in table.columns[0].values
