"""Values are judged by eye: the page asks, a file is checked whole, and the next report says what follows."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import columns_world
import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.data import load
from pipeline.errors.columns import page as columns
from pipeline.errors.columns.scores import Scored
from pipeline.errors.judging import value_verdicts
from pipeline.errors.judging.value_verdicts import PLAUSIBLE, TRUTH_WRONG, Verdict

CASE = columns_world.world("values")
NAMES = ("digit", "ink")


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    monkeypatch.setattr(load, "facts", lambda artifact: CASE.job.facts)


def section(case):
    return columns.on_worst(case, SimpleNamespace(scored=Scored.of(case.train, case.new.oof)))


def rows():
    """What the page asks for, as the rows of its script."""
    return json.loads(re.search(r">(\{.*\})<", str(section(CASE).data))[1].replace("\\u003c", "<"))


def truths():
    scored = Scored.of(CASE.train, CASE.new.oof)
    return {
        (str(i), name): float(scored.truth_NK[n, k])
        for n, i in enumerate(scored.ids_N)
        for k, name in enumerate(NAMES)
        if not np.isnan(scored.truth_NK[n, k])
    }


def written(path, lines):
    path.write_text("\n".join([",".join(value_verdicts.COLUMNS), *lines]) + "\n", encoding="utf-8")
    return path


def test_what_the_page_exports_is_taken_in_and_told_by_the_next_report(tmp_path):
    asked = rows()
    assert asked["columns"] == list(value_verdicts.COLUMNS) and len(asked["rows"]) >= 8
    lines = [
        ",".join([*row, kind])
        for row, kind in zip(asked["rows"], (TRUTH_WRONG, PLAUSIBLE, TRUTH_WRONG), strict=False)
    ]
    file, kept = written(tmp_path / "verdicts.csv", lines), tmp_path / "kept.csv"
    said = value_verdicts.take_in(file, kept, truths(), NAMES)
    assert "3 of verdicts.csv stored; 3 in" in said
    value_verdicts.take_in(written(file, [",".join([*asked["rows"][1], TRUTH_WRONG])]), kept, truths(), NAMES)
    job = SimpleNamespace(
        **{**vars(CASE.job), "params": {value_verdicts.PARAM: "kept.csv"}, "home": tmp_path}
    )
    shown = section(replace(CASE, job=job))
    judged = shown.values["judged"]
    assert judged[0] == "3 far-off values judged by eye: truth is wrong: 3."
    now, without = (
        float(x) for x in re.search(r"would be ([\d.]+) instead of ([\d.]+)", judged[1]).groups()[::-1]
    )
    assert without < now and asked["rows"][0][0] in judged[2]
    left = {(card.key[1], card.column) for card in shown.values["cards"]}
    assert not left & {tuple(row[:2]) for row in asked["rows"][:3]}


def test_every_fault_of_a_file_is_named_and_nothing_is_stored(tmp_path):
    (name, value, truth, predicted), *_ = rows()["rows"]
    lines = [
        f"{name},{value},{truth},{predicted},truth is rong",
        f"{name},{value},{truth},{predicted},{PLAUSIBLE}",
        f"nobody,{value},{truth},{predicted},{PLAUSIBLE}",
        f"{name},inc,{truth},{predicted},{PLAUSIBLE}",
        f"train-0003.png,digit,99,3,{PLAUSIBLE}",
        f",digit,x,3,{PLAUSIBLE}",
    ]
    with pytest.raises(DataError) as error:
        value_verdicts.take_in(written(tmp_path / "v.csv", lines), tmp_path / "kept.csv", truths(), NAMES)
    told = str(error.value)
    for part in (
        "`truth is rong` is no verdict",
        "already judged in row 2",
        "nobody: the training table",
        "no value `inc`",
    ):
        assert part in told
    assert (
        "digit is 3 in the training table, and 99 was judged" in told and "truth: `x` is not a number" in told
    )
    assert not (tmp_path / "kept.csv").exists()
    with pytest.raises(DataError, match="columns"):
        value_verdicts.take_in(of_classes(tmp_path), tmp_path / "kept.csv", truths(), NAMES)


def of_classes(folder):
    path = folder / "classes.csv"
    path.write_text(
        "id,answer:digit,unsure,stratum,inclusion,control,report\n1,3,no,,1,no,x\n", encoding="utf-8"
    )
    return path


def test_a_verdict_about_a_truth_that_was_corrected_counts_no_more():
    scored = Scored.of(CASE.train, CASE.new.oof)
    (name, value, truth, predicted), *_ = rows()["rows"]
    own = Verdict(name, value, float(truth), float(predicted), TRUTH_WRONG)
    assert value_verdicts.counting([own], scored) == [own]
    assert value_verdicts.counting([replace(own, truth=own.truth + 1)], scored) == []
    assert value_verdicts.summary([], scored, metrics.get("rmse")) == []
