"""Answers of thousands of classes, on a few of them: every arm answers, and the new class helps them all."""

import json

import pytest

from benchmarks.retrieval import main

pytestmark = pytest.mark.slow


def test_every_arm_beats_chance_and_the_threshold_helps(tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert main(["--quick", "--concepts", "60", "--epochs", "4", "--out", str(out)]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert set(rows) == {"softmax", "cosine", "arcface", "knn", "knn + softmax", "knn + arcface"}
    for name, (found,) in rows.items():
        assert found["map@5"] > 0.1, name  # chance is about 0.04
        assert found["with new"] > found["without"], name
    assert "asked for" in capsys.readouterr().out
