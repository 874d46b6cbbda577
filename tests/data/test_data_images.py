"""Decoding, quarantine, boxes, prepared images, their budget and the preview, as commands meet them."""

import os
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pixels_world import Photos

from pipeline.cli import main
from pipeline.core.errors import ConfigError, DataError
from pipeline.data import load
from pipeline.data.augment import Augmenter
from pipeline.engine.need import Need
from pipeline.record import housekeeping

TRAINING = ("train.epochs=1", "train.warmup_epochs=0", "model.name=test_resnet", "model.weights=none")


@pytest.fixture
def photos(tmp_path):
    return Photos(tmp_path)


def test_rectangles_reach_the_model_and_crops_and_steps_reach_the_pixels(photos):
    ctx = photos.context("crop.method=centre", "crop.share=0.5", "preprocess.brightness=0.2")
    plain = load.prepared(photos.context().need("prepared"), "train").take(np.array(["000"]))[0]
    seen = load.prepared(ctx.need("prepared"), "train").take(np.array(["000"]))[0]
    assert seen.shape == plain.shape == (24, 32, 3)
    assert seen.mean() > plain.mean() + 20


def test_images_that_do_not_decode_stop_everything_and_all_are_named(photos, capsys):
    photos.path("003").write_bytes(b"<html>")
    photos.path("041").write_bytes(photos.path("041").read_bytes()[:900])
    for command, unread in (("eda", "images.size"), ("preview", "folds.n")):
        assert main([command, *photos.words(without=(unread,))]) == 2
        told = capsys.readouterr().err
        assert "2 images do not decode" in told and "images.quarantine=drop" in told
        assert "train 003: " in told and "003.png: not an image" in told
        assert "test 041: " in told and "truncated" in told
    with pytest.raises(DataError, match="2 images do not decode"):  # what training needs first
        photos.context().need("prepared")
    (images,) = [a for a in photos.context().store.all() if a.stage == "images"]
    table = pd.read_csv(images.folder / "quarantine.csv", dtype=str)
    assert table[["split", "id", "fate"]].values.tolist() == [
        ["train", "003", "white"],
        ["test", "041", "white"],
    ]


def test_dropping_leaves_everything_downstream_and_decodes_nothing_again(photos, capsys):
    photos.path("003").write_bytes(b"<html>")
    photos.path("041").write_bytes(b"")
    with pytest.raises(DataError, match="2 images do not decode"):
        photos.context().need("images")
    before = {a.key for a in photos.context().store.all("images")}
    ctx = photos.context("images.quarantine=drop")
    data = ctx.need("data")
    told = capsys.readouterr().out
    assert "1 image of the training set does not decode: left out" in told and "train 003: " in told
    assert "1 test image does not decode: predicted from a white square" in told
    assert {ctx.need("images").key} == before, "the images were decoded again"
    folds = load.plan(ctx.need("folds"))
    assert "003" not in load.samples(data, "train", photos.home).ids_N
    assert all("003" not in [*s.train_ids, *s.valid_ids] for s in folds.splits)
    assert data.metrics == {"train": 39.0, "test": 8.0, "groups": 39.0}
    assert len(load.prepared(ctx.need("prepared"), "train")) == 39
    white = load.prepared(ctx.need("prepared"), "test").take(np.array(["041"]))
    assert (white == 255).all()
    assert ctx.need("eda").metrics["images_train"] == 39


@pytest.mark.slow
def test_a_dropped_test_image_is_answered_in_the_submission(photos):
    photos.path("003").write_bytes(b"<html>")
    photos.path("041").write_bytes(b"")
    assert main(["infer", *photos.words("images.quarantine=drop", *TRAINING)]) == 0
    (submission,) = (photos.home / "submissions").glob("photos-*.csv")
    assert pd.read_csv(submission, dtype=str)["id"].tolist() == photos.ids["test"]


def test_truncated_images_are_used_in_part_if_allowed(photos, capsys):
    raw = photos.path("003").read_bytes()
    photos.path("003").write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(DataError, match="does not decode"):
        photos.context().need("prepared")
    photos.context("images.truncated=allow").need("prepared")
    assert "1 truncated image is used in part" in capsys.readouterr().out


def test_an_edited_image_is_noticed(photos):
    first = photos.context()
    key = first.need("images").key
    first.close()
    stamp = photos.path("007").stat()
    Image.new("RGB", (64, 48), (9, 200, 9)).save(photos.path("007"))
    os.utime(photos.path("007"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1_000_000))
    again = photos.context().need("images")
    assert again.key != key
    assert load.decoded(again)["train/007"][5, 5].tolist() == [9, 200, 9]


def test_disk_space_is_told_before_decoding(photos, caplog):
    caplog.set_level("INFO")
    photos.context().need("prepared")
    told = caplog.text
    for images in (40, 8):
        assert f"images: decoding {images}, about 0 MB (free: " in told
        assert f"prepared: {images} images, 0 MB (free: " in told


def test_prepared_images_keep_their_budget_and_nothing_else_is_freed(photos):
    keys = []
    for size in (16, 24, 32):
        ctx = photos.context(f"images.size={size}", "images.cache_gb=1")
        keys.append(ctx.need("prepared").key)
        time.sleep(0.02)
    photos.context("images.size=16", "images.cache_gb=1").need("prepared")  # used last, though made first
    room = sum(housekeeping.bytes_of(a.folder) for a in ctx.store.all() if a.stage == "prepared") / 1e9
    made = photos.context("images.size=8", f"images.cache_gb={room}").need("prepared").key
    left = {a.key for a in photos.context().store.all() if a.stage == "prepared"}
    assert left == {keys[0], keys[2], made}, "not the one unused for longest was freed"
    small = photos.context("images.size=12", "images.cache_gb=0.0000001")
    last = small.need("prepared").key
    stages = sorted(a.stage for a in small.store.all())
    assert stages == ["data", "images", "prepared", "train_data", "train_images", "train_prepared"]
    assert [a.key for a in small.store.all() if a.stage == "prepared"] == [last], "what is in use was freed"


def test_pinned_and_needed_prepared_images_stay(photos):
    ctx = photos.context("images.size=16")
    pinned = ctx.need("train_prepared").key
    housekeeping.pin(ctx.store, photos.home, pinned)
    member = photos.context("images.size=24").need("train_prepared").key
    tight = photos.context("images.size=24", "images.cache_gb=0.0000001", *TRAINING)
    tight.check(Need("fold", tight.settings, {"fold": 0}))
    other = photos.context("images.size=32", "images.cache_gb=0.0000001")
    other._in_use |= tight._in_use
    newest = other.need("train_prepared").key
    assert {a.key for a in other.store.all() if a.stage == "train_prepared"} == {pinned, member, newest}


def test_boxes_of_a_csv_and_their_key(photos):
    rows = [(name, 20, 10, 24, 30) for name in photos.ids["train"][:30]]
    photos.table("boxes.csv", ("id", "x", "y", "w", "h"), rows)
    words = ("crop.method=statistics", "crop.boxes=boxes.csv", "crop.k_std=0")
    ctx = photos.context(*words)
    prepared = load.prepared(ctx.need("prepared"), "test")
    expected = np.asarray(Image.open(photos.path("044")).crop((20, 10, 44, 40)))
    got = prepared.take(np.array(["044"]))[0]
    assert abs(float(got.mean()) - float(expected.mean())) < 3
    photos.table("boxes.csv", ("id", "x", "y", "w", "h"), [(*row[:3], 30, 30) for row in rows])
    assert photos.context(*words).need("boxes").key != ctx.need("boxes").key, "an edited CSV went unnoticed"
    with pytest.raises(DataError, match=r"crop\.boxes: there is no file"):
        photos.context("crop.method=own_box", "crop.boxes=gone.csv").need("prepared")


def test_the_preview_shows_the_pixels_of_training(photos, capsys):
    rows = [(name, 20, 10, 24, 30) for name in photos.ids["train"]] + [("044", 0, 0, 64, 48)]
    photos.table("boxes.csv", ("id", "x", "y", "w", "h"), rows)
    words = photos.words(
        "crop.boxes=boxes.csv", "crop.method=statistics", "preprocess.clahe=2", "augment.policy=medium",
        "preview.images=3", "preview.draws=2", without=("folds.n",),
    )  # fmt: skip
    assert main(["preview", *words]) == 0
    told = capsys.readouterr().out
    assert (
        "crop: train: 100\u00a0% of 40 boxes completely inside; test: 0\u00a0% of 1 box completely inside"
        in told
    )
    ctx = photos.context(*words[words.index("crop.boxes=boxes.csv") :])
    folder = ctx.need("preview").folder
    page = (folder / "preview.html").read_text(encoding="utf-8")
    assert page.count('<th scope="rowgroup"') == 3 and "epoch 2" in page and "epoch 3" not in page
    assert "preprocess.clahe=2.0" in page and "test · 044" in page
    coverage = pd.read_csv(folder / "crop.csv", dtype={"id": str})
    assert coverage.iloc[0].tolist()[:2] == ["test", "044"]
    with Image.open(folder / "preview.png") as picture:
        assert picture.width > 5 * 128 and picture.height > 3 * 128
    # The preview's first draw is what the loader gives fold 0 in its first epoch.
    seen = load.prepared(ctx.need("prepared"), "train").take(np.array(["000"]))[0]
    drawn = Augmenter("medium", (24, 32))(seen, ctx.settings.config.train.seed, 0, 0, "000", 0)
    assert drawn.shape == (24, 32, 3) and not np.array_equal(drawn, seen)


def test_the_preview_shows_mixed_images(photos, capsys):
    words = photos.words("preview.images=4", "preview.draws=1", without=("folds.n",))
    assert main(["preview", *words]) == 0
    plain = capsys.readouterr().out
    mixed = ("train.mix.method=cutmix_half", "train.mix.partner=minority")
    assert main(["preview", *words, *mixed]) == 0
    told = capsys.readouterr().out
    assert "mixed by cutmix_half (partner minority)" in told and "mixed by" not in plain
    pages = [
        p.read_text(encoding="utf-8") for p in sorted(photos.home.glob("artifacts/preview/*/preview.html"))
    ]
    assert sorted("mixed 3" in page for page in pages) == [False, True], "mixing is not in the preview's key"
    widths = []
    for path in photos.home.glob("artifacts/preview/*/preview.png"):
        with Image.open(path) as picture:
            widths.append(picture.width)
    assert max(widths) - min(widths) == 3 * (128 + 6)


def test_a_policy_that_an_attribute_forbids_is_refused_even_when_reused(photos):
    label = "competition.attributes=[{name: kind, column: kind, values: [disc, box], forbids: [hflip]}]"
    loose = photos.context("augment.policy=light", *TRAINING)
    loose.check(Need("train", loose.settings))
    strict = photos.context("augment.policy=light", label, *TRAINING)
    with pytest.raises(ConfigError, match="kind forbids hflip") as caught:
        strict.check(Need("train", strict.settings))
    assert "upright" in str(caught.value) and "medium" not in caught.value.remedy
    assert strict.graph.key(Need("data", strict.settings)) == loose.graph.key(Need("data", loose.settings))
    with pytest.raises(ConfigError, match=r"infer.views has hflip, which kind forbids"):
        photos.context(label, "infer.views=[identity,hflip]")


def test_no_box_in_any_image_is_one_clear_error_and_the_preview_without_a_crop_works(photos, capsys):
    photos.table("test_only.csv", ("id", "x", "y", "w", "h"), [("040", 1, 1, 5, 5)])
    photos.table("empty.csv", ("id", "x", "y", "w", "h"), [])
    for boxes, told in (
        ("haar:frontalface_default", "no training image has a box"),
        ("test_only.csv", "no training image has a box"),
        ("empty.csv", "it holds no boxes"),
    ):
        for method in ("statistics", "own_box"):
            words = photos.words(f"crop.method={method}", f"crop.boxes={boxes}", without=("folds.n",))
            assert main(["preview", *words]) == 2
            assert told in capsys.readouterr().err
    words = photos.words("crop.boxes=haar:frontalface_default", without=("folds.n",))
    assert main(["preview", *words]) == 0 and "of 0 boxes" in capsys.readouterr().out
