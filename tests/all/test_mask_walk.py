"""docs/mask.md on a small tree of the mask competition: from its files to the two final submissions."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from bring_world import mask_tree

from pipeline.cli import main
from pipeline.settings import load as settings_load
from pipeline.settings.load import CONFIGS, load

PEOPLE = tuple(
    (f"{100 + n:06d}", ("male", "female")[n % 2], age)
    for n, age in enumerate((20, 25, 30, 45, 57, 58, 59, 60, 22, 33, 61, 58))
)
SMALL = ("train.epochs=2", "train.warmup_epochs=0", "images.size=[40,32]", "images.store_px=50")
SMALL = (*SMALL, "images.cache_px=64", "folds.n=2", "model.weights=none", "train.batch_size=16")
QUIET = ("runtime.mlflow=false", "runtime.threads=1", "statistics.draws=100", "infer.views=[identity]")
# In place of the architectures, which would take minutes here.
TINY = ("test_efficientnet", "test_resnet", "mobilenetv3_small_050")
MEMBERS = ("mask_efficientnet", "mask_resnext", "mask_densenet")


def test_the_recipes_are_three_architectures_with_half_faces_and_a_blend_of_6_3_1():
    configs = [load(["competition=emoji", f"experiment={name}"]).config for name in MEMBERS]
    assert len({config.model.name for config in configs}) == 3
    assert {config.train.mix.method for config in configs} == {"cutmix_half"}
    assert all(config.images.hw[0] > config.images.hw[1] for config in configs), "portraits, height first"
    blend = load(["competition=emoji", "experiment=mask_blend"]).config.ensemble
    assert tuple(blend.members) == MEMBERS and list(blend.weights.values()) == [6, 3, 1]


@pytest.mark.slow
def test_the_walk_ends_with_two_submissions_of_the_real_layout(tmp_path, monkeypatch, capsys):
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    for name, tiny in zip(MEMBERS, TINY, strict=True):
        file = configs / "experiment" / f"{name}.yaml"
        changed, count = re.subn(r"\n  name: .*", f"\n  name: {tiny}", file.read_text(encoding="utf-8"))
        assert count == 1
        file.write_text(changed, encoding="utf-8")
    monkeypatch.setattr(settings_load, "CONFIGS", configs)
    monkeypatch.setattr(settings_load.load, "__defaults__", (configs,))
    monkeypatch.chdir(tmp_path)

    def make(command, *words, options=()):
        assert main([command, *words, f"runtime.home={tmp_path}", *options]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    tree = mask_tree(tmp_path / "data", PEOPLE, n_test=6)
    make("new", options=("--name", "mask", "--images", str(tree)))
    settings = configs / "competition" / "mask.yaml"
    text = settings.read_text(encoding="utf-8")
    with_58 = re.sub(r"( *)bins: \[30.0, 60.0\]\n", r"\g<0>\1train_bins: [30.0, 58.0]\n", text)
    if with_58 == text:
        with_58 = text.replace("bins: [30.0, 60.0]", "bins: [30.0, 60.0], train_bins: [30.0, 58.0]")
    assert with_58 != text
    settings.write_text(with_58, encoding="utf-8")
    about = ("competition=mask", *SMALL, *QUIET)
    told = make("resample", "competition=mask", "folds.n=2", "runtime.mlflow=false")
    assert "another class" in told
    make("ensemble", *about, "experiment=mask_blend")
    made = sorted(Path("submissions").glob("mask-*.csv"))
    assert len(made) == 4, "the blend and its members"
    for path in made:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        assert rows[0] == ["ImageID", "ans"] and len(rows) == 7
        assert all(0 <= int(answer) < 18 for _, answer in rows[1:])
    told = make("final", "competition=mask", "runtime.mlflow=false", options=("--n", "2"))
    assert sum(path.stem in told for path in made) >= 2
