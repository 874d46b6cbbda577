"""A predictor works with libraries that are years older than the lock."""

import subprocess

import pytest
from oldest_world import LIBRARIES, NAMES, libraries, loaded, names_used

from pipeline.core.errors import ConfigError, StorageError
from pipeline.predict import bundling, oldest

# What a host's image has, and what a bundle brings.
HOSTS = {"torch", "numpy", "cv2", "PIL", "pydantic", "scipy", "tqdm", "yaml"}
BROUGHT = {"timm", "safetensors"}
# Names of functions that stand in modules of a predictor, and that it never calls: training, a metric.
NEVER_CALLED = {"torch.amp.GradScaler", "torch._C._cuda_endAllocateToPool", "numpy.trapezoid"}


@pytest.fixture(scope="module")
def modules():
    return loaded()


def test_a_predictor_imports_only_what_a_host_has_or_a_bundle_brings(modules):
    assert libraries(modules) <= HOSTS | BROUGHT


def test_it_uses_only_names_that_the_oldest_libraries_have(modules):
    known = set(NAMES.read_text(encoding="utf-8").split())
    new = sorted(names_used(modules) - known - NEVER_CALLED)
    assert new == [], "look whether the oldest libraries have these: tests/predict/oldest_world.py says how"
    assert (
        len(known) > 100 and "numpy.stack" in known and {n.partition(".")[0] for n in known} <= {*LIBRARIES}
    )


def test_older_libraries_are_told(monkeypatch):
    monkeypatch.setattr(
        oldest.importlib.metadata, "version", lambda name: {"torch": "2.0.1+cpu"}.get(name, "9")
    )
    (line,) = oldest.too_old()
    assert line.startswith("torch 2.0.1+cpu is older than 2.1")
    assert oldest.numbers("2.10.0") > oldest.numbers("2.9.1")


def test_the_environment_lies_outside_of_the_checkout_and_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_ENVS", str(tmp_path))
    calls = []

    def run(command, **more):
        calls.append(command)
        target = command[command.index("--target") + 1]
        (tmp_path / target).mkdir()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(oldest.subprocess, "run", run)
    monkeypatch.setattr(oldest, "python", lambda: "python3.11")
    first, second = oldest.host(), oldest.host()
    assert first == second and len(calls) == 1 and calls[0][-len(oldest.PACKAGES) :] == list(oldest.PACKAGES)
    assert first.name == "Python 3.11, torch 2.1.2, numpy 1.26.4" and first.packages == (
        str(oldest.folder()),
    )
    assert oldest.folder().parent == tmp_path


def test_packages_that_cannot_be_installed_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_ENVS", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for torch==2.1.2")
    monkeypatch.setattr(oldest.subprocess, "run", lambda command, **more: failed)
    monkeypatch.setattr(oldest, "python", lambda: "python3.11")
    with pytest.raises(StorageError, match=r"OLDEST=1: pip could not install torch==2\.1\.2"):
        oldest.host()
    assert list(tmp_path.iterdir()) == []


def test_wheels_for_another_python_are_refused():
    with pytest.raises(ConfigError, match=r"rehearses with Python 3.11, and HOST_PYTHON=3.12"):
        bundling._oldest("3.12")
