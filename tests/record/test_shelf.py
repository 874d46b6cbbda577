import json

import pytest

from pipeline.core.errors import DataError
from pipeline.record.files import FileIndex
from pipeline.record.shelf import Shelf
from pipeline.record.store import Store


def finished(home, stage, key, created, experiment="probe", competition="digits", inputs=None):
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    manifest = {"experiment": experiment, "competition": competition, "created": created, "metrics": {}}
    with store.draft(stage, key) as draft:
        (draft / "a.txt").write_text("a")
        return store.publish(stage, key, draft, manifest | {"inputs": inputs or {}})


@pytest.fixture
def home(tmp_path):
    finished(tmp_path, "data", "d" * 16, "2026-01-01")
    finished(tmp_path, "train", "a" * 16, "2026-01-02", inputs={"data": "data/" + "d" * 16})
    finished(tmp_path, "train", "b" * 16, "2026-01-03", "lite0")
    finished(tmp_path, "train", "c" * 16, "2025-12-31", competition="emoji")
    return tmp_path


def test_the_newest_result_is_found_by_stage_and_experiment(home):
    shelf = Shelf.open(str(home))
    assert shelf.competition == "digits", "that of the newest result"
    assert shelf.newest("train").key == "b" * 16
    assert shelf.newest("train", "probe").key == "a" * 16
    assert [a.key[0] for a in shelf.every("train")] == ["b", "a"]
    assert shelf.inputs(shelf.newest("train", "probe"))["data"].stage == "data"
    assert Shelf.open(str(home), "emoji").newest("train").key == "c" * 16


def test_the_environment_names_home_and_competition(home, monkeypatch):
    monkeypatch.setenv("PODIUM_HOME", str(home))
    monkeypatch.setenv("PODIUM_COMPETITION", "emoji")
    assert Shelf.open().newest("train").key == "c" * 16


def test_what_is_missing_is_told_with_the_command_that_makes_it(home, tmp_path_factory):
    shelf = Shelf.open(str(home))
    with pytest.raises(DataError, match=r'make error-analysis ARGS="competition=digits"'):
        shelf.newest("error_analysis")
    with pytest.raises(DataError, match=r"make train .*experiment=resnet"):
        shelf.newest("train", "resnet")
    with pytest.raises(DataError, match="run `make all` first"):
        Shelf.open(str(tmp_path_factory.mktemp("nothing")))
    empty = tmp_path_factory.mktemp("empty")
    (empty / "artifacts").mkdir()
    with pytest.raises(DataError, match="empty"):
        Shelf.open(str(empty))


def test_a_damaged_result_is_passed_over_and_gone_inputs_are_named(home):
    (home / "artifacts" / "train" / ("b" * 16) / "a.txt").write_text("bb")
    shelf = Shelf.open(str(home))
    assert shelf.newest("train").key == "a" * 16
    (home / "artifacts" / "data" / ("d" * 16) / "manifest.json").unlink()
    with pytest.raises(DataError, match="data: data/d"):
        Shelf.open(str(home)).inputs(shelf.newest("train"))
    assert json.loads((home / "artifacts" / "train" / ("a" * 16) / "manifest.json").read_text())
