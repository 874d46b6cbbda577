"""A real Ray cluster of two machines, both here: the same bits, and what happens when something ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from main_world import SMALL, equal, run, weights
from toil_world import catalogue, digests, session_of, team

from pipeline.core.errors import UserError
from pipeline.engine.executors.parallel import Parallel
from pipeline.engine.executors.ray import open_ray
from pipeline.engine.executors.work import search_path
from pipeline.engine.session import Session
from pipeline.record.study import Studies, storage_of
from pipeline.settings.load import CONFIGS

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

# Each home would measure which precision is the fastest: on a busy machine two of them may differ.
TRAIN = ("experiment=tiny_cnn", "train.epochs=60", "runtime.device=cpu", "train.precision=fp32")
OTHERS = [word for word in SMALL if not word.startswith("train.epochs")]


@pytest.fixture
def cluster(monkeypatch):
    """A head without cores, and two machines with one core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    # Ray 2.60 leaves a socket open where the port of its dashboard is still held by the test before.
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": None}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.machines = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    made.shutdown()


def ray_session(home, *words):
    settings = session_of(home, "runtime.executor=ray", *words).settings
    return Session(settings, catalogue(), executor=Parallel(open_ray, catalogue))


def wait_for(what, seconds=300):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def begun(home, n=2):
    """Whether n folds have a checkpoint."""
    return len(list((home / "work" / "fold").glob("*/*.pt"))) >= n


def states(home):
    return [json.loads(p.read_text()) for p in (home / "artifacts" / ".state").glob("*.json")]


def test_ray_starts_here_without_an_address(tmp_path, capsys):
    here = session_of(tmp_path / "here", "runtime.device=cpu")
    here.get(team(here))
    session = ray_session(tmp_path / "ray", "runtime.device=cpu")
    try:
        session.get(team(session))
        with pytest.raises(UserError, match="2 results could not be built"):
            session.get(team(session, "fail"))
        assert [a.stage for a in session.store.all()].count("toil") == 4, "what did not fail is kept"
    finally:
        session.close()
    kept = digests(tmp_path / "ray")
    assert all(kept[key] == files for key, files in digests(tmp_path / "here").items())
    assert "dashboard http://127.0.0.1:" in capsys.readouterr().out
    (state,) = states(tmp_path / "ray")
    toils = [need for need in state["needs"] if need["stage"] == "toil"]
    assert state["executor"] == "ray" and all(x["epoch"] == 3 and x["pid"] != os.getpid() for x in toils)


def test_a_process_keeps_the_gpu_with_which_it_began(tmp_path, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    begin = ray.init  # this machine has no GPU, but Ray believes what it is told
    monkeypatch.setattr(ray, "init", lambda **options: begin(**{**options, "num_gpus": 2, "num_cpus": 4}))
    session = ray_session(tmp_path)
    try:
        for does in ("torch", "torch again", "torch once more"):
            session.get(team(session, does))
    finally:
        session.close()
    seen = {(a.metrics["pid"], a.metrics["gpu"]) for a in session.store.all("toil")}
    assert {gpu for _, gpu in seen} == {0.0, 1.0}
    assert len({pid for pid, _ in seen}) == len(seen), "one GPU a process"


def test_a_machine_that_dies_within_a_fold_costs_no_bit(tmp_path, cluster):
    done = run(tmp_path / "here", "train", *TRAIN, small=OTHERS)
    assert done.code == 0, done.out + done.err

    import ray

    killed = []

    def kill():
        wait_for(lambda: begun(tmp_path / "ray"))
        own = ray.get_runtime_context().get_node_id()  # without its machine a command ends
        other = next(node for node in cluster.machines if node.node_id != own)
        cluster.remove_node(other, allow_graceful=False)
        killed.append(other.node_id)

    killing = threading.Thread(target=kill)
    killing.start()
    words = ("runtime.executor=ray", f"runtime.address={cluster.address}")
    done = run(tmp_path / "ray", "train", *TRAIN, *words, small=OTHERS)
    killing.join()
    assert done.code == 0 and killed, done.out + done.err
    here, there = (weights(tmp_path / name, "tiny_cnn") for name in ("here", "ray"))
    assert here.keys() == there.keys() == {0, 1} and all(equal(here[fold], there[fold]) for fold in here)


def test_a_command_that_is_killed_goes_on_when_it_is_started_again(tmp_path, cluster):
    words = ("runtime.executor=ray", f"runtime.address={cluster.address}", f"runtime.home={tmp_path}")
    command = [sys.executable, "-m", "pipeline", "train", *OTHERS, *TRAIN, *words]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: begun(tmp_path) or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    out, _ = first.communicate()
    assert begun(tmp_path, 1), out.decode()
    second = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "continue" in second.stdout + second.stderr


SEARCH = """
space: {train.lr: {type: categorical, choices: [0.001, 0.002, 0.004]}}
sampler: grid
retest_top: 1
retest_seeds: [7]
trials: 3
"""


def tune(folder, home, *words, **options):
    """The command that searches, started in a folder with settings of its own: a winner is written there."""
    (folder / "space.yaml").write_text(SEARCH, encoding="utf-8")
    if not (folder / "configs").exists():
        shutil.copytree(CONFIGS, folder / "configs", ignore=shutil.ignore_patterns("tuned-*"))
    train = [TRAIN[0], "train.epochs=25", *TRAIN[2:]]
    words = [*OTHERS, *train, f"runtime.home={home}", *words]
    extra = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "pipeline", "tune", *words, "--stage", "train"]
    command = [*command, "--space", str(folder / "space.yaml"), *extra]
    env = {**os.environ, "PYTHONPATH": search_path()}
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def searched(home):
    """State, point and score of every trial."""
    if not (home / "optuna.db").exists():
        return []
    found = Studies(storage_of(home), home)
    return [(t.state, t.point, t.values) for name in found.names() for t in found.trials(name)]


def test_trials_at_once_on_a_cluster_survive_a_machine_that_dies(tmp_path, cluster, monkeypatch):
    """With the scores of one process, though the folds of a trial begin on one machine and end on another."""
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    done = tune(tmp_path, tmp_path / "here")
    out, _ = done.communicate(timeout=400)
    assert done.returncode == 0, out
    words = ("runtime.executor=ray", f"runtime.address={cluster.address}")
    search = tune(tmp_path, tmp_path / "ray", *words, jobs=2)

    def busy():
        """The machines that compute, once a trial besides the default has trained an epoch."""
        known = len(list((tmp_path / "ray" / "artifacts" / "fold").glob("*")))
        return search.poll() is not None or (known >= 2 and begun(tmp_path / "ray", 1))

    wait_for(busy)
    assert search.poll() is None, search.communicate()[0]
    cluster.remove_node(cluster.machines[1], allow_graceful=False)
    out, _ = search.communicate(timeout=400)
    assert search.returncode == 0, out
    here, there = searched(tmp_path / "here"), searched(tmp_path / "ray")
    assert [state for state, *_ in here] == ["complete"] * 3
    assert sorted(map(str, here)) == sorted(str(t) for t in there if t[0] != "killed"), out


def test_a_search_whose_command_is_killed_goes_on_with_the_trials_it_would_have_had(
    tmp_path, cluster, monkeypatch
):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    words = ("runtime.executor=ray", f"runtime.address={cluster.address}")
    first = tune(tmp_path, tmp_path, *words)

    def second_trial():
        if first.poll() is not None:
            return True
        return len(searched(tmp_path)) == 2 and begun(tmp_path, 1)

    wait_for(second_trial)
    first.send_signal(signal.SIGKILL)
    out, _ = first.communicate()
    assert len(searched(tmp_path)) == 2, out
    done = tune(tmp_path, tmp_path, *words)
    out, _ = done.communicate(timeout=400)
    assert done.returncode == 0, out
    trials = searched(tmp_path)
    assert [state for state, *_ in trials].count("killed") == 1
    tried = [point["train.lr"] for state, point, _ in trials if state == "complete"]
    assert len(set(tried)) == 3 == len(tried)
