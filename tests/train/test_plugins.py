"""The examples of docs/plugins.md, taken from the document and run; their sources are in the keys."""

import re
from pathlib import Path

import pytest
from main_world import SMALL, named, run, weights

from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.settings.own_code import PLUGIN_SETTINGS
from pipeline.stages import CATALOGUE

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r'```python\n# (\w+\.py)\n(.*?)```\n```\nmake (\w+) ARGS="(.*?)"\n```', re.DOTALL)
# File -> (source, command, settings).
EXAMPLES = {found[1]: (found[2], found[3], found[4].split()) for found in EXAMPLE.finditer(DOCUMENT)}
# The first stage that each example changes.
CHANGES = {
    "mymodel.py": "fold",
    "mylosses.py": "fold",
    "myaug.py": "fold",
    "mysampler.py": "fold",
    "mypre.py": "train_prepared",
    "mypost.py": "decide",
    "mymetric.py": "fold",
    "mygroups.py": "fold",
}
# One competition has one metric.
TOGETHER = [name for name in CHANGES if name != "mygroups.py"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, (source, _, _) in EXAMPLES.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def key(folder, stage, words):
    settings = load([*SMALL, "experiment=tiny_resnet", f"runtime.home={folder}", *words])
    graph = Graph(CATALOGUE, Store(folder, FileIndex(folder / "none.json")), FileIndex(folder / "none.json"))
    return graph.key(Need(stage, settings, {"fold": {"fold": 0}, "decide": {"of": "infer"}}.get(stage, {})))


def test_every_seam_has_an_example_of_about_ten_lines():
    assert EXAMPLES.keys() == CHANGES.keys() and DOCUMENT.count("```python") == len(EXAMPLES)
    assert all(len(source.strip().splitlines()) <= 12 for source, _, _ in EXAMPLES.values())
    shown = {word.partition("=")[0] for _, _, words in EXAMPLES.values() for word in words}
    elsewhere = {"resample.features.name", "resample.copies.policy"}  # the same kinds, in other places
    assert set(PLUGIN_SETTINGS) - elsewhere <= shown


@pytest.mark.parametrize("name", CHANGES)
def test_the_source_of_an_example_and_of_its_helper_enters_the_key_of_what_it_changes(folder, name):
    source, _, words = EXAMPLES[name]
    (folder / "helper.py").write_text("A = 1\n", encoding="utf-8")
    (folder / name).write_text("import helper\n" + source, encoding="utf-8")
    stages = ("folds", "train_prepared", "fold", "infer", "decide")
    before = {stage: key(folder, stage, words) for stage in stages}
    assert before == {stage: key(folder, stage, words) for stage in stages}
    (folder / "helper.py").write_text("A = 2\n", encoding="utf-8")
    after = {stage: key(folder, stage, words) for stage in stages}
    changed = stages.index(CHANGES[name])
    assert [before[s] == after[s] for s in stages] == [i < changed for i in range(len(stages))]


@pytest.mark.slow
def test_all_examples_at_once_go_from_images_to_a_submission(folder):
    words = ["infer.views=[identity]", *(word for name in TOGETHER for word in EXAMPLES[name][2])]
    said = run(folder, "infer", "experiment=tiny_resnet", *words)
    assert said.code == 0, said.err
    assert "OOF mymetric.f2" in said.out and "mypost:agree: " in said.out
    assert "submission:" in said.out
    state = weights(folder)[0]
    assert "backbone.7.weight" in state and state["backbone.7.weight"].shape == (10, 32)
    again = run(folder, "infer", "experiment=tiny_resnet", *words)
    assert again.code == 0 and "infer" in again.out and again.out.count("reused") >= 1
    (folder / "mypost.py").write_text(EXAMPLES["mypost.py"][0].replace("0.5", "0.50"), encoding="utf-8")
    changed = run(folder, "infer", "experiment=tiny_resnet", *words)
    assert changed.code == 0 and len(named(folder, "decide")) == 2 and len(named(folder, "infer")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_each_example_runs_by_itself_as_the_document_says(folder, name):
    _, command, words = EXAMPLES[name]
    said = run(folder, command, "experiment=tiny_resnet", *words)
    assert said.code == 0, said.err


FAULTS = {
    "preprocess.function": (
        "def f(image_HWC):\n    return image_HWC[..., 0]\n",
        "of shape (32, 32) and type uint8",
    ),
    "augment.policy": ("def f(image_HWC, rng):\n    return image_HWC / 2\nf.does = ()\n", "type float64"),
    "resample.method": (
        "def f(labels_N, groups_N, fold, rng):\n    return [0, len(labels_N)]\n",
        "outside 0 …",
    ),
    "decision.steps": (
        "def f(p_NC, ids_N, groups_N, classes):\n    return p_NC * 2\n",
        "are not probabilities",
    ),
    "model.name": ("def f(n_classes):\n    return None\n", "returned None"),
}


def asked(setting, function):
    steps = [f"{setting}=[{function}]", "decision.members=true"]
    return steps if setting == "decision.steps" else [f"{setting}={function}"]


@pytest.mark.slow
@pytest.mark.parametrize("setting", FAULTS)
def test_what_breaks_its_word_is_told_with_its_file_and_exit_2(folder, setting):
    source, expected = FAULTS[setting]
    (folder / "mine.py").write_text(source, encoding="utf-8")
    words = ["experiment=tiny_resnet", *asked(setting, "mine:f")]
    said = run(folder, "infer", *words)
    assert said.code == 2 and f"{setting}: mine:f" in said.err, said.err
    assert expected in said.err and "mine.py" in said.err and "→ return" in said.err


@pytest.mark.parametrize("setting", FAULTS)
@pytest.mark.parametrize(
    ("function", "expected"), [("mine:nothing", "did you mean"), ("nowhere:f", "there is no nowhere.py")]
)
def test_names_that_lead_nowhere(folder, setting, function, expected):
    (folder / "mine.py").write_text("def something():\n    pass\n", encoding="utf-8")
    said = run(folder, "infer", "experiment=tiny_resnet", *asked(setting, function))
    assert said.code == 2 and expected in said.err and setting in said.err, said.err
