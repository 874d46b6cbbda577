"""The benchmark's quick version on digits, and whether its intervals see what is planted."""

import json

import numpy as np

from benchmarks import losses


def test_it_prints_a_table_and_writes_its_figures(tmp_path, capsys):
    file, out = tmp_path / "digits.npz", tmp_path / "losses.json"
    words = ["--quick", "--set", "digits", "--size", "32", "--file", str(file), "--out", str(out)]
    losses.main(words)
    said = capsys.readouterr().out
    for arm in losses.PUBLISHED:
        assert f"| {arm} |" in said
    assert "found, balanced accuracy:" in said and file.is_file()
    report = json.loads(out.read_text())
    assert set(report["arms"]) == set(losses.PUBLISHED) and len(report["arms"]["ldam_drw"]["macro_f1"]) == 2
    equal = report["arms"]["logit_adjustment"], report["arms"]["balanced_softmax"]
    np.testing.assert_allclose(*(arm["balanced_accuracy"] for arm in equal), atol=0.02)


def test_the_tail_is_geometric_and_drawn_anew_by_each_seed():
    pool = losses.read(losses.arguments(["--set", "digits", "--size", "8"]))
    assert np.bincount(pool.test.labels).tolist() == [40] * 10
    first, again, other = (losses.long_tail(pool.train, 50, seed) for seed in (0, 0, 1))
    counts = np.sort(np.bincount(first.labels))[::-1]
    assert counts[0] / counts[-1] >= 40 and (np.diff(counts) < 0).all()
    assert first.ids_N.tolist() == again.ids_N.tolist() != other.ids_N.tolist()
    assert not set(first.ids_N.tolist()) & set(pool.test.ids_N.tolist())


def test_intervals_hold_a_planted_difference_and_nothing_as_often_as_they_claim():
    generator = np.random.default_rng(0)
    missed = seen = 0
    for _ in range(200):
        by_seed = generator.normal(size=(5, 1)) * 0.02
        test_noise = generator.normal(size=(1, 400)) * 0.01
        drawn = by_seed + generator.normal() * 0.01 + test_noise
        seen_S = drawn.mean(1)
        null, real = (losses.interval(seen_S + d, drawn + d, 4) for d in (0.0, 0.2))
        missed += null["low"] > 0 or null["high"] < 0
        seen += real["low"] > 0
    assert missed <= 20 and seen == 200
