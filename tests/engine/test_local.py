"""Processes of this machine: the same bits, and what happens when one of them, or the command, ends early."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toil_world
from main_world import SMALL, run
from toil_world import catalogue, digests, session_of, team

from pipeline.core.errors import StoppedError, UserError
from pipeline.engine.executors import local
from pipeline.engine.executors.devices import Token, cores
from pipeline.engine.executors.local import open_local
from pipeline.engine.executors.parallel import Parallel
from pipeline.engine.need import Need
from pipeline.engine.session import Session

pytestmark = pytest.mark.slow

# A command with toy stages, in a process group of its own: HOME, what the toils do.
COMMAND = """
import sys
from pathlib import Path
from test_local import local_session, team
session = local_session(Path(sys.argv[1]))
try:
    with session.using():
        try:
            session.get(team(session, sys.argv[2]))
        finally:
            session.close()
except KeyboardInterrupt:
    raise SystemExit(130)
"""


def local_session(home):
    settings = session_of(home, "runtime.executor=local", "runtime.processes=2").settings
    return Session(settings, catalogue(), executor=Parallel(open_local, catalogue))


def command(home, does):
    path = os.pathsep.join([str(Path(toil_world.__file__).parent), str(Path(__file__).parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(home), does],
        env=env,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def running(home, n=2):
    """Process ids of the workers, once n toils run and have finished an epoch."""
    for _ in range(600):
        for path in (home / "artifacts" / ".state").glob("*.json"):
            needs = json.loads(path.read_text(encoding="utf-8"))["needs"]
            busy = {x["pid"] for x in needs if x["stage"] == "toil" and x["state"] == "running"}
            begun = list((home / "work" / "toil").glob("*/epoch0"))
            if len(busy) == n and len(begun) == n:
                return busy
        time.sleep(0.1)
    raise AssertionError("the toils did not start")


def is_gone(pid):
    """Whether no process has this number, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def gone(pids, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not all(map(is_gone, pids)):
        time.sleep(0.1)
    return all(map(is_gone, pids))


def without_times(home):
    """Digests of the files that hold no measured seconds."""
    timed = {"times.json", "history.json", "history.csv", "views.json"}
    return {key: {n: d for n, d in files.items() if n not in timed} for key, files in digests(home).items()}


def test_a_competition_has_the_same_bits_as_in_one_process(tmp_path):
    words = ("experiment=tiny_cnn", "train.epochs=2")
    for home, how in (("here", ["runtime.executor=here"]), ("local", ["runtime.executor=local"])):
        small = [word for word in SMALL if not word.startswith("train.epochs")]
        done = run(tmp_path / home, "infer", *words, *how, "runtime.device=cpu", small=small)
        assert done.code == 0, done.out + done.err
    assert without_times(tmp_path / "here") == without_times(tmp_path / "local")
    (state,) = (tmp_path / "local" / "artifacts" / ".state").glob("*.json")
    folds = [x for x in json.loads(state.read_text())["needs"] if x["stage"] == "fold"]
    assert [(x["state"], x["epoch"], x["epochs"]) for x in folds] == [("done", 2, 2)] * 2
    assert len({x["pid"] for x in folds} - {os.getpid()}) == min(2, cores())


def test_processes_stay_alive_and_end_with_the_command(tmp_path):
    session = local_session(tmp_path)
    session.get(team(session))
    pids = {int(a.metrics["pid"]) for a in session.store.all("toil")}
    assert len(pids) == 2 and os.getpid() not in pids, "three toils in two processes"
    session.get(team(session, "more"))
    assert {int(a.metrics["pid"]) for a in session.store.all("toil")} == pids
    session.close()
    assert gone(pids, 1)


def test_a_search_hears_each_epoch_of_another_process_and_may_end_the_training(tmp_path):
    session, heard = local_session(tmp_path), list[int]()
    toil = [Need("toil", session.settings, {"fold": n, "does": "work"}) for n in range(2)]
    session.on_epoch = lambda fold, epoch, figures: heard.append(epoch) or len(heard) != 5
    session.get(toil[0])
    with pytest.raises(StoppedError, match="toil 1 was stopped"):
        session.get(toil[1])
    session.close()
    assert heard == [0, 1, 2, 0, 1]


def test_a_killed_worker_is_replaced_and_its_need_tried_once_more(tmp_path, caplog):
    session = local_session(tmp_path)
    session.get(team(session, "die once"))
    session.close()
    assert "SIGKILL" in caplog.text and "tried once more" in caplog.text


def test_a_need_that_always_kills_its_worker_is_told_and_the_others_are_kept(tmp_path):
    session = local_session(tmp_path)
    with pytest.raises(UserError) as failed:
        session.get_all([team(session, "die"), team(session)])
    session.close()
    assert "ended twice (signal SIGKILL)" in str(failed.value)
    assert [a.stage for a in session.store.all()].count("team") == 1


def test_ctrl_c_ends_all_processes_within_seconds(tmp_path):
    one = command(tmp_path, "sleep")
    pids = running(tmp_path)
    began = time.monotonic()
    os.killpg(one.pid, signal.SIGINT)
    out, _ = one.communicate(timeout=30)
    assert one.returncode == 130, out
    assert gone(pids, 2) and time.monotonic() - began < 10
    assert "Traceback" not in out
    (path,) = (tmp_path / "artifacts" / ".state").glob("*.json")
    assert json.loads(path.read_text())["state"] == "stopped"


def test_no_process_survives_a_killed_command(tmp_path):
    one = command(tmp_path, "sleep")
    pids = running(tmp_path)
    one.kill()
    one.communicate(timeout=30)
    assert gone(pids, 5)


FOLDS = ("experiment=tiny_cnn", "train.epochs=12", "runtime.executor=local", "runtime.device=cpu")


def test_the_next_run_continues_each_fold_from_its_checkpoint(tmp_path):
    small = [word for word in SMALL if not word.startswith("train.epochs")]
    words = [sys.executable, "-m", "pipeline", "train", *small, *FOLDS, f"runtime.home={tmp_path}"]
    one = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 120
    while len(list((tmp_path / "work" / "fold").glob("*/*.pt"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(one.pid, signal.SIGINT)
    one.communicate(timeout=30)
    assert one.returncode == 130
    left = list((tmp_path / "work" / "fold").glob("*/*.pt"))
    assert left, "unfinished work stays"
    done = run(tmp_path, "train", *FOLDS, small=small)
    assert done.code == 0, done.out + done.err
    assert "continues after epoch" in done.out + done.err


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_ctrl_c_while_a_process_starts_shows_no_traceback(seconds, capfd):
    one = local._Process(Token("process 0"))
    time.sleep(seconds)
    one.process.send_signal(signal.SIGINT)
    one.process.wait(20)
    one.show()
    one.kill()
    assert "Traceback" not in capfd.readouterr().err
