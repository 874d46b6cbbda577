"""Blend, decide, report and explain where an image has several answers: whole commands on drawn images."""

import json

import pytest
import targets_world as world
from main_world import artifacts, run

MEMBERS = ("experiment=probe", "ensemble.members=[probe,probe_logistic]")
STEPS = {"labels": "[thresholds,prior_correction]", "values": "[clip]"}
METHOD = {"labels": "stacking", "values": "greedy", "shares": "geometric"}
COLUMN = {"labels": "blue", "values": "green"}


def said(folder, kind, *words, options=()):
    name, *rest = words
    small = (*world.SMALL, *world.settings(folder, kind))
    return run(folder / "home", name, *rest, small=small, options=options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels", "values", "shares"])
def test_from_a_blend_to_its_explanation(tmp_path, kind):
    folder = world.written(tmp_path, kind, n=80)
    alone = said(folder, kind, "infer", "experiment=probe")
    assert alone.code == 0, alone.err
    words = (*MEMBERS, f"ensemble.method={METHOD[kind]}")
    if kind in STEPS:
        words += (f"decision.steps={STEPS[kind]}", "decision.adopt=always")
    blend = said(folder, kind, "ensemble", *words)
    assert blend.code == 0, blend.err
    if kind == "labels":
        (decided,) = artifacts(folder / "home", "decide")
        told = json.loads((decided.folder / "decision.json").read_text(encoding="utf-8"))
        assert [s["adopted"] for s in told["steps"]] == [True, True]
        assert set(told["steps"][0]["fitted"]["thresholds"]) >= {"red", "green", "blue · none"}
    report = said(folder, kind, "error-analysis", *words)
    assert report.code == 0 and "error-analysis.html" in report.out, report.err
    if kind == "labels":
        one = said(folder, kind, "error-analysis", *words, options=["--label=blue"])
        assert one.code == 0, one.err
        assert len(artifacts(folder / "home", "error_analysis")) == 2
    label = [f"--label={COLUMN[kind]}"] if kind in COLUMN else []
    seen = said(folder, kind, "explain", "experiment=probe", options=["--what=cam,neighbours", *label])
    assert seen.code == 0 and "2 panels" in seen.out, seen.err
    board = said(folder, kind, "leaderboard")
    assert board.code == 0 and "leaderboard.html" in board.out, board.err


@pytest.mark.slow
def test_what_is_named_must_be_there(tmp_path):
    folder = world.written(tmp_path, "labels", n=40)
    for command in ("error-analysis", "explain"):
        wrong = said(folder, "labels", command, "experiment=probe", options=["--label=blu"])
        assert wrong.code == 2 and "did you mean blue" in wrong.err
    judged = said(folder, "labels", "error-analysis", "experiment=probe", options=["--verdicts=x.csv"])
    assert judged.code == 2 and "LABEL" in judged.err
