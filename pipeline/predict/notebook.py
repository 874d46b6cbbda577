"""The notebook of a bundle: it installs from the folder, predicts the hidden test set, and writes the CSV.

Owns its cells. Does not own what they call (`predict/hidden.py`). The rehearsal runs the same cells; the
variables `PODIUM_…` of its environment stand for the host's folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.predict import texts

PARAMETERS = """import os, time
from pathlib import Path

BEGIN = time.monotonic()
INPUT = Path(os.environ.get("PODIUM_INPUT", "/kaggle/input"))
# Hosts show a dataset in one folder or another: the bundle is where its predictor is.
BUNDLE = next(path.parent.parent for path in sorted(INPUT.rglob("predictor/predictor.json")))
COMPETITION = Path(os.environ.get("PODIUM_COMPETITION", INPUT / {slug!r}))
SAMPLE = COMPETITION / {sample!r}   # the host's sample submission
IMAGES = COMPETITION / {images!r}   # the folder of the test images
TABLE = {table}   # the host's test table, or None: the ids of the sample name the files
OUT = Path(os.environ.get("PODIUM_OUT", "/kaggle/working")) / "submission.csv"
LIMIT = os.environ.get("PODIUM_LIMIT", {limit!r})
print(BUNDLE)
"""
INSTALL = """import subprocess, sys

# Into a folder of its own, in front of what the host has: nothing of the host is changed.
PACKAGES = OUT.parent / "packages"
wheels = [str(path) for path in sorted((BUNDLE / "wheels").glob("*.whl"))]
command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
subprocess.run([*command, "--target", str(PACKAGES), *wheels], check=True)
sys.path.insert(0, str(PACKAGES))
"""
PREDICT = """from pipeline.predict.hidden import predict_hidden

told = predict_hidden(BUNDLE, SAMPLE, IMAGES, OUT, LIMIT, TABLE, begin=BEGIN)
"""
SHOW = """with OUT.open() as file:
    print("".join(line for _, line in zip(range(5), file)))
"""


@dataclass(frozen=True)
class Places:
    """Where the host has its files, as the notebook writes them; each can be edited there.

    Args:
        slug: the competition's name in its URL; empty: not known.
        sample, images, table: relative to the competition's folder; an empty table: ids name the files.
    """

    slug: str
    sample: str
    images: str
    table: str


def of(limit: str, places: Places, name: str) -> dict[str, Any]:
    """The notebook as JSON of format 4."""
    table = f"COMPETITION / {places.table!r}" if places.table else "None"
    parameters = PARAMETERS.format(
        slug=places.slug or "NAME-OF-THE-COMPETITION",
        sample=places.sample,
        images=places.images,
        table=table,
        limit=limit,
    )
    cells = [
        _markdown(texts.NOTEBOOK_HEAD.format(name=name)),
        _code(parameters),
        _code(INSTALL),
        _code(PREDICT),
        _code(SHOW),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.rstrip("\n").splitlines(keepends=True)
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
