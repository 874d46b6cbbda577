"""One name of the processor, for manifests and for the machine profile."""

import os
import platform
import weakref

import pytest

from pipeline.engine.hardware import WORKSPACE, process_age, processor, profile, release, set_up
from pipeline.record.machine import Profile
from pipeline.settings.runtime import RuntimeSettings
from pipeline.settings.schema import Config
from pipeline.train import precision


def test_the_model_is_read_where_linux_tells_it(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: A Chip @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n")
    assert processor(told) == "A Chip @ 2 GHz"


@pytest.mark.parametrize("text", [None, "", "processor : 0\nBogoMIPS : 50\n", "model name :\n"])
def test_without_a_model_it_is_what_python_knows(tmp_path, text):
    told = tmp_path / "cpuinfo"
    if text is not None:
        told.write_text(text)
    assert processor(told) == (platform.processor() or platform.machine())


def test_odd_bytes_are_no_fault(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_bytes(b"model name : Caf\xe9\n")
    assert processor(told).startswith("Caf")


@pytest.mark.parametrize(("asked", "device"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_a_gpu_has_the_workspace_of_equal_bits_before_anything_is_computed(monkeypatch, asked, device):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "of the user")
    assert set_up(RuntimeSettings(device=asked)) == device
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == "of the user"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    set_up(RuntimeSettings(device=asked))
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None) == (WORKSPACE if device == "cuda" else None)


def test_memory_that_only_circles_of_references_hold_is_given_back_to_other_processes(monkeypatch):
    torch = pytest.importorskip("torch")

    class Circle:
        def __init__(self):
            self.own = self

    alive = weakref.ref(Circle())
    left = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(alive()))
    release()
    assert left == [None]


def test_manifest_and_machine_profile_name_it_alike():
    pytest.importorskip("torch")
    here = profile(RuntimeSettings(device="cpu"))
    assert here is not None
    assert precision.facts(Config(), "cpu")["processor"] == here["device"] == processor()


def test_a_profile_under_another_name_is_measured_anew(tmp_path):
    known = Profile(tmp_path)
    of = precision.facts(Config(), "cpu")
    known.keep({**of, "processor": "as it was called before"}, {"plain": {"old": [1.0]}})
    assert known.find(of) is None
    assert known.measured(of, lambda: {"plain": {"new": [2.0]}}) == {"plain": {"new": [2.0]}}
    assert known.find(of) == {"plain": {"new": [2.0]}}


def test_the_age_of_a_process_is_what_the_system_says(tmp_path):
    stat, uptime = tmp_path / "stat", tmp_path / "uptime"
    ticks = os.sysconf("SC_CLK_TCK")
    stat.write_text(f"17 (a) b) R {' '.join(['0'] * 18)} {90 * ticks} 0\n")
    uptime.write_text("100.25 50.0\n")
    assert process_age(stat, uptime) == 10.25
    assert process_age(tmp_path / "none", uptime) == 0.0, "not Linux"
    assert process_age() >= 0.0
