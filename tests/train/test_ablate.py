"""Grids: every fault of a file at once, the product of the axes, and what is compared with what."""

import textwrap
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import CONFIGS, load
from pipeline.train.studies import grid as ablate

SHIPPED = sorted((CONFIGS / "ablate").glob("*.yaml"))
GOOD = """
    seeds: [0, 1, 2]
    axes:
      resample: {none: {resample.method: none}, under: {resample.method: under}}
      length: {short: {train.epochs: 4}, middle: {train.epochs: 12}, long: {train.epochs: 30}}
    against: [{resample: none}, {length: short}]
    """


def grid(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def faults(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        ablate.read(grid(tmp_path, text))
    return list(caught.value.faults)


def test_arms_are_the_product_and_pairs_differ_in_the_named_axis_only(tmp_path):
    study = ablate.read(grid(tmp_path, GOOD))
    arms = ablate.arms(study)
    assert [arm.name for arm in arms][:4] == ["none · short", "none · middle", "none · long", "under · short"]
    assert arms[4].values == {"resample.method": "under", "train.epochs": 12}
    pairs = [(arms[a].name, arms[b].name, which) for a, b, which in ablate.pairs(study)]
    assert pairs[:3] == [
        ("under · short", "none · short", 0),
        ("under · middle", "none · middle", 0),
        ("under · long", "none · long", 0),
    ]
    assert len(pairs) == 3 + 4 and ("under · long", "under · short", 1) in pairs


def test_every_fault_at_once(tmp_path):
    found = faults(
        tmp_path,
        """
        seeds: [0, 1, 1]
        settings: {train.epochs: 3, train.seed: 4}
        axes:
          alone: {only: {loss.name: focal}}
          length: {short: {train.epochs: 4}, long: {train.epochs: 30}}
        against: [{lenght: short}, {length: shorter}]
        """,
    )
    text = "\n".join(found)
    for words in (
        "seeds: 1 is repeated",
        "axes.alone: one level",
        "train.epochs: is set in axes.length and settings",
        "train.seed: `seeds` sets it",
        "unknown axis `lenght`; known: alone, length",
        "unknown level `shorter` of length; known: short, long",
    ):
        assert words in text
    assert len(found) == 6


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[0, 1, 2]", "[0, 1]", "at least 3 items"),
        ("seeds:", "seed:", "Extra inputs are not permitted; did you mean seeds"),
        ("{resample: none}", "{resample: 3}", "valid string"),
        ("[0, 1, 2]", "[0, 1, 012]", "octal"),
        ("against: [{resample: none}, {length: short}]", "", "against: Field required"),
    ],
)
def test_a_wrong_form_names_line_and_rule(tmp_path, old, new, expected):
    found = faults(tmp_path, GOOD.replace(old, new))
    assert any(expected in fault and "grid.yaml" in fault for fault in found), found


def test_a_missing_file_names_the_near_ones():
    with pytest.raises(ConfigError) as caught:
        ablate.read(CONFIGS / "ablate" / "resampel.yaml")
    assert "resample.yaml" in caught.value.remedy


def test_a_bare_name_is_told_where_the_grids_are():
    with pytest.raises(ConfigError) as caught:
        ablate.read(Path("nosuch"))
    assert "configs/ablate/recipe.yaml" in str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_grid_resolves_arm_by_arm(path):
    study = ablate.read(path)
    settings = load([f"experiment={study.experiment}"]).with_values(study.settings)
    for arm in ablate.arms(study):
        config = settings.with_values({**arm.values, "train.seed": 7}).config
        assert config.train.seed == 7
    assert len(SHIPPED) >= 2


def test_an_arm_overrides_what_was_given_before():
    settings = load(["competition=digits", "train.epochs=3", "train.lr=0.5"])
    changed = settings.with_values({"train.epochs": 9})
    assert (changed.config.train.epochs, changed.config.train.lr) == (9, 0.5)
    assert settings.config.train.epochs == 3
