"""Whole commands on other inputs: channels in files, several images a sample, metadata, boosted trees."""

import importlib.util

import pytest
from inputs_world import channel_files, pairs, with_metadata, words
from main_world import run

pytestmark = pytest.mark.slow
FOUR = 'competition.channel_files=["{id}_red.png","{id}_green.png","{id}_blue.png","{id}_yellow.png"]'


def finished(home, small, *commands):
    """Run commands one after the other; an override of a command replaces one of `small`."""
    for command in commands:
        name, *own = command.split()
        chosen = {word.split("=")[0] for word in own}
        done = run(home, name, *own, small=[w for w in small if w.split("=")[0] not in chosen])
        assert done.code == 0, f"{command}: {done.out}{done.err}"
    return done


def test_a_competition_of_four_channels_goes_through_every_command(tmp_path):
    channel_files(tmp_path / "files")
    small = [*words(tmp_path / "files"), FOUR, "images.channels=4"]
    finished(
        tmp_path,
        small,
        "infer experiment=tiny_resnet augment.policy=heavy",
        "infer experiment=probe",
        "explain experiment=tiny_resnet",
        "error-analysis experiment=probe",
    )


@pytest.mark.parametrize("form", ["columns", "sample", "files"])
def test_pairs_of_images_go_through_every_command(tmp_path, form):
    small = pairs(tmp_path / "files", form, missing=(3, 25))
    finished(
        tmp_path,
        small,
        "infer experiment=tiny_resnet train.mix.method=mixup model.pool_images=attention",
        "infer experiment=probe",
        "error-analysis experiment=probe",
    )
    if form == "sample":
        finished(
            tmp_path, small, "explain experiment=tiny_resnet explain.images=2 explain.attention_images=8"
        )
        (page,) = tmp_path.glob("artifacts/explain/*/explain.html")
        text = page.read_text(encoding="utf-8")
        assert "image 2" in text and "Image 2 of 2; without it" in text


def test_metadata_and_trees_beat_images_that_say_little(tmp_path):
    if importlib.util.find_spec("lightgbm") is None:
        pytest.skip("NOT TESTED: the extra gbdt is not installed")
    small = with_metadata(tmp_path / "files", train=120, test=20)
    done = finished(
        tmp_path,
        small,
        "ensemble ensemble.members=[tiny_cnn,probe,gbdt] train.epochs=2",
        "error-analysis ensemble.members=[tiny_cnn,probe,gbdt] train.epochs=2",
    )
    assert "report" in done.out
    pages = list((tmp_path / "artifacts" / "cost").glob("*/ensemble.html"))
    assert "What the trees of gbdt read" in pages[0].read_text(encoding="utf-8")
