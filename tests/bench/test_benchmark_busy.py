"""How threads wait: what a command sets, and the benchmark that measured it."""

import os
import subprocess
import sys

import pytest

from benchmarks import busy_machine

ASK = f"""
import os
from pipeline.cli import main
main(["config"])
print([os.environ.get(name) for name in {busy_machine.NAMES!r}])
"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, [None, "1000", "0"]),
        ({"GOMP_SPINCOUNT": "7"}, [None, "7", "0"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None, None]),
    ],
)
def test_a_command_tells_threads_to_spin_briefly_unless_the_user_said_how_to_wait(given, told):
    env = busy_machine.environment(given)
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(told)


@pytest.mark.slow
def test_the_benchmark_prints_every_way_of_waiting_alone_and_in_company():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.busy_machine", "--tiny"],
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line[:28].strip() for line in lines[1:]] == list(busy_machine.GNU)
    assert all(line.count("(") == 2 for line in lines[1:])
