"""Heads through the real stages: one pass of the backbone for all, and folds cut out of one training."""

import numpy as np
import pytest
import torch
from main_world import artifacts, equal, run

from pipeline.core.errors import ConfigError
from pipeline.data import load as read
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.nets.model import build
from pipeline.record import files
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.settings.model import ModelSettings
from pipeline.stages import CATALOGUE
from pipeline.train import state

# Random weights in a file: as good as any others to see what is made of what.
NAMES = "model.name=test_resnet"


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "test_resnet.pth"
    network = build(ModelSettings(name="test_resnet", weights="none"), 1000, 0)
    torch.save(network.backbone.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def words(weights_file):
    return (
        *("experiment=probe", NAMES, f"model.weights=file:{weights_file}", "folds.n=3", "images.size=32"),
        *("competition=digits", "competition.demo.limit=200", "statistics.draws=100"),
        *("runtime.mlflow=false", "runtime.threads=1"),
    )


STEPS = ("train.epochs=3", "train.head_seeds=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory, words):
    """All three folds of two seeds, and their test probabilities."""
    home = tmp_path_factory.mktemp("home")
    said = run(home, "infer", *STEPS, small=words)
    assert said.code == 0, said.err
    return home, said.out


def folds(home):
    return {a.manifest["config"]["fold"]: a for a in artifacts(home, "fold")}


def weights_of(artifact):
    return state.load_checkpoint(artifact.folder / "weights.pt")["weights"]


def test_the_backbone_passes_once_and_every_fold_is_there(home):
    home, out = home
    made = [a.manifest["config"] for a in artifacts(home, "features")]
    # Heads train on the three views of inference, which reads them of both splits.
    assert sorted((c["split"], c["view"]) for c in made) == sorted(
        (split, view) for split in ("train", "test") for view in ("identity", "shift(1,1)", "shift(-1,-1)")
    )
    assert len(artifacts(home, "heads")) == 1 and sorted(folds(home)) == [0, 1, 2]
    assert sum(line.startswith("features ") for line in out.splitlines()) == 6 and "seeds 0." in out


def test_seeds_are_averaged_and_their_spread_is_told(home):
    home, out = home
    for artifact in folds(home).values():
        by_seed = files.read_views(artifact.folder / "seeds.npz", "seeds")
        oof = files.read_probabilities(artifact.folder / "oof.npz", "oof")
        assert by_seed.views == ("seed 0", "seed 1")
        assert not np.array_equal(by_seed.p_VNC[0], by_seed.p_VNC[1])
        np.testing.assert_allclose(by_seed.merge().p_NC, oof.p_NC, atol=1e-6)
        assert len(weights_of(artifact)["out.weight"]) == 2
    (train,) = artifacts(home, "train")
    told = [float(w) for w in out.partition("seeds ")[2].partition(":")[0].split()]
    assert train.metrics["seed_std"] == pytest.approx(np.std(told, ddof=1), abs=1e-4)
    assert train.metrics["seed_mean"] == pytest.approx(np.mean(told), abs=1e-4)


def test_inference_sees_what_training_validated(home):
    """The plain view of the restored heads gives the folds' own out-of-fold probabilities."""
    (found,) = artifacts(home[0], "views")
    views = read.views(found, "oof", "oof").view("identity")
    for artifact in folds(home[0]).values():
        oof = files.read_probabilities(artifact.folder / "oof.npz", "oof")
        np.testing.assert_allclose(views.take(oof.ids_N).p_NC, oof.p_NC, atol=1e-6)


def test_a_fold_is_the_same_alone_first_or_last(home, words, tmp_path):
    """Another process's home, one fold asked for, in another order: the very same bits."""
    assert run(tmp_path, "train", *STEPS, "train.folds=[2]", small=words).code == 0
    assert sorted(folds(tmp_path)) == [2]
    assert run(tmp_path, "train", *STEPS, "train.folds=[1,0]", small=words).code == 0
    for number, artifact in folds(tmp_path).items():
        theirs = folds(home[0])[number]
        assert artifact.key == theirs.key and equal(weights_of(artifact), weights_of(theirs))
        mine, other = (a.folder / "oof.npz" for a in (artifact, theirs))
        np.testing.assert_array_equal(
            files.read_probabilities(mine, "a").p_NC, files.read_probabilities(other, "b").p_NC
        )
    assert len(artifacts(tmp_path, "heads")) == 1, (
        "all folds' heads were trained with the first one asked for"
    )


@pytest.mark.parametrize(
    "changed",
    [
        ("train.head=mlp", "train.head_hidden=8", "train.epochs=2"),
        ("train.head=logistic",),
        ("resample.method=smote", "train.epochs=2"),
        ("loss.name=focal", "train.epochs=2"),
    ],
    ids=lambda words: words[0].partition("=")[2],
)
def test_every_head_loss_and_sampler_trains_on_the_same_pass(home, words, changed):
    said = run(home[0], "infer", *changed, small=words)
    assert said.code == 0, said.err
    assert len(artifacts(home[0], "features")) == 6 and "features " not in said.out
    assert "OOF macro_f1" in said.out


def keys_of_features(home, words, stage, *more):
    settings = load([*words, f"runtime.home={home}", *more])
    graph = Graph(
        CATALOGUE, Store(home, FileIndex(home / "artifacts" / ".index.json")), FileIndex(home / "x.json")
    )
    chain = graph.chain([Need(stage, settings)])
    return {(n.params["split"], n.params["view"]): graph.key(n) for n in chain if n.stage == "features"}


def test_heads_resampling_and_the_data_report_share_a_pass(home, words):
    """And what changes no feature: batch, device precision, folds, seeds, losses."""
    home = home[0]
    plain = ("train", "identity")
    wanted = keys_of_features(home, words, "train")[plain]
    for stage, *more in (
        ("train", "train.head=mlp", "train.head_seeds=3", "loss.name=focal", "folds.seed=4"),
        ("train", "train.head=logistic", "train.head_c=1"),
        ("train", "runtime.infer_batch=7", "runtime.device=cpu", "runtime.workers=1"),
        ("resample", "resample.method=smote"),
        ("eda", "eda.shift_on=features"),
    ):
        assert keys_of_features(home, words, stage, *more)[plain] == wanted, (stage, more)
    assert keys_of_features(home, words, "train", "images.resize=letterbox")[plain] != wanted


def test_a_network_resampled_by_these_features_shares_them_too(home, words):
    own = [w for w in words if not w.startswith(("experiment=", "model."))]
    frozen = [w.replace("model.", "resample.features.") for w in words if w.startswith("model.")]
    network = keys_of_features(
        home[0], own, "train", "experiment=tiny_resnet", "resample.method=near_miss", *frozen
    )
    (plain,) = network
    assert network[plain] == keys_of_features(home[0], words, "train")[plain]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        (("train.head=logistic", "loss.name=focal"), "loss.name"),
        (("train.head=logistic", "loss.label_smoothing=0.1"), "loss.label_smoothing"),
        (("train.head=logistic", "train.head_seeds=2"), "train.head_seeds"),
        (("train.head=logistic", "resample.method=under", "resample.redraw=true"), "resample.redraw"),
        (("train.head_hidden=8",), "train.head_hidden"),
        (("train.head=mlp", "train.head_c=2"), "train.head_c"),
        (("train.ema_decay=0.9",), "train.ema_decay"),
        (("train.precision=bf16",), "train.precision"),
        (("train.strategy=full", "train.head=mlp"), "train.head"),
        (("train.strategy=full", "train.head_seeds=2"), "train.head_seeds"),
    ],
)
def test_settings_that_do_not_fit_a_head_are_named(words, changed, path):
    with pytest.raises(ConfigError) as caught:
        load([*words, *changed])
    (fault,) = caught.value.faults
    assert f": {path} " in fault


def test_what_logistic_regression_does_not_read_is_refused(home, words):
    said = run(home[0], "train", "train.head=logistic", "train.lr=0.5", small=words)
    assert said.code == 2 and "train.lr: nothing in this chain reads it" in said.err
