"""`make submit FILE=bundles/NAME` with a stand-in for the Kaggle client: every call is shown first."""

import json
import os
import shutil
from pathlib import Path

import pytest
from main_world import run

from pipeline.predict import folder, push

CLIENT = """#!/bin/sh
echo "$@" >> "$PODIUM_CALLS"
case "$*" in
  *--help) echo "-p --path FOLDER --dir-mode MODE --message NOTES";;
  "config view") echo "- username: $PODIUM_USER";;
  "datasets status"*) test -f "$PODIUM_THERE" && echo ready || { echo "403 - Forbidden"; exit 1; };;
  "datasets create"*|"datasets version"*)
    echo "${PODIUM_SAID:-Your private Dataset is being created.}"; touch "$PODIUM_THERE";;
  "kernels push"*) echo "Kernel version 3 successfully pushed.  Please check progress at https://example.org";;
esac
"""
WORDS = ("competition=digits", "competition.submission.kaggle=digit-contest", "runtime.mlflow=false")


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A bundle whose predictor is a manifest and one file of weights."""
    where = tmp_path / "bundles" / "digits-ensemble-aaaaaa"
    (where / "predictor" / "weights").mkdir(parents=True)
    (where / "predictor" / "weights" / "0.safetensors").write_bytes(b"weights")
    member = {
        "name": "a",
        "weight": 1.0,
        "temperature": 1.0,
        "look": 0,
        "model": {},
        "channels": 3,
        "images": 1,
        "backbone": None,
        "views": ["identity"],
        "view_weights": [1.0],
        "precision": "fp32",
        "start": "",
        "committees": [{"weights": ["weights/0.safetensors"], "shares": [1.0], "mode": ""}],
        "ms_per_image": 1.0,
        "score": None,
    }
    look = {
        "images": {},
        "crop": {},
        "preprocess": {},
        "encoding": None,
        "ranges": {},
        "usual": None,
        "shared": [0.0, 0.0, 1.0, 1.0],
        "margin": 0.0,
        "aspect": 1.0,
        "boxes": None,
    }
    source = {"id_column": "id", "path_column": "path", "group_column": "", "channel_files": []}
    parts = {
        "form": folder.FORM,
        "name": where.name,
        "competition": "digits",
        "title": "digits",
        "space": "",
        "artifact": "x",
        "csv_sha256": "0" * 64,
        "submission": {},
        "batch": 1,
        "made": {},
        "scores": {},
        "source": {**source, "images_per_sample": None},
        "looks": [look],
        "members": [member],
        "blend": {"rule": None, "stack": None},
        "steps": [],
    }
    folder.write(where / "predictor", parts)
    (where / "notebook.ipynb").write_text("{}", encoding="utf-8")
    about = {"title": where.name, "id": f"INSERT_USERNAME_HERE/{where.name}", "licenses": [{"name": "other"}]}
    (where / "dataset-metadata.json").write_text(json.dumps(about), encoding="utf-8")
    return where


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The calls of a stand-in for the client, which is first on the path."""
    program = tmp_path / "bin" / "kaggle"
    program.parent.mkdir()
    program.write_text(CLIENT, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name, value in (("CALLS", "calls.txt"), ("THERE", "there")):
        monkeypatch.setenv(f"PODIUM_{name}", str(tmp_path / value))
    monkeypatch.setenv("PODIUM_USER", "ada")
    monkeypatch.setattr(push, "SECONDS", 0.0)
    (tmp_path / "calls.txt").touch()
    return lambda: (tmp_path / "calls.txt").read_text(encoding="utf-8").splitlines()


def submitted(tmp_path, bundle, *options, words=WORDS):
    return run(tmp_path / "home", "submit", small=words, options=("--file", str(bundle), *options))


def sent(calls) -> list[str]:
    return [
        line for line in calls() if line.split()[1] in ("create", "version", "push") and "--help" not in line
    ]


def test_a_rehearsal_shows_every_call_and_sends_nothing(tmp_path, bundle, calls):
    said = submitted(tmp_path, bundle, "--dry")
    assert said.code == 0, said.err
    assert f"command: kaggle datasets create -p {bundle} --dir-mode zip" in said.out
    assert "command: kaggle kernels push -p" in said.out and "DRY=1: nothing was sent" in said.out
    assert "asks: kaggle datasets status ada/digits-ensemble-aaaaaa" in said.out
    assert sent(calls) == []
    shown = [line.partition(": kaggle ")[2] for line in said.out.splitlines() if line.startswith("asks: ")]
    assert shown == calls(), "every call is shown"


def test_the_dataset_is_created_and_then_the_notebook_is_pushed(tmp_path, bundle, calls):
    said = submitted(tmp_path, bundle, "--yes", "--message", "five members")
    assert said.code == 0, said.err
    first, second = sent(calls)
    assert first == f"datasets create -p {bundle} --dir-mode zip" and second.startswith("kernels push -p")
    about = json.loads((bundle / "dataset-metadata.json").read_text(encoding="utf-8"))
    assert about["id"] == "ada/digits-ensemble-aaaaaa"
    kernel = json.loads((Path(second.split()[-1]) / "kernel-metadata.json").read_text(encoding="utf-8"))
    assert kernel["dataset_sources"] == [about["id"]] and kernel["competition_sources"] == ["digit-contest"]
    assert kernel["enable_internet"] is False and kernel["is_private"] is True
    assert "-k ada/digits-ensemble-aaaaaa -v 3 -f submission.csv -m 'five members'" in said.out
    again = submitted(tmp_path, bundle, "--yes")
    assert again.code == 0 and sent(calls)[2].startswith(f"datasets version -p {bundle} --dir-mode zip -m")


def test_without_a_terminal_nothing_is_sent_unasked(tmp_path, bundle, calls):
    said = submitted(tmp_path, bundle)
    assert said.code == 2 and "there is no terminal" in said.err and sent(calls) == []


def test_a_failure_that_the_client_only_prints_stops_it(tmp_path, bundle, calls, monkeypatch):
    monkeypatch.setenv("PODIUM_SAID", "Dataset creation error: no quota is left")
    said = submitted(tmp_path, bundle, "--yes")
    assert said.code == 2 and "Dataset creation error: no quota is left" in said.err
    assert len(sent(calls)) == 1


def test_each_reason_not_to_push_is_one_clear_error(tmp_path, bundle, calls, monkeypatch):
    for change, words, text in (
        (lambda: monkeypatch.setenv("PODIUM_USER", "None"), WORDS, "the Kaggle client knows no user"),
        (lambda: None, (WORDS[0], WORDS[2]), "competition.submission.kaggle is not set"),
        (lambda: monkeypatch.setenv("PATH", str(tmp_path)), WORDS, "kaggle: no such command"),
        (lambda: (bundle / "notebook.ipynb").unlink(), WORDS, "this is no bundle"),
    ):
        change()
        said = submitted(tmp_path, bundle, "--yes", words=words)
        assert said.code == 2 and text in said.err and "→" in said.err and "Traceback" not in said.err
    assert sent(calls) == []


def test_altered_weights_are_not_sent(tmp_path, bundle, calls):
    (bundle / "predictor" / "weights" / "0.safetensors").write_bytes(b"other")
    said = submitted(tmp_path, bundle, "--yes")
    assert said.code == 2 and "weights/0.safetensors: its sha256 is" in said.err and calls() == []


def test_a_client_of_another_kind_is_refused_with_what_it_lacks(tmp_path, bundle, calls):
    program = Path(shutil.which("kaggle"))
    program.write_text(CLIENT.replace(" --dir-mode MODE", ""), encoding="utf-8")
    said = submitted(tmp_path, bundle, "--yes")
    assert said.code == 2 and "kaggle datasets create: --dir-mode" in said.err and sent(calls) == []
