"""The corridor: rooms import rooms before them and the machinery, nothing runs in a circle, files stay small.

Each rule is a function from the import graph to its faults; each is also shown a planted violation.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 600

# Rooms in the order of a competition: each may import those before it, and the machinery.
CORRIDOR = (
    *("data", "nets", "eda", "resample", "train", "infer", "ensemble", "submit", "predict", "errors"),
    *("explain", "tune", "plan", "home"),
)
# The machinery: each may import those after it in this list, and no room.
MACHINERY = ("engine", "pages", "settings", "record", "core")
# Files that stand in no room and may import every room: the command line and its list, the list of stages,
# `make all`, and the public library.
TOP = ("cli", "help", "stages", "everything", "api", "__main__")
# Where a library may be imported: modules, or whole rooms.
CONFINED = {
    "timm": ("pipeline.nets", "pipeline.train"),
    "albumentations": ("pipeline.data.augment",),
    "mlflow": ("pipeline.record.tracking", "pipeline.record.registry"),
    "optuna": ("pipeline.record.study",),
    "omegaconf": ("pipeline.settings.load",),
    "ray": ("pipeline.engine.executors.ray", "pipeline.engine.executors.ray_tasks"),
}
# These answer without torch, so that they answer in seconds.
WITHOUT_TORCH = ("eda", "ensemble", "submit", "errors", "home", *MACHINERY)
TORCH = ("torch", "torchvision", "timm")
# The names of these files are promises; they import torch only inside the functions that build.
LIGHT_FILES = ("stages", "commands")


@dataclass(frozen=True)
class Import:
    """`module` imports `target`, both as dotted names; `inside` when only a call runs it."""

    module: str
    target: str
    line: int
    inside: bool = False

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
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, id(node) in inside)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from pipeline.core import types` names a module; in `… .types import X`, X is none.
                name = f"{base}.{alias.name}"
                yield Import(module, name if name in modules else base, node.lineno, id(node) in inside)


def upward(imports: list[Import]) -> list[str]:
    """Arrows that run up the corridor, or from the machinery into a room."""
    faults = []
    for found in imports:
        above, below = room_of(found.module), room_of(found.target)
        if not within(found.target, "pipeline") or below in ("", above) or above in ("", *TOP):
            continue
        unknown = [room for room in (above, below) if room not in (*CORRIDOR, *MACHINERY, *TOP)]
        if unknown:
            faults.append(f"{found}: {unknown[0]} is not a room")
        elif not may_import(above, below):
            faults.append(f"{found}: {above} stands before {below}")
    return faults


def may_import(above: str, below: str) -> bool:
    """Whether files of one room may import those of another."""
    if above in MACHINERY:
        return below in MACHINERY and MACHINERY.index(below) > MACHINERY.index(above)
    return below in MACHINERY or (below in CORRIDOR and CORRIDOR.index(below) < CORRIDOR.index(above))


def unconfined(imports: list[Import]) -> list[str]:
    """Heavy libraries outside the rooms that they belong to."""
    faults = []
    for found in imports:
        library = found.target.split(".")[0]
        rooms = CONFINED.get(library)
        if rooms is not None and not any(within(found.module, room) for room in rooms):
            faults.append(f"{found}: {library} belongs to {', '.join(rooms)}")
        if library in TORCH and room_of(found.module) in WITHOUT_TORCH and not asks_for_devices(found):
            faults.append(f"{found}: no torch in {room_of(found.module)}/")
    return faults


def asks_for_devices(found: Import) -> bool:
    """The one file of the machinery that asks torch for devices, inside a function."""
    return found.module == "pipeline.engine.hardware" and found.inside


def circles(imports: list[Import]) -> list[str]:
    """Imports that run in a circle; one that only exists for types is a circle in the design."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if within(found.target, "pipeline") and found.target != found.module:
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


def test_rooms_import_only_what_stands_before_them(imports: list[Import]) -> None:
    assert len(imports) > 100, "the walk found too little"
    assert {room_of(one.module) for one in imports} >= {*CORRIDOR, *MACHINERY, "cli", "stages"}
    assert upward(imports) == []


def test_libraries_stay_in_their_rooms(imports: list[Import]) -> None:
    assert unconfined(imports) == []


def test_there_is_no_circle(imports: list[Import]) -> None:
    assert circles(imports) == []


def test_no_file_is_longer_than_600_lines() -> None:
    assert too_long(CHECKOUT / "pipeline") == []


def test_every_room_declares_its_stages_in_one_file(imports: list[Import]) -> None:
    with_stages = {path.parent.name for path in (CHECKOUT / "pipeline").glob("*/stages.py")}
    assert with_stages == set(CORRIDOR) - {"predict", "tune", "plan", "home"}
    assert not list((CHECKOUT / "pipeline").rglob("stage_*.py"))


NAMED_FILE = re.compile(r"`(?:pipeline/)?((?:[a-z_]+/)+[a-z_]+\.py)`")
WRITTEN_ABOUT = ("README.md", "CONTRIBUTING.md", "docs/*.md", "pipeline/**/*.py", "tests/**/*.py")


def unknown_files(root: Path) -> list[str]:
    """Files that docstrings and documents name and that are not there; the log keeps its old names."""
    paths = [path for pattern in WRITTEN_ABOUT for path in root.glob(pattern) if path.name != "log.md"]
    named = {(path, name) for path in paths for name in NAMED_FILE.findall(path.read_text(encoding="utf-8"))}
    return sorted(
        f"{path.relative_to(root)}: {name}"
        for path, name in named
        if not any((folder / name).is_file() for folder in (root / "pipeline", *path.parents))
    )


def test_every_file_that_is_named_somewhere_exists() -> None:
    assert unknown_files(CHECKOUT) == []


def test_a_planted_name_of_no_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"see `{'pipeline/train/gone.py'}` and `mine.py`", encoding="utf-8")
    assert unknown_files(tmp_path) == ["README.md: train/gone.py"]


def loaded_after(code: str, *more: str) -> list[str]:
    """Which heavy libraries a fresh process has loaded after running `code`."""
    heavy = (*TORCH, "albumentations", "mlflow", "optuna", *more)
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


def test_ensembling_reports_stages_and_commands_load_no_torch() -> None:
    paths = [path for room in WITHOUT_TORCH for path in (CHECKOUT / "pipeline" / room).rglob("*.py")]
    paths += [p for name in LIGHT_FILES for p in (CHECKOUT / "pipeline").rglob(f"{name}.py")]
    names = sorted({module_of(path, CHECKOUT) for path in paths})
    assert len(names) > 60
    assert loaded_after("\n".join(f"import {name}" for name in names)) == []


def test_a_command_that_only_finds_results_loads_no_library_that_computes() -> None:
    """Loading scikit-learn and SciPy takes as long as all the rest of `make train` of finished work."""
    code = "import pipeline.stages, pipeline.train.commands, pipeline.submit.commands"
    assert loaded_after(code, "sklearn", "scipy") == []


def test_make_help_needs_no_package_at_all() -> None:
    """It runs before anything is installed, so the command line imports only the standard library."""
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-W", "error", str(CHECKOUT / "pipeline" / "help.py")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "error-analysis" in done.stdout


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
        ("core/a.py", "from pipeline.data import folds", "core stands before data"),
        ("core/a.py", "from pipeline import data", "core stands before data"),
        ("engine/a.py", "from ..train import loop", "engine stands before train"),
        ("record/a.py", "from pipeline.settings import load", "record stands before settings"),
        ("data/a.py", "def f():\n    import pipeline.ensemble.outside", "data stands before ensemble"),
        ("eda/a.py", "from pipeline.resample.page import x", "eda stands before resample"),
        ("train/a.py", "from pipeline.infer import stages", "train stands before infer"),
        ("train/a.py", "from pipeline.stages import CATALOGUE", "train stands before stages"),
        ("core/a.py", "if TYPE_CHECKING:\n    from pipeline.data import folds", "core stands before data"),
        ("attic/a.py", "from pipeline.core import types", "attic is not a room"),
    ],
)
def test_a_planted_arrow_up_is_found(tmp_path: Path, path: str, text: str, what: str) -> None:
    for room in (*CORRIDOR, *MACHINERY):
        planted(tmp_path, f"{room}/__init__.py", "")
    planted(tmp_path, "data/folds.py", "")
    planted(tmp_path, "stages.py", "")
    (fault,) = upward(planted(tmp_path, path, text))
    assert what in fault


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("data/a.py", "import timm", "timm belongs to"),
        ("data/loader.py", "import albumentations as A", "albumentations belongs to"),
        ("train/a.py", "from mlflow import MlflowClient", "mlflow belongs to"),
        ("tune/a.py", "def f():\n    import optuna.samplers", "optuna belongs to"),
        ("settings/schema.py", "from omegaconf import OmegaConf", "omegaconf belongs to"),
        ("ensemble/a.py", "import torch.nn as nn", "no torch in ensemble/"),
        ("record/a.py", "from torchvision import models", "no torch in record/"),
        ("engine/hardware.py", "import torch", "no torch in engine/"),
    ],
)
def test_a_planted_library_is_found(tmp_path: Path, path: str, text: str, what: str) -> None:
    (fault,) = unconfined(planted(tmp_path, path, text))
    assert what in fault


def test_a_planted_circle_and_long_file_are_found(tmp_path: Path) -> None:
    planted(tmp_path, "core/a.py", "from pipeline.core import b")
    found = planted(tmp_path, "core/b.py", "def f():\n    from .a import x")
    assert circles(found) == ["pipeline.core.a -> pipeline.core.b -> pipeline.core.a"]
    found = planted(tmp_path, "core/b.py", "if TYPE_CHECKING:\n    from pipeline.core.a import x")
    assert circles(found) == ["pipeline.core.a -> pipeline.core.b -> pipeline.core.a"]
    planted(tmp_path, "core/c.py", "x = 1\n" * 601)
    assert too_long(tmp_path) == ["c.py: 601 lines"]
