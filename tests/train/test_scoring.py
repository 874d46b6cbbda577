"""Which run a score is held against, on manifests as the store keeps them."""

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import strings
from pipeline.record import board
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Request, load
from pipeline.train import scoring

CONFIG = load(["competition=digits"]).config
SHARED = {"data": "data/d", "folds": "folds/f"}


class Runs:
    """A store of scored runs that were made of made-up folds; nothing is trained."""

    def __init__(self, home):
        self.store = Store(home, FileIndex(home / "artifacts" / ".index.json"))

    def add(self, stage, key, score, made_of=(), metrics=None, **inputs):
        whole = SHARED | inputs | {f"fold{n}": f"fold/{name}" for n, name in enumerate(made_of)}
        figures = {"oof_macro_f1": score, "complete": 1.0} | (metrics or {})
        with self.store.draft(stage, key) as draft:
            manifest = {"experiment": "one_name", "inputs": whole, "metrics": figures}
            self.store.publish(stage, key, draft, manifest)

    def rival(self, key, made_of=(), config=CONFIG, kind=scoring.TRAINED, oof=None, **inputs):
        """The key that a run with these inputs is compared with."""
        whole = SHARED | inputs | {f"fold{n}": f"fold/{name}" for n, name in enumerate(made_of)}
        mine = {n: Artifact(*w.split("/"), self.store.root, {}) for n, w in whole.items()}
        found = scoring.best_earlier(self.store, config, mine, key, kind, oof)
        return found and found.artifact.key


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_nothing_to_compare_with(runs):
    assert runs.rival("new", ["x"]) is None


def test_a_run_is_compared_with_its_own_kind_whatever_its_name(runs):
    """An inference gains from its views alone, so a training is compared with trainings only."""
    runs.add("train", "t", 0.7, ["a", "b"])
    runs.add("infer", "i", 0.8, ["a", "b"])
    runs.add("ensemble", "e", 0.85)
    assert runs.rival("new", ["x", "y"]) == "t"
    assert runs.rival("new", ["x", "y"], kind=scoring.PREDICTED) == "e"


def test_the_same_predictions_again_are_no_rival(runs, monkeypatch):
    def probabilities(*rows):
        return Probabilities(strings(["1", "2"]), ("a", "b"), np.array(rows, np.float32))

    own, other = probabilities([0.9, 0.1], [0.2, 0.8]), probabilities([0.6, 0.4], [0.2, 0.8])
    runs.add("train", "own", 0.9)
    runs.add("train", "other", 0.8)
    kept = {"own": own, "other": other}
    monkeypatch.setattr(scoring.load, "oof", lambda artifact, name: kept[artifact.key])
    assert runs.rival("new", oof=own.take(strings(["2", "1"]))) == "other"
    assert runs.rival("new", oof=other) == "own"
    assert runs.rival("new", oof=probabilities([0.5, 0.5], [0.5, 0.5])) == "own"


def test_an_ensemble_has_its_members_and_other_ensembles_as_rivals_but_not_itself(runs):
    runs.add("ensemble", "self", 0.99)
    runs.add("ensemble", "other", 0.7)
    of = {"kind": scoring.PREDICTED, "member:a": "infer/i"}
    assert runs.rival("self", **of) == "other"
    runs.add("infer", "i", 0.8, ["a", "b"])
    assert runs.rival("self", **of) == "i"


def test_other_data_folds_metrics_and_parts_of_the_images_are_no_rivals(runs):
    runs.add("train", "other data", 0.9, ["a"], data="data/else")
    runs.add("train", "other plan", 0.9, ["a"], folds="folds/else")
    runs.add("train", "part", 0.9, ["a"], metrics={"complete": 0.0})
    assert runs.rival("new", ["x"]) is None
    other = CONFIG.model_copy(
        update={"competition": CONFIG.competition.model_copy(update={"metric": "log_loss"})}
    )
    runs.add("train", "high loss", 0.9, ["a"], metrics={"oof_log_loss": 2.0})
    runs.add("train", "low loss", 0.5, ["b"], metrics={"oof_log_loss": 1.0})
    assert runs.rival("new", ["x"]) == "high loss"
    assert runs.rival("new", ["x"], other) == "low loss", "of a loss, the least is the best"


class TestWhatChanged:
    """A network against a solved head: they read different settings."""

    HEAD: ClassVar = {
        "images": {"size": 96},
        "train": {"head": "logistic", "head_c": CONFIG.train.head_c},
        "resample": {"method": "over"},
    }
    NETWORK: ClassVar = {
        "images": {"size": 128},
        "train": {"head": "linear", "epochs": 2, "lr": 10.0, "optimizer": "sgd", "clip_norm": None},
        "resample": {"method": "none"},
    }

    def rival(self, stage="train", settings=None):
        manifest = {"experiment": "features", "settings": settings or self.HEAD}
        return Artifact(stage, "a" * 16, None, manifest)

    def test_what_was_typed_comes_first_also_where_the_rival_does_not_read_it(self):
        typed = ["train.epochs", "train.lr", "train.optimizer"]
        told = scoring.changed(self.NETWORK, self.rival(), typed)
        assert told.startswith(
            'train.epochs: not read → 2, train.lr: not read → 10.0, train.optimizer: not read → "sgd", '
            "images.size: 96 → 128, "
        )
        assert board.brief(told).startswith(
            "epochs not read → 2, lr not read → 10.0, optimizer not read → sgd"
        )

    def test_a_setting_that_one_reads_and_nobody_set_is_left_out(self):
        told = scoring.changed(self.NETWORK | {"loss": {"label_smoothing": 0.0}}, self.rival())
        assert "clip_norm" not in told and "label_smoothing" not in told
        assert "train.head_c" not in told, "it has its default"
        strict = self.HEAD | {"train": {"head": "logistic", "head_c": 7.5}}
        assert "train.head_c: 7.5 → not read" in scoring.changed(self.NETWORK, self.rival(settings=strict))

    def test_beside_a_blend_a_run_is_told_by_its_words(self):
        request = Request("waste", None, ("lite0",), (("folds.n", 3), ("train.lr", 10)))
        card = scoring.Card(
            "macro_f1", None, {}, Comparison(0.1, 0.0, 0.2, 0.9, 9, "better"), "blend", "blend"
        )
        card = replace(card, interval=SimpleNamespace(note=""))
        rival = scoring.Rival(self.rival("ensemble", {"ensemble": {"method": "mean"}}), scoring.PREDICTED)
        tags = scoring.tags(card, rival, self.NETWORK, request)
        assert tags["changed"] == "made with experiment=lite0 train.lr=10"


def test_what_changed_against_a_blend_is_told_by_members_and_by_settings_where_those_are_the_same():
    members = {"member:lite0": "infer/1", "member:probe": "infer/2"}
    settings = {"ensemble": {"method": "weighted"}}

    def told(stage, key, inputs, run, method="weighted"):
        manifest = {"experiment": "one_name", "inputs": inputs, "settings": settings}
        rival = scoring.Rival(Artifact(stage, key, CONFIG.runtime.folder, manifest), scoring.PREDICTED)
        return scoring.members_changed(rival, run, {"ensemble": {"method": method}}).get(board.CHANGED)

    assert scoring.members_changed(None, members, {}) == {}
    assert told("infer", "1", {}, {}) is None, "two networks differ in their settings"
    assert told("infer", "1", {}, members) == "adds probe"
    assert told("infer", "9", {}, members) == "a blend of 2 instead of one network"
    assert told("ensemble", "e", members, {}) == "one network instead of a blend of 2"
    other = {"member:renamed": "infer/1", "member:gbdt": "gbdt/1"}
    assert told("ensemble", "e", members, other) == "adds gbdt, without probe"
    assert told("ensemble", "e", members, members, "rank") == "method weighted → rank"
