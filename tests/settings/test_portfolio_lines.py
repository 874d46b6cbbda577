"""Portfolios: every line has an origin, settings that are accepted, and a network that there is."""

import shutil

import pytest
import timm

from pipeline.core.errors import ConfigError
from pipeline.settings import portfolio
from pipeline.settings.load import CONFIGS, load
from pipeline.settings.model import PIXELS

TIERS = portfolio.names(CONFIGS)
LINES = [(tier, one.name) for tier in TIERS for one in portfolio.recipes(CONFIGS, tier)]
WITHOUT_HUB = ("cpu",)
GOOD = """
- name: mine
  experiment: {model: {name: resnet10t, weights: none}, images: {size: 48}}
  origin: measured
  source: "here"
"""


def refused(tier, name, folder=CONFIGS):
    """Why a line of a portfolio cannot be used; empty if it can."""
    try:
        (line,) = [one for one in portfolio.recipes(folder, tier) if one.name == name]
        config = load(["competition=emoji", f"experiment={name}"], folder=folder).config
    except ConfigError as error:
        return " ".join([error.headline, *error.faults])
    known = timm.list_pretrained() if config.model.weights == "hub" else timm.list_models()
    if config.model.name not in (*known, PIXELS):
        return f"timm has no {config.model.name}"
    if tier in WITHOUT_HUB and config.model.weights == "hub":
        return "needs a hub"
    published = line.origin == "published"
    return "names no address" if published and not line.source.startswith("https://") else ""


@pytest.mark.parametrize(("tier", "name"), LINES)
def test_every_line_can_be_used_and_has_a_source(tier, name):
    assert refused(tier, name) == ""


@pytest.mark.parametrize("tier", WITHOUT_HUB)
def test_every_line_that_needs_neither_a_hub_nor_a_gpu_was_measured(tier):
    assert not [one.name for one in portfolio.recipes(CONFIGS, tier) if one.unmeasured]


def test_all_tiers_are_there_and_no_name_is_used_twice():
    assert {"cpu", "cpu_hub", "t4", "h100"} <= set(TIERS)
    names = [name for _, name in LINES]
    experiments = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")}
    assert len(set(names)) == len(names) and not experiments & set(names)
    assert portfolio.known(CONFIGS) == sorted(names)


@pytest.fixture
def own(tmp_path):
    """`own(text)`: a folder of settings whose portfolio `cpu` has this text."""

    def make(text):
        folder = tmp_path / "configs"
        shutil.copytree(CONFIGS, folder, dirs_exist_ok=True)
        for tier in TIERS:
            (folder / "portfolio" / f"{tier}.yaml").unlink()
        (folder / "portfolio" / "cpu.yaml").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  origin: measured\n", "", ".origin: None is not one of measured, published"),
        ("origin: measured", "origin: guessed", "'guessed' is not one of measured, published"),
        ("origin: measured", "origin: published", "has to be true where the origin is a publication"),
        ('"here"', '""', ".source: is missing"),
        ('"here"', '"here"\n  unmeasured: true', "true contradicts origin: measured"),
        ("size: 48", "size: 4", "images.size"),
        ("images:", "imagse:", "imagse"),
        ("name: resnet10t", "name: resnet10tt", "timm has no resnet10tt"),
        ("weights: none", "weights: hub", ""),
    ],
)
def test_a_line_that_cannot_be_used_is_refused(own, old, new, told):
    assert refused("cpu", "mine", own(GOOD)) == ""
    why = refused("cpu", "mine", own(GOOD.replace(old, new, 1)))
    assert why and told in why


def test_all_faults_of_a_file_are_told_with_their_lines(own):
    text = GOOD.replace("  origin: measured\n", "") + GOOD.replace("measured", "guessed")
    with pytest.raises(ConfigError) as told:
        portfolio.recipes(own(text), "cpu")
    faults = "\n".join(told.value.faults)
    assert "entry 1.origin" in faults and "entry 2.origin" in faults and "entry 2.name" in faults
    assert "cpu.yaml:2" in faults
