"""`make models`: a table of what networks cost, and every configs/model/ file is one that can be built."""

import re

import pytest
import timm
import torch
from main_world import run

from pipeline.nets.backbones import known_names
from pipeline.nets.model import build, describe
from pipeline.settings.load import CONFIGS, load
from pipeline.settings.model import ModelSettings
from pipeline.train import network_cost

FILES = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
SMALL = ("competition=digits", "runtime.mlflow=false", "runtime.threads=1")
SIZE = "images.size=32"


def models(home, *words, names="", size=SIZE):
    return run(home, "models", size, *words, small=SMALL, options=("--names", names))


def test_the_table_has_a_line_for_each_model(tmp_path):
    said = models(tmp_path, names="test_resnet resnet10t")
    assert said.code == 0, said.err
    _, told, head, *rest = said.out.splitlines()
    lines = [line for line in rest if line.startswith(("test_resnet ", "resnet10t "))]
    assert "32 × 32 px on 1 threads of the CPU, fp32" in told and head.split()[0] == "model"
    assert [line.split()[0] for line in lines] == ["test_resnet", "resnet10t"]
    name, millions, megabytes, gmacs, one, batch, train, native = lines[1].split()
    facts = describe(build(ModelSettings(name=name, weights="none"), 10, 0))
    assert float(millions) == pytest.approx(facts.parameters / 1e6, abs=0.01)
    assert float(megabytes) == pytest.approx(facts.parameters * 4 / 1e6, rel=0.02)
    assert float(train) > float(batch) > 0 and float(one) > 0 and float(gmacs) > 0
    assert int(native) == facts.size_px == 176


def test_multiplications_are_those_of_the_layers():
    settings, config = (
        ModelSettings(name="torchvision:squeezenet1_1", weights="none"),
        load([*SMALL, SIZE]).config,
    )
    found = network_cost.measure(settings, config, 10, "cpu")
    network, seen = build(settings, 10, 0).eval(), []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda m, i, o: seen.append(o.numel() * m.weight[0].numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    assert found.gmacs == pytest.approx(sum(seen) / 1e9)


def test_one_that_cannot_take_the_size_is_a_line_and_the_others_follow(tmp_path):
    said = models(tmp_path, names="test_vit test_resnet", size="images.size=20")
    assert said.code == 0, said.err
    lines = said.out.splitlines()[3:]
    assert "images.size: test_vit cannot take images of 20 × 20 px" in lines[0]
    assert lines[1].startswith("test_resnet")


def test_all_unknown_names_are_told_with_the_nearest(tmp_path):
    said = models(tmp_path, names="resnet81 lite00 test_resnet torchvision:alexnett")
    assert said.code == 2 and "models: 3 unknown" in said.err
    assert re.search("`lite00`: did you mean .*lite0", said.err)
    assert "`torchvision:alexnett`: did you mean torchvision:alexnet" in said.err and "`resnet81`" in said.err


def test_an_override_that_the_table_does_not_read(tmp_path):
    said = models(tmp_path, "train.epochs=3", names="test_resnet")
    assert said.code == 2 and "train.epochs" in said.err


def test_every_model_file_names_a_model_and_says_what_it_costs():
    assert len(FILES) >= 16
    for name in FILES:
        text = (CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8")
        header = [line for line in text.splitlines() if line.startswith("#")]
        assert f'make train ARGS="model={name}"' in header[1]
        assert (
            re.search(r"M parameters, \d+ MB", header[2]) and "ms an image" in text and "in training" in text
        )
        assert header[4].startswith("# demo: ")
        named = load(["competition=digits", f"model={name}"]).config.model
        assert named.name.partition(".")[0] in known_names()
        assert "." not in named.name or (named.weights == "hub" and named.name in timm.list_pretrained())


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_model_file_builds_and_predicts_small_images(name):
    settings = load(["competition=digits", f"model={name}"]).config.model
    side = 70 if "patch14" in settings.name else 64
    network = build(settings.model_copy(update={"weights": "none"}), 3, 0, (side, side)).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, side, side)).shape == (2, 3)
        assert network.features(torch.rand(2, 3, side, side)).ndim == 2
    header = (CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8")
    told = float(re.search(r"# ([\d.]+) M parameters", header)[1])
    assert told == pytest.approx(describe(network).parameters / 1e6, rel=0.03, abs=0.06)
