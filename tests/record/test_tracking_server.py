"""An MLflow server with `--serve-artifacts` as the record of two homes, served for real on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from pipeline.record.tracking import RunInfo, Tracker

WRITE = """
import sys; from pathlib import Path
from pipeline.record.tracking import RunInfo, Tracker
home, uri, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
home.mkdir()
(home / "page.html").write_text(f"<p>{name}</p>")
with Tracker(home, uri).run(RunInfo("train", "digits", f"train {name}", f"key-{name}")) as run:
    run.metrics({"oof_macro_f1": 0.5})
    run.artifact(home / "page.html")
    with run.child("fold 0", {"fold": "0"}) as fold:
        fold.epoch(0, {"loss": 1.0})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = ["server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"]
    words += ["--artifacts-destination", str(folder / "files"), "--host", "127.0.0.1", "--port", port]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, "--workers", "1"],
        env=quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield uri, folder
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.mark.slow
def test_runs_and_files_of_two_homes_land_at_one_server(server, tmp_path):
    uri, folder = server
    started = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path / name), uri, name]) for name in "ab"
    ]
    assert [process.wait() for process in started] == [0, 0]
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("digits")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name for name in runs if name.startswith("train")} == {"train a", "train b"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for name in "ab":
        run = runs[f"train {name}"]
        assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["page.html"]
        assert run.data.metrics["oof_macro_f1"] == 0.5
    assert len(list((folder / "files").rglob("page.html"))) == 2
    assert not list(tmp_path.glob("*/mlflow.db")) and not list(tmp_path.glob("*/mlartifacts"))


@pytest.mark.slow
def test_a_run_of_the_same_key_in_another_home_is_not_closed(server, tmp_path):
    """Both write to one server; the claim of a key is one home's, and the other process is alive."""
    uri, _ = server
    code = WRITE.replace('run.metrics({"oof_macro_f1": 0.5})', "print(run.id, flush=True); input()")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "c"), uri, "c"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        theirs = process.stdout.readline().strip()
        tracker = Tracker(tmp_path, uri)
        with tracker.run(RunInfo("train", "digits", "train c", "key-c")):
            status = tracker.attempt(lambda client: client.get_run(theirs).info.status)
        process.stdin.write("\n")
        process.stdin.close()
    assert theirs and status == "RUNNING"
