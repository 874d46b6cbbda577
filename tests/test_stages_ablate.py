"""`make ablate`: its arms are ordinary trainings, so they obey what every training obeys."""

import re
import textwrap

import pytest
from main_world import SMALL, artifacts, run
from pixels_world import KINDS, Photos, drawing

from pipeline.settings import ablate
from pipeline.stages import arms, load

GRID = """
    settings: {train.epochs: 1}
    seeds: [0, 1, 2]
    axes:
      what:
        plain: {%s}
        other: {%s}
    against:
      - {what: plain}
"""


def grid(tmp_path, plain, other):
    path = tmp_path / "grid.yaml"
    path.write_text(textwrap.dedent(GRID % (plain, other)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "other", ["augment.policy: light", "resample.copies: {policy: light}"], ids=["policy", "copies"]
)
def test_an_arm_that_does_what_a_label_forbids_is_refused_before_any_training(tmp_path, other):
    path = grid(tmp_path, "augment.policy: none", other)
    if "copies" in other:
        path = grid(tmp_path, "resample.method: none", other)
    words = [w for w in SMALL if not w.startswith("train.")]
    said = run(tmp_path, "ablate", small=words, options=[f"--grid={path}"])
    assert said.code == 2 and "digit forbids hflip" in said.err
    assert {a.stage for a in artifacts(tmp_path)} == {"data", "folds"}


def test_images_from_elsewhere_count_in_an_arms_steps(tmp_path):
    photos = Photos(tmp_path)
    for number in range(100, 140):
        folder = photos.root / "more" / KINDS[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        drawing(number).save(folder / f"{number}.png")
    study = ablate.read(grid(tmp_path, "augment.policy: none", "augment.policy: light"))
    extra = "competition.extra=[{source: web, licence: CC0, images: more}]"
    steps = []
    for words in ((), (extra,)):
        ctx = photos.context("train.batch_size=4", *words)
        data, folds = ctx.need("data"), ctx.need("folds")
        assert load.has_extra(data) == bool(words)
        settings = arms.started(ctx.settings, study)
        found = arms.runs(arms.find_in({"data": data, "folds": folds}), settings, study, photos.home)
        assert [run.seed for run in found] == [0, 1, 2] * 2
        steps.append({run.steps for run in found})
    assert steps == [{5.0}, {15.0}], "20 of 40 images train, 4 at a time; 40 more join them"


@pytest.mark.slow
def test_a_small_grid_is_trained_compared_and_reused(tmp_path):
    path = grid(tmp_path, "train.lr: 0.003", "train.lr: 0.0001")
    words = [w for w in SMALL if not w.startswith("train.")]
    said = run(tmp_path, "ablate", small=words, options=[f"--grid={path}"])
    assert said.code == 0, said.err
    assert "6 trainings: 2 arms × 3 seeds" in said.out
    trained = artifacts(tmp_path, "train")
    assert len(trained) == 6 and len(artifacts(tmp_path, "ablate")) == 1
    report = re.search(r"^report: (\S+)$", said.out, re.MULTILINE).group(1)
    assert report.endswith(".html")
    again = run(tmp_path, "ablate", small=words, options=[f"--grid={path}"])
    assert again.code == 0 and re.search(r"^ablate .* reused", again.out, re.MULTILINE)
    assert len(artifacts(tmp_path, "train")) == 6
