"""`train.init_from` through the real stages: the same fold of the same plan, or nothing."""

import csv
import re
import shlex
from pathlib import Path

import pytest
import torch
from learn_world import equal_states
from main_world import artifacts, run
from pixels_world import KINDS, Photos, drawing

from pipeline.core.errors import ConfigError
from pipeline.record.store import Artifact
from pipeline.settings.load import load
from pipeline.stages import open_session
from pipeline.train import init_from, state

pytestmark = pytest.mark.slow

SMALL = (
    "competition=digits",
    "experiment=tiny_resnet",
    "competition.demo.limit=120",
    "folds.n=2",
    "train.epochs=1",
    "statistics.draws=100",
    "runtime.mlflow=false",
    "runtime.threads=1",
)
LARGER = ("images.size=48", "images.cache_px=48", "train.init_from=tiny_resnet")
NET = ("experiment=tiny_resnet", "train.epochs=1", "statistics.draws=100", "train.batch_size=8")
COLUMN = ("folds.kind=column", "folds.column=part", "folds.n=2", "runtime.threads=1")


def weights(fold):
    return state.load_checkpoint(fold.folder / "weights.pt")["weights"]


def train(home, *words):
    return run(home, "train", *words, small=SMALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Digits at 32 px, then at 48 px from there."""
    home = tmp_path_factory.mktemp("grown")
    assert train(home).code == 0
    done = train(home, *LARGER)
    assert done.code == 0, done.err
    return home


def test_progressive_resizing_starts_each_fold_from_its_own_smaller_fold(home):
    small, large = sorted(artifacts(home, "train"), key=lambda a: a.manifest["created"])
    for number in (0, 1):
        key = large.inputs[f"fold{number}"].removeprefix("fold/")
        (fold,) = [a for a in artifacts(home, "fold") if a.key == key]
        assert fold.inputs["initial"] == small.inputs[f"fold{number}"], "it is an input, so it is in the key"
        assert fold.manifest["config"]["fold"] == number
        first = next(a for a in artifacts(home, "fold") if f"fold/{a.key}" == fold.inputs["initial"])
        assert not equal_states(weights(first), weights(fold))


def test_asked_again_by_name_or_key_it_is_the_same_result(home):
    small = next(a for a in artifacts(home, "train") if a.manifest["settings"]["images"]["size"] == 32)
    for name in ("tiny_resnet", small.key[:8], small.key):
        again = train(home, *LARGER[:2], f"train.init_from={name}")
        assert again.code == 0 and "reused" in again.out and not re.search(r"^fold ", again.out, re.M), (
            again.err
        )


def test_a_run_or_a_fold_that_is_not_there_is_refused(home):
    done = train(home, "train.init_from=tiny_resnt")
    assert done.code == 2 and "did you mean tiny_resnet" in done.err
    words = [word for word in SMALL if not word.startswith("folds.n")]
    done = run(home, "train", "train.init_from=tiny_resnet", "folds.n=3", "train.folds=[2]", small=words)
    assert done.code == 2 and "has no finished fold 2" in done.err


def test_a_run_on_other_folds_is_refused_with_both_keys_before_anything_is_trained(home):
    done = train(home, *LARGER, "folds.seed=1")
    assert done.code == 2 and "fold 0:" in done.err and "images are in one validation part only" in done.err
    plans = {a.key for a in artifacts(home, "folds")}
    assert sum(f"folds/{key}" in done.err for key in plans) == 2
    assert "fold " not in done.out


def test_two_runs_of_one_name_must_be_told_apart_by_key(home):
    assert train(home, "train.lr=0.01").code == 0
    done = train(home, *LARGER, "train.lr=0.02")
    assert done.code == 2 and "2 finished train runs are called `tiny_resnet`" in done.err
    assert "start of the key of one of them" in done.err and done.err.count("- train ") == 2


@pytest.mark.parametrize("heads", ["joint", "attributes"])
def test_a_classifier_of_other_heads_is_not_kept(heads):
    """Two attributes of two values have as many outputs as their four classes."""
    made = Artifact("fold", "k", Path(), {"settings": {"model": {"heads": heads, "ordinal": []}}})
    own = load(["competition=digits", "experiment=tiny_resnet"])
    assert init_from.outputs_of(made, own, ("a", "b")) == (("a", "b") if heads == "joint" else ())


class World(Photos):
    """Drawings whose column `part` says where each validates, whatever its label."""

    def __init__(self, root):
        super().__init__(root, train=24)
        self.label()

    def label(self, flipped=(), folds=None):
        rows = []
        for n, name in enumerate(self.ids["train"]):
            part = n // 2 % 2 if folds is None else folds[n]
            rows.append((name, f"{name}.png", KINDS[(n + (part in flipped)) % 2], part))
        self.table("train.csv", ("id", "path", "kind", "part"), rows)

    def train(self, *words):
        return self.context(*COLUMN, *NET, *words).need("train")

    def extra(self):
        for number in range(100, 112):
            folder = self.root / "more" / KINDS[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            drawing(number).save(folder / f"{number}.png")
        return "competition.extra=[{source: web, licence: CC0, images: more}]"


@pytest.fixture
def starts(monkeypatch):
    """The networks that folds start from, in order of training."""
    seen, build = [], state._network

    def record(job):
        network = build(job)
        seen.append((job.fold, {key: value.clone() for key, value in network.state_dict().items()}))
        return network

    monkeypatch.setattr(state, "_network", record)
    return seen


def test_labels_of_a_folds_validation_part_never_reach_its_initial_weights(tmp_path, starts):
    """The teachers' rule: fold k starts from the same bits however fold k is labelled."""
    found = []
    for number, flipped in enumerate([(), (0,)]):
        world = World(tmp_path / str(number))
        world.label(flipped)
        world.train()
        starts.clear()
        world.train("images.size=32", "train.init_from=tiny_resnet")
        found.append(dict(starts))
    plain, permuted = found
    assert equal_states(plain[0], permuted[0])
    assert not equal_states(plain[1], permuted[1]), "the labels of fold 0 do reach fold 1"
    assert torch.count_nonzero(plain[0]["backbone.fc.weight"]), "the classifier was kept"


def test_a_refit_starts_from_the_earlier_runs_refit_and_has_no_score(tmp_path, starts):
    world, grown = World(tmp_path), ("images.size=32", "train.init_from=tiny_resnet")
    world.train()
    with pytest.raises(ConfigError, match="tiny_resnet has no model of all data") as caught:
        world.context(*COLUMN, *NET, *grown).need("refit")
    assert not starts[2:], "told before anything is trained"
    (typed,) = re.findall(r"\(make refit (.*)\), or submit", caught.value.remedy)
    words = shlex.split(shlex.split(typed)[0].removeprefix("ARGS="))  # the shell, then make's shell
    open_session(load([*words, "runtime.mlflow=false"])).need("refit")
    (first,) = artifacts(tmp_path, "whole")
    starts.clear()
    refit = world.context(*COLUMN, *NET, *grown).need("refit")
    second = next(a for a in artifacts(tmp_path, "whole") if a.key != first.key)
    assert second.inputs["initial"] == f"whole/{first.key}"
    assert equal_states(dict(starts)[2], weights(first)), "all of it, the classifier too"
    assert not equal_states(weights(second), weights(first))
    assert not [name for name in (*refit.metrics, *second.metrics) if name.startswith(("oof_", "valid_"))]


def test_what_is_held_out_of_training_was_held_out_of_the_earlier_run_too(tmp_path):
    """Weights that learned an image can't say when to stop, nor what a share of the groups teaches."""
    world = World(tmp_path)
    stopping, grown = "train.early_stopping.share=0.5", ("images.size=32", "train.init_from=tiny_resnet")
    plain = world.train()
    for words, told in (
        ((stopping,), "early_stopping and train.init_from: fold .* was trained on images of the inner split"),
        (
            ("train.group_share=0.5",),
            "group_share=0.5 and train.init_from: fold .* was trained on other groups",
        ),
    ):
        with pytest.raises(ConfigError, match=told):
            world.train(*grown, *words)
    held = world.train(stopping)
    assert held.key != plain.key
    again = f"train.init_from={held.key[:8]}"
    assert world.train(grown[0], again, stopping).metrics["complete"] == 1
    with pytest.raises(ConfigError, match=r"early_stopping and train\.init_from"):
        world.train(grown[0], again, stopping, "train.seed=1")


def test_images_from_elsewhere_first_then_the_competitions_own(tmp_path, starts):
    world = World(tmp_path)
    first = world.train(world.extra())
    starts.clear()
    second = world.train("train.init_from=tiny_resnet")
    assert first.inputs["folds"] != second.inputs["folds"], "the plans are compared, not their keys"
    assert [fold for fold, _ in starts] == [0, 1]


def test_other_labels_groups_or_parts_of_the_same_images_are_refused(tmp_path):
    world = World(tmp_path)
    world.train()
    grown = ("images.size=32", "train.init_from=tiny_resnet")
    world.label(flipped=(1,))
    with pytest.raises(ConfigError, match="fold plans differ") as caught:
        world.train(*grown)
    assert caught.value.faults == ("12 images have another label (first: 002)",)
    world.label(folds=[n % 2 if n < 4 else n // 2 % 2 for n in range(24)])
    with pytest.raises(ConfigError) as caught:
        world.train(*grown)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["fold 0", "fold 1"]
    with (world.root / "train.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:-1]
    world.table("train.csv", ("id", "path", "kind", "part"), rows)
    with pytest.raises(ConfigError) as caught:
        world.train(*grown)
    assert caught.value.faults == ("1 id is in one of them only (first: 023)",)
