"""The notebooks: stored without outputs, no code of their own, and they run on a demo's results."""

import ast
import json
import os
import re
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
NAMES = ["01_eda", "02_training", "03_ensembling", "04_error_analysis", "05_cnn_visualisation"]
LONGEST_SECONDS = 180
PUBLIC = "pipeline.api"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def faults(notebook):
    """What a notebook of this project must not hold."""
    found = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        if cell["outputs"] or cell["execution_count"] is not None:
            found.append(f"cell {number} has outputs")
        tree = ast.parse("".join(cell["source"]))
        kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda)
        own = [node for node in ast.walk(tree) if isinstance(node, kinds)]
        # A key of a sort is glue.
        if any(not isinstance(node, ast.Lambda) for node in own):
            found.append(f"cell {number} defines something")
    return found


def test_all_five_are_there():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_holds_no_outputs_and_defines_nothing(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert faults(notebook) == []
    assert len(code(path)) >= 5
    assert notebook["cells"][0]["cell_type"] == "markdown", "a story begins with words"


def test_planted_outputs_and_functions_are_found():
    cell = {"cell_type": "code", "source": ["def f():\n", "    pass"], "outputs": [{}], "execution_count": 3}
    assert faults({"cells": [cell]}) == ["cell 0 has outputs", "cell 0 defines something"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_imports_from_the_pipeline_is_there(path):
    import importlib

    imported = [
        node for cell in code(path) for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.ImportFrom)
    ]
    ours = [node for node in imported if node.module and node.module.startswith("pipeline")]
    assert ours
    for node in ours:
        module = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(module, alias.name):
                importlib.import_module(f"{node.module}.{alias.name}")


def private(source):
    """Imports of ours that are not the public library's, or names that it does not have."""
    from pipeline import api

    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] == "pipeline" and a.name != PUBLIC]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [n for n in names if n not in {f"{PUBLIC}.{name}" for name in api.__all__}]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_uses_the_public_library_alone(path):
    assert [found for cell in code(path) for found in private(cell)] == []


def test_the_pages_use_the_public_library_alone():
    pages = [*CHECKOUT.glob("docs/*.md"), CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"]
    shown = {p.name: private(source) for p in pages for source in PYTHON.findall(p.read_text("utf-8"))}
    assert "api.md" in shown and "plugins.md" in shown
    assert not any(shown.values()), shown


def test_a_planted_private_import_is_found():
    assert private("import pipeline.api\nfrom pipeline.api import Shelf\nimport numpy") == []
    assert private("from pipeline.record.shelf import Shelf") == ["pipeline.record.shelf.Shelf"]
    assert private("import pipeline.data.load") == ["pipeline.data.load"]
    assert private("from pipeline.api import np") == ["pipeline.api.np"]
    assert private("from pipeline import data") == ["pipeline.data"]


def run(path, home):
    """The notebook with its outputs, run from the checkout on the results in `home`."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    before = dict(os.environ)
    os.environ["PODIUM_HOME"] = str(home)
    try:
        client = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(CHECKOUT)}}
        )
        client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return notebook


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_a_demo_in_under_three_minutes(path, explained):
    started = time.monotonic()
    ran = run(path, explained)
    assert time.monotonic() - started < LONGEST_SECONDS
    shown = [cell for cell in ran.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) >= 5, "it shows what it read"
    assert "not in this gallery" not in json.dumps([cell.outputs for cell in shown])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_without_results_it_names_the_command(tmp_path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match=r"run `make all` first"):
        run(NOTEBOOKS[0], tmp_path)
