"""Files for other people's machines: what can be checked without Docker, GitHub, Kaggle or an editor."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parent.parent
QUICK = sorted((CHECKOUT / "notebooks" / "hosts").glob("*.ipynb"))


def code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_workflow_runs_what_a_change_must_pass():
    workflow = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(CHECKOUT / ".ci/run", os.X_OK)
    cached = next(step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache"))
    assert cached["path"] == "~/.cache/podium/envs"


def test_the_hook_runs_a_target_that_there_is():
    config = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hook,) = config["repos"][0]["hooks"]
    make, target = hook["entry"].split()
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert make == "make" and re.search(rf"^{target}:", makefile, re.M)


def test_the_debugger_starts_a_command_with_settings_that_there_are(tmp_path):
    from pipeline.settings.load import load

    launch = json.loads((CHECKOUT / ".vscode/launch.json").read_text(encoding="utf-8"))
    fold = launch["configurations"][0]
    name, *words = fold["args"]
    filled = [
        w.replace("${input:experiment}", "tiny_cnn").replace("${workspaceFolder}", str(tmp_path))
        for w in words
    ]
    assert (fold["module"], name) == ("pipeline", "train")
    assert load(filled).config.train.folds == [0]


def test_the_containers_copy_what_there_is_and_end_as_a_user_without_rights():
    lines = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[2:-1] for line in lines if line.startswith("COPY")]
    assert all((CHECKOUT / name).exists() for names in copied for name in names)
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["podium"]
    dev = json.loads((CHECKOUT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert (CHECKOUT / ".devcontainer" / dev["build"]["dockerfile"]).resolve() == CHECKOUT / "Dockerfile"
    assert dev["remoteUser"] == "podium"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_shell_lines_of_the_container_parse():
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^RUN (.*)$", text, re.M):
        done = subprocess.run(["bash", "-n", "-c", line], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_lock_has_the_lines_that_the_container_installs_first():
    lock = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    assert len(re.findall(r"^(?:torch|torchvision)==", lock, re.M)) == 2


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_the_quick_starts_are_valid_and_stored_without_outputs(path):
    nbformat.validate(nbformat.read(path, 4))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    for source in code(path):
        ast.parse(source)


@pytest.mark.slow
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_the_quick_starts_run_here_with_the_environment_in_the_hosts_place(path, tmp_path):
    source = tmp_path / "source"
    for name in ("pipeline", "configs"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copyfile(CHECKOUT / name, source / name)
    words = "competition=digits competition.demo.limit=200 experiment=tiny_cnn images.size=16 folds.n=2"
    env = os.environ | {
        "PODIUM_SOURCE": str(source),
        "PODIUM_HOME": str(tmp_path / "home"),
        "PODIUM_LACKING": "--no-build-isolation",
        "PODIUM_WORDS": f"{words} train.epochs=1 statistics.draws=100 runtime.mlflow=false",
    }
    script = tmp_path / "run.py"
    script.write_text("\n".join(code(path)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "home" / "submissions").glob("digits-tiny_cnn*.csv"))
