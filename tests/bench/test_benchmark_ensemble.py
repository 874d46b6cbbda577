"""The benchmark of combining runs, and its selection is as good as the published one."""

import numpy as np

from benchmarks import blend_weights, ensemble_scale
from pipeline.core.metrics import get


def test_selection_scores_what_the_published_one_scores(capsys):
    found = ensemble_scale.measure(6, 1400)
    assert found["greedy"] >= found["published"] > found["best member"]
    assert found["search"] >= found["greedy"] >= found["judged"] > found["best member"]
    assert found["seconds"] < 20 and found["seconds judged"] < 5
    assert "cross-fitted selection" in capsys.readouterr().out


def test_weights_that_follow_probabilities_are_compared_with_those_that_follow_counts(capsys):
    found = blend_weights.main(["--repetitions", "3"])
    assert list(found["drawn"]["metric"]) == [0, 0] and found["homes"] == {}
    assert found["drawn"]["cosine"][0] > 0 > found["drawn"]["best member"][0]
    assert "drawn members, 12 blends" in capsys.readouterr().out


def test_without_other_images_weights_are_used_on_groups_that_did_not_fit_them():
    (fair_NC,), y_N = blend_weights.drawn([1.5], 400, 0)
    guess_NC = np.eye(4, dtype=np.float32)[np.random.default_rng(1).integers(0, 4, 400)]
    blend = blend_weights.Blend("one", np.stack([fair_NC, guess_NC]), y_N, group_N=np.arange(400) // 4)
    found = blend_weights.scores(blend, get("macro_f1"))
    assert found["cosine"][0] > found["equal"][0]
    assert found["best member"][0] == blend_weights.judged(y_N, fair_NC, get("macro_f1"))[0]
