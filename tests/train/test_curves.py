"""A fold through the real stages: early stopping's inner split, curves, tables, what the record gets."""

import json

import numpy as np
import pandas as pd
import pytest
from main_world import SMALL, artifacts, run

from pipeline.record.tracking import Run
from pipeline.train import scoring

STOP = ("train.early_stopping={patience: 2, share: 0.25}", "train.epochs=3")
WORDS = (*(word for word in SMALL if not word.startswith("train.epochs")), *STOP, "experiment=tiny_resnet")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return home, run(home, "train", small=WORDS)


@pytest.mark.slow
def test_early_stopping_is_told_counted_and_kept(trained):
    home, said = trained
    assert said.code == 0, said.err
    assert "early stopping chose epochs " in said.out and "on inner splits of" in said.out
    (train,) = artifacts(home, "train")
    history = pd.read_csv(train.folder / "history.csv")
    for made in artifacts(home, "fold"):
        number = made.manifest["config"]["fold"]
        mine = history[history.fold == number]
        (chosen,) = mine[mine.chosen == 1].to_dict("records")
        assert chosen["inner_score"] == mine.inner_score.max() == made.metrics["inner_score"]
        assert made.metrics["valid_score"] == chosen["valid_score"]
        assert made.metrics["chosen_epoch"] == chosen["epoch"]
        assert 15 <= made.metrics["inner_images"] <= 25, "a quarter of about 75"
    assert len(train.metrics) <= 40


def test_per_class_f1_is_a_table_and_no_flood_of_columns(trained):
    home, _ = trained
    for made in artifacts(home, "fold"):
        table = pd.read_csv(made.folder / "per_class_f1.csv")
        assert list(table.columns) == ["epoch", *"0123456789"] and len(table) >= 2
        entries = json.loads((made.folder / "history.json").read_text(encoding="utf-8"))
        assert not any(name.startswith("f1/") for entry in entries for name in entry)
        assert {"grad_norm", "lr", "gap", "images_per_second", "train_loss", "valid_score"} <= set(entries[0])


class _Curves(Run):
    def __init__(self):
        self.seen = []

    def epoch(self, epoch, values):
        self.seen.append((epoch, values))


def test_curves_are_of_the_rarest_classes_under_names_that_mlflow_takes(trained):
    _, said = trained
    assert said.code == 0
    seen = _Curves()
    entry = {"epoch": 0.0, "lr": 0.1, "f1/여자 <30": 0.2, "f1/many": 0.9}
    assert scoring.logged(seen, 2, ("여자 <30", "absent"))(0, 0, entry)
    assert seen.seen == [(0, {"lr": 0.1, "f1/여자 _30": 0.2})]


def test_the_rarest_classes_are_those_of_all_parts():
    from learn_world import digit_samples

    whole = digit_samples(0, 300)
    few = [n for n in range(300) if whole.labels[n] not in (3, 7) or n < 30]
    kept = whole.take(whole.ids_N[few])
    found = scoring.rarest([kept.take(kept.ids_N[:150]), kept.take(kept.ids_N[150:])])
    assert len(found) == scoring.CLASS_CURVES and set(found[:2]) == {"3", "7"}
    assert np.bincount(kept.labels)[3] < 10
