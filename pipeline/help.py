"""`make help`: every target of the Makefile, in the language of its reader.

    python pipeline/help.py

Owns the list and the words of the targets that are no commands. Does not own the commands
(`pipeline/cli.py`), nor what one can do now (`home/now.py`).

Nothing but the standard library: `make` runs this file with any Python, before anything is installed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":  # `make` runs this file by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.cli import COMMANDS
from pipeline.core.language import ENGLISH, Text, _, joined, of_environment, say

USE = _('make TARGET [ARGS="key=value ..."]')
LINE = "  {name:<15} {text}"
# Between two ways to give variables: `N=2, or M=3`.
OR = ", or "
EITHER = _(", or ")
# Targets of the Makefile besides the commands.
OTHER_TARGETS = {
    "now": _("print three commands that fit what is there; `make` alone does so, too"),
    "help": _("print this list"),
    "install": _("build the environment, or find it, and print its path"),
    "ui": _("serve the MLflow UI for this machine only: PORT=5000 DB=mlflow.db"),
    "dashboard": _("serve Optuna's dashboard for this machine only: PORT=8080 STUDIES=optuna.db"),
    "notebook": _("open the notebooks in JupyterLab; the first time it installs JupyterLab"),
    "check": _("run linter, formatter, type checker and the architecture test"),
    "test": _('run the default tests; TESTS="-k folds" selects some'),
    "test-slow": _("run the slow tests: the whole pipeline on small data, kill and resume"),
    "test-browser": _("run the browser tests: reports and the MLflow UI in Chromium"),
    "test-gpu": _("run the tests that need a CUDA device"),
    "test-lowest": _("run the default tests with the oldest libraries that are allowed, except torch"),
    "lock": _("pin all dependencies again; UPGRADE=--upgrade takes newer versions"),
    "translations": _("add new texts to the catalogues of other languages; NEW=xx begins one"),
    "clean": _("delete caches and temporary files, but no results"),
}


def targets() -> dict[str, str]:
    """What each target does, and how its variables are given."""
    rows: dict[str, str] = {}
    for command in COMMANDS:
        how = joined(EITHER, command.make.split(OR))
        rows[command.name] = joined(": ", (Text(command.help), *([how] if how else [])))
    return rows | OTHER_TARGETS


def lines(language: str = ENGLISH) -> list[str]:
    """The whole list."""
    rows = (LINE.format(name=name, text=say(text, language)) for name, text in targets().items())
    return [say(USE, language), *rows]


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    print("\n".join(lines(of_environment(os.environ))))
