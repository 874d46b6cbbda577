"""A killed or interrupted `python -m pipeline train` continues, and ends with the very same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from main_world import artifacts, equal, weights

CHECKOUT = Path(__file__).resolve().parents[2]
EPOCHS = 6
WORDS = (
    "competition=digits",
    "experiment=tiny_resnet",
    "folds.n=2",
    "train.folds=[0]",
    f"train.epochs={EPOCHS}",
    "train.ema_decay=0.9",
    "model.drop_rate=0.3",
    # Each home measures which precision is the fastest, and on a busy machine two homes may differ.
    "train.precision=fp32",
    "statistics.draws=100",
    "runtime.mlflow=false",
    "runtime.threads=1",
)
PATIENCE = 300.0

pytestmark = pytest.mark.slow


def start(home):
    command = [sys.executable, "-m", "pipeline", "train", *WORDS, f"runtime.home={home}"]
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts the tests with `&` has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def stop_inside_an_epoch(process, home, how):
    """Send a signal soon after the second epoch's checkpoint: in the middle of the third."""
    seen = set()
    until = time.monotonic() + PATIENCE
    while len(seen) < 2:
        assert process.poll() is None, f"it ended before it was stopped: {process.communicate()}"
        assert time.monotonic() < until, "no second checkpoint"
        seen |= {path.stat().st_mtime_ns for path in Path(home).glob("work/fold/*/fold0.pt")}
        time.sleep(0.005)
    time.sleep(0.05)
    os.kill(process.pid, how)
    return finish(process)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights and history of a run that nobody disturbed."""
    home = tmp_path_factory.mktemp("whole")
    code, _, err = finish(start(home))
    assert code == 0, err
    return weights(home)[0], history(home)


def history(home):
    (fold,) = artifacts(home, "fold")
    clocks = ("seconds", "images_per_second")
    entries = json.loads((fold.folder / "history.json").read_text(encoding="utf-8"))
    return [{k: v for k, v in entry.items() if k not in clocks} for entry in entries]


def continued(home, whole):
    """The next run starts where the stopped one was, and ends where an undisturbed one ends."""
    assert not list(home.glob("artifacts/fold/*")), "a fold that was stopped does not exist"
    (checkpoint,) = home.glob("work/fold/*/fold0.pt")
    code, out, err = finish(start(home))
    assert code == 0, err
    assert f"fold 0 continues after epoch 2 of {EPOCHS}" in err
    assert "OOF macro_f1" in out
    assert equal(weights(home)[0], whole[0])
    assert history(home) == whole[1] and len(whole[1]) == EPOCHS
    assert not checkpoint.parent.exists(), "finished work is cleared away"


def test_kill_9_in_the_middle_of_a_fold(whole, tmp_path):
    code, _, _ = stop_inside_an_epoch(start(tmp_path), tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    continued(tmp_path, whole)


def test_ctrl_c_in_the_middle_of_a_fold(whole, tmp_path):
    code, _, err = stop_inside_an_epoch(start(tmp_path), tmp_path, signal.SIGINT)
    assert code == 130
    assert "the next run continues here" in err and "Traceback" not in err
    assert not list(tmp_path.glob("artifacts/.building/*"))
    continued(tmp_path, whole)
