"""The public library: its examples run, its page and its docstring name it all, and it stays light."""

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from main_world import run

from pipeline import api

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
PLUGINS = (CHECKOUT / "docs" / "plugins.md").read_text(encoding="utf-8")
HEAVY = ("torch", "torchvision", "timm", "mlflow", "optuna", "albumentations", "captum")
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
# The function of each example in docs/plugins.md.
SIGNATURES = {
    "net": api.ModelFunction,
    "poly1": api.LossFunction,
    "stripes": api.AugmentationFunction,
    "square_root": api.SamplerFunction,
    "without_border": api.PreprocessingFunction,
    "agree": api.PostprocessingFunction,
    "f2": api.MetricFunction,
    "by_group": api.SampleMetricFunction,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A home with one small experiment, trained and inferred."""
    home = tmp_path_factory.mktemp("results")
    said = run(home, "infer", "experiment=tiny_resnet", "infer.views=[identity]")
    assert said.code == 0, said.err
    return home


def test_its_examples_run(results, monkeypatch, tmp_path):
    monkeypatch.setenv("PODIUM_HOME", str(results))
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(api)
    assert found.attempted > 20 and found.failed == 0


def test_the_examples_of_its_page_run(results, monkeypatch, tmp_path):
    monkeypatch.setenv("PODIUM_HOME", str(results))
    monkeypatch.chdir(tmp_path)
    blocks = EXAMPLE.findall(PAGE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), names)
    written = list(tmp_path.glob("*.csv"))
    assert len(written) == 1 and written[0].read_text(encoding="utf-8").startswith("id,")


def test_every_name_is_there_and_documented():
    assert sorted(set(api.__all__)) == sorted(api.__all__), "named twice"
    words = set(re.findall(r"\w+", re.sub(r"(?m)^(>>>|\.\.\.).*$", "", api.__doc__)))
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
    assert [name for name in api.__all__ if name not in words] == [], "not in the docstring"


def test_every_name_has_a_docstring_of_its_own():
    values = ("METRICS", "RULES")
    assert [n for n in api.__all__ if n not in values and not inspect.getdoc(getattr(api, n))] == []


def test_the_predictor_is_the_one_of_its_room_and_other_names_are_unknown():
    from pipeline.predict import predictor

    assert api.Predictor is predictor.Predictor and api.Answers is predictor.Answers
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        api.Predicter  # noqa: B018


def test_it_imports_nothing_heavy():
    code = f"import sys, pipeline.api; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_examples_of_plug_ins_have_the_signatures_that_it_holds():
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for block in EXAMPLE.findall(PLUGINS)
        for node in ast.parse(block).body
        if isinstance(node, ast.FunctionDef)
    }
    assert functions.keys() == SIGNATURES.keys()
    for name, protocol in SIGNATURES.items():
        wanted = [p for p in inspect.signature(protocol.__call__).parameters if p != "self"]
        if protocol is api.ModelFunction:
            assert functions[name][0] == wanted[0]
        elif protocol in (api.MetricFunction, api.SampleMetricFunction):
            assert functions[name][0] == wanted[0] and len(functions[name]) == len(wanted)
        else:
            assert functions[name] == wanted
