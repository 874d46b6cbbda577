"""One run of `make all` on small digits, shared by slow tests and notebooks (`made` of conftest.py)."""

import os
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SMALL = (
    "competition=digits competition.demo.limit=300 images.size=16 folds.n=2 train.epochs=1 "
    "statistics.draws=100 runtime.threads=1"
)


def make(target, home, words=SMALL, **variables):
    """(exit code, stdout, stderr, seconds) of one target, in the environment that runs the tests."""
    given = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--no-print-directory", target, f"ARGS={words} runtime.home={home}", *given]
    # A `make test-slow` above this one hands down its own variables.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")}
    env |= {"PODIUM_ENV": sys.prefix, "PYTHON": sys.executable}
    started = time.monotonic()
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=590)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - started
