"""The benchmark of many classes: its arms compute the same losses, so that it compares times alone."""

import re

import pytest

from benchmarks.many_classes import ARMS, main

pytestmark = pytest.mark.slow


def test_every_arm_takes_the_same_steps(capsys):
    main(["--classes", "60", "--rounds", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ARMS)
    assert len({re.search(r"last loss (\S+)", line)[1] for line in lines}) == 1
