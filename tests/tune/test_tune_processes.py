"""Processes of a search that end otherwise than they should."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine.executors.devices import Machine
from pipeline.settings.load import load
from pipeline.settings.runtime import RuntimeSettings
from pipeline.stages import open_session
from pipeline.tune import search, trials


def process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_process_that_was_killed_is_told(caplog):
    killed = process("import time; time.sleep(60)")
    killed.send_signal(signal.SIGKILL)
    trials._end(killed)
    assert "SIGKILL" in caplog.text and "memory" in caplog.text


def test_a_process_that_ended_by_itself_is_not(caplog):
    trials._end(process("raise SystemExit(2)"))
    assert not caplog.text


def test_processes_that_need_more_cores_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(trials.local, "machine", lambda: Machine((), cores=4, threads=4))
    with pytest.raises(ConfigError) as refused:
        trials.devices(2, RuntimeSettings())
    assert "2 processes with 4 threads each need 8 cores" in str(refused.value)
    assert "JOBS=1 or runtime.threads=2" in refused.value.remedy
    assert trials.devices(2, RuntimeSettings(threads=2)) == [{}, {}]
    assert trials.devices(1, RuntimeSettings(threads=64)) == [{}]


def test_processes_take_turns_over_the_gpus(monkeypatch):
    monkeypatch.setattr(trials.local, "machine", lambda: Machine(("4", "5"), cores=4, threads=4))
    seen = [device["CUDA_VISIBLE_DEVICES"] for device in trials.devices(3, RuntimeSettings())]
    assert seen == ["4", "5", "4"]


def test_a_process_of_a_search_waits_as_long_as_its_command_for_signs_of_life(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(search, "open_study", lambda storage, *_: opened.append(storage))
    monkeypatch.setattr(search, "run_trials", lambda *_: None)
    settings = load([f"runtime.home={tmp_path}", "runtime.silence_seconds=33"])
    bench = SimpleNamespace(session=open_session(settings))
    search.worker(SimpleNamespace(bench=bench), "study")
    assert [storage._silence for storage in opened] == [33]
