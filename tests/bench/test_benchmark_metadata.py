"""How loud metadata should be: without a limit they help where they say much, and cost little where not."""

import pytest

from benchmarks.metadata import main

pytestmark = pytest.mark.slow


def test_metadata_as_loud_as_the_features_help_most_where_they_say_most(capsys):
    assert main(["--sets", "1", "--train", "200"]) == 0
    rows = [line.replace("±", "").split() for line in capsys.readouterr().out.splitlines()[1:]]
    score = {tuple(row[:3]): [float(x) for x in row[3::2]] for row in rows}
    assert len(score) == 12 and all(len(found) == 4 for found in score.values())
    for head in ("linear", "logistic"):
        for answer in ("value", "class"):
            assert score[head, answer, "0.8"][-1] > score[head, answer, "0.8"][0] + 0.1
            assert score[head, answer, "0.0"][-1] > score[head, answer, "0.0"][0] - 0.05
