"""`make robustness`, and the error report that shows its curves once they are there."""

import re

import pandas as pd
import pytest
from main_world import MEMBERS, SMALL, artifacts, run

FEW = ("robustness.blur=[1.0]", "robustness.noise=[0.3]", "robustness.jpeg=[]", "robustness.brightness=[0.2]")


@pytest.mark.slow
def test_curves_are_measured_memoised_and_shown(tmp_path):
    plain = run(tmp_path, "error-analysis", MEMBERS)
    assert plain.code == 0, plain.err
    page = _page(tmp_path, plain.out)
    assert "make explain" in page
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections[-6:] == ["truth", "slices", "suspects", "sure", "robustness", "why"]
    command = re.search(r"make robustness ARGS=&#34;.*?(experiment=tiny_\w+)", page)
    assert command is not None, "the page names the command that measures the best member"

    first = run(tmp_path, "robustness", command[1])
    assert first.code == 0, first.err
    (made,) = artifacts(tmp_path, "robustness")
    table = pd.read_csv(made.folder / "robustness.csv")
    (train,) = [
        a for a in artifacts(tmp_path, "train") if f"experiment={a.manifest['experiment']}" == command[1]
    ]
    assert abs(table["score"][0] - train.metrics["oof_macro_f1"]) < 1e-9, "clean is the plain score"
    assert set(table["curve"]) == {"clean", "blur", "noise", "JPEG", "darker", "brighter"}
    assert "reused" in run(tmp_path, "robustness", command[1]).out

    again = run(tmp_path, "error-analysis", MEMBERS)
    assert _page(tmp_path, again.out).count('class="band s0"') == 5


@pytest.mark.slow
def test_kinds_can_be_left_out_and_bad_strengths_are_told(tmp_path):
    said = run(tmp_path, "robustness", "robustness.blur=[0.0]", "experiment=tiny_cnn", small=SMALL)
    assert said.code == 2 and "robustness.blur" in said.err
    few = run(tmp_path, "robustness", "experiment=tiny_cnn", *FEW)
    assert few.code == 0, few.err
    (made,) = artifacts(tmp_path, "robustness")
    table = pd.read_csv(made.folder / "robustness.csv")
    assert table["curve"].tolist() == ["clean", "blur", "noise", "darker"]


def _page(home, out: str) -> str:
    found = re.search(r"report: (\S+error-analysis\.html)", out)
    assert found is not None, out
    return (home / found[1]).read_text(encoding="utf-8")
