"""The program of one process of `runtime.executor=local`: it builds task after task until it is told to end.

Owns its loop, and that it ends with its command. Does not own building a task (`engine/executors/work.py`).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from pipeline.core import terminal
from pipeline.engine import hardware
from pipeline.engine.executors.work import build_one

LOOK_SECONDS = 0.5

# Messages of a worker: (EPOCH, fold, epoch, figures) and (ENDED, error or None).
EPOCH, ENDED = "epoch", "ended"


def main(descriptor: int, parent: int) -> None:
    """Receive tasks and send what becomes of them.

    Args:
        descriptor: of the connection with the command.
        parent: process id of the command.
    """
    terminal.prepare()
    logging.captureWarnings(True)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    connection: Connection[Any, Any] = Connection(descriptor)
    os.set_inheritable(descriptor, False)
    hardware.default_threads()  # imports torch, whose seconds are no part of any result's run time
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # until now it only ended the process
        for task in iter(connection.recv, None):

            def report(
                fold: int, epoch: int, figures: dict[str, float], answers: bool = task.answers
            ) -> bool:
                connection.send((EPOCH, fold, epoch, figures))
                return bool(connection.recv()) if answers else True

            connection.send((ENDED, build_one(task, report)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return  # the command has ended, or stops its processes


def _end_with(parent: int) -> None:
    """End this process and those that it started, as soon as the command has ended."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    if os.getpgrp() == os.getpid():  # a group of its own, see `local.py`
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
