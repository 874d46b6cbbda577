"""Answers about test images serve the error report alone: nothing that learns or predicts may read them."""

import ast
from pathlib import Path

import pytest
from main_world import SMALL

from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.errors.judging import answers_file
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
# Who may know of answers: the report's own rooms, the command that takes them in, and the report's key.
MAY_READ = {
    *(
        f"errors/judging/{name}.py"
        for name in ("answers", "answers_file", "estimate", "page", "value_verdicts")
    ),
    *("errors/stages.py", "errors/commands.py", "errors/columns/page.py", "errors/texts.py", "cli.py"),
}
ROOMS = ("pipeline.errors.judging.answers", "pipeline.errors.judging.answers_file")


def knows_of_answers(tree: ast.Module) -> bool:
    """Whether code (comments and docstrings aside) names the folder, or imports what reads it."""
    texts = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            if "verdicts" in node.value:
                return True
        elif isinstance(node, ast.Import) and any(a.name in ROOMS for a in node.names):
            return True
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{a.name}" for a in node.names} | {str(node.module)}
            if names & set(ROOMS):
                return True
    return False


def readers(root: Path) -> set[str]:
    found = set()
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if ("verdicts" in text or "judging" in text) and knows_of_answers(ast.parse(text)):
            found.add(path.relative_to(root).as_posix())
    return found


def test_nothing_but_the_error_report_reads_answers():
    found = readers(PIPELINE)
    assert found <= MAY_READ and {"errors/judging/answers_file.py", "errors/commands.py"} <= found


@pytest.mark.parametrize(
    "text",
    [
        "from pipeline.errors.judging import answers_file",
        "from pipeline.errors.judging.answers import parse",
        "x = home / 'submissions' / 'verdicts' / 'pets.csv'",
    ],
)
def test_a_planted_reader_is_found(tmp_path, text):
    (tmp_path / "learn").mkdir()
    (tmp_path / "learn" / "fit.py").write_text(f'"""answers may be talked of."""\n{text}\n')
    (tmp_path / "learn" / "loss.py").write_text('"""answers may be talked of."""\n')
    assert readers(tmp_path) == {"learn/fit.py"}


def test_answers_change_the_key_of_the_report_and_of_nothing_else(tmp_path):
    settings = load([*SMALL, "ensemble.members=[tiny_resnet]", f"runtime.home={tmp_path}"])
    path = answers_file.path_of(tmp_path, settings)
    params = {"a": "new.csv", "b": "old.csv", answers_file.PARAM: str(path.relative_to(tmp_path))}

    def keys():
        index = FileIndex(tmp_path / "artifacts" / ".index.json")
        graph = Graph(CATALOGUE, Store(tmp_path, index), index)
        needs = graph.chain([Need("ensemble", settings), Need("error_analysis", settings, params)])
        return {(n.stage, str(n.params)): graph.key(n) for n in needs}

    before = keys()
    path.parent.mkdir(parents=True)
    path.write_text("id\n1\n")
    after = keys()
    changed = {stage for (stage, _), key in after.items() if key != before[stage, _]}
    assert changed == {"error_analysis"} and len(after) > 5 and "fold" in {stage for stage, _ in after}
    assert set(CATALOGUE.stages) >= {stage for stage, _ in after}
