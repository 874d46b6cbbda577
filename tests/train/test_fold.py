"""What a fold takes of the settings: a loss of one's own, a head per attribute, soft targets."""

import json
from pathlib import Path

import numpy as np
import pytest
from main_world import SMALL, artifacts, run

from pipeline.record.files import read_probabilities, read_samples

TINY = ("experiment=tiny_resnet", "train.folds=[0]")
# Digits as numbers: below 5, and from 5 on.
HALVES = "{name: half, column: digit, values: [low, high], bins: [5.0]"
OWN = "def f(logits, target):\n    return -(target * logits.log_softmax(-1)).sum(-1) * {factor}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def train(home, *words, command="train", code=0):
    small = [w for w in SMALL if w.partition("=")[0] not in {x.partition("=")[0] for x in words}]
    before = set(Path(home).glob("artifacts/fold/*"))
    said = run(home, command, *TINY, *words, small=small)
    assert said.code == code, said.out + said.err
    artifacts(home)
    made = [p for p in Path(home).glob("artifacts/fold/*") if p not in before]
    return said, made[0] if made else None


def history(fold):
    return json.loads((fold / "history.json").read_text())


def test_a_loss_of_ones_own_trains_and_its_source_is_in_the_key(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN.format(factor=1), encoding="utf-8")
    _, plain = train(home)
    _, first = train(home, "loss.name=own:f")
    assert history(first)[-1]["train_loss"] == pytest.approx(history(plain)[-1]["train_loss"], rel=1e-4)
    assert train(home, "loss.name=own:f")[1] is None, "reused"
    (tmp_path / "own.py").write_text(OWN.format(factor=3), encoding="utf-8")
    _, second = train(home, "loss.name=own:f")
    assert history(second)[0]["train_loss"] > 1.5 * history(first)[0]["train_loss"]
    (tmp_path / "own.py").write_text("def f(logits, target):\n    return logits.mean()\n", encoding="utf-8")
    said, made = train(home, "loss.name=own:f", code=2)
    assert made is None and "own:f returned torch.float32 ()" in said.err


def test_soft_targets_reach_training_and_leave_the_scores_labels_alone(home):
    hard = train(home, f"competition.attributes=[{HALVES}}}]")[1]
    said, soft = train(home, f"competition.attributes=[{HALVES}, soft_width: 2.0}}]")
    assert "images near the edge of a bin are trained as a share of both bins (half ± 2)" in said.out
    assert history(hard)[0]["train_loss"] != history(soft)[0]["train_loss"]
    data = max(Path(home).glob("artifacts/data/*"), key=lambda p: p.stat().st_mtime)
    samples = read_samples(data / "train.npz", Path(home))
    is_soft = ~np.isnan(samples.soft_NC).any(axis=1)
    # ± 2 about 5 shares 4, 5 and 6 only, since 3 and 7 are a whole width away.
    assert set(np.round(samples.soft_NC[is_soft, 1], 3).tolist()) == {0.25, 0.5, 0.75}
    ids = [read_probabilities(fold / "oof.npz", "oof").ids_N for fold in (hard, soft)]
    assert np.array_equal(*ids)


def test_a_head_per_attribute_predicts_what_it_validated(home):
    two = f"competition.attributes=[{HALVES}}}, {{name: digit, column: digit, values: {list('0123456789')}}}]"
    said, fold = train(home, two.replace("'", '"'), "model.heads=attributes", command="infer")
    assert "OOF macro_f1" in said.out
    views = max(Path(home).glob("artifacts/infer/*"), key=lambda p: p.stat().st_mtime)
    oof, seen = (read_probabilities(p / "oof.npz", "oof") for p in (fold, views))
    assert len(oof.classes) == 20 and np.array_equal(oof.ids_N, seen.ids_N)
    assert not np.allclose(oof.p_NC, 0.05)
