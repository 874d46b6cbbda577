"""Names of ledgers, of CSVs given by path and of commands: names of files, or one clear error."""

import csv
import io
import json

import hostile_world as world
import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.commands import create
from pipeline.data.new.request import NewRequest
from pipeline.errors.advice import ledger as advice
from pipeline.record import housekeeping
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import load
from pipeline.submit import host_scores, ledger, validate

ROW = {
    "name": "probe",
    "created": "2026-11-22T09:00:00+00:00",
    "kind": "member",
    "competition": "digits",
    "metric": "macro_f1",
}


def written(tmp_path, **changes):
    path = tmp_path / "submissions" / "leaderboard.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ledger.COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow(ROW | changes)
    path.write_text(buffer.getvalue(), encoding="utf-8", errors="surrogateescape")
    return path


def plain(name):
    """Names that a CSV can hold and that its reader does not already strip."""
    return name == name.strip() and name.isprintable() and name


@pytest.mark.parametrize("name", [n for n in world.NAMES if plain(n)])
def test_a_ledger_with_a_name_that_is_no_name_is_refused_with_its_line(tmp_path, name):
    path = written(tmp_path, name=name)
    with pytest.raises(DataError, match="leaderboard") as caught:
        ledger.read(path)
    assert "line 2" in caught.value.faults[0]


@pytest.mark.parametrize("key", ["../../victim", "..", "a/b"])
def test_a_ledger_with_a_key_that_is_no_key_is_refused(tmp_path, key):
    with pytest.raises(DataError) as caught:
        ledger.read(written(tmp_path, key=key))
    assert "no key" in caught.value.faults[0]


@pytest.mark.parametrize(
    "name", ["leaderboard.csv", "submits.csv", "Advice.csv", "a\x1b[2J.csv", "two  spaces.csv"]
)
def test_a_csv_that_would_replace_a_record_is_not_taken_in(tmp_path, name):
    theirs = tmp_path / "elsewhere" / name
    theirs.parent.mkdir()
    theirs.write_text("id,label\n1,0\n")
    home = tmp_path / "home"
    settings = load(["competition=digits", f"runtime.home={home}"])
    with pytest.raises(DataError, match="cannot have this name"):
        host_scores.take_in(home, settings, None, theirs)
    assert not home.exists()


@pytest.mark.parametrize("name", [n for n in world.NAMES if n not in ("leaderboard", "Submits")])
def test_make_new_refuses_every_other_name(tmp_path, name):
    settings = load(["competition=digits"])
    before = world.tree(settings.folder / "competition")
    request = NewRequest(name, tmp_path, None, None, None, tmp_path)
    with pytest.raises(DataError, match="NAME="):
        create(request, settings)
    assert world.tree(settings.folder / "competition") == before and world.tree(tmp_path) == {}


@pytest.mark.parametrize("group", ["competition", "experiment", "model"])
@pytest.mark.parametrize("name", ["../../victim", "..", "/etc/passwd", "a\x1b[2J", "n" * 300])
def test_settings_are_only_read_from_their_folder(group, name):
    with pytest.raises(ConfigError, match="no such file"):
        load([f"{group}={name}"])


@pytest.mark.parametrize("text", ["", "submissions/leaderboard.csv", "submissions/SUBMITS.csv"])
def test_out_never_writes_over_a_folder_or_a_record(tmp_path, text):
    (tmp_path / "submissions").mkdir()
    before = world.tree(tmp_path)
    with pytest.raises(DataError, match="OUT="):
        validate._write(tmp_path / text, b"id,label\n", tmp_path)
    assert world.tree(tmp_path) == before


@pytest.mark.parametrize(
    "line",
    [
        "<<<<<<< HEAD",
        "[]",
        "5",
        "{}",
        '{"about": "../x", "experiment": "a", "settings": ["a=1"], "bound": null}',
        '{"about": "train/a", "experiment": "a", "settings": "a=1", "bound": null}',
        '{"about": "train/a", "experiment": "a", "settings": ["a"], "bound": null}',
        '{"about": "train/a", "experiment": "a", "settings": ["a=1"], "bound": "much"}',
        '{"about": "train/a", "experiment": "a", "settings": ["a=1"], "bound": NaN}',
        "[" * 100_000,
    ],
    ids=range(10),
)
def test_a_damaged_line_of_the_advice_is_skipped_and_named_and_kept(tmp_path, line, caplog):
    good = '{"about": "train/a", "experiment": "a", "settings": ["a=1"], "bound": 0.5, "when": "now"}'
    path = advice.ledger_of(tmp_path)
    path.parent.mkdir()
    path.write_text(f"{good}\n\n{line}\n{good}")
    assert len(advice.read(tmp_path)) == 2
    new = {"about": "train/b", "experiment": "b", "settings": ["a=2"], "bound": None}
    report = Artifact("error_analysis", "e", tmp_path, {"created": "now"})
    (tmp_path / advice.REPORTED).write_text(json.dumps({"given": [new]}))
    advice.keep(tmp_path, report)
    assert "line 3" in caplog.text and line in path.read_text().splitlines()
    assert len(advice.read(tmp_path)) == 3


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[]", b"{}", b"[" * 100_000, b"null"], ids=range(5))
def test_nothing_is_freed_while_a_provenance_cannot_be_read(tmp_path, content):
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "theirs.json").write_bytes(content)
    store = Store(tmp_path, FileIndex(tmp_path / "index"))
    with pytest.raises(DataError, match=r"theirs\.json"):
        housekeeping.collect(store, tmp_path, dry=False)


def test_nothing_is_freed_while_the_pins_cannot_be_read(tmp_path):
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "pins.txt").write_bytes(b"\xff\xfe")
    store = Store(tmp_path, FileIndex(tmp_path / "index"))
    with pytest.raises(DataError, match=r"pins\.txt"):
        housekeeping.needed(store, tmp_path)
