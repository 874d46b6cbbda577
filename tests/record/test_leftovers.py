"""What a killed process left is removed by the next command, and nothing of a living one."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import hostile_world as world
import pytest

from pipeline.record import leftovers
from pipeline.record.claims import CLAIMS
from pipeline.record.files import FileIndex, temporary_of
from pipeline.record.owners import Watch, this
from pipeline.record.store import Store
from pipeline.record.tracking import BEAT, OWNER, RunInfo, Tracker, tracking_uri


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    (home / "artifacts" / ".locks").mkdir(parents=True)
    return home


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@contextmanager
def living(code, *words):
    """Another process that has run this code and waits."""
    text = f"{code}\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", text, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def store_of(home):
    return Store(home, FileIndex(home / "artifacts" / ".index.json"))


def clear(home):
    return leftovers.clear(
        home, store_of(home), Tracker(home, enabled=(home / "mlflow.db").is_file()), home / "c"
    )


def client_of(home):
    """Called after a tracker has imported mlflow: it sets what mlflow reads at its import."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(home, None))


def leave(home, pid):
    """A file or folder of a process in every place where one is written."""
    places = [
        "data/x",
        "submissions/x.csv",
        "submissions/verdicts/x.csv",
        "tuning/x.html",
        "work/fold/k/state.pt",
    ]
    made = []
    for place in (*places, "artifacts/.index.json", "machine.json"):
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        left = path.with_name(f".{path.name}.{pid}.tmp")
        left.write_bytes(b"half")
        made.append(left)
    folder = home / "data" / f".demo.{pid}.tmp"
    (folder / "images").mkdir(parents=True)
    return [*made, folder]


def test_files_folders_and_drafts_of_a_dead_process_are_removed(home, dead):
    left = leave(home, dead)
    draft = home / "artifacts" / ".building" / "infer-aaaa"
    draft.mkdir(parents=True)
    kept = home / "data" / "mine"
    kept.write_text("mine")
    assert len(clear(home)) == 1
    assert not any(path.exists() for path in (*left, draft)) and kept.read_text() == "mine"
    assert clear(home) == [], "nothing is left to remove"


def test_a_leftover_with_the_number_of_this_process_is_removed(home):
    left = leave(home, os.getpid())
    clear(home)
    assert not any(path.exists() for path in left)


def test_files_of_a_living_process_stay(home):
    left = leave(home, os.getppid())
    before = world.tree(home)
    assert clear(home) == [] and world.tree(home) == before and all(path.exists() for path in left)


def test_nothing_is_removed_while_another_process_uses_results(home, dead):
    leave(home, dead)
    draft = home / "artifacts" / ".building" / "infer-aaaa"
    draft.mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; from pipeline.record.files import FileIndex\n"
        "from pipeline.record.store import Store\n"
        "home = Path(sys.argv[1]); held = Store(home, FileIndex(home / 'i')).in_use(); held.__enter__()"
    )
    with living(code, home):
        assert clear(home) == [] and draft.is_dir()
    assert clear(home) != [] and not draft.exists()


@pytest.mark.parametrize(
    "name", [".x.tmp", ".x.y.tmp", "x.5.tmp", ".x.5.tmp.bak", ".x.99999999999999999999.tmp"]
)
def test_files_of_another_form_are_not_ours(home, name):
    (home / "data").mkdir()
    (home / "data" / name).write_text("mine")
    assert clear(home) == [] and (home / "data" / name).is_file()


def test_a_link_is_removed_and_what_it_leads_to_stays(home, dead, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("mine")
    (home / "data").mkdir()
    link = home / "data" / f".demo.{dead}.tmp"
    link.symlink_to(tmp_path / "victim")
    clear(home)
    assert not link.is_symlink() and (tmp_path / "victim" / "file").read_text() == "mine"


def test_a_home_that_does_not_exist_is_not_made(tmp_path):
    assert clear(tmp_path / "none") == [] and not (tmp_path / "none").exists()


def test_what_is_written_is_named_as_it_is_removed(tmp_path):
    assert leftovers.TEMPORARY.fullmatch(temporary_of(tmp_path / "a b.csv").name)


def test_runs_of_dead_processes_are_closed_and_others_stay(home, dead):
    tracker = Tracker(home)
    ended = {**this(), "pid": dead, "began": "long ago"}
    owners = {
        "dead": json.dumps(ended),
        "alive": json.dumps(this()),
        "elsewhere": json.dumps({**ended, "host": "another"}),
        "odd": "no json",
    }
    experiment = tracker.attempt(lambda c: c.create_experiment("digits", (home / "a").as_uri()))
    client = client_of(home)
    runs = {
        name: client.create_run(experiment, tags={OWNER: text}).info.run_id for name, text in owners.items()
    }
    runs["unnamed"] = client.create_run(experiment).info.run_id
    lines = clear(home)
    status = {name: client.get_run(run).info.status for name, run in runs.items()}
    assert status == {
        "dead": "KILLED",
        "alive": "RUNNING",
        "elsewhere": "RUNNING",
        "odd": "RUNNING",
        "unnamed": "KILLED",
    }
    assert "2 runs" in lines[0] and client.get_run(runs["dead"]).data.tags["error"] == "killed"


def test_a_run_names_its_process_and_the_next_run_closes_dead_ones_of_other_keys(home, dead):
    tracker = Tracker(home)
    with tracker.run(RunInfo("train", "digits", "train a", "k1")) as run:
        client = client_of(home)
        assert json.loads(client.get_run(run.id).data.tags[OWNER]) == this()
        killed = client.create_run(
            client.get_run(run.id).info.experiment_id,
            tags={OWNER: json.dumps({**this(), "pid": dead, "began": ""})},
        )
        with tracker.run(RunInfo("train", "digits", "train b", "k2")):
            assert client.get_run(killed.info.run_id).info.status == "KILLED"
            assert client.get_run(run.id).info.status == "RUNNING"


def test_runs_of_a_silent_machine_are_closed_by_two_commands_and_those_that_beat_are_not(home, monkeypatch):
    tracker = Tracker(home)
    experiment = tracker.attempt(lambda c: c.create_experiment("digits", (home / "a").as_uri()))
    client = client_of(home)
    owner = json.dumps({**this(), "machine": "0" * 16})
    silent, beating = (
        client.create_run(experiment, tags={OWNER: owner, BEAT: "1"}).info.run_id for _ in range(2)
    )
    now = [1000.0]
    (home / "artifacts" / CLAIMS).mkdir(exist_ok=True)
    monkeypatch.setattr(
        leftovers.Watch, "of", lambda folder, host=None: Watch(folder / "seen.json", lambda: now[0])
    )
    assert clear(home) == []
    now[0] += 200
    client.set_tag(beating, BEAT, "2")
    assert "1 run" in clear(home)[0]
    assert [client.get_run(run).info.status for run in (silent, beating)] == ["KILLED", "RUNNING"]


def test_an_open_run_has_a_heartbeat(home):
    tracker = Tracker(home, silence=0.6)
    with tracker.run(RunInfo("train", "digits", "train a", "k1")) as run:
        client, seen = client_of(home), set()
        for _ in range(400):
            seen.add(client.get_run(run.id).data.tags.get(BEAT))
            if len(seen) > 2:
                break
            time.sleep(0.02)
        assert len(seen) > 2


def test_a_temporary_file_of_another_host_stays_for_a_day(home):
    (home / "data").mkdir()
    left = home / "data" / f".x.00000000.{os.getpid()}.tmp"
    left.write_bytes(b"half")
    clear(home)
    assert left.exists()
    day_ago = time.time() - 25 * 3600
    os.utime(left, (day_ago, day_ago))
    clear(home)
    assert not left.exists()
