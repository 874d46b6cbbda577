"""A group pattern of the user ends within its time."""

import pytest

from pipeline.core.errors import DataError
from pipeline.data import patterns


@pytest.mark.parametrize("pattern", [r"^([a-z]\d+)_", r"^((?:[a-z]\d)+)_", r"(.*)_.*_?.*x?.*$"])
def test_patterns_give_the_same_groups_in_either_process(pattern):
    paths = ["p1_a.png", "p2_b.png", "사진.png"]
    found = patterns.groups_of(pattern, paths)
    assert found[:2] == ["p1", "p2"] and found[2] is None


@pytest.mark.parametrize("pattern", [r"^((?:[a-z]+)+)\d$", r"^(([a-z]*)*)!", r"((a|aa)+)$!"])
def test_a_pattern_that_backtracks_is_refused(monkeypatch, pattern):
    monkeypatch.setattr(patterns, "SECONDS", 0.5)
    with pytest.raises(DataError, match=r"needs more than 1 s for 1 paths|needs more than 0 s") as error:
        patterns.groups_of(pattern, ["a" * 60 + "?"])
    assert "competition.group_pattern" in str(error.value) and error.value.remedy
