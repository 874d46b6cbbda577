"""Further processes that run trials of the same study.

Owns starting and ending them. Does not own what they do: each is the same command, as a worker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

Options = argparse.Namespace


@contextlib.contextmanager
def beside(jobs: int, options: Options) -> Iterator[None]:
    """While this lasts, `jobs` - 1 other processes run trials; when it ends they are done or ended."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    shared = (
        []
        if any(w.startswith("runtime.threads=") for w in options.settings)
        else [f"runtime.threads={threads}"]
    )
    words = [sys.executable, "-m", "pipeline", "tune", *options.settings, *shared]
    words += ["--stage", options.stage, "--worker", "--jobs", str(jobs)]
    for name in ("trials", "timeout", "space", "study"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value else []
    others = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(jobs - 1)]
    try:
        yield
    finally:
        for other in others:
            if sys.exc_info()[0] is not None:
                other.terminate()
        for other in others:
            other.wait()
