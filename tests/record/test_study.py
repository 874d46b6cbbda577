"""Studies: the same trials whatever is killed, nothing lost, nothing left running."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from pipeline.core.errors import ConfigError, StorageError
from pipeline.core.search_space import Dimension
from pipeline.record import hosts, owners
from pipeline.record import study as studies
from pipeline.record.study import Plan, Studies, storage_of

SPACE = (
    Dimension("rate", "float", 1e-3, 1.0, log=True),
    Dimension("kind", "categorical", labels=("a", "b", None)),
    Dimension("depth", "int", 1, 9, step=2, when=(("kind", ("a", "b")),)),
)
DEFAULT = {"rate": 0.01, "kind": "a", "depth": 3}


def score(point):
    return -abs(point["rate"] - 0.3) + {"a": 0.1, "b": 0.2, None: 0.0}[point["kind"]]


def plan(sampler="tpe", **more):
    more = {"queue": (("default", DEFAULT),), "space": "s1", **more}
    return Plan("study", SPACE, (True,), sampler, **more)


def opened(home, **more):
    return Studies(storage_of(home), home).open(plan(**more), {"stage": "test"})


@pytest.fixture(params=["sqlite", "journal"])
def home(request, tmp_path, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    if request.param == "journal":
        monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "studies.log"))
    return tmp_path


def run(home, limit=15, slow=0.0, **more):
    study = opened(home, **more)
    while (trial := study.ask(limit)) is not None:
        time.sleep(slow)
        if len(study.done()) == 6:
            study.fail(trial.number, "its settings do not work")
        else:
            study.tell(trial.number, [score(trial.point)], {"result": "train/abc"})
    return study


def told(study):
    return [(t.point, t.values, t.state, t.origin) for t in study.done()]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_killed_at_random_points_has_the_same_trials(home, tmp_path_factory, sampler):
    whole = tmp_path_factory.mktemp("whole")
    journal = os.environ.pop("OPTUNA_STORAGE", None)
    expected = told(run(whole, sampler=sampler))
    if journal:
        os.environ["OPTUNA_STORAGE"] = journal
    code = "import sys, pathlib; import test_study as t; "
    code += "t.run(pathlib.Path(sys.argv[1]), slow=0.6, sampler=sys.argv[2])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    draw, killed = random.Random(3), 0
    for _ in range(40):
        child = subprocess.Popen([sys.executable, "-c", code, str(home), sampler], env=environment)
        # The first ones die while the database is made, later ones in the middle of trials.
        try:
            child.wait(timeout=draw.uniform(0.3, 4.0) if killed < 5 else 60)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            killed += 1
            continue
        break
    assert killed == 5 and child.returncode == 0
    study = opened(home, sampler=sampler)
    assert study.ask(15) is None
    assert told(study) == expected
    assert {t.state for t in study.trials()} <= {"complete", "failed", "killed"}


def test_a_trial_of_a_living_process_is_left_alone_and_one_of_a_dead_is_failed(home):
    first, second = opened(home), opened(home)
    mine = first.ask(9)
    other = second.ask(9)
    assert mine.origin == "default" and other.origin == "" and other.point != mine.point
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    first._open[mine.number].set_user_attr(
        "owner", {**owners.this(), "pid": running.pid, "began": hosts.began(running.pid)}
    )
    second._open.pop(other.number).set_user_attr("owner", {**owners.this(), "pid": 2**22 + 1})
    third = opened(home)
    third.forget_dead()
    states = {t.number: t.state for t in third.trials()}
    assert states == {mine.number: "running", other.number: "killed"}
    running.kill()
    running.wait()
    third.forget_dead()
    assert {t.state for t in third.trials()} == {"killed"}
    again = third.ask(9)
    assert again.origin == "default" and again.point == DEFAULT


@pytest.mark.slow
def test_several_processes_share_a_study_and_keep_to_its_limit(home):
    code = "import sys, pathlib; import test_study as t; "
    code += "t.run(pathlib.Path(sys.argv[1]), limit=12, slow=0.02, sampler='random')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    children = [subprocess.Popen([sys.executable, "-c", code, str(home)], env=environment) for _ in range(3)]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    done = opened(home).done()
    assert len(done) == 12 and sum(t.origin == "default" for t in done) == 1
    points = [json.dumps(t.point) for t in done]
    assert len(set(points)) == 12


def test_half_a_line_in_a_journal_costs_that_line_only(tmp_path, monkeypatch):
    journal = tmp_path / "studies.log"
    monkeypatch.setenv("OPTUNA_STORAGE", str(journal))
    before = told(run(tmp_path, limit=4))
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "x", "stu')
    assert told(opened(tmp_path)) == before
    assert len(told(run(tmp_path, limit=6))) == 6


def test_grid_tries_every_point_once_and_brute_force_in_another_order(tmp_path):
    finite = SPACE[1:]
    orders = []
    for sampler in ("grid", "brute_force"):
        made = Plan(
            sampler, finite, (False,), sampler, queue=(("default", {"kind": "b", "depth": 5}),), space="s"
        )
        study = Studies(storage_of(tmp_path), tmp_path).open(made, {})
        while (trial := study.ask(100)) is not None:
            study.tell(trial.number, [float(trial.point.get("depth", 0))])
        orders.append([json.dumps(t.point) for t in study.done()])
        assert study.best().point == {"kind": None}
    assert len(orders[0]) == 11 == len(set(orders[0])) and sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1] and orders[0][0] == orders[1][0]


def test_a_small_space_ends_when_every_point_was_tried(tmp_path):
    made = Plan("small", SPACE[1:2], (True,), "tpe", space="s")
    study = Studies(storage_of(tmp_path), tmp_path).open(made, {})
    while (trial := study.ask(60)) is not None:
        study.tell(trial.number, [1.0])
    assert {t.point["kind"] for t in study.done()} == {"a", "b", None} and len(study.done()) < 60


def test_re_tests_of_a_study_are_counted(home):
    study = opened(home)
    study.tell(study.ask(9).number, [1.0])
    assert study.looked("seed 7") == 1 == study.looked("seed 7")
    assert opened(home).looked("seed 8") == 2
    study.tell(study.ask(9).number, [1.0])
    assert opened(home).looked("seed 8") == 3


def test_the_pruner_looks_at_trials_at_the_same_point(tmp_path):
    study = opened(tmp_path, pruner="median", warmup=2)
    for quality in (0.5, 0.6):
        trial = study.ask(9)
        assert all(study.report(trial.number, step, quality + step / 10) for step in (1, 2))
        study.tell(trial.number, [quality])
    bad = study.ask(9)
    assert not study.report(bad.number, 1, 0.1)
    study.prune(bad.number)
    good = study.ask(9)
    assert study.report(good.number, 1, 0.9)
    study.tell(good.number, [0.9])
    assert [t.state for t in study.done()] == ["complete", "complete", "pruned", "complete"]
    assert study.best().number == good.number


def test_two_objectives_have_a_front(tmp_path):
    made = Plan("two", SPACE[:1], (True, False), "random", space="s")
    study = Studies(storage_of(tmp_path), tmp_path).open(made, {})
    for pair in ((0.5, 3.0), (0.6, 2.0), (0.4, 1.0), (0.3, 9.0)):
        study.tell(study.ask(9).number, pair)
    assert [t.number for t in study.front()] == [1, 2]


def test_a_study_of_another_space_and_a_storage_out_of_reach_are_refused(tmp_path, monkeypatch):
    opened(tmp_path)
    with pytest.raises(ConfigError, match="searched another space"):
        opened(tmp_path, space="s2")
    for where, why in (
        ("postgresql://me:secret@127.0.0.1:9/none", "postgresql://"),
        ("sqlite:////nowhere/at/all/x.db", "unable to open"),
        ("mongo://x", "is neither one of sqlite"),
        (str(tmp_path / "none" / "studies.log"), "is not a folder"),
    ):
        with pytest.raises(StorageError) as error:
            Studies(where, tmp_path)
        assert why in str(error.value) and "secret" not in str(error.value)
    (tmp_path / "notes.txt").write_text("my notes\nof today", encoding="utf-8")
    with pytest.raises(StorageError):
        Studies(str(tmp_path / "notes.txt"), tmp_path)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "my notes\nof today"


def test_a_study_in_memory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = studies.in_memory(plan())
    trial = study.ask(1)
    study.tell(trial.number, [1.0])
    assert study.ask(1) is None and list(tmp_path.iterdir()) == []


def test_what_nearly_all_trials_share_is_still_the_most_important():
    # As a search goes: 32 px is tried a few times, is far worse, and is left; the rest is noise.
    sizes = [32, 32, 32, *[96] * 27]
    rng = random.Random(0)
    points = [{"size": size, "colour": rng.random(), "sharp": rng.random()} for size in sizes]
    space = (
        Dimension("size", "categorical", labels=(32, 96)),
        Dimension("colour", "float", 0.0, 1.0),
        Dimension("sharp", "float", 0.0, 1.0),
    )
    queue = tuple((f"known good {n}", point) for n, point in enumerate(points))
    study = studies.in_memory(Plan("s", space, (True,), "random", queue=queue, space="s"))
    assert study.importances() == {}
    while (trial := study.ask(len(points))) is not None:
        noise = 0.01 * trial.point["colour"]
        study.tell(trial.number, [(0.5 if trial.point["size"] == 96 else 0.3) + noise])
    found = study.importances()
    assert found["size"] > 0.8 and sum(found.values()) == pytest.approx(1)


def test_a_database_appears_with_all_its_tables_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    file = tmp_path / "optuna.db"
    left = file.with_name(
        f".{file.name}.999999.tmp"
    )  # what a process left that was killed while it made tables
    left.write_bytes(b"half")
    opened(tmp_path, sampler="random")
    with sqlite3.connect(file) as database:
        names = {row[0] for row in database.execute("select name from sqlite_master where type = 'index'")}
    assert any("study_name" in name for name in names)
    assert [p.name for p in tmp_path.glob(".optuna.db.*.tmp")] == [left.name]


def test_a_trial_of_a_silent_machine_is_killed_and_run_again_and_one_that_beats_is_not(tmp_path):
    """Whatever the storage: the heartbeat stands beside the trial."""
    elsewhere = {**owners.this(), "machine": "0" * 16}
    for k, where in enumerate((studies.storage_of_home(tmp_path), str(tmp_path / "journal.log"))):
        opened = Studies(where, tmp_path, silence=60.0)
        plan = Plan(f"s{k}", (Dimension("x", "float", 0.0, 1.0),), (True,), sampler="random")
        theirs, ours = opened.open(plan, {}), opened.open(plan, {})
        begun = theirs.ask(10)
        theirs._open[begun.number].set_user_attr("owner", elsewhere)
        clock = [0.0]
        ours._watch._steady = ours._watch._wall = lambda clock=clock: clock[0]
        for _ in range(3):
            ours.forget_dead()
            clock[0] += 50
            theirs._beat()
        ours.forget_dead()
        assert ours.trials()[begun.number].state == "running"
        clock[0] += 61
        ours.forget_dead()
        assert ours.trials()[begun.number].state == "killed"
