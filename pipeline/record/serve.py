"""`make ui` and `make dashboard`: the pages of MLflow and of Optuna, served for this machine only.

    python -m pipeline.record.serve ui --file mlflow.db --port 5000
    python -m pipeline.record.serve dashboard --file optuna.db --port 8080

Owns what is checked before a server starts, because the servers themselves say too little: whether there is
anything to show, and whether the port is free. Does not own the records (`record/tracking.py`,
`record/study.py`) nor what the pages show (`record/board.py`).
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import warnings
from pathlib import Path

from pipeline.core import terminal
from pipeline.core.errors import StorageError, UserError
from pipeline.core.language import _
from pipeline.record import board
from pipeline.record.files import sqlite_url

HERE = "127.0.0.1"
PORTS = range(1, 65536)
# A port to try where the usual one of a target is taken.
ANOTHER = {"ui": 5001, "dashboard": 8081, "serve": 8001}


def refuse_port(port: str, target: str) -> int:
    """The number of a free port.

    Raises:
        StorageError: it is no port, or another program listens on it.
    """
    remedy = f"make {target} PORT={ANOTHER[target]}"
    if not (port.isascii() and port.isdigit() and int(port) in PORTS):
        raise StorageError(
            _("PORT={port}: a port is a number from 1 to {ports}").format(port=port, ports=PORTS[-1]),
            remedy=remedy,
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port whose last connection was closed a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, int(port)))
        except OSError as error:
            raise StorageError(
                _(
                    "PORT={port}: cannot be used ({strerror}); another program, maybe an earlier `make "
                    "{target}`, listens there"
                ).format(port=port, strerror=error.strerror, target=target),
                remedy=_("end it, or choose another: {remedy}").format(remedy=remedy),
            ) from error
    return int(port)


def ui(file: Path, port: str) -> None:
    """Become MLflow's server; returns only by an error.

    Raises:
        StorageError: runs are recorded elsewhere, or not at all yet, or the port is taken.
    """
    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere:
        raise StorageError(
            _("runs are recorded at {elsewhere}").format(elsewhere=elsewhere),
            remedy=_("open that, or unset MLFLOW_TRACKING_URI"),
        )
    links = board.links(file, refuse_port(port, "ui"))
    lines = ["in about ten seconds, open", *(f"  {link}" for link in links), "  (Ctrl-C ends)"]
    print(terminal.printable("\n".join(lines)), flush=True)
    words = ["-m", "mlflow", "ui", "--backend-store-uri", sqlite_url(file.resolve()), "--host", HERE]
    words += ["--port", port, "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    quiet = {"PYTHONWARNINGS": "ignore", "MLFLOW_LOGGING_LEVEL": "WARNING"}
    # What the server's own settings can turn off: reports of use, and an assistant that others could reach.
    quiet |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    quiet |= {"MLFLOW_ENABLE_REMOTE_ASSISTANT": "false"}
    os.execve(sys.executable, [sys.executable, *words], {**os.environ, **quiet})


def dashboard(file: Path, port: str) -> None:
    """Run Optuna's dashboard in this process, so that no list of processes shows the storage's password.

    Raises:
        StorageError: nothing was tuned yet, or the port is taken.
    """
    storage = os.environ.get("OPTUNA_STORAGE")
    if not storage and not file.is_file():
        raise StorageError(
            _("{file}: nothing was tuned yet").format(file=file), remedy=_("run `make tune` first")
        )
    refuse_port(port, "dashboard")
    warnings.simplefilter("ignore")
    from optuna_dashboard._cli import main as served

    sys.argv = ["optuna-dashboard", storage or sqlite_url(file.resolve()), "--host", HERE, "--port", port]
    served()


def main(arguments: list[str] | None = None) -> int:
    """Serve; 2: something for the user to correct."""
    terminal.prepare()
    parser = argparse.ArgumentParser(prog="python -m pipeline.record.serve")
    parser.add_argument("server", choices=("ui", "dashboard"))
    parser.add_argument("--file", required=True, help="the SQLite file to serve")
    parser.add_argument("--port", required=True)
    options = parser.parse_args(arguments)
    try:
        {"ui": ui, "dashboard": dashboard}[options.server](Path(options.file), options.port)
    except UserError as error:
        print(terminal.printable(f"error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
