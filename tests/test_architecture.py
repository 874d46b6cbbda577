"""The floors of the house: imports point down, heavy libraries stay in their rooms, files stay small.

Each rule is a function from the import graph to its faults; each is also shown a planted violation.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 400

# Higher numbers may import lower ones; rooms of one number never import each other.
FLOORS = {
    "core": 0,
    "settings": 1,
    "record": 1,
    "data": 2,
    "combine": 2,
    "analyze": 2,
    "learn": 3,
    "infer": 4,
    "explain": 5,
    "stages": 6,
    "__main__": 7,
}
# Library rooms read schema types; they never see the store, MLflow or Optuna.
LIBRARY = ("data", "combine", "analyze", "learn", "infer", "explain")
HIDDEN_FROM_LIBRARY = ("pipeline.record.store", "pipeline.record.tracking", "pipeline.record.study")
# Where a library may be imported: modules, or whole rooms.
CONFINED = {
    "timm": ("pipeline.learn",),
    "albumentations": ("pipeline.data.augment",),
    "mlflow": ("pipeline.record.tracking",),
    "optuna": ("pipeline.record.study",),
    "omegaconf": ("pipeline.settings.load",),
}
WITHOUT_TORCH = ("combine", "analyze", "core", "settings", "record")
TORCH = ("torch", "torchvision", "timm")
# Rooms inside stages/: stages and commands are above them all.
INNER = {"engine": 0, "training": 1, "ensembling": 1, "handing_in": 1, "reporting": 2, "tuning": 3}
INNER_TOP = 4


@dataclass(frozen=True)
class Import:
    """`module` imports `target`, both as dotted names; `typing` when it is for annotations only."""

    module: str
    target: str
    line: int
    typing: bool = False

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_of(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def room_of(module: str) -> str:
    return [*module.split("."), ""][1]


def imports_of(root: Path) -> list[Import]:
    """Every import below root/pipeline, wherever it stands, relative ones resolved."""
    paths = sorted((root / "pipeline").rglob("*.py"))
    modules = {module_of(path, root) for path in paths}
    return [found for path in paths for found in file_imports(path, root, modules)]


def file_imports(path: Path, root: Path, modules: set[str]) -> Iterator[Import]:
    module = module_of(path, root)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, id(node) in typing)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from pipeline.core import types` names a module; in `… .types import X`, X is none.
                name = f"{base}.{alias.name}"
                yield Import(module, name if name in modules else base, node.lineno, id(node) in typing)


def upward(imports: list[Import]) -> list[str]:
    faults = []
    for found in imports:
        above, below = room_of(found.module), room_of(found.target)
        if not within(found.target, "pipeline") or below in ("", above) or above == "":
            continue
        unknown = [room for room in (above, below) if room not in FLOORS]
        if unknown:
            faults.append(f"{found}: room {unknown[0]} has no floor")
        elif FLOORS[above] <= FLOORS[below]:
            faults.append(f"{found}: imports point down only")
    return faults


def unconfined(imports: list[Import]) -> list[str]:
    faults = []
    for found in imports:
        library = found.target.split(".")[0]
        rooms = CONFINED.get(library)
        if rooms is not None and not any(within(found.module, room) for room in rooms):
            faults.append(f"{found}: {library} belongs to {', '.join(rooms)}")
        if library in TORCH and room_of(found.module) in WITHOUT_TORCH:
            faults.append(f"{found}: no torch in {room_of(found.module)}/")
        if room_of(found.module) in LIBRARY and any(within(found.target, h) for h in HIDDEN_FROM_LIBRARY):
            faults.append(f"{found}: library rooms never see the store, MLflow or Optuna")
    return faults


def inner_floor(module: str) -> int:
    """Of a module of stages/: its room's, or the top for stages and commands."""
    return INNER.get([*module.split("."), "", ""][2], INNER_TOP)


def upward_inside(imports: list[Import]) -> list[str]:
    """Arrows inside stages/ that run up, or between rooms of one floor."""
    faults = []
    for found in imports:
        if not within(found.module, "pipeline.stages") or not within(found.target, "pipeline.stages"):
            continue
        above, below = ([*name.split("."), "", ""][2] for name in (found.module, found.target))
        same = above == below or inner_floor(found.module) == inner_floor(found.target) == INNER_TOP
        if below and not same and inner_floor(found.module) <= inner_floor(found.target):
            faults.append(f"{found}: imports point down only, inside stages/ too")
    return faults


def stages_of(root: Path) -> set[str]:
    """Modules of stages/ that build a result."""
    found = set()
    for path in (root / "pipeline" / "stages").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in tree.body):
            found.add(module_of(path, root))
    return found


def stage_to_stage(imports: list[Import], stages: set[str]) -> list[str]:
    return [
        f"{found}: stages never import each other"
        for found in imports
        if found.target in stages and found.module != found.target and found.module in stages
    ]


def circles(imports: list[Import]) -> list[str]:
    """Imports that run in a circle; one for annotations never runs (its arrow must still point down)."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if within(found.target, "pipeline") and found.target != found.module and not found.typing:
            graph.setdefault(found.module, set()).add(found.target)
    faults, done = [], set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            faults.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    return faults


def too_long(root: Path) -> list[str]:
    counted = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in root.rglob("*.py")}
    return [f"{path.name}: {lines} lines" for path, lines in counted.items() if lines > LONGEST_FILE]


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_of(CHECKOUT)


def test_imports_point_down(imports: list[Import]) -> None:
    assert len(imports) > 100, "the walk found too little"
    assert upward(imports) == []


def test_imports_point_down_inside_stages_too(imports: list[Import]) -> None:
    found = {[*i.target.split("."), "", ""][2] for i in imports if within(i.target, "pipeline.stages")}
    assert set(INNER) <= found
    assert upward_inside(imports) == []


def test_libraries_stay_in_their_rooms(imports: list[Import]) -> None:
    assert unconfined(imports) == []


def test_stages_never_import_each_other(imports: list[Import]) -> None:
    stages = stages_of(CHECKOUT)
    assert "pipeline.train.stage_train" in stages
    assert stage_to_stage(imports, stages) == []


def test_there_is_no_circle(imports: list[Import]) -> None:
    assert circles(imports) == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert too_long(CHECKOUT / "pipeline") == []


def loaded_after(code: str) -> list[str]:
    """Which heavy libraries a fresh process has loaded after running `code`."""
    heavy = (*TORCH, "albumentations", "mlflow", "optuna")
    report = f"import sys; print(*[m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{report}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import runpy, sys; sys.argv = ['pipeline', '--help']\n"
        "try: runpy.run_module('pipeline', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    assert loaded_after(code) == []


def test_ensembling_and_reports_load_no_torch() -> None:
    names = [
        module_of(path, CHECKOUT)
        for room in WITHOUT_TORCH
        for path in sorted((CHECKOUT / "pipeline" / room).rglob("*.py"))
    ]
    assert len(names) > 10
    assert loaded_after("\n".join(f"import {name}" for name in names)) == []


def planted(root: Path, path: str, text: str) -> list[Import]:
    file = root / "pipeline" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for package in (root / "pipeline", file.parent):
        (package / "__init__.py").touch()
    file.write_text(text, encoding="utf-8")
    return imports_of(root)


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("core/a.py", "from pipeline.data import folds", "imports point down only"),
        ("core/a.py", "from pipeline import data", "imports point down only"),
        ("core/a.py", "from ..learn import fit", "imports point down only"),
        ("core/a.py", "from .. import learn", "imports point down only"),
        ("data/a.py", "def f():\n    import pipeline.core.voting.soft_voting", "imports point down only"),
        ("analyze/a.py", "from pipeline.data.images import x", "imports point down only"),
        ("learn/a.py", "from pipeline.stages import registry", "imports point down only"),
        ("core/a.py", "if TYPE_CHECKING:\n    from pipeline.data import folds", "imports point down only"),
        ("attic/a.py", "from pipeline.core import types", "has no floor"),
    ],
)
def test_a_planted_arrow_up_is_found(tmp_path: Path, path: str, text: str, what: str) -> None:
    for room in ("data", "learn", "combine", "core", "stages"):
        planted(tmp_path, f"{room}/__init__.py", "")
    planted(tmp_path, "data/folds.py", "")
    (fault,) = upward(planted(tmp_path, path, text))
    assert what in fault


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("data/a.py", "import timm", "timm belongs to"),
        ("data/loader.py", "import albumentations as A", "albumentations belongs to"),
        ("stages/a.py", "from mlflow import MlflowClient", "mlflow belongs to"),
        ("stages/a.py", "def f():\n    import optuna.samplers", "optuna belongs to"),
        ("settings/schema.py", "from omegaconf import OmegaConf", "omegaconf belongs to"),
        ("combine/a.py", "import torch.nn as nn", "no torch in combine/"),
        ("record/a.py", "from torchvision import models", "no torch in record/"),
        ("learn/a.py", "from pipeline.record.store import Store", "never see the store"),
    ],
)
def test_a_planted_library_is_found(tmp_path: Path, path: str, text: str, what: str) -> None:
    (fault,) = unconfined(planted(tmp_path, path, text))
    assert what in fault


def test_a_planted_stage_import_circle_and_long_file_are_found(tmp_path: Path) -> None:
    planted(tmp_path, "eda/stage_eda.py", "def build(job): ...")
    planted(tmp_path, "engine/registry.py", "from .. import eda")
    planted(tmp_path, "tune/retest.py", "from pipeline.stages.engine import registry")
    planted(tmp_path, "train/members.py", "from pipeline.stages.handing_in import host")
    planted(tmp_path, "data/host.py", "")
    found = planted(tmp_path, "train/stage_train.py", "from pipeline.stages import eda\ndef build(job): ...")
    assert len(stage_to_stage(found, stages_of(tmp_path))) == 1
    up = upward_inside(found)
    assert len(up) == 2 and "engine.registry" in up[0] and "training.members" in up[1]
    assert circles(found) == []
    planted(tmp_path, "core/a.py", "from pipeline.core import b")
    found = planted(tmp_path, "core/b.py", "def f():\n    from .a import x")
    assert circles(found) == ["pipeline.core.a -> pipeline.core.b -> pipeline.core.a"]
    planted(tmp_path, "core/c.py", "x = 1\n" * 401)
    assert too_long(tmp_path) == ["c.py: 401 lines"]
