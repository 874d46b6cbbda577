"""Processes of a search that end otherwise than they should."""

import signal
import subprocess
import sys

from pipeline.tune import trials


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
