"""From settings to a decided submission: kept steps change it, other steps are only reported."""

import json

import numpy as np
import pytest
from main_world import MEMBERS, artifacts, ledger, run

from pipeline.core import metrics
from pipeline.data import load
from pipeline.record import files
from pipeline.resample import page

pytestmark = pytest.mark.slow

POST = """
import numpy as np


def damp(p_NC, ids_N, groups_N, classes):
    p = p_NC ** 0.5
    return p / p.sum(axis=1, keepdims=True)


def worse(p_NC, ids_N, groups_N, classes):
    return np.roll(p_NC, 1, axis=1)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two members and their blend, finished once."""
    folder = tmp_path_factory.mktemp("home")
    said = run(folder, "ensemble", MEMBERS)
    assert said.code == 0, said.err
    return folder


@pytest.fixture
def here(home, monkeypatch, tmp_path):
    (tmp_path / "mypost.py").write_text(POST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return home


def decisions(home):
    return sorted(artifacts(home, "decide"), key=lambda a: a.manifest["created"])


def last(home, steps):
    return next(a for a in decisions(home) if a.manifest["config"]["decision"]["steps"] == steps)


def test_a_step_that_is_not_better_is_reported_and_the_blend_is_submitted_unchanged(here):
    said = run(here, "ensemble", MEMBERS, "decision.steps=[mypost:damp]")
    assert said.code == 0, said.err
    assert "mypost:damp: tried, left out: +0.0000" in said.out
    assert "kept: nothing: the submission stays as it is" in said.out
    (line,) = [name for name, row in ledger(here).items() if row["kind"] == "blend"]
    assert "decided" not in line
    artifact, (blend,) = last(here, ["mypost:damp"]), artifacts(here, "ensemble")
    for split in ("oof", "test"):
        ours, theirs = (files.read_probabilities(a.folder / f"{split}.npz", "p") for a in (artifact, blend))
        assert (ours.p_NC == theirs.p_NC).all()


def test_a_kept_step_is_submitted_with_its_cross_fitted_score_and_provenance(here):
    words = ("decision.steps=[class_scales,mypost:worse]", "decision.adopt=always", "decision.shrink=0.05")
    said = run(here, "ensemble", MEMBERS, *words)
    assert said.code == 0, said.err
    assert "(optimistic)" in said.out and "class_scales: kept" in said.out
    artifact = last(here, ["class_scales", "mypost:worse"])
    name = f"digits-ensemble-decided-{artifact.key[:6]}"
    row = ledger(here)[name]
    oof = load.oof(artifact, "oof")
    data = artifacts(here, "data")[0]
    y = load.samples(data, "train", here).take(oof.ids_N).labels
    assert (
        float(row["oof"]) == pytest.approx(metrics.get("macro_f1").score(y, oof.p_NC))
        and row["kind"] == "blend"
    )
    told = json.loads((here / "submissions" / f"{name}.json").read_text(encoding="utf-8"))
    fitted = told["decision"]["steps"]
    assert told["blend"]["weights"] and [s["name"] for s in fitted] == ["class_scales", "mypost:worse"]
    # The test set got exactly what the provenance says.
    scale_C = np.array(list(fitted[0]["fitted"]["scales"].values()))
    (blend,) = artifacts(here, "ensemble")
    p = load.test(blend, "p").p_NC * scale_C
    wanted = np.roll(p / p.sum(axis=1, keepdims=True), 1, axis=1)
    np.testing.assert_allclose(load.test(artifact, "p").p_NC, wanted, atol=1e-6)
    report = run(here, "error-analysis", MEMBERS, *words)
    assert report.code == 0 and "reused" in report.out, report.err
    # It is rebuilt as what it is: members, blend and decision.
    assert set(told["members"]) == {"tiny_resnet", "tiny_cnn"} and f"decide/{artifact.key}" in told["chain"]
    again = run(here, "reproduce", small=["runtime.mlflow=false"], options=[f"--file={name}", "--scratch"])
    assert again.code == 0 and "equal keys, the bytes are equal" in again.out, again.err


def test_members_are_decided_when_asked(here):
    words = ("decision.steps=[mypost:damp]", "decision.adopt=always", "decision.members=true")
    said = run(here, "infer", "experiment=tiny_cnn", *words)
    assert said.code == 0 and "digits-tiny_cnn-decided-" in said.out, said.err
    said = run(here, "ensemble", MEMBERS, *words)
    assert said.code == 0, said.err
    assert {n.rpartition("-")[0] for n in ledger(here)} >= {
        "digits-tiny_cnn-decided", "digits-tiny_resnet-decided", "digits-ensemble-decided"
    }  # fmt: skip


def test_prior_correction_starts_from_the_training_rows(here):
    words = ("decision.steps=[prior_correction]", "decision.adopt=always", "decision.prior=uniform")
    said = run(here, "infer", "experiment=tiny_cnn", *words, "decision.members=true")
    assert said.code == 0, said.err
    artifact = last(here, ["prior_correction"])
    (infer,) = [a for a in artifacts(here, "infer") if a.manifest["experiment"] == "tiny_cnn"]
    fitted = artifact.json("decision.json")["steps"][0]["fitted"]
    counts = page.shown(artifacts(here, "resample")[0], tuple(str(c) for c in range(10)))
    assert counts.sum() > 100 and np.allclose(fitted["from"], (counts + 0.5) / (counts + 0.5).sum())
    p = load.test(infer, "p").p_NC / np.array(fitted["from"])
    np.testing.assert_allclose(load.test(artifact, "p").p_NC, p / p.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["decision.steps=[class_scale]"], "did you mean class_scales"),
        (["decision.steps=[class_scales,class_scales]"], "twice"),
        (["decision.steps=[group_average]"], "constant_in_group"),
        (["decision.steps=[class_scales]", "competition.metric=log_loss"], "scores probabilities"),
        (["decision.shrink=0.5"], "decision.shrink: nothing in this chain reads it"),
        (["decision.steps=[mypost:nothing]"], "has no function `nothing`"),
        (
            ["decision.steps=[prior_correction]", "ensemble.members=[auto]"],
            "needs members that are named as experiments",
        ),
    ],
)
def test_invalid_settings_are_reported(here, words, expected):
    said = run(here, "ensemble", *([] if "auto" in words[-1] else [MEMBERS]), *words)
    assert said.code == 2 and expected in said.err, said.err
