import pandas as pd
import pytest
from main_world import run

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE

SMALL = ("competition=digits", "competition.demo.limit=300", "runtime.mlflow=false")


def inputs(*words):
    return CATALOGUE.get("eda").inputs(None, load(["competition=digits", *words]), {})


def test_features_are_an_input_only_when_the_shift_test_asks_for_them():
    assert set(inputs()) == {"data", "images", "folds"}
    asked = inputs("eda.shift_on=features")
    assert set(asked) - set(inputs()) == {"train:identity", "test:identity"}
    assert {need.stage for name, need in asked.items() if ":" in name} == {"features"}


def test_thresholds_that_contradict_each_other_are_all_told():
    with pytest.raises(ConfigError) as raised:
        load(["competition=digits", "eda.medium=0.5", "eda.shift_shuffles=19", "eda.near_bits=99"])
    told = str(raised.value)
    assert "eda.near_bits" in told
    with pytest.raises(ConfigError) as raised:
        load(["competition=digits", "eda.medium=0.5", "eda.shift_shuffles=19"])
    assert "eda.medium" in str(raised.value) and "eda.shift_p" in str(raised.value)


def eda(home, *words):
    said = run(home, "eda", *words, small=SMALL)
    assert said.code == 0, said.err
    (report,) = (home / "artifacts" / "eda").glob("*/eda.html")
    return report


def test_the_command_writes_the_report_and_its_tables(tmp_path):
    report = eda(tmp_path)
    page = report.read_text(encoding="utf-8")
    assert "AUC on image facts" in page and report.stat().st_size < 1_000_000
    shift = pd.read_csv(report.with_name("shift.csv"))
    assert {"brightness", "contrast", "blur"} <= set(shift["fact"])
    assert {p.name for p in report.parent.glob("*.csv")} >= {
        "suspects.csv",
        "near_duplicates.csv",
        "outliers.csv",
    }


@pytest.mark.slow
def test_the_shift_test_runs_on_features(tmp_path):
    report = eda(tmp_path, "eda.shift_on=features", "experiment=probe")
    assert "AUC on image features" in report.read_text(encoding="utf-8")
