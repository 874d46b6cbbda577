"""Portfolios: every line has an origin and settings that hold, and its name means the recipe everywhere."""

import shutil

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings import portfolio
from pipeline.settings.load import CONFIGS, load

NAMES = portfolio.names(CONFIGS)
GOOD = """
- name: small
  experiment:
    uses: {experiment: tiny_resnet}
    images: {size: 24}
  origin: measured
  source: here
- name: other
  experiment: {train: {epochs: 2}}
  origin: published
  source: "https://example.org/paper"
  unmeasured: true
"""


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    shutil.rmtree(folder / "portfolio")
    (folder / "portfolio").mkdir()
    (folder / "portfolio" / "mine.yaml").write_text(GOOD, encoding="utf-8")
    return folder


def faults(folder, text):
    (folder / "portfolio" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        portfolio.recipes(folder, "mine")
    return list(caught.value.faults)


def test_there_is_a_portfolio_for_a_cpu():
    assert "cpu" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_has_an_origin_and_resolves(name):
    recipes = portfolio.recipes(CONFIGS, name)
    assert recipes
    for recipe in recipes:
        assert recipe.source and recipe.unmeasured == (recipe.origin == "published")
        assert load(["competition=emoji", f"experiment={recipe.name}"]).experiment == recipe.name


def test_names_of_recipes_are_no_names_of_experiments():
    known = [path.stem for path in (CONFIGS / "experiment").glob("*.yaml")]
    listed = [recipe.name for name in NAMES for recipe in portfolio.recipes(CONFIGS, name)]
    assert not set(known) & set(listed)


def test_a_name_means_the_recipe_and_can_be_changed_like_an_experiment(configs):
    made = load(["competition=digits", "experiment=small", "train.epochs=3"], configs)
    assert (made.config.images.size, made.config.model.name) == (24, "test_resnet")
    assert made.config.train.epochs == 3 and made.experiment == "small"
    assert made.sources["images.size"] == "configs/portfolio/mine.yaml:5"
    assert "portfolio/mine.yaml" in made.files, "so that the request can be repeated"
    assert load(["competition=digits", "experiment=small+other"], configs).config.train.epochs == 2
    assert made.member("other").config.images.size != 24


def test_an_experiment_of_that_name_comes_first(configs):
    (configs / "experiment" / "small.yaml").write_text("images: {size: 16}", encoding="utf-8")
    assert load(["competition=digits", "experiment=small"], configs).config.images.size == 16


def test_an_unknown_name_suggests_recipes_too(configs):
    with pytest.raises(ConfigError, match=r"did you mean .*small"):
        load(["competition=digits", "experiment=smal"], configs)


def test_a_fault_of_a_recipe_names_its_line(configs):
    (configs / "portfolio" / "mine.yaml").write_text(GOOD.replace("epochs: 2", "epochs: two"), "utf-8")
    with pytest.raises(ConfigError, match=r"configs/portfolio/mine.yaml:9: train.epochs"):
        load(["competition=digits", "experiment=other"], configs)


def test_every_fault_of_a_portfolio_is_told_at_once(configs):
    told = faults(
        configs,
        """
- name: a
  experiment: {}
  origin: guessed
  source: here
- name: a
  experiment: []
  origin: measured
  source: ""
  unmeasured: true
- experiment: {}
  origin: published
  source: x
  sauce: y
- text
""",
    )
    for what in (
        "entry 1.origin: 'guessed' is not one of measured, published",
        "entry 2.name: a is also the name of an earlier entry",
        "entry 2.experiment: is missing, or not a mapping",
        "entry 2.source: is missing",
        "entry 2.unmeasured: true contradicts origin: measured",
        "entry 3.name: is missing",
        "entry 3.unmeasured: has to be true where the origin is a publication",
        "entry 3.sauce: unknown key; did you mean source?",
        "entry 4: expected a mapping",
    ):
        assert any(what in fault for fault in told), (what, told)
    assert all(fault.startswith("configs/portfolio/mine.yaml:") for fault in told)


def test_a_file_that_is_no_list_and_an_unknown_portfolio_are_refused(configs):
    assert "expected a list of entries, got dict" in faults(configs, "name: a")[0]
    with pytest.raises(ConfigError, match=r"no such file configs/portfolio/none.yaml"):
        portfolio.recipes(configs, "none")
