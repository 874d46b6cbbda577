"""benchmarks/against_autogluon without AutoGluon: held-out groups, its checkpoint, cells that are kept."""

import json
import threading

import numpy as np
import pandas as pd
import pytest

from benchmarks import against_autogluon as bench


@pytest.fixture
def table(tmp_path):
    """Forty images of twenty groups, two classes."""
    for n in range(40):
        (tmp_path / f"{n}.png").write_bytes(b"picture")
    rows = [
        (f"i{n}", str(tmp_path / f"{n}.png"), ("cat", "dog")[n // 2 % 2], f"g{n // 2}") for n in range(40)
    ]
    return pd.DataFrame(rows, columns=["id", "path", "label", "group"])


def answers(one, right):
    """A cell whose answers are right for this share of the held-out images."""
    labels = one.test["label"].to_numpy()
    sure = np.where(np.arange(len(labels)) < right * len(labels), 0.9, 0.1)
    dog = np.where(labels == "dog", sure, 1 - sure)
    p = np.stack([1 - dog, dog], axis=1).tolist()
    return {"classes": ["cat", "dog"], "p": p, "seconds": 60.0, "first": 20.0}


def test_whole_groups_are_held_out_and_each_seed_holds_out_others(table, tmp_path):
    held = []
    for seed in (0, 1):
        one = bench.task("set", seed, table, tmp_path)
        train = pd.read_csv(one.folder / "train.csv")
        assert not set(train["group"]) & set(one.test["group"]) and len(train) + len(one.test) == 40
        assert all((one.folder / "images" / path).is_file() for path in train["path"])
        assert "label" not in pd.read_csv(one.folder / "test.csv").columns, "neither system reads the answers"
        held.append(set(one.test["group"]))
    assert held[0] != held[1]


def test_cells_are_kept_and_the_report_pairs_them(table, tmp_path, monkeypatch, capsys):
    made = []

    def podium(one, recipe, seconds, options):
        made.append(f"podium {recipe}".strip())
        return answers(one, 0.8 if recipe else 1.0)

    def rival(one, preset, seconds, options):
        made.append(preset or "defaults")
        return answers(one, 0.6)

    monkeypatch.setattr(bench, "table_of_demo", lambda name, out: table)
    monkeypatch.setattr(bench, "of_podium", podium)
    monkeypatch.setattr(bench, "of_autogluon", rival)
    monkeypatch.setattr(bench, "DRAWS", 50)
    words = ["--env", str(tmp_path / "env"), "--out", str(tmp_path), "--sets", "emoji"]
    words += ["--minutes", "5", "--seeds", "2"]
    bench.main(words)
    said = capsys.readouterr().out
    assert made == ["podium", "defaults", "high_quality"] * 2
    assert "podium                   macro-F1 1.0000" in said and "seeds 2" in said
    assert said.count("podium minus autogluon") == 2 and "first submission after     20 s" in said
    bench.main(words)
    assert len(made) == 6 and capsys.readouterr().out == said
    bench.main([*words, "--systems", "podium", "podium lite0_128"])
    assert made[6:] == ["podium lite0_128"] * 2, "one recipe alone, in the same time"
    assert "podium minus podium lite0_128: macro-F1 +" in capsys.readouterr().out


def test_side_by_side_all_systems_run_at_once_and_a_missing_one_brings_the_others_along(
    table, tmp_path, monkeypatch
):
    meeting, made = threading.Barrier(2, timeout=20), []

    def system(who, one, seconds, options):
        meeting.wait()
        made.append(who)
        return answers(one, 1.0)

    monkeypatch.setattr(bench, "table_of_demo", lambda name, out: table)
    monkeypatch.setattr(bench, "of_system", system)
    for name in ("environment", "checkpoint"):
        monkeypatch.setattr(bench, name, lambda *arguments: None)
    monkeypatch.setattr(bench, "DRAWS", 10)
    words = ["--env", str(tmp_path / "env"), "--out", str(tmp_path), "--sets", "emoji", "--side-by-side"]
    words += ["--minutes", "5", "--seeds", "1", "--systems", "podium", "autogluon"]
    bench.main(words)
    assert sorted(made) == ["autogluon", "podium"]
    bench.main(words)
    assert len(made) == 2, "both cells are kept"
    (tmp_path / "cells" / "emoji-5-0-autogluon.json").unlink()
    bench.main(words)
    assert len(made) == 4, "alone it would have the machine for itself"


@pytest.mark.slow
def test_the_checkpoint_is_the_packaged_backbone_without_its_classifier(tmp_path):
    import timm
    import torch

    folder = bench.checkpoint(tmp_path / "lite0")
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert about["num_features"] == 1280 and about["pretrained_cfg"]["input_size"] == [3, 224, 224]
    # As AutoGluon loads it: strictly, into a network without a classifier.
    file = folder / "pytorch_model.bin"
    network = timm.create_model(about["architecture"], checkpoint_path=str(file), num_classes=0)
    assert torch.equal(network.conv_stem.weight, torch.load(file, weights_only=True)["conv_stem.weight"])
