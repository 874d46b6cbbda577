"""Every stage of the list is built on a tiny competition, with only the settings that it declares."""

import csv

import pytest
from main_world import artifacts, run

from pipeline.stages import CATALOGUE

TINY = (
    "competition=digits",
    "competition.demo.limit=200",
    "images.size=16",
    "folds.n=2",
    "train.epochs=1",
    "statistics.draws=100",
    "runtime.threads=1",
)
NET, HEAD = "experiment=tiny_resnet", "experiment=probe"
BLEND = "ensemble.members=[tiny_resnet,tiny_cnn]"
BOOSTED = "ensemble.members=[tiny_resnet,tiny_cnn,gbdt]"
LOOK = (
    *("explain.images=2", "explain.attention_images=4", "explain.units.shown=1", "explain.units.images=1"),
    *("explain.synthesis.steps=2", "explain.synthesis.classes=[3]", "explain.embedding.perplexity=5"),
    *("explain.neighbours.k=2", "explain.embedding.seeds=2", "explain.occlusion.window=0.5"),
)
GRID = """experiment: tiny_resnet
settings: {train.batch_size: 16}
seeds: [0, 1, 2]
axes:
  resample: {none: {}, under: {resample.method: under}}
against: [{resample: none}]
"""
# What is asked for, without the settings of a command that no stage of it reads.
REQUESTS = (
    ("eda", (), ("images.size", "train.epochs", "statistics.draws")),
    ("resample", (NET,), ("images.size", "train.epochs", "statistics.draws")),
    ("ensemble", (BLEND,), ()),
    ("ensemble", (BOOSTED,), ()),
    ("error-analysis", (BLEND,), ()),
    ("leaderboard", (), ("images.size", "train.epochs")),
    ("infer", (NET, "decision.steps=[class_scales]", "decision.members=true", "decision.adopt=always"), ()),
    ("distill", (HEAD, "ensemble.members=[probe]", "train.distill.inner=2"), ()),
    ("train", (HEAD, "train.pseudo.test_images=true", "train.pseudo.threshold=0.5"), ()),
    ("refit", (NET,), ()),
    ("learning-curve", (NET, "learning_curve.shares=[0.5,1.0]"), ()),
    ("robustness", (NET, "robustness.blur=[1.0]", "robustness.brightness=[0.5,1.5]"), ()),
    ("explain", (NET, *LOOK), ()),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("every")


def done(home, command, words, without=(), options=()):
    small = [w for w in TINY if w.partition("=")[0] not in {*without, *(x.partition("=")[0] for x in words)}]
    said = run(home, command, *words, small=small, options=options)
    assert said.code == 0, f"{command} {words}\n{said.out}{said.err}"


def boxes_of(home):
    tables = sorted((home / "data").glob("digits-*/train.csv"))
    with tables[0].open(encoding="utf-8", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    path = home / "boxes.csv"
    lines = ["id,x,y,w,h", *(f"{one},{n % 5},2,24,20" for n, one in enumerate(ids))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_every_stage_is_built_with_the_settings_that_it_declares(home):
    """Reading any other setting is an AssertionError, so none of these commands may fail."""
    for command, words, without in REQUESTS:
        done(home, command, words, without)
    grid = home / "grid.yaml"
    grid.write_text(GRID, encoding="utf-8")
    done(home, "ablate", (), options=("--grid", str(grid)))
    boxes = (f"crop.boxes={boxes_of(home)}", "crop.method=statistics")
    done(home, "preview", boxes, ("folds.n", "train.epochs", "statistics.draws"))
    done(home, "tune", (BLEND,), options=("--stage", "error-analysis", "--trials", "2"))
    built = {artifact.stage for artifact in artifacts(home)}
    assert built == set(CATALOGUE.stages)
