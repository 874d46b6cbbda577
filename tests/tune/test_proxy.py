"""Does a cheap proxy rank settings as full training does: which trials are asked, and what is told."""

import re
import shutil

import pytest
from main_world import artifacts
from test_tune import space_at, tuned

from pipeline.core.errors import ConfigError
from pipeline.record.study import Trial
from pipeline.settings.load import CONFIGS
from pipeline.tune import proxy

PIXELS = """
experiment: tiny_resnet
space:
  preprocess.contrast: {type: float, low: 0.25, high: 1.75, step: 0.5}
sampler: grid
trials: 4
retest_top: 1
retest_seeds: [7]
full: {experiment: tiny_cnn, trials: 4, folds: [0]}
"""


@pytest.fixture
def configs(tmp_path):
    shutil.copytree(CONFIGS, tmp_path / "configs", ignore=shutil.ignore_patterns("tuned-*"))
    return tmp_path / "configs"


def test_trials_from_the_best_to_the_worst_one_of_each_score():
    trials = [Trial(n, "complete", {}, (score,)) for n, score in enumerate([0.1, 0.5, 0.3, 0.5, 0.2, 0.4])]
    trials.append(Trial(6, "failed", {}))
    assert [t.number for t in proxy.spread(trials, 3, 1)] == [1, 2, 0]
    assert [t.number for t in proxy.spread(trials, 9, 1)] == [1, 5, 2, 4, 0]
    assert [t.number for t in proxy.spread(trials, 2, -1)] == [0, 1]


def test_the_correlation_says_how_often_chance_has_as_much():
    rho, p = proxy.correlation([1, 2, 3, 4, 5], [2, 3, 5, 8, 9])
    assert rho == pytest.approx(1) and p == pytest.approx(1 / 120)
    rho, p = proxy.correlation([1, 2, 3, 4, 5], [9, 8, 5, 3, 2])
    assert rho == pytest.approx(-1) and p == 1


@pytest.mark.slow
def test_a_proxy_is_held_against_full_training(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    home, space = tmp_path / "home", space_at(tmp_path, PIXELS)
    said = tuned(home, configs, "--stage", "eda", "--space", space)
    assert re.search(
        r"rank correlation with full training: [+-]\d\.\d\d \(Spearman; [0-9.]+% of random orders", said
    ), said
    assert "over 4 trials from best to worst, trained in full (tiny_cnn, folds 0)" in said
    assert re.search(r"trained in full on these folds, against the default: [+-]0\.\d+ \[", said)
    (page,) = home.glob("tuning/eda-*.html")
    assert "rank correlation with full training" in page.read_text(encoding="utf-8")
    full = [a for a in artifacts(home, "train") if a.manifest["experiment"] == "tiny_cnn"]
    assert sorted(a.setting("preprocess.contrast") for a in full) == [0.25, 0.75, 1.0, 1.25, 1.75]
    before = {a.key for a in artifacts(home, "train")}
    assert tuned(home, configs, "--stage", "eda", "--space", space).count("rank correlation") == 1
    assert {a.key for a in artifacts(home, "train")} == before


@pytest.mark.parametrize(
    "stage, full, what",
    [
        ("eda", "{experiment: tiny_cn}", "tiny_cn"),
        ("eda", "{experiment: tiny_cnn, folds: [0, 7]}", "7"),
        ("eda", "{experiment: tiny_cnn, trials: 3}", "full.trials"),
        ("tta", "{experiment: tiny_cnn}", "does not train"),
    ],
)
def test_full_trainings_that_cannot_be_are_refused_before_the_search(tmp_path, configs, stage, full, what):
    line = "infer.merge: {type: categorical, choices: [mean, fitted]}"
    if stage == "eda":
        line = "preprocess.contrast: {type: float, low: 0.5, high: 1.5}"
    space = space_at(tmp_path, f"space:\n  {line}\nfull: {full}\n")
    with pytest.raises(ConfigError) as error:
        tuned(tmp_path / "home", configs, "--stage", stage, "--space", space)
    assert what in str(error.value) and "full" in str(error.value)
    assert not (tmp_path / "home" / "optuna.db").exists()
