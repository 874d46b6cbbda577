"""A provenance file from outside: refused with every fault, before anything is written or removed."""

import argparse
import json

import hostile_world as world
import pytest

from pipeline.core.errors import DataError
from pipeline.settings.load import load
from pipeline.stages import open_session
from pipeline.submit import provenance, reproduce


def write(folder, content):
    path = folder / "submissions" / "theirs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def refused(path):
    with pytest.raises(DataError) as caught:
        provenance.read(path)
    assert path.name in caught.value.headline and caught.value.remedy
    return caught.value


def test_what_this_code_writes_is_read_unchanged(tmp_path):
    path = write(tmp_path, world.PROVENANCE)
    assert provenance.read(path) == world.PROVENANCE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"\xff\xfe{}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n",
        b"\x00" * 100,
    ],
    ids=range(11),
)
def test_what_is_no_json_object_is_one_error(tmp_path, content):
    assert "no provenance" in refused(write(tmp_path, content)).headline


@pytest.mark.parametrize("name", world.NAMES)
def test_a_name_that_is_no_name_is_refused(tmp_path, name):
    error = refused(write(tmp_path, world.provenance(name=name)))
    assert any(fault.startswith("name: ") or "Unicode" in fault for fault in error.faults)


@pytest.mark.parametrize("address", world.ADDRESSES)
@pytest.mark.parametrize("field", ["artifact", "chain", "input", "member"])
def test_an_address_of_a_result_has_two_names(tmp_path, address, field):
    changes = {
        "artifact": {"artifact": address},
        "chain": {"chain": {str(address): world.NODE}},
        "input": {"chain": {"infer/a": {**world.NODE, "inputs": {"of": address}}}},
        "member": {"members": {"lite0": {"artifact": address, "request": None}}},
    }[field]
    refused(write(tmp_path, world.provenance(**changes)))


@pytest.mark.parametrize(
    "name",
    [
        "../../victim.yaml",
        "/etc/victim.yaml",
        "experiment/../../victim.yaml",
        "a/b/c.yaml",
        "victim.py",
        ".yaml",
    ],
)
def test_settings_files_have_the_names_of_settings_files(tmp_path, name):
    refused(write(tmp_path, world.provenance(request__files={name: "{}"})))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"csv_sha256": "0"}, "csv_sha256"),
        ({"csv_sha256": None}, "csv_sha256"),
        ({"format": []}, "format"),
        ({"format": {"../x": 1, "sample_sha256": world.DIGEST}}, "format"),
        ({"format": {"format": "label"}}, "format.sample_sha256"),
        ({"members": []}, "members"),
        ({"members": {"a": {}}}, "members.a.artifact"),
        ({"request__values": [["only a path"]]}, "request.values"),
        ({"request__values": [[5, 5]]}, "request.values.0"),
        ({"request__files": {"config.yaml": 5}}, "request.files"),
        ({"request__experiment": "debug"}, "request.experiment"),
        ({"machines": {}}, "machines"),
        ({"machines": []}, "made"),
        ({"machines": [{"profile": {"device": "cpu", "threads": "two"}, "versions": {}}]}, "machines.0"),
        ({"chain": {"infer/a": {**world.NODE, "made": 7}}}, "chain.infer/a.made"),
        ({"chain": {"infer/a": {**world.NODE, "made": -1}}}, "made"),
        ({"chain": {"infer/a": {**world.NODE, "config": {"images": 5}}}}, "config"),
        ({"manifest__git": "x; rm -rf ~"}, "manifest.git"),
        ({"manifest__versions": None}, "manifest.versions"),
        ({"artifact": "decide/aaaa"}, "manifest.config.of"),
    ],
)
def test_every_part_has_its_form_and_the_fault_names_its_place(tmp_path, changes, place):
    error = refused(write(tmp_path, world.provenance(**changes)))
    assert any(place in fault for fault in error.faults), error.faults


def test_all_faults_are_named_at_once(tmp_path):
    broken = world.provenance(name="../x", artifact="x", csv_sha256="x", members=5)
    assert len(refused(write(tmp_path, broken)).faults) == 4


@pytest.mark.parametrize("key", sorted(world.PROVENANCE.keys() - {"version", "request"}))
def test_a_missing_part_is_named_or_not_needed(tmp_path, key):
    content = {name: value for name, value in world.PROVENANCE.items() if name != key}
    path = write(tmp_path, content)
    if key in ("competition", "blend", "decision", "digests"):
        assert provenance.read(path) == content
    else:
        assert any(fault.startswith(key) for fault in refused(path).faults)


@pytest.mark.parametrize("change", [{"version": 1}, {"version": 3}, {"version": "two"}, {"request": None}])
def test_another_version_names_the_commit_only_if_it_is_one(tmp_path, change):
    good, bad = {"manifest": {"git": "0a1b2c3d4e-dirty"}}, {"manifest": {"git": "$(rm -rf ~)"}}
    assert "git checkout 0a1b2c3d4e" in refused(write(tmp_path, world.PROVENANCE | change | good)).remedy
    assert "rm" not in refused(write(tmp_path, world.PROVENANCE | change | bad)).remedy


@pytest.mark.parametrize("scratch", [True, False])
@pytest.mark.parametrize("name", ["../../victim", "../..", "..", "/tmp/victim"])
def test_reproduce_neither_writes_nor_removes_outside_its_folder(tmp_path, name, scratch):
    victim, home = tmp_path / "victim", tmp_path / "home"
    for folder in (victim, home):
        (folder / "artifacts" / "infer").mkdir(parents=True)
        (folder / "artifacts" / "infer" / "result").write_text("mine")
    write(home, world.provenance(name=name))
    before = world.tree(tmp_path)
    session = open_session(
        load(["competition=digits", f"runtime.home={home}", "runtime.mlflow=false"]), False
    )
    options = argparse.Namespace(file="theirs", scratch=scratch, anyway=True)
    with pytest.raises(DataError, match="no provenance"):
        reproduce.run(session, options)
    assert world.tree(tmp_path) == before


@pytest.mark.parametrize("linked", ["", "artifacts"])
def test_reproduce_does_not_follow_a_link_in_its_folder(tmp_path, linked):
    victim, home = tmp_path / "victim", tmp_path / "home"
    (victim / "artifacts").mkdir(parents=True)
    (victim / "artifacts" / "result").write_text("mine")
    write(home, world.PROVENANCE)
    place = home / "work" / "reproduce" / world.PROVENANCE["name"] / linked
    place.parent.mkdir(parents=True)
    place.symlink_to(victim / linked if linked else victim)
    session = open_session(
        load(["competition=digits", f"runtime.home={home}", "runtime.mlflow=false"]), False
    )
    with pytest.raises(DataError, match="is a link"):
        reproduce.run(session, argparse.Namespace(file="theirs", scratch=True, anyway=True))
    assert (victim / "artifacts" / "result").read_text() == "mine"
    assert not (victim / "configs").exists()


def test_a_record_cannot_choose_the_home_that_is_written_to(tmp_path):
    victim, home = tmp_path / "victim", tmp_path / "home"
    home.mkdir()
    files = {
        "config.yaml": f"runtime:\n  home: {victim}\n",
        "competition/digits.yaml": "competition:\n  name: digits\n  demo: {source: digits}\n"
        "  attributes: [{name: digit, column: digit, values: ['0', '1']}]\n",
    }
    request = {
        "competition": "digits",
        "model": None,
        "experiment": [],
        "values": [["runtime.home", str(victim)]],
    }
    known = world.provenance(request={**request, "files": files}, format={"sample_sha256": world.DIGEST})
    session = open_session(
        load(["competition=digits", f"runtime.home={home}", "runtime.mlflow=false"]), False
    )
    csv = home / "submissions" / "theirs.csv"
    rebuild = reproduce._prepare(session, csv, known, scratch=False)
    assert rebuild.session.home == home and not victim.exists()
    assert rebuild.root.settings.config.runtime.home == str(home)


@pytest.mark.parametrize("text", [".", "..", "/", "../..", "x" * 300, "a\x00b"])
def test_file_names_no_submission_are_told(tmp_path, text):
    session = open_session(
        load(["competition=digits", f"runtime.home={tmp_path}", "runtime.mlflow=false"]), False
    )
    with pytest.raises(DataError, match="submission"):
        reproduce.run(session, argparse.Namespace(file=text, scratch=False, anyway=False))
