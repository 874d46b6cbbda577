"""Trials on every executor: one after another here, or several at once in other processes."""

import shutil
from types import SimpleNamespace

import pytest
import test_tune
from test_tune import CHEAP, TRAIN, TRAINED, TTA, WORDS, points, space_at, tuned
from toil_world import HerePool

from pipeline.core.errors import ConfigError
from pipeline.engine.executors.parallel import Parallel
from pipeline.engine.progress import Silent
from pipeline.record.hosts import Host
from pipeline.record.owners import this
from pipeline.record.study import Plan, Studies, in_memory, storage_of
from pipeline.settings.load import CONFIGS
from pipeline.stages import catalogue
from pipeline.tune import commands, progress, trials

GRID = """
space:
  infer.views: {type: subset, always: [identity], of: ["shift(1,1)", "shift(-1,-1)"]}
sampler: grid
trials: 4
"""
FOLDS = TRAIN.replace("trials: 4", "trials: 4\nsampler: random")


@pytest.fixture
def configs(tmp_path):
    """A copy: a winner is written there."""
    shutil.copytree(CONFIGS, tmp_path / "configs", ignore=shutil.ignore_patterns("tuned-*"))
    return tmp_path / "configs"


@pytest.fixture(autouse=True)
def own_storage(monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


def with_pool(monkeypatch, pool):
    monkeypatch.setattr(commands, "executor_of_jobs", lambda *_: Parallel(lambda site: pool, catalogue))


def states(home):
    found = Studies(storage_of(home), home)
    (name,) = found.names()
    return [(t.state, t.point, t.curve) for t in found.trials(name)]


@pytest.mark.slow
def test_trials_at_once_find_what_trials_one_after_another_find(tmp_path, configs, monkeypatch):
    space = space_at(tmp_path, GRID)
    tuned(tmp_path / "one", configs, "--stage", "tta", "--space", space)
    with_pool(monkeypatch, pool := HerePool(size=3))
    tuned(tmp_path / "three", configs, "--stage", "tta", "--space", space, "--jobs", "3")
    assert sorted(map(repr, points(tmp_path / "one")[0])) == sorted(map(repr, points(tmp_path / "three")[0]))
    assert sum(title.startswith("infer") for title in pool.order) >= 3, "trials ran in the processes"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_trials_that_can_be_pruned_are_the_same_on_every_executor(tmp_path, configs, monkeypatch, executor):
    """Two of three folds run side by side after the first one, and are reported in their order."""
    if executor == "ray":
        pytest.importorskip("ray")
    monkeypatch.setattr(test_tune, "WORDS", (*(w for w in WORDS if w != "folds.n=2"), "folds.n=3"))
    words, space = (*TRAINED[:2], "runtime.device=cpu"), space_at(tmp_path, FOLDS)
    tuned(tmp_path / "here", configs, "--stage", "train", "--space", space, words=words)
    words = (*words, f"runtime.executor={executor}")
    tuned(tmp_path / executor, configs, "--stage", "train", "--space", space, words=words)
    assert states(tmp_path / "here") == states(tmp_path / executor)
    assert {state for state, *_ in states(tmp_path / "here")} == {"complete", "pruned"}


@pytest.mark.slow
def test_a_search_that_is_stopped_gives_all_of_its_trials_back(tmp_path, configs, monkeypatch):
    class Stops(HerePool):
        def wait(self, seconds):
            raise KeyboardInterrupt

    space = space_at(tmp_path, GRID)
    pool = HerePool(size=2)
    with_pool(monkeypatch, pool)
    tuned(tmp_path, configs, "--stage", "tta", "--space", space, "--jobs", "2", "--trials", "1")
    with_pool(monkeypatch, stops := Stops(size=2))
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path, configs, "--stage", "tta", "--space", space, "--jobs", "2")
    assert stops.closed, "the processes have ended"
    assert [state for state, *_ in states(tmp_path)] == ["complete", "killed", "killed"]
    with_pool(monkeypatch, pool)
    tuned(tmp_path, configs, "--stage", "tta", "--space", space, "--jobs", "2")
    assert [state for state, *_ in states(tmp_path)].count("complete") == 4, "they were run again"


def test_more_trials_at_once_than_cores_are_refused_before_any_work(tmp_path, configs, monkeypatch):
    words = ("--stage", "tta", "--space", space_at(tmp_path, CHEAP), "--jobs", "64")
    with pytest.raises(ConfigError, match=r"64 processes with 1 threads each need 64 cores"):
        tuned(tmp_path, configs, *words, words=(*TRAINED, "runtime.device=cpu"))
    assert not (tmp_path / "optuna.db").exists()


def test_only_processes_of_this_very_host_are_waited_for(monkeypatch):
    """A container of the same name is another host, and its trials end without us."""
    study = in_memory(Plan("one", (), (True,)))
    seen = [this(Host(Host.here().name, "0" * 16)), this()]
    shown = []
    monkeypatch.setattr(progress.time, "sleep", lambda _: shown.append([t.is_here for t in study.trials()]))
    for owner in seen:
        trial = study._study.ask()
        trial.set_user_attr("owner", owner)
        study._open[trial.number] = trial
    monkeypatch.setattr(study, "forget_dead", lambda: study.drop(1) if shown and 1 in study._open else None)
    study._begun = {0: 0.0, 1: 0.0}
    bar = progress.Progress(study, 2, SimpleNamespace(), print, None, Silent())
    assert bar.wait_for_others() and shown == [[False, True]]


@pytest.mark.slow
def test_trials_that_all_fail_at_once_end_the_search(tmp_path, configs, monkeypatch):
    def fails(bench, study, trial, at_once):
        study.fail(trial.number, "no")
        return iter(())

    monkeypatch.setattr(trials, "steps", fails)
    with pytest.raises(ConfigError, match="all of 5 trials failed"):
        tuned(tmp_path, configs, "--stage", "tta", "--space", space_at(tmp_path, TTA))
