"""The record on a real SQLite MLflow, in a folder with a blank and Hangul in its name."""

import base64
import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.record import board
from pipeline.record.tracking import CHECKOUT, Run, RunInfo, Tracker, git_commit, note, tracking_uri


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("기록 home")


@pytest.fixture(scope="module")
def client(home: Path):
    with Tracker(home).run(info("warm-up", "warm-up")):  # makes the tables once
        pass
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(home, None))


def info(competition: str, key: str, **more) -> RunInfo:
    return RunInfo(stage="train", competition=competition, name="train lite0", key=key, **more)


def only(client, competition: str, where: str = ""):
    experiment = client.get_experiment_by_name(competition)
    (run,) = client.search_runs([experiment.experiment_id], where)
    return run


def in_subprocess(code: str, **environ: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MLFLOW", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, env=kept | environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_run_records_everything_it_is_given(home: Path, client, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>보고서</p>", encoding="utf-8")
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "a.txt").write_text("a", encoding="utf-8")
    params = {f"section.p{i:03}": i for i in range(120)}  # more than one batch
    described = note("Trained", "To see", "make infer", report="report.html")
    start = info("whole", "k1", experiment="lite0", params=params, description=described, git="abc-dirty")
    with Tracker(home).run(start) as run:
        run.metrics({"oof_macro_f1": 0.02700000000000002, "lb_public": None, "minutes": 3})
        for epoch in range(3):
            run.epoch(epoch, {"train_loss": 1 / (epoch + 3)})
        run.artifact(report)
        run.artifact(folder, "sheets")
        run.text("config.yaml", "model: lite0\n")
        run.dataset("whole train", "0123456789abcdef" * 4, 2510)
        run.tag({"verdict": "better"})

    found = only(client, "whole")
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "train lite0"
    assert found.data.params == {key: str(value) for key, value in params.items()}
    assert found.data.metrics["oof_macro_f1"] == 0.027
    assert "lb_public" not in found.data.metrics
    tags = found.data.tags
    assert {k: tags[k] for k in ("stage", "experiment", "key", "git", "verdict")} == {
        "stage": "train",
        "experiment": "lite0",
        "key": "k1",
        "git": "abc-dirty",
        "verdict": "better",
    }
    assert tags["mlflow.note.content"] == described
    curve = client.get_metric_history(found.info.run_id, "train_loss")
    assert [(m.step, m.value) for m in curve] == [(0, 1 / 3), (1, 1 / 4), (2, 1 / 5)]
    (data,) = found.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("whole train", "0123456789ab")
    assert {f.path for f in client.list_artifacts(found.info.run_id)} == {
        "report.html",
        "sheets",
        "config.yaml",
    }
    kept = list((home / "mlartifacts").rglob("report.html"))
    assert [f.read_text(encoding="utf-8") for f in kept] == ["<p>보고서</p>"]


def test_children_are_one_level_beneath_and_inherit(home: Path, client) -> None:
    with (
        Tracker(home).run(info("nested", "k1", experiment="lite0")) as run,
        run.child("fold 0", {"fold": "0", "key": "k1-0"}, {"train.lr": 0.1}) as child,
    ):
        child.epoch(0, {"valid_loss": 1.0})
        with pytest.raises(AssertionError, match="two levels"):
            child.child("deeper", {})
    parent = only(client, "nested", "tags.`mlflow.parentRunId` IS NULL")
    fold = only(client, "nested", f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    tags = fold.data.tags
    assert (tags["stage"], tags["experiment"], tags["fold"], tags["key"]) == ("train", "lite0", "0", "k1-0")
    assert fold.data.params == {"train.lr": "0.1"}
    assert "fold" not in parent.data.tags


def test_a_failing_fold_is_named_on_its_parent(home: Path, client) -> None:
    with (
        pytest.raises(ValueError, match="does not decode"),
        Tracker(home).run(info("failing", "k1", description="**What** trained")) as run,
    ):
        with run.child("fold 0", {"fold": "0"}):
            pass
        with run.child("fold 1", {"fold": "1"}):
            raise ValueError("a.png does not decode")
    parent = only(client, "failing", "tags.`mlflow.parentRunId` IS NULL")
    assert parent.info.status == "FAILED"
    assert parent.data.tags["error"] == "fold 1: ValueError: a.png does not decode"
    described = parent.data.tags["mlflow.note.content"]
    assert described.startswith("**Failed** fold 1")
    assert described.endswith("**What** trained")
    assert only(client, "failing", "tags.fold = '0'").info.status == "FINISHED"
    broken = only(client, "failing", "tags.fold = '1'")
    assert (broken.info.status, broken.data.tags["error"]) == ("FAILED", "ValueError: a.png does not decode")


def test_control_c_is_killed(home: Path, client) -> None:
    with pytest.raises(KeyboardInterrupt), Tracker(home).run(info("stopped", "k1")):
        raise KeyboardInterrupt
    found = only(client, "stopped")
    assert (found.info.status, found.data.tags["error"]) == ("KILLED", "interrupted")


def test_runs_that_a_kill_left_open_are_closed_by_the_next(home: Path, client) -> None:
    lost = Tracker(home).run(info("resumed", "k1"))
    run = lost.__enter__()
    fold = run.child("fold 0", {"fold": "0"})
    fold.__enter__()
    with Tracker(home).run(info("resumed", "k1")) as again:
        assert client.get_run(run.id).info.status == "KILLED"
        assert only(client, "resumed", "tags.fold = '0'").info.status == "KILLED"
        assert client.get_run(again.id).info.status == "RUNNING"
        with Tracker(home).run(info("resumed", "another key")):
            assert client.get_run(again.id).info.status == "RUNNING"


def test_what_failed_stands_below_the_run_that_repaired_it_and_nothing_else_does(home: Path, client) -> None:
    tracker = Tracker(home)
    with pytest.raises(ValueError), tracker.run(info("again", "k1")):
        raise ValueError("once")
    with pytest.raises(ValueError), tracker.run(info("again", "another key")) as still:
        raise ValueError("still")
    with tracker.run(info("again", "k1")) as repaired:
        pass
    top = client.search_runs([place_of(client, repaired)], "tags.`mlflow.parentRunId` IS NULL")
    assert {r.info.run_id for r in top} == {repaired.id, still.id}


def place_of(client, run: Run) -> str:
    return str(client.get_run(run.id).info.experiment_id)


def test_a_training_stands_below_its_inference_also_if_both_were_recorded_before(home: Path, client) -> None:
    tracker = Tracker(home)
    runs = {}
    for stage, key in (("train", "t1"), ("train", "t2"), ("infer", "i1"), ("infer", "i2"), ("decide", "d1")):
        with tracker.run(replace(info("pairs", key), stage=stage)) as run:
            runs[key] = run.id
    pairs = {"train/t1": "infer/i1", "train/t2": "infer/lost", "decide/d1": "infer/i2"}
    for _ in range(2):
        Tracker(home).put_below("pairs", pairs)
    parents = {key: client.get_run(run).data.tags.get("mlflow.parentRunId") for key, run in runs.items()}
    assert parents == {"t1": runs["i1"], "t2": None, "i1": None, "i2": None, "d1": runs["i2"]}
    Tracker(home).put_below("no such competition", pairs)


def test_the_summary_of_a_curve_is_its_last_point(home: Path, client) -> None:
    with Tracker(home).run(info("curved", "k1")) as run:
        for epoch in range(3):
            run.epoch(epoch, {"valid_loss": 1 / (epoch + 1)})
        run.metrics({"valid_loss": 0.25, "minutes": 1})
    curve = client.get_metric_history(run.id, "valid_loss")
    assert [(m.step, round(m.value, 3)) for m in curve] == [(0, 1.0), (1, 0.5), (2, 0.333), (2, 0.25)]
    assert only(client, "curved").data.metrics["valid_loss"] == 0.25


def test_the_first_line_of_the_description_says_what_is_best_and_how_many_failed(home: Path, client) -> None:
    def first() -> str:
        return client.get_experiment_by_name("glance").tags["mlflow.note.content"].splitlines()[0]

    tracker = Tracker(home)
    with tracker.run(
        replace(info("glance", "k0"), name="low", metric="log_loss", higher_is_better=False)
    ) as run:
        assert first().startswith("**What this page shows** (Podium")
        run.metrics({"oof_log_loss": 0.25, "score": 0.25})
        run.tag({"interval 95": "0.2000 to 0.3000"})
    with tracker.run(
        replace(info("glance", "k1"), name="high", metric="log_loss", higher_is_better=False)
    ) as run:
        run.metrics({"oof_log_loss": 0.75})
    assert first().startswith("**Best: `low` 0.2500 [0.2000, 0.3000]** (Podium")
    with (
        pytest.raises(ValueError),
        tracker.run(info("glance", "k2")) as run,
        run.child("fold 1", {"fold": "1"}),
    ):
        raise ValueError("once")
    assert "`low` 0.2500 [0.2000, 0.3000]; 1 failed (*Views*, *What failed*)** (Podium" in first()
    tracker.standings("glance", "| a table |")
    assert "1 failed" in first()
    with tracker.run(info("glance", "k2")):
        pass
    assert "failed" not in first()


def test_a_finished_run_is_found_by_key_and_updated(home: Path, client) -> None:
    tracker = Tracker(home)
    with pytest.raises(ValueError), tracker.run(info("later", "k-later")) as failed:
        raise ValueError
    assert not tracker.update("k-later", "train", {"lb_public": 0.7})
    with tracker.run(info("later", "k-later")) as run:
        pass
    assert tracker.update("k-later", "train", {"lb_public": 0.71, "cv_lb_gap": None}, {"verdict": "better"})
    assert not tracker.update("k-later", "infer", {"lb_public": 0.5})
    assert not tracker.update("no such key", "train", {"lb_public": 0.5})
    assert client.get_run(run.id).data.metrics == {"lb_public": 0.71}
    assert client.get_run(run.id).data.tags["verdict"] == "better"
    assert client.get_run(failed.id).data.metrics == {}


def test_the_users_own_description_is_left_alone(home: Path, client) -> None:
    with Tracker(home).run(info("described", "k1")):
        pass
    experiment = client.get_experiment_by_name("described")
    assert "Which run is best?" in experiment.tags["mlflow.note.content"]
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    client.set_experiment_tag(experiment.experiment_id, "mlflow.sharedViewState.podium", "stale")
    with Tracker(home).run(info("described", "k2")):
        pass
    tags = client.get_experiment_by_name("described").tags
    assert tags["mlflow.note.content"] == "mine"
    assert tags["mlflow.sharedViewState.podium"] != "stale"
    Tracker(home).standings("described", "| a table |")
    assert client.get_experiment_by_name("described").tags["mlflow.note.content"] == "mine"


def test_standings_replace_our_part_and_keep_what_a_user_wrote_around_it(home: Path, client) -> None:
    def written() -> str:
        return client.get_experiment_by_name("standing").tags["mlflow.note.content"]

    tracker = Tracker(home)
    tracker.standings("standing", "| nobody |")  # nothing was recorded: nothing to describe
    assert client.get_experiment_by_name("standing") is None
    with tracker.run(info("standing", "k1", metric="log_loss", higher_is_better=False)):
        pass
    experiment = client.get_experiment_by_name("standing")
    client.set_experiment_tag(
        experiment.experiment_id, "mlflow.note.content", f"on top\n\n{written()}\n\nbelow"
    )
    for table in ("| first |", "| second |"):
        Tracker(home).standings("standing", table)
        assert written().startswith("on top\n") and written().endswith("\nbelow")
        assert table in written() and "oof_log_loss" in written()
    assert "| first |" not in written() and written().count("Which run is best?") == 1


def test_the_axes_of_the_drawing_follow_the_runs_and_outlast_the_next_start(home: Path, client) -> None:
    def axes() -> list[str]:
        text = client.get_experiment_by_name("drawn").tags[board.SETTINGS_VIEW]
        packed = base64.b64decode(json.loads(text)["state"].removeprefix("deflate;"))
        return json.loads(zlib.decompress(packed))["compareRunCharts"][0]["selectedParams"]

    tracker = Tracker(home)
    for n, loss in enumerate(("a", "b")):
        params = {"model.name": "net", "loss.name": loss}
        with tracker.run(replace(info("drawn", f"k{n}"), params=params)):
            pass
        tracker.standings("drawn", "| a |")
        assert axes() == (["model.name"] if n == 0 else ["loss.name"])
    with Tracker(home).run(info("drawn", "k9")):
        pass
    assert axes() == ["loss.name"]


def test_the_table_follows_the_competitions_metric(home: Path, client) -> None:
    with Tracker(home).run(info("by loss", "k1", metric="log_loss", higher_is_better=False)):
        pass
    tags = client.get_experiment_by_name("by loss").tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "oof_log_loss"
    assert tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "false"
    with Tracker(home).run(info("by loss", "k2", metric="qwk")):  # the competition's settings changed
        pass
    tags = client.get_experiment_by_name("by loss").tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "oof_qwk"
    assert tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "true"


def test_the_link_is_that_of_the_competitions_table_and_not_the_home_page(home: Path, client) -> None:
    with Tracker(home).run(info("pets", "linked")):
        pass
    number = client.get_experiment_by_name("pets").experiment_id
    assert Tracker(home).link("pets").startswith(f"http://127.0.0.1:5000/#/experiments/{number}/runs?")
    assert Tracker(home).link("nobody") == "" and Tracker(home / "empty").link("pets") == ""


def test_disabled_records_nothing(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, enabled=False)
    with tracker.run(info("off", "k1")) as run, run.child("fold 0", {"fold": "0"}) as child:
        child.epoch(0, {"loss": 1.0})
        run.metrics({"a": 1.0})
        run.dataset("d", "0", 1)
        run.artifact(tmp_path / "not there")
        run.text("a", "b")
    assert run.id is None and child.id is None
    assert not tracker.update("k1", "train", {})
    with pytest.raises(ValueError), tracker.run(info("off", "k1")):
        raise ValueError
    Run(tracker, info("off", "k1"), None).metrics({"a": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_costs_a_warning_and_no_result(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    caplog.set_level(logging.WARNING, "pipeline.record.tracking")
    tracker = Tracker(tmp_path, "http://127.0.0.1:9")
    start = time.monotonic()
    results = []
    for _ in range(3):
        with tracker.run(info("unreachable", "k1")) as run:
            run.epoch(0, {"loss": 1.0})
            results.append("kept")
    assert results == ["kept"] * 3
    assert time.monotonic() - start < 20
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "http://127.0.0.1:9" in said[0] and "results are not affected" in said[0]
    assert "off" in said[1]


def test_a_database_that_breaks_in_the_middle_costs_a_warning(tmp_path: Path, home, client, caplog) -> None:
    copy = tmp_path / "mlflow.db"
    with sqlite3.connect(tracking_uri(home, None).removeprefix("sqlite:///")) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    caplog.set_level(logging.WARNING, "pipeline.record.tracking")
    with Tracker(tmp_path).run(info("breaking", "k1")) as run:
        with sqlite3.connect(copy) as broken:
            broken.execute("DROP TABLE metrics")
        broken.close()
        for epoch in range(10):
            run.epoch(epoch, {"loss": 1.0})
    ours = [r.getMessage() for r in caplog.records if r.name == "pipeline.record.tracking"]
    assert [message.split(":")[0].split(" sqlite")[0] for message in ours] == [
        "MLflow record",
        "MLflow record is off for the rest of this run",
    ]


def test_where_the_record_is_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking_uri(tmp_path, "http://127.0.0.1:2") == "http://127.0.0.1:2"
    assert tracking_uri(tmp_path, None) == "http://127.0.0.1:1"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(tmp_path, None) == f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}"


def test_importing_and_being_off_load_no_mlflow() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.record.tracking import Tracker, RunInfo\n"
        "with Tracker(Path('.'), None, False).run(RunInfo('s', 'c', 'n', 'k')): pass\n"
        "print('mlflow' in sys.modules)"
    )
    assert in_subprocess(code) == "False"


@pytest.mark.slow
def test_telemetry_is_off_and_mlflow_is_quiet(tmp_path: Path, home: Path, client) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.record.tracking import Tracker, RunInfo\n"
        f"with Tracker(Path({str(home)!r})).run(RunInfo('s', 'quiet', 'n', 'k')): pass\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "print(get_telemetry_client(), file=sys.stderr)"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MLFLOW", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, env=kept
    )
    assert (done.stdout, done.stderr.strip()) == ("", "None")


def test_git_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == "none"

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    assert git_commit(tmp_path) == git("rev-parse", "--short=10", "HEAD")
    (tmp_path / "a.txt").write_text("b", encoding="utf-8")
    assert git_commit(tmp_path) == git("rev-parse", "--short=10", "HEAD") + "-dirty"


@pytest.mark.slow
def test_two_processes_on_an_empty_home_both_record(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.record.tracking import Tracker, RunInfo\n"
        f"with Tracker(Path({str(tmp_path)!r})).run(RunInfo('train', 'race', 'n', sys.argv[1])) as run:\n"
        "    run.metrics({'a': 1.0})\n"
    )

    def start(key: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, key]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)

    with ThreadPoolExecutor() as pool:
        for done in pool.map(start, ["a", "b"]):
            assert (done.returncode, done.stderr) == (0, "")
    database = sqlite3.connect(tmp_path / "mlflow.db")
    status = database.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
    database.close()
    assert status == [("FINISHED", 2)]


@pytest.mark.parametrize("kind", ["s3", "r2", "gs", "wasbs", "abfss"])
def test_a_missing_client_of_the_servers_storage_costs_files_and_nothing_else(
    home, client, caplog, kind, monkeypatch
):
    monkeypatch.setattr("pipeline.record.tracking._is_installed", lambda module: False)
    name = f"stored at {kind}"
    client.create_experiment(name, f"{kind}://me:s3cret@bucket/place")
    caplog.set_level(logging.WARNING, "pipeline.record.tracking")
    tracker = Tracker(home)
    for key in ("k1", "k2", "k3", "k4"):
        with tracker.run(RunInfo("train", name, "train x", key)) as run:
            run.text("settings.json", "{}")
            run.artifact(Path(__file__))
            run.metrics({"oof_macro_f1": 0.5})
        kept = client.get_run(run.id)
        assert kept.info.status == "FINISHED" and kept.data.metrics["oof_macro_f1"] == 0.5
    (said,) = [r.getMessage() for r in caplog.records]
    assert "pip install" in said and f"{kind}://" in said and "artifacts/" in said and "s3cret" not in said


def test_an_installed_client_is_used():
    from pipeline.record import tracking

    assert tracking._is_installed("json") and not tracking._is_installed("no_such.module.at_all")


def test_a_figure_that_mlflow_cannot_name_loses_no_record() -> None:
    """`map@5` is a metric of the registry, and a class may be called `C#`."""
    from mlflow.utils.validation import _validate_metric_name

    from pipeline.core.metrics import METRICS
    from pipeline.record import board

    for name in [*METRICS, "f1_C#", "f1_a+b (c)"]:
        _validate_metric_name(board.recorded_name(f"oof_{name}"), "name")
    assert board.recorded_name("oof_macro_f1") == "oof_macro_f1"
    assert board.Headline.of("map@5", True).name == board.recorded_name("oof_map@5")
