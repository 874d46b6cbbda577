"""Labels, values and shares from files to a scored inference, by a network and by heads on features."""

import pytest
import targets_world as world


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    return {kind: world.written(tmp_path_factory.mktemp(kind), kind, 40) for kind in world.OF}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels", "values", "shares"])
def test_a_network_is_trained_and_inferred(homes, kind):
    said = world.command(homes[kind], kind, "infer", "experiment=tiny_cnn", "train.epochs=1")
    assert said.code == 0, said.err
    assert f"OOF {world.OF[kind]['metric']}" in said.out and "view identity" in said.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("labels", ["loss.name=asymmetric", "resample.method=over", "train.bag=2"]),
        ("labels", ["train.distill={}", "train.distill.inner=2"]),
        ("labels", ["train.pseudo={}", "train.pseudo.test_images=true", "train.pseudo.threshold=0.5"]),
        ("values", ["loss.name=huber", "train.mix.method=mixup", "train.ema_decay=0.9"]),
        ("values", ["resample.method=over", "resample.on=red", "train.early_stopping={}"]),
        ("values", ["train.distill={}", "train.distill.inner=2"]),
        ("values", ["competition.metric=qwk"]),
        (
            "shares",
            ["loss.name=kl", "loss.class_weights=inverse", "train.distill={}", "train.distill.inner=2"],
        ),
    ],
)
def test_members_teachers_and_resampling_are_for_every_kind(homes, kind, words):
    said = world.command(homes[kind], kind, "train", "experiment=tiny_cnn", "train.epochs=1", *words)
    assert said.code == 0, said.err
    assert "OOF" in said.out and "folds" in said.out


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["probe", "probe_logistic", "probe_mlp"])
@pytest.mark.parametrize("kind", list(world.OF))
def test_heads_on_features_are_trained_and_refitted(homes, kind, experiment):
    epochs = [] if experiment == "probe_logistic" else ["train.epochs=2"]
    said = world.command(homes[kind], kind, "infer", f"experiment={experiment}", *epochs)
    assert said.code == 0, said.err
    said = world.command(homes[kind], kind, "refit", f"experiment={experiment}", *epochs)
    assert said.code == 0, said.err
