"""Names of other people become paths below one folder, or are refused before anything is touched."""

import json

import hostile_world as world
import pytest

from pipeline.core.errors import DataError
from pipeline.record import paths
from pipeline.record.files import FileIndex
from pipeline.record.store import Store

# A path of two names is allowed below a folder, and these names are only refused for a submission.
ALLOWED_BELOW = ("a/b", "leaderboard", "Submits", "two  spaces")
GOOD = ("pets-lite0-a1b2c3", "내 제출", "a.b", "pets-a@model-abc", "one two", "résumé", "n" * 200)


@pytest.mark.parametrize("name", [n for n in world.NAMES if n not in ALLOWED_BELOW])
def test_a_name_that_is_no_file_name_is_refused_and_nothing_is_made(tmp_path, name):
    assert paths.fault_of(name)
    with pytest.raises(DataError, match="nothing was written"):
        paths.below(tmp_path / "home", f"sub/{name}" if "/" not in name else name)
    assert world.tree(tmp_path) == {}


@pytest.mark.parametrize("name", world.NAMES)
def test_a_submission_cannot_have_such_a_name(name):
    assert paths.fault_of_submission(name)


@pytest.mark.parametrize("name", GOOD)
def test_names_that_people_use_are_kept(tmp_path, name):
    assert not paths.fault_of_submission(name)
    assert paths.below(tmp_path, f"x/{name}") == tmp_path / "x" / name


def test_a_link_on_the_way_is_refused_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    (victim / "artifacts").mkdir(parents=True)
    (victim / "artifacts" / "result").write_text("mine")
    home = tmp_path / "home"
    home.mkdir()
    (home / "name").symlink_to(victim)
    with pytest.raises(DataError, match="is a link"):
        paths.remove_below(home, "name/artifacts")
    assert (victim / "artifacts" / "result").read_text() == "mine"


def test_removing_a_folder_removes_its_links_and_not_what_they_lead_to(tmp_path):
    victim, home = tmp_path / "victim", tmp_path / "home"
    victim.mkdir()
    (victim / "result").write_text("mine")
    (home / "name").mkdir(parents=True)
    (home / "name" / "link").symlink_to(victim)
    paths.remove_below(home, "name")
    assert not (home / "name").exists() and (victim / "result").read_text() == "mine"


def _result(root, stage, name, **changes):
    folder = root / stage / name
    folder.mkdir(parents=True)
    manifest = {"stage": stage, "key": name, "files": {}, "inputs": {}} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_key_that_leads_outside_finds_nothing_and_moves_nothing(tmp_path):
    home = tmp_path / "home"
    _result(home / "artifacts", "infer", "aaaa")
    _result(tmp_path, "victims", "bbbb", key="another: damaged, so a find would move it away")
    store = Store(home, FileIndex(home / "index"))
    before = world.tree(tmp_path)
    for stage, key in (
        ("..", "aaaa"),
        ("infer", "../../../victims/bbbb"),
        ("../../victims", "bbbb"),
        ("", ""),
    ):
        assert store.find(stage, key) is None
    assert world.tree(tmp_path) == before
    assert store.find("infer", "aaaa") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"of": "../victim"}},
        {"inputs": {"of": "infer"}},
        {"inputs": ["infer/a"]},
        {"files": {"../../x": {"sha256": "0", "bytes": 1}}},
        {"files": {"/etc/passwd": {"sha256": "0", "bytes": 1}}},
        {"files": {"a": "b"}},
        {"files": {"a": {}}},
    ],
)
def test_a_manifest_of_another_form_is_a_damaged_result(tmp_path, changes):
    _result(tmp_path / "artifacts", "infer", "aaaa", **changes)
    store = Store(tmp_path, FileIndex(tmp_path / "index"))
    assert store.all() == [] and store.look("infer", "aaaa") is None
    assert (tmp_path / "artifacts" / "infer" / "aaaa").is_dir(), "looking changes nothing"
    assert store.find("infer", "aaaa") is None
    assert (tmp_path / "artifacts" / ".damaged" / "infer-aaaa").is_dir()
