"""The notebooks: stored with the outputs of a run, no code of their own, and they run on a demo's results."""

import ast
import json
import re
import time
from pathlib import Path

import pytest

from tools import notebooks

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
NAMES = ["01_eda", "02_training", "03_ensembling", "04_error_analysis", "05_cnn_visualisation"]
LONGEST_SECONDS, MOST_BYTES = 180, 700_000
# Folders, addresses in memory, and ids that pandas draws for a styled table.
OURS = re.compile(r"/(home|root|tmp|Users|var)/|[A-Z]:\\\\|0x[0-9a-f]{6}|T_(?!\d{5})[0-9a-f]{5}")
PUBLIC = "pipeline.api"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def faults(notebook):
    """What a notebook of this project must not hold, or lacks."""
    found, counts = [], []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        counts.append(cell["execution_count"])
        kinds = [kind for out in cell["outputs"] for kind in out.get("data", ())]
        if any(out["output_type"] == "error" or out.get("name") == "stderr" for out in cell["outputs"]):
            found.append(f"cell {number} failed or warned")
        if OURS.search(json.dumps(cell["outputs"])):
            found.append(f"cell {number} has something of one machine or run")
        if any("widget" in kind for kind in kinds):
            found.append(f"cell {number} holds the state of a widget")
        tree = ast.parse("".join(cell["source"]))
        kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda)
        own = [node for node in ast.walk(tree) if isinstance(node, kinds)]
        # A key of a sort is glue.
        if any(not isinstance(node, ast.Lambda) for node in own):
            found.append(f"cell {number} defines something")
    if counts != list(range(1, len(counts) + 1)):
        found.append("it was not run from top to bottom: python tools/notebooks.py store")
    return found


def shape(notebook):
    """The kinds of outputs of each code cell: what stays when other results are read."""
    told = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            kinds = {
                kind for out in cell["outputs"] for kind in out.get("data", {out.get("name", "error"): 0})
            }
            told.append(sorted({"picture" if kind.startswith("image/") else kind for kind in kinds}))
    return told


def test_all_five_are_there():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_as_run_on_any_machine_and_defines_nothing(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert faults(notebook) == []
    assert len(code(path)) >= 5 and sum(bool(kinds) for kinds in shape(notebook)) >= 5
    assert path.stat().st_size <= MOST_BYTES
    assert notebook["cells"][0]["cell_type"] == "markdown", "a story begins with words"


def test_planted_faults_of_outputs_and_functions_are_found():
    cell = {"cell_type": "code", "source": ["def f():\n", "    pass"], "execution_count": 3}
    error = {"output_type": "error", "name": "ValueError"}
    path = {"output_type": "stream", "name": "stdout", "text": "/home/me/podium/x"}
    view = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}}
    assert faults({"cells": [cell | {"outputs": [error, path, view]}]}) == [
        "cell 0 failed or warned",
        "cell 0 has something of one machine or run",
        "cell 0 holds the state of a widget",
        "cell 0 defines something",
        "it was not run from top to bottom: python tools/notebooks.py store",
    ]


def test_what_changes_from_run_to_run_is_left_out(tmp_path):
    import nbformat

    v4 = nbformat.v4
    styled = {"text/html": "<style>#T_a1b2c td</style>", "text/plain": "<Styler at 0x7f00>"}
    pictures = {"image/png": "long " * 9, "image/jpeg": "short"}
    outputs = [
        v4.new_output("stream", name="stdout", text=f"report: {tmp_path}/artifacts/eda/x\n{CHECKOUT}/docs\n"),
        v4.new_output("stream", name="stderr", text="a warning"),
        v4.new_output("display_data", data=styled),
        v4.new_output("display_data", data=pictures),
    ]
    cell = v4.new_code_cell("1", metadata={"execution": {"iopub.status.busy": "2026"}}, outputs=outputs)
    made = v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11.2"}})
    (tidy,) = notebooks.tidied(made, tmp_path).cells
    assert tidy.outputs[0].text == "report: artifacts/eda/x\ndocs\n"
    assert [list(out.get("data", {}).values()) for out in tidy.outputs[1:]] == [
        ["<style>#T_00001 td</style>", "<Styler>"],
        ["short"],
    ]
    assert tidy.metadata == {} and made.metadata["language_info"] == {"name": "python"}


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_a_demo_in_under_three_minutes(path, explained):
    started = time.monotonic()
    ran = notebooks.tidied(notebooks.ran(path, explained), explained)
    assert time.monotonic() - started < LONGEST_SECONDS
    assert faults(ran) == []
    assert shape(ran) == shape(json.loads(path.read_text(encoding="utf-8"))), "the stored outputs are others"
    assert "not in this gallery" not in json.dumps([cell.get("outputs") for cell in ran.cells])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_without_results_it_names_the_command(tmp_path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match=r"run `make all` first"):
        notebooks.ran(NOTEBOOKS[0], tmp_path)
