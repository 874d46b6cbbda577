import json
import logging

from pipeline.record.machine import Profile

HERE = {"processor": "a", "threads": 2}
SECONDS = {"plain": {"fp32 channels_last": [0.2, 0.21]}}


def test_what_was_measured_is_found_under_exactly_its_facts(tmp_path):
    profile = Profile(tmp_path)
    assert profile.find(HERE) is None
    profile.keep(HERE, SECONDS)
    assert Profile(tmp_path).find(HERE) == SECONDS
    assert profile.find({**HERE, "threads": 1}) is None
    assert profile.find({"processor": "a"}) is None


def test_a_new_measurement_replaces_the_old_one_and_leaves_others(tmp_path):
    profile, other = Profile(tmp_path), {**HERE, "threads": 1}
    profile.keep(HERE, {"plain": {}})
    profile.keep(other, {"plain": {"bf16 contiguous": [1.0]}})
    profile.keep(HERE, SECONDS)
    assert profile.find(HERE) == SECONDS
    assert profile.find(other) == {"plain": {"bf16 contiguous": [1.0]}}
    assert len(json.loads(profile.path.read_text())["entries"]) == 2


def test_people_can_read_it_and_nothing_lies_beside_it(tmp_path):
    Profile(tmp_path).keep(HERE, SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["machine.json"]
    text = (tmp_path / "machine.json").read_text()
    assert "Delete the file" in text and len(text.splitlines()) > 10


def test_a_damaged_one_is_told_and_measured_again(tmp_path, caplog):
    profile = Profile(tmp_path)
    profile.keep(HERE, SECONDS)
    profile.path.write_text(profile.path.read_text()[:-20])
    with caplog.at_level(logging.WARNING):
        assert profile.find(HERE) is None
    assert "measured again" in caplog.text
    profile.keep(HERE, SECONDS)
    assert profile.find(HERE) == SECONDS
    profile.path.write_text('{"version": 1, "entries": [3]}')
    assert profile.find(HERE) is None


def test_a_question_is_measured_once(tmp_path):
    asked = []

    def measure():
        asked.append(1)
        return {"seconds": (1.5, 2)}

    profile = Profile(tmp_path)
    first = profile.measured({"size": (64, 64), **HERE}, measure)
    assert profile.measured({"size": [64, 64], **HERE}, measure) == {"seconds": [1.5, 2]}
    assert first == {"seconds": (1.5, 2)} and len(asked) == 1
    profile.measured({"size": 32, **HERE}, measure)
    assert len(asked) == 2
