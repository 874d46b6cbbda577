"""Further processes that run trials of the same study.

Owns starting and ending them. Does not own their work: each runs the same command as a worker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

Options = argparse.Namespace
# Seconds in which a process that must stop can give its trial back.
PATIENCE = 20.0


@contextlib.contextmanager
def running(jobs: int, options: Options) -> Iterator[None]:
    """In this context `jobs` - 1 other processes run trials; after it they have finished or were ended."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    is_given = any(word.startswith("runtime.threads=") for word in options.settings)
    shared = [] if is_given else [f"runtime.threads={threads}"]
    words = [sys.executable, "-m", "pipeline", "tune", *options.settings, *shared]
    words += ["--stage", options.stage, "--worker", "--jobs", str(jobs)]
    for name in ("trials", "timeout", "space", "study"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value else []
    # In their own sessions: Ctrl-C reaches this process only, which passes it on once.
    others = [
        subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) for _ in range(jobs - 1)
    ]
    try:
        yield
    except BaseException:
        for other in others:
            other.send_signal(signal.SIGINT)
        raise
    finally:
        for other in others:
            _end(other)


def _end(other: subprocess.Popen[bytes]) -> None:
    """Wait for a process; one that must stop and does not is killed, and its trial is run again."""
    stopped = sys.exc_info()[0] is not None
    try:
        other.wait(timeout=PATIENCE if stopped else None)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()


def is_orphan(parent: int) -> bool:
    """Whether the process that started this one, with this id, has ended."""
    return os.getppid() != parent
