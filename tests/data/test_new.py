"""`make new`, from files to a configuration that runs: each layout, ids that overlap, and to a submission."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from bring_world import PEOPLE, mask_tree, picture, table

from pipeline.cli import main
from pipeline.core.errors import DataError
from pipeline.data import commands
from pipeline.data import load as loading
from pipeline.data.new.request import NewRequest
from pipeline.settings import load as settings_load
from pipeline.settings.load import CONFIGS, load
from pipeline.stages import open_session


@pytest.fixture
def world(tmp_path):
    """A copy of the configs, a home, and `made(...)`: settings of what `new` wrote."""
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)

    class World:
        home = tmp_path
        folder = configs

        def settings(self, *words):
            return load([*words, f"runtime.home={tmp_path}", "runtime.mlflow=false"], configs)

        def new(self, name, images, train=None, test=None, sample=None):
            return commands.create(NewRequest(name, images, train, test, sample, tmp_path), self.settings())

        def made(self, name, *words):
            return self.settings(f"competition={name}", *words)

    return World()


def folders(root: Path, each: int = 12) -> Path:
    for c, name in enumerate(("glass", "paper")):
        for n in range(each):
            picture(root / name / f"{n}.png", 90 * c + n, (40, 40))
    return root


def test_a_folder_per_class(world):
    written = world.new("trash", folders(world.home / "photos"))
    text = "\n".join(written.lines)
    assert "19 training images in 2 classes and 19 groups, 5 test images" in text
    assert "5 of 24 images in 5 groups are held out" in text
    config = world.made("trash").config
    assert (config.competition.root, config.competition.layout) == ("photos", "folders")
    assert config.competition.holdout == 0.2 and config.images.size == 32


def test_a_mask_tree_beside_the_images_is_another_competition(world):
    mask_tree(world.home)
    world.new("trash", folders(world.home / "photos"))
    assert world.made("trash").config.competition.layout == "folders"


def test_a_train_and_a_test_folder(world):
    folders(world.home / "photos" / "train")
    for n in range(4):
        picture(world.home / "photos" / "test" / f"{n}.png", n)
    written = world.new("trash", world.home / "photos")
    assert "24 training images in 2 classes and 24 groups, 4 test images" in written.lines
    assert world.made("trash").config.competition.holdout is None


def test_the_mask_tree_is_recognised_wherever_one_points(world):
    root = mask_tree(world.home / "mask")
    for name, images, train in (
        ("a", root, None),
        ("b", root / "train" / "images", root / "train" / "train.csv"),
        ("c", root / "train", None),
    ):
        written = world.new(name, images, train)
        assert "42 training images in 18 classes and 6 groups, 4 test images" in written.lines
        found = world.made(name).config.competition
        assert found.layout == "mask" and found.sample_submission == "eval/info.csv"
    more = tuple((f"1{n:05d}", gender, age) for n, (_, gender, age) in enumerate(PEOPLE * 4))
    written = world.new("d", mask_tree(world.home / "no_eval", more, n_test=0))
    assert world.made("d").config.competition.holdout == 0.2
    assert any("are held out" in line for line in written.lines)


def test_it_never_overwrites_and_says_what_a_name_is(world):
    photos = folders(world.home / "photos")
    path = world.new("trash", photos).path
    before = path.read_bytes()
    with pytest.raises(DataError, match="already a competition of this name"):
        world.new("trash", photos)
    assert path.read_bytes() == before
    for name in ("", "../x", "쓰레기", "a b"):
        with pytest.raises(DataError, match="letters a to z"):
            world.new(name, photos)


def test_faulty_files_are_told_and_the_configuration_stays(world):
    rows = [(n, f"{n}.png", "ab"[n % 2]) for n in range(100)]
    for n in range(97):
        picture(world.home / "images" / f"{n}.png", n)
    train = table(world.home / "train.csv", ["id", "path", "label"], rows)
    with pytest.raises(DataError, match="3 missing images") as caught:
        world.new("pets", world.home / "images", train)
    assert "pets.yaml is written" in str(caught.value)
    assert world.made("pets").config.competition.path_column == "path"


def test_ids_of_both_tables_may_be_the_same(world):
    """Both count from 0, and both image folders use the same names: nothing may be mixed up."""
    for split, shade in (("train", 0), ("test", 120)):
        for n in range(12):
            picture(world.home / split / f"p{n // 3}_{n}.png", shade + n, (40, 40))
    train = table(
        world.home / "train.csv",
        ["id", "path", "label"],
        [(n, f"p{n // 3}_{n}.png", "ab"[n % 2]) for n in range(12)],
    )
    test = table(world.home / "test.csv", ["id", "path"], [(n, f"p{n // 3}_{n}.png") for n in range(12)])
    sample = table(world.home / "sample.csv", ["id", "label"], [(n, "a") for n in range(12)])
    written = world.new("pets", world.home / "train", train, test, sample)
    assert any("4 groups have images in both train and test" in line for line in written.lines)
    ctx = open_session(world.made("pets", "images.size=8"))
    prepared, images = ctx.need("prepared"), ctx.need("images")
    image = loading.image_of(images)
    facts = loading.facts(images)
    assert sorted(zip(facts["split"], facts["id"], strict=True))[0] == ("test", "0")
    for split, shade in (("train", 0), ("test", 120)):
        ids = np.array([str(n) for n in range(12)])
        pixels = loading.prepared(prepared, split).take(ids)
        assert [int(x[-1, 0, 0]) for x in pixels] == [shade + n for n in range(12)]
        assert [int(image(split, str(n))[-1, 0, 0]) for n in range(12)] == [shade + n for n in range(12)]
    ctx.close()


def test_a_sample_of_other_images_is_told_before_training(world):
    rows = [(n, f"{n}.png", "ab"[n % 2]) for n in range(12)]
    for n in range(12):
        picture(world.home / "images" / f"{n}.png", n)
    train = table(world.home / "train.csv", ["id", "path", "label"], rows)
    test = table(world.home / "test.csv", ["id", "path"], [(f"t{n}", f"{n}.png") for n in range(3)])
    sample = table(world.home / "sample.csv", ["id", "label"], [(f"t{n}", "a") for n in (0, 1, 7)])
    with pytest.raises(DataError) as caught:
        world.new("pets", world.home / "images", train, test, sample)
    assert "of test.csv, but not in the sample: 't2'" in str(caught.value)
    assert "missing: 't7'" in str(caught.value)
    table(sample, ["id", "label"], [(f"t{n}", "a") for n in range(3)])
    world.new("pets", world.home / "images", train, test, sample)
    table(sample, ["id", "label"], [(f"t{n}", "a") for n in (0, 1, 7)])
    ctx = open_session(world.made("pets"))
    with pytest.raises(DataError) as caught:
        ctx.need("data")
    assert "of the test set, but not in the sample: 't2'" in str(caught.value)
    assert "missing: 't7'" in str(caught.value)
    ctx.close()


def test_other_sources_and_patches_reach_training_and_never_validation(world):
    folders(world.home / "photos")
    picture(world.home / "more" / "paper" / "x.png", 222, (40, 40))
    world.new("trash", world.home / "photos")
    path = world.folder / "competition" / "trash.yaml"
    text = path.read_text(encoding="utf-8").replace(
        '  layout: "folders"',
        '  layout: "folders"\n  label_patches: "patches.csv"\n  extra:\n'
        '    - {source: web, licence: CC0, images: "../more"}',
    )
    path.write_text(text, encoding="utf-8")
    header = ["id", "attribute", "value", "reason"]
    plain = world.made("trash", "competition.label_patches=null", "folds.n=2", "images.size=32")
    ctx = open_session(plain)
    victim = str(loading.samples(ctx.need("data"), "train", world.home).ids_N[0])
    other = "paper" if victim.startswith("glass") else "glass"
    table(world.home / "photos" / "patches.csv", header, [(victim, "class", other, "looked at it")])
    ctx = open_session(world.made("trash", "folds.n=2", "images.size=32"))
    data, plan = ctx.need("data"), loading.plan(ctx.need("folds"))
    pool = loading.training(data, world.home)
    own = loading.samples(data, "train", world.home)
    assert data.metrics["extra"] == 1 and data.metrics["other_train_labels"] == 1
    validated = np.concatenate([s.valid_ids for s in plan.splits])
    assert sorted(validated.tolist()) == sorted(own.ids_N.tolist())
    assert all("web/paper/x.png" in s.train_ids for s in plan.splits)
    at = pool.ids_N.tolist().index(victim)
    assert pool.labels[at] != pool.for_training().labels[at] and own.labels[0] == pool.labels[0]
    assert "web/paper/x.png" in loading.prepared(ctx.need("prepared"), "train").ids_N
    before = open_session(plain).need("data")
    assert before.key != data.key and "other_train_labels" not in before.metrics
    ctx.close()


def test_the_request_is_checked_before_anything_is_read(world):
    with pytest.raises(DataError) as caught:
        world.new("x", world.home / "none", world.home / "a.csv", None, world.home / "b.csv")
    assert len(caught.value.faults) == 3 and not (world.folder / "competition" / "x.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["folders", "names", "mask", "probability"])
def test_from_new_to_a_submission(world, layout, monkeypatch, capsys):
    """The words that a user types, and nothing else; no code is edited."""
    home = world.home
    monkeypatch.setattr(settings_load, "CONFIGS", world.folder)
    monkeypatch.setattr(settings_load.load, "__defaults__", (world.folder,))
    words = [f"runtime.home={home}"]
    if layout == "folders":
        arguments = ["--images", str(folders(home / "photos"))]
    elif layout == "mask":
        arguments = ["--images", str(mask_tree(home / "mask"))]
    else:
        for split in ("train", "test"):
            for n in range(24):
                picture(home / split / f"p{n // 3:02d}_{n}m.png", n * 5, (40, 40))
        rows = [(n, f"p{n // 3:02d}_{n}m.png", ["가", "나"][n % 2]) for n in range(24)]
        table(home / "train.csv", ["id", "path", "종류"], rows)
        table(home / "test.csv", ["id", "path"], [r[:2] for r in rows])
        table(home / "sample.csv", ["id", "종류"], [(r[0], "가") for r in rows])
        if layout == "probability":
            marks = [(*r[:2], n % 2, 1 - n % 2) for n, r in enumerate(rows)]
            table(home / "train.csv", ["id", "path", "no", "yes"], marks)
            table(home / "sample.csv", ["id", "is_yes"], [(r[0], 0.5) for r in rows])
        arguments = ["--images", str(home / "train"), "--train", str(home / "train.csv")]
        arguments += ["--test", str(home / "test.csv"), "--sample", str(home / "sample.csv")]
    assert main(["new", "--name", "mine", *arguments, *words]) == 0
    assert main(["new", "--name", "mine", *arguments, *words]) == 2
    small = ["train.epochs=1", "train.warmup_epochs=0", "images.size=32", "folds.n=2"]
    members = "ensemble.members=[tiny_cnn,tiny_resnet]"
    assert main(["all", "competition=mine", *small, members, *words]) == 0
    told = capsys.readouterr().out
    (path,) = (home / "submissions").glob("mine-ensemble-*.csv")
    assert path.name in told
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    expected = {"folders": ("id", "label", 5), "mask": ("ImageID", "ans", 4), "names": ("id", "종류", 24)}
    expected["probability"] = ("id", "is_yes", 24)
    *header, n_rows = expected[layout]
    assert rows[0] == header and len(rows) == n_rows + 1
    if layout == "folders":
        assert main(["score", "--reveal", "competition=mine", *words]) == 0
        assert "private" in capsys.readouterr().out
