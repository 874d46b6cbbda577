"""What every test shares: a quiet environment, temporary folders, Chromium, and loud GPU skips."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports these libraries: no windows, no look-ups online, no one else's server.
os.environ["MPLBACKEND"] = "Agg"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Tests train tiny networks: a second thread costs them more than it brings, and much more on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Messages and pages are in English, whatever the locale is, unless a test asks for another language.
os.environ["UI_LANG"] = "en"
for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
    os.environ.pop(variable, None)
# `make test` hands these on, and a `make` that a test runs would talk as its child.
for variable in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(variable, None)

CHECKOUT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
GPU_SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[GPU_SKIPPED] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        item.config.stash[GPU_SKIPPED].append(item.nodeid)
        pytest.skip("NOT TESTED: no CUDA device on this machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[GPU_SKIPPED]
    if skipped:
        terminalreporter.section("GPU TESTS WERE NOT RUN: no CUDA device", sep="!", red=True)
        for name in skipped:
            terminalreporter.line(name)


def find_chromium() -> str:
    """The browser's program; the browser tier without one is a failure, not a skip."""
    named = os.environ.get("PODIUM_CHROMIUM")
    found = named or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None and sys.platform == "darwin":
        mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
        found = str(mac) if mac.exists() else None
    if found is None:
        pytest.fail("no Chromium: apt-get install chromium, or PODIUM_CHROMIUM=/path/of/chrome")
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One Chromium for all browser tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator[object]:
    """A fresh page of 1440 × 900 px."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """(home, stdout, stderr) of `make all` on small digits."""
    from demo_run import make

    home = tmp_path_factory.mktemp("made")
    code, out, err, _ = make("all", home)
    assert code == 0, out + err
    return home, out, err


@pytest.fixture(scope="session")
def explained(made: tuple[Path, str, str]) -> Path:
    """That home with a gallery; for files that run after all/test_end_to_end.py, which counts its results."""
    from demo_run import SMALL, make

    short = "explain.images=2 explain.synthesis.steps=20 explain.synthesis.shown=2 explain.units.shown=2"
    code, out, err, _ = make("explain", made[0], f"{SMALL} {short}")
    assert code == 0, out + err
    return made[0]
