"""The benchmark of targets runs, and prints a score and a paired difference for each arm."""

import re

import pytest

from benchmarks import targets

pytestmark = pytest.mark.slow
DIFFERENCE = r"minus images alone: [+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]"


def test_a_column_beside_the_images_is_compared_with_the_images_alone(tmp_path, capsys):
    targets.beside(
        tmp_path, ["competition.demo.limit=300", "train.epochs=1", "folds.n=2", "infer.views=[identity]"]
    )
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("rmse ")]
    assert [re.split(r"\s{2,}", row)[1] for row in rows] == [
        "images alone",
        "network reads it",
        "LightGBM behind that",
    ]
    assert all(re.search(DIFFERENCE, row) for row in rows[1:])
