"""Where the configs folder is: a checkout's, one's own, and the one inside an installed Podium."""

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.data import commands
from pipeline.data.new.request import NewRequest
from pipeline.settings import augment, read
from pipeline.settings.load import CONFIGS, load
from pipeline.train.studies import grid


def put(folder, name, text=""):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An empty current folder, with the shipped files as an installed package has them."""
    here = tmp_path / "here" / "configs"
    monkeypatch.setattr(read, "CONFIGS", here)
    monkeypatch.setattr(augment, "CONFIGS", here)
    return here


def test_a_checkout_has_one_folder():
    assert CONFIGS == read.SHIPPED == read.PACKAGE.parent / "configs"
    assert read.layers(CONFIGS) == (CONFIGS,)
    assert read.chosen(read.PACKAGE.parent) == CONFIGS, "run from the checkout itself"


def test_which_folder_is_chosen(tmp_path):
    current, package = tmp_path / "here", tmp_path / "there" / "pipeline"
    beside = put(tmp_path / "there", "configs/config.yaml").parent
    assert read.chosen(current, package) == beside, "the checkout's"
    put(current, "configs/competition/pets.yaml")
    assert read.chosen(current, package) == beside, "a folder without config.yaml is none"
    put(current, "configs/config.yaml")
    assert read.chosen(current, package) == current / "configs"


def test_an_installed_one_writes_to_the_current_folder_and_never_into_itself(tmp_path):
    package = tmp_path / "site-packages" / "pipeline"
    packed = put(package, "configs/config.yaml").parent
    put(tmp_path / "site-packages", "configs/config.yaml")  # another project's
    assert read.shipped(package) == packed
    assert read.chosen(tmp_path, package) == tmp_path / "configs"


def test_what_is_not_in_the_current_folder_is_read_from_the_shipped_one(installed):
    assert load(["competition=digits"], installed).config.competition.name == "digits"
    put(installed, "experiment/mine.yaml", "train: {epochs: 7}\n")
    put(installed, "model/lite0.yaml", "model: {name: resnet10t}\n")
    mine = load(["competition=digits", "experiment=mine"], installed)
    assert mine.config.train.epochs == 7
    assert mine.sources["train.epochs"] == "configs/experiment/mine.yaml:1"
    assert load(["competition=digits", "model=lite0"], installed).config.model.name == "resnet10t"
    put(installed, "augment/mine.yaml", "transforms: [HorizontalFlip: {p: 0.5}]\n")
    assert {"none", "medium", "mine"} <= set(augment.known())
    assert augment.read("mine").does == {"hflip"} and augment.read("medium").transforms


def test_a_path_into_configs_falls_back_to_the_shipped_file(installed, tmp_path, monkeypatch):
    """What README and `make help` tell people to type works where there is no checkout."""
    monkeypatch.chdir(installed.parent.mkdir(parents=True) or installed.parent)
    path = read.given("configs/ablate/resample_quick.yaml")
    assert path == read.SHIPPED / "ablate" / "resample_quick.yaml"
    assert grid.read(Path("configs/ablate/resample_quick.yaml")).seeds
    assert augment.read("configs/augment/medium.yaml").transforms
    assert read.given("configs/tune/tta.yaml").is_file()
    put(tmp_path, "here/configs/ablate/resample_quick.yaml", "about: mine\n")
    assert read.given("configs/ablate/resample_quick.yaml") == Path("configs/ablate/resample_quick.yaml")
    with pytest.raises(ConfigError, match="no such file") as caught:
        grid.read(Path("configs/ablate/resample_quik.yaml"))
    assert "did you mean configs/ablate/resample_quick.yaml" in str(caught.value)
    for text in ("elsewhere/grid.yaml", "grid.yaml", "/configs/ablate/recipe.yaml"):
        assert read.given(text) == Path(text), "other paths mean what they say"


def test_another_folder_does_not_fall_back(tmp_path):
    put(tmp_path, "configs/config.yaml")
    assert read.found(tmp_path / "configs", "model/lite0.yaml") == tmp_path / "configs/model/lite0.yaml"
    assert read.names(tmp_path / "configs", "model") == []


def test_new_makes_the_folder_and_refuses_a_shipped_name(installed, tmp_path):
    from bring_world import picture

    for c, name in enumerate(("glass", "paper")):
        for n in range(12):
            picture(tmp_path / "photos" / name / f"{n}.png", 90 * c + n, (40, 40))
    settings = load(["competition=digits", f"runtime.home={tmp_path}"], installed)
    with pytest.raises(DataError, match="already a competition"):
        commands.create(NewRequest("digits", tmp_path / "photos", None, None, None, tmp_path), settings)
    written = commands.create(NewRequest("trash", tmp_path / "photos", None, None, None, tmp_path), settings)
    assert written.path == installed / "competition" / "trash.yaml" and written.path.is_file()
    assert load(["competition=trash"], installed).config.competition.name == "trash"
