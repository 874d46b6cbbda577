"""A grid through the real stages: equal steps, a shared cache, refusals, one table."""

import contextlib

import pandas as pd
import pytest
from main_world import run
from pixels_world import KINDS, Photos, drawing

from pipeline.data import load
from pipeline.train.studies import grid as ablate
from pipeline.train.studies.grid import runs, started

GRID = """
about: does dropping digits hurt?
experiment: tiny_resnet
settings: {folds.n: 2, statistics.draws: 200, competition.demo.limit: 300, train.batch_size: 16}
seeds: [0, 1, 2]
axes:
  resample: {none: {}, under: {resample.method: under, resample.to: cap, resample.cap: 6}}
  length: {short: {train.epochs: 1, train.warmup_epochs: 0}, long: {train.epochs: 2, train.warmup_epochs: 0}}
against: [{resample: none}]
"""
QUIET = ("competition=digits", "runtime.mlflow=false", "runtime.threads=1")


def podium(home, command, option, grid, *more):
    with contextlib.chdir(home):
        said = run(home, command, *more, small=QUIET, options=(option, grid))
    return said.code, said.out, said.err


@pytest.mark.slow
def test_a_grid_ends_in_one_table_at_equal_steps_and_shares_the_cache(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    code, out, err = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 0, err
    assert "12 trainings: 4 arms × 3 seeds" in out and "3 seeds per arm, at equal optimizer steps" in out
    (path,) = tmp_path.glob("artifacts/ablate/*/ablation.csv")
    table = pd.read_csv(path).set_index(["resample", "length"])
    plain, under = table.loc[("none", "long")], table.loc[("under", "long")]
    assert plain["epochs"] == 2 and under["epochs"] > plain["epochs"]
    assert abs(under["steps"] - plain["steps"]) <= 2
    assert pd.isna(plain["delta vs resample none"])
    gap = under["macro_f1"] - plain["macro_f1"]
    assert under["delta vs resample none"] == pytest.approx(gap)
    assert under["low vs resample none"] < gap < under["high vs resample none"]
    assert (table["seconds"] > 0).all() and (table["sd of seeds"] >= 0).all()
    page = path.with_name("ablation.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "does dropping digits hurt?" in page
    code, again, _ = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 0 and "reused" in again and "fold " not in again
    wider = GRID.replace("seeds: [0, 1, 2]", "seeds: [0, 1, 2, 3]")
    (tmp_path / "grid.yaml").write_text(wider, encoding="utf-8")
    code, more, _ = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 0 and more.count("\nfold ") == 4 * 2, "only the new seed is trained"


def test_faults_of_arms_are_told_together_before_anything_is_trained(tmp_path):
    bad = GRID.replace("resample.cap: 6", "resample.cap: 0, loss.gama: 1").replace(
        "cap, ", "cap, folds.n: 3, "
    )
    (tmp_path / "grid.yaml").write_text(bad.replace("folds.n: 2, ", ""), encoding="utf-8")
    code, out, err = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 2 and "fold " not in out
    assert "arm under · short and 1 more" in err and "resample.cap" in err and "loss.gama: unknown key" in err


def test_arms_on_other_images_and_overrides_of_an_axis_are_refused(tmp_path):
    other = GRID.replace("folds.n: 2, ", "").replace("resample.cap: 6", "resample.cap: 6, folds.n: 3")
    (tmp_path / "grid.yaml").write_text(other, encoding="utf-8")
    code, _, err = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 2 and "arm under · short: changes folds" in err
    code, _, err = podium(tmp_path, "ablate", "--grid", "grid.yaml", "train.epochs=3")
    assert code == 2 and "train.epochs: the grid sets it" in err
    code, _, err = podium(tmp_path, "ablate", "--grid", "gird.yaml")
    assert code == 2 and "did you mean grid.yaml" in err


POLICIES = """
settings: {train.epochs: 1, competition.demo.limit: 200}
seeds: [0, 1, 2]
axes:
  policy: {plain: {augment.policy: none}, other: {augment.policy: light}}
against: [{policy: plain}]
"""


@pytest.mark.parametrize("setting", ["augment.policy", "resample.copies"])
def test_an_arm_that_does_what_a_label_forbids_is_refused_before_any_training(tmp_path, setting):
    grid = POLICIES
    if setting == "resample.copies":
        grid = POLICIES.replace(
            "augment.policy: light", "augment.policy: none, resample.copies: {policy: light}"
        )
    (tmp_path / "grid.yaml").write_text(grid, encoding="utf-8")
    code, out, err = podium(tmp_path, "ablate", "--grid", "grid.yaml")
    assert code == 2 and f"error: {setting}" in err and "digit forbids hflip" in err
    assert "fold " not in out and not list(tmp_path.glob("artifacts/prepared/*"))


def test_images_from_elsewhere_count_in_an_arms_steps(tmp_path):
    photos = Photos(tmp_path)
    for number in range(100, 140):
        folder = photos.root / "more" / KINDS[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        drawing(number).save(folder / f"{number}.png")
    (tmp_path / "grid.yaml").write_text(
        POLICIES.replace(", competition.demo.limit: 200", ""), encoding="utf-8"
    )
    study = ablate.read(tmp_path / "grid.yaml")
    steps = []
    for words in ((), ("competition.extra=[{source: web, licence: CC0, images: more}]",)):
        ctx = photos.context("train.batch_size=4", *words)
        inputs = {"data": ctx.need("data"), "folds": ctx.need("folds")}
        assert load.has_extra(inputs["data"]) == bool(words)
        settings = started(ctx.settings, study)
        found = runs(lambda need, inputs=inputs: inputs[need.stage], settings, study, photos.home)
        assert [run.seed for run in found] == [0, 1, 2] * 2
        steps.append({run.steps for run in found})
    assert steps == [{5.0}, {15.0}], "20 of 40 images train, 4 at a time; 40 from elsewhere join them"


def test_equal_samples_hold_across_batch_sizes_and_resampling(tmp_path):
    photos = Photos(tmp_path)
    text = """
settings: {train.epochs: 4}
seeds: [0, 1, 2]
equal_samples: true
axes:
  batch: {small: {train.batch_size: 4}, large: {train.batch_size: 16}}
  rows: {all: {}, half: {resample.method: under, resample.to: cap, resample.cap: 5}}
against: [{batch: small}]
"""
    (tmp_path / "grid.yaml").write_text(text, encoding="utf-8")
    study = ablate.read(tmp_path / "grid.yaml")
    ctx = photos.context()
    inputs = {"data": ctx.need("data"), "folds": ctx.need("folds")}
    found = runs(lambda need: inputs[need.stage], started(ctx.settings, study), study, photos.home)
    told = {(run.arm, run.settings.config.train.epochs, run.steps) for run in found}
    # 20 images train; 10 are left of them. The small batch takes 5 steps for 20, the large one 2.
    assert told == {(0, 4, 20.0), (1, 8, 24.0), (2, 4, 8.0), (3, 8, 8.0)}
