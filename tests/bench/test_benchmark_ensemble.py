"""The benchmark of combining runs, and its selection is as good as the published one."""

from benchmarks import ensemble_scale


def test_selection_scores_what_the_published_one_scores(capsys):
    found = ensemble_scale.measure(6, 1400)
    assert found["greedy"] >= found["published"] > found["best member"]
    assert found["search"] >= found["greedy"] and found["seconds"] < 20
    assert "cross-fitted selection" in capsys.readouterr().out
