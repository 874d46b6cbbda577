"""The last line of `make ablate`: the command that makes sense after what the study found."""

from types import SimpleNamespace

from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE
from pipeline.train import commands


def said_after(settings, arms, monkeypatch):
    """The last line after trainings of (settings, score of a metric of which lower is better)."""
    scores = {id(need): score for need, score in arms}
    session, said = Session(settings, CATALOGUE), []
    metric = settings.config.competition.metric
    monkeypatch.setattr(
        session,
        "get",
        lambda need: SimpleNamespace(metrics={f"oof_{metric}": scores[id(need)]}),
        raising=False,
    )
    monkeypatch.setattr(session, "end_with", said.append)
    commands._say_next(session, settings, [need for need, _ in arms])
    return said[-1]


def test_the_best_arm_is_predicted_with_and_the_experiment_where_none_is_better(tmp_path, monkeypatch):
    words = ["competition=digits", "competition.metric=log_loss", f"runtime.home={tmp_path}"]
    base = load(words)
    arms = [(Need("train", load([*words, f"train.lr={lr}"])), lr) for lr in (0.3, 0.1, 0.2)]
    last = said_after(base, arms, monkeypatch)
    assert last.startswith("next: make infer ARGS=") and "train.lr=0.1" in last, "lower is better"
    assert f"runtime.home={tmp_path}" in last
    assert "train.lr" not in said_after(base, [], monkeypatch)


def test_an_arm_of_some_folds_is_trained_on_the_others_first(tmp_path, monkeypatch):
    words = ["competition=digits", f"runtime.home={tmp_path}", "train.folds=[0]", "train.lr=0.1"]
    arms = [(Need("train", load(words)), 0.5)]
    last = said_after(load(words), arms, monkeypatch)
    assert last.startswith("next: make train ARGS=") and "train.lr=0.1" in last and "train.folds" not in last
