"""The servers of pages: a taken port, a missing record and a password are told before they start."""

import socket
import sqlite3

import pytest
from sqlalchemy.engine import make_url

from pipeline.core.errors import StorageError
from pipeline.record import serve
from pipeline.record.files import sqlite_url
from pipeline.record.study import Plan, Studies, storage_of
from pipeline.record.tracking import Tracker

ODD = ("a?b", "100%", "%41", "q?x=1&y%20#d{e} f+g", "고양이 [1]", "a@b:c")


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind((serve.HERE, 0))
        held.listen()
        yield str(held.getsockname()[1])


@pytest.fixture(autouse=True)
def own(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


@pytest.mark.parametrize("server", ["ui", "dashboard"])
def test_a_taken_port_is_an_error_that_names_another(tmp_path, taken, server, capsys):
    file = tmp_path / "x.db"
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE experiments (name, experiment_id, lifecycle_stage)")
    assert serve.main([server, "--file", str(file), "--port", taken]) == 2
    err = capsys.readouterr().err
    assert f"PORT={taken}" in err and f"make {server} PORT=" in err


@pytest.mark.parametrize("port", ["", "x", "0", "65536", "-1", "8080; rm", "५"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(StorageError, match="PORT="):
        serve.refuse_port(port, "ui")


def test_without_a_record_the_command_that_makes_one_is_named(tmp_path, capsys):
    for server, target in (("ui", "make all"), ("dashboard", "make tune")):
        assert serve.main([server, "--file", str(tmp_path / "no.db"), "--port", "5999"]) == 2
        assert target in capsys.readouterr().err


def test_a_server_elsewhere_is_named_without_its_password(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@host:5000")
    assert serve.main(["ui", "--file", str(tmp_path / "no.db"), "--port", "5999"]) == 2
    err = capsys.readouterr().err
    assert "http://…@host:5000" in err and "s3cret" not in err


@pytest.mark.parametrize("name", ODD)
def test_the_address_of_a_file_leads_to_that_file(tmp_path, name):
    path = tmp_path / name / "mlflow.db"
    assert make_url(sqlite_url(path)).database == str(path)


@pytest.mark.parametrize("name", ODD[:4])
def test_studies_and_runs_stay_in_their_home_whatever_its_name(tmp_path, name):
    home = tmp_path / name
    home.mkdir()
    assert Tracker(home).attempt(lambda client: client.create_experiment("x"))
    Studies(storage_of(home), home).open(Plan("s", (), (True,)), {})
    assert Studies(storage_of(home), home).names() == ["s"]
    assert (home / "mlflow.db").is_file() and (home / "optuna.db").is_file()
    assert [p.name for p in tmp_path.iterdir()] == [name], "nothing lies beside it"
