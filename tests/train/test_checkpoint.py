import logging

import pytest
import torch

from pipeline.core.errors import StorageError
from pipeline.train import state as states
from pipeline.train.state import load_checkpoint, save_checkpoint

STATE = {"model": {"w": torch.arange(6.0).view(2, 3)}, "epoch": 2, "history": [{"loss": 0.5}], "ema": None}


def test_round_trip(tmp_path):
    path = tmp_path / "fold0.pt"
    save_checkpoint(path, STATE)
    state = load_checkpoint(path)
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert state["epoch"] == 2 and state["history"] == [{"loss": 0.5}] and state["ema"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["fold0.pt"], "a temporary file was left"


def test_absent_is_none_and_silent(tmp_path, caplog):
    assert load_checkpoint(tmp_path / "none.pt") is None
    assert not caplog.records


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "text"])
def test_damaged_is_absent_with_a_warning(tmp_path, caplog, damage):
    path = tmp_path / "fold0.pt"
    save_checkpoint(path, STATE)
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 1
    path.write_bytes({"empty": b"", "cut": data[:-50], "bit": data, "text": b"hello"}[damage])
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(path) is None
    assert "damaged" in caplog.text and "starts again" in caplog.text


def test_other_version_is_absent_with_a_warning(tmp_path, caplog, monkeypatch):
    path = tmp_path / "fold0.pt"
    monkeypatch.setattr(states, "VERSION", 0)
    save_checkpoint(path, STATE)
    monkeypatch.undo()
    assert load_checkpoint(path) is None
    assert "another version" in caplog.text


def test_a_failed_save_keeps_the_old_one(tmp_path):
    path = tmp_path / "fold0.pt"
    save_checkpoint(path, STATE)
    with pytest.raises((TypeError, AttributeError, RuntimeError)):
        save_checkpoint(path, {"bad": lambda: None})
    assert load_checkpoint(path)["epoch"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["fold0.pt"]


def test_a_disk_that_takes_nothing_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        save_checkpoint(tmp_path / "missing" / "fold0.pt", STATE)
